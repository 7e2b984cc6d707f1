//! The socket: HTTP/1.1 over a Unix socket, few clients, short time limits, roles by peer credentials.
//!
//! A client that never reads or never writes costs one of a small number of places for a few seconds, and nothing else:
//! every read and write has a time limit, and the event stream keeps a bounded backlog for each listener.

use super::access::{AccessRules, Peer};
use axum::Router;
use axum::extract::Extension;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;

/// Clients at a time. A site has a page, a scraper and two people at a terminal; more than this is a mistake or an attack.
pub const CLIENTS_MAX: usize = 32;

/// A request's head must be complete within this time, and every write must move within it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Something that is not a socket lies at the path.
    #[error("{0} exists and is not a socket; remove it or set another [daemon] socket")]
    NotASocket(PathBuf),
    /// Another process answers there.
    #[error("another process is listening on {0}; stop it or set another [daemon] socket")]
    InUse(PathBuf),
    /// The operating system refused.
    #[error("{path}: {source}; check that its directory exists and is writable for the daemon's user")]
    Io {
        /// The path.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// Counters of the socket.
#[derive(Debug, Default)]
pub struct SocketCounts {
    /// Connections taken.
    pub accepted_total: AtomicU64,
    /// Connections closed at once because too many were open.
    pub shed_total: AtomicU64,
    /// Connections whose peer has no role.
    pub denied_total: AtomicU64,
}

/// Binds the socket with mode 0660. A socket left behind by a crash is replaced; a living one is not.
///
/// # Errors
/// [`SocketError`], each with what to do.
pub fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    let io = |source| SocketError::Io { path: path.to_owned(), source };
    match std::fs::symlink_metadata(path) {
        Ok(meta) if !meta.file_type().is_socket() => return Err(SocketError::NotASocket(path.to_owned())),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(SocketError::InUse(path.to_owned()));
        }
        Ok(_) => std::fs::remove_file(path).map_err(io)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error)),
    }
    let listener = UnixListener::bind(path).map_err(io)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(io)?;
    Ok(listener)
}

/// Answers until `stop` turns true. Open connections are dropped then: every answer but the event stream is short, and
/// an event stream's client reconnects.
pub async fn serve(
    listener: UnixListener,
    app: Router,
    rules: watch::Receiver<AccessRules>,
    counts: Arc<SocketCounts>,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    let mut clients = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        while clients.try_join_next().is_some() {}
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("status socket: a client could not be accepted: {error}; going on in 1 s");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            counts.shed_total.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        counts.accepted_total.fetch_add(1, Ordering::Relaxed);
        let Some(peer) = identify(&stream, &rules) else { continue };
        if peer.roles.is_none() {
            counts.denied_total.fetch_add(1, Ordering::Relaxed);
        }
        let app = app.clone().layer(Extension(peer));
        clients.spawn(async move {
            talk(stream, app).await;
            drop(place);
        });
    }
    clients.shutdown().await;
}

fn identify(stream: &UnixStream, rules: &watch::Receiver<AccessRules>) -> Option<Peer> {
    let credentials = stream.peer_cred().ok()?;
    let roles = rules.borrow().roles(credentials.uid(), credentials.gid());
    Some(Peer { uid: credentials.uid(), pid: credentials.pid(), roles })
}

async fn talk(stream: UnixStream, app: Router) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(PATIENCE));
    let stream = Box::pin(stream);
    let result = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(64 * 1024)
        .keep_alive(true)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .await;
    if let Err(error) = result {
        tracing::debug!("status socket: a connection ended early: {error}");
    }
}
