//! A certificate authority for one test, made with `openssl`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// An authority, a server it has signed for this machine, and a client.
#[derive(Debug)]
pub struct Certificates {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// The server's certificate, for `127.0.0.1` and `localhost`.
    pub server: PathBuf,
    /// Its key.
    pub server_key: PathBuf,
    /// The client's certificate with its key in one file, as a credential holds it.
    pub client: PathBuf,
}

impl Certificates {
    /// Makes them in `dir`.
    ///
    /// # Panics
    /// When `openssl` is missing or fails.
    #[must_use]
    pub fn make(dir: &Path) -> Self {
        let file = |name: &str| dir.join(name);
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
        let ca_files = ["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority"];
        openssl(dir, &[&["req", "-x509"], &key[..], &ca_files[..]].concat());
        for (name, usage) in [("server", "serverAuth"), ("client", "clientAuth")] {
            let (key_file, request, certificate) =
                (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
            let subject = format!("/CN={name}");
            let files = ["-keyout", key_file.as_str(), "-out", request.as_str(), "-subj", subject.as_str()];
            openssl(dir, &[&["req"], &key[..5], &files[..]].concat());
            let extension = format!("{name}.ext");
            let text = format!("subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage={usage}\n");
            std::fs::write(file(&extension), text).expect("a writable folder");
            let sign =
                ["x509", "-req", "-days", "2", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile"];
            let files = [extension.as_str(), "-in", request.as_str(), "-out", certificate.as_str()];
            openssl(dir, &[&sign[..], &files[..]].concat());
        }
        let both = ["client.pem", "client.key"].map(|name| std::fs::read_to_string(file(name)).expect("just made"));
        std::fs::write(file("client-both.pem"), both.concat()).expect("a writable folder");
        Self {
            ca: file("ca.pem"),
            server: file("server.pem"),
            server_key: file("server.key"),
            client: file("client-both.pem"),
        }
    }
}

fn openssl(dir: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(dir).args(arguments).output().expect("openssl is installed");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
