use super::draw::draw;
use super::screen::{Key, Looked, Screen, Wish};
use crate::local_time::LocalClock;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use sekisho_logic::time::WallMs;
use serde_json::{Value, json};

fn now() -> WallMs {
    WallMs::from_rfc3339("2026-05-01T01:22:14Z").unwrap()
}

fn alert(id: &str, person: &str, stage: &str, expires: &str) -> Value {
    json!({
        "id": id, "person": person, "list": "watch", "purpose": "watch", "camera": "gate", "stage": stage,
        "cause": "independent-evidence", "opened": "2026-05-01T01:20:00Z", "changed": "2026-05-01T01:20:05Z",
        "expires": expires, "votes-required": 2, "votes": [{ "reviewer": "reviewer:sato", "verdict": "reject" }],
        "llr": 9.31, "face-px": 17.2, "frames-used": 6,
    })
}

fn looked(alerts: Vec<Value>) -> Looked {
    Looked {
        alerts,
        cameras: json!({ "cameras": [
            { "name": "gate", "state": "streaming", "last-frame-age-ms": 80, "fps": 4.9, "faces": 2210 },
            { "name": "yard", "state": "backing-off", "last-frame-age-ms": 131_000, "fps": null, "faces": 120 },
        ] }),
        status: json!({ "calibration": { "stale": null } }),
    }
}

fn screen() -> Screen {
    let mut screen = Screen::new(true, LocalClock::utc());
    screen.tick(now(), 0);
    screen.looked(looked(vec![
        alert("1-a-2", "ann-3", "machine-confirmed", "2026-05-01T01:35:00Z"),
        alert("1-a-3", "bob-4", "candidate", "2026-05-01T01:22:30Z"),
        alert("1-a-1", "cyd-5", "machine-confirmed", "2026-05-01T01:23:00Z"),
    ]));
    screen
}

/// What a terminal of this size shows, a line each, without trailing spaces.
fn shown(screen: &mut Screen, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, screen)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(line).collect()
}

#[test]
fn a_small_terminal_shows_who_waits_until_when_and_how_cameras_are() {
    let lines = shown(&mut screen(), 80, 20);
    let expected = [
        " Sekisho  live   for people 2   candidates 1   cameras 1 of 2   01:22:14",
        "\u{250c} Open alerts \u{2500}",
        "\u{2502}  stage            person",
        "\u{2502}! waits for people cyd-5       watch  gate      2 min 14 s  46 s        1/2",
        "\u{2502}! waits for people ann-3       watch  gate      2 min 14 s  12 min 46 s 1/2",
        "\u{2502}! candidate        bob-4       watch  gate      2 min 14 s  16 s        1/2",
    ];
    for (line, want) in lines.iter().zip(expected) {
        assert!(line.starts_with(want), "{want:?} is not the beginning of {line:?} in\n{}", lines.join("\n"));
    }
    let whole = lines.join("\n");
    assert!(whole.contains("yard") && whole.contains("backing-off") && whole.contains("2 min 11 s"), "{whole}");
    assert!(lines[19].starts_with(" q quit"), "{whole}");
}

#[test]
fn nothing_of_the_evidence_or_of_how_others_voted_is_shown_before_people_have_decided() {
    let mut screen = screen();
    screen.happened(&json!({ "type": "update", "after": alert("1-a-2", "ann-3", "machine-confirmed", "") }));
    let mut blind = alert("1-a-4", "eve-7", "machine-confirmed", "2026-05-01T01:22:40Z");
    blind["votes-cast"] = json!(1);
    blind.as_object_mut().unwrap().remove("votes");
    let mut others = screen.alerts.clone();
    others.push(blind);
    screen.looked(looked(others));
    for (width, height, details) in [(80, 24, false), (80, 24, true), (160, 50, true)] {
        screen.key(Key::Close);
        if details {
            assert_eq!(screen.key(Key::Details), Wish::Stay);
        }
        let whole = shown(&mut screen, width, height).join("\n");
        assert!(
            whole.contains("eve-7") && whole.contains("1/2") && whole.contains("id            1-a-1") == details,
            "{whole}"
        );
        assert!(details || whole.contains("MACHINE-CONFIRMED"), "{whole}");
        for hidden in ["9.31", "llr", "sato", "reject"] {
            assert!(!whole.contains(hidden), "{hidden} is shown:\n{whole}");
        }
    }
}

#[test]
fn the_chosen_alert_stays_chosen_when_others_come_and_go() {
    let mut screen = screen();
    screen.key(Key::Down);
    assert_eq!(screen.alert().unwrap()["person"], "ann-3");
    let more = vec![
        alert("1-a-9", "dee-6", "machine-confirmed", "2026-05-01T01:22:20Z"),
        alert("1-a-1", "cyd-5", "machine-confirmed", "2026-05-01T01:23:00Z"),
        alert("1-a-2", "ann-3", "machine-confirmed", "2026-05-01T01:35:00Z"),
    ];
    screen.looked(looked(more));
    assert_eq!(screen.alert().unwrap()["person"], "ann-3");
    screen.looked(looked(vec![]));
    assert!(screen.alert().is_none());
    assert_eq!(screen.key(Key::Details), Wish::Stay);
    assert!(shown(&mut screen, 80, 24).join("\n").contains("Nothing is open. A candidate"));
    let mut over = alert("1-a-2", "ann-3", "confirmed", "");
    over["changed"] = json!("2026-05-01T01:22:30Z");
    screen.happened(&json!({ "type": "end", "after": over }));
    let whole = shown(&mut screen, 80, 24).join("\n");
    assert!(whole.contains("Nothing is open any more. The last alert ended at 01:22:30 CONFIRMED ann-3"), "{whole}");
}

#[test]
fn a_lost_daemon_and_a_stale_calibration_are_said_on_top() {
    let mut screen = screen();
    let mut stale = looked(vec![]);
    stale.status = json!({ "calibration": { "stale": { "said": "strangers score higher" } } });
    screen.looked(stale);
    screen.tick(WallMs(now().0 + 72_000), 3);
    screen.lost("no daemon answers at /run/sekisho/sekisho.sock\n  because".into());
    let lines = shown(&mut screen, 100, 24);
    assert!(lines[0].contains("NOT CURRENT, last 1 min 12 s ago"), "{}", lines[0]);
    assert!(lines[1].contains("no daemon answers"), "{}", lines[1]);
    assert!(lines[2].contains("calibration is STALE: strangers score higher"), "{}", lines[2]);
    assert!(lines[3].contains("3 events were not shown"), "{}", lines[3]);
}

#[test]
fn the_smallest_and_the_largest_terminal_are_survived() {
    let mut screen = screen();
    for key in [Key::Help, Key::Review, Key::Details, Key::Last, Key::First, Key::Up, Key::Close] {
        screen.key(key);
        for (width, height) in [(1, 1), (10, 3), (40, 8), (500, 200)] {
            assert_eq!(shown(&mut screen, width, height).len(), usize::from(height));
        }
    }
    assert_eq!(screen.key(Key::Leave), Wish::Leave);
}

#[test]
fn what_is_kept_of_events_is_bounded() {
    let mut screen = screen();
    for n in 0..2000 {
        screen.happened(&json!({ "type": "track", "camera": "gate", "decision": "not-enrolled", "faces": n }));
    }
    assert_eq!(screen.events.len(), 500);
    assert!(screen.events[0].text.contains("of 1999 faces"), "{:?}", screen.events[0]);
}
