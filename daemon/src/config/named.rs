//! Sections that carry a name of the operator's choice. Lists and sinks have files of their own.

use super::credentials;
use super::privacy;
use super::problem::Findings;
use super::raw::{Raw, RawTable, kind, shown};
use super::read::{FPS, INTER_EYE_PX, MODES, table};
use super::reader::Reader;
use super::settings::{CameraSettings, DetectSettings, Mode};
use sekisho_camera::source::{Pace, Repeat, Source, Transport};
use sekisho_logic::id::{CameraId, ListId};
use std::collections::BTreeMap;

/// Cameras, lists or sinks in one file. A box decodes a few dozen streams; more is a generated file gone wrong.
const NAMED_MAX: usize = 256;

/// What every name is made of.
pub(super) const NAMES: &str =
    "names have 1 to 64 characters of a-z, 0-9, '-' and '_' and start with a letter or digit";

/// One such section.
pub(super) struct Named<'r, 't, N> {
    pub(super) name: N,
    /// With its group: `sinks.door-log`.
    pub(super) full: String,
    pub(super) line: usize,
    pub(super) table: &'r RawTable<'t>,
}

/// The sub-sections of `group` whose names `check` accepts, in alphabetical order.
pub(super) fn sections<'r, 't, N>(
    raw: &'r Raw<'t>,
    findings: &mut Findings,
    group: &str,
    check: impl Fn(&str) -> Option<N>,
) -> Vec<Named<'r, 't, N>> {
    let (_, Some(group_table)) = table(raw, findings, group) else { return Vec::new() };
    let mut found = Vec::new();
    for (key, value) in group_table {
        let (text, line) = (key.get_ref().as_ref(), raw.line(&key.span()));
        let full = format!("{group}.{}", shown(text));
        let Some(table) = value.get_ref().as_table() else {
            let (wrong, key) = (format!("is {}", kind(value.get_ref())), shown(text));
            findings.problem((line, group, &key), wrong, format!("write a section of its own: [{group}.NAME]"));
            continue;
        };
        match check(text) {
            None => findings.problem((line, &full, ""), "this is not a name", NAMES),
            Some(_) if found.len() >= NAMED_MAX => {
                findings.problem((line, &full, ""), "one too many", format!("at most {NAMED_MAX} {group} are allowed"));
            }
            Some(name) => found.push(Named { name, full, line, table }),
        }
    }
    found
}

/// The cameras of the file.
pub(super) fn cameras(
    raw: &Raw<'_>,
    findings: &mut Findings,
    detect: &DetectSettings,
    mode: Mode,
) -> BTreeMap<CameraId, CameraSettings> {
    let mut cameras = BTreeMap::new();
    for named in sections(raw, findings, "cameras", |text| CameraId::try_new(text).ok()) {
        let mut reader = Reader::new(raw, findings, (&named.full, "cameras.NAME"), named.line, Some(named.table));
        let camera = camera(&mut reader, detect, mode);
        reader.finish();
        if let Some(camera) = camera {
            cameras.insert(named.name, camera);
        }
    }
    cameras
}

fn camera(reader: &mut Reader<'_, '_>, detect: &DetectSettings, mode: Mode) -> Option<CameraSettings> {
    let source = reader.required("source", SOURCES, source);
    let transports = [("tcp", Transport::Tcp), ("udp", Transport::Udp)];
    let paces = [("real-time", Pace::RealTime), ("as-fast-as-possible", Pace::AsFastAsPossible)];
    let repeats = [("once", Repeat::Once), ("forever", Repeat::Forever)];
    let transport = reader.choice("transport", &transports, Transport::Tcp);
    let credential = reader.checked("credential", None, credentials::NAMES, credentials::name);
    let pace = reader.choice("pace", &paces, Pace::RealTime);
    let repeat = reader.choice("repeat", &repeats, Repeat::Once);
    let misplaced: &[&'static str] = match &source {
        Some(Source::Rtsp { .. }) => &["pace", "repeat"],
        Some(Source::Clip { .. }) => &["transport", "credential"],
        None => &[],
    };
    for key in misplaced.iter().filter(|key| reader.has(key)).collect::<Vec<_>>() {
        let (wrong, allowed) = match *key {
            "pace" | "repeat" => ("contradicts the source, which is a camera", "only a clip (file:///...) has it"),
            _ => ("contradicts the source, which is a clip", "only a camera (rtsp://...) has it"),
        };
        reader.wrong(key, wrong, allowed);
    }
    let allowed = "allowed are names of lists in square brackets, as [\"staff\", \"watch\"]";
    let lists = reader.words("lists", &["staff", "watch"], allowed, |text| {
        ListId::try_new(text).map_err(|_| format!("holds \"{}\", which is no name; {NAMES}", shown(text)))
    });
    if lists.is_empty() {
        let allowed = "name a list, or switch the camera off with enabled = false";
        reader.wrong("lists", "is empty, so this camera would look at people for nothing", allowed);
    }
    Some(CameraSettings {
        enabled: reader.flag("enabled", true),
        mode: reader.choice_or("mode", &MODES, mode),
        credential,
        lists,
        stall: reader.millis("stall-ms", (500, 300_000), 5000),
        analysed_fps: reader.number_or("analysed-fps", FPS, detect.analysed_fps),
        min_inter_eye_px: reader.number_or("min-inter-eye-px", INTER_EYE_PX, detect.min_inter_eye_px),
        scope: privacy::scope(reader),
        source: source?.with_transport(transport).with_playback(pace, repeat),
    })
}

const SOURCES: &str = "allowed is rtsp://HOST/PATH, rtsps://HOST/PATH or file:///PATH; user and password go to a credential file that \
     `credential` names";

fn source(text: &str) -> Result<Source, String> {
    if !text.contains("://") {
        return Err("has no scheme such as rtsp://".to_owned());
    }
    if holds_password(text) {
        return Err("holds a password (not shown here)".to_owned());
    }
    Source::parse(text).map_err(|wrong| wrong.to_string())
}

/// Several cheap cameras take the password in the path or query. It would be in every message that shows the address, so it is
/// refused like one before an '@'. An empty one tells nothing.
pub(crate) fn holds_password(address: &str) -> bool {
    let lower = address.to_ascii_lowercase();
    ["password=", "passwd=", "pwd=", "pass="].iter().any(|mark| {
        let after = lower.split(mark).skip(1);
        after.into_iter().any(|value| value.starts_with(|c: char| !matches!(c, '&' | '/' | '#' | ';')))
    })
}
