//! What machine confirmation brings: candidates, then disjoint frames, then the second network.

use super::{Body, heading, html, paragraph, say};
use crate::page::headed;

impl Body<'_> {
    /// Nothing where confirming could not be measured: a photograph is one frame.
    pub(super) fn confirmation(&self) -> String {
        if !self.of.site.confirming_measured {
            return String::new();
        }
        let all = &self.of.main.all;
        let row = |key: &str, enrolled: &_, strangers: &_| {
            vec![html(key), self.share(enrolled).html(), self.per_mille(strangers).html()]
        };
        let mut rows = vec![
            row("confirm-candidates", &all.found, &all.false_candidates),
            row("confirm-alone", &all.confirmed_alone, &all.false_confirmed_alone),
        ];
        let with_second = self.of.about.second_calibration_id.is_some();
        if with_second {
            rows.push(row("confirm-second", &all.confirmed, &all.false_confirmed));
        }
        let head = ["", "confirm-enrolled", "confirm-strangers"];
        let head = head.map(|key| if key.is_empty() { String::new() } else { html(key) });
        let mut out = heading("confirm");
        out += &paragraph("", &say("confirm-lead", &[]));
        out += &headed(&head, &rows);
        if !with_second {
            out += &paragraph("note", &say("confirm-without", &[]));
        }
        out
    }
}
