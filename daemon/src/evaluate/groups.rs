//! The list of groups: a CSV file `person,group`, held against the folders.

use super::material::names;
use crate::cmd::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Group of each person.
pub type GroupOf = BTreeMap<String, String>;

/// Reads the list. Everybody with probes must be in it; strangers may be; nobody else.
///
/// # Errors
/// [`Failure::Wrong`] naming the line that is no pair, the person who is there twice, unknown or missing.
pub fn read(path: &Path, probes: &[&str], strangers: &[&str]) -> Result<GroupOf, Failure> {
    let wrong = |what: String| Failure::Wrong(format!("--groups {}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let groups = parse(&text).map_err(&wrong)?;
    let known: BTreeSet<&str> = probes.iter().chain(strangers).copied().collect();
    let unknown: Vec<&str> = groups.keys().map(String::as_str).filter(|person| !known.contains(person)).collect();
    if !unknown.is_empty() {
        return Err(wrong(format!(
            "there is no folder of {}; the first column must be the names of the folders of probes and strangers",
            names(&unknown),
        )));
    }
    let missing: Vec<&str> = probes.iter().copied().filter(|person| !groups.contains_key(*person)).collect();
    if !missing.is_empty() {
        return Err(wrong(format!("no group is given for {}; add a line for each", names(&missing))));
    }
    Ok(groups)
}

/// Pairs of a CSV text without quotes; a first line `person,group` is a heading.
fn parse(text: &str) -> Result<GroupOf, String> {
    let mut groups = GroupOf::new();
    for (line, text) in text.lines().map(|line| line.trim_start_matches('\u{feff}').trim()).enumerate() {
        if text.is_empty() || (line == 0 && text.replace(' ', "").eq_ignore_ascii_case("person,group")) {
            continue;
        }
        let pair = text.split_once(',').map(|(person, group)| (person.trim(), group.trim()));
        let Some((person, group)) = pair.filter(|(person, group)| !person.is_empty() && !group.is_empty()) else {
            return Err(format!("line {} is not \"person,group\": {text:?}", line + 1));
        };
        if groups.insert(person.to_owned(), group.to_owned()).is_some_and(|before| before != group) {
            return Err(format!("line {}: {person} is in two groups; keep one", line + 1));
        }
    }
    if groups.is_empty() {
        return Err("it holds no line \"person,group\"".into());
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_everything_else_is_named() {
        let groups = parse("\u{feff}person, group\nann,A\n bob , B \n\n").expect("pairs");
        assert_eq!(groups.into_iter().collect::<Vec<_>>(), [("ann".into(), "A".into()), ("bob".into(), "B".into())]);
        assert!(parse("ann;A").expect_err("no pair").contains("line 1"));
        assert!(parse("ann,A\nann,B").expect_err("two groups").contains("ann"));
        assert!(parse("person,group\n").is_err());
    }
}
