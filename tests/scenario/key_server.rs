//! The database key from a server on the network: asked at each start, in no file of the box, and said so.

use sekisho_tests::site::{Site, fetched};
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

const KEY: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00112233445566778899aabbccddeeff0";
const OTHER: &str = "1111111111111111111111111111111111111111111111111111111111111111";

/// A key server on this machine: gives what it is told to next, and the last answer again and again. Without the right
/// token it answers 401.
struct KeyServer {
    url: String,
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    asked: Arc<Mutex<u32>>,
}

impl KeyServer {
    fn start(token: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/keys/box-7", listener.local_addr().expect("an address"));
        let (answers, asked) = (Arc::<Mutex<VecDeque<(u16, String)>>>::default(), Arc::<Mutex<u32>>::default());
        let (held, count, wanted) = (answers.clone(), asked.clone(), format!("authorization: bearer {token}"));
        std::thread::Builder::new()
            .spawn(move || {
                for stream in listener.incoming().flatten() {
                    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                    let head: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
                    let let_in = head.iter().any(|line| line.eq_ignore_ascii_case(&wanted));
                    let mut answers = held.lock().expect("answers");
                    let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
                    let (status, body) =
                        if let_in { next.unwrap_or((404, String::new())) } else { (401, String::new()) };
                    *count.lock().expect("count") += 1;
                    let length = body.len();
                    let _sent = write!(&stream, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
                }
            })
            .expect("a thread");
        Self { url, answers, asked }
    }

    fn answer(&self, answers: &[(u16, &str)]) {
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        *self.answers.lock().expect("answers") = answers;
    }
}

fn anywhere(folder: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).expect("a folder").flatten().any(|entry| {
        let path = entry.path();
        let kind = entry.file_type().expect("a kind");
        kind.is_dir() && anywhere(&path, needle)
            || kind.is_file()
                && std::fs::read(&path).expect("readable").windows(needle.len()).any(|window| window == needle)
    })
}

#[test]
fn the_key_comes_from_the_server_at_each_start_and_lies_on_no_disk() {
    if fetched().is_none() {
        return;
    }
    let server = KeyServer::start("let-me-in");
    let mut site = Site::new();
    site.credential("key-token", "let-me-in");
    site.configure(&format!("[store]\nkey-url = \"{}\"\nkey-url-credential = \"key-token\"\n", server.url));
    server.answer(&[(503, "not yet"), (200, &format!("{KEY}\n"))]);
    let mut daemon = site.start();
    daemon.wait_ready();
    assert!(daemon.log().contains("503"), "the first try failed aloud: {}", daemon.log());
    let key = &daemon.get("/v1/status")["keys"]["database"];
    assert_eq!(key["from"], "network");
    assert!(daemon.stop(5).success());
    assert!(!site.path("state/store.key").exists(), "no key file was made");
    let raw = hex::decode(KEY).expect("hex");
    assert!(!anywhere(site.dir.path(), &raw) && !anywhere(site.dir.path(), KEY.as_bytes()), "the key lies on the disk");
    assert!(site.done(&["gallery", "list"]).contains("person"), "the command line asks as well");

    let refused = |why: &str| {
        let out = site.cli(&["gallery", "list"]);
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(1), "{why}: {said}");
        assert!(said.lines().count() <= 3 && !said.contains(KEY) && !said.contains(OTHER), "{why}: {said}");
        said
    };
    server.answer(&[(200, OTHER)]);
    assert!(refused("another key").contains("key"), "the wrong key opens nothing");
    server.answer(&[(200, "<html>log in first</html>")]);
    assert!(refused("no key").contains("not a key"));
    server.answer(&[(200, &"0f".repeat(4000))]);
    assert!(refused("too long").contains("longer than a key"));
    server.answer(&[(403, "")]);
    let before = *server.asked.lock().expect("count");
    assert!(refused("not allowed").contains("403"));
    assert_eq!(*server.asked.lock().expect("count"), before + 1, "a refusal is not asked again");
    site.credential("key-token", "somebody else");
    assert!(refused("wrong token").contains("401"));
}

#[test]
fn an_address_that_would_send_the_key_readably_is_refused() {
    let mut site = Site::new();
    site.configure("[store]\nkey-url = \"http://keys.example/box\"\n");
    let out = site.cli(&["check-config"]);
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2));
    assert!(said.contains("would send the key readably") && said.contains("https://"), "{said}");
}
