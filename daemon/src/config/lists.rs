//! Lists of people, and what one camera does differently.

use super::named::{NAMES, sections};
use super::privacy::Profile;
use super::problem::Findings;
use super::raw::{Raw, shown};
use super::read::{EXPIRES_DAYS, FPIR_PER_MILLE};
use super::reader::{Choices, Reader};
use super::settings::{ListGrounds, ListRules, ListSettings, Purpose};
use sekisho_logic::grounds::TEXT_BYTES_MAX;
use sekisho_logic::hours::Hours;
use sekisho_logic::id::{CameraId, ListId};
use sekisho_logic::lawful::LegalBasis;
use sekisho_logic::policy::ConfirmBy;
use std::collections::BTreeMap;
use std::time::Duration;

const CONFIRM: &Choices<ConfirmBy> =
    &[("machine", ConfirmBy::Machine), ("human", ConfirmBy::Human), ("two-person", ConfirmBy::TwoPerson)];

/// More people than anybody has on shift would be a mistake.
const VOTES: (u32, u32) = (1, 9);
const VOTE_EXPIRES_S: (u64, u64) = (10, 604_800);
/// A week: beyond that it is no pause but a suspension.
const COOL_DOWN_S: (u64, u64) = (0, 604_800);

/// The lists of the file, and the two that are always there.
pub(super) fn lists(raw: &Raw<'_>, findings: &mut Findings, profile: Profile) -> BTreeMap<ListId, ListSettings> {
    let mut lists = BTreeMap::new();
    for named in sections(raw, findings, "lists", |text| ListId::try_new(text).ok()) {
        let pattern = pattern(&named.name);
        let mut reader = Reader::new(raw, findings, (&named.full, pattern), named.line, Some(named.table));
        let list = list(&mut reader, &named.name, &named.full, profile);
        reader.finish();
        lists.insert(named.name, list);
    }
    for name in ["staff", "watch"].into_iter().filter_map(|name| ListId::try_new(name).ok()) {
        let full = format!("lists.{name}");
        let mut reader = Reader::new(raw, findings, (&full, pattern(&name)), 1, None);
        let list = list(&mut reader, &name, &full, profile);
        lists.entry(name).or_insert(list);
    }
    lists
}

/// The two lists that are always there have defaults of their own and are documented apart.
fn pattern(name: &ListId) -> &'static str {
    match name.as_str() {
        "staff" => "lists.staff",
        "watch" => "lists.watch",
        _ => "lists.NAME",
    }
}

fn list(reader: &mut Reader<'_, '_>, name: &ListId, full: &str, profile: Profile) -> ListSettings {
    let (purpose, confirm) = match name.as_str() {
        "staff" => (Purpose::EntryLog, ConfirmBy::Machine),
        _ => (Purpose::Watch, ConfirmBy::Human),
    };
    let purposes = [("entry-log", Purpose::EntryLog), ("watch", Purpose::Watch)];
    let own = reader.has("target-fpir-per-mille");
    let own_fpir = reader.number_or("target-fpir-per-mille", FPIR_PER_MILLE, 1.0) / 1000.0;
    let purpose = reader.choice("purpose", &purposes, purpose);
    // AI Act, Art. 14(5): of remote biometric identification nothing follows before two people have verified it.
    let confirm = match (profile, purpose) {
        (Profile::Eu, Purpose::Watch) => ConfirmBy::TwoPerson,
        (Profile::None | Profile::Eu | Profile::Jp, _) => confirm,
    };
    let confirm = reader.choice("confirm", CONFIRM, confirm);
    let grounds = grounds(reader);
    let rules = ListRules {
        confirm,
        votes: votes(reader, confirm, confirm.votes()),
        vote_expires: reader.seconds("vote-expires-s", VOTE_EXPIRES_S, 900),
        cool_down: reader.seconds("cool-down-s", COOL_DOWN_S, 0),
        schedule: schedule(reader, &Hours::always()),
        quiet: quiet(reader, &Hours::never()),
    };
    let mut at = BTreeMap::new();
    for (text, line, table) in reader.subsections("at") {
        let full = format!("{full}.at.{}", shown(&text));
        let (raw, findings) = reader.findings();
        let Ok(camera) = CameraId::try_new(&text) else {
            findings.problem((line, &full, ""), "this is not a camera's name", NAMES);
            continue;
        };
        let mut reader = Reader::new(raw, findings, (&full, AT_CAMERA), line, Some(table));
        at.insert(camera, at_camera(&mut reader, &rules));
        reader.finish();
    }
    if !reader.has("at") {
        // So that the keys are known, and held to the documentation, without any such section.
        let (raw, findings) = reader.findings();
        at_camera(&mut Reader::new(raw, findings, (AT_CAMERA, AT_CAMERA), 1, None), &rules);
    }
    ListSettings { purpose, own_fpir: own.then_some(own_fpir), grounds, rules, at }
}

const LINE: &str = "allowed is text on one line, at most 1000 bytes";

fn one_line(text: &str) -> Result<String, String> {
    let good = !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control);
    if good { Ok(text.trim().to_owned()) } else { Err("is empty, too long or more than one line".to_owned()) }
}

fn grounds(reader: &mut Reader<'_, '_>) -> ListGrounds {
    let bases = LegalBasis::ALL.map(|basis| (basis.as_str(), Some(basis)));
    let days = reader.has("expires-days");
    ListGrounds {
        purpose: reader.checked("purpose-text", None, LINE, one_line),
        legal_basis: reader.choice_or("legal-basis", &bases, None),
        notice: reader.checked("notice-version", None, LINE, one_line),
        expires_days: Some(reader.number_or("expires-days", EXPIRES_DAYS, 366)).filter(|_| days),
    }
}

const AT_CAMERA: &str = "lists.NAME.at.CAMERA";

/// What a list asks for at one camera; what is not said is as at the others.
fn at_camera(reader: &mut Reader<'_, '_>, general: &ListRules) -> ListRules {
    let confirm = reader.choice_or("confirm", CONFIRM, general.confirm);
    let inherited = if confirm == general.confirm { general.votes } else { confirm.votes() };
    let seconds = |reader: &mut Reader<'_, '_>, key, bounds, general: Duration| {
        Duration::from_secs(reader.number_or(key, bounds, general.as_secs()))
    };
    ListRules {
        confirm,
        votes: votes(reader, confirm, inherited),
        vote_expires: seconds(reader, "vote-expires-s", VOTE_EXPIRES_S, general.vote_expires),
        cool_down: seconds(reader, "cool-down-s", COOL_DOWN_S, general.cool_down),
        schedule: schedule(reader, &general.schedule),
        quiet: quiet(reader, &general.quiet),
    }
}

fn votes(reader: &mut Reader<'_, '_>, confirm: ConfirmBy, inherited: u32) -> u32 {
    let written = reader.has("votes");
    let votes = reader.number_or("votes", VOTES, inherited);
    if !written {
        return inherited;
    }
    let allowed = "allowed is 1 to 9 with \"human\", 2 to 9 with \"two-person\", none with \"machine\"";
    if confirm == ConfirmBy::Machine {
        reader.wrong("votes", "asks for votes although the machine confirms", allowed);
    } else if votes < confirm.votes() {
        reader.wrong("votes", format!("{votes} is fewer than two people"), allowed);
    }
    votes.max(confirm.votes())
}

const SCHEDULE: &str = "allowed are hours in square brackets, as [\"mon-fri 07:00-19:00\"], or [\"always\"]";
const QUIET: &str = "allowed are hours in square brackets, as [\"22:00-06:00\"], or []";

/// Hours, with the windows as they were written; `None` when the file does not say.
pub(super) fn hours(reader: &mut Reader<'_, '_>, key: &'static str, allowed: &str) -> Option<(Hours, Vec<String>)> {
    let texts = reader.words_or(key, allowed, |text| match Hours::parse([text]) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("\"{}\" names no hours", shown(text))),
    })?;
    let hours = Hours::parse(texts.iter().map(String::as_str)).ok()?;
    Some((hours, texts))
}

fn schedule(reader: &mut Reader<'_, '_>, inherited: &Hours) -> Hours {
    let found = hours(reader, "schedule", SCHEDULE).map(|(hours, _)| hours);
    if found.as_ref() == Some(&Hours::never()) {
        let allowed = "name the hours, or take the list out of the cameras' lists";
        reader.wrong("schedule", "is empty, so this list would never be matched", allowed);
    }
    found.unwrap_or_else(|| inherited.clone())
}

fn quiet(reader: &mut Reader<'_, '_>, inherited: &Hours) -> Hours {
    hours(reader, "quiet-hours", QUIET).map_or_else(|| inherited.clone(), |(hours, _)| hours)
}
