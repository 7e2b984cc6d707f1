//! The review page in a real browser, against the real daemon: by mouse, by keys alone, on a phone, with the connection
//! going away.

use sekisho_tests::browser::{PASSWORD, address, reviewer};
use sekisho_tests::chromium::{Browser, Device, Page};
use sekisho_tests::planted::{self, Alert};
use sekisho_tests::site::{Daemon, Site, fetched};
use serde_json::{Value, json};

const CHECKS: &str = include_str!("../support/page_checks.js");

/// Statuses that the browser itself writes to its console although the page expects them.
const EXPECTED: [u64; 2] = [401, 409];

struct World {
    site: Site,
    daemon: Daemon,
    at: String,
}

/// A daemon with the page and with these alerts waiting; `None`, said aloud, without the networks.
fn world(listen: &str, alerts: &[Alert<'_>]) -> Option<World> {
    fetched()?;
    let mut site = Site::new();
    site.review(&format!("listen = \"{listen}\""));
    for (name, role) in [("sato", "reviewer"), ("ito", "reviewer"), ("vera", "viewer")] {
        reviewer(&site, name, role, &[]);
    }
    let mut store = planted::store(&site);
    planted::enrol(&mut store, "ann-1", "uid:4711");
    for one in alerts {
        planted::alert(&mut store, one);
    }
    store.close().expect("closed");
    let mut daemon = site.start();
    daemon.wait_ready();
    let at = format!("http://{}/", address(&mut daemon));
    Some(World { site, daemon, at })
}

impl World {
    /// Votes cast. The socket keeps what they say from whoever runs this test and could still vote.
    fn cast(&self, alert: &str) -> u64 {
        cast(&self.daemon, alert)
    }
}

fn cast(daemon: &Daemon, alert: &str) -> u64 {
    let view = daemon.get(&format!("/v1/alerts/{alert}"));
    let shown = view["votes"].as_array().map(|votes| votes.len() as u64);
    shown.or_else(|| view["votes-cast"].as_u64()).expect("a count")
}

fn log_in(page: &mut Page<'_>, name: &str, password: &str) {
    page.see("#name");
    page.eval("document.querySelector('#name').select()");
    page.write(name);
    page.click("#password");
    page.write(password);
    page.key("Enter");
}

/// Opens the page as somebody; ends at the queue.
fn enter<'b>(browser: &'b mut Browser, device: Device, world: &World, name: &str) -> Page<'b> {
    let mut page = browser.open(device, &world.at);
    log_in(&mut page, name, PASSWORD);
    page.see(".queue-view a.item");
    page
}

fn open(page: &mut Page<'_>, alert: &str) {
    page.click(&format!(".queue-view a.item[data-id='{alert}']"));
    page.see(".alert-body:not([hidden])");
}

fn checked(page: &mut Page<'_>, what: &str, targets: bool) {
    // A view that is just being drawn has parts without a size yet; what is wrong stays wrong.
    let mut faults = json!(null);
    for _ in 0..15 {
        faults = page.eval(&format!("({CHECKS})({{ targets: {targets} }})"));
        if faults == json!([]) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert_eq!(faults, json!([]), "{what}");
    assert_eq!(page.unnamed(), Vec::<String>::new(), "{what}: a screen reader has no words for these");
}

fn blameless(page: &mut Page<'_>) {
    assert_eq!(page.problems_except(&EXPECTED), Vec::<String>::new());
}

#[test]
fn somebody_looks_takes_an_answer_back_votes_and_only_then_sees_the_figures() {
    let two = [Alert::of("a-1", 1), Alert { id: "a-2", camera: "yard", lasts_ms: 1_800_000, ..Alert::of("a-2", 1) }];
    let Some(world) = world("127.0.0.1:0", &two) else { return };
    let mut browser = Browser::new();
    let mut page = browser.open(Device::DESK, &world.at);
    log_in(&mut page, "sato", "a wrong password");
    page.read("Name or password is wrong");
    log_in(&mut page, "sato", PASSWORD);
    page.read("2 alerts wait for a person");
    let title = page.eval("document.title");
    assert!(title == "(2) Sekisho review", "the tab says how many, never who: {title}");
    open(&mut page, "a-1");
    page.read("17.2 px between the eyes");
    page.until(
        "both pictures",
        10,
        "[...document.querySelectorAll('.compare img')].every((i) => i.complete && i.naturalWidth > 0)",
    );
    let eyes = page.eval(
        "(() => { const [a, b] = [...document.querySelectorAll('.compare .enlarged')].filter((e) => !e.hidden);
          return [a.naturalWidth, a.getBoundingClientRect().width, b.getBoundingClientRect().width]; })()",
    );
    let times = eyes[1].as_f64().expect("a width") / eyes[0].as_f64().expect("a width");
    assert!(times >= 2.0 && times.fract() < 0.02, "every pixel of the camera is as large as its neighbour: {times}");
    page.key("c");
    page.read("reduced to 17.2 px");
    let before = page.eval("document.body.innerText");
    assert!(
        !["LLR", "9.3", "9.25", "6.9"].iter().any(|figure| before.as_str().expect("text").contains(figure)),
        "{before}"
    );

    page.click("button.answer.reject");
    page.click("[data-reason='not-the-same-person']");
    page.read("sending in a moment");
    page.click(".foot .undo");
    page.see("button.answer.reject");
    std::thread::sleep(std::time::Duration::from_millis(4500));
    assert_eq!(world.cast("a-1"), 0, "what was taken back is not sent");

    page.click("button.answer.reject");
    page.click("[data-reason='not-the-same-person']");
    page.read("What the machine measured");
    page.read("9.3");
    page.read("Rejected");
    let alert = world.daemon.get("/v1/alerts/a-1");
    let votes = alert["votes"].as_array().expect("the alert has ended");
    assert_eq!(votes.len(), 1, "{votes:?}");
    let vote = (&votes[0]["reviewer"], &votes[0]["verdict"], &votes[0]["reason"]);
    assert_eq!(vote, (&json!("reviewer:sato"), &json!("reject"), &json!("not-the-same-person")));
    page.click("button.next");
    page.until("the next alert", 10, "location.hash === '#/alert/a-2'");
    page.until("the tab", 10, "document.title === '(1) Sekisho review'");
    blameless(&mut page);
}

#[test]
fn two_people_decide_by_keys_alone_and_each_page_follows_the_other_without_being_loaded_again() {
    let Some(world) = world("127.0.0.1:0", &[Alert::of("a-1", 2)]) else { return };
    let mut browser = Browser::new();
    let ito = {
        let mut page = enter(&mut browser, Device::DESK, &world, "ito");
        page.read("0 of 2 votes");
        // By the event stream: asking again takes longer than this test waits.
        page.see(".fresh[data-mode='live']");
        page.eval("window.sameLoad = true");
        page.id()
    };
    let sato = {
        let mut page = enter(&mut browser, Device::DESK, &world, "sato");
        page.eval("window.sameLoad = true");
        page.key("j");
        page.key("Enter");
        page.see(".answers");
        page.key("y");
        page.until("the reasons", 5, "document.activeElement.matches('.reason')");
        page.key("1");
        page.read("1 of 2 votes; waiting for another person");
        page.read("It is this person");
        page.id()
    };
    let mut page = browser.page(&ito);
    page.read("1 of 2 votes");
    page.key("j");
    page.key("Enter");
    page.see(".answers");
    let text = page.eval("document.body.innerText");
    assert!(!text.as_str().expect("text").contains("sato"), "who voted what is hidden before one's own vote: {text}");
    page.key("y");
    page.key("3");
    page.read("Confirmed");
    page.read("sato");
    assert_eq!(page.eval("window.sameLoad"), true);
    blameless(&mut page);
    let mut page = browser.page(&sato);
    page.read("Confirmed");
    assert_eq!(page.eval("window.sameLoad"), true, "the page was not loaded again");
    blameless(&mut page);
    assert_eq!(world.daemon.get("/v1/alerts/a-1")["stage"], "confirmed");
}

#[test]
fn a_page_closed_within_the_grace_sends_its_vote_once() {
    let Some(mut world) = world("127.0.0.1:0", &[Alert::of("a-1", 2)]) else { return };
    let mut browser = Browser::new();
    let mut page = enter(&mut browser, Device::DESK, &world, "sato");
    open(&mut page, "a-1");
    page.key("u");
    page.key("1");
    page.read("sending in a moment");
    page.go("about:blank");
    let at = world.at.clone();
    world.daemon.wait_until("the vote", 10, |daemon| cast(daemon, "a-1") == 1);
    page.go(&at);
    page.read("you voted");
    // Long enough for anything that was kept to be offered again.
    std::thread::sleep(std::time::Duration::from_secs(22));
    let text = page.text("body");
    assert!(!text.contains("was not sent"), "{text}");
    assert_eq!(world.cast("a-1"), 1);
    assert_eq!(page.eval("localStorage.getItem('sekisho-unsent')"), Value::Null);
    blameless(&mut page);
}

#[test]
fn a_vote_cast_while_the_daemon_is_away_is_kept_said_and_sent_once_it_is_back() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let Some(mut world) = world(&format!("127.0.0.1:{port}"), &[Alert::of("a-1", 2)]) else { return };
    let mut browser = Browser::new();
    let mut page = enter(&mut browser, Device::DESK, &world, "sato");
    open(&mut page, "a-1");
    assert!(world.daemon.stop(10).success());
    page.until("the loss is said", 30, "document.querySelector('.notice.bad')?.innerText.includes('Connection lost')");
    page.key("n");
    page.key("1");
    page.until("the vote is kept", 20, "document.body.innerText.includes('1 vote is not sent yet')");
    world.daemon = world.site.start();
    world.daemon.wait_ready();
    // Log-ins end with the daemon.
    page.until("the log-in", 40, "document.querySelector('.login')");
    page.read("you will be back where you were");
    assert_eq!(page.eval("document.querySelector('#name').value"), "sato");
    page.click("#password");
    page.write(PASSWORD);
    page.key("Enter");
    page.until("back at the alert", 15, "location.hash === '#/alert/a-1' && document.querySelector('.alert-view')");
    page.until("the vote is in", 30, "document.querySelector('.result')");
    page.read("You: Not this person");
    assert_eq!(world.cast("a-1"), 1);
}

#[test]
fn a_log_in_that_ends_returns_to_where_one_was_and_a_ticket_is_good_once() {
    let me = rustix::process::geteuid().as_raw();
    let enroller = format!("uid:{me}");
    let own = Alert { enrolled_by: Some(&enroller), ..Alert::of("a-1", 1) };
    let Some(world) = world("127.0.0.1:0", &[own]) else { return };
    let mut browser = Browser::new();
    let mut page = enter(&mut browser, Device::DESK, &world, "sato");
    open(&mut page, "a-1");
    let changed = world.site.path("password");
    std::fs::write(&changed, "another battery staple").expect("a writable folder");
    let _told = world.site.done(&["reviewers", "reset", "sato", "--password-file", &changed.display().to_string()]);
    page.until("the log-in", 40, "document.querySelector('.login')");
    page.read("Your log-in has ended");
    assert!(!page.text("body").contains("ann-1"), "nothing of the alert is left on the screen");
    page.click("#password");
    page.write("another battery staple");
    page.key("Enter");
    page.until("back at the alert", 15, "location.hash === '#/alert/a-1' && document.querySelector('.answers')");
    blameless(&mut page);

    let said = world.site.done(&["review", "--print"]);
    let link = said.lines().next().expect("an address").to_owned();
    assert!(link.contains("#ticket="), "{said}");
    let mut page = browser.open(Device::DESK, &link);
    page.see(".queue-view a.item");
    let address = page.eval("location.href + JSON.stringify(history.state) + history.length");
    assert!(!address.as_str().expect("text").contains("ticket"), "{address}");
    open(&mut page, "a-1");
    page.read("your vote alone does not decide");
    page.key("y");
    page.key("1");
    page.read("somebody else has to agree.");
    assert_eq!(world.daemon.get("/v1/alerts/a-1")["stage"], "machine-confirmed", "the enroller alone does not decide");
    blameless(&mut page);
    let mut page = browser.open(Device::DESK, &link);
    page.read("This link was used already");
    blameless(&mut page);
}

#[test]
fn a_phone_at_night_in_japanese_has_everything_in_reach_and_legible() {
    let Some(world) = world("127.0.0.1:0", &[Alert::of("a-1", 2), Alert { camera: "yard", ..Alert::of("a-2", 1) }])
    else {
        return;
    };
    let mut browser = Browser::new();
    let mut page = browser.open(Device::PHONE, &world.at);
    page.see("#name");
    checked(&mut page, "log-in", true);
    log_in(&mut page, "sato", PASSWORD);
    page.see(".queue-view a.item");
    assert_eq!(page.eval("document.documentElement.lang"), "ja");
    checked(&mut page, "queue", true);
    open(&mut page, "a-1");
    page.until("pictures", 10, "[...document.querySelectorAll('.compare img')].every((image) => image.complete)");
    checked(&mut page, "decision", true);
    page.click("button.answer.unsure");
    checked(&mut page, "reasons", true);
    page.key("Escape");
    page.click("[data-tool='zoom']");
    checked(&mut page, "full screen", true);
    page.key("Escape");
    page.key("?");
    checked(&mut page, "help", true);
    page.key("Escape");
    page.click("button.answer.unsure");
    page.click("[data-reason='too-small']");
    page.see(".result");
    checked(&mut page, "after the vote", true);
    for (hash, there) in [("#/history", ".history .row"), ("#/cameras", ".cameras-view .lead")] {
        page.eval(&format!("location.hash = '{hash}'"));
        page.see(there);
        checked(&mut page, hash, true);
    }
    page.click(".tabs button");
    checked(&mut page, "settings", true);
    page.click("dialog input[value='en']");
    page.until("English", 5, "document.documentElement.lang === 'en' && document.body.innerText.includes('Cameras')");
    page.call("Page.reload", json!({}));
    page.until(
        "English still",
        10,
        "document.documentElement.lang === 'en' && document.querySelector('.cameras-view')",
    );
    for width in [320, 375] {
        let metrics = json!({ "width": width, "height": 568, "deviceScaleFactor": 2, "mobile": true });
        page.call("Emulation.setDeviceMetricsOverride", metrics);
        for hash in ["#/queue", "#/alert/a-2", "#/history", "#/cameras"] {
            page.eval(&format!("location.hash = '{hash}'"));
            page.see(if hash.starts_with("#/alert") { ".alert-body:not([hidden])" } else { ".view h1" });
            checked(&mut page, &format!("{hash} at {width} px, as a window of twice that at 200 %"), true);
        }
    }
    blameless(&mut page);
}

#[test]
fn the_desk_is_legible_in_both_themes_and_whoever_only_looks_is_offered_no_answer() {
    let Some(world) = world("127.0.0.1:0", &[Alert::of("a-1", 2)]) else { return };
    let mut browser = Browser::new();
    for dark in [false, true] {
        let mut page = enter(&mut browser, Device { dark, ..Device::DESK }, &world, "vera");
        checked(&mut page, "queue", false);
        open(&mut page, "a-1");
        page.read("You can look at alerts, not vote on them");
        assert_eq!(page.eval("document.querySelectorAll('.answer').length"), 0);
        page.key("y");
        page.key("1");
        checked(&mut page, "an alert to look at", false);
        // Every stop of the Tab key can be seen.
        page.eval("document.querySelector('h1').focus()");
        for _ in 0..12 {
            page.key("Tab");
            let ring = page.eval("(() => { const s = getComputedStyle(document.activeElement); return [s.outlineStyle, s.outlineWidth, document.activeElement.outerHTML.slice(0, 80)]; })()");
            let outside = ring[2].as_str().is_some_and(|element| element.starts_with("<body"));
            assert!(outside || (ring[0] != "none" && ring[1] != "0px"), "focus cannot be seen: {ring}");
        }
        blameless(&mut page);
    }
    assert_eq!(world.cast("a-1"), 0);
}
