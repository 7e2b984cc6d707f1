//! `sekisho setup`: a guided first run, for somebody who has a camera, its password and a photograph.
//!
//! ```text
//! questions (or options) -> Draft, in memory -> shown, agreed -> credential -> configuration -> keys -> person -> test alert
//! ```
//!
//! Until the last question about camera, notice and sink is answered nothing is written; each file is then put in its place
//! whole, and what root made is given to the service before the next question, as Ctrl-C may be its answer. What is set already
//! is shown and not asked again, so the command may be run as often as one likes.

mod ask;
mod camera;
mod file;
mod rest;

use super::Failure;
use super::grounds::GroundsArgs;
use crate::config::{self, Settings};
use crate::page::Language;
use crate::page::words::Said;
use ask::{Asker, Question, SoFar, say};
use clap::Args;
use clap::builder::PossibleValuesParser;
use sekisho_logic::id::CameraId;
use sekisho_logic::lawful::LegalBasis;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Options of `setup`. Each answers a question.
#[derive(Debug, Args)]
pub struct SetupArgs {
    /// The language of the questions.
    #[arg(long, value_enum)]
    language: Option<Language>,
    /// Ask nothing: take the options, and defaults for the rest.
    #[arg(long, short)]
    yes: bool,
    /// The camera's address: rtsp://HOST/PATH, or only its host, and the path is found.
    #[arg(long, value_name = "URL")]
    camera_url: Option<String>,
    /// What the camera is called in alerts (a-z, 0-9, '-', '_').
    #[arg(long, value_name = "NAME")]
    camera_name: Option<String>,
    /// The user to log in to the camera with.
    #[arg(long, value_name = "USER")]
    camera_user: Option<String>,
    /// The file with that user's password (mode 0600; `-` reads standard input).
    #[arg(long, value_name = "FILE")]
    camera_password_file: Option<PathBuf>,
    /// What faces are compared for at this camera; it will stand on the notice.
    #[arg(long, value_name = "TEXT")]
    camera_purpose: Option<String>,
    /// On which legal basis.
    #[arg(long, value_name = "WORD", value_parser = PossibleValuesParser::new(LegalBasis::ALL.map(LegalBasis::as_str)))]
    camera_legal_basis: Option<String>,
    /// Take the camera without watching it for some seconds.
    #[arg(long)]
    skip_camera_test: bool,
    /// Who answers for the processing, for the notice.
    #[arg(long, value_name = "TEXT")]
    controller: Option<String>,
    /// Where people turn to, for the notice.
    #[arg(long, value_name = "TEXT")]
    contact: Option<String>,
    /// Who is told of alerts: event-log, webhook, mqtt or none.
    #[arg(long, value_name = "KIND")]
    sink: Option<String>,
    /// The file of an event-log.
    #[arg(long, value_name = "FILE")]
    sink_path: Option<String>,
    /// The address of a webhook or broker.
    #[arg(long, value_name = "URL")]
    sink_url: Option<String>,
    /// Send no test alert.
    #[arg(long)]
    no_test_alert: bool,
    /// The first person's reference, used in alerts and logs.
    #[arg(long, value_name = "NAME", requires = "photo")]
    person: Option<String>,
    /// A photograph of that person, JPEG or PNG; may be given several times.
    #[arg(long, value_name = "FILE", requires = "person")]
    photo: Vec<PathBuf>,
    /// The list that person belongs to.
    #[arg(long, value_name = "NAME")]
    list: Option<String>,
    #[command(flatten)]
    grounds: GroundsArgs,
}

/// What is going to be written.
#[derive(Default)]
struct Draft {
    /// The whole configuration.
    text: String,
    /// What is new in it.
    added: String,
    /// The credential's file and text.
    credential: Option<(PathBuf, Zeroizing<String>)>,
    camera: Option<CameraId>,
    /// What the camera is for, taken for the person as well unless said otherwise.
    purpose: Option<(String, LegalBasis)>,
}

impl Draft {
    fn section(&mut self, section: &str, keys: &[(&str, String)]) {
        self.text = file::with_section(&self.text, section, keys);
        self.note(section, keys);
    }

    /// Keys in a section that may be there. Gives whether the section is written so that they could be added.
    fn keys(&mut self, section: &str, keys: &[(&str, String)]) -> bool {
        let text = file::with_keys(&self.text, section, keys);
        let fits = config::parse(Path::new("sekisho.toml"), &text).is_ok();
        if fits {
            self.text = text;
            self.note(section, keys);
        }
        fits
    }

    fn note(&mut self, section: &str, keys: &[(&str, String)]) {
        self.added = file::with_section(&self.added, section, keys).trim_start().to_owned();
    }
}

/// Guides through the first run.
///
/// # Errors
/// [`Failure`] with one sentence that says what was and was not changed.
pub fn run(config: &Path, args: &SetupArgs) -> Result<(), Failure> {
    let (before, there) = file::text(config)?;
    let settings = config::parse(config, &before).map_err(|problems| {
        Failure::Wrong(format!(
            "{problems}\nthe configuration is left as it is; mend it, then run `sekisho setup` again"
        ))
    })?;
    let asker = language(args)?;
    asker.tell(&say("welcome", &[]));
    asker.tell(&say(if there { "config-there" } else { "config-new" }, &[("file", &config.display().to_string())]));
    let mut draft = Draft { text: before.clone(), ..Draft::default() };
    camera::ask(asker, args, &settings, &mut draft)?;
    rest::controller(asker, args, &settings, &mut draft)?;
    rest::sink(asker, args, &settings, &mut draft)?;
    let settings = config::parse(config, &draft.text).map_err(|problems| {
        Failure::No(format!("{problems}\nthe answers make no valid configuration, so nothing was written"))
    })?;
    rest::check_person(asker, args, &settings, &draft)?;
    let made_state = !settings.daemon.state_dir.exists();
    write(asker, (config, there), &settings, &before, &draft)?;
    // From here on everything is done one by one, and each is whole and the service's own before the next question.
    let asker = Asker { so_far: SoFar::Written, ..asker };
    let settle = || file::settle(&settings, made_state);
    let people = rest::make_keys(asker, &settings);
    settle()?;
    let enrolled = rest::person(asker, args, (config, &settings), &draft, people?, &settle);
    settle()?;
    enrolled?;
    let told = rest::test_alert(asker, args, &settings);
    settle()?;
    told?;
    next(asker, &settings, &draft);
    Ok(())
}

fn language(args: &SetupArgs) -> Result<Asker, Failure> {
    let of_shell = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|text| !text.is_empty()));
    let default = if of_shell.is_some_and(|text| text.starts_with("ja")) { Language::Ja } else { Language::En };
    let asker = Asker::new(args.language.unwrap_or(default), args.yes)?;
    if args.language.is_some() || args.yes {
        return Ok(asker);
    }
    let words = [("en".to_owned(), Said::same("English")), ("ja".to_owned(), say("japanese", &[]))];
    let default = if default == Language::Ja { "ja" } else { "en" };
    let question = Question { text: say("language", &[]), option: "--language", given: None, default: Some(default) };
    let language = if asker.choose(&question, &words)? == "ja" { Language::Ja } else { Language::En };
    Ok(Asker { language, ..asker })
}

/// Shows what changes, asks, and writes: the credential first, so that no configuration names one that is not there.
fn write(
    asker: Asker,
    (config, there): (&Path, bool),
    settings: &Settings,
    before: &str,
    draft: &Draft,
) -> Result<(), Failure> {
    let place = config.display().to_string();
    if there && draft.text == before {
        asker.tell(&say("nothing-new", &[("file", &place)]));
    } else {
        asker.tell(&say("will-write", &[("file", &place)]));
        draft.added.lines().for_each(|line| super::output::line(&format!("  {line}")));
        if !asker.confirm(&say("write", &[]), true)? {
            return Err(Failure::No("nothing was written".into()));
        }
    }
    file::unchanged(config, (before, there))?;
    if let Some((path, text)) = &draft.credential {
        file::folder(&settings.daemon.credentials_dir, 0o700)?;
        file::put(path, text.as_bytes(), 0o600, None)?;
        let user = file::user();
        asker.tell(&say("credential-written", &[("file", &path.display().to_string()), ("user", &user)]));
    }
    if there && draft.text == before {
        return Ok(());
    }
    // A file that was closed to others stays closed, and open to whom it was.
    let old = std::fs::metadata(config).ok();
    let mode = old.as_ref().map_or(0o644, |about| about.permissions().mode() & 0o777);
    if there {
        file::put(&file::kept(config), before.as_bytes(), mode, old.as_ref())?;
    } else if let Some(folder) = config.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        file::folder(folder, 0o755)?;
    }
    file::put(config, draft.text.as_bytes(), mode, old.as_ref())?;
    asker.tell(&say(if there { "written" } else { "written-new" }, &[("file", &place)]));
    Ok(())
}

fn next(asker: Asker, settings: &Settings, draft: &Draft) {
    let camera = draft.camera.as_ref().or_else(|| settings.cameras.keys().next());
    let camera = camera.map_or_else(|| "CAMERA".to_owned(), ToString::to_string);
    asker.tell(&say("next", &[("camera", &camera)]));
}
