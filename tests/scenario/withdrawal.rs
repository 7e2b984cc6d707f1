//! Whoever withdraws, or whose grounds run out, is matched no more within a minute, by the daemon that is running.

use sekisho_logic::grounds::{GroundsDraft, NewGrounds};
use sekisho_logic::id::PersonId;
use sekisho_logic::lawful::LegalBasis;
use sekisho_logic::policy::Purpose;
use sekisho_logic::time::WallMs;
use sekisho_tests::planted;
use sekisho_tests::site::{Daemon, Site, fetched, shared};
use sekisho_tests::stills::cut_last_frame;
use std::path::PathBuf;
use std::time::Duration;

fn people(daemon: &Daemon) -> i64 {
    daemon.get("/v1/gallery")["people-in-force"].as_i64().unwrap_or(-1)
}

fn alerts_of(daemon: &Daemon, person: &str) -> usize {
    daemon.get(&format!("/v1/alerts?person={person}&limit=1000"))["alerts"].as_array().map_or(0, Vec::len)
}

/// Somebody on the staff list and a camera that shows them again and again.
fn seen_all_day() -> Option<(Site, PathBuf)> {
    fetched()?;
    let clip = shared("data/clips/three-people-approach.mp4")?.canonicalize().expect("the clip");
    let mut site = Site::new();
    let photo = site.path("middle.png");
    cut_last_frame(&clip, &[((160, 20, 140, 160), &photo)]).expect("a still");
    let _said = site.enrol(&["middle", &photo.display().to_string()]);
    site.configure(&format!(
        "[track]\nexpires-ms = 2000\n[decide]\nvisit-gap-s = 2\n[lists.staff]\ncool-down-s = 0\n\
         [cameras.gate]\nsource = {:?}\nlists = [\"staff\"]\nrepeat = \"forever\"\n",
        format!("file://{}", clip.display()),
    ));
    Some((site, photo))
}

#[test]
fn who_withdraws_raises_alerts_before_and_none_after() {
    let Some((site, _photo)) = seen_all_day() else { return };
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("an alert", 60, |daemon| alerts_of(daemon, "middle") > 0);
    let said = site.done(&["gallery", "withdraw", "middle", "--reason", "letter of today"]);
    assert!(said.contains("withdrawn"), "{said}");
    let mut waited_ms = 0;
    while people(&daemon) != 0 {
        assert!(waited_ms < 60_000, "still matched after a minute");
        std::thread::sleep(Duration::from_millis(50));
        waited_ms += 50;
    }
    eprintln!("out of the gallery in force after at most {waited_ms} ms");
    let before = alerts_of(&daemon, "middle");
    // The clip shows them every few seconds; what was being decided has ended by then.
    std::thread::sleep(Duration::from_secs(15));
    assert_eq!(alerts_of(&daemon, "middle"), before, "somebody who withdrew was matched");
    let verdicts = daemon.get("/v1/cameras")["cameras"][0]["verdicts"].clone();
    assert!(verdicts["not-enrolled"].as_u64().is_some_and(|count| count > 0) || people(&daemon) == 0, "{verdicts}");
    let again = site.done(&["gallery", "withdraw", "middle"]);
    assert!(again.contains("withdrew already"), "{again}");
    let list = site.done(&["gallery", "list"]);
    assert!(list.contains("withdrawn"), "{list}");
    assert!(daemon.stop(5).success());
}

#[test]
fn whose_grounds_run_out_is_matched_no_more_within_a_minute() {
    let Some((site, _photo)) = seen_all_day() else { return };
    let mut daemon = site.start();
    daemon.wait_ready();
    daemon.wait_until("the person", 10, |daemon| people(daemon) == 1);
    let now = planted::now();
    let draft = GroundsDraft {
        purpose: Some("entry log".into()),
        legal_basis: Some(LegalBasis::EmploymentLaw),
        record: Some("HR-7".into()),
        notice: Some("1".into()),
        expires: Some(WallMs(now.0 + 5000)),
        alternative_offered: false,
    };
    let grounds = NewGrounds::try_new(draft, Purpose::EntryLog, now, 366).expect("complete");
    let mut store = planted::store(&site);
    store.set_grounds(&PersonId::try_new("middle").expect("a name"), &grounds, "uid:0", now).expect("recorded");
    store.close().expect("closed");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(people(&daemon), 1, "the grounds still hold");
    daemon.wait_until("the end of the grounds", 60, |daemon| people(daemon) == 0);
    assert!(site.done(&["gallery", "list"]).contains("EXPIRED"));
    assert!(daemon.stop(5).success());
}
