//! How it was measured, with what, on whom, and what is to be said about the material.

use super::{Body, heading, html, paragraph, same, say};
use crate::page::chart::number;
use crate::page::words::Said;
use crate::page::{escaped, headed};
use serde_json::Value;
use std::collections::BTreeMap;

impl Body<'_> {
    pub(super) fn method(&self) -> String {
        let about = &self.of.about;
        let list = |counts: &[u32]| counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let (looks, confirm) = (list(&about.looks), list(&about.confirm_looks));
        let judged = if self.of.site.confirming_measured {
            say("method-clip", &same([("looks", looks), ("confirm", confirm)]))
        } else {
            say("method-photo", &same([("looks", looks)]))
        };
        let mut out = heading("method");
        for text in [
            say("method-path", &[]),
            judged,
            say("method-terms", &[]),
            say("method-intervals", &[]),
            say("limits-general", &[]),
        ] {
            out += &paragraph("", &text);
        }
        out += &self.sample();
        out += &self.in_force();
        out
    }

    fn sample(&self) -> String {
        let sizes = &self.of.sizes;
        let medium = |word: &str| say(&format!("medium-{word}"), &[]);
        let rows = [
            vec![html("sample-gallery"), format!("{} ({})", sizes.enrolled, sizes.templates)],
            vec![html("sample-appearances"), sizes.appearances.to_string()],
            vec![html("sample-strangers"), format!("{} ({})", sizes.strangers, sizes.stranger_tracks)],
            vec![html("sample-medium"), medium(self.of.main.medium).html()],
        ];
        let mut out = format!("<h3>{}</h3>\n{}", html("sample"), headed(&[String::new(), String::new()], &rows));
        if let Some(other) = &self.of.other {
            let values = [
                ("medium", medium(other.medium)),
                ("found", self.share(&other.all.found)),
                ("false", self.per_mille(&other.all.false_candidates)),
            ];
            out += &paragraph("note", &say("also", &values));
        }
        out
    }

    fn in_force(&self) -> String {
        let about = &self.of.about;
        let text = |value: &Value, key: &str| escaped(value[key].as_str().unwrap_or("-"));
        let network = |name: &str| {
            let its = &about.models[name];
            format!("{}<br><code>{}</code><br>{}", text(its, "id"), text(its, "digest"), text(its, "licence"))
        };
        let calibration = about.second_calibration_id.as_deref().map(|id| format!("<br><code>{}</code>", escaped(id)));
        let second = calibration.map_or_else(|| "-".to_owned(), |calibration| network("second") + &calibration);
        let rows = [
            vec![html("k-embedder"), network("embedder")],
            vec![html("k-second"), second],
            vec![html("k-detector"), network("detector")],
            vec![html("k-calibration"), format!("<code>{}</code>", escaped(&about.calibration_id))],
            vec![html("k-list"), format!("{}, {}", escaped(about.list.as_str()), self.target().html())],
            vec![html("k-min-px"), format!("{} px", number(f64::from(about.min_inter_eye_px)))],
        ];
        let looks = &about.looks;
        let mut by_size: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for threshold in &about.thresholds {
            let row = by_size
                .entry(threshold.from_px.to_bits())
                .or_insert_with(|| vec![self.size(Some(threshold.from_px), self.upper(threshold.from_px)).html()]);
            let cosine = threshold.cosine.map_or_else(|| html("not-decidable"), |cosine| format!("{cosine:.3}"));
            row.push(cosine);
        }
        let mut head = vec![html("size")];
        head.extend(looks.iter().map(|n| say("frames-count", &[("n", Said::same(n))]).html()));
        format!(
            "<h3>{}</h3>\n{}<h3>{}</h3>\n{}",
            html("in-force"),
            headed(&[String::new(), String::new()], &rows),
            html("thresholds"),
            headed(&head, &by_size.into_values().collect::<Vec<_>>()),
        )
    }

    pub(super) fn remarks(&self) -> String {
        if self.of.notes.is_empty() {
            return String::new();
        }
        let mut out = heading("notes");
        out += "<ul class=\"help\">\n";
        for note in &self.of.notes {
            let values: Vec<(&str, Said)> =
                note.values.iter().map(|(name, value)| (*name, Said::same(value))).collect();
            out += &format!("<li>{}</li>\n", say(&note.word(), &values).html());
        }
        out += "</ul>\n";
        out
    }
}
