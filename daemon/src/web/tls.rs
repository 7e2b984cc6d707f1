//! The page's certificate: the site's own, or one made here.

use crate::config::Settings;
use crate::site;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sekisho_logic::time::WallMs;
use sha2::{Digest as _, Sha256};
use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// A certificate made here is good for this long: Apple's limit for any certificate of a server is 825 days.
const GOOD_FOR_DAYS: i64 = 800;
/// ... and is replaced at a start when it has fewer days left than this.
const REPLACED_BEFORE_DAYS: i64 = 30;
const DAY_MS: i64 = 86_400_000;
/// A chain of certificates is a few kilobytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, or may not be read.
    #[error("{path}: {cause}; give the service's user access, or leave [review] certificate out")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The key could be read or changed by others.
    #[error("{path}: others can read or change this key (mode {mode:03o}); run `chmod 600` on it")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// No key was named, and there is no credential.
    #[error("the key of [review] certificate is missing: set key-file, or add the credential {0:?}")]
    NoKey(String),
    /// Not what was expected in that file.
    #[error("{path}: {what}; PEM files as a certificate authority gives them are expected")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Certificate and key do not belong together, or are of a kind we do not speak.
    #[error("{path} and its key cannot be used together: {cause}")]
    Unfit {
        /// The certificate.
        path: PathBuf,
        /// What rustls said.
        cause: rustls::Error,
    },
    /// None could be made.
    #[error("no certificate could be made: {0}")]
    NotMade(rcgen::Error),
}

/// A certificate that can be served with.
#[derive(Clone)]
pub struct Certificate {
    /// For new connections.
    pub config: Arc<ServerConfig>,
    /// SHA-256 of the certificate, as browsers show it.
    pub fingerprint: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({})", self.fingerprint)
    }
}

/// Reads the certificate that the settings name, or the one made here; makes it when there is none or it is about to end.
///
/// # Errors
/// [`TlsError`], each with what to do.
pub fn load(settings: &Settings, now: WallMs) -> Result<Certificate, TlsError> {
    let Some(certificate) = settings.review.certificate.clone() else {
        let state = &settings.daemon.state_dir;
        let (certificate, key) = (state.join("review-cert.pem"), state.join("review-key.pem"));
        if is_due(&certificate, now) || !key.exists() {
            make(settings, &certificate, &key, now)?;
        }
        return serve_with(&certificate, &key);
    };
    match &settings.review.key_file {
        Some(key) => serve_with(&certificate, key),
        None => {
            let name = &settings.review.key_credential;
            let found = site::credentials(settings).find(name);
            let refused = |error: crate::config::credentials::CredentialFault| TlsError::Malformed {
                path: certificate.clone(),
                what: error.to_string(),
            };
            let key = found.map_err(refused)?.ok_or_else(|| TlsError::NoKey(name.clone()))?;
            serve_with(&certificate, &key)
        }
    }
}

/// Whether a certificate made here is absent or about to end, by the time its file was written.
fn is_due(path: &Path, now: WallMs) -> bool {
    let written = std::fs::metadata(path).and_then(|about| about.modified()).ok();
    let written = written.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let age_ms = written.map(|at| now.0 - i64::try_from(at.as_millis()).unwrap_or(i64::MAX));
    age_ms.is_none_or(|age| age > (GOOD_FOR_DAYS - REPLACED_BEFORE_DAYS) * DAY_MS)
}

/// The names and addresses browsers may use.
fn subjects(settings: &Settings) -> Vec<String> {
    let address = settings.review.listen.ip();
    let mut names = settings.review.names.clone();
    names.push("localhost".to_owned());
    let own = [IpAddr::from([127, 0, 0, 1]), address];
    names.extend(own.iter().filter(|address| !address.is_unspecified()).map(ToString::to_string));
    names.dedup();
    names
}

fn make(settings: &Settings, certificate: &Path, key: &Path, now: WallMs) -> Result<(), TlsError> {
    let date = |ms: i64| {
        let text = WallMs(ms).to_rfc3339();
        let number = |range: std::ops::Range<usize>| text[range].parse::<u16>().unwrap_or(1);
        let (month, day) = (number(5..7).to_le_bytes()[0], number(8..10).to_le_bytes()[0]);
        rcgen::date_time_ymd(i32::from(number(0..4)), month, day)
    };
    let mut params = rcgen::CertificateParams::new(subjects(settings)).map_err(TlsError::NotMade)?;
    // A clock that is a little behind elsewhere must not make it look like one of tomorrow.
    params.not_before = date(now.0 - DAY_MS);
    params.not_after = date(now.0 + GOOD_FOR_DAYS * DAY_MS);
    params.distinguished_name.push(rcgen::DnType::CommonName, "Sekisho review page");
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let pair = rcgen::KeyPair::generate().map_err(TlsError::NotMade)?;
    let made = params.self_signed(&pair).map_err(TlsError::NotMade)?;
    write_private(key, Zeroizing::new(pair.serialize_pem()).as_bytes())?;
    write_private(certificate, made.pem().as_bytes())?;
    tracing::info!("review: a certificate was made; its SHA-256 fingerprint is {}", fingerprint(made.der().as_ref()));
    Ok(())
}

/// Writes a file of mode 0600 in one piece: a reader finds the old content or the new.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), TlsError> {
    let fail = |cause| TlsError::Unreadable { path: path.to_owned(), cause };
    let fresh = path.with_extension("pem.new");
    let _left_over = std::fs::remove_file(&fresh);
    let options = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh);
    options
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&fresh, path))
        .map_err(fail)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let fail = |cause| TlsError::Unreadable { path: path.to_owned(), cause };
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

fn serve_with(certificate: &Path, key: &Path) -> Result<Certificate, TlsError> {
    let about = std::fs::metadata(key).map_err(|cause| TlsError::Unreadable { path: key.to_owned(), cause })?;
    let mode = about.permissions().mode() & 0o777;
    // Keys that a group of the system may read (`ssl-cert`) are common and meant so.
    if mode & 0o027 != 0 {
        return Err(TlsError::Exposed { path: key.to_owned(), mode });
    }
    let malformed = |path: &Path, what: String| TlsError::Malformed { path: path.to_owned(), what };
    let bytes = read(certificate)?;
    let chain = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| malformed(certificate, error.to_string()))?;
    let Some(first) = chain.first() else {
        return Err(malformed(certificate, "there is no certificate in it".to_owned()));
    };
    let fingerprint = fingerprint(first);
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| malformed(key, error.to_string()))?;
    let unfit = |cause| TlsError::Unfit { path: certificate.to_owned(), cause };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(unfit)?;
    let mut config = builder.with_no_client_auth().with_single_cert(chain, private).map_err(unfit)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Certificate { config: Arc::new(config), fingerprint })
}

fn fingerprint(certificate: &[u8]) -> String {
    let digest = Sha256::digest(certificate);
    digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn settings(dir: &Path, review: &str) -> Settings {
        let text = format!("[daemon]\nstate-dir = {:?}\n[review]\n{review}\n", dir.display().to_string());
        parse(Path::new("s.toml"), &text).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn now() -> WallMs {
        let dir = tempfile::tempdir().expect("temp dir");
        let at = std::fs::metadata(dir.path()).and_then(|about| about.modified()).expect("a clock");
        let at = at.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        WallMs(i64::try_from(at.as_millis()).expect("this century"))
    }

    #[test]
    fn one_is_made_once_kept_private_and_replaced_before_it_ends() {
        let dir = tempfile::tempdir().expect("temp dir");
        let settings = settings(dir.path(), "listen = \"0.0.0.0:7788\"\nnames = [\"guard.example\"]");
        let first = load(&settings, now()).expect("made");
        assert_eq!(first.fingerprint.len(), 95);
        assert_eq!(load(&settings, now()).expect("there").fingerprint, first.fingerprint);
        for file in ["review-cert.pem", "review-key.pem"] {
            let mode = std::fs::metadata(dir.path().join(file)).expect(file).permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
        let late = WallMs(now().0 + 771 * DAY_MS);
        assert_ne!(load(&settings, late).expect("made anew").fingerprint, first.fingerprint);
    }

    #[test]
    fn what_cannot_be_served_with_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("temp dir");
        let own = settings(dir.path(), "listen = \"0.0.0.0:7788\"");
        load(&own, now()).expect("made");
        let path = |name: &str| dir.path().join(name);
        let given = settings(
            dir.path(),
            &format!("certificate = {:?}\nkey-file = {:?}", path("review-cert.pem"), path("review-key.pem")),
        );
        load(&given, now()).expect("the site's own");
        let said = |settings: &Settings| load(settings, now()).expect_err("refused").to_string();
        std::fs::set_permissions(path("review-key.pem"), std::fs::Permissions::from_mode(0o644)).expect("own file");
        assert!(said(&given).contains("chmod 600"), "{}", said(&given));
        std::fs::set_permissions(path("review-key.pem"), std::fs::Permissions::from_mode(0o640)).expect("own file");
        load(&given, now()).expect("a group may read it");
        std::fs::write(path("review-cert.pem"), "no certificate").expect("own file");
        assert!(said(&given).contains("no certificate in it"), "{}", said(&given));
        std::fs::remove_file(path("review-cert.pem")).expect("own file");
        assert!(said(&given).contains("review-cert.pem"), "{}", said(&given));
        let keyless = settings(dir.path(), &format!("certificate = {:?}", path("review-cert.pem")));
        assert!(said(&keyless).contains("review-key"), "{}", said(&keyless));
        let (one, other) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
        for dir in [one.path(), other.path()] {
            load(&settings(dir, "listen = \"0.0.0.0:7788\""), now()).expect("made");
        }
        let mixed = settings(
            dir.path(),
            &format!(
                "certificate = {:?}\nkey-file = {:?}",
                one.path().join("review-cert.pem"),
                other.path().join("review-key.pem")
            ),
        );
        assert!(said(&mixed).contains("cannot be used together"), "{}", said(&mixed));
    }
}
