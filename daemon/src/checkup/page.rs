//! The findings for people, in 80 columns, and for programs.

use super::{Area, Finding, Level, Report};
use crate::cmd::output::wrapped;
use serde_json::{Value, json};

/// A terminal as people have had it since the punched card; also fits a message or a ticket.
const COLUMNS: usize = 80;
/// Where sentences begin.
const INDENT: usize = 10;

/// The page: areas with something wrong first, then what is as it should be, a line each.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut lines = vec![headline(report)];
    if is_watching(report) {
        lines.push("cameras are watched; what is wanting here is wanting before going live".to_owned());
    }
    let mut areas: Vec<_> = report.findings.iter().map(|finding| finding.area).collect();
    areas.dedup();
    let of = |area| report.findings.iter().filter(move |finding| finding.area == area && finding.level > Level::Ok);
    // Worst first, then in the order of the page; the sort is stable.
    areas.sort_by_key(|area| std::cmp::Reverse(of(*area).map(|finding| finding.level).max()));
    for area in areas {
        if of(area).next().is_none() {
            continue;
        }
        lines.push(String::new());
        lines.push(area.as_str().to_owned());
        of(area).for_each(|finding| lines.extend(entry(finding)));
    }
    let good: Vec<_> = report.findings.iter().filter(|finding| finding.level == Level::Ok).collect();
    if !good.is_empty() {
        lines.push(String::new());
        lines.push("as it should be".to_owned());
    }
    for finding in good {
        let head = format!("  {:<14}", finding.area.as_str());
        lines.extend(wrapped(&placed(finding), &head, 16, COLUMNS));
    }
    lines.join("\n")
}

/// No error, and daemon and cameras as they should be.
fn is_watching(report: &Report) -> bool {
    let fine = |area: Area| {
        let mut its = report.findings.iter().filter(|finding| finding.area == area).peekable();
        its.peek().is_some() && its.all(|finding| finding.level == Level::Ok)
    };
    report.count(Level::Error) == 0 && fine(Area::Daemon) && fine(Area::Cameras)
}

fn headline(report: &Report) -> String {
    let counted = |level: Level, one: &str, many: &str| match report.count(level) {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    format!(
        "sekisho doctor: {}, {}, {}",
        counted(Level::Error, "error", "errors"),
        counted(Level::Warning, "warning", "warnings"),
        counted(Level::Notice, "notice", "notices"),
    )
}

fn placed(finding: &Finding) -> String {
    if finding.place.is_empty() { finding.said.clone() } else { format!("{}: {}", finding.place, finding.said) }
}

fn entry(finding: &Finding) -> Vec<String> {
    let head = format!("  {:<8}", if finding.level == Level::Error { "ERROR" } else { finding.level.as_str() });
    let mut lines = wrapped(&placed(finding), &head, INDENT, COLUMNS);
    if !finding.advice.is_empty() {
        lines.extend(wrapped(&finding.advice, &format!("{:INDENT$}-> ", ""), INDENT + 3, COLUMNS));
    }
    lines
}

/// For programs: `id` with `area` tells one kind of finding from another in every release.
#[must_use]
pub fn document(report: &Report) -> Value {
    let each = report.findings.iter().map(|finding| {
        json!({
            "id": format!("{}/{}", finding.area.as_str(), finding.id),
            "area": finding.area.as_str(),
            "level": finding.level.as_str(),
            "place": if finding.place.is_empty() { Value::Null } else { json!(finding.place) },
            "said": finding.said,
            "advice": if finding.advice.is_empty() { Value::Null } else { json!(finding.advice) },
        })
    });
    let each: Vec<_> = each.collect();
    let counts = Level::ALL.map(|level| (level.as_str(), report.count(level)));
    json!({
        "schema-version": 1,
        "version": env!("CARGO_PKG_VERSION"),
        "worst": report.worst().as_str(),
        "configured": report.configured,
        "counts": counts.into_iter().map(|(level, count)| (level.to_owned(), json!(count))).collect::<serde_json::Map<_, _>>(),
        "findings": each,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let long =
            "it answers 500 to everything and has done so for a long time now, which is more than one line holds";
        let findings = vec![
            Finding::ok((Area::Disk, "room"), "/var/lib/sekisho", "42 GiB free"),
            Finding::error((Area::Cameras, "unreachable"), "gate", long)
                .advise("check the cable; then `sekisho cameras test gate`"),
            Finding::warning((Area::Backups, "none"), "", "no backup was ever made")
                .advise("`sekisho backup create DIR`"),
        ];
        Report { findings, configured: true }
    }

    #[test]
    fn a_page_is_eighty_columns_wide_and_the_worst_stands_first() {
        let page = text(&report());
        assert!(page.lines().all(|line| line.chars().count() <= 80), "{page}");
        let at = |word: &str| page.find(word).unwrap_or_else(|| panic!("{word} is missing:\n{page}"));
        assert!(at("1 error, 1 warning, 0 notices") < at("cameras") && at("cameras") < at("backups"));
        assert!(at("-> check the cable") < at("as it should be"), "{page}");
    }

    #[test]
    fn who_watches_is_told_so_and_nobody_else() {
        let (daemon, gate) =
            (Finding::ok((Area::Daemon, "watching"), "", "-"), Finding::ok((Area::Cameras, "x"), "gate", "-"));
        let page = |findings: Vec<Finding>| text(&Report { findings, configured: true });
        let none = Finding::warning((Area::Backups, "none"), "", "no backup");
        assert!(page(vec![daemon.clone(), gate.clone(), none]).contains("cameras are watched"));
        let small = Finding::warning((Area::Cameras, "small"), "yard", "small");
        for findings in [vec![daemon.clone()], vec![gate.clone()], vec![daemon, gate, small], report().findings] {
            assert!(!page(findings).contains("cameras are watched"));
        }
    }

    #[test]
    fn a_path_longer_than_a_line_is_not_cut() {
        let path = "/".repeat(100);
        assert_eq!(
            wrapped(&format!("a {path} b"), "  ", 2, COLUMNS),
            ["  a".to_owned(), format!("  {path}"), "  b".to_owned()]
        );
    }

    #[test]
    fn programs_are_given_ids_and_counts() {
        let document = document(&report());
        assert_eq!(document["counts"]["error"], 1);
        assert_eq!(document["worst"], "error");
        assert_eq!(document["findings"][1]["id"], "cameras/unreachable");
        assert!(document["findings"][0]["advice"].is_null());
    }
}
