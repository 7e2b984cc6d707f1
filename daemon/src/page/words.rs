//! Sentences in both languages, from a TOML file that is built in: source files are plain ASCII, Japanese is data.

use super::escaped;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Display;

/// One text in both languages; plain, not markup.
#[derive(Clone, Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// English.
    pub en: String,
    /// Japanese.
    pub ja: String,
}

impl Said {
    /// A number, a name, a unit: the same in both.
    #[must_use]
    pub fn same(text: impl Display) -> Self {
        let text = text.to_string();
        Self { ja: text.clone(), en: text }
    }

    /// As markup: one text when both are equal, else one span a language of which the style sheet shows one.
    #[must_use]
    pub fn html(&self) -> String {
        if self.en == self.ja {
            return escaped(&self.en);
        }
        format!(
            "<span class=\"en\" lang=\"en\">{}</span><span class=\"ja\" lang=\"ja\">{}</span>",
            escaped(&self.en),
            escaped(&self.ja)
        )
    }

    /// As [`Said::html`], inside a `<text>` of SVG.
    #[must_use]
    pub fn svg(&self) -> String {
        if self.en == self.ja {
            return escaped(&self.en);
        }
        format!(
            "<tspan class=\"en\" lang=\"en\">{}</tspan><tspan class=\"ja\" lang=\"ja\">{}</tspan>",
            escaped(&self.en),
            escaped(&self.ja)
        )
    }

    /// As a JSON object of both.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({ "en": self.en, "ja": self.ja })
    }
}

/// What stands before the key of a text that nobody wrote; tests look for it.
pub const MISSING: &str = "??";

/// All texts of one page, by key.
#[derive(Clone, Debug, Default)]
pub struct Words(BTreeMap<String, Said>);

impl Words {
    /// Reads `[key]` tables with `en` and `ja`.
    ///
    /// # Errors
    /// What is wrong with the file. It is built in, so a test finds that out.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map(Self).map_err(|error| error.to_string())
    }

    /// The text of `key` with `{name}` replaced. A key that is absent is shown itself after
    /// [`MISSING`], which the tests do not let pass.
    #[must_use]
    pub fn say(&self, key: &str, values: &[(&str, Said)]) -> Said {
        let Some(text) = self.0.get(key) else { return Said::same(format!("{MISSING}{key}")) };
        let mut said = text.clone();
        for (name, value) in values {
            let hole = format!("{{{name}}}");
            said.en = said.en.replace(&hole, &value.en);
            said.ja = said.ja.replace(&hole, &value.ja);
        }
        said
    }

    /// Whether there is a text for `key`.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// What is wrong with the file as a whole: a language missing, places for values that differ between the two, or a
    /// key that `source` (a Rust file) asks for in `say("key"` and nobody wrote. For tests.
    #[must_use]
    pub fn faults(&self, sources: &[&str]) -> Vec<String> {
        let holes = |text: &str| {
            let mut found: Vec<String> =
                text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name.into()).collect();
            found.sort();
            found.dedup();
            found
        };
        let mut faults = Vec::new();
        for (key, said) in &self.0 {
            if said.en.trim().is_empty() || said.ja.trim().is_empty() {
                faults.push(format!("{key}: a language is empty"));
            }
            if holes(&said.en) != holes(&said.ja) {
                faults.push(format!("{key}: the languages have different places for values"));
            }
        }
        for asked in sources.iter().flat_map(|source| source.split("say(\"").skip(1)) {
            let key = asked.split('"').next().unwrap_or_default();
            if !self.has(key) {
                faults.push(format!("{key}: asked for, and not written"));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_into_both_languages_and_faults_are_found() {
        let words =
            Words::parse("[size]\nen = \"{px} px\"\nja = \"{px} \\u753B\\u7D20\"\n[bad]\nen = \"{a}\"\nja = \"-\"\n");
        let words = words.expect("valid");
        let said = words.say("size", &[("px", Said::same(14))]);
        assert_eq!((said.en.as_str(), said.ja.as_str()), ("14 px", "14 \u{753B}\u{7D20}"));
        assert_eq!(words.say("none", &[]).en, "??none");
        assert_eq!(words.faults(&["words.say(\"size\", &[])"]).len(), 1, "{:?}", words.faults(&[]));
        assert_eq!(words.faults(&["say(\"none\""]).len(), 2);
    }
}
