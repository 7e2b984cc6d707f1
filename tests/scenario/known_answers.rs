//! Real footage with a known answer: three enrolled people walk up to a camera; two strangers walk up to another.
//! (Intel sample videos, CC BY 4.0.)

use sekisho_tests::site::{Site, fetched, shared};
use sekisho_tests::stills::{Cut, cut_last_frame};
use serde_json::Value;
use std::collections::BTreeMap;

/// Where the three faces are in the last frame of `three-people-approach.mp4` (480x270).
const PEOPLE: [(&str, Cut); 3] =
    [("left", (16, 40, 140, 180)), ("middle", (160, 20, 140, 160)), ("right", (300, 60, 140, 180))];

/// A site with the three people enrolled, or `None` (said aloud) when clips or networks are absent.
fn enrolled(list: &str) -> Option<(Site, std::path::PathBuf)> {
    fetched()?;
    let clip = shared("data/clips/three-people-approach.mp4")?;
    let site = Site::new();
    let photos: Vec<_> = PEOPLE.iter().map(|(name, _)| site.path(&format!("{name}.png"))).collect();
    let cuts: Vec<_> = PEOPLE.iter().zip(&photos).map(|((_, cut), path)| (*cut, path.as_path())).collect();
    cut_last_frame(&clip, &cuts).expect("stills");
    for ((name, _), photo) in PEOPLE.iter().zip(&photos) {
        let said = site.enrol(&[name, &photo.display().to_string(), "--list", list]);
        assert!(said.contains("enrolled from 1 photograph"), "{said}");
    }
    Some((site, clip))
}

/// Stages each person's alerts reached.
fn stages(printed: &str) -> BTreeMap<String, Vec<String>> {
    let mut reached: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in printed.lines() {
        let event: Value = serde_json::from_str(line).expect("one JSON object a line");
        if let Some(person) = event["after"]["person"].as_str() {
            let stage = event["after"]["stage"].as_str().expect("a stage").to_owned();
            reached.entry(person.to_owned()).or_default().push(stage);
        }
    }
    reached
}

#[test]
fn three_enrolled_people_are_each_confirmed_once_and_nobody_else() {
    let Some((site, clip)) = enrolled("staff") else { return };
    let printed = site.done(&["replay", &clip.display().to_string(), "--json"]);
    let reached = stages(&printed);
    for (name, _) in PEOPLE {
        assert_eq!(
            reached.get(name).map(Vec::as_slice),
            Some(["candidate", "machine-confirmed", "confirmed"].map(String::from).as_slice()),
            "{name}; everything printed:\n{printed}",
        );
    }
    assert_eq!(reached.len(), PEOPLE.len());
}

#[test]
fn two_strangers_raise_no_alert_and_say_why() {
    let Some((site, _)) = enrolled("staff") else { return };
    let Some(clip) = shared("data/clips/two-strangers-approach.mp4") else { return };
    let printed = site.done(&["replay", &clip.display().to_string(), "--json"]);
    assert!(stages(&printed).is_empty(), "{printed}");
    let verdicts: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(!verdicts.is_empty(), "nobody was even seen");
    for verdict in &verdicts {
        assert!(matches!(verdict["decision"].as_str(), Some("not-enrolled" | "not-decidable")), "{verdict}");
        assert_eq!(verdict["decision"] == "not-decidable", verdict["reason"].is_string(), "{verdict}");
    }
}

#[test]
fn replaying_twice_gives_the_same_bytes() {
    let Some((site, clip)) = enrolled("watch") else { return };
    let clip = clip.display().to_string();
    let once = site.done(&["replay", &clip, "--json"]);
    let twice = site.done(&["replay", &clip, "--json"]);
    assert!(!once.is_empty());
    assert_eq!(once, twice);
}

#[test]
fn an_erased_person_is_not_matched_any_more() {
    let Some((site, clip)) = enrolled("staff") else { return };
    let said = site.done(&["gallery", "erase", "middle"]);
    assert!(said.contains("erased"), "{said}");
    let reached = stages(&site.done(&["replay", &clip.display().to_string(), "--json"]));
    assert!(!reached.contains_key("middle") && reached.contains_key("left"), "{reached:?}");
}
