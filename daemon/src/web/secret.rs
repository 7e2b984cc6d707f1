//! Random values that somebody must show again, and what is kept of them.

use sha2::{Digest as _, Sha256};

/// What is kept of a random value: its SHA-256. Looking it up by that tells nobody the value, whatever the time it takes.
pub type Digest = [u8; 32];

/// The system gave no random numbers, so nobody can be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers; nobody can log in")]
pub struct NoRandom;

/// 256 random bits as 64 hexadecimal digits.
///
/// # Errors
/// [`NoRandom`].
pub fn token() -> Result<String, NoRandom> {
    Ok(hex::encode(bytes::<32>()?))
}

/// Random bytes.
///
/// # Errors
/// [`NoRandom`].
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandom> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(bytes)
}

/// What is kept of a token.
#[must_use]
pub fn digest(token: &str) -> Digest {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let (one, other) = (token().expect("random"), token().expect("random"));
        assert_eq!((one.len(), digest(&one) == digest(&one)), (64, true));
        assert!(one != other && digest(&one) != digest(&other));
    }
}
