//! Lists of people, and what one camera does differently.

use super::named::{NAMES, sections};
use super::problem::Findings;
use super::raw::{Raw, shown};
use super::read::FPIR_PER_MILLE;
use super::reader::{Choices, Reader};
use super::settings::{ListRules, ListSettings, Purpose};
use sekisho_logic::hours::Hours;
use sekisho_logic::id::{CameraId, ListId};
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
pub(super) fn lists(raw: &Raw<'_>, findings: &mut Findings) -> BTreeMap<ListId, ListSettings> {
    let mut lists = BTreeMap::new();
    for named in sections(raw, findings, "lists", |text| ListId::try_new(text).ok()) {
        let pattern = pattern(&named.name);
        let mut reader = Reader::new(raw, findings, (&named.full, pattern), named.line, Some(named.table));
        let list = list(&mut reader, &named.name, &named.full);
        reader.finish();
        lists.insert(named.name, list);
    }
    for name in ["staff", "watch"].into_iter().filter_map(|name| ListId::try_new(name).ok()) {
        let full = format!("lists.{name}");
        let mut reader = Reader::new(raw, findings, (&full, pattern(&name)), 1, None);
        let list = list(&mut reader, &name, &full);
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

fn list(reader: &mut Reader<'_, '_>, name: &ListId, full: &str) -> ListSettings {
    let (purpose, confirm) = match name.as_str() {
        "staff" => (Purpose::EntryLog, ConfirmBy::Machine),
        _ => (Purpose::Watch, ConfirmBy::Human),
    };
    let purposes = [("entry-log", Purpose::EntryLog), ("watch", Purpose::Watch)];
    let own = reader.has("target-fpir-per-mille");
    let own_fpir = reader.number_or("target-fpir-per-mille", FPIR_PER_MILLE, 1.0) / 1000.0;
    let purpose = reader.choice("purpose", &purposes, purpose);
    let confirm = reader.choice("confirm", CONFIRM, confirm);
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
    ListSettings { purpose, own_fpir: own.then_some(own_fpir), rules, at }
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

fn hours(reader: &mut Reader<'_, '_>, key: &'static str, allowed: &str) -> Option<Hours> {
    let texts = reader.words_or(key, allowed, |text| match Hours::parse([text]) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("\"{}\" names no hours", shown(text))),
    })?;
    Hours::parse(texts.iter().map(String::as_str)).ok()
}

fn schedule(reader: &mut Reader<'_, '_>, inherited: &Hours) -> Hours {
    let found = hours(reader, "schedule", SCHEDULE);
    if found.as_ref() == Some(&Hours::never()) {
        let allowed = "name the hours, or take the list out of the cameras' lists";
        reader.wrong("schedule", "is empty, so this list would never be matched", allowed);
    }
    found.unwrap_or_else(|| inherited.clone())
}

fn quiet(reader: &mut Reader<'_, '_>, inherited: &Hours) -> Hours {
    hours(reader, "quiet-hours", QUIET).unwrap_or_else(|| inherited.clone())
}
