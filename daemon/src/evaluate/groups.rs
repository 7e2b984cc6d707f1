//! The list of groups: a CSV file `person,group` or `person,sex,age-band,...`, held against the folders. Labels are for the
//! test alone: they are read, counted and forgotten.

use super::material::names;
use crate::cmd::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Group of each person.
pub type GroupOf = BTreeMap<String, String>;

/// One way to group people: its heading in the file, and everybody's group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading; `group` where there is none.
    pub name: String,
    /// Group of each person.
    pub of: GroupOf,
}

/// Ways to group people in one file at the most: more are comparisons until one is found that differs.
const COLUMNS_MAX: usize = 8;

/// Reads the list. Everybody with probes must be in it; strangers may be; nobody else.
///
/// # Errors
/// [`Failure::Wrong`] naming the line that is no pair, the person who is there twice, unknown or missing.
pub fn read(path: &Path, probes: &[&str], strangers: &[&str]) -> Result<Vec<Column>, Failure> {
    let wrong = |what: String| Failure::Wrong(format!("--groups {}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let columns = parse(&text).map_err(&wrong)?;
    // Every line names a group in every column, so the first one has everybody.
    let Some(groups) = columns.first().map(|column| &column.of) else { return Ok(columns) };
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
    Ok(columns)
}

/// Columns of a CSV text without quotes. A first line that begins with `person` names them; without one there is one, `group`.
fn parse(text: &str) -> Result<Vec<Column>, String> {
    let mut columns = vec![Column { name: "group".into(), of: GroupOf::new() }];
    for (line, text) in text.lines().map(|line| line.trim_start_matches('\u{feff}').trim()).enumerate() {
        let mut words = text.split(',').map(str::trim);
        let person = words.next().unwrap_or_default();
        let words: Vec<&str> = words.collect();
        if line == 0 && person.eq_ignore_ascii_case("person") {
            columns = headed(&words)?;
            continue;
        }
        if text.is_empty() {
            continue;
        }
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        if person.is_empty() || words.len() != columns.len() || words.iter().any(|word| word.is_empty()) {
            return Err(format!("line {} is not \"person,{}\": {text:?}", line + 1, names.join(",")));
        }
        for (column, group) in columns.iter_mut().zip(words) {
            let before = column.of.insert(person.to_owned(), group.to_owned());
            if before.is_some_and(|before| before != group) {
                return Err(format!("line {}: {person} is in two groups; keep one", line + 1));
            }
        }
    }
    if columns.iter().any(|column| column.of.is_empty()) {
        return Err("it holds no line \"person,group\"".into());
    }
    Ok(columns)
}

fn headed(names: &[&str]) -> Result<Vec<Column>, String> {
    let distinct: BTreeSet<&&str> = names.iter().collect();
    if names.is_empty() || names.len() > COLUMNS_MAX || names.contains(&"") || distinct.len() != names.len() {
        return Err(format!("line 1: after \"person\" come 1 to {COLUMNS_MAX} different headings"));
    }
    Ok(names.iter().map(|&name| Column { name: name.to_owned(), of: GroupOf::new() }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_and_everything_else_is_named() {
        let groups = parse("\u{feff}person, group\nann,A\n bob , B \n\n").expect("pairs");
        assert_eq!(
            groups[0].of.clone().into_iter().collect::<Vec<_>>(),
            [("ann".into(), "A".into()), ("bob".into(), "B".into())]
        );
        assert!(parse("ann;A").expect_err("no pair").contains("line 1"));
        assert!(parse("ann,A\nann,B").expect_err("two groups").contains("ann"));
        assert!(parse("person,group\n").is_err());
    }

    #[test]
    fn several_ways_to_group_are_read_in_one_file() {
        let columns = parse("person, sex ,age-band\nann,A,young\nbob,B,old\n").expect("columns");
        assert_eq!(columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["sex", "age-band"]);
        assert_eq!((columns[0].of["bob"].as_str(), columns[1].of["ann"].as_str()), ("B", "young"));
        assert!(parse("person,sex,age-band\nann,A\n").expect_err("a hole").contains("line 2"));
        assert!(parse("person,a,a\nann,A,B\n").expect_err("twice").contains("different headings"));
        assert!(parse("person\nann\n").expect_err("no heading").contains("headings"));
    }
}
