//! The guide as tests read it: headings, tables, blocks of code and words in code of a Markdown page.

use crate::site::root;
use std::path::PathBuf;

/// A block between fences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The word after the fence: `sh`, `toml`, or nothing.
    pub language: String,
    /// What stands in it.
    pub text: String,
}

/// A page of the guide.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its file name, such as `install.ja.md`.
    pub name: String,
    /// Its text without blocks of code.
    pub prose: String,
    /// Blocks of code, in order.
    pub blocks: Vec<Block>,
}

/// The folder.
#[must_use]
pub fn folder() -> PathBuf {
    root().join("deploy/guide")
}

/// Every page, by name.
///
/// # Panics
/// When the folder cannot be read.
#[must_use]
pub fn pages() -> Vec<Page> {
    let names = std::fs::read_dir(folder()).expect("the guide").flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".md")).collect();
    names.sort();
    names.iter().map(|name| Page::read(name)).collect()
}

impl Page {
    /// Reads one.
    ///
    /// # Panics
    /// When there is no such page, or a fence is not closed.
    #[must_use]
    pub fn read(name: &str) -> Self {
        let text = std::fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (mut prose, mut blocks, mut open) = (String::new(), Vec::new(), None::<Block>);
        for line in text.lines() {
            match (line.strip_prefix("```"), open.as_mut()) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(language), None) => open = Some(Block { language: language.to_owned(), text: String::new() }),
                (None, Some(block)) => block.text = format!("{}{line}\n", block.text),
                (None, None) => prose = format!("{prose}{line}\n"),
            }
        }
        assert!(open.is_none(), "{name}: a fence is not closed");
        Self { name: name.to_owned(), prose, blocks }
    }

    /// Level and text of every heading.
    #[must_use]
    pub fn headings(&self) -> Vec<(usize, &str)> {
        let lines = self.prose.lines().filter(|line| line.starts_with('#'));
        lines
            .map(|line| (line.bytes().take_while(|byte| *byte == b'#').count(), line.trim_matches(['#', ' '])))
            .collect()
    }

    /// Rows of every table, a list of cells each; head and rule included.
    #[must_use]
    pub fn rows(&self) -> Vec<Vec<&str>> {
        let lines = self.prose.lines().filter(|line| line.starts_with('|'));
        lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
    }

    /// Points of lists, by their mark (`*` or a number).
    #[must_use]
    pub fn points(&self) -> Vec<&str> {
        let marks = self.prose.lines().filter_map(|line| line.trim_start().split_once(' ')).map(|(mark, _)| mark);
        let a_mark = |mark: &&str| {
            *mark == "*"
                || mark.strip_suffix('.').is_some_and(|n| !n.is_empty() && n.bytes().all(|c| c.is_ascii_digit()))
        };
        marks.filter(a_mark).collect()
    }

    /// Words in code, outside blocks and outside headings that are a message.
    #[must_use]
    pub fn spans(&self) -> Vec<String> {
        // A span may be broken over two lines. A heading in code is a message.
        let lines = self.prose.lines().filter(|line| !line.starts_with("### `"));
        let text = lines.collect::<Vec<_>>().join(" ");
        text.split('`').skip(1).step_by(2).map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    /// Targets of links and pictures.
    #[must_use]
    pub fn links(&self) -> Vec<&str> {
        self.prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
    }
}

/// The words of a shell line, as far as the guide needs: quotes, and no more.
#[must_use]
pub fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (c, quote) {
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The arguments with which `sekisho` is called in a text of shell lines; the lines of other programs are left out.
#[must_use]
pub fn calls(text: &str) -> Vec<Vec<String>> {
    let joined = text.replace("\\\n", " ");
    let commands = joined.lines().flat_map(|line| line.split(['|', ';']).flat_map(|part| part.split("&&")));
    commands.filter_map(|command| call(&words(command))).collect()
}

fn call(words: &[String]) -> Option<Vec<String>> {
    let mut rest = words.iter().map(String::as_str).peekable();
    if rest.next_if_eq(&"sudo").is_some() && rest.next_if_eq(&"-u").is_some() {
        rest.next();
    }
    if rest.next_if_eq(&"systemd-run").is_some() {
        while rest.next_if(|word| word.starts_with('-')).is_some() {}
    }
    let program = rest.next()?;
    (program == "sekisho" || program.ends_with("/sekisho")).then(|| rest.map(str::to_owned).collect())
}
