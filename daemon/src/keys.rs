//! Where secrets of 32 bytes come from, and what each place protects against.
//!
//! ```text
//! database key:  [store] key-url -> asked at each start, kept in memory only
//!                credential      -> systemd unseals it by the host's key or the TPM
//!                file            -> made at the first run
//! ```

use crate::cmd::Failure;
use crate::config::Settings;
use crate::config::credentials::CredentialPlaces;
use crate::config::endpoint::Endpoint;
use crate::config::settings::KeyServer;
use crate::sink::net::{dial, tls};
use crate::sink::secrets;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use sekisho_store::{DbKey, IfMissing, KeySource};
use serde_json::{Value, json};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Waits between tries. Together with the tries less than the minute that the unit gives a start; after that the service
/// manager starts the program anew, for as long as the server is away.
const WAITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(8)];
/// An answer is 64 digits and a line end.
const ANSWER_BYTES_MAX: usize = 256;

/// Why there was no key.
enum NoKey {
    /// Asking again may help.
    Later(String),
    /// Asking again will not.
    Never(String),
}

/// The key of the database: from the server named in `key-url`, else from the credential, else from the file.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn database(settings: &Settings, places: &CredentialPlaces, if_missing: IfMissing) -> Result<DbKey, Failure> {
    let its = &settings.store;
    match &its.key_server {
        Some(server) => fetch(server, places),
        None => secret(places, &its.key_credential, &its.key_file, if_missing),
    }
}

/// A secret from the credential of this name where there is one, from the file otherwise.
///
/// # Errors
/// [`Failure`] with one sentence.
pub fn secret(
    places: &CredentialPlaces,
    credential: &str,
    file: &Path,
    if_missing: IfMissing,
) -> Result<DbKey, Failure> {
    let found = places.find(credential).map_err(Failure::wrong)?;
    let key = match found.as_deref().and_then(|file| Some((file.parent()?, file.file_name()?.to_str()?))) {
        Some((directory, name)) => DbKey::from_credential(directory, name),
        None => {
            if !file.exists() {
                let whose = Whose::of(&CREDENTIAL_STORES.map(Path::new), credential);
                may_be_made(&whose, places, credential, file, if_missing)?;
            }
            DbKey::from_file(file, if_missing)
        }
    };
    key.map_err(Failure::no)
}

/// Refuses where the service is handed a key or may be: one made here would be another, with which the service could not open
/// the database.
fn may_be_made(
    whose: &Whose,
    places: &CredentialPlaces,
    credential: &str,
    file: &Path,
    if_missing: IfMissing,
) -> Result<(), Failure> {
    match whose {
        Whose::Service(sealed) => {
            let otherwise = match if_missing {
                IfMissing::Create => format!(", or remove that file to have {} made instead", file.display()),
                IfMissing::Refuse => String::new(),
            };
            Err(Failure::No(format!(
                "{}: the service is handed this key, and a command started like this is not; start it by `systemd-run \
                 --pty --property=LoadCredentialEncrypted={credential}:sekisho.{credential} sekisho ...`{otherwise}",
                sealed.display(),
            )))
        }
        // The service itself cannot look either, and need not: what there is it was handed.
        Whose::Unknown(closed) if if_missing == IfMissing::Create && !places.are_handed_over() => {
            Err(Failure::No(format!(
                "{}: only root may look into it, so whether the service is handed a key of its own is not known, and no other \
                 is made; start the service first (`systemctl start sekisho`), which is handed that key or makes one",
                closed.display(),
            )))
        }
        Whose::Unknown(_) | Whose::Nobody => Ok(()),
    }
}

/// Where systemd looks for a credential that is named without a path (systemd.exec(5), LoadCredential=).
const CREDENTIAL_STORES: [&str; 6] = [
    "/etc/credstore.encrypted",
    "/run/credstore.encrypted",
    "/usr/lib/credstore.encrypted",
    "/etc/credstore",
    "/run/credstore",
    "/usr/lib/credstore",
];

/// Who is handed a credential by systemd.
#[derive(Debug, PartialEq, Eq)]
enum Whose {
    /// The service, from this file by the shipped unit.
    Service(PathBuf),
    /// Nobody: there is no such file.
    Nobody,
    /// This store is closed to this user.
    Unknown(PathBuf),
}

impl Whose {
    fn of(stores: &[&Path], credential: &str) -> Self {
        let mut whose = Self::Nobody;
        for store in stores {
            let file = store.join(format!("sekisho.{credential}"));
            match file.try_exists() {
                Ok(true) => return Self::Service(file),
                Err(error) if error.kind() == ErrorKind::PermissionDenied => whose = Self::Unknown(store.into()),
                Ok(false) | Err(_) => {}
            }
        }
        whose
    }
}

/// The file that holds the key of the database sealed for the service, where this process was not handed it and there is no
/// other.
#[must_use]
pub fn sealed_for_the_service(settings: &Settings, places: &CredentialPlaces) -> Option<PathBuf> {
    let its = &settings.store;
    if its.key_server.is_some() || its.key_file.exists() || !matches!(places.find(&its.key_credential), Ok(None)) {
        return None;
    }
    match Whose::of(&CREDENTIAL_STORES.map(Path::new), &its.key_credential) {
        Whose::Service(file) => Some(file),
        Whose::Nobody | Whose::Unknown(_) => None,
    }
}

/// Asks the server, some times if it does not answer.
fn fetch(server: &KeyServer, places: &CredentialPlaces) -> Result<DbKey, Failure> {
    let (server, places) = (server.clone(), places.clone());
    // A thread of its own, because whoever opens the database may be on an I/O runtime already.
    let asked = std::thread::Builder::new().name("key".into()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::No(format!("no I/O runtime: {error}")))?;
        runtime.block_on(with_patience(&server, &places))
    });
    let asked = asked.map_err(|error| Failure::No(format!("no thread to ask for the key: {error}")))?;
    asked.join().unwrap_or_else(|_| Err(Failure::No("the thread that asks for the key panicked".into())))
}

async fn with_patience(server: &KeyServer, places: &CredentialPlaces) -> Result<DbKey, Failure> {
    let mut waits = WAITS.iter();
    loop {
        let answer = tokio::time::timeout(PATIENCE, ask(server, places)).await;
        let why = match answer.unwrap_or_else(|_| Err(NoKey::Later("no answer within 5 s".into()))) {
            Ok(digits) => return DbKey::from_network(&digits, &server.url.to_string()).map_err(Failure::no),
            Err(NoKey::Never(why)) => {
                return Err(Failure::No(format!("the key of the database: {}: {why}", server.url)));
            }
            Err(NoKey::Later(why)) => why,
        };
        let Some(wait) = waits.next() else {
            return Err(Failure::No(format!(
                "the key of the database: {}: {why}; without it the database stays closed; check [store] key-url and the network",
                server.url,
            )));
        };
        tracing::warn!("the key of the database: {}: {why}; asking again in {} s", server.url, wait.as_secs());
        tokio::time::sleep(*wait).await;
    }
}

async fn ask(server: &KeyServer, places: &CredentialPlaces) -> Result<Zeroizing<Vec<u8>>, NoKey> {
    let url: &Endpoint = &server.url;
    let token = server.token_credential.as_ref().map(|name| secrets::read(places, name)).transpose();
    let token = token.map_err(NoKey::Never)?;
    let config = url.tls().then(|| tls(&server.ca_file, None, &["http/1.1"])).transpose().map_err(NoKey::Never)?;
    let later = |error: &dyn std::error::Error| NoKey::Later(crate::cmd::chain(error).replace('\n', " "));
    let socket = dial(url, config.as_ref()).await.map_err(|error| later(&error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.map_err(|error| later(&error))?;
    tokio::spawn(async move {
        let _ended = connection.await;
    });
    let mut request = Request::get(url.target())
        .header("host", url.authority())
        .header("user-agent", concat!("sekisho/", env!("CARGO_PKG_VERSION")))
        .header("accept", "text/plain");
    if let Some(token) = &token {
        request = request.header("authorization", format!("Bearer {}", token.as_str()));
    }
    let request = request.body(Empty::<Bytes>::new());
    let request = request.map_err(|_| NoKey::Never("the token holds something that no header can carry".into()))?;
    let response = sender.send_request(request).await.map_err(|error| later(&error))?;
    let status = response.status();
    if status != StatusCode::OK {
        let said = format!("it answers {status}");
        let refuses = status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS;
        return Err(if refuses { NoKey::Never(said) } else { NoKey::Later(said) });
    }
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|_| NoKey::Never("its answer is longer than a key".into()))?;
    Ok(Zeroizing::new(body.to_bytes().to_vec()))
}

/// What is said about a secret: where it lies, and against what that protects and does not.
#[must_use]
pub fn protection(source: KeySource) -> Value {
    let (place, protects, does_not) = match source {
        KeySource::Network => (
            "network",
            "a stolen disk, and a stolen box once it is away from the key server's network",
            "whoever takes the running box, or is root on it",
        ),
        KeySource::Credential => (
            "credential",
            "a stolen disk without its box where systemd-creds sealed the key to the TPM; where it was sealed with the host's key, \
             copies of the database without the rest of the disk (which of the two it is, the service cannot see)",
            "whoever can start this box, or is root on it",
        ),
        KeySource::File => (
            "file",
            "copies of the database that were taken without the key file",
            "a stolen disk or box, because the key lies on it; nor against whoever is root on it",
        ),
        KeySource::Given => ("given", "what the program that gave it says", "what the program that gave it says"),
    };
    json!({ "from": place, "protects-against": protects, "does-not-protect-against": does_not })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(whose: &Whose, handed: Option<&Path>, if_missing: IfMissing) -> Option<String> {
        let places = CredentialPlaces::new(handed.map(Into::into), Path::new("/nowhere"));
        let may = may_be_made(whose, &places, "store-key", Path::new("/state/store.key"), if_missing);
        may.err().map(|refused| refused.to_string())
    }

    #[test]
    fn a_key_that_only_the_service_is_handed_is_found_where_systemd_looks_and_no_other_takes_its_place() {
        let (sealed, plain) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let stores = [sealed.path(), plain.path()];
        assert_eq!(Whose::of(&stores, "store-key"), Whose::Nobody);
        let file = plain.path().join("sekisho.store-key");
        std::fs::write(&file, "x").expect("writable");
        let whose = Whose::of(&stores, "store-key");
        assert_eq!(whose, Whose::Service(file));
        assert_eq!(Whose::of(&stores, "audit-key"), Whose::Nobody);
        let first = said(&whose, None, IfMissing::Create).expect("refused");
        assert!(first.contains("systemd-run") && first.contains("remove that file"), "{first}");
        // Beside a database that is there, the file is its key and is not to be removed.
        let later = said(&whose, None, IfMissing::Refuse).expect("refused");
        assert!(later.contains("systemd-run") && !later.contains("remove"), "{later}");
        assert_eq!(said(&Whose::Nobody, None, IfMissing::Create), None);
    }

    #[test]
    fn a_store_that_is_closed_to_this_user_is_no_sign_that_there_is_no_key() {
        let whose = Whose::Unknown("/etc/credstore.encrypted".into());
        let first = said(&whose, None, IfMissing::Create).expect("refused");
        assert!(
            first.starts_with("/etc/credstore.encrypted: ") && first.contains("systemctl start sekisho"),
            "{first}"
        );
        assert_eq!(said(&whose, None, IfMissing::Refuse), None, "nothing is made");
        let handed = Path::new("/run/credentials/sekisho.service");
        assert_eq!(said(&whose, Some(handed), IfMissing::Create), None, "the service itself makes its first key");
        let dir = tempfile::tempdir().expect("a folder");
        let store = dir.path().join("closed");
        std::fs::create_dir(&store).expect("a folder");
        std::fs::write(store.join("sekisho.store-key"), "x").expect("writable");
        let mode = |mode| std::fs::set_permissions(&store, std::os::unix::fs::PermissionsExt::from_mode(mode));
        mode(0o000).expect("own folder");
        let found = Whose::of(&[&store], "store-key");
        let to_root = std::fs::read_dir(&store).is_ok();
        mode(0o700).expect("own folder");
        // Nothing is closed to root, who finds the file.
        let wanted = if to_root { Whose::Service(store.join("sekisho.store-key")) } else { Whose::Unknown(store) };
        assert_eq!(found, wanted);
    }
}
