//! The review page beyond this machine: encrypted always, with a certificate of its own making or the site's.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use sekisho_tests::browser::{Browser, PASSWORD, address, reviewer};
use sekisho_tests::planted::{self, Alert};
use sekisho_tests::site::{Daemon, Site, fetched};
use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A client that trusts the certificates in a file and nothing else.
fn trusting(file: &Path) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).expect("a PEM file") {
        roots.add(certificate.expect("a certificate")).expect("a usable one");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

fn started(site: &Site) -> (Daemon, SocketAddr) {
    let mut daemon = site.start();
    daemon.wait_ready();
    let at = address(&mut daemon);
    (daemon, SocketAddr::new([127, 0, 0, 1].into(), at.port()))
}

fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a writable folder");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("own file");
}

#[test]
fn a_page_for_the_network_makes_its_own_certificate_and_never_speaks_plainly() {
    if fetched().is_none() {
        return;
    }
    let mut site = Site::new();
    site.review("listen = \"0.0.0.0:0\"\nnames = [\"guard.example\"]");
    reviewer(&site, "sato", "reviewer", &[]);
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "ann-1", "uid:4711");
    planted::alert(&mut store, &Alert::of("a-1", 1));
    store.close().expect("closed");
    let (mut daemon, at) = started(&site);
    let tls = Some(trusting(&site.path("state/review-cert.pem")));
    for host in [format!("localhost:{}", at.port()), at.to_string(), format!("guard.example:{}", at.port())] {
        // The name configured is one only where the page is reached from elsewhere.
        let mut browser = Browser { tls: tls.clone(), host: host.clone(), ..Browser::new(at) };
        let answer = browser.log_in("sato", PASSWORD);
        assert_eq!(answer.status, 200, "{host}: {}", answer.text());
        let line = answer.header("set-cookie").expect("a cookie");
        assert!(
            line.starts_with("__Host-sekisho=") && line.ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure"),
            "{line}"
        );
        assert_eq!(browser.get("/api/alerts/a-1").json()["blind"], true);
        let (status, mut events) = browser.listen().expect("an event stream");
        assert_eq!(status, 200);
        if host.starts_with("guard") {
            let voted = browser.post("/api/alerts/a-1/votes", &json!({ "verdict": "confirm" }));
            assert_eq!(voted.json()["stage"], "confirmed", "{}", voted.text());
            assert_eq!(events.next_event().expect("an event").1["stage"], "confirmed");
        }
    }
    let mut plain = Browser::new(at).connect().expect("a connection");
    plain.write_all(format!("GET / HTTP/1.1\r\nhost: {at}\r\n\r\n").as_bytes()).expect("sent");
    let mut heard = Vec::new();
    let _closed = plain.read_to_end(&mut heard);
    assert!(!heard.starts_with(b"HTTP"), "{heard:?}");
    let elsewhere = Browser {
        tls: Some(trusting(&site.path("state/review-cert.pem"))),
        host: "evil.example".into(),
        ..Browser::new(at)
    };
    assert!(elsewhere.open().is_err(), "the certificate is for no such name");

    let printed = site.done(&["review", "--print"]);
    let fingerprint =
        printed.lines().find_map(|line| line.split("certificate: ").nth(1)).expect("a fingerprint").to_owned();
    assert!(fingerprint.len() == 95 && daemon.log().contains(&fingerprint), "{printed}");
    assert!(printed.starts_with(&format!("https://guard.example:{}/#ticket=", at.port())), "{printed}");

    // Handshakes that never come to an end cost a place for some seconds.
    let stalled: Vec<_> = (0..10).map(|_| Browser::new(at).connect().expect("a connection")).collect();
    let clients = |daemon: &Daemon| daemon.get("/v1/status")["review"]["clients"].as_u64();
    daemon.wait_until("ten stalled handshakes", 5, |daemon| clients(daemon) >= Some(10));
    daemon.wait_until("their end", 10, |daemon| clients(daemon) == Some(0));
    drop(stalled);
    assert!(daemon.get("/v1/status")["review"]["handshakes-failed-total"].as_u64() >= Some(10));
    assert!(daemon.stop(5).success());
    let (daemon, _) = started(&site);
    let again = site.done(&["review", "--print"]);
    assert!(again.contains(&fingerprint), "a restart keeps the certificate");
    assert!(daemon.stop(5).success());
}

/// A certificate authority and a certificate for `localhost` that it signed, as PEM: authority, chain, key.
fn issued() -> (String, String, String) {
    let mut authority = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "Test authority");
    let authority_key = rcgen::KeyPair::generate().expect("a key");
    let root = authority.self_signed(&authority_key).expect("a root");
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["localhost".into()]).expect("a name");
    let leaf = params.signed_by(&key, &issuer).expect("signed");
    (root.pem(), leaf.pem(), key.serialize_pem())
}

#[test]
fn the_sites_own_certificate_is_served_and_a_renewed_one_is_taken_up_by_a_reload() {
    if fetched().is_none() {
        return;
    }
    let mut site = Site::new();
    let (root, chain, key) = issued();
    std::fs::write(site.path("root.pem"), root).expect("a writable folder");
    write_private(&site.path("chain.pem"), &chain);
    site.credential("review-key", &key);
    site.review(&format!("listen = \"127.0.0.1:0\"\ncertificate = {:?}", site.path("chain.pem").display().to_string()));
    let (mut daemon, at) = started(&site);
    let host = format!("localhost:{}", at.port());
    let with = |root: &str| Browser { tls: Some(trusting(&site.path(root))), host: host.clone(), ..Browser::new(at) };
    assert_eq!(with("root.pem").get("/").status, 200);

    // Renewed, and broken the first time.
    let (root, chain, key) = issued();
    std::fs::write(site.path("root-2.pem"), root).expect("a writable folder");
    write_private(&site.path("chain.pem"), "nonsense");
    daemon.signal("HUP");
    daemon.wait_until("the refusal in the log", 5, |daemon| daemon.log().contains("the certificate in force stays"));
    assert_eq!(with("root.pem").get("/").status, 200);
    write_private(&site.path("chain.pem"), &chain);
    site.credential("review-key", &key);
    daemon.signal("HUP");
    daemon.wait_until("the renewal in the log", 5, |daemon| daemon.log().contains("the certificate was renewed"));
    assert_eq!(with("root-2.pem").get("/").status, 200);
    assert!(with("root.pem").open().is_err(), "the old one is not served any more");
    assert!(daemon.stop(5).success());
}

#[test]
fn plain_http_off_this_machine_is_refused_by_check_and_start() {
    if fetched().is_none() {
        return;
    }
    let mut site = Site::new();
    for listen in ["0.0.0.0:7788", "[::]:7788", "192.0.2.1:7788"] {
        site.review(&format!("listen = \"{listen}\"\ntls = \"off\""));
        for verb in ["check-config", "run"] {
            let refused = site.cli(&[verb]);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(2), "{verb}: {said}");
            assert!(said.contains("[review] tls") && said.contains("readably over the network"), "{verb}: {said}");
        }
    }
    // A certificate that cannot be used keeps the page away, and nothing else.
    site.review("listen = \"127.0.0.1:0\"\ncertificate = \"/nowhere/chain.pem\"\nkey-file = \"/nowhere/key.pem\"");
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("the failure", 10, |daemon| {
        daemon.get("/v1/status")["review"]["cause"].as_str().is_some_and(|cause| cause.contains("/nowhere/key.pem"))
    });
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(daemon.get("/v1/status")["state"], "watching");
    assert!(daemon.stop(5).success());
}
