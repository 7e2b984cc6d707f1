//! A provider that lies, crashes, hangs, or does so only later: a real daemon starts, watches on the processor and says why.
//! The provider is real OpenVINO behind a shim that misbehaves on demand.

use sekisho_tests::shim::{Shim, provider};
use sekisho_tests::site::{Daemon, Site, fetched, shared};
use serde_json::{Value, json};

/// A site whose provider does as it is told, at whatever pace.
fn site(models: &str) -> Option<(Site, Shim)> {
    fetched()?;
    let mut site = Site::new();
    let shim = Shim::install(&mut site, &format!("provider-speedup-min = 0.0\n{models}"))?;
    Some((site, shim))
}

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
    let models = networks(&daemon);
    assert_eq!(trials(&daemon), 4, "a changed library is tried again");
    for role in ["detector", "embedder"] {
        assert_eq!(models[role]["provider"], "openvino", "{models}");
        assert!(models[role]["trial"]["agreement"].is_object(), "{models}");
    }
    assert_eq!(models["second"]["provider"], "cpu", "{models}");
    assert!(daemon.stop(15).success());
}

#[test]
fn who_crashes_or_hangs_at_load_does_so_in_a_child_and_the_daemon_watches_on() {
    for (behaviour, word, said) in
        [("crash-at-load", "crashed", "signal 6"), ("hang-at-load", "hung", "did not end within 3 s")]
    {
        let Some((site, shim)) = site("provider-trial-s = 3\n") else { return };
        shim.behave(behaviour);
        let daemon = started(&site);
        falls_back(&site, &daemon, word, said);
        assert!(daemon.stop(15).success());
        let daemon = started(&site);
        falls_back(&site, &daemon, word, said);
        assert_eq!(trials(&daemon), 2, "{behaviour}: the verdict is remembered");
        assert!(daemon.stop(15).success());
    }
}

#[test]
fn who_takes_the_daemon_with_it_three_times_is_left_out_and_the_restarts_end() {
    let Some((site, shim)) = site("") else { return };
    let daemon = started(&site);
    assert_eq!(networks(&daemon)["embedder"]["provider"], "openvino", "{}", daemon.log());
    assert!(daemon.stop(15).success());
    shim.behave("crash");
    for _ in 0..3 {
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
    let daemon = started(&site);
    falls_back(&site, &daemon, "unstable", "out of order 3 times");
    assert!(daemon.stop(15).success());
    let daemon = started(&site);
    falls_back(&site, &daemon, "unstable", "out of order 3 times");
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
