//! What is shipped beside the program says what the program does: unit file, users, directories, man pages.
//!
//! The configuration file and sekisho.toml(5) are held to the code where the keys are read, in `daemon/src/config`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Exposure on systemd's scale of 0 to 100 of the unit as it is shipped; the acceptance of the service asks for 1.2 of 10.
const EXPOSURE_MAX: u32 = 12;

/// The drop-ins beside the unit, with the exposure of the unit and that drop-in alone, and what it may open up beyond
/// [`LEFT_OPEN`].
const DROP_INS: [(&str, u32, &[&str]); 3] = [
    ("accelerators.conf", 14, &["PrivateDevices=", "SupplementaryGroups="]),
    ("openvino.conf", 13, &["MemoryDenyWriteExecute=", "SystemCallFilter=~@resources"]),
    ("video-decoding.conf", 14, &["PrivateDevices=", "SupplementaryGroups="]),
];

/// Where the package puts drop-ins, and where systemd reads what an administrator linked.
const DROP_INS_AT: &str = "/usr/share/sekisho/drop-ins";
const LINKED_AT: &str = "/etc/systemd/system/sekisho.service.d";

/// What `systemd-analyze security` may still find fault with; the unit file says why for each. A line more is a
/// regression, a line fewer a reason to shorten the list.
///
/// `DeviceAllow=` is what systemd 252 adds by itself for encrypted credentials (the TPM) and `ProtectClock=`.
const LEFT_OPEN: [&str; 8] = [
    "DeviceAllow=",
    "IPAddressDeny=",
    "PrivateNetwork=",
    "PrivateUsers=",
    "ProcSubset=",
    "RestrictAddressFamilies=~AF_(INET|INET6)",
    "RestrictAddressFamilies=~AF_UNIX",
    "RootDirectory=/RootImage=",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_owned()
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The output of a program; `None`, said aloud, where the machine does not have it.
fn output(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).env("SYSTEMD_COLORS", "0").output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("SKIPPED: {program} cannot be run here: {error}");
            None
        }
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The unit file in a temporary directory, starting a program that exists on this machine.
fn unit() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let program = std::env::current_exe().expect("a test binary has a path");
    let unit = text("systemd/sekisho.service");
    assert!(unit.contains("ExecStart=/usr/bin/sekisho run\n"), "the unit starts something else");
    let path = dir.path().join("sekisho.service");
    std::fs::write(&path, unit.replace("/usr/bin/sekisho", &program.to_string_lossy())).expect("temporary file");
    let path = path.to_string_lossy().into_owned();
    (dir, path)
}

fn setting(unit: &str, key: &str) -> Vec<String> {
    let values = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.map(str::to_owned).collect()
}

/// The default that the shipped configuration shows for `key`, without quotes.
fn shown_default(key: &str) -> String {
    let config = text("deploy/config.toml");
    let value = config.lines().find_map(|line| line.strip_prefix(&format!("#{key} = "))).map(str::to_owned);
    value.unwrap_or_else(|| panic!("deploy/config.toml does not show {key}")).trim_matches('"').to_owned()
}

#[test]
fn systemd_accepts_the_unit_without_a_word() {
    let (_dir, path) = unit();
    // It exits 0 on an unknown key and only mutters, so silence is what counts.
    let Some(output) = output("systemd-analyze", &["verify", "--man=no", &path]) else { return };
    assert!(output.status.success() && said(&output).trim().is_empty(), "{}", said(&output));
}

/// The exposure (0 to 100) of the unit with these drop-ins, and what is left open; `None`, said aloud, without systemd.
fn exposure(drop_ins: &[&str]) -> Option<(u32, BTreeSet<String>)> {
    let tree = tempfile::tempdir().expect("temporary directory");
    let linked = tree.path().join(LINKED_AT.trim_start_matches('/'));
    std::fs::create_dir_all(&linked).expect("directory");
    let unit = linked.parent().expect("a folder").join("sekisho.service");
    std::fs::write(unit, text("systemd/sekisho.service")).expect("file");
    std::fs::create_dir_all(tree.path().join("usr/bin")).expect("directory");
    std::fs::write(tree.path().join("usr/bin/sekisho"), "").expect("file");
    for name in drop_ins {
        std::fs::write(linked.join(name), text(&format!("systemd/drop-ins/{name}"))).expect("file");
    }
    let at = format!("--root={}", tree.path().display());
    let list = output("systemd-analyze", &["security", "--offline=true", &at, "--json=short", "sekisho.service"])?;
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap_or_else(|_| panic!("{}", said(&list)));
    let lines = list.as_array().expect("a list").iter();
    let open = lines.filter(|line| line["set"] == false && !line["exposure"].is_null());
    let open = open.filter_map(|line| line["name"].as_str().map(str::to_owned)).collect();
    let told = output("systemd-analyze", &["security", "--offline=true", &at, "sekisho.service"])?;
    let told = said(&told);
    let score =
        told.split("Overall exposure level for sekisho.service: ").nth(1).and_then(|rest| rest.split(' ').next());
    let score = score.and_then(|score| score.replace('.', "").parse().ok()).unwrap_or_else(|| panic!("{told}"));
    eprintln!("exposure of the unit with {drop_ins:?}: {}.{}", score / 10, score % 10);
    Some((score, open))
}

fn systemd_is_252() -> bool {
    let is =
        output("systemd-analyze", &["--version"]).is_some_and(|version| said(&version).starts_with("systemd 252 "));
    if !is {
        eprintln!("SKIPPED: the exact list is known for systemd 252; here the score alone was checked");
    }
    is
}

#[test]
fn the_unit_exposes_no_more_than_it_says_and_says_why() {
    let Some((score, open)) = exposure(&[]) else { return };
    assert!(score <= EXPOSURE_MAX, "the exposure is {score} of 100, above {EXPOSURE_MAX}: {open:?}");
    if systemd_is_252() {
        assert_eq!(open, LEFT_OPEN.map(str::to_owned).into());
    }
    let unit = text("systemd/sekisho.service");
    let comments: String = unit.lines().filter(|line| line.starts_with('#')).collect();
    for name in LEFT_OPEN {
        let key = name.split('=').next().unwrap_or(name);
        // Address families and the address list are explained beside the lines that set them, and systemd's own devices
        // at LEFT_OPEN.
        let set = ["RestrictAddressFamilies", "IPAddressDeny", "DeviceAllow"].contains(&key);
        assert!(set || comments.contains(key), "the unit does not say why {name} is left open");
    }
    assert_eq!(setting(&unit, "PrivateDevices"), ["yes"]);
    assert!(setting(&unit, "SupplementaryGroups").is_empty() && setting(&unit, "DeviceAllow").is_empty());
}

#[test]
fn every_drop_in_opens_what_it_says_and_no_more_and_is_one_command_away() {
    let shipped = std::fs::read_dir(root().join("systemd/drop-ins")).expect("a folder").flatten();
    let shipped: BTreeSet<_> = shipped.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(shipped, DROP_INS.iter().map(|(name, ..)| (*name).to_owned()).collect());
    for (name, most, opens) in DROP_INS {
        let drop_in = text(&format!("systemd/drop-ins/{name}"));
        let told = format!("{}.{}", most / 10, most % 10);
        assert!(drop_in.contains(&told), "{name} does not say that the exposure becomes {told}");
        let command = format!("ln -s {DROP_INS_AT}/{name} {LINKED_AT}/ && systemctl daemon-reload");
        assert!(drop_in.contains(&command), "{name} does not say how to switch it on: {command}");
        let Some((score, open)) = exposure(&[name]) else { return };
        assert!(score <= most, "{name}: the exposure is {score} of 100, above {most}: {open:?}");
        if systemd_is_252() {
            let want: BTreeSet<_> = LEFT_OPEN.iter().chain(opens).map(|name| (*name).to_owned()).collect();
            assert_eq!(open, want, "{name}");
        }
    }
    let _printed = exposure(&DROP_INS.map(|(name, ..)| name));
    let tmpfiles = text("deploy/tmpfiles.conf");
    assert!(tmpfiles.contains(&format!("d      {LINKED_AT} ")), "nobody makes {LINKED_AT}");
}

#[test]
fn a_configuration_error_does_not_become_a_restart_loop() {
    let unit = text("systemd/sekisho.service");
    for (key, want) in [
        ("Type", "notify"),
        ("Restart", "always"),
        ("RestartPreventExitStatus", "2"),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("LimitCORE", "0"),
        ("MemorySwapMax", "0"),
    ] {
        assert_eq!(setting(&unit, key), [want], "{key}");
    }
    assert_eq!(setting(&unit, "WatchdogSec").len(), 1);
}

#[test]
fn the_unit_makes_the_directories_the_defaults_name() {
    let unit = text("systemd/sekisho.service");
    let under = |base: &str, key: &str| format!("{base}/{}", setting(&unit, key).concat());
    assert_eq!(shown_default("state-dir"), under("/var/lib", "StateDirectory"));
    assert!(shown_default("socket").starts_with(&under("/run", "RuntimeDirectory")));
    assert!(shown_default("path").starts_with(&under("/var/log", "LogsDirectory")));
    let credentials = shown_default("credentials-dir");
    assert_eq!(setting(&unit, "LoadCredential"), [format!("camera:{credentials}")]);
    let keys = setting(&unit, "LoadCredentialEncrypted");
    let names: Vec<_> = keys.iter().filter_map(|key| key.split(':').next()).collect();
    assert_eq!(names, [shown_default("key-credential"), shown_default("audit-key-credential")]);
    let tmpfiles = text("deploy/tmpfiles.conf");
    let made = tmpfiles.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let made: Vec<_> = made.filter(|fields| fields.first() == Some(&"d")).map(|fields| fields[1].to_owned()).collect();
    assert!(made.contains(&credentials), "tmpfiles does not make {credentials}, and the unit would not start");
    // What may be written under a read-only system is what the unit makes, and the configuration says so.
    let config = text("deploy/config.toml");
    assert!(config.contains("The service may write below /var/lib/sekisho and /var/log/sekisho."));
}

/// Whether a line of product code infers what people are like instead of who they are.
fn infers(line: &str) -> bool {
    const WORDS: [&str; 8] =
        ["emotion", "gender", "ethnic", "nationalit", "skin-tone", "skin_tone", "age_estimat", "age-estimat"];
    let line = line.to_lowercase();
    WORDS.iter().any(|word| line.contains(word))
}

/// The privacy guide maps every duty to tests; what it names must be there.
#[test]
fn every_duty_of_the_privacy_guide_names_tests_that_exist() {
    let guide = text("deploy/guide/privacy.md");
    let rows: Vec<&str> = guide.lines().filter(|line| line.starts_with("| P")).collect();
    let numbers: Vec<String> = rows.iter().filter_map(|row| Some(row.split('|').nth(1)?.trim().to_owned())).collect();
    assert_eq!(numbers, (1..=24).map(|n| format!("P{n}")).collect::<Vec<_>>());
    for row in rows {
        let cell = row.split('|').nth(3).unwrap_or_default();
        let quoted: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        let (files, tests): (Vec<&str>, Vec<&str>) = quoted.into_iter().partition(|word| word.contains('/'));
        assert!(!files.is_empty() && !tests.is_empty(), "{row}");
        let sources: String = files.iter().map(|file| text(file)).collect();
        for test in tests {
            assert!(sources.contains(&format!("fn {test}(")), "{test} is in none of {files:?}");
        }
    }
}

#[test]
fn no_product_code_and_no_network_infers_emotion_age_sex_or_ethnicity() {
    // A network is a detector or an embedder; there is no third role in which a classifier could be shipped.
    let manifest = text("models/manifest.toml");
    let roles: Vec<_> = manifest.lines().filter_map(|line| line.strip_prefix("role = ")).collect();
    assert!(roles.len() >= 3 && roles.iter().all(|role| ["\"detector\"", "\"embedder\""].contains(role)), "{roles:?}");
    let mut looked_at = 0;
    let mut folders = vec![root().join("daemon")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // The evaluation reads labels from a file somebody gives it, counts by them, and forgets them.
            let evaluates = path
                .components()
                .any(|part| ["evaluate", "evaluation"].contains(&&*part.as_os_str().to_string_lossy()))
                || path.ends_with("cmd/evaluate.rs");
            let code =
                path.extension().is_some_and(|end| ["rs", "sql", "js", "toml"].iter().any(|known| end == *known));
            if evaluates || !code {
                continue;
            }
            looked_at += 1;
            let source = std::fs::read_to_string(&path).expect("readable");
            for (number, line) in source.lines().enumerate() {
                assert!(!infers(line), "{}:{}: {line}", path.display(), number + 1);
            }
        }
    }
    assert!(looked_at > 150, "only {looked_at} files were looked at");
    for file in ["models/manifest.toml", "deploy/config.toml"] {
        assert!(!text(file).lines().any(infers), "{file}");
    }
    assert!(infers("let mood = Emotion::Happy;"), "the test can fail");
}

#[test]
fn sysusers_makes_the_user_of_the_unit_and_the_groups_of_the_defaults() {
    let tree = tempfile::tempdir().expect("temporary directory");
    std::fs::create_dir_all(tree.path().join("etc")).expect("directory");
    let (option, file) = (format!("--root={}", tree.path().display()), root().join("deploy/sysusers.conf"));
    let Some(output) = output("systemd-sysusers", &[&option, &file.to_string_lossy()]) else { return };
    assert!(output.status.success(), "{}", said(&output));
    let read = |name: &str| std::fs::read_to_string(tree.path().join("etc").join(name)).expect("made by sysusers");
    let (users, groups) = (read("passwd"), read("group"));
    let has = |file: &str, name: &str| file.lines().any(|line| line.split(':').next() == Some(name));
    let unit = text("systemd/sekisho.service");
    assert!(has(&users, &setting(&unit, "User").concat()), "{users}");
    let mut wanted = setting(&unit, "Group");
    for (name, ..) in DROP_INS {
        let groups = setting(&text(&format!("systemd/drop-ins/{name}")), "SupplementaryGroups");
        wanted.extend(groups.iter().flat_map(|line| line.split(' ')).map(str::to_owned));
    }
    for group in wanted {
        assert!(has(&groups, &group), "no group {group}:\n{groups}");
    }
    for key in ["view-groups", "review-groups", "admin-groups"] {
        let group = shown_default(key).replace(['[', ']', '"'], "");
        assert!(has(&groups, &group), "no group {group} for {key}:\n{groups}");
    }
}

#[test]
fn tmpfiles_keeps_credentials_to_root() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let tree = tempfile::tempdir().expect("temporary directory");
    if std::fs::metadata(tree.path()).expect("just made").uid() != 0 {
        eprintln!("SKIPPED: systemd-tmpfiles gives files to root, which only root can do");
        return;
    }
    let credentials = tree.path().join("etc/sekisho/credentials");
    std::fs::create_dir_all(&credentials).expect("directory");
    let file = credentials.join("gate");
    std::fs::write(&file, "user:password").expect("file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("own file");
    let (option, conf) = (format!("--root={}", tree.path().display()), root().join("deploy/tmpfiles.conf"));
    let users = root().join("deploy/sysusers.conf");
    if output("systemd-sysusers", &[&option, &users.to_string_lossy()]).is_none() {
        return;
    }
    let Some(output) = output("systemd-tmpfiles", &["--create", &option, &conf.to_string_lossy()]) else { return };
    assert!(output.status.success() && said(&output).trim().is_empty(), "{}", said(&output));
    let mode = |path: &Path| std::fs::metadata(path).expect("it is there").mode() & 0o777;
    assert_eq!((mode(&credentials), mode(&file)), (0o700, 0o600));
}

#[test]
fn man_pages_are_well_formed() {
    for page in ["deploy/man/sekisho.1", "deploy/man/sekisho.toml.5"] {
        let path = root().join(page);
        let Some(output) = output("mandoc", &["-Tlint", "-Wwarning", &path.to_string_lossy()]) else { return };
        assert!(output.status.success(), "{}", said(&output));
        assert!(text(page).is_ascii(), "{page}");
    }
}

/// The verbs in a help text: the first word of each line of its list of commands.
fn verbs(arguments: &[&str]) -> Vec<String> {
    let program = sekisho_tests::site::binary();
    let output = Command::new(&program).args(arguments).arg("--help").output().expect("the program runs");
    assert!(output.status.success(), "{}", said(&output));
    let help = String::from_utf8(output.stdout).expect("help is text");
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A verb stands two blanks in; a deeper line goes on about the verb above it.
    let verbs = list.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned));
    verbs.filter(|verb| !verb.is_empty() && verb != "help").collect()
}

#[test]
fn the_man_page_has_every_verb_and_no_other() {
    let mut known = BTreeSet::new();
    for verb in verbs(&[]) {
        let nested = verbs(&[&verb]);
        if nested.is_empty() {
            known.insert(verb);
        } else {
            known.extend(nested.into_iter().map(|inner| format!("{verb} {inner}")));
        }
    }
    let page = text("deploy/man/sekisho.1");
    let items = page.lines().filter_map(|line| line.strip_prefix(".It Ic "));
    let explained: BTreeSet<String> = items.map(|item| item.split(" Ar ").next().unwrap_or(item).to_owned()).collect();
    assert_eq!(explained, known);
}

#[test]
fn the_man_page_lists_every_audit_action_and_no_other() {
    let page = text("deploy/man/sekisho.1");
    let section = page.split(".Sh AUDIT\n").nth(1).and_then(|rest| rest.split(".Sh ").next()).expect("a section");
    let lines: Vec<_> = section.lines().collect();
    let told: Vec<(String, String)> = lines
        .windows(2)
        .filter_map(|pair| Some((pair[0].strip_prefix(".It Li ")?.to_owned(), pair[1].to_lowercase())))
        .collect();
    let wanted =
        sekisho_store::ACTIONS.iter().map(|(name, what)| ((*name).to_owned(), format!("{what}.").to_lowercase()));
    assert_eq!(told, wanted.collect::<Vec<_>>());
}
