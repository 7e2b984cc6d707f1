//! A provider that lies, crashes, hangs, or does so only later, and a daemon that is stopped or killed while it tries one: a
//! real daemon starts, watches on the processor and says why.
//! The provider is real OpenVINO behind a shim that misbehaves on demand.

use sekisho_tests::shim::{Shim, provider};
use sekisho_tests::site::{Daemon, Site, fetched, shared};
use serde_json::{Value, json};
use std::process::Command;

/// A site whose provider does as it is told, at whatever pace.
fn site(models: &str) -> Option<(Site, Shim)> {
    fetched()?;
    let mut site = Site::new();
    let shim = Shim::install(&mut site, &format!("{ANY_PACE}{models}"))?;
    Some((site, shim))
}

const ANY_PACE: &str = "provider-speedup-min = 0.0\n";

fn started(site: &Site) -> Daemon {
    let mut daemon = site.start();
    daemon.wait_told("READY=1", 3000);
    daemon
}

fn networks(daemon: &Daemon) -> Value {
    daemon.get("/v1/status")["models"].clone()
}

/// How often anything was tried so far, by the log of all starts.
fn trials(daemon: &Daemon) -> usize {
    daemon.log().matches("tried on cpu by openvino").count()
}

/// The daemon runs both networks on the processor for this reason, and status, metrics and audit trail say so.
fn falls_back(site: &Site, daemon: &Daemon, word: &str, said: &str) {
    let models = networks(daemon);
    for role in ["detector", "embedder"] {
        let its = &models[role];
        assert_eq!((&its["provider"], &its["fallback"]), (&json!("cpu"), &json!(word)), "{its}");
        assert!(its["reason"].as_str().is_some_and(|reason| reason.contains(said)), "{its}");
    }
    assert_eq!(models["device"], "cpu");
    let shown = site.done(&["status"]);
    assert!(shown.contains("ON CPU") && shown.contains(said), "{shown}");
    let (_, metrics) = daemon.request("GET", "/metrics", "").expect("metrics");
    assert!(metrics.contains("sekisho_network_fallback{role=\"detector\"} 1.0"), "{metrics}");
    assert!(daemon.log().contains("runs on the processor"), "{}", daemon.log());
    let told = &audited(site, "models-loaded")["embedder"];
    assert_eq!((&told["provider"], &told["fallback"]), (&json!("cpu"), &json!(word)), "{told}");
}

/// The detail of the last row of an action in the audit trail.
fn audited(site: &Site, action: &str) -> Value {
    let rows = site.done(&["audit", "show", "--action", action, "--limit", "1", "--json"]);
    let rows: Value = serde_json::from_str(&rows).expect("JSON");
    rows["rows"][0]["detail"].clone()
}

/// Both networks run on the provider.
fn on_openvino(daemon: &Daemon) {
    let models = networks(daemon);
    for role in ["detector", "embedder"] {
        assert_eq!(models[role]["provider"], "openvino", "{models}\n{}", daemon.log());
        assert!(models[role]["trial"]["agreement"].is_object(), "{models}");
    }
    assert_eq!(models["second"]["provider"], "cpu", "{models}");
}

/// Starts a daemon that its provider takes with it.
fn goes_down(site: &Site) {
    let mut daemon = site.start();
    let mut status = None;
    for _ in 0..1200 {
        status = daemon.child.try_wait().expect("own child");
        if status.is_some() {
            break;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
    assert!(status.is_some_and(|status| !status.success()), "it goes down with its provider:\n{}", daemon.log());
}

/// Starts a daemon whose provider hangs in its `nth` trial of the site; the process of the trial.
fn in_trial(site: &Site, nth: usize) -> (Daemon, String) {
    let mut daemon = site.start();
    let place = format!("/proc/{0}/task/{0}/children", daemon.pid());
    let child = || std::fs::read_to_string(&place).unwrap_or_default().trim().to_owned();
    daemon.wait_until("a trial", 60, |daemon| trials(daemon) == nth && !child().is_empty());
    let child = child();
    (daemon, child)
}

fn kill(signal: &str, processes: &[&str]) {
    let sent = Command::new("kill").arg(format!("-{signal}")).args(processes).status();
    assert!(sent.expect("kill(1)").success());
}

#[test]
fn a_liar_is_found_out_remembered_and_asked_again_only_when_its_library_changed() {
    let Some((site, shim)) = site("") else { return };
    shim.behave("lie");
    let daemon = started(&site);
    falls_back(&site, &daemon, "refused", "self-test");
    assert_eq!(trials(&daemon), 2, "each network once");
    assert!(daemon.stop(15).success());
    // Honest by now, but nobody asks: nothing that the verdict depends on has changed.
    shim.behave("");
    let daemon = started(&site);
    falls_back(&site, &daemon, "refused", "self-test");
    assert_eq!(trials(&daemon), 2, "the verdict is remembered");
    assert!(daemon.stop(15).success());
    shim.change();
    let daemon = started(&site);
    assert_eq!(trials(&daemon), 4, "a changed library is tried again");
    on_openvino(&daemon);
    assert!(daemon.stop(15).success());
    let mut daemon = site.start();
    daemon.wait_told("EXTEND_TIMEOUT_USEC=180000000", 3000);
    daemon.wait_told("READY=1", 3000);
    assert_eq!(trials(&daemon), 4, "the service manager is asked for time for a load too");
    assert!(daemon.stop(15).success());
}

#[test]
fn who_mixes_the_faces_of_a_batch_is_found_out() {
    let Some((site, shim)) = site("") else { return };
    shim.behave("mix-rows");
    let daemon = started(&site);
    let models = networks(&daemon);
    assert_eq!(models["detector"]["provider"], "openvino", "a detector looks at one picture at a time: {models}");
    assert_eq!(
        (&models["embedder"]["provider"], &models["embedder"]["fallback"]),
        (&json!("cpu"), &json!("disagrees"))
    );
    assert!(daemon.stop(15).success());
}

#[test]
fn who_crashes_or_hangs_does_so_in_a_child_and_the_daemon_watches_on() {
    for (behaviour, word, said) in [
        ("crash-at-load", "crashed", "signal 6"),
        ("hang-at-load", "hung", "did not end within 3 s"),
        ("hang", "hung", "did not end within 3 s"),
    ] {
        let Some((mut site, shim)) = site("provider-trial-s = 3\n") else { return };
        shim.behave(behaviour);
        let daemon = started(&site);
        falls_back(&site, &daemon, word, said);
        assert!(daemon.stop(15).success());
        let daemon = started(&site);
        falls_back(&site, &daemon, word, said);
        assert_eq!(trials(&daemon), 2, "{behaviour}: the verdict is remembered");
        assert!(daemon.stop(15).success());
        shim.behave("");
        Shim::configure(&mut site, ANY_PACE);
        let daemon = started(&site);
        // More time than it had asks anew who hung, and nobody else.
        match word {
            "hung" => on_openvino(&daemon),
            _ => falls_back(&site, &daemon, word, said),
        }
        assert!(daemon.stop(15).success());
    }
}

#[test]
fn who_takes_the_daemon_with_it_three_times_is_left_out_and_the_restarts_end() {
    let Some((site, shim)) = site("") else { return };
    let daemon = started(&site);
    on_openvino(&daemon);
    assert!(daemon.stop(15).success());
    shim.behave("crash");
    (0..3).for_each(|_| goes_down(&site));
    let daemon = started(&site);
    falls_back(&site, &daemon, "unstable", "out of order 3 times");
    assert!(daemon.stop(15).success());
    shim.behave("");
    let daemon = started(&site);
    falls_back(&site, &daemon, "unstable", "out of order 3 times");
    assert!(daemon.stop(15).success());
    let bench: Value = serde_json::from_str(&site.done(&["models", "bench", "--json"])).expect("JSON");
    for row in bench["networks"].as_array().expect("a list") {
        let processor = row["provider"] == "cpu";
        assert_eq!(row["chosen"], processor, "it agrees now, and the daemon remembers: {row}");
        assert_eq!(row["remembered"].as_str().is_some_and(|said| said.contains("unstable")), !processor, "{row}");
    }
}

#[test]
fn another_library_is_not_blamed_for_what_the_one_before_did() {
    let Some((site, shim)) = site("") else { return };
    assert!(started(&site).stop(15).success());
    shim.behave("crash");
    (0..3).for_each(|_| goes_down(&site));
    shim.behave("");
    shim.change();
    let daemon = started(&site);
    on_openvino(&daemon);
    assert!(daemon.stop(15).success());
}

#[test]
fn a_stop_in_the_middle_of_a_trial_is_obeyed_at_once_and_is_no_verdict() {
    let Some((site, shim)) = site("") else { return };
    shim.behave("hang-at-load");
    let (daemon, _) = in_trial(&site, 1);
    assert!(daemon.stop(15).success(), "a stop of the daemon alone");
    let (daemon, child) = in_trial(&site, 2);
    kill("TERM", &[&child, &daemon.pid().to_string()]);
    assert!(daemon.stop(15).success(), "a stop of both, as service managers do it");
    let (mut daemon, child) = in_trial(&site, 3);
    kill("TERM", &[&child]);
    daemon.wait_ready();
    falls_back(&site, &daemon, "postponed", "signal 15");
    assert_eq!(trials(&daemon), 3, "the second network is not tried then");
    assert!(daemon.stop(15).success());
    shim.behave("");
    let daemon = started(&site);
    assert_eq!(trials(&daemon), 5, "nothing was remembered");
    on_openvino(&daemon);
    assert!(daemon.stop(15).success());
}

#[test]
fn who_has_the_daemon_killed_in_three_trials_is_tried_no_more() {
    let Some((site, shim)) = site("") else { return };
    shim.behave("hang-at-load");
    for nth in 1..=3 {
        let (mut daemon, _) = in_trial(&site, nth);
        kill("KILL", &[&daemon.pid().to_string()]);
        let _reaped = daemon.child.wait();
    }
    let daemon = started(&site);
    falls_back(&site, &daemon, "unstable", "out of order 3 times");
    assert_eq!(trials(&daemon), 3);
    assert!(daemon.stop(15).success());
}

#[test]
fn what_is_remembered_and_damaged_is_asked_again_and_without_a_mark_nothing_is_used() {
    let Some((site, shim)) = site("") else { return };
    std::fs::create_dir(site.path("state")).expect("a fresh folder");
    std::fs::write(site.path("state/providers.json"), "{\"verdicts\": [{").expect("written");
    // Half lines that a library prints glue themselves to nothing.
    shim.behave("mutter");
    let daemon = started(&site);
    on_openvino(&daemon);
    assert!(daemon.log().contains("accelerators are tried again"), "{}", daemon.log());
    // Another daemon on the same folder is turned away before it touches the mark.
    let mark = || std::fs::read_to_string(site.path("state/provider.running")).expect("the mark of the one that runs");
    let before = mark();
    let said = site.cli(&["run"]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("another sekisho is running here"), "{said:?}");
    assert_eq!((before.starts_with("1 "), mark()), (true, before));
    assert!(daemon.stop(15).success());
    shim.behave("");
    std::fs::create_dir(site.path("state/provider.running")).expect("in the mark's place");
    let daemon = started(&site);
    falls_back(&site, &daemon, "postponed", "would not be noticed");
    assert!(daemon.stop(15).success());
    std::fs::remove_dir(site.path("state/provider.running")).expect("removed");
    let daemon = started(&site);
    on_openvino(&daemon);
    assert_eq!(trials(&daemon), 2, "each network once");
    assert!(daemon.stop(15).success());
}

#[test]
fn a_device_that_goes_away_while_the_daemon_runs_is_left_for_the_processor() {
    let Some((mut site, shim)) = site("") else { return };
    let Some(clip) = shared("data/clips/three-people-approach.mp4") else { return };
    let source = format!("file://{}", clip.canonicalize().expect("the clip").display());
    site.configure(&format!("[cameras.gate]\nsource = {source:?}\nlists = [\"watch\"]\nrepeat = \"forever\"\n"));
    let mut daemon = started(&site);
    let embedded = |daemon: &Daemon| {
        let (_, metrics) = daemon.request("GET", "/metrics", "").expect("metrics");
        let line = metrics.lines().find(|line| line.starts_with("sekisho_vision_calls_total{stage=\"detect\"}"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    daemon.wait_until("pictures looked at on OpenVINO", 60, |daemon| embedded(daemon) > 3.0);
    assert_eq!(networks(&daemon)["detector"]["provider"], "openvino");
    shim.behave("fail");
    daemon.wait_until("a fall to the processor", 60, |daemon| networks(daemon)["detector"]["fallback"] == "unstable");
    assert_eq!(networks(&daemon)["detector"]["provider"], "cpu");
    let before = embedded(&daemon);
    daemon.wait_until("pictures looked at on the processor", 60, |daemon| embedded(daemon) > before + 3.0);
    daemon.wait_until("the fall written down", 30, |daemon| daemon.log().contains("runs on the processor from now on"));
    daemon.wait_until("the fall in the audit trail", 30, |_| {
        let left = audited(&site, "accelerator-left");
        left["reason"].as_str().is_some_and(|why| why.contains("unstable: 3 runs one after the other failed"))
    });
    assert!(daemon.stop(15).success());
    shim.behave("");
    let daemon = started(&site);
    assert_eq!(networks(&daemon)["detector"]["fallback"], "unstable", "the next start does not try it again");
    assert!(daemon.stop(15).success());
}

#[test]
fn what_is_asked_for_and_not_installed_is_said_and_without_a_wish_nothing_is() {
    if fetched().is_none() {
        return;
    }
    let mut site = Site::new();
    let daemon = started(&site);
    assert_eq!(networks(&daemon)["detector"]["fallback"], Value::Null);
    assert!(!site.done(&["status"]).contains("ON CPU") && !daemon.log().contains("processor"), "{}", daemon.log());
    assert!(daemon.stop(15).success());
    let place = site.path("nothing").display().to_string();
    site.models(&format!("provider-dir = {place:?}\nprovider = \"openvino\"\n"));
    let daemon = started(&site);
    falls_back(&site, &daemon, "absent", "is not there");
    assert_eq!(trials(&daemon), 0);
    assert!(daemon.stop(15).success());
}

#[test]
fn an_option_that_the_provider_does_not_know_is_said_in_its_own_words() {
    if fetched().is_none() {
        return;
    }
    let Some(folder) = provider("openvino") else { return };
    let mut site = Site::new();
    let place = folder.parent().expect("a folder above").display().to_string();
    site.models(&format!(
        "provider-dir = {place:?}\nprovider = \"openvino\"\ndevice = \"cpu\"\nopenvino-options = [\"no_such_option=1\"]\n"
    ));
    let daemon = started(&site);
    falls_back(&site, &daemon, "refused", "no_such_option");
    assert!(daemon.stop(15).success());
}
