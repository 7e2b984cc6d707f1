//! What the running daemon says about itself, judged. Pure: two documents in, findings out.

use super::{Area, Finding, networks};
use crate::cmd::output::field;
use crate::config::Settings;
use serde_json::Value;

/// Faces that must have been seen before a camera's light is judged.
const FACES_MIN: u64 = 50;

/// The id of a daemon that does not run.
pub(super) const STOPPED: &str = "stopped";

/// The daemon does not answer.
pub(super) fn silent(settings: &Settings, said: &str) -> Finding {
    let socket = settings.daemon.socket.display().to_string();
    if said.contains("permission denied") || said.contains("may not do this") {
        let why = "you may not ask the daemon";
        return Finding::warning((Area::Daemon, "not-permitted"), socket, why).advise("run this with sudo");
    }
    if said.contains("no answer to") {
        let why = "it is there and does not answer within 10 s";
        return Finding::error((Area::Daemon, "hangs"), socket, why)
            .advise("`journalctl -u sekisho -n 50`, then `systemctl restart sekisho`");
    }
    if !said.contains("no daemon answers at") {
        let why = format!("something is there, and answers otherwise than it should: {}", said.replace('\n', " "));
        return Finding::error((Area::Daemon, "odd-answer"), socket, why)
            .advise("look again in a minute; `systemctl status sekisho`, `journalctl -u sekisho -n 50`");
    }
    Finding::error((Area::Daemon, STOPPED), socket, "the daemon does not run, so nothing is watched").advise(
        "`systemctl start sekisho`; if it ends again, `journalctl -u sekisho -n 50` says why (by hand: `sekisho run`)",
    )
}

/// Everything in status that somebody should hear of.
pub(super) fn all(settings: &Settings, status: &Value, cameras: &Value) -> Vec<Finding> {
    let mut found = daemon(status);
    found.extend(not_taken(settings, cameras));
    for camera in cameras["cameras"].as_array().into_iter().flatten() {
        found.push(self::camera(camera));
        found.extend(light(camera));
    }
    let sinks = status["sinks"].as_array();
    found.extend(sinks.into_iter().flatten().map(sink));
    if sinks.is_none_or(Vec::is_empty) {
        let none = Finding::notice(
            (Area::Sinks, "none"),
            "",
            "no sink is configured: alerts are seen on the review page only",
        );
        found.push(none.advise("[sinks.NAME] in the configuration; `sekisho setup` asks"));
    }
    for one in status["suspensions"].as_array().into_iter().flatten() {
        let (kind, subject) = (field(one, "kind"), field(one, "subject"));
        let said = format!(
            "suspended since {}: {} of {} alerts were rejected",
            field(one, "since"),
            field(one, "rejected"),
            field(one, "decided")
        );
        let finding = Finding::warning((Area::Daemon, "suspended"), format!("{kind} {subject}"), said);
        found.push(finding.advise(format!("see to the cause, then `sekisho alerts resume {kind} {subject}`")));
    }
    found.extend(provider(&status["models"]));
    found
}

fn daemon(status: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    let version = field(status, "version");
    let up = status["uptime-s"].as_u64().unwrap_or(0);
    match status["state"].as_str().unwrap_or_default() {
        "storage-failed" => {
            let said = format!(
                "the database cannot be written since {}: {}",
                field(&status["store"], "since"),
                field(&status["store"], "cause")
            );
            let finding = Finding::error((Area::Daemon, "storage-failed"), "", said);
            found.push(
                finding.advise("make room or mend the disk; alerts wait in memory and are saved without a restart"),
            );
        }
        "paused" => {
            let paused = &status["paused"];
            let said = format!(
                "matching is paused since {} by {}: {}",
                field(paused, "since"),
                field(paused, "by"),
                field(paused, "reason")
            );
            found.push(Finding::warning((Area::Daemon, "paused"), "", said).advise("`sekisho resume-matching`"));
        }
        "watching" => {
            let said = format!("sekisho {version} is watching, up {} h {} min", up / 3600, up / 60 % 60);
            found.push(Finding::ok((Area::Daemon, "running"), "", said));
        }
        other => found.push(Finding::warning((Area::Daemon, "state-unknown"), "", format!("it says {other:?}"))),
    }
    if version != env!("CARGO_PKG_VERSION") {
        let said = format!("sekisho {version} runs, but {} is installed", env!("CARGO_PKG_VERSION"));
        found.push(Finding::warning((Area::Daemon, "old-version"), "", said).advise("`systemctl restart sekisho`"));
    }
    let lost = status["store"]["events-dropped-total"].as_u64().unwrap_or(0);
    if lost > 0 {
        let said = format!("{lost} journal entries were lost since the start because the database refused too long");
        found.push(
            Finding::error((Area::Daemon, "events-lost"), "", said).advise("check the disk; `sekisho audit show`"),
        );
    }
    let late = status["faces-dropped-total"].as_u64().unwrap_or(0);
    if late > 0 {
        let said = format!("{late} faces were left out since the start: this machine is too slow for its cameras");
        let advice = "lower analysed-fps in [detect], or give it fewer or smaller streams";
        found.push(Finding::warning((Area::Daemon, "overloaded"), "", said).advise(advice));
    }
    found
}

fn camera(camera: &Value) -> Finding {
    let (name, state) = (field(camera, "name"), field(camera, "state"));
    let error = camera["last-error"].as_str().unwrap_or("no reason is known yet");
    let test = format!("`sekisho cameras test {name}`");
    let bad = |id, said: String, advice: String| Finding::error((Area::Cameras, id), &name, said).advise(advice);
    match state.as_str() {
        "streaming" => {
            let said = format!(
                "streaming, {}x{}, {} pictures a second",
                field(camera, "width"),
                field(camera, "height"),
                field(camera, "fps"),
            );
            Finding::ok((Area::Cameras, "streaming"), name, said)
        }
        "degraded" => {
            Finding::warning((Area::Cameras, "degraded"), &name, "sends fewer than half as many pictures as usual")
                .advise(format!("check network and camera; {test}"))
        }
        "connecting" => Finding::notice((Area::Cameras, "connecting"), &name, "connects at this moment")
            .advise("look again in a minute"),
        "stalled" => bad(
            "stalled",
            "its pictures stopped".into(),
            format!("restart the camera if it does not come back; {test}"),
        ),
        "backing-off" => bad("down", format!("down: {error}"), format!("check power, cable and address; {test}")),
        "auth-hold" => bad(
            "password-refused",
            error.to_owned(),
            "write the right user:password into its credential file, then `systemctl restart sekisho`".into(),
        ),
        "bad-config" => bad("refused", error.to_owned(), format!("mend the camera's settings or its section; {test}")),
        "ended" => Finding::notice((Area::Cameras, "ended"), name, "its clip is over"),
        other => bad("state-unknown", format!("it is {other}: {error}"), test),
    }
}

/// Cameras that are switched on in the configuration and that the daemon does not know.
fn not_taken(settings: &Settings, cameras: &Value) -> Vec<Finding> {
    // Without a list there is nothing to compare with.
    let Some(known) = cameras["cameras"].as_array() else { return Vec::new() };
    let known: Vec<_> = known.iter().filter_map(|camera| camera["name"].as_str()).collect();
    let enabled = settings.cameras.iter().filter(|(_, camera)| camera.enabled).map(|(id, _)| id.to_string());
    let missing = enabled.filter(|name| !known.contains(&name.as_str())).map(|name| {
        let finding = Finding::warning(
            (Area::Cameras, "not-taken"),
            name,
            "it is in the configuration, and the running daemon does not watch it",
        );
        finding.advise(
            "`systemctl reload sekisho`; where its credential is new `systemctl restart sekisho`; \
             if it stays, `journalctl -u sekisho -n 50` says why",
        )
    });
    missing.collect()
}

/// A camera most of whose faces are too dark or too bright sees nobody.
fn light(camera: &Value) -> Option<Finding> {
    let faces = camera["faces"].as_u64()?;
    let unfit = &camera["faces-unfit"];
    let exposure = unfit["exposure"].as_u64().unwrap_or(0);
    if faces < FACES_MIN {
        return None;
    }
    let name = field(camera, "name");
    if exposure * 2 > faces {
        let said = format!("{exposure} of {faces} faces were too dark, too bright or too flat to compare");
        let finding = Finding::warning((Area::Cameras, "dark"), &name, said);
        return Some(finding.advise(format!("more or other light; `sekisho cameras survey {name}` shows the hours")));
    }
    let small = unfit["too-small"].as_u64().unwrap_or(0);
    (small * 10 > faces * 9).then(|| {
        let said = format!("{small} of {faces} faces were too small to compare");
        let finding = Finding::warning((Area::Cameras, "faces-small"), &name, said);
        finding.advise(format!("a larger stream, a longer lens or a nearer place; `sekisho cameras survey {name}`"))
    })
}

fn sink(sink: &Value) -> Finding {
    let (name, state) = (field(sink, "name"), field(sink, "state"));
    let (pending, dead) = (sink["pending"].as_u64().unwrap_or(0), sink["dead"].as_u64().unwrap_or(0));
    let counts = format!("{pending} wait, {dead} given up");
    if !matches!(state.as_str(), "ok" | "starting") {
        let why = sink["last-error"].as_str().unwrap_or("`sekisho sinks list` shows the last error");
        let finding = Finding::error((Area::Sinks, "failing"), &name, format!("{state}: {why}; {counts}"));
        return finding.advise("mend the receiver or its section; events are kept and sent again by themselves");
    }
    if dead > 0 {
        let finding = Finding::warning((Area::Sinks, "given-up"), &name, format!("it gets through again; {counts}"));
        return finding.advise(format!("`sekisho sinks requeue {name}`"));
    }
    Finding::ok((Area::Sinks, "delivering"), name, format!("{state}; {counts}"))
}

/// What each network runs on. Whichever fell back to the processor says so in `fallback`, and why in `reason`.
fn provider(models: &Value) -> Vec<Finding> {
    let roles = ["detector", "embedder", "second"].map(|role| (role, &models[role]));
    let each = roles.into_iter().filter(|(_, its)| its.is_object()).map(|(role, its)| {
        let on = format!("{} by {}", field(its, "device"), field(its, "provider"));
        match its["fallback"].as_str() {
            Some(word) => networks::fallback(role, its["reason"].as_str().unwrap_or(word)),
            None => Finding::ok((Area::Provider, "in-use"), role, format!("runs on {on}")),
        }
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use serde_json::json;

    fn ids(found: &[Finding], least: Level) -> Vec<String> {
        let bad = found.iter().filter(|finding| finding.level >= least);
        bad.map(|finding| format!("{}/{}", finding.area.as_str(), finding.id)).collect()
    }

    fn well() -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"), "state": "watching", "uptime-s": 7260, "models": { "detector": { "device": "cpu", "provider": "cpu", "fallback": null } },
            "sinks": [{ "name": "log", "state": "ok", "pending": 0, "dead": 0 }],
            "store": { "state": "ok", "events-dropped-total": 0 }, "suspensions": [],
        })
    }

    fn site() -> Settings {
        let text = "[cameras.gate]\nsource = \"rtsp://192.0.2.1/x\"\n[cameras.shed]\nsource = \"rtsp://192.0.2.2/x\"\n\
                    [cameras.off]\nsource = \"rtsp://192.0.2.3/x\"\nenabled = false\n";
        crate::config::parse(std::path::Path::new("test.toml"), text).expect("valid")
    }

    #[test]
    fn only_a_socket_where_nobody_answers_means_that_the_daemon_does_not_run() {
        for (said, id) in [
            ("no daemon answers at /run/x (connection refused); start it", STOPPED),
            ("/run/x: permission denied; your user needs a group", "not-permitted"),
            ("user ann may not do this; status is for the groups named in [daemon] view-groups", "not-permitted"),
            ("/run/x: no answer to /v1/status within 10 s; see `systemctl status sekisho`", "hangs"),
            ("the daemon answered 503 Service Unavailable to /v1/status", "odd-answer"),
            ("/run/x: the connection to the daemon broke: broken pipe", "odd-answer"),
            ("/run/x: the answer to /v1/status is not JSON (expected value)", "odd-answer"),
        ] {
            let found = silent(&site(), said);
            assert_eq!(found.id, id, "{said}: {found:?}");
            assert!(found.id != "odd-answer" || found.said.contains(said), "{found:?}");
        }
    }

    #[test]
    fn a_camera_that_the_daemon_did_not_take_is_named() {
        let gate = json!({ "cameras": [{ "name": "gate", "state": "streaming" }] });
        let found = all(&site(), &well(), &gate);
        let taken: Vec<_> = found.iter().filter(|finding| finding.id == "not-taken").collect();
        assert!(taken.len() == 1 && taken[0].place == "shed" && taken[0].level == Level::Warning, "{found:?}");
        assert!(taken[0].advice.contains("reload") && taken[0].advice.contains("restart"), "{found:?}");
    }

    #[test]
    fn a_daemon_that_is_well_gives_no_reason_for_concern() {
        let cameras = json!({ "cameras": [{ "name": "gate", "state": "streaming", "faces": 900, "faces-unfit": { "exposure": 3 } }] });
        let found = all(&Settings::default(), &well(), &cameras);
        assert!(ids(&found, Level::Notice).is_empty(), "{found:?}");
        assert!(found.iter().any(|finding| finding.said.contains("up 2 h 1 min")), "{found:?}");
    }

    #[test]
    fn each_way_to_be_unwell_is_named_with_something_to_do() {
        let mut status = well();
        status["state"] = json!("storage-failed");
        status["store"] = json!({ "since": "x", "cause": "disk full", "events-dropped-total": 3 });
        status["version"] = json!("0.0.1");
        status["faces-dropped-total"] = json!(5);
        status["models"]["detector"]["fallback"] = json!("disagrees");
        status["suspensions"] =
            json!([{ "kind": "camera", "subject": "gate", "since": "x", "rejected": 4, "decided": 5 }]);
        status["sinks"] = json!([
            { "name": "desk", "state": "denied", "pending": 4, "dead": 0, "last-error": "401" },
            { "name": "late", "state": "ok", "pending": 0, "dead": 2 },
        ]);
        let states = ["stalled", "backing-off", "auth-hold", "bad-config", "degraded", "what"];
        let mut cameras: Vec<_> = states.iter().map(|state| json!({ "name": state, "state": state })).collect();
        cameras.push(json!({ "name": "dark", "state": "streaming", "faces": 100, "faces-unfit": { "exposure": 60 } }));
        cameras.push(json!({ "name": "far", "state": "streaming", "faces": 100, "faces-unfit": { "too-small": 95 } }));
        let found = all(&Settings::default(), &status, &json!({ "cameras": cameras }));
        let bad = ids(&found, Level::Warning);
        for id in [
            "daemon/storage-failed",
            "daemon/events-lost",
            "daemon/old-version",
            "daemon/overloaded",
            "daemon/suspended",
            "provider/fallback",
            "sinks/failing",
            "sinks/given-up",
            "cameras/stalled",
            "cameras/down",
            "cameras/password-refused",
            "cameras/refused",
            "cameras/degraded",
            "cameras/state-unknown",
            "cameras/dark",
            "cameras/faces-small",
        ] {
            assert!(bad.contains(&id.to_owned()), "{id} is missing: {bad:?}");
        }
        assert!(found.iter().all(|finding| finding.level <= Level::Notice || !finding.advice.is_empty()), "{found:?}");
    }

    #[test]
    fn a_status_of_another_release_is_borne() {
        for odd in [json!(null), json!({}), json!([]), json!({ "state": 5, "sinks": "x", "models": [] })] {
            assert!(!all(&site(), &odd, &odd).is_empty());
        }
    }
}
