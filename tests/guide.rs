//! The guide says what the program does: its commands parse, its configuration is valid, its messages are printed, its
//! files exist, its figures stand in the tables it names, and its Japanese pages say as much as the English ones.

use clap::Parser as _;
use clap::error::ErrorKind;
use sekisho::cmd::Cli;
use sekisho_logic::figures::px_per_m;
use sekisho_tests::guide::{Page, calls, folder, pages};
use sekisho_tests::site::{files, root};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Pages that were there before the rest of the guide, with structures of their own in each language.
const OF_THEIR_OWN: [&str; 2] = ["privacy.md", "review.md"];

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Whether the command line knows these words; where something is left out, as in "`sekisho review`", that is no fault.
fn known(call: &[String], whole: bool) -> Result<(), String> {
    let words = std::iter::once("sekisho").chain(call.iter().map(String::as_str));
    match Cli::try_parse_from(words) {
        Ok(_) => Ok(()),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(()),
            ErrorKind::InvalidValue
            | ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                if !whole =>
            {
                Ok(())
            }
            _ => Err(error.to_string().lines().next().unwrap_or_default().to_owned()),
        },
    }
}

#[test]
fn every_command_of_the_guide_is_one() {
    let (mut faults, mut tried) = (Vec::new(), 0);
    for page in pages() {
        let blocks = page.blocks.iter().filter(|block| block.language == "sh").map(|block| (block.text.clone(), true));
        let spans = page.spans().into_iter().map(|span| (span, false));
        for (text, whole) in blocks.chain(spans) {
            for call in calls(&text) {
                tried += 1;
                if let Err(said) = known(&call, whole) {
                    faults.push(format!("{}: sekisho {}: {said}", page.name, call.join(" ")));
                }
            }
        }
    }
    assert!(tried > 150, "only {tried} commands were found");
    none(&faults);
}

#[test]
fn every_key_of_the_guide_is_one_and_its_configurations_are_valid() {
    let keys: BTreeSet<_> = sekisho::config::known_keys().into_iter().map(|key| (key.section, key.key)).collect();
    let (mut faults, mut tried) = (Vec::new(), 0);
    for page in pages() {
        for block in page.blocks.iter().filter(|block| block.language == "toml") {
            tried += 1;
            if let Err(wrong) = sekisho::config::parse(Path::new(&page.name), &block.text) {
                faults.push(format!("{wrong}"));
            }
        }
        for span in page.spans().iter() {
            let Some((section, rest)) = span.strip_prefix('[').and_then(|span| span.split_once(']')) else { continue };
            // Names of people, lists and cameras stand for any.
            let section = match section.split('.').collect::<Vec<_>>()[..] {
                [table, _] => format!("{table}.NAME"),
                [table, _, "at", _] => format!("{table}.NAME.at.CAMERA"),
                _ => section.to_owned(),
            };
            let key = rest.trim_start_matches(':').split([' ', '=']).find(|word| !word.is_empty());
            let mut of_section = keys.iter().filter(|(of, _)| *of == section).map(|(_, key)| *key).peekable();
            if of_section.peek().is_none()
                || key.is_some_and(|key| !key.starts_with('<') && of_section.all(|one| one != key))
            {
                // The form of a message, not a key.
                if !section.starts_with('<') {
                    faults.push(format!("{}: there is no {span}", page.name));
                }
            }
            tried += 1;
        }
    }
    assert!(tried > 60, "only {tried} were found");
    none(&faults);
}

/// The program's own text: without tests, with strings that go over lines in one, without quotes.
fn sources() -> Vec<String> {
    let all = files(&root().join("daemon"));
    let all = all.into_iter().filter(|(path, _)| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        path.extension().is_some_and(|end| end == "rs") && !name.ends_with("tests.rs")
    });
    all.map(|(_, bytes)| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let text = text.split("\n#[cfg(test)]").next().unwrap_or_default();
        let joined: Vec<_> =
            text.split("\\\n").enumerate().map(|(at, part)| if at > 0 { part.trim_start() } else { part }).collect();
        plain(&joined.concat())
    })
    .collect()
}

fn plain(text: &str) -> String {
    text.replace(['`', '"', '\\'], "")
}

/// Whether the parts of a message stand one after the other, near each other, in a text.
fn says(text: &str, parts: &[&str]) -> bool {
    let Some((first, rest)) = parts.split_first() else { return true };
    text.match_indices(first).any(|(at, _)| {
        let mut from = at + first.len();
        rest.iter().all(|part| {
            let end = text.len().min(from + 200);
            let window = text.get(from..(from..=end).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(from));
            let found = window.unwrap_or_default().find(part);
            found.is_some_and(|found| {
                from += found + part.len();
                true
            })
        })
    })
}

#[test]
fn every_message_of_troubleshooting_is_one_that_the_program_prints() {
    let sources = sources();
    let page = Page::read("troubleshoot.md");
    let messages: Vec<_> = page.headings().into_iter().filter(|(level, _)| *level == 3).map(|(_, text)| text).collect();
    assert!(messages.len() > 60, "only {} messages", messages.len());
    let mut faults = Vec::new();
    for message in messages {
        assert!(message.starts_with('`') && message.ends_with('`'), "{message}: a heading is the message");
        let message = message.replace("not decidable: ", "");
        let text = plain(&message);
        let parts = text
            .split('<')
            .enumerate()
            .map(|(at, part)| if at == 0 { part } else { part.split_once('>').map_or(part, |(_, rest)| rest) });
        let parts: Vec<_> = parts.map(str::trim).filter(|part| part.len() > 1).collect();
        if !sources.iter().any(|source| says(source, &parts)) {
            faults.push(format!("nothing prints {message}: {parts:?}"));
        }
    }
    none(&faults);
    assert!(!sources.iter().any(|source| says(source, &["the camera", "is made of cheese"])), "the test can fail");
}

#[test]
fn every_file_link_and_name_of_the_guide_exists() {
    let shipped = ["systemd", "deploy", "daemon", "models", "tests"].map(|top| files(&root().join(top))).concat();
    let shipped: Vec<_> =
        shipped.into_iter().map(|(path, bytes)| (path, String::from_utf8_lossy(&bytes).into_owned())).collect();
    let elsewhere = |word: &str| {
        shipped
            .iter()
            .any(|(path, text)| !path.starts_with(folder()) && !path.ends_with("tests/guide.rs") && text.contains(word))
    };
    let mut faults = Vec::new();
    for page in pages() {
        for link in page.links().into_iter().filter(|link| !link.starts_with("http")) {
            if !folder().join(link.split('#').next().unwrap_or_default()).exists() {
                faults.push(format!("{}: {link} leads nowhere", page.name));
            }
        }
        for span in page.spans().iter() {
            let word = span.trim_end_matches('/');
            let path = ["/usr/", "/etc/", "/var/", "/run/"].iter().any(|top| word.starts_with(top));
            // Words such as `machine-confirmed`, `store.key`, `MemoryMax=` are somebody's: a key, a state, a file.
            let name = word.len() > 3
                && word.contains(['-', '_', '.', '='])
                && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.=".contains(c))
                && word.starts_with(|c: char| c.is_ascii_alphabetic());
            let metric = word.strip_prefix("sekisho_").unwrap_or(word);
            let metric = word.strip_prefix("/usr/lib/sekisho/providers/").unwrap_or(metric);
            let a_file = word.ends_with(".conf") || word.ends_with(".toml") || word.contains("sekisho.store-key");
            if (path || name) && !elsewhere(metric) && !a_file {
                faults.push(format!("{}: nothing here is called {span}", page.name));
            }
        }
    }
    none(&faults);
}

#[test]
fn both_languages_say_as_much() {
    let all = pages();
    let (japanese, english): (Vec<_>, Vec<_>) = all.iter().partition(|page| page.name.ends_with(".ja.md"));
    assert_eq!(english.len(), japanese.len(), "a page is there in one language only");
    let mut faults = Vec::new();
    for page in english {
        let name = page.name.replace(".md", ".ja.md");
        let other = japanese.iter().find(|other| other.name == name).unwrap_or_else(|| panic!("there is no {name}"));
        let mut same = |what: &str, same: bool| {
            if !same {
                faults.push(format!("{} and {name}: {what} differ", page.name));
            }
        };
        let levels = |page: &Page| page.headings().iter().map(|(level, _)| *level).collect::<Vec<_>>();
        same("headings", levels(page) == levels(other));
        if OF_THEIR_OWN.contains(&page.name.as_str()) {
            continue;
        }
        let shape = |page: &Page| page.rows().iter().map(Vec::len).collect::<Vec<_>>();
        same("tables", shape(page) == shape(other));
        let messages = |page: &Page| {
            let headings = page.headings().into_iter().map(|(_, text)| text.to_owned());
            headings.filter(|text| text.starts_with('`')).collect::<Vec<_>>()
        };
        same("messages", messages(page) == messages(other));
        same("blocks of code", page.blocks == other.blocks);
        same("lists", page.points() == other.points());
        let links =
            |page: &Page| page.links().iter().map(|link| link.replace(".ja.md", ".md")).collect::<BTreeSet<_>>();
        let own = |page: &Page| {
            let twin = page.name.replace(".ja.md", ".md");
            links(page).into_iter().filter(|link| *link != twin).collect::<BTreeSet<_>>()
        };
        same("links", own(page) == own(other));
        let figures = |page: &Page| {
            let cells = page.rows().concat().into_iter().filter(|cell| cell.starts_with(|c: char| c.is_ascii_digit()));
            let numbers = |cell: &str| {
                cell.split(|c: char| !c.is_ascii_digit() && c != '.').map(str::to_owned).collect::<Vec<_>>()
            };
            cells
                .map(numbers)
                .map(|numbers| numbers.into_iter().filter(|one| one.parse::<f64>().is_ok()).collect())
                .collect::<Vec<Vec<_>>>()
        };
        same("figures", figures(page) == figures(other));
    }
    none(&faults);
}

#[test]
fn the_figures_about_cameras_stand_in_their_table_or_follow_from_the_formula() {
    let (page, table) = (Page::read("cameras.md"), text("models/quality/quality.md"));
    let (mut classes, mut found, mut widths) = (0, 0, 0);
    for row in page.rows() {
        let number = |at: usize| row[at].parse::<f32>().unwrap_or(f32::NAN);
        match row[..] {
            [class, ..] if row.len() == 4 && class.contains(':') && !class.contains("EN") => {
                classes += 1;
                let between_eyes = number(1) / px_per_m(1.0);
                assert!((between_eyes - number(2)).abs() < 0.06, "{row:?}: {between_eyes}");
                assert!((2.0 * between_eyes - number(3)).abs() < 0.6, "{row:?}");
            }
            [size, at_1, at_01, strangers] if table.contains(&format!("| sekisho-student-m | {size} |")) => {
                found += 1;
                let line = |target: &str| {
                    let head = format!("| sekisho-student-m | {size} | daemon | {target} |");
                    table.lines().find(|line| line.starts_with(&head)).expect("a row").to_owned()
                };
                for (cell, target, column) in [(at_1, "1", 6), (at_01, "0.1", 6), (strangers, "1", 5)] {
                    let line = line(target);
                    let wanted = line.split('|').nth(column).expect("a column").trim();
                    assert_eq!(cell.trim_end_matches(" %"), wanted, "{size} px, target {target} %");
                }
            }
            [width, ..] if row.len() == 5 && width.bytes().all(|c| c.is_ascii_digit()) => {
                for (at, px) in [8.0, 11.0, 16.0, 24.0].into_iter().enumerate() {
                    widths += 1;
                    let metres = number(0) / px_per_m(px);
                    assert!((metres - number(at + 1)).abs() < 0.051, "{row:?} at {px} px: {metres}");
                }
            }
            _ => {}
        }
    }
    assert_eq!((classes, found, widths), (4, 5, 16));
}

#[test]
fn the_table_of_the_socket_is_the_description() {
    let description: Value = serde_json::from_str(&text("deploy/schema/openapi.json")).expect("JSON");
    let mut wanted = BTreeSet::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let roles = operation["x-roles"].as_array().expect("roles").iter().filter_map(Value::as_str);
            let roles: Vec<_> = roles.collect();
            let roles = if roles.len() == 4 { "all".to_owned() } else { roles.join(", ") };
            wanted.insert((format!("`{} {path}`", method.to_uppercase()), roles));
        }
    }
    let page = Page::read("api.md");
    let rows = page.rows().into_iter().filter(|row| row[0].starts_with("`GET ") || row[0].starts_with("`POST "));
    let told: BTreeSet<_> = rows.map(|row| (row[0].to_owned(), row[2].to_owned())).collect();
    assert_eq!(told, wanted);
    for block in page.blocks.iter().filter(|block| block.language == "json") {
        let _parsed: Value =
            serde_json::from_str(&block.text).unwrap_or_else(|wrong| panic!("{wrong}: {}", block.text));
    }
    // The manual's example is run by tests/scenario/sink_webhook.rs; the guide's is the same.
    let python = page.blocks.iter().find(|block| block.language == "python").expect("the example");
    let example: Vec<_> = python.text.lines().collect();
    let manual = text("deploy/man/sekisho.1");
    assert!(manual.contains(&example.join("\n")), "the guide's receiver is not the manual's");
}

#[test]
fn sections_that_messages_send_people_to_exist() {
    let sections: BTreeSet<_> = ["sekisho.1", "sekisho.toml.5"]
        .iter()
        .flat_map(|page| {
            text(&format!("deploy/man/{page}"))
                .lines()
                .filter_map(|line| line.strip_prefix(".Sh ").map(str::to_owned))
                .collect::<Vec<_>>()
        })
        .collect();
    let mut tried = 0;
    let everywhere =
        sources().into_iter().chain([text("deploy/config.toml")]).chain(pages().into_iter().map(|page| page.prose));
    for text in everywhere {
        for rest in text.split("sekisho(1), ").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_uppercase() || *c == ' ').collect();
            tried += 1;
            assert!(sections.contains(name.trim()), "sekisho(1) has no section {name:?}");
        }
    }
    assert!(tried > 2, "only {tried} were found");
}
