//! Sentences in English and Japanese, from a data file: `[key]` with `en` and `ja`, values in braces.

use std::collections::BTreeMap;

/// A language a page can be read in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// English.
    English,
    /// Japanese.
    Japanese,
}

impl Language {
    /// Every language, first the one a page opens in.
    pub const ALL: [Self; 2] = [Self::English, Self::Japanese];

    /// BCP 47 tag, and the key in the data file.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Japanese => "ja",
        }
    }
}

/// The sentences of one page in one language.
#[derive(Clone, Debug)]
pub struct Words {
    language: Language,
    by_key: BTreeMap<String, String>,
}

/// What stands for a sentence that is missing; tests look for it.
pub const MISSING: &str = "??";

impl Words {
    /// Reads a data file.
    ///
    /// # Errors
    /// A sentence naming the key whose entry is no table of `en` and `ja` with the same values in braces.
    pub fn read(text: &str, language: Language) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let mut by_key = BTreeMap::new();
        for (key, entry) in table {
            let of = |language: Language| entry.get(language.tag()).and_then(toml::Value::as_str);
            let all: Vec<&str> = Language::ALL.into_iter().filter_map(of).collect();
            if all.len() != Language::ALL.len() || all.iter().any(|text| values(text) != values(all[0])) {
                return Err(format!("[{key}] needs en and ja with the same values in braces"));
            }
            by_key.insert(key, of(language).unwrap_or_default().to_owned());
        }
        Ok(Self { language, by_key })
    }

    /// Which language.
    #[must_use]
    pub const fn language(&self) -> Language {
        self.language
    }

    /// A sentence without values.
    #[must_use]
    pub fn of(&self, key: &str) -> String {
        self.with(key, &[])
    }

    /// A sentence with its values.
    #[must_use]
    pub fn with(&self, key: &str, values: &[(&str, &str)]) -> String {
        let Some(text) = self.by_key.get(key) else { return format!("{MISSING}{key}") };
        let mut text = text.clone();
        for (name, value) in values {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }
}

/// Names in braces, sorted.
fn values(text: &str) -> Vec<&str> {
    let mut names: Vec<&str> =
        text.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_must_be_there_and_take_the_same_values() {
        let good = "[a]\nen = \"{n} of {all}\"\nja = \"{all}:{n}\"\n";
        let words = Words::read(good, Language::Japanese).expect("good");
        assert_eq!(words.with("a", &[("n", "1"), ("all", "3")]), "3:1");
        assert!(words.of("b").starts_with(MISSING));
        assert!(Words::read("[a]\nen = \"x\"\n", Language::English).expect_err("no ja").contains("[a]"));
        assert!(Words::read("[a]\nen = \"{x}\"\nja = \"y\"\n", Language::English).is_err());
    }
}
