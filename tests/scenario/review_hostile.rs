//! What other pages, other people and broken clients may send to the review page. It answers shortly or not at all, and
//! nothing of it reaches anybody's log-in.

use sekisho_tests::browser::{Answer, Browser, PASSWORD, address, reviewer};
use sekisho_tests::planted::{self, Alert};
use sekisho_tests::site::{Daemon, Site, fetched};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

fn started(people: &[&str]) -> Option<(Site, Daemon, SocketAddr)> {
    fetched()?;
    let mut site = Site::new();
    site.review("listen = \"127.0.0.1:0\"");
    for name in people {
        reviewer(&site, name, "reviewer", &[]);
    }
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "ann-1", "uid:4711");
    planted::alert(&mut store, &Alert::of("a-1", 2));
    store.close().expect("closed");
    let mut daemon = site.start();
    daemon.wait_ready();
    let address = address(&mut daemon);
    Some((site, daemon, address))
}

fn untouched(daemon: &Daemon) {
    assert_eq!(daemon.get("/v1/status")["state"], "watching");
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

#[test]
fn a_change_without_its_own_value_or_from_another_page_changes_nothing() {
    let Some((site, daemon, address)) = started(&["sato", "ito"]) else { return };
    let (mut sato, ito) = (Browser::logged_in(address, "sato"), Browser::logged_in(address, "ito"));
    let origin = format!("http://{address}");
    let vote = json!({ "verdict": "confirm", "reason": null }).to_string();
    let mut cast = |lines: &[(&str, &str)]| {
        let lines = [&[("content-type", "application/json")], lines].concat();
        sato.send("POST", "/api/alerts/a-1/votes", &lines, &vote).status
    };
    assert_eq!(cast(&[("origin", &origin)]), 403, "without the value");
    assert_eq!(cast(&[("origin", &origin), ("x-sekisho-csrf", "")]), 403);
    assert_eq!(cast(&[("origin", &origin), ("x-sekisho-csrf", &"0".repeat(64))]), 403);
    assert_eq!(cast(&[("origin", &origin), ("x-sekisho-csrf", &ito.csrf)]), 403, "another log-in's value");
    let (own, mut looking) = (sato.csrf.clone(), sato.clone());
    let mut cast = |lines: &[(&str, &str)]| {
        let lines = [&[("content-type", "application/json"), ("x-sekisho-csrf", &*own)], lines].concat();
        sato.send("POST", "/api/alerts/a-1/votes", &lines, &vote).status
    };
    assert_eq!(cast(&[("origin", "https://evil.example")]), 403);
    assert_eq!(cast(&[("origin", "null")]), 403);
    let port = address.port();
    assert_eq!(
        cast(&[("origin", &format!("http://127.0.0.1:{}", port.wrapping_add(1)))]),
        403,
        "another port of this host"
    );
    assert_eq!(daemon.get("/v1/alerts/a-1")["stage"], "machine-confirmed");
    assert_eq!(looking.get("/api/alerts/a-1").json()["votes-cast"], 0);
    assert_eq!(cast(&[("origin", &origin)]), 200, "and the page's own is taken");

    // A log-in needs the page's word that it is the page; nobody is logged in as somebody else from elsewhere.
    let body = json!({ "name": "sato", "password": PASSWORD }).to_string();
    let kind = ("content-type", "application/json");
    let request = |lines: &str| {
        let head = format!(
            "POST /api/login HTTP/1.1\r\nhost: {address}\r\n{}: {}\r\n{lines}connection: close\r\n",
            kind.0, kind.1
        );
        let answer =
            Browser::new(address).raw(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes());
        answer.expect("an answer").status
    };
    assert_eq!(request(""), 403, "neither Origin nor Sec-Fetch-Site");
    assert_eq!(request("origin: http://evil.example\r\n"), 403);
    assert_eq!(request("sec-fetch-site: same-site\r\n"), 403);
    assert_eq!(request(&format!("origin: {origin}\r\nsec-fetch-site: cross-site\r\n")), 403);
    assert_eq!(request(&format!("origin: {origin}\r\n")), 200);
    let form = Browser::new(address).send("POST", "/api/login", &[("content-type", "text/plain")], &body);
    assert_eq!(form.status, 415, "what a form elsewhere could send");
    untouched(&daemon);
    assert!(daemon.stop(5).success());
    let rows = planted::store(&site).audit_entries(0, 1000).expect("the trail");
    let refused = rows.iter().filter(|row| row.action == "review-refused").count();
    assert!((1..=7).contains(&refused), "{refused} rows of refusals within a minute");
}

#[test]
fn a_name_that_is_not_ours_is_turned_away_whatever_it_points_to() {
    let Some((_site, daemon, address)) = started(&["sato"]) else { return };
    let sato = Browser::logged_in(address, "sato");
    let port = address.port();
    for host in [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        "10.0.0.1".into(),
    ] {
        let mut rebound = Browser { host: host.clone(), ..sato.clone() };
        for path in ["/", "/api/session", "/api/queue", "/assets/app.js"] {
            assert_eq!(rebound.get(path).status, 421, "{host}{path}");
        }
        assert_eq!(rebound.log_in("sato", PASSWORD).status, 421, "{host}");
    }
    for host in [format!("localhost:{port}"), "localhost:9999".into(), "127.0.0.1".into(), format!("[::1]:{port}")] {
        assert_eq!(
            Browser { host: host.clone(), ..sato.clone() }.get("/api/session").status,
            200,
            "{host}, as through a tunnel"
        );
    }
    let raw = |text: String| sato.raw(text.as_bytes()).map_or(0, |answer| answer.status);
    assert_eq!(raw("GET / HTTP/1.1\r\nconnection: close\r\n\r\n".into()), 400, "no host");
    assert_eq!(raw("GET / HTTP/1.0\r\n\r\n".into()), 400, "no host");
    let two = format!("GET / HTTP/1.1\r\nhost: {address}\r\nhost: evil.example\r\nconnection: close\r\n\r\n");
    assert_eq!(raw(two), 400, "two hosts");
    let absolute = format!("GET http://evil.example/ HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    assert_eq!(raw(absolute), 400, "another one in the address line");
    let mut linked = sato.clone();
    let from_elsewhere =
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let open = |path: &str| {
        let lines: String = from_elsewhere.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        raw(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{lines}connection: close\r\n\r\n"))
    };
    assert_eq!(
        (open("/"), open("/api/session")),
        (200, 403),
        "a link to the page opens it; what is behind it is not linked to"
    );
    assert_eq!(linked.get("/api/session").status, 200);
    untouched(&daemon);
    assert!(daemon.stop(5).success());
}

#[test]
fn every_answer_tells_browsers_to_keep_everything_out() {
    let Some((_site, daemon, address)) = started(&["sato"]) else { return };
    let mut sato = Browser::logged_in(address, "sato");
    for path in [
        "/",
        "/assets/app.js",
        "/assets/words-ja.json",
        "/assets/none",
        "/api/session",
        "/api/queue",
        "/nowhere",
        "/api/alerts/a-1/pictures/1",
    ] {
        let answer = sato.get(path);
        let csp = answer.header("content-security-policy").unwrap_or_default();
        assert!(
            csp.starts_with("default-src 'none'; script-src 'self';") && csp.ends_with("frame-ancestors 'none'"),
            "{path}: {csp}"
        );
        for (name, wanted) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(wanted), "{path}");
        }
        let wanted =
            if (path == "/" || path.starts_with("/assets")) && answer.status == 200 { "no-cache" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), Some(wanted), "{path}");
    }
    let page = sato.get("/");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let tag = page.header("etag").expect("a tag").to_owned();
    assert_eq!(sato.send("GET", "/", &[("if-none-match", &tag)], "").status, 304);
    let page = page.text();
    for name in page.split(['"', '\'']).filter(|word| word.starts_with("/assets/")) {
        assert_eq!(sato.get(name).status, 200, "the page needs {name}");
    }
    assert!(daemon.stop(5).success());
}

#[test]
fn odd_methods_paths_and_garbage_get_short_answers() {
    let Some((_site, daemon, address)) = started(&["sato"]) else { return };
    let mut sato = Browser::logged_in(address, "sato");
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "CONNECT", "BREW"] {
        for path in ["/", "/api/queue", "/api/alerts/a-1/votes", "/api/login"] {
            let status = sato.send(method, path, &[], "").status;
            assert!([400, 403, 404, 405].contains(&status), "{method} {path}: {status}");
        }
    }
    assert_eq!(sato.send("HEAD", "/", &[], "").status, 200);
    assert_eq!(sato.send("GET", "/api/login", &[], "").status, 405);
    assert_eq!(sato.post("/api/queue", &json!({})).status, 405);
    for path in [
        "/assets/../Cargo.toml",
        "/assets/..%2f..%2fCargo.toml",
        "/assets/%2e%2e/%2e%2e/etc/passwd",
        "/assets//etc/passwd",
        "/assets/app.js%00.css",
        "/..",
        "//",
        "/api",
        "/api/",
        "/API/queue",
        "/api/queue/",
        "/assets/",
        "/v1/status",
        "/metrics",
    ] {
        let answer = sato.get(path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.json()["error"].is_string(), "{path}: {}", answer.text());
    }
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET",
        b"\r\n\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0xff; 100_000],
    ] {
        let mut stream = sato.connect().expect("a connection");
        stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a time-out");
        let _may_be_cut_off = stream.write_all(garbage);
        let _may_be_nothing = stream.read(&mut [0; 512]);
    }
    for body in [
        "",
        "null",
        "[]",
        "{\"name\":1}",
        "{\"name\":\"sato\"}",
        "{\"name\":\"sato\",\"password\":\"x\",\"more\":1}",
        "{",
        "\u{0}",
    ] {
        let answer = sato.send("POST", "/api/login", &[("content-type", "application/json")], body);
        assert!(answer.status == 400 && answer.json()["error"].is_string(), "{body:?}: {}", answer.text());
    }
    untouched(&daemon);
    assert!(daemon.stop(5).success());
}

#[test]
fn what_is_too_large_or_too_slow_is_cut_off_and_costs_nobody_else_anything() {
    let Some((_site, mut daemon, address)) = started(&["sato"]) else { return };
    let mut sato = Browser::logged_in(address, "sato");
    let raw = |text: String| sato.raw(text.as_bytes()).unwrap_or_default();
    let large = raw(format!("GET / HTTP/1.1\r\nhost: {address}\r\nx: {}\r\n\r\n", "x".repeat(70_000)));
    assert!([0, 431].contains(&large.status), "{}", large.status);
    let many: String = (0..500).map(|n| format!("x{n}: 1\r\n")).collect();
    let many = raw(format!("GET / HTTP/1.1\r\nhost: {address}\r\n{many}\r\n"));
    assert!([0, 431].contains(&many.status), "{}", many.status);
    let body = json!({ "name": "sato", "password": "x".repeat(17 * 1024) });
    let answer = Browser::new(address).post("/api/login", &body);
    assert_eq!(answer.status, 413, "{}", answer.text());
    let told = raw(format!("{}content-length: 100000000\r\n\r\nx", sato.head("POST", "/api/logout", &[])));
    assert!([0, 408, 413].contains(&told.status), "{}", told.status);

    // Heads and bodies that never end, one byte at a time.
    let mut slow: Vec<_> = (0..20).map(|_| sato.connect().expect("a connection")).collect();
    for (n, stream) in slow.iter_mut().enumerate() {
        let head = if n % 2 == 0 {
            "GET / HTTP/1.1\r\nhost:".to_owned()
        } else {
            format!("{}content-length: 100\r\n\r\n{{", sato.head("POST", "/api/logout", &[]))
        };
        stream.write_all(head.as_bytes()).expect("half a request");
        stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a time-out");
    }
    for _ in 0..5 {
        assert_eq!(sato.get("/api/session").status, 200);
    }
    daemon.wait_until("the unfinished requests dropped", 30, |_| {
        slow.retain_mut(|stream| {
            let _dripping = stream.write_all(b"x");
            let mut bytes = [0; 4096];
            loop {
                match stream.read(&mut bytes) {
                    Ok(0) => return false,
                    Ok(_) => {}
                    Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
                }
            }
        });
        slow.is_empty()
    });
    daemon.wait_until("their places free", 5, |daemon| daemon.get("/v1/status")["review"]["clients"] == 0);
    untouched(&daemon);
    assert!(daemon.stop(5).success());
}

/// Guesses as fast as they are answered until told to stop; gives the answers.
fn guess(mut browser: Browser, name: &str, rounds: usize) -> Vec<Answer> {
    (0..rounds).map(|n| browser.log_in(name, &format!("guess number {n}"))).collect()
}

#[test]
fn guessing_is_slow_leaves_few_traces_and_keeps_no_reviewer_out() {
    let Some((site, daemon, address)) = started(&["sato", "ito"]) else { return };
    // Sato has logged in from this machine before; Ito has not, and comes from another address than the guesser.
    let mut sato = Browser::logged_in(address, "sato");
    let at = |last| Browser { from: Some(Ipv4Addr::new(127, 0, 0, last)), ..Browser::new(address) };
    let memory_before = daemon.get("/v1/status")["memory-bytes"].as_u64().expect("a number");
    let guessers: Vec<_> = [("sato", 1), ("sato", 66), ("ito", 66), ("nobody", 66)]
        .into_iter()
        .map(|(name, last)| {
            let browser = at(last);
            std::thread::spawn(move || guess(browser, name, 150))
        })
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(
        sato.log_in("sato", PASSWORD).status,
        200,
        "a browser that was here before, from the guesser's own address"
    );
    assert_eq!(at(77).log_in("ito", PASSWORD).status, 200, "an address without failures");
    let answers: Vec<_> = guessers.into_iter().flat_map(|thread| thread.join().expect("guessed")).collect();
    let of = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    let (tried, turned_away) = (of(401), of(429));
    println!("{} guesses: {tried} were checked, {turned_away} were told to wait", answers.len());
    assert_eq!(tried + turned_away, answers.len());
    assert!((6..=40).contains(&tried), "{tried} guesses of {} were checked", answers.len());
    let waits = answers.iter().filter(|answer| answer.status == 429);
    let told = |answer: &Answer| {
        let wait = answer.header("retry-after").and_then(|text| text.parse::<u64>().ok());
        wait.is_some_and(|wait| wait >= 1) && answer.json()["retry-after-s"].as_u64() == wait
    };
    assert!(waits.into_iter().all(told));
    let ticket = site.done(&["review", "--print"]);
    let ticket = ticket.lines().next().and_then(|line| line.split_once('=')).expect("a ticket").1.to_owned();
    assert_eq!(at(66).present(&ticket).status, 200, "the socket's word goes past every wait");
    let memory = daemon.get("/v1/status")["memory-bytes"].as_u64().expect("a number");
    assert!(memory < memory_before + 64 * 1024 * 1024, "{memory_before} -> {memory}");
    untouched(&daemon);
    assert!(daemon.stop(5).success());
    let rows = planted::store(&site).audit_entries(0, 10_000).expect("the trail");
    let refused = rows.iter().filter(|row| row.action == "review-refused").count();
    assert!((1..=24).contains(&refused), "{refused} rows for {} guesses", answers.len());
    assert!(rows.iter().all(|row| !row.detail.contains("guess") && !row.actor.contains("nobody")));
}

#[test]
fn votes_faster_than_anybody_looks_are_not_taken() {
    let Some((_site, daemon, address)) = started(&["sato"]) else { return };
    let mut sato = Browser::logged_in(address, "sato");
    let statuses: Vec<u16> = (0..40)
        .map(|n| sato.post(&format!("/api/alerts/none-{n}/votes"), &json!({ "verdict": "confirm" })).status)
        .collect();
    assert_eq!(statuses.iter().filter(|status| **status == 404).count() / 30, 1, "{statuses:?}");
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    assert!(daemon.stop(5).success());
}
