//! Secrets of sinks, read from their credential files when they are needed and wiped when they are dropped.

use crate::config::credentials::CredentialPlaces;
use std::io::Read as _;
use zeroize::Zeroizing;

/// A certificate chain with its key is some kilobytes; more is another file named by mistake.
const BYTES_MAX: u64 = 64 * 1024;

/// The text of credential `name`, without the line break an editor puts at its end.
///
/// # Errors
/// A sentence that says what to do and never quotes the file.
pub fn read(places: &CredentialPlaces, name: &str) -> Result<Zeroizing<String>, String> {
    let found = places.find(name).map_err(|fault| fault.to_string())?;
    let path = found.ok_or_else(|| {
        format!(
            "there is no credential {name:?}; put it into a file of that name in [daemon] credentials-dir, mode 600"
        )
    })?;
    let wrong = |what: &str| format!("credential {}: {what}", path.display());
    let file = std::fs::File::open(&path).map_err(|error| wrong(&error.to_string()))?;
    // At its full size from the start, because a vector that grows leaves copies of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(BYTES_MAX + 1).unwrap_or(65_537)));
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| wrong(&error.to_string()))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(wrong("it is longer than 64 KiB"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is not UTF-8 text"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(wrong("it is empty"));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// `user:password`, split at the first colon.
///
/// # Errors
/// As [`read`], and when there is no user.
pub fn login(places: &CredentialPlaces, name: &str) -> Result<(String, Zeroizing<String>), String> {
    let text = read(places, name)?;
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() && !text.chars().any(char::is_control) => {
            Ok((user.to_owned(), Zeroizing::new(password.to_owned())))
        }
        _ => Err(format!("credential {name:?} is not `user:password` on one line")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_secret_is_read_whole_and_a_bad_one_is_never_quoted() {
        let dir = tempfile::tempdir().expect("dir");
        let places = CredentialPlaces::new(None, dir.path());
        let put = |text: &[u8]| {
            let path = dir.path().join("s");
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("own file");
        };
        assert!(read(&places, "s").expect_err("absent").contains("there is no credential \"s\""));
        put(b"ann:can:ary \r\n");
        assert_eq!(read(&places, "s").expect("read").as_str(), "ann:can:ary ");
        let (user, password) = login(&places, "s").expect("a login");
        assert_eq!((user.as_str(), password.as_str()), ("ann", "can:ary "));
        for bad in [b"".as_slice(), b"\n", b"canary\xff", &vec![b'c'; 70_000]] {
            put(bad);
            assert!(!read(&places, "s").expect_err("bad").contains("canary"));
        }
        for bad in [b"canary".as_slice(), b":canary", b"ann:canary\nmore"] {
            put(bad);
            assert!(!login(&places, "s").expect_err("bad").contains("canary"));
        }
    }
}
