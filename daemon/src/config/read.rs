//! What the file may say: every section, every key, its bounds and its default.

use super::endpoint::{Endpoint, HTTP};
use super::problem::Findings;
use super::raw::{Raw, RawTable, kind, shown};
use super::reader::{ABSOLUTE_PATH, Reader, absolute_path};
use super::settings::{
    DaemonSettings, DecideSettings, DetectSettings, DeviceChoice, DriftSettings, EnrolSettings, EvidenceSettings,
    KeyServer, LogLevel, Mode, ModelSettings, Motion, OnDrift, Pictures, ProviderChoice, QualitySettings, SecondChoice,
    SecondPolicy, Settings, ShadowSettings, StillFaces, StoreSettings, TrackSettings,
};
use super::suggest::nearest;
use super::{credentials, lists, named, privacy, review, sinks};
use crate::local_time;
use sekisho_vision::accelerator::{Device, Provider};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What a key server's address may be.
const KEY_URLS: &str = "allowed is https://HOST[:PORT]/PATH, http:// only to this machine itself, or \"\"; a token belongs into key-url-credential";

/// The sections, in the order of the shipped file. The last three hold named sections.
const SECTIONS: [&str; 17] = [
    "daemon",
    "models",
    "store",
    "detect",
    "quality",
    "track",
    "decide",
    "evidence",
    "retention",
    "privacy",
    "shadow",
    "drift",
    "review",
    "enrol",
    "lists",
    "cameras",
    "sinks",
];

/// `sun_path` of a Unix socket address holds 108 bytes with its final zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Reads every section. Whatever is wrong goes to `findings` and its default stands in.
pub(super) fn settings(raw: &Raw<'_>, findings: &mut Findings) -> Settings {
    unknown_sections(raw, findings);
    let daemon = read(raw, findings, "daemon", daemon);
    let detect = read(raw, findings, "detect", detect);
    let decide = read(raw, findings, "decide", decide);
    let privacy = read(raw, findings, "privacy", privacy::privacy);
    let lists = lists::lists(raw, findings, privacy.profile);
    Settings {
        models: read(raw, findings, "models", models),
        store: read(raw, findings, "store", |reader| store(reader, &daemon)),
        quality: read(raw, findings, "quality", quality),
        track: read(raw, findings, "track", track),
        evidence: read(raw, findings, "evidence", evidence),
        retention: read(raw, findings, "retention", privacy::retention),
        shadow: read(raw, findings, "shadow", shadow),
        drift: read(raw, findings, "drift", drift),
        review: read(raw, findings, "review", review::review),
        enrol: read(raw, findings, "enrol", enrol),
        cameras: named::cameras(raw, findings, &detect, decide.mode),
        sinks: sinks::sinks(raw, findings),
        daemon,
        detect,
        decide,
        privacy,
        lists,
    }
}

fn unknown_sections(raw: &Raw<'_>, findings: &mut Findings) {
    for (name, value) in &raw.root {
        let (text, line) = (name.get_ref().as_ref(), raw.line(&name.span()));
        if SECTIONS.contains(&text) {
            continue;
        }
        let (section, key) =
            if value.get_ref().is_table() { (shown(text), "".into()) } else { ("".into(), shown(text)) };
        let wrong = if key.is_empty() { "this section is not known" } else { "stands before the first [section]" };
        let hint = match nearest(text, SECTIONS) {
            Some(word) => format!("did you mean [{word}]?"),
            None => format!("the sections are {}", SECTIONS.join(", ")),
        };
        findings.problem((line, &section, &key), wrong, hint);
    }
}

/// The table under `name` at the top of the file.
pub(super) fn table<'r, 't>(
    raw: &'r Raw<'t>,
    findings: &mut Findings,
    name: &str,
) -> (usize, Option<&'r RawTable<'t>>) {
    let Some((key, value)) = raw.root.get_key_value(name) else { return (1, None) };
    let line = raw.line(&key.span());
    let table = value.get_ref().as_table();
    if table.is_none() {
        let wrong = format!("is {}", kind(value.get_ref()));
        findings.problem((line, name, ""), wrong, format!("it must be a section: [{name}]"));
    }
    (line, table)
}

fn read<T>(
    raw: &Raw<'_>,
    findings: &mut Findings,
    name: &'static str,
    body: impl FnOnce(&mut Reader<'_, '_>) -> T,
) -> T {
    let (line, table) = table(raw, findings, name);
    let mut reader = Reader::new(raw, findings, (name, name), line, table);
    let value = body(&mut reader);
    reader.finish();
    value
}

fn daemon(reader: &mut Reader<'_, '_>) -> DaemonSettings {
    let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
    let state_dir = reader.path("state-dir", "/var/lib/sekisho");
    let socket = "/run/sekisho/sekisho.sock";
    let found = reader.checked("socket", Some(socket), "allowed is an absolute path of at most 107 bytes", |text| {
        let path = absolute_path(text)?;
        if text.len() > SOCKET_PATH_BYTES_MAX { Err("is too long for a socket".to_owned()) } else { Ok(path) }
    });
    DaemonSettings {
        state_dir,
        socket: found.unwrap_or_else(|| PathBuf::from(socket)),
        credentials_dir: reader.path("credentials-dir", "/etc/sekisho/credentials"),
        // 64 workers are beyond any box this is meant for; more is a slip of the finger and costs memory for sessions.
        vision_workers: reader.number_or_word("vision-workers", (1, 64), "auto"),
        log_level: reader.choice("log-level", &levels.map(|level| (level.as_str(), level)), LogLevel::Info),
        view_groups: reader.words("view-groups", &["sekisho"], GROUPS, group),
        review_groups: reader.words("review-groups", &["sekisho-review"], GROUPS, group),
        admin_groups: reader.words("admin-groups", &["sekisho-admin"], GROUPS, group),
        dpo_groups: reader.words("dpo-groups", &[], GROUPS, group),
        time_zone: reader
            .checked("time-zone", Some(SYSTEM_ZONE), ZONES, time_zone)
            .unwrap_or_else(|| SYSTEM_ZONE.to_owned()),
    }
}

/// The zone the machine is set to.
pub(super) const SYSTEM_ZONE: &str = "system";
const ZONES: &str = "allowed is \"system\" or a name such as \"Asia/Tokyo\" or \"Europe/Berlin\"";

fn time_zone(text: &str) -> Result<String, String> {
    match local_time::zone(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!("\"{}\" is no time zone", shown(text))),
    }
}

const GROUPS: &str = "allowed are names of Unix groups in square brackets, as [\"sekisho\"]";

fn group(text: &str) -> Result<String, String> {
    // What the group database itself cannot hold. Directory services bring names with capitals and dots, so nothing
    // more is asked.
    let bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, ':' | ',' | '/');
    if text.is_empty() || text.len() > 255 || text.contains(bad) {
        return Err("holds something that is no group name".to_owned());
    }
    Ok(text.to_owned())
}

const NETWORK: &str = "allowed is the name of a network in the manifest: a-z, 0-9, '-', '_' and '.', at most 64";

fn network(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    let good = (1..=64).contains(&text.len()) && text.chars().all(plain);
    if good { Ok(text.to_owned()) } else { Err(format!("\"{}\" is no such name", shown(text))) }
}

fn models(reader: &mut Reader<'_, '_>) -> ModelSettings {
    let id = |reader: &mut Reader<'_, '_>, key, default: &str| {
        reader.checked(key, Some(default), NETWORK, network).unwrap_or_else(|| default.to_owned())
    };
    let allowed = format!("allowed is \"auto\", \"none\" or a name; {NETWORK}");
    let second = reader.checked("second", Some("auto"), &allowed, |text| match text {
        "auto" => Ok(SecondChoice::Auto),
        "none" => Ok(SecondChoice::Nobody),
        _ => network(text).map(SecondChoice::Named),
    });
    ModelSettings {
        manifest: reader.path("manifest", "/usr/share/sekisho/models/manifest.toml"),
        dir: reader.path("dir", "/usr/share/sekisho/models"),
        onnxruntime: reader.path("onnxruntime", "/usr/lib/sekisho/libonnxruntime.so"),
        detector: id(reader, "detector", "yunet-2023mar"),
        embedder: id(reader, "embedder", "sekisho-student-m"),
        second: second.unwrap_or(SecondChoice::Auto),
        device: reader.choice("device", &DEVICES, DeviceChoice::Auto),
        provider: reader.choice("provider", &PROVIDERS, ProviderChoice::Auto),
        provider_dir: reader.path("provider-dir", "/usr/lib/sekisho/providers"),
        provider_options: BTreeMap::from([
            (Provider::OpenVino, options(reader, "openvino-options")),
            (Provider::Qnn, options(reader, "qnn-options")),
        ]),
        // A thousand times faster than the processor nothing is; below one the processor is the faster.
        provider_speedup_min: reader.number("provider-speedup-min", (0.0, 1000.0), 1.1),
        // A compiler for a neural processor takes a minute at its first run; half an hour is no start any more.
        provider_trial: reader.seconds("provider-trial-s", (1, 1800), 120),
    }
}

const DEVICES: [(&str, DeviceChoice); 4] = [
    ("auto", DeviceChoice::Auto),
    ("cpu", DeviceChoice::Named(Device::Cpu)),
    ("npu", DeviceChoice::Named(Device::Npu)),
    ("gpu", DeviceChoice::Named(Device::Gpu)),
];

const PROVIDERS: [(&str, ProviderChoice); 4] = [
    ("auto", ProviderChoice::Auto),
    ("cpu", ProviderChoice::Cpu),
    ("openvino", ProviderChoice::Named(Provider::OpenVino)),
    ("qnn", ProviderChoice::Named(Provider::Qnn)),
];

const OPTIONS: &str =
    "allowed are KEY=VALUE in square brackets, as [\"precision=FP16\"]; the provider's maker says which";

fn options(reader: &mut Reader<'_, '_>, key: &'static str) -> BTreeMap<String, String> {
    let pairs = reader.words(key, &[], OPTIONS, |text| match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && text.len() <= 512 && !text.contains(char::is_control) => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("holds something that is not KEY=VALUE".to_owned()),
    });
    pairs.into_iter().collect()
}

fn store(reader: &mut Reader<'_, '_>, daemon: &DaemonSettings) -> StoreSettings {
    let credential = reader.checked("key-credential", Some("store-key"), credentials::NAMES, credentials::name);
    let allowed = format!("{ABSOLUTE_PATH}, or \"\" for store.key in the state directory");
    let key_file = reader.checked("key-file", Some(""), &allowed, |text| match text {
        "" => Ok(daemon.state_dir.join("store.key")),
        _ => absolute_path(text),
    });
    let url = reader.checked("key-url", Some(""), KEY_URLS, |text| match text {
        "" => Ok(None),
        _ => Endpoint::parse(text, &HTTP).and_then(|url| match url.tls() || url.is_loopback() {
            true => Ok(Some(url)),
            false => Err("would send the key readably".to_owned()),
        }),
    });
    let token = reader.checked("key-url-credential", Some(""), credentials::NAMES, |text| match text {
        "" => Ok(None),
        _ => credentials::name(text).map(Some),
    });
    let ca_file = reader.path("key-url-ca-file", "/etc/ssl/certs/ca-certificates.crt");
    let key_server = url.flatten().map(|url| KeyServer { url, token_credential: token.flatten(), ca_file });
    let audit = reader.checked("audit-key-credential", Some("audit-key"), credentials::NAMES, credentials::name);
    let allowed = format!("{ABSOLUTE_PATH}, or \"\" for audit.key in the state directory");
    let audit_file = reader.checked("audit-key-file", Some(""), &allowed, |text| match text {
        "" => Ok(daemon.state_dir.join("audit.key")),
        _ => absolute_path(text),
    });
    StoreSettings {
        database: daemon.state_dir.join("sekisho.db"),
        key_credential: credential.unwrap_or_else(|| "store-key".to_owned()),
        key_file: key_file.unwrap_or_else(|| daemon.state_dir.join("store.key")),
        key_server,
        audit_key_credential: audit.unwrap_or_else(|| "audit-key".to_owned()),
        audit_key_file: audit_file.unwrap_or_else(|| daemon.state_dir.join("audit.key")),
    }
}

/// Frames per second that can be asked for: one frame in ten seconds still catches a person in a queue; beyond 30
/// successive frames repeat each other and cost as much as the first.
pub(super) const FPS: (f64, f64) = (0.1, 30.0);
/// The alignment template is 112 pixels with 35 between the eyes; a face four pixels between the eyes is eight across
/// and holds nothing to compare, one of 200 needs no such program.
pub(super) const INTER_EYE_PX: (f32, f32) = (4.0, 200.0);
/// A hundred false candidates in a thousand strangers is a demonstration, below one in a million no calibration
/// reaches.
pub(super) const FPIR_PER_MILLE: (f64, f64) = (0.001, 100.0);

fn detect(reader: &mut Reader<'_, '_>) -> DetectSettings {
    DetectSettings {
        analysed_fps: reader.number("analysed-fps", FPS, 5.0),
        full_frame_interval: reader.millis("full-frame-interval-ms", (100, 60_000), 2000),
        min_inter_eye_px: reader.number("min-inter-eye-px", INTER_EYE_PX, 8.0),
        detector_score_min: reader.number("detector-score-min", (0.1, 0.99), 0.6),
        // The tracker follows 64 faces a camera.
        max_faces_per_frame: reader.number("max-faces-per-frame", (1, 64), 32),
        motion: reader.choice("motion", &[("gated", Motion::Gated), ("ignored", Motion::Ignored)], Motion::Gated),
    }
}

fn quality(reader: &mut Reader<'_, '_>) -> QualitySettings {
    QualitySettings {
        sharpness_min: reader.number("sharpness-min", (0.0, 1.0), 0.02),
        yaw_deg_max: reader.number("yaw-deg-max", (5.0, 90.0), 45.0),
        roll_deg_max: reader.number("roll-deg-max", (5.0, 90.0), 35.0),
        brightness_min: reader.number("brightness-min", (0.0, 1.0), 0.04),
        brightness_max: reader.number("brightness-max", (0.0, 1.0), 0.95),
        contrast_min: reader.number("contrast-min", (0.0, 1.0), 0.02),
    }
}

const STILL_FACES: [(&str, StillFaces); 2] = [("compared", StillFaces::Compared), ("left-out", StillFaces::LeftOut)];

fn track(reader: &mut Reader<'_, '_>) -> TrackSettings {
    TrackSettings {
        min_interval: reader.millis("min-interval-ms", (0, 10_000), 250),
        max_gap: reader.millis("max-gap-ms", (200, 30_000), 1500),
        expires: reader.millis("expires-ms", (500, 300_000), 5000),
        still_faces: reader.choice("still-faces", &STILL_FACES, StillFaces::Compared),
    }
}

/// The words for what candidates come to.
pub(super) const MODES: [(&str, Mode); 2] = [("live", Mode::Live), ("shadow", Mode::Shadow)];

fn evidence(reader: &mut Reader<'_, '_>) -> EvidenceSettings {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let pictures = [("none", Pictures::None), ("hash-only", Pictures::HashOnly), ("faces", Pictures::Faces)];
    EvidenceSettings {
        pictures: reader.choice("pictures", &pictures, Pictures::Faces),
        // A track gives five at its candidate and five at its confirmation.
        pictures_max: reader.number("pictures-max", (1, 32), 8),
        // A week of faces that nobody vouched for, a month of rejected ones, a year of confirmed ones: who wants to keep
        // pictures longer than that keeps them elsewhere, and says on which grounds.
        keep_unconfirmed: hours(reader.number("keep-unconfirmed-h", (1, 168), 24)),
        keep_rejected: hours(reader.number("keep-rejected-h", (1, 720), 24)),
        keep_confirmed: hours(24 * reader.number("keep-days", (1, 366), 30)),
    }
}

fn enrol(reader: &mut Reader<'_, '_>) -> EnrolSettings {
    // Grounds that nobody looked at for ten years are none.
    EnrolSettings { expires_days_max: reader.number("expires-days-max", EXPIRES_DAYS, 366) }
}

/// For how many days grounds may be recorded.
pub(super) const EXPIRES_DAYS: (u32, u32) = (1, 3660);

fn shadow(reader: &mut Reader<'_, '_>) -> ShadowSettings {
    ShadowSettings {
        enabled: reader.flag("enabled", true),
        // Less than a fortnight says little about a site; after a year it is another site.
        keep_days: reader.number("keep-days", (14, 366), 90),
    }
}

fn drift(reader: &mut Reader<'_, '_>) -> DriftSettings {
    let policies = [OnDrift::Warn, OnDrift::Tighten, OnDrift::SuspendConfirmation];
    DriftSettings {
        on_drift: reader.choice("on-drift", &policies.map(|policy| (policy.as_str(), policy)), OnDrift::Tighten),
        // With fewer than a hundred only the coarsest change shows.
        window_tracks: reader.number("window-tracks", (100, 100_000), 500),
        rejected_borne: reader.number("rejected-per-mille", (1.0, 900.0), 200.0) / 1000.0,
        old_after_days: reader.number("old-after-days", (30, 3660), 365),
        suspend_rejected: reader.number("suspend-rejected-per-mille", (1.0, 900.0), 300.0) / 1000.0,
        groups_ratio_max: reader.number("groups-ratio-max", (1.0, 100.0), 2.0),
    }
}

fn decide(reader: &mut Reader<'_, '_>) -> DecideSettings {
    // Fusion stops at 32 frames, so a look beyond that would never come.
    let frames = (1, 32);
    // Beyond +-50 a log likelihood ratio says more than all calibration data in the world could support.
    let llr = (-50.0, 50.0);
    let second = SecondPolicy::default();
    // Once a minute at the most; 0 is none given.
    let budget = reader.number("false-candidates-per-camera-day", (0.0, 1440.0), 0.0);
    DecideSettings {
        mode: reader.choice("mode", &MODES, Mode::Live),
        target_fpir: reader.number("target-fpir-per-mille", FPIR_PER_MILLE, 1.0) / 1000.0,
        per_camera_day: (budget > 0.0).then_some(budget),
        strangers_per_camera_day: reader.number("strangers-per-camera-day", (1.0, 1e6), 500.0),
        looks: reader.ascending("candidate-looks-frames", frames, &[3, 6, 12, 24]),
        confirm_looks: reader.ascending("confirm-looks-frames", frames, &[3, 6, 12]),
        runner_up_llr_min: reader.number("runner-up-llr-min", (0.0, 50.0), 2.0),
        not_enrolled_llr_max: reader.number("not-enrolled-llr-max", llr, -2.0),
        withdraw_llr_max: reader.number("withdraw-llr-max", llr, 0.0),
        second: SecondPolicy {
            // A reviewer is shown the same few; more than sixteen are pictures of the same again.
            frames: reader.number("second-frames", (1, 16), second.frames),
            agrees_llr_min: reader.number("second-agrees-llr-min", (0.0, 50.0), second.agrees_llr_min),
            withdraw_llr_max: reader.number("second-withdraw-llr-max", llr, second.withdraw_llr_max),
        },
        visit_gap: reader.seconds("visit-gap-s", (1, 86_400), 60),
        candidate_expires: reader.seconds("candidate-expires-s", (1, 3600), 30),
    }
}
