//! The fact sheet a data-protection officer starts an impact assessment with: generated, so that it is never older than the
//! configuration. It states facts and open points and makes no judgement.

mod facts;

pub use facts::Facts;

use crate::config::settings::{CameraSettings, Mode, Pictures};
use crate::evaluate::summary;
use crate::notice;
use crate::page::brief::Brief;
use crate::page::words::{Said, Words};
use crate::site;
use sekisho_logic::id::CameraId;
use sekisho_logic::policy::ConfirmBy;
use sekisho_store::{PersonStatus, ReviewerRole};
use serde_json::Value;
use std::sync::LazyLock;
use std::time::Duration;

static WORDS: LazyLock<Words> = LazyLock::new(|| Words::parse(include_str!("words.toml")).unwrap_or_default());

fn say(key: &str, values: &[(&str, Said)]) -> Said {
    WORDS.say(key, values)
}

fn bare(key: &str) -> Said {
    say(key, &[])
}

fn count(number: usize) -> Said {
    Said::same(number)
}

/// A value of the daemon's answer, as text.
fn told(value: &Value) -> Said {
    Said::same(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// The sheet.
#[must_use]
pub fn sheet(facts: &Facts<'_>) -> Brief {
    let mut out = Brief::new(bare("title"));
    let day = Said::same(facts.now.to_rfc3339().chars().take(10).collect::<String>());
    out.line(say("lead", &[("day", day), ("version", Said::same(env!("CARGO_PKG_VERSION")))]));
    out.line(daemon(facts));
    controller(facts, &mut out);
    cameras(facts, &mut out);
    lists(facts, &mut out);
    gallery(facts, &mut out);
    classes(facts, &mut out);
    networks(facts, &mut out);
    access(facts, &mut out);
    out.heading(bare("attack")).item(bare("pad")).item(bare(if summary::place(facts.settings).exists() {
        "bias-there"
    } else {
        "bias"
    }));
    out.heading(bare("open"));
    open_points(facts).into_iter().for_each(|point| {
        out.item(point);
    });
    out
}

fn daemon(facts: &Facts<'_>) -> Said {
    let Some(status) = &facts.status else { return bare("daemon-no") };
    let cameras = &status["cameras"];
    let values = [
        ("state", told(&status["state"])),
        ("streaming", told(&cameras["streaming"])),
        ("total", told(&cameras["total"])),
        ("open", told(&status["alerts"]["open"])),
    ];
    say("daemon-yes", &values)
}

fn controller(facts: &Facts<'_>, out: &mut Brief) {
    let privacy = &facts.settings.privacy;
    let written = notice::written;
    out.heading(bare("controller"));
    let controller = written(privacy.controller.as_ref(), "[privacy] controller");
    out.line(notice::say("who-controller", &[("controller", controller)]));
    let contact = written(privacy.contact.as_ref(), "[privacy] contact");
    out.line(notice::say("who-contact", &[("contact", contact)]));
    let dpo = written(privacy.dpo_contact.as_ref(), "[privacy] dpo-contact");
    out.line(notice::say("who-dpo", &[("dpo", dpo)]));
    let values = [
        ("profile", Said::same(privacy.profile.as_str())),
        ("require", Said::same(privacy.require_purpose.as_str())),
        ("version", written(privacy.notice_version.as_ref(), "[privacy] notice-version")),
        ("day", written(privacy.published_at.as_ref(), "[privacy] published-at")),
    ];
    out.line(say("profile", &values));
}

fn state(facts: &Facts<'_>, its: &CameraSettings) -> Said {
    match facts.settings.not_matched(its) {
        _ if !its.enabled => bare("state-off"),
        Some(why) => say(&format!("state-{}", why.as_str()), &[]),
        None if its.mode == Mode::Shadow => bare("state-shadow"),
        None => bare("state-compared"),
    }
}

fn cameras(facts: &Facts<'_>, out: &mut Brief) {
    out.heading(bare("cameras"));
    let keys = ["head-camera", "head-purpose", "head-basis", "head-lists", "head-hours", "head-area", "head-state"];
    let row = |(id, its): (&CameraId, &CameraSettings)| {
        let area = &its.scope.area;
        vec![
            Said::same(id),
            notice::written(its.scope.purpose.as_ref(), &format!("[cameras.{id}] purpose")),
            notice::basis(its.scope.legal_basis, id),
            Said::same(its.lists.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
            notice::hours(its),
            say("area", &[("zones", count(area.zones().len())), ("masks", count(area.masks().len()))]),
            state(facts, its),
        ]
    };
    out.table(keys.map(bare).to_vec(), facts.settings.cameras.iter().map(row).collect());
}

fn lists(facts: &Facts<'_>, out: &mut Brief) {
    out.heading(bare("lists"));
    let policy = site::policy(facts.settings);
    for (list, its) in &facts.settings.lists {
        out.item(notice::list_line(list, its));
        let values = [
            ("list", Said::same(list)),
            ("rate", Said::same(format!("{:.3}", policy.target_fpir(list) * 1000.0))),
            ("people", count(facts.people_who(|person| person.list == *list))),
        ];
        out.item(say("list-rate", &values));
    }
}

fn gallery(facts: &Facts<'_>, out: &mut Brief) {
    out.heading(bare("gallery"));
    let status = |wanted: PersonStatus| count(facts.people_who(|person| person.status == wanted));
    let rows = |class: &str| Said::same(facts.holdings.0.get(class).copied().unwrap_or_default());
    let values = [
        ("people", count(facts.people.len())),
        ("active", status(PersonStatus::Active)),
        ("withdrawn", status(PersonStatus::Withdrawn)),
        ("restricted", status(PersonStatus::Restricted)),
        ("photos", rows("photographs")),
        ("templates", rows("templates")),
    ];
    out.line(say("gallery-count", &values));
    let values = [
        ("purpose", count(facts.people_who(|person| person.grounds.purpose.is_none()))),
        ("basis", count(facts.people_who(|person| person.grounds.legal_basis.is_none()))),
        ("expiry", count(facts.people_who(|person| person.grounds.expires.is_none()))),
        ("expired", count(facts.people_who(|person| person.grounds.expires.is_some_and(|end| end <= facts.now)))),
    ];
    out.line(say("gallery-grounds", &values));
}

/// How long a class of data is kept.
fn kept(facts: &Facts<'_>, class: &str) -> Said {
    let (evidence, settings) = (&facts.settings.evidence, facts.settings);
    match class {
        "people" | "photographs" | "templates" => bare("keep-enrolment"),
        "pictures" => match evidence.pictures {
            Pictures::Faces => say(
                "keep-pictures",
                &[
                    ("unconfirmed", notice::span(evidence.keep_unconfirmed)),
                    ("rejected", notice::span(evidence.keep_rejected)),
                    ("confirmed", notice::span(evidence.keep_confirmed)),
                ],
            ),
            Pictures::HashOnly | Pictures::None => bare("keep-no-pictures"),
        },
        "alerts" | "journal" | "votes" | "deliveries" => {
            say("keep-with-alert", &[("sightings", notice::span(settings.retention.sightings))])
        }
        "counts-of-strangers" => {
            let days = Duration::from_secs(u64::from(settings.shadow.keep_days) * 86_400);
            say("keep-counts", &[("counts", notice::span(days))])
        }
        "audit" => say("keep-counts", &[("counts", notice::span(settings.retention.audit))]),
        "holds" => bare("keep-hold"),
        _ => bare("keep-as-long"),
    }
}

fn classes(facts: &Facts<'_>, out: &mut Brief) {
    out.heading(bare("classes"));
    let never = vec![bare("class-frames"), Said::same(0), bare("keep-never")];
    let row = |(class, rows): (&&'static str, &u64)| {
        vec![say(&format!("class-{class}"), &[]), Said::same(rows), kept(facts, class)]
    };
    let rows = std::iter::once(never).chain(facts.holdings.0.iter().map(row)).collect();
    out.table(["head-class", "head-count", "head-kept"].map(bare).to_vec(), rows);
    let classes = facts.status.as_ref().and_then(|status| status["retention"].as_object());
    for (class, its) in classes.into_iter().flatten() {
        if let Some(why) = its["held"].as_str() {
            let values = [("class", Said::same(class)), ("due", told(&its["due"])), ("why", Said::same(why))];
            out.item(say("retention-held", &values));
        }
    }
}

fn networks(facts: &Facts<'_>, out: &mut Brief) {
    out.heading(bare("networks"));
    match &facts.networks {
        Err(why) => {
            out.line(say("no-networks", &[("why", Said::same(why))]));
        }
        Ok(about) => {
            for role in ["detector", "embedder", "second"] {
                let its = &about[role];
                if its.is_object() {
                    let values = [
                        ("role", say(&format!("role-{role}"), &[])),
                        ("id", told(&its["id"])),
                        ("licence", told(&its["licence"])),
                        ("usage", told(&its["usage"])),
                        ("digest", told(&its["digest"])),
                    ];
                    out.item(say("network", &values));
                }
            }
        }
    }
    errors(facts, out);
}

/// What the calibration in force expects at the general target rate.
fn errors(facts: &Facts<'_>, out: &mut Brief) {
    let Some(chosen) = &facts.calibration else { return };
    let origin = if facts.fitted() { bare("origin-own") } else { bare("origin-shipped") };
    out.line(say("calibration", &[("id", Said::same(chosen.calibration.id())), ("origin", origin)]));
    let policy = site::policy(facts.settings);
    let people = facts.people.len().max(1);
    let list = facts.settings.lists.keys().next();
    let fmr = list.map_or(0.0, |list| policy.fmr_per_comparison(list, people, policy.looks.len()));
    // A track is judged at these frame counts only.
    let judged = chosen.calibration.cells().filter(|(_, frames, _)| policy.looks.contains(frames));
    let rows = judged.map(|(from_px, frames, decidable)| {
        let row = chosen.calibration.row(from_px, frames).filter(|_| decidable);
        let found = row.map(|row| row.genuine_share(row.threshold(fmr)) * 100.0);
        let found = found.map_or_else(|| bare("not-decidable"), |share| Said::same(format!("{share:.0}")));
        vec![Said::same(format!("{from_px:.0}")), Said::same(frames), found]
    });
    out.table(["head-size", "head-frames", "head-found"].map(bare).to_vec(), rows.collect());
    out.line(say("found-note", &[("people", count(people))]));
}

fn access(facts: &Facts<'_>, out: &mut Brief) {
    let daemon = &facts.settings.daemon;
    out.heading(bare("access"));
    let names = |groups: &[String]| Said::same(if groups.is_empty() { "-".to_owned() } else { groups.join(", ") });
    let values = [
        ("view", names(&daemon.view_groups)),
        ("review", names(&daemon.review_groups)),
        ("admin", names(&daemon.admin_groups)),
        ("dpo", names(&daemon.dpo_groups)),
    ];
    out.line(say("access-groups", &values));
    let accounts = ReviewerRole::ALL.map(|role| (role.as_str(), count(facts.accounts(role))));
    out.line(say("access-reviewers", &accounts));
    out.heading(bare("keys"));
    let (database, audit) = facts.keys_from_credentials();
    for (what, credential) in [("key-database", database), ("key-audit", audit)] {
        let place = match (what, &facts.settings.store.key_server) {
            ("key-database", Some(_)) => "key-network",
            _ if credential => "key-credential",
            _ => "key-file",
        };
        out.item(say("key", &[("what", bare(what)), ("where", bare(place))]));
    }
    out.heading(bare("recipients"));
    match notice::recipients(facts.settings).as_slice() {
        [] => {
            out.line(notice::say("told-nobody", &[]));
        }
        sinks => sinks.iter().for_each(|sink| {
            out.item(sink.clone());
        }),
    }
}

/// What somebody has to weigh or to do.
#[must_use]
pub fn open_points(facts: &Facts<'_>) -> Vec<Said> {
    let settings = facts.settings;
    let mut open: Vec<Said> = settings.undone().into_iter().map(Said::same).collect();
    for (list, its) in &settings.lists {
        let values = [("list", Said::same(list))];
        match (its.rules.confirm, its.rules.votes) {
            (ConfirmBy::Machine, _) => open.push(say("open-machine", &values)),
            (ConfirmBy::Human, 1) => open.push(say("open-one", &values)),
            (ConfirmBy::Human | ConfirmBy::TwoPerson, _) => {}
        }
    }
    for (id, its) in settings.cameras.iter().filter(|(_, its)| its.enabled) {
        if its.scope.area.zones().is_empty() && its.scope.schedule_text.is_empty() {
            open.push(say("open-whole", &[("camera", Said::same(id))]));
        }
    }
    let second = facts.networks.as_ref().is_ok_and(|about| about["second"].is_object());
    let synchronised = facts.status.as_ref().and_then(|status| status["retention"]["clock-synchronised"].as_bool());
    let groundless = facts.groundless();
    for (is_open, point) in [
        (!second, bare("open-second")),
        (!facts.fitted(), bare("open-calibration")),
        (!facts.keys_from_credentials().0 && settings.store.key_server.is_none(), bare("open-key")),
        (groundless > 0, say("open-grounds", &[("count", count(groundless))])),
        (synchronised != Some(true), bare("open-clock")),
        (!summary::place(settings).exists(), bare("bias")),
        (true, bare("open-errors")),
        (true, bare("pad")),
    ] {
        if is_open {
            open.push(point);
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_written_in_both_languages() {
        let words = Words::parse(include_str!("words.toml")).expect("valid TOML");
        // Texts of the notice are the notice's; `bare` is `say` without values.
        let calls = include_str!("mod.rs").replace("notice::say(\"", "(\"").replace("bare(\"", "say(\"");
        assert_eq!(words.faults(&[&calls]), Vec::<String>::new());
        for why in ["no-purpose", "no-legal-basis", "no-notice"] {
            assert!(words.has(&format!("state-{why}")), "{why}");
        }
    }
}
