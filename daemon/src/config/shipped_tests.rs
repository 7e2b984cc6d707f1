//! The shipped file is the manual: it says what the code does, all of it, and nothing else.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

const SHIPPED: &str = include_str!("../../../deploy/config.toml");
const MAN_PAGE: &str = include_str!("../../../deploy/man/sekisho.toml.5");

/// Examples are `#key = ...` and `#[section]`; prose has a blank after the `#`.
fn example(line: &str) -> Option<&str> {
    let rest = line.strip_prefix('#')?;
    rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()).then_some(rest)
}

/// The shipped file with every example taken up.
pub(super) fn uncommented() -> String {
    SHIPPED.lines().map(|line| example(line).unwrap_or(line).to_owned() + "\n").collect()
}

/// Section (as documented) and key, with the value as written.
type Keys = BTreeMap<(String, String), String>;

fn keys_of(text: &str) -> Keys {
    let mut section = String::new();
    let mut keys = Keys::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
            if let Some((group, name)) = name.split_once('.')
                && !["staff", "watch"].contains(&name)
            {
                let inner = if name.contains(".at.") { ".at.CAMERA" } else { "" };
                section = format!("{group}.NAME{inner}");
            }
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            // A second example of one section (a recording among the cameras) repeats keys; the first one counts.
            keys.entry((section.clone(), key.to_owned())).or_insert_with(|| value.to_owned());
        }
    }
    keys
}

/// Keys the reader knows, with their defaults. The two built-in lists know what every list knows, and the shipped file
/// explains the keys once.
fn known() -> BTreeMap<(String, String), Option<String>> {
    known_keys().into_iter().map(|info| ((info.section, info.key.to_owned()), info.default)).collect()
}

fn is_built_in_list((section, _): &(String, String)) -> bool {
    section == "lists.staff" || section == "lists.watch"
}

#[test]
fn the_shipped_file_means_the_defaults() {
    let settings = parse(Path::new("config.toml"), SHIPPED).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(settings, Settings::default());
}

#[test]
fn with_every_example_taken_up_it_is_still_valid() {
    let text = uncommented();
    let settings = parse(Path::new("config.toml"), &text).unwrap_or_else(|problems| panic!("{problems}"));
    let defaults = Settings::default();
    assert_eq!(settings.daemon, defaults.daemon);
    assert_eq!(settings.models, defaults.models);
    assert_eq!(settings.store, defaults.store);
    assert_eq!(settings.detect, defaults.detect);
    assert_eq!(settings.quality, defaults.quality);
    assert_eq!(settings.track, defaults.track);
    assert_eq!(settings.decide, defaults.decide);
    for (name, list) in &defaults.lists {
        assert_eq!(settings.lists[name].rules, list.rules, "{name}");
    }
    assert!(settings.cameras.len() >= 2 && !settings.sinks.is_empty() && settings.lists.len() >= 3);
}

#[test]
fn the_shipped_file_has_every_key_with_its_true_default_and_no_other() {
    let (shipped, known) = (keys_of(&uncommented()), known());
    for (key, default) in &known {
        let Some(written) = shipped.get(key) else {
            assert!(is_built_in_list(key), "deploy/config.toml does not explain {key:?}");
            continue;
        };
        // Named sections are examples; their defaults hold too, but for what differs on purpose from list to list.
        if let Some(default) = default.as_ref().filter(|_| key.0 != "lists.NAME") {
            assert_eq!(written, default, "deploy/config.toml shows another default for {key:?}");
        }
    }
    for key in shipped.keys() {
        assert!(known.contains_key(key), "deploy/config.toml explains {key:?}, which no code reads");
    }
}

#[test]
fn every_key_is_explained_before_it_is_shown() {
    let mut explained = false;
    for (count, line) in SHIPPED.lines().enumerate() {
        if line.starts_with("# ") {
            explained = true;
        } else if line.is_empty() {
            explained = false;
        } else if example(line).is_some_and(|text| text.contains(" = ")) {
            // The built-in lists and their example are explained by the paragraph above all three.
            let of_a_list = [
                "purpose",
                "confirm",
                "votes",
                "vote-expires-s",
                "cool-down-s",
                "schedule",
                "quiet-hours",
                "target-fpir-per-mille",
                "purpose-text",
                "legal-basis",
                "notice-version",
                "expires-days",
            ];
            let key = line.trim_start_matches('#').split(" = ").next().unwrap_or_default();
            assert!(explained || of_a_list.contains(&key), "line {}: {line}", count + 1);
        }
    }
    assert!(SHIPPED.lines().all(|line| line.len() <= 120 && line.is_ascii()));
}

/// Sections, keys and the text of each key's paragraph in the man page: `.Ss [detect]`, `.It Ic analysed-fps`.
fn man_page() -> BTreeMap<(String, String), String> {
    let (mut section, mut current) = (String::new(), None);
    let mut keys = BTreeMap::<(String, String), String>::new();
    for line in MAN_PAGE.lines() {
        if let Some(name) = line.strip_prefix(".Ss [") {
            name.trim_end_matches(']').clone_into(&mut section);
            current = None;
        } else if let Some(key) = line.strip_prefix(".It Ic ") {
            current = Some((section.clone(), key.to_owned()));
        }
        if let Some(current) = &current {
            let text = keys.entry(current.clone()).or_default();
            text.push_str(line);
            text.push('\n');
        }
    }
    keys
}

#[test]
fn the_man_page_has_every_key_with_its_true_default_and_no_other() {
    let (page, known) = (man_page(), known());
    for (key, default) in known.iter().filter(|(key, _)| !is_built_in_list(key)) {
        let text = page.get(key).unwrap_or_else(|| panic!("sekisho.toml.5 does not explain {key:?}"));
        if let Some(default) = default.as_ref().filter(|_| key.0 != "lists.NAME") {
            let shown = format!("Default: {}", default.replace('"', "\\(dq"));
            assert!(text.contains(&shown), "sekisho.toml.5, {key:?}: wanted {shown:?} in\n{text}");
        }
    }
    let unknown: BTreeSet<_> = page.keys().filter(|key| !known.contains_key(*key)).collect();
    assert!(unknown.is_empty(), "sekisho.toml.5 explains what no code reads: {unknown:?}");
}
