//! The signature of a request: HMAC-SHA256 over the time and the body, so that a receiver knows who sent it, that nobody
//! changed it, and that it is not an old one sent again.

use ring::hmac;
use sekisho_logic::time::WallMs;

/// The header that carries it.
pub const HEADER: &str = "sekisho-signature";

/// A shorter secret could be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// A key made of the secret's bytes.
///
/// # Errors
/// When the secret is too short.
pub(super) fn key(secret: &str) -> Result<hmac::Key, String> {
    if secret.len() < SECRET_BYTES_MIN {
        return Err(format!(
            "the secret is shorter than {SECRET_BYTES_MIN} characters; `openssl rand -hex 32` makes one"
        ));
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
}

/// `t=SECONDS,v1=HEX`: the seconds since 1970 at which the request is sent, and the HMAC of `SECONDS.BODY`.
#[must_use]
pub(super) fn signature(key: &hmac::Key, now: WallMs, body: &[u8]) -> String {
    let seconds = now.0.div_euclid(1000);
    let mut signed = hmac::Context::with_key(key);
    signed.update(format!("{seconds}.").as_bytes());
    signed.update(body);
    format!("t={seconds},v1={}", hex::encode(signed.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_standard_tools() {
        // printf '1700000000.{"id":"a.1"}' | openssl dgst -sha256 -hmac 0123456789abcdef
        let key = key("0123456789abcdef").expect("long enough");
        let said = signature(&key, WallMs(1_700_000_000_999), b"{\"id\":\"a.1\"}");
        assert_eq!(said, "t=1700000000,v1=fadc4fdf72b2d160e4ace2a60b26e469c1ef8a0962f56f930182aa2db020e39e");
        assert!(super::key("short").is_err());
    }
}
