//! The manual pages say what the program takes, and the Japanese ones as much as the English ones. Verbs and audit actions
//! are held to the program in tests/shipped.rs, keys in `daemon/src/config`.

use clap::{Command, CommandFactory as _};
use sekisho::cmd::Cli;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command as Program;

/// Items (`.It` lines) of the English pages that are being written and whose Japanese is still to come. Empty when all is said
/// in both languages.
const NOT_TRANSLATED_YET: [&str; 0] = [];

fn text(path: &str) -> String {
    let path = sekisho_tests::site::root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every verb with its own options.
fn verbs(command: &Command, before: &str, into: &mut Vec<(String, BTreeSet<String>)>) {
    for one in command.get_subcommands().filter(|one| one.get_name() != "help") {
        let name = format!("{before} {}", one.get_name()).trim().to_owned();
        if one.has_subcommands() {
            verbs(one, &name, into);
            continue;
        }
        let options = one.get_arguments().filter_map(|option| option.get_long()).map(str::to_owned).collect();
        into.push((name, options));
    }
}

#[test]
fn every_option_of_the_manual_is_one_and_every_option_is_in_it() {
    let (page, mut all) = (text("deploy/man/sekisho.1"), Vec::new());
    verbs(&Cli::command(), "", &mut all);
    let every: BTreeSet<_> = all
        .iter()
        .flat_map(|(_, options)| options.clone())
        .chain(["config".into(), "help".into(), "version".into()])
        .collect();
    let named = |line: &str| {
        let mut words = line.split_whitespace().peekable();
        let mut found = Vec::new();
        while let Some(word) = words.next() {
            if word == "Fl"
                && let Some(option) = words.peek().and_then(|option| option.strip_prefix('-'))
            {
                found.push(option.to_owned());
            }
        }
        found
    };
    let told: BTreeSet<_> = page.lines().map(|line| line.trim_start_matches('.')).flat_map(named).collect();
    assert_eq!(
        told.difference(&every).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "the manual names options that are none"
    );
    assert_eq!(
        every.difference(&told).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "options that the manual does not name"
    );
}

/// What a page says of each item: the arguments of the macros that name things, whatever the language around them.
fn items(page: &str) -> BTreeMap<String, BTreeSet<(String, String)>> {
    let (mut items, mut current) = (BTreeMap::<_, BTreeSet<_>>::new(), "the beginning".to_owned());
    let mut sections = 0;
    for line in page.lines() {
        if line.starts_with(".It ") {
            line.clone_into(&mut current);
        } else if line.starts_with(".Sh ") || line.starts_with(".Ss ") {
            sections += 1;
            current = format!("section {sections}");
        }
        let of = items.entry(current.clone()).or_default();
        let mut words = line.trim_start_matches('.').split_whitespace().peekable();
        while let Some(word) = words.next() {
            if ["Fl", "Ic", "Pa", "Ev", "Xr"].contains(&word)
                && (line.starts_with('.'))
                && let Some(named) = words.peek()
            {
                of.insert((word.to_owned(), named.trim_matches(['.', ',', ';', ':']).to_owned()));
            }
        }
    }
    items
}

#[test]
fn the_japanese_pages_have_every_item_option_key_and_file_of_the_english_ones() {
    for page in ["sekisho.1", "sekisho.toml.5"] {
        let (english, japanese) =
            (items(&text(&format!("deploy/man/{page}"))), items(&text(&format!("deploy/man/ja/{page}"))));
        assert!(english.len() > 100, "{page}: only {} items were found", english.len());
        let mut faults = Vec::new();
        for (item, named) in english.iter().filter(|(item, _)| !NOT_TRANSLATED_YET.contains(&item.as_str())) {
            match japanese.get(item) {
                None => faults.push(format!("there is no {item}")),
                Some(other) if other != named => {
                    faults.push(format!("{item}: {:?}", named.symmetric_difference(other).collect::<Vec<_>>()));
                }
                Some(_) => {}
            }
        }
        faults.extend(
            japanese.keys().filter(|item| !english.contains_key(*item)).map(|item| format!("only in Japanese: {item}")),
        );
        assert!(faults.is_empty(), "deploy/man/ja/{page}:\n{}", faults.join("\n"));
    }
}

#[test]
fn the_japanese_pages_show_the_same_defaults_and_examples() {
    let defaults = |page: &str, word: &str| -> Vec<String> {
        let lines = page.lines().filter_map(|line| line.strip_prefix(word));
        lines
            .map(|value| value.trim_end_matches('.').split_once(" for ").map_or(value, |(value, _)| value))
            .map(|value| {
                value.trim_end_matches('.').split('(').next().unwrap_or_default().trim_end_matches(']').to_owned()
            })
            .collect()
    };
    let (english, japanese) = (text("deploy/man/sekisho.toml.5"), text("deploy/man/ja/sekisho.toml.5"));
    let (of_english, of_japanese) =
        (defaults(&english, "Default: "), defaults(&japanese, "\u{65e2}\u{5b9a}\u{5024}: "));
    assert!(of_english.len() > 80, "only {} defaults were found", of_english.len());
    assert_eq!(of_english, of_japanese);
    for page in ["sekisho.1", "sekisho.toml.5"] {
        let blocks = |text: String| {
            let shown =
                text.split(".Bd ").skip(1).map(|block| block.split(".Ed").next().unwrap_or_default().to_owned());
            let lines = text.lines().filter(|line| line.starts_with(".Dl ")).map(str::to_owned);
            shown.chain(lines).collect::<Vec<_>>()
        };
        assert_eq!(
            blocks(text(&format!("deploy/man/{page}"))),
            blocks(text(&format!("deploy/man/ja/{page}"))),
            "{page}"
        );
    }
}

#[test]
fn the_japanese_pages_are_well_formed() {
    for page in ["deploy/man/ja/sekisho.1", "deploy/man/ja/sekisho.toml.5"] {
        let path = sekisho_tests::site::root().join(page);
        // Warnings are about names of sections, which are English in the standard's eyes.
        let checked = Program::new("mandoc").args(["-Kutf-8", "-Tlint", "-Werror"]).arg(&path).output();
        let Ok(checked) = checked else {
            eprintln!("SKIPPED: mandoc cannot be run here");
            return;
        };
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
}
