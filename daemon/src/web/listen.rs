//! The listener of the page: connections from anywhere, each with time limits and a bound.
//!
//! A client that never sends, never reads or never finishes its handshake costs one of a bounded number of places, in all and
//! for its address, and only for seconds. A port that cannot be had, or a certificate that cannot be read, takes nothing else
//! down: it is said, and tried again.

use super::Web;
use super::attempts::counted_address;
use super::counts::Served;
use super::tls::{self, Certificate};
use axum::Router;
use axum::extract::Extension;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

/// A request's head must be complete within this time, and every write must move within it.
const PATIENCE: Duration = Duration::from_secs(10);
/// A handshake must be complete within this time.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries to bind.
const BIND_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// A request's head holds a path, a cookie or two and what browsers add: some kilobytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Lines of a head; browsers send some twenty.
const HEAD_LINES_MAX: usize = 64;
/// Clients that are told at one time that there is no place for them.
const TURNED_AWAY_AT_ONCE_MAX: usize = 16;

/// The other end of a connection, and this one.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// The address it connected to.
    pub local: IpAddr,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}

/// Places taken, in all and by address.
#[derive(Debug, Default)]
struct Places(Mutex<HashMap<IpAddr, usize>>);

/// A place; free again when dropped.
struct Place {
    places: Arc<Places>,
    address: IpAddr,
    web: Arc<Web>,
}

impl Places {
    fn take(self: &Arc<Self>, web: &Arc<Web>, address: IpAddr) -> Option<Place> {
        let address = counted_address(address);
        let (most, each) = web.settings(|all| (all.review.clients_max, all.review.clients_per_address_max));
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.entry(address).or_default();
        if all >= most || *own >= each {
            taken.retain(|_, count| *count > 0);
            return None;
        }
        *own += 1;
        web.around.counts.clients.store(all + 1, Ordering::Relaxed);
        Some(Place { places: Arc::clone(self), address, web: Arc::clone(web) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.address) {
            *own = own.saturating_sub(1);
        }
        taken.retain(|_, count| *count > 0);
        self.web.around.counts.clients.store(taken.values().sum(), Ordering::Relaxed);
    }
}

/// Serves until `stop` turns true. Each change of `reloads` reads the certificate again.
pub async fn serve(web: Arc<Web>, app: Router, mut reloads: watch::Receiver<u64>, mut stop: watch::Receiver<bool>) {
    let mut said = None;
    loop {
        match open(&web).await {
            Ok((listener, address, certificate)) => {
                let fingerprint = certificate.as_ref().map(|certificate| certificate.fingerprint.clone());
                tracing::info!(
                    "review: the page is at {}{}; `sekisho review` opens it",
                    super::page_address(address, certificate.is_some(), &[]),
                    fingerprint.as_ref().map(|print| format!(" (SHA-256 fingerprint {print})")).unwrap_or_default(),
                );
                web.around.counts.set_served(Served::At { address, fingerprint });
                return accept(web, app, (listener, address), certificate, reloads, stop).await;
            }
            Err(cause) => {
                if said.as_ref() != Some(&cause) {
                    tracing::error!("review: the page is not served: {cause}; cameras are watched all the same");
                }
                web.around.counts.set_served(Served::Failed(cause.clone()));
                said = Some(cause);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(BIND_AGAIN_AFTER) => {}
            Ok(()) = reloads.changed() => {}
            () = super::stopped(&mut stop) => return,
        }
    }
}

async fn open(web: &Arc<Web>) -> Result<(TcpListener, SocketAddr, Option<Certificate>), String> {
    let certificate = certificate(web).await?;
    let wanted = web.settings(|settings| settings.review.listen);
    let busy = |error| format!("{wanted}: {error}; stop what listens there, or set another [review] listen");
    let listener = TcpListener::bind(wanted).await.map_err(busy)?;
    let address = listener.local_addr().map_err(busy)?;
    // The settings refuse this before; no slip elsewhere may send passwords readably over a network.
    if certificate.is_none() && !address.ip().is_loopback() {
        return Err(format!("{address}: plain HTTP is served on loopback addresses only"));
    }
    Ok((listener, address, certificate))
}

/// The certificate to serve with; none where connections stay on this machine.
async fn certificate(web: &Arc<Web>) -> Result<Option<Certificate>, String> {
    let settings = web.settings(Clone::clone);
    if !settings.review.encrypted() {
        return Ok(None);
    }
    let now = web.now().wall;
    let read = tokio::task::spawn_blocking(move || tls::load(&settings, now)).await;
    let read = read.map_err(|_| "the certificate could not be read".to_owned())?;
    read.map(Some).map_err(|error| error.to_string())
}

async fn accept(
    web: Arc<Web>,
    app: Router,
    (listener, address): (TcpListener, SocketAddr),
    mut certificate: Option<Certificate>,
    mut reloads: watch::Receiver<u64>,
    mut stop: watch::Receiver<bool>,
) {
    let (places, turning_away) = (Arc::<Places>::default(), Arc::new(Semaphore::new(TURNED_AWAY_AT_ONCE_MAX)));
    let mut clients = tokio::task::JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Ok(()) = reloads.changed() => {
                renew(&web, address, &mut certificate).await;
                continue;
            }
            () = super::stopped(&mut stop) => break,
        };
        while clients.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("review: a client could not be accepted: {error}; going on in 1 s");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let Some(place) = places.take(&web, peer.ip()) else {
            web.around.counts.shed_total.fetch_add(1, Ordering::Relaxed);
            // An encrypted client would not understand the sentence before a handshake, which costs more than a place.
            if certificate.is_none()
                && let Ok(turn) = Arc::clone(&turning_away).try_acquire_owned()
            {
                clients.spawn(async move {
                    turn_away(stream).await;
                    drop(turn);
                });
            }
            continue;
        };
        web.around.counts.accepted_total.fetch_add(1, Ordering::Relaxed);
        let acceptor = certificate.as_ref().map(|certificate| TlsAcceptor::from(Arc::clone(&certificate.config)));
        let (app, web) = (app.clone(), Arc::clone(&web));
        clients.spawn(async move {
            talk(&web, stream, peer, acceptor, app).await;
            drop(place);
        });
    }
    clients.shutdown().await;
}

/// Takes up a renewed certificate; one that cannot be read leaves the old one in force.
async fn renew(web: &Arc<Web>, address: SocketAddr, certificate: &mut Option<Certificate>) {
    let Some(old) = certificate else { return };
    match self::certificate(web).await {
        Ok(Some(new)) => {
            if new.fingerprint != old.fingerprint {
                tracing::info!("review: the certificate was renewed; SHA-256 fingerprint {}", new.fingerprint);
            }
            let fingerprint = Some(new.fingerprint.clone());
            web.around.counts.set_served(Served::At { address, fingerprint });
            *certificate = Some(new);
        }
        // Switched off in the file: that waits for a restart.
        Ok(None) => {}
        Err(error) => tracing::error!("review: {error}; the certificate in force stays"),
    }
}

async fn talk(web: &Web, stream: TcpStream, peer: SocketAddr, acceptor: Option<TlsAcceptor>, app: Router) {
    let Ok(local) = stream.local_addr() else { return };
    // Small answers go at once; without this they would wait for a receipt of the ones before.
    let _best_effort = stream.set_nodelay(true);
    let client = Client { address: peer.ip().to_canonical(), local: local.ip(), encrypted: acceptor.is_some() };
    let app = app.layer(Extension(client));
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(PATIENCE));
    let stream = Box::pin(stream);
    let Some(acceptor) = acceptor else { return serve_one(stream, app).await };
    match tokio::time::timeout(HANDSHAKE_PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => serve_one(stream, app).await,
        Ok(Err(_)) | Err(_) => {
            web.around.counts.handshakes_failed_total.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn serve_one(stream: impl AsyncRead + AsyncWrite + Unpin + Send, app: Router) {
    let result = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEAD_LINES_MAX)
        .keep_alive(true)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .await;
    if let Err(error) = result {
        tracing::debug!("review: a connection ended early: {error}");
    }
}

/// Says that there is no place, and waits a moment so that the sentence arrives before the connection is closed.
async fn turn_away(mut stream: TcpStream) {
    let body = r#"{"error":"too many connections to the review page; try again in a minute"}"#;
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncache-control: no-store\r\nretry-after: 60\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let told = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        let mut sent = [0; 1024];
        for _ in 0..64 {
            if stream.read(&mut sent).await? == 0 {
                break;
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // Whoever does not take the sentence goes without.
    let _told = tokio::time::timeout(Duration::from_secs(1), told).await;
}
