//! The words of the review page: both languages say the same things, the page finds every word it asks for, and none of
//! the words that we do not use.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Beginnings of keys that the page puts together from the daemon's own words; `daemon/logic` has those words.
const FROM_THE_DAEMON: [&str; 26] = [
    "advice.",
    "answer.",
    "camera-state.",
    "camera.is.",
    "cause.",
    "evidence.against.",
    "evidence.for.",
    "help.",
    "history.",
    "link.",
    "look.",
    "outcome.",
    "picture.",
    "reason.",
    "refused.",
    "role.",
    "sending.",
    "settings.theme.",
    "size.",
    "stage.",
    "stand.",
    "step.",
    "todo.",
    "undecided.",
    "unfit.",
    "why.",
];

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../daemon/src/web/page")
}

fn words(language: &str) -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(page().join(format!("words-{language}.json"))).expect("the words");
    let entries: BTreeMap<String, Value> = serde_json::from_str(&text).expect("JSON");
    assert_eq!(text.matches("\": ").count(), keys_of(&entries), "{language}: a key stands there twice");
    let texts = |value: &Value| match value {
        Value::String(text) => vec![text.clone()],
        Value::Object(forms) => {
            let forms: BTreeMap<_, _> = forms.iter().collect();
            assert_eq!(forms.keys().map(|key| key.as_str()).collect::<Vec<_>>(), ["one", "other"], "{value}");
            forms.values().map(|text| text.as_str().expect("a text").to_owned()).collect()
        }
        other => panic!("{other} is neither a text nor texts"),
    };
    entries.iter().map(|(key, value)| (key.clone(), texts(value))).collect()
}

/// Keys and forms together, as the file writes them; a text with `": ` in it would be counted too, and none has.
fn keys_of(entries: &BTreeMap<String, Value>) -> usize {
    entries.values().map(|value| value.as_object().map_or(1, |forms| forms.len() + 1)).sum()
}

fn places(texts: &[String]) -> BTreeSet<&str> {
    texts.iter().flat_map(|text| text.split('{').skip(1).filter_map(|rest| rest.split('}').next())).collect()
}

fn scripts() -> String {
    let files = std::fs::read_dir(page()).expect("the page").map(|entry| entry.expect("a file").path());
    let scripts = files.filter(|path| path.extension().is_some_and(|end| end == "js"));
    scripts.map(|path| std::fs::read_to_string(path).expect("a script")).collect()
}

#[test]
fn both_languages_say_the_same_things() {
    let (english, japanese) = (words("en"), words("ja"));
    let keys = |words: &BTreeMap<String, Vec<String>>| words.keys().cloned().collect::<BTreeSet<_>>();
    let (en, ja) = (keys(&english), keys(&japanese));
    assert_eq!(en.difference(&ja).collect::<Vec<_>>(), Vec::<&String>::new(), "not in Japanese");
    assert_eq!(ja.difference(&en).collect::<Vec<_>>(), Vec::<&String>::new(), "not in English");
    for (key, texts) in &english {
        assert_eq!(places(texts), places(&japanese[key]), "{key}: the places differ");
        assert!(texts.iter().chain(&japanese[key]).all(|text| !text.trim().is_empty()), "{key} is empty");
    }
}

#[test]
fn the_page_finds_every_word_it_asks_for_and_no_word_is_left_over() {
    let (english, scripts) = (words("en"), scripts());
    let asked: BTreeSet<&str> = scripts
        .split('\'')
        .filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '.' || c == '-') && word.contains('.'))
        .filter(|word| !word.starts_with('.') && !word.ends_with('.') && !word.ends_with(".js"))
        .collect();
    let known_words = |word: &&&str| english.contains_key(**word);
    assert!(asked.iter().filter(known_words).count() > 100, "the search finds too little: {asked:?}");
    for call in scripts.split("t('").skip(1).filter_map(|rest| rest.split('\'').next()) {
        // `closest('.strip')` ends in the same letter.
        let a_key = !call.is_empty()
            && !call.starts_with('.')
            && call.chars().all(|c| c.is_ascii_lowercase() || c == '.' || c == '-');
        assert!(!a_key || english.contains_key(call) || !call.contains('.'), "there are no words for {call}");
    }
    for key in english.keys().filter(|key| !FROM_THE_DAEMON.iter().any(|group| key.starts_with(group))) {
        assert!(scripts.contains(&format!("'{key}'")), "nobody says {key}");
    }
}

#[test]
fn what_the_daemon_may_say_has_words() {
    use sekisho_camera::CameraState;
    use sekisho_logic::face::Unfit;
    use sekisho_logic::outcome::Undecidable;
    use sekisho_logic::record::{Cause, Stage};
    let english = words("en");
    let mut wanted: Vec<String> = Vec::new();
    wanted.extend(Stage::ALL.iter().map(|stage| format!("stage.{}", stage.as_str())));
    wanted.extend(Cause::ALL.iter().map(|cause| format!("cause.{}", cause.as_str())));
    wanted.extend(Unfit::ALL.iter().map(|unfit| format!("unfit.{}", unfit.as_str())));
    wanted.extend(Undecidable::ALL.iter().map(|why| format!("undecided.{}", why.as_str())));
    for state in CameraState::ALL {
        wanted.extend(["camera-state", "camera.is"].map(|group| format!("{group}.{}", state.as_str())));
    }
    let ended = Stage::ALL.iter().filter(|stage| stage.is_final() || **stage == Stage::Candidate);
    wanted.extend(ended.map(|stage| format!("stand.{}", stage.as_str())));
    let missing: Vec<_> = wanted.iter().filter(|key| !english.contains_key(*key)).collect();
    assert!(missing.is_empty(), "no words for {missing:?}");
}

#[test]
fn words_we_do_not_use_are_not_used() {
    for (key, texts) in words("en") {
        let text = texts.join(" ").to_lowercase();
        for word in
            ["confidence", "percent", "%", "suspect", "target", "blacklist", "whitelist", "match", "probability"]
        {
            assert!(!text.contains(word), "{key}: {word} is not our word: {text}");
        }
    }
    for (key, texts) in words("ja") {
        for word in ["%", "\u{ff05}", "\u{5bb9}\u{7591}\u{8005}", "\u{78ba}\u{7387}"] {
            assert!(!texts.join(" ").contains(word), "{key}: {word} is not our word");
        }
    }
}
