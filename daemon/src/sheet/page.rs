//! The sheet as a page.

use super::faces::Shot;
use super::{Sheet, Told, WORDS};
use crate::page::chart::Tone;
use crate::page::words::Said;
use crate::page::{Language, Page, escaped, table};
use sekisho_logic::explain::{Fate, Help, LookNote};
use sekisho_logic::frame::FrameStamp;
use sekisho_logic::outcome::Outcome;
use sekisho_logic::record::Stage;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A cut narrower than this is shown enlarged beside its native size.
const ENLARGED_BELOW_PX: u32 = 56;

/// Width of an enlarged face on the page, CSS pixels.
const ENLARGED_PX: u32 = 96;

fn say(key: &str, values: &[(&str, Said)]) -> Said {
    WORDS.say(key, values)
}

fn number(value: f32) -> Said {
    Said::same(format!("{value:.1}"))
}

pub(super) fn render(sheet: &Sheet, language: Language) -> String {
    let setting = &sheet.setting;
    let mut page = Page::new(say("title", &[("clip", Said::same(&setting.clip))]), language);
    page.add("h1", "", &say("title", &[("clip", Said::same(&setting.clip))]));
    page.add("p", "sub", &say("lead", &[]));
    page.add("p", "warn", &say("pictures-warning", &[]));
    overview(&mut page, sheet);
    page.add("h2", "", &say("tracks", &[]));
    if sheet.tracks.is_empty() {
        page.add("p", "", &say("no-tracks", &[]));
    } else {
        page.add("p", "note", &say("tracks-note", &[("count", Said::same(sheet.tracks.len()))]));
    }
    let mut tracks: Vec<&Told> = sheet.tracks.iter().collect();
    tracks.sort_by_key(|told| (told.verdict.began.mono, told.verdict.track));
    for told in tracks {
        track(&mut page, sheet, told);
    }
    page.add("h2", "", &say("how-to-read", &[]));
    for key in ["read-track", "read-frames", "read-look", "read-nearest"] {
        page.add("p", "", &WORDS.say(key, &[]));
    }
    footer(&mut page, sheet);
    page.render()
}

fn overview(page: &mut Page, sheet: &Sheet) {
    let mut by_outcome: BTreeMap<&str, usize> = BTreeMap::new();
    for told in &sheet.tracks {
        *by_outcome.entry(told.verdict.outcome.as_str()).or_default() += 1;
    }
    let mut tiles = String::from("<div class=\"tiles\">");
    let mut tile = |count: usize, label: &Said| {
        let _written = write!(tiles, "<div class=\"tile\"><b>{count}</b><span>{}</span></div>", label.html());
    };
    tile(sheet.tracks.len(), &say("tile-tracks", &[]));
    for (key, label) in [
        ("identified", "outcome-identified"),
        ("not-enrolled", "outcome-not-enrolled"),
        ("not-decidable", "outcome-not-decidable"),
    ] {
        tile(by_outcome.get(key).copied().unwrap_or(0), &WORDS.say(label, &[]));
    }
    tiles.push_str("</div>");
    page.raw(&tiles);
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in sheet.tracks.iter().filter_map(|told| told.verdict.outcome.reason()) {
        *reasons.entry(reason.as_str()).or_default() += 1;
    }
    if !reasons.is_empty() {
        let mut rows = vec![vec![say("column-reason", &[]).html(), say("column-tracks", &[]).html()]];
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
        rows.extend(
            reasons
                .into_iter()
                .map(|(name, count)| vec![WORDS.say(&format!("reason-{name}"), &[]).html(), count.to_string()]),
        );
        page.table(&rows);
    }
}

fn track(page: &mut Page, sheet: &Sheet, told: &Told) {
    let verdict = &told.verdict;
    let stages = sheet.stages.get(&verdict.track).map(Vec::as_slice).unwrap_or_default();
    page.raw(&format!("<section class=\"track {}\">", tone(&verdict.outcome, stages).class()));
    let heading = match &verdict.outcome {
        Outcome::Identified { person, .. } => say("head-identified", &[("person", Said::same(person))]),
        Outcome::NotEnrolled => say("head-not-enrolled", &[]),
        Outcome::NotDecidable(_) => say("head-not-decidable", &[]),
    };
    let span = say(
        "track-span",
        &[
            ("track", Said::same(verdict.track)),
            ("from", Said::same(clock(verdict.began))),
            ("to", Said::same(clock(verdict.ended))),
        ],
    );
    page.raw(&format!("<h3>{}<small>{}</small></h3>", heading.html(), span.html()));
    page.add("p", "", &reason(told));
    if !told.help.is_empty() {
        let items: String = told.help.iter().map(|one| format!("<li>{}</li>", help(one).html())).collect();
        page.raw(&format!("<ul class=\"help\">{items}</ul>"));
    }
    tags(page, told, stages);
    strip(page, sheet, told);
    if !told.explanation.looks.is_empty() {
        page.raw(&looks(&told.explanation.looks));
    }
    page.raw("</section>");
}

fn tone(outcome: &Outcome, stages: &[Stage]) -> Tone {
    match outcome {
        Outcome::Identified { .. } if stages.last().is_some_and(|stage| *stage != Stage::Withdrawn) => Tone::Good,
        Outcome::Identified { .. } => Tone::Fair,
        Outcome::NotEnrolled => Tone::Plain,
        Outcome::NotDecidable(_) => Tone::Poor,
    }
}

/// Why it came out like that, in words.
pub(super) fn reason(told: &Told) -> Said {
    match &told.verdict.outcome {
        Outcome::Identified { evidence, .. } => say(
            "why-identified",
            &[
                ("llr", number(evidence.llr)),
                ("frames", Said::same(evidence.frames_used)),
                ("px", number(evidence.inter_eye_px)),
            ],
        ),
        Outcome::NotEnrolled if told.explanation.looks.iter().all(|look| look.best.is_none()) => {
            say("why-nobody-enrolled", &[])
        }
        Outcome::NotEnrolled => say("why-not-enrolled", &[]),
        Outcome::NotDecidable(reason) => WORDS.say(&format!("reason-{}", reason.as_str()), &[]),
    }
}

/// What would have helped, in words.
pub(super) fn help(help: &Help) -> Said {
    let count = |count: u32| Said::same(count);
    match *help {
        Help::MoreFrames { have, need } => say(
            "help-more-frames",
            &[("have", count(have)), ("need", count(need)), ("more", count(need.saturating_sub(have)))],
        ),
        Help::LargerFaces { have_px, need_px } => say(
            "help-larger-faces",
            &[("have", number(have_px)), ("need", number(need_px)), ("factor", number(need_px / have_px.max(0.1)))],
        ),
        Help::MoreEvidence { have_llr, need_llr, next_look } => {
            let key = if next_look.is_some() { "help-more-evidence-look" } else { "help-more-evidence" };
            let next = Said::same(next_look.unwrap_or(0));
            WORDS.say(key, &[("have", number(have_llr)), ("need", number(need_llr)), ("next", next)])
        }
        Help::ApartFromRunnerUp { have_llr, need_llr } => {
            say("help-apart", &[("have", number(have_llr)), ("need", number(need_llr))])
        }
        Help::ConfirmingFrames { have, need } => say(
            "help-confirming",
            &[("have", count(have)), ("need", count(need)), ("more", count(need.saturating_sub(have)))],
        ),
        Help::Sharper { have, need } => {
            let two = |value: f32| Said::same(format!("{value:.2}"));
            say("help-sharper", &[("have", two(have)), ("need", two(need))])
        }
        Help::Frontal { have_deg, most_deg } => {
            let whole = |value: f32| Said::same(format!("{value:.0}"));
            say("help-frontal", &[("have", whole(have_deg)), ("most", whole(most_deg))])
        }
        Help::Light { have } => {
            let key = if have < 0.5 { "help-light-dark" } else { "help-light-bright" };
            WORDS.say(key, &[("have", Said::same(format!("{have:.2}")))])
        }
        Help::WholeFace => say("help-whole-face", &[]),
        Help::SomebodyEnrolled => say("help-somebody", &[]),
    }
}

fn tags(page: &mut Page, told: &Told, stages: &[Stage]) {
    let mut tags = String::from("<p>");
    let mut tag = |said: &Said| {
        let _written = write!(tags, "<span class=\"tag\">{}</span>", said.html());
    };
    for stage in stages {
        tag(&WORDS.say(&format!("stage-{}", stage.as_str()), &[]));
    }
    let verdict = &told.verdict;
    if let Some((least, median, most)) = told.explanation.inter_eye_px() {
        tag(&say("tag-sizes", &[("least", number(least)), ("median", number(median)), ("most", number(most))]));
    }
    tag(&say("tag-frames", &[("used", Said::same(verdict.frames_used)), ("faces", Said::same(verdict.faces))]));
    for (why, count) in &verdict.unfit {
        let word = WORDS.say(&format!("fate-{}", why.as_str()), &[]);
        tag(&say("tag-left-out", &[("why", word), ("count", Said::same(count))]));
    }
    tags.push_str("</p>");
    page.raw(&tags);
}

/// The contact sheet of one track: each face at its native size and, when that is small, enlarged.
fn strip(page: &mut Page, sheet: &Sheet, told: &Told) {
    let shots = sheet.album.of(told.verdict.track);
    if shots.is_empty() {
        page.add("p", "note", &say("no-pictures", &[]));
        return;
    }
    let mut out = String::from("<div class=\"strip\">");
    for shot in &shots {
        let note = told.explanation.faces.iter().find(|face| face.stamp.sequence == shot.sequence);
        out.push_str(&picture(shot, note.map(|face| (face.stamp, face.quality.inter_eye_px, face.fate))));
    }
    out.push_str("</div>");
    page.raw(&out);
    let faces = usize::try_from(told.verdict.faces).unwrap_or(usize::MAX);
    if faces > shots.len() {
        page.add(
            "p",
            "small",
            &say("some-pictures", &[("shown", Said::same(shots.len())), ("faces", Said::same(faces))]),
        );
    }
}

fn picture(shot: &Shot, note: Option<(FrameStamp, f32, Fate)>) -> String {
    let address = escaped(&shot.address);
    let native = shot.width.min(ENLARGED_PX);
    let mut images = String::new();
    let large = if native < ENLARGED_BELOW_PX {
        let _written = write!(images, "<img src=\"{address}\" width=\"{native}\" alt=\"\">");
        ENLARGED_PX
    } else {
        native
    };
    let _written = write!(images, "<img class=\"large\" src=\"{address}\" width=\"{large}\" alt=\"\">");
    let (class, caption) = match note {
        Some((stamp, px, fate)) => {
            let word = WORDS.say(&format!("fate-{}", fate.as_str()), &[]);
            let class = if fate.is_used() { "used" } else { "left" };
            (class, format!("{}<br>{px:.1} px<br>{}", clock(stamp), word.html()))
        }
        None => ("left", String::new()),
    };
    format!("<div class=\"shot {class}\"><div>{images}</div>{caption}</div>")
}

fn looks(looks: &[LookNote]) -> String {
    let head =
        ["look-at", "look-frames", "look-px", "look-nearest", "look-cosine", "look-llr", "look-lead", "look-outcome"];
    let mut rows = vec![head.map(|key| WORDS.say(key, &[]).html()).to_vec()];
    let of = |have: Option<String>, need: Option<String>| match (have, need) {
        (Some(have), Some(need)) => format!("{have} / {need}"),
        _ => "-".to_owned(),
    };
    for look in looks {
        let evidence = look.best.as_ref().map(|(_, evidence)| evidence);
        let (one, two) = (|value: f32| format!("{value:.1}"), |value: f32| format!("{value:.3}"));
        let reason = look.outcome.reason().map(|reason| WORDS.say(&format!("reason-{}", reason.as_str()), &[]));
        let outcome = match look.outcome {
            Outcome::Identified { .. } => say("outcome-identified", &[]),
            Outcome::NotEnrolled => say("outcome-not-enrolled", &[]),
            Outcome::NotDecidable(_) => reason.unwrap_or_else(|| say("outcome-not-decidable", &[])),
        };
        rows.push(vec![
            WORDS.say(&format!("look-{}", look.at.as_str()), &[]).html(),
            look.frames_used.to_string(),
            one(look.inter_eye_px),
            look.best.as_ref().map_or_else(|| "-".to_owned(), |(member, _)| escaped(member.person.as_str())),
            of(evidence.map(|e| two(e.cosine)), look.bar.map(|bar| two(bar.cosine_min))),
            of(evidence.map(|e| one(e.llr)), look.bar.map(|bar| one(bar.llr_min))),
            of(evidence.and_then(|e| e.runner_up_gap).map(one), look.bar.map(|bar| one(bar.gap_llr_min))),
            outcome.html(),
        ]);
    }
    table(&rows)
}

fn footer(page: &mut Page, sheet: &Sheet) {
    let setting = &sheet.setting;
    let list = |frames: &[u32]| Said::same(frames.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    let said = say(
        "footer",
        &[
            ("camera", Said::same(&setting.camera)),
            ("people", Said::same(setting.people)),
            ("network", Said::same(setting.model_digest.chars().take(16).collect::<String>())),
            ("calibration", Said::same(setting.calibration.id())),
            ("looks", list(&setting.policy.looks)),
            ("confirm", list(&setting.policy.confirm_looks)),
            ("version", Said::same(env!("CARGO_PKG_VERSION"))),
        ],
    );
    page.add("footer", "", &said);
}

/// The clip's own time: minutes, seconds, tenths.
fn clock(stamp: FrameStamp) -> String {
    let ms = stamp.mono.as_millis();
    format!("{}:{:02}.{}", ms / 60_000, ms / 1000 % 60, ms / 100 % 10)
}
