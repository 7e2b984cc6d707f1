//! Signatures on what leaves the store as a proof: heads of the audit trail, receipts of erasures.
//!
//! Ed25519 (RFC 8032). What is signed is the domain, a zero byte, and the message, so that a signature made for one purpose
//! is worth nothing for another. The secret is 32 random bytes, kept like a database key but apart from it: whoever can
//! write the database cannot sign with it.

use crate::key::DbKey;
use crate::open::Store;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// What signs. Cannot be printed.
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// The key whose secret is `seed`, read like a database key from a credential or a file of its own. `None` never in
    /// practice: any 32 bytes are an Ed25519 secret.
    #[must_use]
    pub fn new(seed: &DbKey) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed.bytes().as_slice()).ok().map(|pair| Self { pair })
    }

    /// The public key, in hex: what a verifier needs.
    #[must_use]
    pub fn public(&self) -> String {
        hex::encode(self.pair.public_key().as_ref())
    }

    /// A short name of the key: the first 16 hex digits of the public key's SHA-256.
    #[must_use]
    pub fn id(&self) -> String {
        key_id(self.pair.public_key().as_ref())
    }

    /// Signs `message` for `domain` (a constant of ours, without zero bytes).
    #[must_use]
    pub fn sign(&self, domain: &str, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut signature = [0; SIGNATURE_BYTES];
        signature.copy_from_slice(self.pair.sign(&said(domain, message)).as_ref());
        signature
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.id())
    }
}

impl Store {
    /// Has receipts and the heads of the audit trail signed with `key` from now on.
    pub fn sign_with(&mut self, key: Option<SigningKey>) {
        self.signing = key;
    }

    /// The key receipts and heads are signed with.
    #[must_use]
    pub const fn signing(&self) -> Option<&SigningKey> {
        self.signing.as_ref()
    }
}

/// Whether `signature` is the one of `public` (hex) on `message` for `domain`.
#[must_use]
pub fn verified(public: &str, domain: &str, message: &[u8], signature: &[u8]) -> bool {
    let Ok(public) = hex::decode(public.trim()) else {
        return false;
    };
    UnparsedPublicKey::new(&ED25519, public).verify(&said(domain, message), signature).is_ok()
}

pub(crate) fn key_id(public: &[u8]) -> String {
    hex::encode(Sha256::digest(public)).chars().take(16).collect()
}

fn said(domain: &str, message: &[u8]) -> Vec<u8> {
    [domain.as_bytes(), &[0], message].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        let mut seed = [0; 32];
        hex::decode_to_slice("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", &mut seed)
            .expect("hex");
        SigningKey::new(&DbKey::from_bytes(seed)).expect("a key")
    }

    #[test]
    fn a_signature_holds_for_its_message_and_purpose_only() {
        let (key, message) = (key(), b"head 7");
        // The first key of RFC 8032, section 7.1.
        assert_eq!(key.public(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let signature = key.sign("checkpoint", message);
        assert!(verified(&key.public(), "checkpoint", message, &signature));
        assert!(!verified(&key.public(), "receipt", message, &signature));
        assert!(!verified(&key.public(), "checkpoint", b"head 8", &signature));
        assert!(!verified(&"00".repeat(32), "checkpoint", message, &signature));
        assert!(!verified("no key", "checkpoint", message, &signature));
        assert_eq!(key.id().len(), 16);
    }
}
