//! Rules about the text of the repository that no compiler knows. Each failure names the file and what to do.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Lines of a source file; beyond that it says at its head why it is not split: a line with `long:` in the first
/// thirty.
const LINES_MAX: usize = 500;

/// Folders that hold nothing of ours: build output, fetched things, version control.
const NOT_OURS: [&str; 8] =
    ["target", ".git", ".sekisho", ".venv", "venv", "__pycache__", "proptest-regressions", ".ruff_cache"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_owned()
}

/// Every file of the repository, as a path relative to its root, in order. Ignored folders are left out by name.
fn files() -> Vec<String> {
    let ignored = std::fs::read_to_string(root().join(".gitignore")).unwrap_or_default();
    let ignored: BTreeSet<&str> = ignored.lines().map(|line| line.trim_matches('/')).collect();
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(root().join(&folder)).expect("a folder of the repository");
        for entry in entries.map(|entry| entry.expect("a file of the repository")) {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let kind = entry.file_type().expect("a file has a type");
            if ignored.contains(path.as_str()) || NOT_OURS.contains(&name.as_str()) {
                continue;
            }
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn extension(path: &str) -> &str {
    Path::new(path).extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

/// Files that people read, with their text. Binary files and the lock file are not for reading.
fn texts() -> Vec<(String, String)> {
    let read = |path: String| {
        let text = std::fs::read_to_string(root().join(&path)).ok()?;
        Some((path, text))
    };
    files().into_iter().filter(|path| path != "Cargo.lock").filter_map(read).collect()
}

fn sources() -> Vec<(String, String)> {
    texts().into_iter().filter(|(path, _)| ["rs", "py", "sql", "sh", "js", "css"].contains(&extension(path))).collect()
}

#[track_caller]
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn files_are_short_or_say_why_not() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        let excused = text.lines().take(30).any(|line| line.contains("long:"));
        if lines > LINES_MAX && !excused {
            faults.push(format!("{path}: {lines} lines; split it, or write `long: <why>` into its first 30 lines"));
        }
    }
    none(&faults);
}

#[test]
fn source_is_ascii() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        for (count, line) in text.lines().enumerate().filter(|(_, line)| !line.is_ascii()) {
            let odd: String = line.chars().filter(|c| !c.is_ascii()).take(5).collect();
            faults.push(format!("{path}:{}: {:?} is not ASCII; write \\u{{...}} or plain letters", count + 1, odd));
        }
    }
    none(&faults);
}

#[test]
fn no_marker_is_left_behind() {
    // Written in halves, so that this file does not find itself.
    let markers = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("HA", "CK"),
        concat!("db", "g!("),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ign", "ore"),
        concat!("<<<<", "<<<"),
        concat!(">>>>", ">>>"),
    ];
    let mut faults = Vec::new();
    for (path, text) in texts() {
        for (count, line) in text.lines().enumerate() {
            for marker in markers.iter().filter(|marker| stands_alone(line, marker)) {
                faults.push(format!("{path}:{}: {marker} is left over; do it, or say it in prose", count + 1));
            }
        }
    }
    none(&faults);
}

/// Whether `marker` is in `line` and not part of a longer word.
fn stands_alone(line: &str, marker: &str) -> bool {
    line.match_indices(marker).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + marker.len()..].chars().next();
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !joins(before) && (marker.ends_with('(') || !joins(after))
    })
}

#[test]
fn nothing_tells_of_the_place_it_was_written_at() {
    let telling = [
        concat!("/wo", "rk/"),
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/Us", "ers/"),
        concat!("arti", "factory"),
        concat!("j", "frog"),
        concat!("code", "artifact"),
        concat!("index", "-url"),
        concat!("extra-", "index"),
        concat!("trusted", "-host"),
        concat!(".inter", "nal/"),
        concat!(".inter", "nal:"),
    ];
    let mut faults = Vec::new();
    for (path, text) in texts() {
        for (count, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            for word in telling.iter().filter(|word| lower.contains(&word.to_lowercase())) {
                faults.push(format!("{path}:{}: {word} belongs to one machine, not to the project", count + 1));
            }
        }
    }
    none(&faults);
}

/// Words in code quotes or tables of a document that look like a path of this repository.
fn named_paths(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let tops = ["daemon/", "models/", "deploy/", "systemd/", "tests/", ".ci/"];
    text.lines().enumerate().flat_map(move |(count, line)| {
        let words = line.split(|c: char| c.is_whitespace() || "`()[]{}|,;\"'<>=".contains(c));
        let words = words.map(|word| word.trim_end_matches(['.', ':', '/']).trim_start_matches("./"));
        let paths = words.filter(move |word| tops.iter().any(|top| word.starts_with(top)));
        paths.map(move |word| (count + 1, word))
    })
}

#[test]
fn paths_named_in_documents_exist() {
    let known: Vec<String> = files();
    let documents = |path: &str| {
        extension(path) == "md"
            && (!path.contains('/') || path.starts_with("docs/") || path.starts_with("deploy/guide/"))
    };
    let mut faults = Vec::new();
    for (path, text) in texts().into_iter().filter(|(path, _)| documents(path)) {
        for (line, named) in named_paths(&text) {
            // `tests/*.rs` and `models/runs/NAME` stand for many; what they stand in must exist all the same.
            let fixed: Vec<&str> = named
                .split('/')
                .take_while(|part| !part.contains(['*', '$']) && part.to_uppercase() != **part)
                .collect();
            let fixed = fixed.join("/");
            let exists = root().join(&fixed).exists() || known.iter().any(|file| file.starts_with(&fixed));
            if !exists {
                faults.push(format!("{path}:{line}: there is no {named}"));
            }
        }
    }
    none(&faults);
}

/// Names under the dependency tables of a manifest. Development and build dependencies count as well: a test that
/// needs a foreign library reaches around the crate that owns it.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies") && !line.starts_with("[workspace");
        } else if let Some(name) = line.split(['=', '.', ' ']).next().filter(|name| inside && !name.is_empty()) {
            names.push(name.to_owned());
        }
    }
    names
}

#[test]
fn each_foreign_library_has_one_owner() {
    // The test package runs an RTSP server of its own, which is what the cameras under test connect to.
    let owners: [(&str, &[&str]); 3] = [
        ("ort", &["daemon/vision/Cargo.toml"]),
        ("gstreamer", &["daemon/camera/Cargo.toml", "tests/Cargo.toml"]),
        ("rusqlite", &["daemon/store/Cargo.toml"]),
    ];
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, text) in texts().into_iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        for name in dependencies(&text) {
            for (library, allowed) in owners {
                let same = name == library || name.strip_prefix(library).is_some_and(|rest| rest.starts_with('-'));
                if same && allowed.contains(&path.as_str()) {
                    seen.insert(library);
                } else if same {
                    faults.push(format!("{path}: {name} belongs to {}; ask that crate instead", allowed[0]));
                }
            }
        }
    }
    none(&faults);
    assert_eq!(seen.len(), owners.len(), "a library has no owner any more: {seen:?}");
}

#[test]
fn the_deciding_crate_depends_on_nothing_that_waits_or_reads() {
    let manifest = std::fs::read_to_string(root().join("daemon/logic/Cargo.toml")).expect("it exists");
    let allowed = ["serde", "serde_json", "thiserror", "proptest", "toml"];
    let odd: Vec<_> = dependencies(&manifest).into_iter().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert!(odd.is_empty(), "daemon/logic/Cargo.toml: {odd:?} could wait, read a clock or open a file");
}

#[test]
fn the_glossary_defines_what_it_promises() {
    let glossary = std::fs::read_to_string(root().join("GLOSSARY.md")).expect("GLOSSARY.md");
    for word in [
        "frame",
        "crop",
        "face",
        "track",
        "template",
        "probe",
        "gallery",
        "person",
        "similarity",
        "likelihood ratio",
        "candidate",
        "confirmed",
        "list",
        "visit",
        "look",
        "stage",
        "vote",
        "sink",
        "outbox",
        "credential",
    ] {
        assert!(glossary.contains(&format!("**{word}**")), "GLOSSARY.md does not define {word}");
    }
    for unwanted in ["confidence", "percent", "session", "user"] {
        assert!(glossary.contains(&format!("| {unwanted}")), "GLOSSARY.md does not say what to write for {unwanted}");
    }
}

#[test]
fn the_rules_recognise_what_they_forbid() {
    let marker = concat!("FIX", "ME");
    assert!(stands_alone(&format!("// {marker}: later"), marker) && stands_alone(marker, marker));
    assert!(!stands_alone(&format!("PRE{marker}"), marker) && !stands_alone(&format!("{marker}D"), marker));
    let text = "See `daemon/logic`, deploy/setup.\n| tests/support | x |";
    assert_eq!(named_paths(text).collect::<Vec<_>>(), [(1, "daemon/logic"), (1, "deploy/setup"), (2, "tests/support")]);
    let manifest = "[package]\nname = \"x\"\n[dependencies]\nort.workspace = true\n[target.x.dev-dependencies]\na = \"1\"\n\n[lints]\nb = 1\n";
    assert_eq!(dependencies(manifest), ["ort", "a"]);
}
