//! One question to a device over HTTP, against a deadline: whoever drips an answer or never ends it holds nobody for long.

use super::harmless;
use crate::clock::SystemClock;
use sekisho_logic::time::{Clock as _, Mono};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a question may take with its whole answer; the slowest cameras think for some seconds.
const CALL: Duration = Duration::from_secs(10);
/// How long a device may take for all its questions.
const DEVICE: Duration = Duration::from_secs(30);
/// Profiles of a camera with many are some 50 kB.
const ANSWER_BYTES_MAX: usize = 512 * 1024;

/// How long one device is waited for, from now on.
#[derive(Debug)]
pub struct Patience {
    clock: SystemClock,
    begun: Mono,
    call: Duration,
    device: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self::new(CALL, DEVICE)
    }
}

impl Patience {
    /// So long for each question, and so long for all of them.
    #[must_use]
    pub fn new(call: Duration, device: Duration) -> Self {
        let clock = SystemClock::start();
        let begun = clock.now().mono;
        Self { clock, begun, call, device }
    }

    /// For a question that is asked now.
    fn deadline(&self) -> Deadline<'_> {
        let (of_call, of_device) = (self.clock.now().mono.plus(self.call), self.begun.plus(self.device));
        let (end, limit) = if of_call < of_device { (of_call, self.call) } else { (of_device, self.device) };
        Deadline { clock: &self.clock, end, limit }
    }
}

struct Deadline<'p> {
    clock: &'p SystemClock,
    end: Mono,
    limit: Duration,
}

impl Deadline<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.end.since(self.clock.now().mono);
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// Posts `envelope` to `service`, which must be on `peer`: status code and body of the answer.
///
/// # Errors
/// One sentence.
pub(super) fn post(peer: IpAddr, service: &str, envelope: &str, patience: &Patience) -> Result<(u16, String), String> {
    let rest =
        service.strip_prefix("http://").ok_or_else(|| format!("{} is not asked: it is not http", harmless(service)))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') => {
            (host, port.parse().map_err(|_| "its port is no number".to_owned())?)
        }
        _ => (authority, 80_u16),
    };
    if host.trim_matches(['[', ']']).parse::<IpAddr>() != Ok(peer) {
        return Err(format!("{} is not asked: it is another machine than {peer}, which answered", harmless(authority)));
    }
    if path.contains(['\r', '\n', ' ']) {
        return Err("its address cannot be asked for".to_owned());
    }
    // HTTP/1.0: the answer comes in one piece.
    let request = format!(
        "POST /{path} HTTP/1.0\r\nHost: {authority}\r\nContent-Type: application/soap+xml; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{envelope}",
        envelope.len()
    );
    let deadline = patience.deadline();
    let bytes =
        exchange(SocketAddr::new(peer, port), request.as_bytes(), &deadline).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                format!("{peer} did not answer within {} s", deadline.limit.as_secs_f32())
            }
            _ => format!("{peer}: {error}"),
        })?;
    let answer = String::from_utf8_lossy(&bytes);
    let parts = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
        let code = head.split(' ').nth(1)?.parse().ok()?;
        Some((code, body.to_owned()))
    });
    parts.ok_or_else(|| "what answers does not speak HTTP".to_owned())
}

fn exchange(to: SocketAddr, request: &[u8], deadline: &Deadline<'_>) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&to, deadline.left()?)?;
    stream.set_write_timeout(Some(deadline.left()?))?;
    stream.write_all(request)?;
    let (mut bytes, mut piece) = (Vec::new(), [0_u8; 4096]);
    // Some devices keep the connection open though they were asked to close it.
    while bytes.len() < ANSWER_BYTES_MAX && !is_whole(&bytes) {
        stream.set_read_timeout(Some(deadline.left()?))?;
        match stream.read(&mut piece)? {
            0 => break,
            read => bytes.extend_from_slice(&piece[..read]),
        }
    }
    Ok(bytes)
}

/// Whether an answer that says its length is all there.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let length = headers.find(|(name, _)| name.trim().eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, value)| value.trim().parse::<usize>().ok());
    length.is_some_and(|length| bytes.len() - (end + 4) >= length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A device on the loopback that does `manner` with each connection.
    fn device(manner: impl Fn(&mut TcpStream) -> io::Result<()> + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let service = format!("http://{}/onvif", listener.local_addr().expect("bound"));
        std::thread::spawn(move || {
            let mut open = Vec::new();
            for mut stream in listener.incoming().flatten() {
                // Whoever asked has gone away.
                let _gone = manner(&mut stream);
                open.push(stream);
            }
        });
        service
    }

    fn asked(service: &str, patience: &Patience) -> Result<(u16, String), String> {
        post(IpAddr::from([127, 0, 0, 1]), service, "<question/>", patience)
    }

    #[test]
    fn an_answer_that_drips_is_not_waited_for_and_the_device_not_asked_for_ever() {
        let service = device(|stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            loop {
                std::thread::sleep(Duration::from_millis(20));
                stream.write_all(b"<")?;
            }
        });
        let patience = Patience::new(Duration::from_millis(250), Duration::from_millis(400));
        assert_eq!(asked(&service, &patience), Err("127.0.0.1 did not answer within 0.25 s".into()));
        assert_eq!(asked(&service, &patience), Err("127.0.0.1 did not answer within 0.4 s".into()));
        assert_eq!(asked(&service, &patience), Err("127.0.0.1 did not answer within 0.4 s".into()), "at once");
    }

    #[test]
    fn an_answer_that_is_complete_is_taken_though_the_connection_stays_open() {
        let service = device(|stream| {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nConnection: keep-alive\r\n\r\n<a/>")
        });
        assert_eq!(asked(&service, &Patience::default()), Ok((200, "<a/>".into())));
        let silent = device(|stream| stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n<a/>"));
        let patience = Patience::new(Duration::from_millis(100), Duration::from_secs(60));
        assert!(asked(&silent, &patience).is_err_and(|error| error.contains("did not answer within 0.1 s")));
    }
}
