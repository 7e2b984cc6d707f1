//! A browser as far as the review page can tell: connections, cookies, and the headers browsers set. And everything a
//! hostile client may send instead.

use crate::site::{Daemon, Site};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

/// The password of every reviewer these tests make.
pub const PASSWORD: &str = "correct horse battery";

/// Makes a reviewer.
///
/// # Panics
/// When the program refuses.
pub fn reviewer(site: &Site, name: &str, role: &str, more: &[&str]) {
    let file = site.path("password");
    std::fs::write(&file, PASSWORD).expect("a writable folder");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("own file");
    let file = file.display().to_string();
    let args = [&["reviewers", "add", name, "--role", role, "--password-file", &file], more].concat();
    let said = site.done(&args);
    assert!(said.contains(name) && !said.contains(PASSWORD), "{said}");
}

/// Where the page is, as status says.
///
/// # Panics
/// When it is not served within some seconds.
#[must_use]
pub fn address(daemon: &mut Daemon) -> SocketAddr {
    let found =
        |daemon: &Daemon| daemon.get("/v1/status")["review"]["address"].as_str().and_then(|text| text.parse().ok());
    daemon.wait_until("the review page", 10, |daemon| found(daemon).is_some());
    found(daemon).expect("just seen")
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// From the bytes of a whole answer.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|word| word.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.unwrap_or(0),
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
            body: bytes.get(end + 4..).unwrap_or_default().to_vec(),
        }
    }
}

/// Both kinds of connection.
pub trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// A browser.
#[derive(Clone)]
pub struct Browser {
    /// Where it connects to.
    pub address: SocketAddr,
    /// The host it names.
    pub host: String,
    /// The address it comes from, where it matters.
    pub from: Option<Ipv4Addr>,
    /// How it checks certificates; `None`: it speaks plain HTTP.
    pub tls: Option<Arc<ClientConfig>>,
    /// Its cookies.
    pub cookies: BTreeMap<String, String>,
    /// What changes must carry.
    pub csrf: String,
}

impl Browser {
    /// A fresh one.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            host: address.to_string(),
            from: None,
            tls: None,
            cookies: BTreeMap::new(),
            csrf: String::new(),
        }
    }

    /// One that somebody logged in with.
    ///
    /// # Panics
    /// When the log-in is refused.
    #[must_use]
    pub fn logged_in(address: SocketAddr, name: &str) -> Self {
        let mut browser = Self::new(address);
        let answer = browser.log_in(name, PASSWORD);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        browser
    }

    /// A connection from [`from`](Self::from).
    ///
    /// # Errors
    /// What the system said.
    pub fn connect(&self) -> std::io::Result<TcpStream> {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let stream = match (self.from, self.address) {
            (Some(from), SocketAddr::V4(to)) => {
                let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
                bind(&socket, &SocketAddr::new(IpAddr::V4(from), 0))?;
                connect(&socket, &SocketAddr::V4(to))?;
                TcpStream::from(socket)
            }
            _ => TcpStream::connect(self.address)?,
        };
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(stream)
    }

    /// A connection over which requests go, encrypted when this browser is.
    ///
    /// # Errors
    /// What the system or the handshake said.
    pub fn open(&self) -> std::io::Result<Box<dyn Stream>> {
        let stream = self.connect()?;
        let Some(config) = &self.tls else { return Ok(Box::new(stream)) };
        let name = self.host.rsplit_once(':').map_or(self.host.as_str(), |(name, _)| name).to_owned();
        let name = ServerName::try_from(name).map_err(std::io::Error::other)?;
        let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(std::io::Error::other)?;
        let mut stream = stream;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(Box::new(StreamOwned::new(connection, stream)))
    }

    /// Sends bytes as they are and reads until the other end closes.
    ///
    /// # Errors
    /// What the system said.
    pub fn raw(&self, bytes: &[u8]) -> std::io::Result<Answer> {
        let mut stream = self.open()?;
        stream.write_all(bytes)?;
        stream.flush()?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            // A server that closes without TLS's farewell is heard all the same.
            Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof && answer.is_empty() => return Err(error),
            _ => {}
        }
        Ok(Answer::parse(&answer))
    }

    fn origin(&self) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.host)
    }

    /// The head of a request as this browser sends it, with `more` lines.
    #[must_use]
    pub fn head(&self, method: &str, path: &str, more: &[(&str, &str)]) -> String {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nsec-fetch-site: same-origin\r\n", self.host);
        if !cookies.is_empty() {
            head.push_str(&format!("cookie: {}\r\n", cookies.join("; ")));
        }
        for (name, value) in more {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head
    }

    /// One request on a connection of its own; takes the cookies it is given.
    ///
    /// # Panics
    /// When the connection breaks without an answer.
    pub fn send(&mut self, method: &str, path: &str, more: &[(&str, &str)], body: &str) -> Answer {
        let head = self.head(method, path, more);
        let request = format!("{head}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let answer = self.raw(request.as_bytes()).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        for (_, line) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let pair = line.split(';').next().and_then(|pair| pair.split_once('='));
            let (name, value) = pair.expect("a cookie is a pair");
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// GETs.
    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    /// POSTs JSON as the page does.
    pub fn post(&mut self, path: &str, body: &Value) -> Answer {
        let (origin, csrf) = (self.origin(), self.csrf.clone());
        let lines = [("content-type", "application/json"), ("origin", &*origin), ("x-sekisho-csrf", &*csrf)];
        self.send("POST", path, &lines, &body.to_string())
    }

    /// Logs in; keeps what the log-in gives.
    pub fn log_in(&mut self, name: &str, password: &str) -> Answer {
        self.enter("/api/login", &json!({ "name": name, "password": password }))
    }

    /// The same with a ticket.
    pub fn present(&mut self, ticket: &str) -> Answer {
        self.enter("/api/ticket", &json!({ "ticket": ticket }))
    }

    fn enter(&mut self, path: &str, body: &Value) -> Answer {
        let answer = self.post(path, body);
        if let Some(csrf) = answer.json()["csrf"].as_str() {
            csrf.clone_into(&mut self.csrf);
        }
        answer
    }

    /// Opens the event stream and reads its head.
    ///
    /// # Errors
    /// What the system said.
    pub fn listen(&self) -> std::io::Result<(u16, Events)> {
        let mut stream = self.open()?;
        stream.write_all(
            format!("{}accept: text/event-stream\r\n\r\n", self.head("GET", "/api/events", &[])).as_bytes(),
        )?;
        let mut events = Events { stream, pending: String::new() };
        let head = events.until("\r\n\r\n")?;
        Ok((Answer::parse(head.as_bytes()).status, events))
    }
}

/// An open event stream.
pub struct Events {
    stream: Box<dyn Stream>,
    pending: String,
}

impl Events {
    fn until(&mut self, mark: &str) -> std::io::Result<String> {
        loop {
            if let Some(end) = self.pending.find(mark) {
                let found = self.pending[..end + mark.len()].to_owned();
                self.pending.drain(..end + mark.len());
                return Ok(found);
            }
            let mut bytes = [0; 4096];
            let length = self.stream.read(&mut bytes)?;
            if length == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.pending.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
    }

    /// The next event: its name and its data.
    ///
    /// # Errors
    /// When the stream ends, or nothing comes for half a minute.
    pub fn next_event(&mut self) -> std::io::Result<(String, Value)> {
        loop {
            // A chunk's length stands between; it holds no line that begins like a field.
            let text = self.until("\n\n")?;
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            if let (Some(name), Some(data)) = (field("event:"), field("data:")) {
                return Ok((name.to_owned(), serde_json::from_str(data).unwrap_or_default()));
            }
        }
    }

    /// Whether the other end has closed, within the read's time limit.
    pub fn ended(&mut self) -> bool {
        loop {
            match self.until("\n\n") {
                Ok(_) => {}
                Err(error) => {
                    return error.kind() == std::io::ErrorKind::UnexpectedEof
                        || error.kind() == std::io::ErrorKind::ConnectionReset;
                }
            }
        }
    }
}
