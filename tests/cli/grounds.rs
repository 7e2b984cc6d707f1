//! Nobody is enrolled without grounds; they are kept, shown, renewed and audited, and a list may give what all share.

use sekisho_tests::planted;
use sekisho_tests::site::{Site, fetched, grounds, root};
use serde_json::Value;
use std::process::Output;

/// A photograph that is not there: grounds are judged before any photograph is opened.
const ABSENT: &str = "/absent.jpg";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// `gallery enroll ann` of an absent photograph, with [`grounds`] but for the options named.
fn without(site: &Site, left_out: &[&str], more: &[&str]) -> Output {
    let mut args: Vec<String> = ["gallery", "enroll", "ann", ABSENT].map(str::to_owned).to_vec();
    let mut options = grounds().into_iter().peekable();
    while let Some(option) = options.next() {
        let value = options.next_if(|next| !next.starts_with("--"));
        if !left_out.contains(&option.as_str()) {
            args.push(option);
            args.extend(value);
        }
    }
    args.extend(more.iter().map(|&more| more.to_owned()));
    site.cli(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

fn portrait() -> Option<String> {
    fetched()?;
    let path = root().join(".sekisho/demo/photos/astronaut.png");
    if !path.exists() {
        eprintln!("SKIPPED: {} is absent; run deploy/setup", path.display());
        return None;
    }
    Some(path.display().to_string())
}

fn shown(site: &Site, person: &str) -> Value {
    serde_json::from_str(&site.done(&["gallery", "show", person, "--json"])).expect("JSON")
}

#[test]
fn an_enrolment_without_any_one_ground_is_refused_in_one_sentence_that_says_what_it_means() {
    let site = Site::new();
    for (option, meaning) in [
        ("--purpose", "matched for"),
        ("--legal-basis", "employment-law"),
        ("--record", "is filed"),
        ("--notice", "version of the notice"),
        ("--expires", "last day"),
        ("--alternative-offered", "entry-log"),
    ] {
        let output = without(&site, &[option], &[]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{option}: {said}");
        assert!(said.contains(option) && said.contains(meaning) && said.lines().count() == 1, "{option}: {said}");
    }
    let bare = site.cli(&["gallery", "enroll", "ann", ABSENT]);
    let said = said(&bare);
    for option in ["--purpose", "--legal-basis", "--record", "--notice", "--expires"] {
        assert!(said.contains(option), "{option} is not named: {said}");
    }
    assert!(!site.done(&["gallery", "list"]).contains("ann"));
}

#[test]
fn grounds_end_on_a_day_that_comes_and_not_too_late() {
    let mut site = Site::new();
    for (date, words) in [
        ("2020-01-01", &["--expires", "future"][..]),
        ("2099-01-01", &["--expires", "366 days", "expires-days-max"]),
        ("31.03.2027", &["31.03.2027", "is no day"]),
        ("2027-02-30", &["is no day"]),
    ] {
        let output = without(&site, &["--expires"], &["--expires", date]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{date}: {said}");
    }
    let wrong = without(&site, &["--legal-basis"], &["--legal-basis", "because"]);
    assert!(wrong.status.code() == Some(2) && said(&wrong).contains("employment-law"), "{}", said(&wrong));
    site.configure("[enrol]\nexpires-days-max = 30\n");
    assert!(said(&without(&site, &[], &[])).contains("at most 30 days"), "the site's own bound");
}

#[test]
fn a_list_gives_what_all_on_it_share_but_never_the_record() {
    let Some(portrait) = portrait() else { return };
    let mut site = Site::new();
    site.configure(
        "[lists.watch]\npurpose-text = \"bans\"\nlegal-basis = \"legal-claims\"\nnotice-version = \"7\"\nexpires-days = 90\n",
    );
    let refused = site.cli(&["gallery", "enroll", "ann", &portrait, "--list", "watch"]);
    let sentence = said(&refused);
    assert_eq!(refused.status.code(), Some(2), "{sentence}");
    assert!(sentence.contains("--record") && !sentence.contains("--purpose"), "{sentence}");
    let _done = site.done(&["gallery", "enroll", "ann", &portrait, "--list", "watch", "--record", "ban 12"]);
    let ann = shown(&site, "ann");
    assert_eq!(
        (&ann["purpose"], &ann["legal-basis"], &ann["notice"]),
        (&"bans".into(), &"legal-claims".into(), &"7".into())
    );
    assert_eq!((&ann["record"], &ann["grounds-complete"]), (&"ban 12".into(), &true.into()));
}

#[test]
fn grounds_are_shown_renewed_and_audited_and_stay_when_photographs_are_replaced() {
    let Some(portrait) = portrait() else { return };
    let site = Site::new();
    let _done = site.enrol(&["ann", &portrait, "--name", "Ann Example"]);
    let first = shown(&site, "ann");
    assert_eq!((&first["record"], &first["display-name"]), (&"HR-7".into(), &"Ann Example".into()));
    let table = site.done(&["gallery", "list"]);
    let options = grounds();
    let expires = &options[options.iter().position(|option| option == "--expires").expect("given") + 1];
    assert!(table.contains(&format!("until {expires}")), "{table}");
    let bare = site.cli(&["gallery", "grounds", "ann"]);
    assert_eq!(bare.status.code(), Some(2), "what is renewed is given anew: {}", said(&bare));
    let nobody = site.cli(&["gallery", "grounds", "bob", "--record", "x"]);
    assert!(nobody.status.code() == Some(1) && said(&nobody).contains("not enrolled"), "{}", said(&nobody));
    let told = site.done(&["gallery", "grounds", "ann", "--record", "HR-8", "--expires", expires]);
    assert!(told.contains("consent") && told.contains("entry log"), "{told}");
    let _replaced = site.done(&["gallery", "enroll", "ann", &portrait, "--replace"]);
    let again = shown(&site, "ann");
    assert_eq!((&again["record"], &again["purpose"]), (&"HR-8".into(), &"entry log".into()));
    assert_eq!(again["display-name"], "Ann Example");
    let trail = planted::store(&site).audit_entries(0, 100).expect("read");
    let of_ann: Vec<_> = trail.iter().filter(|entry| entry.subject.as_deref() == Some("ann")).collect();
    assert_eq!(of_ann.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["enrol", "grounds", "enrol"]);
    for entry in of_ann {
        let detail = &entry.detail;
        assert!(detail.contains("\"consent\"") && entry.actor.starts_with("uid:"), "{detail}");
        assert!(!detail.contains("HR-") && !detail.contains("Ann"), "free text may hold names: {detail}");
    }
}
