//! With no sinks configured nothing leaves the box: the daemon runs in a network namespace of its own in which every address
//! leads to the loopback interface, so that whatever it would send anywhere, also a look-up of a name, is counted there.

use sekisho_tests::site::{Daemon, Site, fetched};
use std::process::Command;

/// Prepares the namespace and becomes the program it is given. Exits with 99 when the machine does not permit it.
const INSIDE: &str =
    "ip link set lo up && ip addr add 10.77.0.1/24 dev lo && ip route add default dev lo || exit 99; exec \"$@\"";

fn wrapper() -> Vec<&'static str> {
    let user = if rustix::process::getuid().is_root() { "-n" } else { "-rn" };
    vec!["unshare", user, "sh", "-c", INSIDE, "sh"]
}

/// Packets sent on any interface of the namespace the process is in.
fn packets_sent(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).expect("the process runs");
    let sent = text.lines().skip(2).filter_map(|line| line.split_whitespace().nth(10)?.parse::<u64>().ok());
    sent.sum()
}

/// Sockets of the namespace that could reach a network: every table of `/proc/PID/net` but Unix sockets.
fn sockets(pid: u32) -> Vec<String> {
    let mut found = Vec::new();
    for table in ["tcp", "tcp6", "udp", "udp6", "udplite", "raw", "raw6", "icmp", "packet"] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        found.extend(text.lines().skip(1).map(|line| format!("{table}: {line}")));
    }
    found
}

/// Whether namespaces are permitted here, and whether a packet sent in one is counted: a test that cannot fail shows nothing.
fn counts_packets() -> bool {
    let program = "exec 3>/dev/udp/203.0.113.9/9 && echo x >&3; cat /proc/net/dev";
    let mut words = wrapper().into_iter().chain(["bash", "-c", program]);
    let output = Command::new(words.next().unwrap_or_default()).args(words).output();
    let Ok(output) = output else { return false };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let sent = text.lines().skip(2).filter_map(|line| line.split_whitespace().nth(10)?.parse::<u64>().ok());
    output.status.success() && sent.sum::<u64>() > 0
}

fn tracks(daemon: &Daemon) -> u64 {
    let cameras = daemon.get("/v1/cameras");
    cameras["cameras"][0]["faces"].as_u64().unwrap_or(0)
}

#[test]
fn without_sinks_no_packet_leaves_the_daemon() {
    let Some(place) = fetched() else { return };
    let clip = place.join("demo/clips/gate.mp4");
    if !clip.exists() {
        eprintln!("SKIPPED: {} is absent; run deploy/setup", clip.display());
        return;
    }
    if !counts_packets() {
        eprintln!("SKIPPED: this machine permits no network namespaces, or counts no packets in them");
        return;
    }
    let mut site = Site::new();
    let photo = place.join("demo/photos/obama.jpg").display().to_string();
    let _said = site.enrol(&["ann-1", &photo, "--list", "watch"]);
    site.configure(&format!(
        "[cameras.gate]\nsource = {:?}\nrepeat = \"forever\"\nlists = [\"watch\"]\n",
        format!("file://{}", clip.display())
    ));
    let mut daemon = site.start_under(&wrapper(), &[]);
    daemon.wait_ready();
    let pid = daemon.pid();
    let before = packets_sent(pid);
    let mut seen = Vec::new();
    daemon.wait_until("faces and an alert", 120, |daemon| {
        seen.extend(sockets(pid));
        let alerts = daemon.get("/v1/alerts");
        tracks(daemon) > 0 && alerts["alerts"].as_array().is_some_and(|alerts| !alerts.is_empty())
    });
    seen.extend(sockets(pid));
    println!("packets sent: {before} before the watch, {} after an alert", packets_sent(pid));
    assert_eq!(seen, Vec::<String>::new(), "sockets that could reach a network");
    assert_eq!(packets_sent(pid), 0);
    assert!(daemon.stop(5).success());
}
