//! Sealing: encryption of single values under a key of their own, so that destroying the key destroys them wherever copies
//! of them lie.
//!
//! A sealed value is `1` (the format), a random nonce of 12 bytes, and what AES-256-GCM (NIST SP 800-38D) makes of the value;
//! the last 16 bytes are the tag. What the value is and whose it is goes in as associated data, so that a sealed value put
//! into another row does not open there. Random nonces are safe up to about 2^32 values a key (SP 800-38D, 8.3); a person has
//! some hundred.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const FORMAT: u8 = 1;
const TAG_BYTES: usize = 16;

/// A key that seals values. Cannot be printed; its bytes are wiped when it is dropped.
pub struct SealKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

/// The value is damaged, stands in another place than it was sealed for, or its key is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value does not open: it is damaged, or its key is another one")]
pub struct Unsealable;

impl SealKey {
    /// A key nobody had before.
    ///
    /// # Errors
    /// What the operating system said when asked for random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(bytes.as_mut_slice())?;
        Ok(Self { bytes })
    }

    /// The key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self { bytes }
    }

    /// A key for one purpose, derived from a master key by HKDF-SHA-256 (RFC 5869). The same both always give the same.
    #[must_use]
    pub fn derive(master: &[u8; KEY_BYTES], purpose: &str) -> Self {
        struct Length;
        impl KeyType for Length {
            fn len(&self) -> usize {
                KEY_BYTES
            }
        }
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        let key = Salt::new(HKDF_SHA256, b"sekisho").extract(master);
        // Only a length over 255 blocks could be refused, by either.
        let _ = key.expand(&[purpose.as_bytes()], Length).and_then(|okm| okm.fill(bytes.as_mut_slice()));
        Self { bytes }
    }

    /// The key's bytes, to be sealed in turn.
    #[must_use]
    pub const fn bytes(&self) -> &Zeroizing<[u8; KEY_BYTES]> {
        &self.bytes
    }

    /// Seals `plain`. `place` says what it is and whose; the same must be said to open it.
    ///
    /// # Errors
    /// What the operating system said when asked for random bytes.
    pub fn seal(&self, place: &[&[u8]], plain: &[u8]) -> Result<Vec<u8>, getrandom::Error> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + plain.len() + TAG_BYTES);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let (_, body) = sealed.split_at_mut(1 + NONCE_LEN);
        // Refused only above 64 GiB.
        let tag = self
            .cipher()
            .and_then(|key| {
                key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(said(place)), body)
            })
            .map_err(|_| getrandom::Error::UNSUPPORTED)?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what [`seal`](Self::seal) made with the same `place`.
    ///
    /// # Errors
    /// [`Unsealable`].
    pub fn open(&self, place: &[&[u8]], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unsealable> {
        let (head, body) = sealed.split_at_checked(1 + NONCE_LEN).ok_or(Unsealable)?;
        let (format, nonce) = head.split_first().ok_or(Unsealable)?;
        if *format != FORMAT {
            return Err(Unsealable);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unsealable)?;
        let mut plain = Zeroizing::new(body.to_vec());
        let length = self
            .cipher()
            .and_then(|key| key.open_in_place(nonce, Aad::from(said(place)), &mut plain).map(|opened| opened.len()))
            .map_err(|_| Unsealable)?;
        plain.truncate(length);
        Ok(plain)
    }

    fn cipher(&self) -> Result<LessSafeKey, ring::error::Unspecified> {
        UnboundKey::new(&AES_256_GCM, self.bytes.as_slice()).map(LessSafeKey::new)
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealKey(hidden)")
    }
}

/// Each part with its length before it, so that no two places read the same.
fn said(place: &[&[u8]]) -> Vec<u8> {
    place.iter().flat_map(|part| (part.len() as u64).to_be_bytes().into_iter().chain(part.iter().copied())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_in_its_place_and_nowhere_else() {
        let key = SealKey::random().expect("random");
        let place: [&[u8]; 2] = [b"photo", b"ann-1"];
        let sealed = key.seal(&place, b"a face").expect("sealed");
        assert_eq!(key.open(&place, &sealed).expect("opened").as_slice(), b"a face");
        assert!(!sealed.windows(6).any(|window| window == b"a face"));
        let shifted: [&[u8]; 2] = [b"photoa", b"nn-1"];
        assert_eq!(key.open(&shifted, &sealed), Err(Unsealable));
        assert_eq!(SealKey::random().expect("random").open(&place, &sealed), Err(Unsealable));
        for cut in 0..sealed.len() {
            assert_eq!(key.open(&place, &sealed[..cut]), Err(Unsealable), "cut at {cut}");
            let mut flipped = sealed.clone();
            flipped[cut] ^= 1;
            assert_eq!(key.open(&place, &flipped), Err(Unsealable), "flipped at {cut}");
        }
        assert_ne!(sealed, key.seal(&place, b"a face").expect("sealed"), "each time anew");
    }

    /// RFC 5869 by another implementation: HKDF-SHA256(salt "sekisho", ikm 32 x 0x5a, info "purpose", 32 bytes).
    #[test]
    fn derived_keys_differ_by_purpose_and_are_hkdf() {
        let derived = |purpose| hex::encode(SealKey::derive(&[0x5a; 32], purpose).bytes().as_slice());
        assert_eq!(derived("purpose"), "21a5f6f5ba88d7bf998e014cc30d8fd31aa297fb30a7d9576e1a9195934cdc86");
        assert_ne!(derived("purpose"), derived("another"));
    }
}
