//! The shell of a camera: answers RTSP requests with fixed words and shows nothing. For what a real server will not do:
//! refuse every password and count them, offer nothing but sound, speak something else.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What it answers.
#[derive(Clone, Debug)]
pub enum Manner {
    /// 401 to everything, with a digest challenge.
    RefuseEverybody,
    /// A description with these lines after the session's own.
    Describe(String),
    /// The greeting of a mail server, and then silence.
    Smtp,
}

/// A listening stub. Its threads end with their connections; the port stays open as long as the process.
#[derive(Debug)]
pub struct RtspStub {
    port: u16,
    with_password: Arc<AtomicU64>,
    heard: Arc<Mutex<String>>,
}

impl RtspStub {
    /// Listens on a free port of the loopback.
    ///
    /// # Errors
    /// When there is none.
    pub fn start(manner: Manner) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let stub = Self { port, with_password: Arc::default(), heard: Arc::default() };
        let (with_password, heard) = (stub.with_password.clone(), stub.heard.clone());
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (manner, with_password, heard) = (manner.clone(), with_password.clone(), heard.clone());
                std::thread::spawn(move || {
                    // A client that hangs up ends its conversation, nothing else.
                    let _over = converse(connection, &manner, &with_password, &heard);
                });
            }
        });
        Ok(stub)
    }

    /// The address of its only stream.
    #[must_use]
    pub fn url(&self) -> String {
        format!("rtsp://127.0.0.1:{}/stub", self.port)
    }

    /// Requests that presented a password.
    #[must_use]
    pub fn passwords_presented(&self) -> u64 {
        self.with_password.load(Ordering::Acquire)
    }

    /// Everything that was sent to it.
    #[must_use]
    pub fn heard(&self) -> String {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn converse(
    mut connection: TcpStream,
    manner: &Manner,
    with_password: &AtomicU64,
    heard: &Mutex<String>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    if matches!(manner, Manner::Smtp) {
        connection.write_all(b"220 mail.example ESMTP ready\r\n")?;
    }
    loop {
        let (mut request, mut line) = (String::new(), String::new());
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            request.push_str(&line);
        }
        heard.lock().unwrap_or_else(PoisonError::into_inner).push_str(&request);
        if request.contains("Authorization: ") {
            with_password.fetch_add(1, Ordering::AcqRel);
        }
        let sequence = request.lines().find_map(|line| line.strip_prefix("CSeq: ")).unwrap_or("0");
        let answer = match manner {
            Manner::Smtp => "500 5.5.1 unrecognized command\r\n".to_owned(),
            Manner::RefuseEverybody => format!(
                "RTSP/1.0 401 Unauthorized\r\nCSeq: {sequence}\r\n\
                 WWW-Authenticate: Digest realm=\"stub\", nonce=\"7f3a\"\r\n\r\n"
            ),
            Manner::Describe(_) if !request.starts_with("DESCRIBE") => {
                format!("RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY\r\n\r\n")
            }
            Manner::Describe(lines) => {
                let body = format!("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=stub\r\nt=0 0\r\n{lines}");
                format!(
                    "RTSP/1.0 200 OK\r\nCSeq: {sequence}\r\nContent-Type: application/sdp\r\n\
                     Content-Length: {}\r\n\r\n{body}",
                    body.len()
                )
            }
        };
        connection.write_all(answer.as_bytes())?;
    }
}
