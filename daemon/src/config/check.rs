//! Settings that are fine one by one and cannot be meant together.

use super::problem::Findings;
use super::settings::{CameraSettings, DeviceChoice, Motion, ProviderChoice, SecondChoice, Settings, SinkKind};
use super::sink_settings::SinkSettings;
use super::suggest::nearest;
use sekisho_camera::source::Source;
use sekisho_logic::id::{CameraId, ListId};
use sekisho_logic::policy::ConfirmBy;
use sekisho_vision::accelerator::{Device, Provider};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Notes every contradiction in `settings`.
pub(super) fn contradictions(settings: &Settings, findings: &mut Findings) {
    networks(settings, findings);
    quality_and_track(settings, findings);
    decide(settings, findings);
    lists(settings, findings);
    grounds(settings, findings);
    cameras_of_lists(settings, findings);
    for (id, camera) in &settings.cameras {
        pace(settings, id, camera, findings);
        known_lists(settings, &format!("cameras.{id}"), &camera.lists, findings);
    }
    super::privacy::contradictions(settings, findings);
    super::review::contradictions(settings, findings);
    for (name, sink) in &settings.sinks {
        self::sink(settings, &format!("sinks.{name}"), sink, findings);
    }
    shared_topics(settings, findings);
    shared_sources(settings, findings);
    shared_files(settings, findings);
}

fn networks(settings: &Settings, findings: &mut Findings) {
    let models = &settings.models;
    if models.second == SecondChoice::Named(models.embedder.clone()) {
        findings.contradiction(
            &[("models", "second"), ("models", "embedder")],
            format!("second and embedder are both \"{}\": a network always agrees with itself", models.embedder),
            "name another network, \"auto\", or \"none\" to confirm without a second one".to_owned(),
        );
    }
    let never = match (models.provider, models.device) {
        (ProviderChoice::Cpu, DeviceChoice::Named(device)) => (device != Device::Cpu).then_some(("cpu", device)),
        (ProviderChoice::Named(Provider::Qnn), DeviceChoice::Named(device)) => {
            (device != Device::Npu).then_some(("qnn", device))
        }
        _ => None,
    };
    if let Some((provider, device)) = never {
        findings.contradiction(
            &[("models", "provider"), ("models", "device")],
            format!("provider \"{provider}\" does not compute on device \"{}\"", device.as_str()),
            "leave one of the two out, or say \"auto\"".to_owned(),
        );
    }
}

fn quality_and_track(settings: &Settings, findings: &mut Findings) {
    let (quality, track) = (&settings.quality, &settings.track);
    if quality.brightness_min >= quality.brightness_max {
        let (min, max) = (quality.brightness_min, quality.brightness_max);
        findings.contradiction(
            &[("quality", "brightness-min"), ("quality", "brightness-max")],
            format!("brightness-min {min} is not below brightness-max {max}, so no face would ever be fit"),
            "brightness-min must be the smaller".to_owned(),
        );
    }
    if track.min_interval >= track.max_gap {
        findings.contradiction(
            &[("track", "min-interval-ms"), ("track", "max-gap-ms")],
            format!("min-interval-ms {} is not below max-gap-ms {}", ms(track.min_interval), ms(track.max_gap)),
            "a track would end before its second frame counts; min-interval-ms must be the smaller".to_owned(),
        );
    }
    if track.expires <= track.max_gap {
        findings.contradiction(
            &[("track", "expires-ms"), ("track", "max-gap-ms")],
            format!("expires-ms {} is not above max-gap-ms {}", ms(track.expires), ms(track.max_gap)),
            "a track must be given up after the tracker lost it, not before".to_owned(),
        );
    }
    if settings.detect.motion == Motion::Ignored && findings.is_written("detect", "full-frame-interval-ms") {
        findings.contradiction(
            &[("detect", "motion"), ("detect", "full-frame-interval-ms")],
            "motion = \"ignored\" looks at every whole frame, so full-frame-interval-ms has no effect".to_owned(),
            "leave one of the two out".to_owned(),
        );
    }
}

fn decide(settings: &Settings, findings: &mut Findings) {
    let (decide, track) = (&settings.decide, &settings.track);
    let both = ["target-fpir-per-mille", "false-candidates-per-camera-day"];
    if decide.per_camera_day.is_some() && both.iter().all(|key| findings.is_written("decide", key)) {
        findings.contradiction(
            &both.map(|key| ("decide", key)),
            "both say how many strangers may become a candidate".to_owned(),
            "leave one of the two out; the rate follows from the budget, or is given".to_owned(),
        );
    }
    if decide.not_enrolled_llr_max > decide.withdraw_llr_max {
        findings.contradiction(
            &[("decide", "not-enrolled-llr-max"), ("decide", "withdraw-llr-max")],
            format!(
                "not-enrolled-llr-max {} is above withdraw-llr-max {}: a candidate would stay although its frames say \
                 that the person is not enrolled",
                decide.not_enrolled_llr_max, decide.withdraw_llr_max
            ),
            "not-enrolled-llr-max must not be the greater".to_owned(),
        );
    }
    if decide.second.withdraw_llr_max > decide.second.agrees_llr_min {
        findings.contradiction(
            &[("decide", "second-withdraw-llr-max"), ("decide", "second-agrees-llr-min")],
            format!(
                "second-withdraw-llr-max {} is above second-agrees-llr-min {}: one answer would both agree and withdraw",
                decide.second.withdraw_llr_max, decide.second.agrees_llr_min
            ),
            "second-withdraw-llr-max must not be the greater".to_owned(),
        );
    }
    if decide.visit_gap < track.expires {
        findings.contradiction(
            &[("decide", "visit-gap-s"), ("track", "expires-ms")],
            format!(
                "a visit would end after {} s while its track lives {} ms",
                decide.visit_gap.as_secs(),
                ms(track.expires)
            ),
            "visit-gap-s must not be shorter than expires-ms, or one person alerts twice".to_owned(),
        );
    }
}

fn lists(settings: &Settings, findings: &mut Findings) {
    let everywhere = settings.lists.iter().map(|(id, list)| (format!("lists.{id}"), &list.rules));
    let at = settings
        .lists
        .iter()
        .flat_map(|(id, list)| list.at.iter().map(move |(camera, rules)| (format!("lists.{id}.at.{camera}"), rules)));
    for (section, rules) in everywhere.chain(at) {
        if rules.confirm == ConfirmBy::Machine && findings.is_written(&section, "vote-expires-s") {
            findings.contradiction(
                &[(&section, "confirm"), (&section, "vote-expires-s")],
                "confirm = \"machine\" asks for no votes, so vote-expires-s has no effect".to_owned(),
                "leave vote-expires-s out, or set confirm to \"human\" or \"two-person\"".to_owned(),
            );
        }
    }
}

/// A list's own span must be one that an enrolment may ask for.
fn grounds(settings: &Settings, findings: &mut Findings) {
    let max = settings.enrol.expires_days_max;
    for (id, list) in &settings.lists {
        if let Some(days) = list.grounds.expires_days.filter(|days| *days > max) {
            findings.contradiction(
                &[(&format!("lists.{id}"), "expires-days"), ("enrol", "expires-days-max")],
                format!("expires-days {days} is more than expires-days-max {max}, so nobody could be enrolled with it"),
                "expires-days-max must be the greater".to_owned(),
            );
        }
    }
}

/// A section for a camera that is not there, or that the camera never asks for, is a slip of the pen.
fn cameras_of_lists(settings: &Settings, findings: &mut Findings) {
    for (id, list) in &settings.lists {
        for camera in list.at.keys() {
            let section = format!("lists.{id}.at.{camera}");
            let (wrong, hint) = match settings.cameras.get(camera) {
                None => (
                    format!("there is no camera {camera}"),
                    nearest(camera.as_str(), settings.cameras.keys().map(CameraId::as_str)).map_or_else(
                        || "write a section [cameras.NAME] for it, or remove this one".to_owned(),
                        |word| format!("did you mean \"{word}\"?"),
                    ),
                ),
                Some(its) if !its.lists.contains(id) => (
                    format!("camera {camera} does not look for people on list {id}"),
                    format!("add \"{id}\" to the camera's lists, or remove this section"),
                ),
                Some(_) => continue,
            };
            findings.contradiction(&[(&section, "")], wrong, hint);
        }
    }
}

/// What a camera's frame rate makes impossible.
fn pace(settings: &Settings, id: &CameraId, camera: &CameraSettings, findings: &mut Findings) {
    let section = format!("cameras.{id}");
    // Blame falls on the camera's own rate when it has one, else on the general one.
    let own = findings.is_written(&section, "analysed-fps");
    let rate = (if own { section.as_str() } else { "detect" }, "analysed-fps");
    let frame = Duration::from_secs_f64(1.0 / camera.analysed_fps);
    let rate_text = format!("at analysed-fps {} a frame is due every {} ms", camera.analysed_fps, ms(frame));
    if camera.stall < frame * 3 {
        findings.contradiction(
            &[(&section, "stall-ms"), rate],
            format!("{rate_text}, so stall-ms {} would take a healthy camera down", ms(camera.stall)),
            format!("stall-ms must be at least three frames, {} ms", ms(frame * 3)),
        );
    }
    if settings.track.max_gap < frame * 2 {
        findings.contradiction(
            &[("track", "max-gap-ms"), rate],
            format!("{rate_text}, so max-gap-ms {} ends every track at one missed frame", ms(settings.track.max_gap)),
            format!("max-gap-ms must be at least two frames, {} ms", ms(frame * 2)),
        );
    }
    let first_look = settings.decide.confirm_looks.first().copied().unwrap_or(1);
    let needed = frame.max(settings.track.min_interval) * first_look;
    if settings.decide.candidate_expires < needed {
        findings.contradiction(
            &[
                ("decide", "candidate-expires-s"),
                ("decide", "confirm-looks-frames"),
                ("track", "min-interval-ms"),
                rate,
            ],
            format!(
                "candidates end after {} s, but {first_look} confirming frames take {} ms on camera {id}",
                settings.decide.candidate_expires.as_secs(),
                ms(needed)
            ),
            "nothing could ever be confirmed; make candidate-expires-s longer".to_owned(),
        );
    }
}

fn known_lists(settings: &Settings, section: &str, lists: &[ListId], findings: &mut Findings) {
    let names = || settings.lists.keys().map(ListId::as_str);
    for list in lists.iter().filter(|list| !settings.lists.contains_key(list)) {
        let hint = match nearest(list.as_str(), names()) {
            Some(word) => format!("did you mean \"{word}\"?"),
            None => format!(
                "the lists are {}; others are made by a section [lists.NAME]",
                names().collect::<Vec<_>>().join(", ")
            ),
        };
        findings.contradiction(&[(section, "lists")], format!("there is no list \"{list}\""), hint);
    }
}

fn sink(settings: &Settings, section: &str, sink: &SinkSettings, findings: &mut Findings) {
    known_lists(settings, section, &sink.filter.lists, findings);
    for camera in sink.filter.cameras.iter().filter(|camera| !settings.cameras.contains_key(camera)) {
        let names = || settings.cameras.keys().map(CameraId::as_str);
        let hint = match nearest(camera.as_str(), names()) {
            Some(word) => format!("did you mean \"{word}\"?"),
            None => format!("the cameras are {}", names().collect::<Vec<_>>().join(", ")),
        };
        findings.contradiction(&[(section, "cameras")], format!("there is no camera \"{camera}\""), hint);
    }
    if sink.retry.first > sink.retry.max {
        findings.contradiction(
            &[(section, "retry-first-ms"), (section, "retry-max-s")],
            format!(
                "the first wait, {} ms, is longer than the longest, {} s",
                ms(sink.retry.first),
                sink.retry.max.as_secs()
            ),
            "retry-first-ms must be the smaller".to_owned(),
        );
    }
    if let SinkKind::Webhook(webhook) = &sink.kind
        && webhook.token_credential.is_some()
        && !webhook.url.tls()
        && !webhook.url.is_loopback()
    {
        findings.contradiction(
            &[(section, "url"), (section, "token-credential")],
            "the token would go over the network for everybody to read".to_owned(),
            "use https://, or secret-credential, which signs without being sent".to_owned(),
        );
    }
}

/// Two sinks under one prefix at one broker call each other offline and clear each other's topics.
fn shared_topics(settings: &Settings, findings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for (name, sink) in &settings.sinks {
        let SinkKind::Mqtt(mqtt) = &sink.kind else { continue };
        let place = (mqtt.broker.host(), mqtt.broker.port(), mqtt.topic_prefix.as_str());
        if let Some(other) = seen.insert(place, name) {
            findings.contradiction(
                &[(&format!("sinks.{other}"), "topic-prefix"), (&format!("sinks.{name}"), "topic-prefix")],
                format!("sinks {other} and {name} use the same topics at the same broker"),
                "give each its own topic-prefix, or make one sink of them".to_owned(),
            );
        }
    }
}

/// Two connections to one camera cost it twice the bandwidth and make every person alert twice. A clip may be played
/// by several, as a load test does.
fn shared_sources(settings: &Settings, findings: &mut Findings) {
    let mut seen = BTreeMap::new();
    for (id, camera) in settings.cameras.iter().filter(|(_, camera)| camera.enabled) {
        let Source::Rtsp { url, .. } = &camera.source else { continue };
        // Scheme and host are in lower case already; the default port may be written or not.
        let path = url.as_str().splitn(4, '/').nth(3).unwrap_or_default();
        if let Some(other) = seen.insert((url.host().to_owned(), url.port(), path.to_owned()), id) {
            findings.contradiction(
                &[(&format!("cameras.{other}"), "source"), (&format!("cameras.{id}"), "source")],
                format!("cameras {other} and {id} have the same source"),
                "give each its own address, or remove one".to_owned(),
            );
        }
    }
}

/// Two writers in one file destroy each other's work.
fn shared_files(settings: &Settings, findings: &mut Findings) {
    let own = "store".to_owned();
    let mut files: Vec<(&Path, String, &str)> = vec![
        (&settings.store.database, "daemon".to_owned(), "state-dir"),
        (&settings.store.key_file, own.clone(), "key-file"),
        (&settings.store.audit_key_file, own, "audit-key-file"),
        (&settings.daemon.socket, "daemon".to_owned(), "socket"),
    ];
    for (name, sink) in &settings.sinks {
        if let SinkKind::EventLog(log) = &sink.kind {
            files.push((&log.path, format!("sinks.{name}"), "path"));
        }
    }
    for (count, (path, section, key)) in files.iter().enumerate() {
        for (_, other_section, other_key) in files[..count].iter().filter(|(other, ..)| other == path) {
            findings.contradiction(
                &[(other_section, other_key), (section, key)],
                format!("[{other_section}] {other_key} and [{section}] {key} lead to one file, {}", path.display()),
                "each needs a file of its own".to_owned(),
            );
        }
    }
}

fn ms(span: Duration) -> u128 {
    span.as_millis()
}
