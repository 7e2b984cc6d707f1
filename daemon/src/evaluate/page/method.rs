//! How it was measured, with what, on whom, and what is to be said about the material.

use super::Body;
use crate::report::html::{escape, number, table};
use serde_json::Value;
use std::collections::BTreeMap;

impl Body<'_> {
    pub(super) fn method(&self) -> String {
        let about = &self.of.about;
        let list = |counts: &[u32]| counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let (looks, confirm) = (list(&about.looks), list(&about.confirm_looks));
        let judged = if self.of.site.confirming_measured {
            self.words.with("method-clip", &[("looks", &looks), ("confirm", &confirm)])
        } else {
            self.words.with("method-photo", &[("looks", &looks)])
        };
        let mut out = self.heading("method");
        for text in [
            self.words.of("method-path"),
            judged,
            self.words.of("method-terms"),
            self.words.of("method-intervals"),
            self.words.of("limits-general"),
        ] {
            out += &self.paragraph("", &text);
        }
        out += &self.sample();
        out += &self.in_force();
        out
    }

    fn sample(&self) -> String {
        let sizes = &self.of.sizes;
        let medium = |word: &str| self.words.of(&format!("medium-{word}"));
        let rows = [
            vec![self.words.of("sample-gallery"), format!("{} ({})", sizes.enrolled, sizes.templates)],
            vec![self.words.of("sample-appearances"), sizes.appearances.to_string()],
            vec![self.words.of("sample-strangers"), format!("{} ({})", sizes.strangers, sizes.stranger_tracks)],
            vec![self.words.of("sample-medium"), medium(self.of.main.medium)],
        ];
        let mut out =
            format!("<h3>{}</h3>\n{}", self.words.of("sample"), table(&[String::new(), String::new()], &rows));
        if let Some(other) = &self.of.other {
            let values = [
                ("medium", medium(other.medium)),
                ("found", self.share(&other.all.found)),
                ("false", self.per_mille(&other.all.false_candidates)),
            ];
            out += &self.paragraph("note", &self.values("also", &values));
        }
        out
    }

    fn in_force(&self) -> String {
        let about = &self.of.about;
        let text = |value: &Value, key: &str| escape(value[key].as_str().unwrap_or("-"));
        let network = |name: &str| {
            let its = &about.models[name];
            format!("{}<br><code>{}</code><br>{}", text(its, "id"), text(its, "digest"), text(its, "licence"))
        };
        let rows = [
            vec![self.words.of("k-embedder"), network("embedder")],
            vec![self.words.of("k-detector"), network("detector")],
            vec![self.words.of("k-calibration"), format!("<code>{}</code>", escape(&about.calibration_id))],
            vec![self.words.of("k-list"), format!("{}, {}", about.list, self.target())],
            vec![self.words.of("k-min-px"), format!("{} px", number(f64::from(about.min_inter_eye_px)))],
        ];
        let looks = &about.looks;
        let mut by_size: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for threshold in &about.thresholds {
            let row = by_size
                .entry(threshold.from_px.to_bits())
                .or_insert_with(|| vec![self.size(Some(threshold.from_px), self.upper(threshold.from_px))]);
            let cosine =
                threshold.cosine.map_or_else(|| self.words.of("not-decidable"), |cosine| format!("{cosine:.3}"));
            row.push(cosine);
        }
        let mut head = vec![self.words.of("size")];
        head.extend(looks.iter().map(|n| self.words.with("frames-count", &[("n", &n.to_string())])));
        format!(
            "<h3>{}</h3>\n{}<h3>{}</h3>\n{}",
            self.words.of("in-force"),
            table(&[String::new(), String::new()], &rows),
            self.words.of("thresholds"),
            table(&head, &by_size.into_values().collect::<Vec<_>>()),
        )
    }

    pub(super) fn remarks(&self) -> String {
        if self.of.notes.is_empty() {
            return String::new();
        }
        let mut out = self.heading("notes");
        out += "<ul class=\"list\">\n";
        for note in &self.of.notes {
            let values: Vec<(&str, String)> = note.values.iter().map(|(name, value)| (*name, escape(value))).collect();
            out += &format!("<li>{}</li>\n", self.values(&note.word(), &values));
        }
        out += "</ul>\n";
        out
    }
}
