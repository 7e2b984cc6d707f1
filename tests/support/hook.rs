//! An HTTP receiver as sites have them: takes events, checks signatures, tells repeats by their id, and misbehaves on
//! request.

use crate::certificates::Certificates;
use ring::hmac;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How one request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manner {
    /// With 200, and the connection is kept.
    Take,
    /// With 200, and the connection is closed without a word of warning.
    TakeAndClose,
    /// With 200, twice.
    TakeTwice,
    /// With 200 and a body that breaks off.
    TakeAndBreakOff,
    /// With 200 and a body without end.
    TakeAndGoOn,
    /// With this status and this line as a header.
    Say(u16, &'static str),
    /// With 200 after so long.
    Dawdle(Duration),
    /// Not at all: the connection is closed when the request is read.
    Drop,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Head fields, names in lower case.
    pub head: BTreeMap<String, String>,
    /// The body.
    pub body: String,
    /// The body as JSON.
    pub event: Value,
    /// Whether the signature is that of the secret; `None` without one.
    pub signed: Option<bool>,
    /// How it was answered.
    pub manner: Manner,
}

impl Received {
    /// The event's id, as its header says.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.head["idempotency-key"]
    }
}

#[derive(Default)]
struct Board {
    /// Requests, in order; bodies are kept only on request.
    requests: Vec<Received>,
    /// Ids in the order in which they were first taken.
    taken: Vec<String>,
    known: BTreeSet<String>,
    repeats: u64,
    bad_signatures: u64,
    connections: u64,
    next: VecDeque<Manner>,
    usual: Option<Manner>,
    by_id: BTreeMap<String, Manner>,
    secret: Option<hmac::Key>,
    forgets: bool,
}

/// A receiver on a port of this machine. Stops when dropped.
pub struct Hook {
    address: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    board: Arc<Mutex<Board>>,
    stop: Arc<AtomicBool>,
}

impl Hook {
    /// Listens on a free port.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn start(secret: Option<&str>) -> Self {
        Self::start_at("127.0.0.1:0", secret, None)
    }

    /// Listens on `address`, with TLS when certificates are given.
    ///
    /// # Panics
    /// When the address is taken.
    #[must_use]
    pub fn start_at(address: &str, secret: Option<&str>, certificates: Option<&Certificates>) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let board = Board {
            secret: secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())),
            ..Board::default()
        };
        let hook = Self {
            address,
            tls: certificates.map(|certificates| Arc::new(server_config(certificates))),
            board: Arc::new(Mutex::new(board)),
            stop: Arc::default(),
        };
        let (board, tls, stop) = (Arc::clone(&hook.board), hook.tls.clone(), Arc::clone(&hook.stop));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                lock(&board).connections += 1;
                let (board, tls) = (Arc::clone(&board), tls.clone());
                std::thread::spawn(move || talk(stream, tls, &board));
            }
        });
        hook
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}/hooks/sekisho?site=1", if self.tls.is_some() { "https" } else { "http" }, self.address)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Answers the next requests so, one each, and then as usual.
    pub fn next(&self, manners: impl IntoIterator<Item = Manner>) {
        lock(&self.board).next.extend(manners);
    }

    /// Answers every request so from now on.
    pub fn usually(&self, manner: Manner) {
        lock(&self.board).usual = Some(manner);
    }

    /// Always answers requests with this event so.
    pub fn about(&self, id: &str, manner: Manner) {
        lock(&self.board).by_id.insert(id.to_owned(), manner);
    }

    /// Keeps counts and ids only from now on, for tests that look at memory.
    pub fn forget_requests(&self) {
        lock(&self.board).forgets = true;
    }

    /// Requests so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        lock(&self.board).requests.clone()
    }

    /// Ids of the events it has, in the order in which they came first.
    #[must_use]
    pub fn taken(&self) -> Vec<String> {
        lock(&self.board).taken.clone()
    }

    /// Events that came again after they were taken, requests whose signature is wrong, and connections.
    #[must_use]
    pub fn counts(&self) -> (u64, u64, u64) {
        let board = lock(&self.board);
        (board.repeats, board.bad_signatures, board.connections)
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _woken = TcpStream::connect(self.address);
    }
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

fn server_config(certificates: &Certificates) -> ServerConfig {
    let chain = CertificateDer::pem_file_iter(&certificates.server).expect("a file").collect::<Result<_, _>>();
    let key = PrivateKeyDer::from_pem_file(&certificates.server_key).expect("a key");
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain.expect("a chain"), key)
        .expect("a certificate with its key")
}

fn talk(stream: TcpStream, tls: Option<Arc<ServerConfig>>, board: &Mutex<Board>) {
    let _set = stream.set_nodelay(true);
    match tls {
        None => {
            let Ok(write) = stream.try_clone() else { return };
            serve(BufReader::new(stream), write, board);
        }
        Some(config) => {
            let Ok(connection) = ServerConnection::new(config) else { return };
            let shared = Shared(Arc::new(Mutex::new(StreamOwned::new(connection, stream))));
            serve(BufReader::new(shared.clone()), shared, board);
        }
    }
}

/// One TLS stream for reading and writing; requests and answers take turns.
#[derive(Clone)]
struct Shared(Arc<Mutex<StreamOwned<ServerConnection, TcpStream>>>);

impl Read for Shared {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read(bytes)
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}

trait Close: Write {
    fn close(&mut self);
}

impl Close for TcpStream {
    fn close(&mut self) {
        let _gone = self.shutdown(Shutdown::Both);
    }
}

impl Close for Shared {
    fn close(&mut self) {
        let _gone = self.0.lock().unwrap_or_else(PoisonError::into_inner).sock.shutdown(Shutdown::Both);
    }
}

/// Answers requests until the connection ends.
fn serve(mut read: impl BufRead, mut write: impl Close, board: &Mutex<Board>) {
    while let Some((head, body)) = request(&mut read) {
        let manner = note(board, head, &body);
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let kept = match manner {
            Manner::Take => write.write_all(ok.as_bytes()).is_ok(),
            Manner::TakeTwice => write.write_all(format!("{ok}{ok}").as_bytes()).is_ok(),
            Manner::TakeAndClose => write.write_all(ok.as_bytes()).is_err(),
            Manner::TakeAndBreakOff => write.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\nha").is_err(),
            Manner::TakeAndGoOn => {
                let begun = write.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n");
                while begun.is_ok() && write.write_all(&[b'x'; 65_536]).is_ok() {}
                false
            }
            Manner::Say(status, line) => {
                let answer = format!(
                    "HTTP/1.1 {status} So\r\ncontent-length: 4\r\n{line}{}\r\nno!!",
                    if line.is_empty() { "" } else { "\r\n" }
                );
                write.write_all(answer.as_bytes()).is_ok()
            }
            Manner::Dawdle(time) => {
                std::thread::sleep(time);
                write.write_all(ok.as_bytes()).is_ok()
            }
            Manner::Drop => false,
        };
        if !kept {
            return write.close();
        }
    }
}

/// Reads one request; `None` at the end of the connection, or when it is no request of ours.
fn request(read: &mut impl BufRead) -> Option<(BTreeMap<String, String>, Vec<u8>)> {
    let mut head = BTreeMap::new();
    let mut line = String::new();
    read.read_line(&mut line).ok().filter(|count| *count > 0)?;
    head.insert(":line".to_owned(), line.trim_end().to_owned());
    loop {
        line.clear();
        read.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        head.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; head.get("content-length")?.parse().ok()?];
    read.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// Notes a request and says how it is to be answered.
fn note(board: &Mutex<Board>, head: BTreeMap<String, String>, body: &[u8]) -> Manner {
    let mut board = lock(board);
    let id = head.get("idempotency-key").cloned().unwrap_or_default();
    let signed = board
        .secret
        .as_ref()
        .map(|key| head.get("sekisho-signature").is_some_and(|header| is_signed(key, header, body)));
    board.bad_signatures += u64::from(signed == Some(false));
    let usual = board.usual.clone().unwrap_or(Manner::Take);
    let manner = board.by_id.get(&id).cloned().or_else(|| board.next.pop_front()).unwrap_or(usual);
    let takes = !matches!(manner, Manner::Say(..) | Manner::Drop);
    if takes {
        if board.known.insert(id.clone()) {
            board.taken.push(id);
        } else {
            board.repeats += 1;
        }
    }
    if !board.forgets {
        let text = String::from_utf8_lossy(body).into_owned();
        let event = serde_json::from_str(&text).unwrap_or(Value::Null);
        board.requests.push(Received { head, body: text, event, signed, manner: manner.clone() });
    }
    manner
}

/// As the manual tells receivers to check: the HMAC over time and body, `t=...,v1=...`.
fn is_signed(key: &hmac::Key, header: &str, body: &[u8]) -> bool {
    let field = |name: &str| header.split(',').find_map(|part| part.strip_prefix(name));
    let (Some(time), Some(mac)) = (field("t="), field("v1=").and_then(|mac| hex::decode(mac).ok())) else {
        return false;
    };
    let signed = [time.as_bytes(), b".", body].concat();
    hmac::verify(key, &signed, &mac).is_ok()
}
