//! Clients that behave badly: too many, too slow, too large, never reading. The daemon goes on answering.

use sekisho_tests::site::{Daemon, Site, fetched};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

fn started() -> Option<(Site, Daemon)> {
    fetched()?;
    let site = Site::new();
    let mut daemon = site.start();
    daemon.wait_ready();
    Some((site, daemon))
}

#[test]
fn every_path_answers_what_it_is_for() {
    let Some((site, daemon)) = started() else { return };
    let status = daemon.get("/v1/status");
    assert_eq!((&status["schema-version"], &status["state"]), (&1.into(), &"watching".into()));
    assert_eq!(daemon.get("/v1/gallery")["people"], 0);
    assert_eq!(daemon.get("/v1/cameras")["cameras"], serde_json::json!([]));
    assert_eq!(daemon.get("/v1/alerts")["alerts"], serde_json::json!([]));
    assert_eq!(daemon.request("GET", "/healthz", "").expect("an answer"), (200, "ok\n".into()));
    for (method, path, body, wanted) in [
        ("GET", "/v1/nothing", "", 404),
        ("GET", "/v1/alerts/no-such-alert", "", 404),
        ("GET", "/v1/alerts?stage=nonsense", "", 400),
        ("GET", "/v1/alerts?colour=red", "", 400),
        ("DELETE", "/v1/alerts", "", 405),
        ("POST", "/v1/alerts/no-such-alert/votes", "{\"verdict\":\"confirm\"}", 409),
        ("POST", "/v1/alerts/no-such-alert/votes", "{\"verdict\":\"maybe\"}", 422),
        ("POST", "/v1/alerts/no-such-alert/votes", "not json", 400),
    ] {
        let (status, said) = daemon.request(method, path, body).expect("an answer");
        assert_eq!(status, wanted, "{method} {path}: {said}");
    }
    let mode = std::fs::metadata(site.path("sekisho.sock")).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert!(daemon.stop(5).success());
}

#[test]
fn a_body_larger_than_the_limit_is_refused() {
    let Some((_site, daemon)) = started() else { return };
    let body = format!("{{\"verdict\":\"{}\"}}", "x".repeat(70_000));
    let answer = daemon.request("POST", "/v1/alerts/a/votes", &body);
    // The daemon may answer 413 or close while we still write; it must not take it.
    assert!(answer.is_err() || answer.is_ok_and(|(status, _)| status == 413 || status == 0));
    assert_eq!(daemon.get("/v1/status")["state"], "watching");
}

#[test]
fn clients_that_never_finish_or_never_read_cost_nobody_else_anything() {
    let Some((site, mut daemon)) = started() else { return };
    let connect = || UnixStream::connect(site.path("sekisho.sock")).expect("a connection");
    let mut slow: Vec<_> = (0..10).map(|_| connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost:").expect("half a request");
    }
    let mut deaf: Vec<_> = (0..10).map(|_| connect()).collect();
    for stream in &mut deaf {
        stream.write_all(b"GET /v1/events?tracks=yes HTTP/1.1\r\nhost: t\r\n\r\n").expect("a request");
    }
    for _ in 0..20 {
        assert_eq!(daemon.get("/v1/status")["state"], "watching");
    }
    let crowd: Vec<_> = (0..100).map(|_| connect()).collect();
    std::thread::sleep(Duration::from_millis(300));
    drop(crowd);
    daemon.wait_until("an answer after the crowd", 20, |daemon| {
        daemon.request("GET", "/v1/status", "").is_ok_and(|(status, _)| status == 200)
    });
    let clients = &daemon.get("/v1/status")["clients"];
    assert!(clients["shed-total"].as_u64().is_some_and(|shed| shed > 0), "{clients}");
    daemon.wait_until("the unfinished requests dropped", 20, |_| {
        slow.iter_mut().all(|stream| {
            let _set = stream.set_read_timeout(Some(Duration::from_millis(50)));
            matches!(stream.read(&mut [0; 512]), Ok(0)) || stream.write_all(b"x").is_err()
        })
    });
    assert!(daemon.stop(5).success(), "open event streams do not hold up the end");
}

#[test]
fn garbage_is_answered_or_dropped_and_nothing_breaks() {
    let Some((site, daemon)) = started() else { return };
    for garbage in [&b"\x00\x01\x02\xff\xfe"[..], b"GET", b"\r\n\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &[b'A'; 200_000]]
    {
        let mut stream = UnixStream::connect(site.path("sekisho.sock")).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a time-out");
        let _may_be_cut_off = stream.write_all(garbage);
        let _may_be_nothing = stream.read(&mut [0; 512]);
    }
    assert_eq!(daemon.get("/v1/status")["state"], "watching");
    assert!(daemon.stop(5).success());
}
