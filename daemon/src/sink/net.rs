//! Connections to receivers: TCP, and TLS over it with rustls and ring.

use crate::config::endpoint::Endpoint;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Any connection.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

/// Debian's bundle is 220 KiB; a file many times that is another file named by mistake.
const CA_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What TLS is done with: who may sign the receiver's certificate, and our own certificate where the receiver asks for one
/// (PEM with the chain and its private key).
///
/// # Errors
/// A sentence naming the file. A private key is never quoted.
pub fn tls(ca_file: &Path, client_pem: Option<&str>, protocols: &[&str]) -> Result<Arc<ClientConfig>, String> {
    let wrong = |what: &str| format!("ca-file {}: {what}", ca_file.display());
    let size = std::fs::metadata(ca_file).map_err(|error| wrong(&error.to_string()))?.len();
    if size > CA_FILE_BYTES_MAX {
        return Err(wrong("it is longer than 4 MiB"));
    }
    let found = CertificateDer::pem_file_iter(ca_file).map_err(|error| wrong(&error.to_string()))?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.filter_map(Result::ok));
    if added == 0 {
        return Err(wrong("it holds no certificate in PEM form"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let mut config = match client_pem {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok).collect();
            let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
                .map_err(|_| "the client credential holds no private key in PEM form".to_owned())?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("the client credential cannot be used: {error}"))?
        }
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

/// Opens a connection, encrypted when `tls` is given. Takes as long as it takes: the caller has the limit.
///
/// # Errors
/// What the system or the other side said.
pub async fn dial(endpoint: &Endpoint, tls: Option<&Arc<ClientConfig>>) -> io::Result<Box<dyn Socket>> {
    let stream = TcpStream::connect((endpoint.host(), endpoint.port())).await?;
    // Requests are small and each waits for its answer; holding them back to fill a packet would cost 40 ms each.
    stream.set_nodelay(true)?;
    let Some(config) = tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(endpoint.host().to_owned()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await?;
    Ok(Box::new(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_named() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("ca.pem");
        let said = |path: &Path| tls(path, None, &[]).expect_err("no certificates");
        assert!(said(&path).contains("ca.pem: No such file"), "{}", said(&path));
        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("written");
        assert!(said(&path).contains("it holds no certificate"), "{}", said(&path));
    }
}
