//! Cookies: the log-in's, and the one by which a browser is known again.

use super::secret;
use axum::http::{HeaderMap, HeaderValue, header};
use ring::hmac;
use sekisho_store::Reviewer;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// A browser is known again for half a year.
const DEVICE_SECONDS: u32 = 180 * 86_400;

/// Names and attributes, which differ with encryption: `__Host-` is a promise that only encrypted pages can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookies {
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}

impl Cookies {
    fn name(self, rest: &str) -> String {
        format!("{}sekisho{rest}", if self.encrypted { "__Host-" } else { "" })
    }

    fn line(self, name: &str, value: &str, seconds: Option<u32>) -> Option<HeaderValue> {
        let mut line = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict");
        if self.encrypted {
            line.push_str("; Secure");
        }
        if let Some(seconds) = seconds {
            // Writing to a string does not fail.
            let _written = write!(line, "; Max-Age={seconds}");
        }
        HeaderValue::from_str(&line).ok()
    }

    /// The log-in's token; ends with the browser.
    #[must_use]
    pub fn log_in(self, token: &str) -> Option<HeaderValue> {
        self.line(&self.name(""), token, None)
    }

    /// Takes the log-in's token away.
    #[must_use]
    pub fn log_out(self) -> Option<HeaderValue> {
        self.line(&self.name(""), "", Some(0))
    }

    /// The log-in's token, as the browser sent it.
    #[must_use]
    pub fn token(self, headers: &HeaderMap) -> Option<&str> {
        find(headers, &self.name(""))
    }

    /// The mark of a browser in which `reviewer` has logged in.
    #[must_use]
    pub fn device(self, key: &DeviceKey, reviewer: &Reviewer, number: &str) -> Option<HeaderValue> {
        let value = format!("{number}.{}", key.seal(reviewer, number));
        self.line(&self.device_name(reviewer), &value, Some(DEVICE_SECONDS))
    }

    /// The number of this browser, when `reviewer` has logged in with it since their password was set.
    #[must_use]
    pub fn known_device(self, headers: &HeaderMap, key: &DeviceKey, reviewer: &Reviewer) -> Option<String> {
        let (number, seal) = find(headers, &self.device_name(reviewer))?.split_once('.')?;
        key.is_seal(reviewer, number, seal).then(|| number.to_owned())
    }

    /// One cookie for each reviewer of a shared browser, without their name in it.
    fn device_name(self, reviewer: &Reviewer) -> String {
        let short = hex::encode(&Sha256::digest(reviewer.name.as_str())[..4]);
        self.name(&format!("-device-{short}"))
    }
}

/// The one cookie of that name. Two different ones are none: somebody else may have set the other.
fn find<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(other, _)| *other == name).map(|(_, value)| value);
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}

/// What the marks of browsers are sealed with. Lasts as long as the database.
#[derive(Clone)]
pub struct DeviceKey(hmac::Key);

impl DeviceKey {
    /// From 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        hex::decode_to_slice(text, &mut key).ok()?;
        Some(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    fn seal(&self, reviewer: &Reviewer, number: &str) -> String {
        hex::encode(hmac::sign(&self.0, sealed(reviewer, number).as_bytes()))
    }

    fn is_seal(&self, reviewer: &Reviewer, number: &str, seal: &str) -> bool {
        let plain = number.len() == 32 && number.bytes().all(|byte| byte.is_ascii_hexdigit());
        let Ok(seal) = hex::decode(seal) else { return false };
        plain && hmac::verify(&self.0, sealed(reviewer, number).as_bytes(), &seal).is_ok()
    }
}

/// The time of the password makes the marks of before a reset worthless. No part holds a line break.
fn sealed(reviewer: &Reviewer, number: &str) -> String {
    format!("{}\n{}\n{number}", reviewer.name, reviewer.secret_set.0)
}

impl std::fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeviceKey(..)")
    }
}

/// A number for a browser that had none.
///
/// # Errors
/// [`secret::NoRandom`].
pub fn new_device() -> Result<String, secret::NoRandom> {
    Ok(hex::encode(secret::bytes::<16>()?))
}

#[cfg(test)]
mod tests {
    use super::super::reviewers::tests::reviewer;
    use super::*;
    use sekisho_logic::time::WallMs;

    const PLAIN: Cookies = Cookies { encrypted: false };
    const SECURE: Cookies = Cookies { encrypted: true };

    fn headers(cookies: &[&str]) -> HeaderMap {
        cookies.iter().map(|line| (header::COOKIE, HeaderValue::from_str(line).expect("plain"))).collect()
    }

    #[test]
    fn the_log_ins_cookie_is_kept_from_scripts_and_other_sites() {
        let line = |line: Option<HeaderValue>| line.expect("plain").to_str().expect("text").to_owned();
        assert_eq!(line(PLAIN.log_in("ab")), "sekisho=ab; Path=/; HttpOnly; SameSite=Strict");
        assert_eq!(line(SECURE.log_in("ab")), "__Host-sekisho=ab; Path=/; HttpOnly; SameSite=Strict; Secure");
        assert_eq!(line(PLAIN.log_out()), "sekisho=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    }

    #[test]
    fn cookies_are_found_among_others_and_an_ambiguous_one_is_none() {
        assert_eq!(PLAIN.token(&headers(&["a=1; sekisho=ab;b=2"])), Some("ab"));
        assert_eq!(PLAIN.token(&headers(&["a=1", "sekisho=ab"])), Some("ab"));
        assert_eq!(PLAIN.token(&headers(&["sekisho=ab; sekisho=ab"])), Some("ab"));
        for none in
            [&["sekisho=ab; sekisho=cd"][..], &["sekisho=ab", "sekisho=cd"], &["sekishoo=ab"], &["sekisho"], &[]]
        {
            assert_eq!(PLAIN.token(&headers(none)), None, "{none:?}");
        }
        assert_eq!(SECURE.token(&headers(&["sekisho=ab"])), None, "a cookie any page of this host could have set");
    }

    #[test]
    fn a_browser_is_known_for_one_reviewer_and_until_the_password_changes() {
        let key = DeviceKey::from_hex(&"5a".repeat(32)).expect("digits");
        let number = new_device().expect("random");
        let (sato, ito) = (reviewer("sato", None), reviewer("ito", None));
        let set = SECURE.device(&key, &sato, &number).expect("plain");
        let line = set.to_str().expect("text").split(';').next().expect("a pair").to_owned();
        let sent = headers(&[&line]);
        assert_eq!(SECURE.known_device(&sent, &key, &sato), Some(number));
        assert_eq!(SECURE.known_device(&sent, &key, &ito), None);
        let reset = Reviewer { secret_set: WallMs(2), ..sato.clone() };
        assert_eq!(SECURE.known_device(&sent, &key, &reset), None);
        let other = DeviceKey::from_hex(&"5b".repeat(32)).expect("digits");
        assert_eq!(SECURE.known_device(&sent, &other, &sato), None);
        for forged in [line.replace('.', ".0"), line[..line.len() - 1].to_owned(), line.replacen("=", "=0", 1)] {
            assert_eq!(SECURE.known_device(&headers(&[&forged]), &key, &sato), None, "{forged}");
        }
    }
}
