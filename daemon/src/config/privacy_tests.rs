//! What cameras may be used for, whose rules are in force, and what is still to be written down.

use super::privacy::{NotMatched, RequirePurpose};
use super::*;
use sekisho_logic::hours::Hours;
use sekisho_logic::id::{CameraId, ListId};
use sekisho_logic::lawful::LegalBasis;
use sekisho_logic::policy::ConfirmBy;
use std::time::Duration;

const GATE: &str = "[cameras.gate]\nsource = \"file:///a.mp4\"\n";
const GROUNDS: &str = "purpose = \"Let staff in\"\nlegal-basis = \"consent\"\n";

fn good(text: &str) -> Settings {
    parse(Path::new("s.toml"), text).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

fn complaint(text: &str) -> String {
    let said = parse(Path::new("s.toml"), text).expect_err(text).to_string();
    assert_eq!(said.lines().count(), 1, "{text}\n{said}");
    said
}

fn gate(settings: &Settings) -> &settings::CameraSettings {
    &settings.cameras[&CameraId::try_new("gate").expect("a name")]
}

#[test]
fn a_cameras_limits_are_read() {
    let text = format!(
        "{GATE}{GROUNDS}zones = [[[0.1, 0.2], [0.9, 0.2], [0.9, 0.9]], [[0, 0], [1, 0], [0, 1]]]\n\
         masks = [[[0.5, 0.5], [1, 0.5], [1, 1]]]\nschedule = [\"mon-fri 08:00-18:00\"]\nkeep-days = 7\n"
    );
    let settings = good(&text);
    let scope = &gate(&settings).scope;
    assert_eq!((scope.purpose.as_deref(), scope.legal_basis), (Some("Let staff in"), Some(LegalBasis::Consent)));
    assert_eq!((scope.area.zones().len(), scope.area.masks().len()), (2, 1));
    assert_eq!(scope.keep, Some(Duration::from_secs(7 * 86_400)));
    assert_ne!(scope.schedule, Hours::always());
    assert_eq!(scope.schedule_text, ["mon-fri 08:00-18:00"]);
    let plain = good(GATE);
    assert_eq!(gate(&plain).scope, settings::Scope::default());
}

#[test]
fn limits_that_make_no_sense_are_named_with_what_is_allowed() {
    for (text, want) in [
        ("zones = [[[0.1, 0.2], [0.9, 0.2]]]\n", "zones: number 1: a polygon has fewer than three corners"),
        ("zones = [[[0, 0], [1, 1], [1, 0], [0, 1]]]\n", "two sides of a polygon cross"),
        ("masks = [[[0, 0], [2, 0], [0, 1]]]\n", "masks: number 1: a corner lies outside the picture"),
        ("masks = [[0, 0], [1, 0], [0, 1]]\n", "masks: is no list of outlines; allowed are polygons"),
        ("zones = \"all\"\n", "zones: is no list of outlines"),
        ("legal-basis = \"because\"\n", "legal-basis: \"because\" is none of the words"),
        ("schedule = []\n", "would look at people for nothing"),
        ("keep-days = 31\n", "31 days are longer than the 30 days of [evidence]"),
        ("[evidence]\nkeep-days = 60\n", "pictures would be kept for 60 days and the alerts they belong to for 30"),
        ("[privacy]\npublished-at = \"soon\"\n", "published-at: \"soon\" is no day"),
        ("[privacy]\nnotice-url = \"ftp://x\"\n", "notice-url: is no such address"),
    ] {
        let said = complaint(&format!("{GATE}{text}"));
        assert!(said.contains(want), "{said}\nwanted: {want}");
    }
    let japanese = GROUNDS.replace("consent", "notified-purpose");
    let said = complaint(&format!("[privacy]\nprofile = \"eu\"\n{GATE}{japanese}"));
    assert!(said.contains("a basis of Japanese law"), "{said}");
}

#[test]
fn the_eu_profile_asks_two_people_and_holds_cameras_back_until_all_is_written_down() {
    let confirm =
        |settings: &Settings, list: &str| settings.lists[&ListId::try_new(list).expect("a name")].rules.confirm;
    let eu = good(&format!("[privacy]\nprofile = \"eu\"\n[lists.one]\nconfirm = \"human\"\n{GATE}"));
    assert_eq!(confirm(&eu, "watch"), ConfirmBy::TwoPerson);
    assert_eq!((confirm(&eu, "staff"), confirm(&eu, "one")), (ConfirmBy::Machine, ConfirmBy::Human));
    assert_eq!(eu.privacy.require_purpose, RequirePurpose::Refuse);
    assert_eq!(eu.not_matched(gate(&eu)), Some(NotMatched::NoNotice));
    assert_eq!(eu.hours_of(gate(&eu)), Hours::never());
    let up = "[privacy]\nprofile = \"eu\"\npublished-at = \"2026-11-01\"\n";
    let half = good(&format!("{up}{GATE}purpose = \"Let staff in\"\n"));
    assert_eq!(half.not_matched(gate(&half)), Some(NotMatched::NoLegalBasis));
    let whole = good(&format!("{up}{GATE}{GROUNDS}"));
    assert_eq!(whole.not_matched(gate(&whole)), None);
    assert!(!whole.profile_changes().is_empty() && good(GATE).profile_changes().is_empty());
}

#[test]
fn without_a_profile_a_camera_without_purpose_is_matched_and_said() {
    let plain = good(GATE);
    assert_eq!((plain.not_matched(gate(&plain)), confirm_of_watch(&plain)), (None, ConfirmBy::Human));
    assert_eq!(plain.undone().len(), 2, "{:?}", plain.undone());
    let strict = good(&format!("[privacy]\nrequire-purpose = \"refuse\"\n{GATE}"));
    assert_eq!(strict.not_matched(gate(&strict)), Some(NotMatched::NoPurpose));
    assert_eq!(strict.held_cameras().count(), 1);
    let done = good(&format!("[privacy]\npublished-at = \"2026-11-01\"\n{GATE}{GROUNDS}"));
    assert_eq!(done.undone(), Vec::<String>::new());
}

fn confirm_of_watch(settings: &Settings) -> ConfirmBy {
    settings.lists[&ListId::try_new("watch").expect("a name")].rules.confirm
}

#[test]
fn a_reload_moves_limits_without_dropping_a_stream() {
    let old = good(&format!("{GATE}{GROUNDS}"));
    let moved = good(&format!("{GATE}{GROUNDS}zones = [[[0, 0], [1, 0], [0, 1]]]\n"));
    let plan = diff(&old, &moved);
    assert_eq!((plan.policy, plan.vision), (Change::Differs, Change::Differs));
    assert!(plan.cameras_reconnected.is_empty() && plan.restart.is_empty());
}
