use super::*;

const LIMITS: Limits = Limits { idle: Duration::from_secs(1800), longest: Duration::from_secs(43_200) };

fn name(text: &str) -> ReviewerName {
    ReviewerName::try_new(text).expect("a name")
}

fn who(text: &str) -> Who {
    Who {
        name: text.into(),
        identity: format!("reviewer:{text}"),
        role: ReviewerRole::Reviewer,
        by: By::Password { name: name(text), set: WallMs(5) },
    }
}

fn at(seconds: u64) -> Now {
    Now {
        mono: Mono::from_millis(seconds * 1000),
        wall: WallMs(1_000_000 + i64::try_from(seconds).expect("small") * 1000),
    }
}

fn reviewer(text: &str) -> Reviewer {
    Reviewer {
        name: name(text),
        role: ReviewerRole::Reviewer,
        unix_uid: None,
        added: WallMs(1),
        added_by: "uid:0".into(),
        secret_set: WallMs(5),
        seen: None,
    }
}

#[test]
fn a_log_in_is_found_by_its_token_alone_and_ends_once() {
    let mut sessions = Sessions::default();
    let opened = sessions.open(who("sato"), at(0), LIMITS).expect("opened");
    let other = sessions.open(who("ito"), at(0), LIMITS).expect("opened");
    let found = sessions.find(&opened.token, at(1), LIMITS, Act::Deed).expect("there");
    assert_eq!((found.who.name.as_str(), found.key), ("sato", opened.caller.key));
    assert!(
        found.carries(found.csrf.as_bytes()) && !found.carries(other.caller.csrf.as_bytes()) && !found.carries(b"")
    );
    assert!(sessions.find(&found.csrf, at(1), LIMITS, Act::Deed).is_none());
    assert!(!*found.over.borrow());
    sessions.end(&found.key);
    assert!(*found.over.borrow(), "its event streams hear of it");
    assert!(sessions.find(&opened.token, at(1), LIMITS, Act::Deed).is_none());
    assert_eq!(sessions.count(), 1);
}

#[test]
fn it_ends_when_nothing_is_done_and_in_any_case() {
    let mut sessions = Sessions::default();
    let token = sessions.open(who("sato"), at(0), LIMITS).expect("opened").token;
    let mut find = |seconds, act| sessions.find(&token, at(seconds), LIMITS, act).map(|caller| caller.expires);
    assert_eq!(find(1799, Act::Glance), Some(at(1800).wall), "a page that looks is nobody who does something");
    assert_eq!(find(1799, Act::Deed), Some(at(1799 + 1800).wall));
    for n in 1..=24 {
        assert!(find(n * 1790, Act::Deed).is_some(), "{n}");
    }
    assert_eq!(find(43_000, Act::Deed), Some(at(43_200).wall));
    assert_eq!(find(43_200, Act::Deed), None);
    let mut sessions = Sessions::default();
    let opened = sessions.open(who("sato"), at(0), LIMITS).expect("opened");
    sessions.sweep(at(1800).mono, LIMITS);
    assert!(*opened.caller.over.borrow() && sessions.count() == 0);
}

#[test]
fn nobody_pushes_out_others_and_there_is_a_bound() {
    let mut sessions = Sessions::default();
    let first = sessions.open(who("sato"), at(0), LIMITS).expect("opened");
    let mine = sessions.open(who("ito"), at(0), LIMITS).expect("opened");
    for n in 0..100 {
        sessions.open(who("sato"), at(n), LIMITS).expect("opened");
    }
    assert_eq!(sessions.count(), SESSIONS_EACH_MAX + 1);
    assert!(*first.caller.over.borrow() && !*mine.caller.over.borrow());
    for n in 0..400 {
        sessions.open(who(&format!("r{n}")), at(200), LIMITS).expect("opened");
    }
    assert_eq!(sessions.count(), SESSIONS_MAX);
    assert!(*mine.caller.over.borrow(), "the one idle for longest went first");
}

#[test]
fn a_reset_a_removal_another_role_and_another_link_end_it() {
    let by_password = who("sato");
    assert!(by_password.holds(&[reviewer("sato")]));
    assert!(!by_password.holds(&[reviewer("ito")]), "removed");
    assert!(!by_password.holds(&[Reviewer { secret_set: WallMs(6), ..reviewer("sato") }]), "reset");
    assert!(!by_password.holds(&[Reviewer { role: ReviewerRole::Viewer, ..reviewer("sato") }]), "another role");
    let linked = Reviewer { unix_uid: Some(1000), ..reviewer("sato") };
    let ticket = |linked| Who { by: By::Ticket { uid: 1000, linked }, ..who("sato") };
    let (free, bound) = (ticket(None), ticket(Some((name("sato"), WallMs(5)))));
    assert!(free.holds(&[reviewer("sato")]) && !free.holds(std::slice::from_ref(&linked)));
    assert!(bound.holds(&[linked]) && !bound.holds(&[reviewer("sato")]) && !bound.holds(&[]));
    let mut sessions = Sessions::default();
    let opened = sessions.open(who("sato"), at(0), LIMITS).expect("opened");
    assert_eq!(sessions.keep(|who| who.holds(&[])), ["reviewer:sato"]);
    assert!(*opened.caller.over.borrow());
}

#[test]
fn votes_are_taken_at_the_pace_of_somebody_who_looks() {
    let mut sessions = Sessions::default();
    let key = sessions.open(who("sato"), at(0), LIMITS).expect("opened").caller.key;
    let taken = (0..100).filter(|_| sessions.count_vote(&key, at(1).mono).is_ok()).count();
    assert_eq!(taken, 30);
    let wait = sessions.count_vote(&key, at(1).mono).expect_err("too fast");
    assert!(wait <= Duration::from_secs(2), "{wait:?}");
    sessions.count_vote(&key, at(4).mono).expect("one every two seconds");
}
