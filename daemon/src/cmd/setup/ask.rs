//! Questions at a terminal. Each has an option on the command line that answers it, and most a default; with `--yes` nothing is
//! asked. Ctrl-C at any question leaves everything as it was, or as the last whole step left it.

use crate::cmd::terminal::ask_once;
use crate::cmd::{Failure, output};
use crate::page::Language;
use crate::page::words::{Said, Words};
use std::io::{IsTerminal as _, Write as _};
use std::sync::LazyLock;
use zeroize::Zeroizing;

static WORDS: LazyLock<Words> = LazyLock::new(|| Words::parse(include_str!("words.toml")).unwrap_or_default());

/// A line at a terminal; longer ones are cut by the terminal itself.
const LINE_BYTES_MAX: usize = 4096;

/// The text of `key` with its holes filled.
pub(super) fn say(key: &str, values: &[(&str, &str)]) -> Said {
    let values: Vec<_> = values.iter().map(|(name, value)| (*name, Said::same(value))).collect();
    WORDS.say(key, &values)
}

/// A question: its text, the option that answers it, what was given there, and what an empty line means.
pub(super) struct Question<'q> {
    pub(super) text: Said,
    pub(super) option: &'static str,
    pub(super) given: Option<&'q str>,
    pub(super) default: Option<&'q str>,
}

/// What a set-up that ends at a question leaves behind.
#[derive(Clone, Copy, Debug)]
pub(super) enum SoFar {
    /// Everything is as it was.
    Nothing,
    /// Configuration and credential, and the steps after them that were gone through.
    Written,
}

impl SoFar {
    const fn words(self) -> &'static str {
        match self {
            Self::Nothing => "nothing was changed",
            Self::Written => "what was written stays, and `sekisho setup` asks for the rest again",
        }
    }
}

/// Who is asked, in which language, or whether nobody is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    pub(super) language: Language,
    pub(super) yes: bool,
    pub(super) so_far: SoFar,
}

impl Asker {
    /// Refuses to start where nobody can answer.
    pub(super) fn new(language: Language, yes: bool) -> Result<Self, Failure> {
        if !yes && !std::io::stdin().is_terminal() {
            return Err(Failure::Wrong(
                "there is no terminal to ask at; give --yes and the answers as options (`sekisho setup --help`)".into(),
            ));
        }
        Ok(Self { language, yes, so_far: SoFar::Nothing })
    }

    pub(super) fn word<'s>(&self, said: &'s Said) -> &'s str {
        match self.language {
            Language::En => &said.en,
            Language::Ja => &said.ja,
        }
    }

    /// Prints a sentence.
    pub(super) fn tell(&self, said: &Said) {
        output::line(self.word(said));
    }

    fn prompt(&self, question: &Said, default: Option<&str>) -> Result<String, Failure> {
        let default = default.filter(|text| !text.is_empty()).map(|text| format!(" [{text}]")).unwrap_or_default();
        print!("{}{default}: ", self.word(question));
        let ended = || Failure::No(format!("the answers ended before the questions; {}", self.so_far.words()));
        std::io::stdout().flush().map_err(|_| ended())?;
        let mut line = String::new();
        let read = std::io::stdin().read_line(&mut line).map_err(|_| ended())?;
        if read == 0 || line.len() > LINE_BYTES_MAX {
            return Err(ended());
        }
        Ok(line.trim().to_owned())
    }

    /// An answer that `check` takes. At the terminal it is asked until it does.
    pub(super) fn text<T>(
        &self,
        question: &Question<'_>,
        check: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let option = question.option;
        if let Some(given) = question.given {
            return check(given).map_err(|error| Failure::Wrong(format!("{option}: {error}")));
        }
        if self.yes {
            let default = question.default.ok_or_else(|| {
                let so_far = self.so_far.words();
                Failure::Wrong(format!("--yes asks nothing, so {option} must be given; {so_far}"))
            })?;
            return check(default).map_err(|error| Failure::Wrong(format!("{option}: {error}")));
        }
        loop {
            let answer = self.prompt(&question.text, question.default)?;
            let answer = if answer.is_empty() { question.default.unwrap_or_default() } else { &answer };
            match check(answer) {
                Ok(value) => return Ok(value),
                Err(error) => self.tell(&say("again", &[("error", &error)])),
            }
        }
    }

    /// Yes or no.
    pub(super) fn confirm(&self, question: &Said, default: bool) -> Result<bool, Failure> {
        if self.yes {
            return Ok(default);
        }
        loop {
            let answer = self.prompt(question, Some(if default { "Y/n" } else { "y/N" }))?;
            match answer.to_lowercase().as_str() {
                "" => return Ok(default),
                "y" | "yes" | "\u{306f}\u{3044}" => return Ok(true),
                "n" | "no" | "\u{3044}\u{3044}\u{3048}" => return Ok(false),
                _ => self.tell(&say("yes-or-no", &[])),
            }
        }
    }

    /// One of several words; at the terminal by number or word.
    pub(super) fn choose(&self, question: &Question<'_>, words: &[(String, Said)]) -> Result<String, Failure> {
        if question.given.is_none() && !self.yes {
            for (number, (word, about)) in (1..).zip(words) {
                output::line(&format!("  {number}  {word:<18} {}", self.word(about)));
            }
        }
        let known: Vec<_> = words.iter().map(|(word, _)| word.clone()).collect();
        self.text(question, |answer| {
            let by_number = answer.parse::<usize>().ok().and_then(|number| known.get(number.checked_sub(1)?));
            let found = by_number.or_else(|| known.iter().find(|word| *word == answer));
            found.cloned().ok_or_else(|| format!("{answer:?} is none of {}", known.join(", ")))
        })
    }

    /// A secret, not shown.
    pub(super) fn secret(&self, question: &Said) -> Result<Zeroizing<String>, Failure> {
        ask_once(self.word(question))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_logic::lawful::LegalBasis;

    #[test]
    fn every_text_is_written_in_both_languages() {
        let words = Words::parse(include_str!("words.toml")).expect("valid TOML");
        let sources =
            [include_str!("ask.rs"), include_str!("mod.rs"), include_str!("camera.rs"), include_str!("rest.rs")];
        let faults = words.faults(&sources);
        assert!(faults.is_empty(), "{faults:#?}");
        for basis in LegalBasis::ALL {
            assert!(words.has(&format!("basis-{}", basis.as_str())), "{}", basis.as_str());
        }
    }

    #[test]
    fn without_a_terminal_every_answer_comes_from_an_option_or_a_default() {
        let asker = Asker { language: Language::En, yes: true, so_far: SoFar::Nothing };
        let question = |given, default| Question { text: say("yes-or-no", &[]), option: "--x", given, default };
        let taken = |text: &str| if text == "bad" { Err("it is bad".to_owned()) } else { Ok(text.to_owned()) };
        assert_eq!(asker.text(&question(Some("a"), Some("b")), taken).expect("given"), "a");
        assert_eq!(asker.text(&question(None, Some("b")), taken).expect("default"), "b");
        for (given, default, word) in
            [(Some("bad"), None, "--x: it is bad"), (None, None, "--x must be given; nothing was changed")]
        {
            let error = asker.text(&question(given, default), taken).expect_err("refused");
            assert!(matches!(&error, Failure::Wrong(said) if said.contains(word)), "{error}");
        }
        let later = Asker { so_far: SoFar::Written, ..asker };
        let error = later.text(&question(None, None), taken).expect_err("refused").to_string();
        assert!(error.contains("what was written stays") && !error.contains("nothing was changed"), "{error}");
        assert!(asker.confirm(&say("yes-or-no", &[]), true).expect("default"));
        let words = ["one", "two"].map(|word| (word.to_owned(), Said::same(word)));
        assert_eq!(asker.choose(&question(Some("2"), None), &words).expect("by number"), "two");
        assert_eq!(asker.choose(&question(Some("one"), None), &words).expect("by word"), "one");
        assert!(asker.choose(&question(Some("0"), None), &words).is_err());
    }
}
