use super::settings::{LogLevel, Purpose, SinkKind, SinkName};
use super::*;
use proptest::prelude::*;
use sekisho_camera::source::{Pace, Repeat, Source, Transport};
use sekisho_logic::id::{CameraId, ListId};
use sekisho_logic::policy::ConfirmBy;
use sekisho_logic::record::Stage;
use std::time::Duration;

fn read(text: &str) -> Result<Settings, Problems> {
    parse(Path::new("s.toml"), text)
}

fn good(text: &str) -> Settings {
    read(text).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

/// What is said about `text`, one problem a line.
fn said(text: &str) -> String {
    read(text).err().map(|problems| problems.to_string()).unwrap_or_default()
}

/// The one complaint about `text`.
fn complaint(text: &str) -> String {
    let said = said(text);
    assert_eq!(said.lines().count(), 1, "{text}\n{said}");
    said
}

fn camera(id: &str) -> CameraId {
    CameraId::try_new(id).expect("a name")
}

fn list(id: &str) -> ListId {
    ListId::try_new(id).expect("a name")
}

const GATE: &str = "[cameras.gate]\nsource = \"rtsp://10.0.0.7/main\"\n";

#[test]
fn an_empty_file_means_the_defaults() {
    let settings = good("");
    assert_eq!(settings, Settings::default());
    assert_eq!(settings.store.database, PathBuf::from("/var/lib/sekisho/sekisho.db"));
    assert_eq!(settings.store.key_file, PathBuf::from("/var/lib/sekisho/store.key"));
    assert!((settings.decide.target_fpir - 0.001).abs() < 1e-12);
    assert_eq!(settings.lists[&list("staff")].rules.confirm, ConfirmBy::Machine);
    assert_eq!(settings.lists[&list("staff")].purpose, Purpose::EntryLog);
    assert_eq!(settings.lists[&list("watch")].rules.confirm, ConfirmBy::Human);
    assert_eq!(settings.lists.len(), 2);
    assert!(settings.cameras.is_empty() && settings.sinks.is_empty());
}

#[test]
fn every_kind_of_value_is_read() {
    let settings = good(
        "[daemon]\nstate-dir = \"/srv/s\"\nvision-workers = 3\nlog-level = \"debug\"\nadmin-groups = []\n\
         [detect]\nanalysed-fps = 4\n[decide]\ncandidate-looks-frames = [2, 4]\nvisit-gap-s = 90\n\
         [lists.banned]\nconfirm = \"two-person\"\ntarget-fpir-per-mille = 0.2\n\
         [cameras.gate]\nsource = \"rtsps://Gate.local:8322/x\"\ncredential = \"gate\"\ntransport = \"udp\"\n\
         lists = [\"banned\"]\nmin-inter-eye-px = 12.5\n\
         [cameras.clip]\nsource = \"file:///srv/a.mp4\"\npace = \"as-fast-as-possible\"\nrepeat = \"forever\"\n\
         enabled = false\nanalysed-fps = 2.5\n\
         [sinks.log]\nkind = \"event-log\"\npath = \"/var/log/sekisho/e.ndjson\"\nstages = [\"confirmed\"]\n",
    );
    assert_eq!(settings.daemon.vision_workers, Some(3));
    assert_eq!(settings.daemon.log_level, LogLevel::Debug);
    assert!(settings.daemon.admin_groups.is_empty());
    assert_eq!(settings.store.database, PathBuf::from("/srv/s/sekisho.db"));
    assert_eq!(settings.decide.looks, [2, 4]);
    assert_eq!(settings.decide.visit_gap, Duration::from_secs(90));
    let banned = &settings.lists[&list("banned")];
    assert_eq!((banned.rules.confirm, banned.purpose), (ConfirmBy::TwoPerson, Purpose::Watch));
    assert!((banned.own_fpir.expect("its own") - 0.0002).abs() < 1e-12);
    let gate = &settings.cameras[&camera("gate")];
    assert!(matches!(&gate.source, Source::Rtsp { url, transport: Transport::Udp, credential: None }
        if url.host() == "gate.local" && url.port() == 8322));
    assert_eq!(gate.credential.as_deref(), Some("gate"));
    assert!((gate.min_inter_eye_px - 12.5).abs() < 1e-6 && (gate.analysed_fps - 4.0).abs() < 1e-9);
    let clip = &settings.cameras[&camera("clip")];
    assert!(!clip.enabled && (clip.analysed_fps - 2.5).abs() < 1e-9);
    assert!(matches!(clip.source, Source::Clip { pace: Pace::AsFastAsPossible, repeat: Repeat::Forever, .. }));
    let sink = &settings.sinks[&SinkName::try_new("log").expect("a name")];
    assert_eq!(sink.filter.stages, [Stage::Confirmed]);
    assert!(matches!(&sink.kind, SinkKind::EventLog(log) if log.path == Path::new("/var/log/sekisho/e.ndjson")));
}

#[test]
fn all_mistakes_are_found_at_once_and_sorted_by_line() {
    let said = said(
        "[daemon]\nlog-level = \"inof\"\nsocket = 5\n\n[detect]\nanalyzed-fps = 5.0\nmax-faces-per-frame = 2.5\n\
         [lists.staff]\nconfirm = \"humans\"\n[cameras.\"Front Gate\"]\n[cameras.gate]\nstall-ms = \"5s\"\n[detct]\n",
    );
    let want = [
        "s.toml:2: [daemon] log-level: \"inof\" is none of the words known here; did you mean \"info\"? allowed is ",
        "s.toml:3: [daemon] socket: is a whole number; allowed is an absolute path",
        "s.toml:6: [detect] analyzed-fps: this key is not known; did you mean analysed-fps?",
        "s.toml:7: [detect] max-faces-per-frame: is a number with a fraction; allowed is a whole number from 1 to 64",
        "s.toml:9: [lists.staff] confirm: \"humans\" is none of the words known here; did you mean \"human\"?",
        "s.toml:10: [cameras.Front Gate]: this is not a name; names have 1 to 64 characters",
        "s.toml:11: [cameras.gate] source: is missing; allowed is rtsp://",
        "s.toml:12: [cameras.gate] stall-ms: is text; allowed is a whole number from 500 to 300000",
        "s.toml:13: [detct]: this section is not known; did you mean [detect]?",
    ];
    assert_eq!(said.lines().count(), want.len(), "{said}");
    for (line, want) in said.lines().zip(want) {
        assert!(line.starts_with(want), "{line}\n{want}");
    }
}

#[test]
fn wrong_values_are_named_with_what_is_allowed() {
    for (text, want) in [
        (
            "[detect]\nanalysed-fps = 500\n",
            ":2: [detect] analysed-fps: 500 is out of range; allowed is a number from 0.1 to 30",
        ),
        ("[detect]\nanalysed-fps = nan\n", "analysed-fps: nan is out of range"),
        ("[detect]\nanalysed-fps = 1e400\n", "is out of range"),
        ("[detect]\nmax-faces-per-frame = -1\n", "-1 is out of range"),
        ("[detect]\nmax-faces-per-frame = 99999999999999999999999\n", "is out of range"),
        ("[detect]\nmotion = true\n", "motion: is true or false; allowed is \"gated\" or \"ignored\""),
        ("[daemon]\nvision-workers = \"all\"\n", "allowed is \"auto\" or a whole number from 1 to 64"),
        ("[daemon]\nvision-workers = 0\n", "0 is out of range"),
        ("[daemon]\nstate-dir = \"lib\"\n", "is not an absolute path"),
        ("[daemon]\nstate-dir = \"/a/../b\"\n", "holds \"..\""),
        ("[daemon]\nview-groups = [\"a:b\"]\n", "no group name"),
        ("[daemon]\nview-groups = [\"a\", \"a\"]\n", "twice"),
        ("[daemon]\nview-groups = \"a\"\n", "is text; allowed are names of Unix groups"),
        ("[models]\nembedder = \"SFace!\"\n", "\"SFace!\" is no such name"),
        ("[decide]\ncandidate-looks-frames = [6, 3]\n", "not ascending"),
        ("[decide]\ncandidate-looks-frames = []\n", "is empty"),
        ("[decide]\ncandidate-looks-frames = [1, 99]\n", "99 is out of range"),
        ("[decide]\ncandidate-looks-frames = 3\n", "is a whole number; allowed are 1 to 16"),
        ("cameras = 3\n", "s.toml:1: [cameras]: is a whole number; it must be a section: [cameras]"),
        ("[cameras]\nstall-ms = 3\n", "[cameras] stall-ms: is a whole number; write a section of its own"),
        ("stall-ms = 3\n", "s.toml:1: stall-ms: stands before the first [section]"),
        ("[[cameras]]\nsource = \"x\"\n", "[cameras]: is a list; it must be a section"),
        ("[sinks.x]\nkind = \"eventlog\"\npath = \"/x\"\n", "did you mean \"event-log\"?"),
        ("[sinks.x]\nkind = \"event-log\"\n", "path: is missing"),
        ("[sinks.x]\nkind = \"event-log\"\npath = \"/x\"\nstages = [\"confirm\"]\n", "did you mean \"confirmed\"?"),
        ("[sinks.x]\nkind = \"event-log\"\npath = \"/x\"\nstages = []\n", "never be told anything"),
    ] {
        let said = complaint(text);
        assert!(said.contains(want), "{said}\nwanted: {want}");
    }
    let long = format!("[daemon]\nsocket = \"/{}\"\n", "x".repeat(107));
    assert!(complaint(&long).contains("too long for a socket"));
}

#[test]
fn contradictions_are_blamed_on_the_line_written_last() {
    for (text, want) in [
        ("[quality]\nbrightness-max = 0.3\n\nbrightness-min = 0.5\n", "s.toml:4: [quality] brightness-min: "),
        ("[quality]\nbrightness-min = 0.96\n", "s.toml:2: [quality] brightness-min: "),
        (
            "[track]\nmin-interval-ms = 1500\n",
            "[track] min-interval-ms: min-interval-ms 1500 is not below max-gap-ms 1500",
        ),
        ("[track]\nexpires-ms = 1000\n", "[track] expires-ms: "),
        (
            "[detect]\nmotion = \"ignored\"\nfull-frame-interval-ms = 500\n",
            "s.toml:3: [detect] full-frame-interval-ms: ",
        ),
        ("[decide]\nnot-enrolled-llr-max = 1.0\n", "[decide] not-enrolled-llr-max: "),
        ("[decide]\nvisit-gap-s = 4\n", "[decide] visit-gap-s: "),
        (
            "[lists.staff]\nvote-expires-s = 60\n",
            "[lists.staff] vote-expires-s: confirm = \"machine\" asks for no votes",
        ),
        ("[lists.watch]\nvote-expires-s = 60\nconfirm = \"machine\"\n", "s.toml:3: [lists.watch] confirm: "),
    ] {
        let said = complaint(text);
        assert!(said.contains(want), "{said}\nwanted: {want}");
    }
}

#[test]
fn cameras_that_cannot_work_are_contradictions() {
    for (text, want) in [
        (
            "stall-ms = 500\nanalysed-fps = 5\n",
            "[cameras.gate] analysed-fps: at analysed-fps 5 a frame is due every 200 ms",
        ),
        ("lists = [\"staf\"]\n", "s.toml:3: [cameras.gate] lists: there is no list \"staf\"; did you mean \"staff\"?"),
        ("lists = [\"guests\"]\n", "the lists are staff, watch; others are made by a section [lists.NAME]"),
        ("lists = []\n", "would look at people for nothing"),
        ("pace = \"real-time\"\n", "pace: contradicts the source, which is a camera"),
        (
            "[cameras.back]\nsource = \"rtsp://10.0.0.7:554/main\"\n",
            "s.toml:4: [cameras.back] source: cameras back and gate",
        ),
    ] {
        let said = complaint(&format!("{GATE}{text}"));
        assert!(said.contains(want), "{said}\nwanted: {want}");
    }
    let slow = said(&format!("{GATE}analysed-fps = 0.5\n"));
    assert!(slow.contains("max-gap-ms must be at least two frames, 4000 ms"), "{slow}");
    assert!(slow.contains("stall-ms must be at least three frames, 6000 ms"), "{slow}");
    let clip = complaint("[cameras.c]\nsource = \"file:///a.mp4\"\ncredential = \"gate\"\n");
    assert!(clip.contains("credential: contradicts the source, which is a clip"), "{clip}");
    good(&format!("{GATE}[cameras.off]\nenabled = false\nsource = \"rtsp://10.0.0.7/main\"\n"));
    good("[cameras.a]\nsource = \"file:///a.mp4\"\n[cameras.b]\nsource = \"file:///a.mp4\"\n");
    let said = complaint(
        "[decide]\ncandidate-expires-s = 1\nconfirm-looks-frames = [6]\n[cameras.a]\nsource = \"file:///a.mp4\"\n",
    );
    assert!(said.contains("6 confirming frames take 1500 ms on camera a"), "{said}");
}

#[test]
fn one_file_has_one_writer() {
    let sink = "[sinks.x]\nkind = \"event-log\"\npath = \"/var/lib/sekisho/sekisho.db\"\n";
    assert!(complaint(sink).contains("[daemon] state-dir and [sinks.x] path lead to one file"), "{}", said(sink));
    let two = "[sinks.a]\nkind = \"event-log\"\npath = \"/x\"\n[sinks.b]\nkind = \"event-log\"\npath = \"/x\"\n";
    assert!(complaint(two).contains("s.toml:6: [sinks.b] path"), "{}", said(two));
}

#[test]
fn a_wrong_value_causes_no_contradiction_with_its_stand_in() {
    let said = complaint("[quality]\nbrightness-min = 0.99\nbrightness-max = \"high\"\n");
    assert!(said.contains(":3: [quality] brightness-max: is text"), "{said}");
}

#[test]
fn passwords_in_the_wrong_place_are_refused_and_never_repeated() {
    for text in [
        "source = \"rtsp://ann:canary@10.0.0.7/x\"",
        "source = \"rtsp://ann:can/canary@10.0.0.7/x\"",
        "source = \"rtsp://10.0.0.7/user=ann&password=canary&channel=1\"",
        "source = \"rtsp://10.0.0.7/x?PWD=canary\"",
        "source = \"canary@10.0.0.7\"",
        "source = \"canary:canary@rtsp://10.0.0.7/x\"",
        "source = \"rtsp://10.0.0.7:canary/x\"",
        "source = \"rtsp://10.0.0.7/x\"\ncredential = \"ann:canary\"",
        "source = \"rtsp://10.0.0.7/x\"\npassword = \"canary\"",
        "source = \"rtsp://10.0.0.7/x\"\nuser = \"ann\"\npassword = canary",
        "source = \"rtsp://ann:canary@10.0.0.7/x",
        "source = [\"canary\"]",
    ] {
        let said = said(&format!("[cameras.gate]\n{text}\n"));
        assert!(!said.is_empty() && !said.contains("canary"), "{text}\n{said}");
        let debug = format!("{:?}", read(&format!("[cameras.gate]\n{text}\n")));
        assert!(!debug.contains("canary"), "{text}\n{debug}");
    }
    assert!(said("[cameras.g]\nsource = \"rtsp://a:b@h/x\"\n").contains("credential file"));
    good("[cameras.g]\nsource = \"rtsp://h/user=admin&password=&channel=1\"\n");
}

#[test]
fn after_a_syntax_error_only_what_stands_before_it_is_judged() {
    let said = said("[detect]\nanalysed-fps = 99\nmotion = \nnonsense = 1\nx = \"\n[quality\ny = 1\n");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("s.toml:2: [detect] analysed-fps: 99 is out of range"), "{said}");
    assert!(lines.len() >= 4, "{said}");
    for (line, number) in lines[1..].iter().zip([3, 5, 6]) {
        assert!(line.starts_with(&format!("s.toml:{number}: this line is not TOML: ")), "{said}");
    }
    assert!(complaint("[detect]\nmotion = \"gated\"\nmotion = \"ignored\"\n").starts_with("s.toml:3: "));
}

#[test]
fn files_that_cannot_be_read_are_told_from_files_to_edit() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("s.toml");
    assert!(matches!(load(&path), Err(ConfigError::Unreadable { .. })));
    assert!(matches!(load(dir.path()), Err(ConfigError::Unreadable { .. })));
    std::fs::write(&path, "[detect]\nanalysed-fps = 4\n").expect("write");
    assert!(load(&path).is_ok());
    std::fs::write(&path, b"[detect]\n# caf\xe9\n").expect("write");
    let Err(ConfigError::Invalid(problems)) = load(&path) else { panic!("not UTF-8") };
    assert_eq!(problems.list()[0].line, 2);
    std::fs::write(&path, vec![b'#'; 1024 * 1024 + 1]).expect("write");
    let Err(ConfigError::Invalid(problems)) = load(&path) else { panic!("too long") };
    assert!(problems.to_string().contains("longer than 1 MiB"), "{problems}");
}

#[test]
fn a_reload_touches_only_what_changed() {
    let two = format!("{GATE}[cameras.yard]\nsource = \"rtsp://10.0.0.8/main\"\n");
    let old = good(&two);
    assert!(diff(&old, &good(&format!("# a comment\n{two}"))).is_empty());
    let plan = diff(&old, &good(&format!("[decide]\ntarget-fpir-per-mille = 0.5\n{two}")));
    assert_eq!(plan, ReloadPlan { policy: Change::Differs, ..ReloadPlan::default() });
    let plan = diff(&old, &good(&format!("{two}transport = \"udp\"\n")));
    assert_eq!(plan, ReloadPlan { cameras_reconnected: vec![camera("yard")], ..ReloadPlan::default() });
    let plan = diff(&old, &good(&format!("{two}analysed-fps = 3\n")));
    assert_eq!(plan, ReloadPlan { vision: Change::Differs, ..ReloadPlan::default() });
    let plan = diff(&old, &good(&format!("{two}lists = [\"watch\"]\n")));
    assert_eq!(plan, ReloadPlan { policy: Change::Differs, ..ReloadPlan::default() });
    let plan = diff(&old, &good(&format!("{two}enabled = false\n[cameras.dock]\nsource = \"file:///d.mp4\"\n")));
    assert_eq!(plan.cameras_added, [camera("dock")]);
    assert_eq!(plan.cameras_removed, [camera("yard")]);
    assert!(plan.cameras_reconnected.is_empty() && plan.restart.is_empty());
    let plan = diff(&old, &good(&format!("[daemon]\nview-groups = []\n{two}")));
    assert_eq!(plan, ReloadPlan { access: Change::Differs, ..ReloadPlan::default() });
    let sink = |path: &str| format!("[sinks.log]\nkind = \"event-log\"\npath = \"{path}\"\n");
    let name = || vec![SinkName::try_new("log").expect("a name")];
    let plan = diff(&good(&sink("/a")), &good(&sink("/b")));
    assert_eq!(plan, ReloadPlan { sinks_changed: name(), ..ReloadPlan::default() });
    assert_eq!(diff(&good(""), &good(&sink("/b"))), ReloadPlan { sinks_added: name(), ..ReloadPlan::default() });
    assert_eq!(diff(&good(&sink("/b")), &good("")), ReloadPlan { sinks_removed: name(), ..ReloadPlan::default() });
}

#[test]
fn a_budget_of_false_candidates_stands_in_for_the_rate_and_not_beside_it() {
    assert_eq!(good("").decide.per_camera_day, None);
    assert_eq!(good("[decide]\nfalse-candidates-per-camera-day = 0.5\n").decide.per_camera_day, Some(0.5));
    let said = complaint("[decide]\ntarget-fpir-per-mille = 1.0\nfalse-candidates-per-camera-day = 0.5\n");
    assert!(said.contains("both say how many strangers"), "{said}");
}

#[test]
fn a_camera_is_in_shadow_mode_by_itself_or_with_all_others() {
    let mode = |text: &str| good(text).cameras[&camera("gate")].mode;
    assert_eq!(mode(GATE), super::settings::Mode::Live);
    assert_eq!(mode(&format!("{GATE}mode = \"shadow\"\n")), super::settings::Mode::Shadow);
    let all = format!("[decide]\nmode = \"shadow\"\n{GATE}");
    assert_eq!(mode(&all), super::settings::Mode::Shadow);
    assert_eq!(mode(&format!("{all}mode = \"live\"\n")), super::settings::Mode::Live);
}

#[test]
fn a_second_network_is_another_one_or_none() {
    use super::settings::SecondChoice;
    assert_eq!(good("").models.second, SecondChoice::Auto);
    assert_eq!(good("[models]\nsecond = \"none\"\n").models.second, SecondChoice::Nobody);
    assert_eq!(good("[models]\nsecond = \"mine-2\"\n").models.second, SecondChoice::Named("mine-2".into()));
    let said = complaint("[models]\nembedder = \"mine-2\"\nsecond = \"mine-2\"\n");
    assert!(said.contains("always agrees with itself") && said.contains("\"none\""), "{said}");
    let said = complaint("[models]\nsecond = \"SFace!\"\n");
    assert!(said.contains("is no such name") && said.contains("\"auto\""), "{said}");
    let said = complaint("[decide]\nsecond-agrees-llr-min = 1.0\nsecond-withdraw-llr-max = 2.0\n");
    assert!(said.contains("both agree and withdraw"), "{said}");
}

/// Another valid value than the default of `key`.
fn other_value(key: &KeyInfo) -> Option<String> {
    let default = key.default.as_deref()?;
    Some(match key.key {
        "state-dir" | "socket" | "credentials-dir" | "manifest" | "dir" | "onnxruntime" | "key-file" | "path"
        | "audit-key-file" | "certificate" | "provider-dir" => "\"/other\"".to_owned(),
        "key-url" => "\"https://keys.example/box\"".to_owned(),
        "view-groups" | "review-groups" | "admin-groups" => "[]".to_owned(),
        "dpo-groups" => "[\"dpo\"]".to_owned(),
        "device" => "\"npu\"".to_owned(),
        "provider" => "\"openvino\"".to_owned(),
        "openvino-options" | "qnn-options" => "[\"a=1\"]".to_owned(),
        "vision-workers" => "7".to_owned(),
        "detector" | "embedder" | "second" | "key-credential" | "audit-key-credential" => "\"other\"".to_owned(),
        "candidate-looks-frames" | "confirm-looks-frames" => "[5]".to_owned(),
        "motion" => "\"ignored\"".to_owned(),
        "still-faces" => "\"left-out\"".to_owned(),
        "purpose" => if default == "\"watch\"" { "\"entry-log\"" } else { "\"watch\"" }.to_owned(),
        "confirm" => "\"two-person\"".to_owned(),
        "log-level" => "\"trace\"".to_owned(),
        "mode" => "\"shadow\"".to_owned(),
        "pictures" => "\"none\"".to_owned(),
        "profile" => "\"jp\"".to_owned(),
        "controller" | "contact" | "dpo-contact" | "notice-version" => "\"other\"".to_owned(),
        "notice-url" => "\"https://a.example/\"".to_owned(),
        "published-at" => "\"2026-11-01\"".to_owned(),
        "on-drift" => "\"warn\"".to_owned(),
        "enabled" => "false".to_owned(),
        "listen" => "\"127.0.0.1:1\"".to_owned(),
        "tls" => "\"on\"".to_owned(),
        "names" => "[\"a.example\"]".to_owned(),
        "false-candidates-per-camera-day" => "0.5".to_owned(),
        _ => default.parse::<f64>().ok().map(|number| {
            let other = if number < 0.0 { number - 1.0 } else { number + number / 50.0 };
            if default.contains('.') { format!("{other:?}") } else { format!("{}", number + 10.0) }
        })?,
    })
}

#[test]
fn every_key_acts_and_a_reload_says_how() {
    let mut tried = 0;
    for key in known_keys() {
        // What [enrol] says is read by the command line at each enrolment; a running daemon has nothing to do with it.
        if key.section.ends_with("NAME") || key.section == "enrol" {
            continue;
        }
        let Some(value) = other_value(&key) else { continue };
        let mut text = format!("[{}]\n{} = {value}\n", key.section, key.key);
        match (key.section.as_str(), key.key) {
            ("lists.staff", "vote-expires-s") => text.push_str("confirm = \"human\"\n"),
            // Above the default of withdraw-llr-max's floor and of 64 faces there is nothing; go the other way.
            ("detect", "max-faces-per-frame") => text = text.replace("42", "22"),
            ("evidence", "keep-days") => text.push_str("[retention]\nsightings-days = 40\n"),
            ("review", "key-file") => text.push_str("certificate = \"/other.pem\"\n"),
            ("decide", "withdraw-llr-max") => text = text.replace("0.0", "1.0"),
            _ => {}
        }
        let plan = diff(&Settings::default(), &good(&text));
        assert!(!plan.is_empty(), "{text}");
        let once = match key.section.as_str() {
            "daemon" | "models" | "store" => !key.key.ends_with("-groups"),
            "review" => ["enabled", "listen", "tls"].contains(&key.key),
            _ => false,
        };
        let named = format!("{}.{}", key.section, key.key);
        assert_eq!(plan.restart.contains(&named.as_str()), once, "{text} {plan:?}");
        tried += 1;
    }
    assert!(tried > 40, "only {tried} keys were tried");
}

fn scrambled() -> impl Strategy<Value = Vec<u8>> {
    let shipped = include_bytes!("../../../deploy/config.toml").as_slice();
    let uncommented: Vec<u8> = shipped_tests::uncommented().into_bytes();
    let bytes = prop_oneof![Just(shipped.to_vec()), Just(uncommented)];
    let edit = (any::<prop::sample::Index>(), any::<u8>(), 0_u8..4, 1_usize..40);
    (bytes, prop::collection::vec(edit, 1..30)).prop_map(|(mut bytes, edits)| {
        for (at, byte, what, length) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => drop(bytes.drain(at..end)),
                2 => bytes.insert(at, b"[]{}\"'=\n.#\\0"[usize::from(byte) % 12]),
                _ => {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        bytes
    })
}

fn survives(bytes: &[u8]) {
    if let Err(problems) = parse_bytes(Path::new("s.toml"), bytes) {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
        assert!(!problems.list().is_empty());
        assert!(problems.list().is_sorted_by_key(|problem| problem.line));
        assert!(problems.list().iter().all(|problem| (1..=lines).contains(&problem.line)), "{problems}");
        assert_eq!(problems.to_string().lines().count(), problems.list().len(), "{problems}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        survives(&bytes);
    }

    #[test]
    fn no_damage_to_the_shipped_file_makes_the_parser_panic(bytes in scrambled()) {
        survives(&bytes);
    }

    #[test]
    fn deep_nesting_is_refused_not_followed(depth in 1_usize..3000, open in "[\\[{]") {
        survives(format!("[detect]\nmotion = {}", open.repeat(depth)).as_bytes());
        survives(format!("{}x = 1", "a.".repeat(depth)).as_bytes());
    }
}

#[test]
fn a_list_asks_for_something_else_at_one_camera() {
    let text = "[lists.banned]\nconfirm = \"two-person\"\nvotes = 3\nschedule = [\"mon-fri 07:00-19:00\"]\n\
                [lists.banned.at.gate]\nconfirm = \"human\"\nquiet-hours = [\"22:00-06:00\"]\n\
                [cameras.gate]\nsource = \"file:///a.mp4\"\nlists = [\"banned\"]\n";
    let settings = parse(Path::new("test.toml"), text).unwrap_or_else(|problems| panic!("{problems}"));
    let banned = &settings.lists[&list("banned")];
    assert_eq!((banned.rules.votes, banned.at.len()), (3, 1));
    let gate = banned.at.values().next().expect("one");
    assert_eq!((gate.confirm, gate.votes), (ConfirmBy::Human, 1));
    assert_eq!(gate.schedule, banned.rules.schedule, "what it does not say is as in the list");
    assert_ne!(gate.quiet, banned.rules.quiet);
}

#[test]
fn nonsense_about_lists_is_told_with_its_place() {
    let camera = "[cameras.gate]\nsource = \"file:///a.mp4\"\n";
    for (text, place, said) in [
        ("[lists.watch]\nvotes = 0\n", "votes", "out of range"),
        ("[lists.watch]\nconfirm = \"two-person\"\nvotes = 1\n", "votes", "fewer than two"),
        ("[lists.staff]\nvotes = 1\n", "votes", "machine confirms"),
        ("[lists.watch]\nschedule = [\"mon-fri\"]\n", "schedule", "names no hours"),
        ("[lists.watch]\nschedule = []\n", "schedule", "never be matched"),
        ("[lists.staff]\nlegal-basis = \"consnt\"\n", "legal-basis", "did you mean \"consent\"?"),
        ("[lists.staff]\npurpose-text = \" \"\n", "purpose-text", "is empty"),
        ("[lists.staff]\nexpires-days = 400\n", "expires-days", "expires-days-max 366"),
        ("[lists.watch.at.gaet]\nvotes = 2\n", "lists.watch.at.gaet", "did you mean \"gate\"?"),
        ("[lists.banned.at.gate]\nvotes = 2\n", "lists.banned.at.gate", "does not look for people"),
        ("[lists.watch.at.gate]\nvoets = 2\n", "voets", "did you mean votes?"),
        ("[lists.watch]\nat = 3\n", "at", "is a whole number"),
        ("[daemon]\ntime-zone = \"Mars/Olympus\"\n", "time-zone", "no time zone"),
    ] {
        let problems = parse(Path::new("test.toml"), &format!("{text}{camera}")).expect_err(text).to_string();
        assert!(problems.contains(place) && problems.contains(said), "{text}: {problems}");
    }
}
