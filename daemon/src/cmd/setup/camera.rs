//! The first camera: found or typed, let in, its stream's path found, watched for some seconds, and what it is for.

use super::ask::{Asker, Question, say};
use super::file::quoted;
use super::{Draft, SetupArgs};
use crate::cmd::cameras::try_camera;
use crate::cmd::output::{line, table};
use crate::cmd::terminal::secret_from;
use crate::cmd::{Failure, discover};
use crate::config::Settings;
use crate::config::settings::CameraSettings;
use crate::discover::media::Who;
use crate::discover::{Found, paths};
use crate::page::words::Said;
use sekisho_camera::CameraSettings as Watch;
use sekisho_camera::describe::describe;
use sekisho_camera::secret::{Credential, Secret};
use sekisho_camera::source::{RtspUrl, Source};
use sekisho_logic::id::CameraId;
use sekisho_logic::lawful::LegalBasis;
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a search listens.
const SEARCH_S: u64 = 4;
/// How long the camera may take to say what it offers.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long the camera is watched once pictures come.
const WATCHED: Duration = Duration::from_secs(5);

/// User and password as the credential file holds them.
struct Login {
    user: String,
    password: Zeroizing<String>,
}

impl Login {
    fn credential(&self) -> Credential {
        Credential { user: self.user.clone(), password: Secret::new(self.password.to_string()) }
    }
}

/// Asks for a camera and puts it into the draft; nothing when there is one already and no other is wanted.
pub(super) fn ask(asker: Asker, args: &SetupArgs, settings: &Settings, draft: &mut Draft) -> Result<(), Failure> {
    let known: Vec<_> = settings.cameras.keys().map(ToString::to_string).collect();
    if !known.is_empty() {
        asker.tell(&say("cameras-there", &[("names", &known.join(", "))]));
        let same = |url: &str| {
            settings.cameras.values().any(|camera| match (&camera.source, address(url)) {
                (Source::Rtsp { url: there, .. }, Ok(given)) => there.as_str() == given.as_str(),
                _ => false,
            })
        };
        let wanted = match &args.camera_url {
            Some(url) => !same(url) && !args.camera_name.as_ref().is_some_and(|name| known.contains(name)),
            None => asker.confirm(&say("another-camera", &[]), false)?,
        };
        if !wanted {
            return Ok(());
        }
    }
    let found = if args.camera_url.is_none() && !asker.yes { search(asker)? } else { None };
    let given = args.camera_url.as_deref().or(found.as_ref().map(|(url, _)| url.as_str()));
    let question = Question { text: say("camera-url", &[]), option: "--camera-url", given, default: None };
    let mut url = asker.text(&question, address)?;
    let login = login(asker, args)?;
    loop {
        if let Some(usable) = stream(asker, &url, login.as_ref(), found.as_ref().map(|(_, found)| found))? {
            url = usable;
            break;
        }
        if asker.yes || args.camera_url.is_some() {
            return Err(Failure::No(say("no-stream", &[("url", url.as_str())]).en));
        }
        let question =
            Question { text: say("camera-url-again", &[]), option: "--camera-url", given: None, default: None };
        url = asker.text(&question, address)?;
    }
    let taken = |name: &str| match CameraId::try_new(name) {
        Ok(id) if settings.cameras.contains_key(&id) => Err(format!("there is a camera {id} already")),
        Ok(id) => Ok(id),
        Err(error) => Err(error.to_string()),
    };
    let default = (1..=99)
        .map(|nth| if nth == 1 { "gate".to_owned() } else { format!("camera-{nth}") })
        .find(|name| taken(name).is_ok());
    let question = Question {
        text: say("camera-name", &[]),
        option: "--camera-name",
        given: args.camera_name.as_deref(),
        default: default.as_deref(),
    };
    let id = asker.text(&question, taken)?;
    if !args.skip_camera_test {
        watch(asker, settings, &id, &url, login.as_ref())?;
    }
    let (purpose, basis) = purpose(asker, args)?;
    draft.purpose = Some((purpose.clone(), basis));
    let mut keys = vec![("source", quoted(url.as_str()))];
    if let Some(login) = login {
        keys.push(("credential", quoted(id.as_str())));
        let text = Zeroizing::new(format!("{}:{}\n", login.user, login.password.as_str()));
        draft.credential = Some((settings.daemon.credentials_dir.join(id.as_str()), text));
    }
    keys.extend([("purpose", quoted(&purpose)), ("legal-basis", quoted(basis.as_str()))]);
    draft.section(&format!("cameras.{id}"), &keys);
    draft.camera = Some(id);
    Ok(())
}

/// An address as people write it: whole, or only the host.
fn address(text: &str) -> Result<RtspUrl, String> {
    let text = text.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("rtsp://{text}") };
    match Source::parse(&whole) {
        Ok(Source::Rtsp { url, .. }) => Ok(url),
        Ok(Source::Clip { .. }) => Err("it is no camera's address; write rtsp://HOST/PATH, or only the host".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// The camera chosen from those that answer, with its bare address.
fn search(asker: Asker) -> Result<Option<(String, Found)>, Failure> {
    if !asker.confirm(&say("search", &[]), true)? {
        return Ok(None);
    }
    asker.tell(&say("searching", &[("seconds", &SEARCH_S.to_string())]));
    let found = match discover::look(&[], SEARCH_S) {
        Ok(search) => search.found,
        Err(error) => {
            line(&error.to_string());
            return Ok(None);
        }
    };
    if found.is_empty() {
        asker.tell(&say("nobody-answers", &[]));
        return Ok(None);
    }
    let about = |found: &Found| {
        let words = [&found.about.name, &found.about.model, &found.about.location];
        Said::same(words.into_iter().flatten().cloned().collect::<Vec<_>>().join(", "))
    };
    let mut choices: Vec<_> = found.iter().map(|one| (one.address.to_string(), about(one))).collect();
    choices.push(("other".to_owned(), say("other-camera", &[])));
    let question = Question { text: say("which-camera", &[]), option: "--camera-url", given: None, default: Some("1") };
    let chosen = asker.choose(&question, &choices)?;
    Ok(found.into_iter().find(|one| one.address.to_string() == chosen).map(|one| (chosen, one)))
}

fn login(asker: Asker, args: &SetupArgs) -> Result<Option<Login>, Failure> {
    let question = Question {
        text: say("camera-user", &[]),
        option: "--camera-user",
        given: args.camera_user.as_deref(),
        default: Some(""),
    };
    let user = asker.text(&question, |text| match text.contains([':', '\n']) {
        true => Err("a user's name has no colon".to_owned()),
        false => Ok(text.to_owned()),
    })?;
    if user.is_empty() {
        return Ok(None);
    }
    let password = match &args.camera_password_file {
        Some(file) => secret_from(file)?,
        None if asker.yes => {
            return Err(Failure::Wrong("--yes asks nothing, so --camera-password-file must be given".into()));
        }
        None => asker.secret(&say("camera-password", &[]))?,
    };
    if password.chars().any(char::is_control) {
        return Err(Failure::Wrong("the password holds a control character; nothing was changed".into()));
    }
    Ok(Some(Login { user, password }))
}

/// The address at which the camera offers a stream: the one given, one it names itself, or one that makers use. What it
/// answered is said each time.
fn stream(
    asker: Asker,
    url: &RtspUrl,
    login: Option<&Login>,
    found: Option<&Found>,
) -> Result<Option<RtspUrl>, Failure> {
    let credential = login.map(Login::credential);
    if paths::has_path(url) {
        let answer = describe(url, credential.as_ref(), PATIENCE);
        let said = answer.as_ref().map_or_else(ToString::to_string, sekisho_camera::describe::Described::said);
        line(&format!("  {url}: {said}"));
        return Ok(answer.is_ok_and(|answer| answer.is_usable()).then(|| url.clone()));
    }
    let mut usable = Vec::new();
    if let (Some(found), Some(login)) = (found, login) {
        match discover::ask(found, Who { user: &login.user, password: &login.password }) {
            Err(error) => line(&format!("  ONVIF: {error}")),
            Ok(streams) => usable.extend(streams.into_iter().map(|stream| {
                let size = stream.size.map_or_else(String::new, |(width, height)| format!("{width}x{height}"));
                (stream.url, Said::same(size))
            })),
        }
    }
    if usable.is_empty() {
        asker.tell(&say("trying-paths", &[]));
        let tried = paths::try_all(url, credential.as_ref(), |one| {
            let said = one.answer.as_ref().map_or_else(ToString::to_string, sekisho_camera::describe::Described::said);
            line(&format!("  {:<16} {}: {said}", one.maker, one.url));
        });
        let good = tried.into_iter().filter(paths::Tried::is_usable);
        usable.extend(good.map(|one| (one.url, Said::same(one.maker))));
    }
    if usable.is_empty() {
        return Ok(None);
    }
    let question = Question { text: say("which-stream", &[]), option: "--camera-url", given: None, default: Some("1") };
    let chosen = if usable.len() == 1 { usable.remove(0).0 } else { asker.choose(&question, &usable)? };
    address(&chosen).map(Some).map_err(Failure::No)
}

/// Some seconds of pictures, and what they are good for.
fn watch(
    asker: Asker,
    settings: &Settings,
    id: &CameraId,
    url: &RtspUrl,
    login: Option<&Login>,
) -> Result<(), Failure> {
    asker.tell(&say("watching", &[("seconds", &WATCHED.as_secs().to_string())]));
    let source = Source::parse(url.as_str()).map_err(Failure::wrong)?;
    let its = CameraSettings::unlisted(settings, source.with_credential(login.map(Login::credential)));
    let watch = Watch { stall: its.stall, ..Watch::new(its.source.clone()) };
    let tested = match try_camera(settings, (id, &its), watch, WATCHED) {
        Ok(tested) => tested,
        Err(error) if asker.yes => return Err(error),
        Err(error) => {
            line(&error.to_string());
            return match asker.confirm(&say("take-it-anyway", &[]), false)? {
                true => Ok(()),
                false => Err(Failure::No("the camera was not taken; nothing was changed".into())),
            };
        }
    };
    line(&table(&[id.as_str(), ""], &tested.rows()));
    let (least, name) = (f64::from(settings.detect.min_inter_eye_px), id.as_str());
    let px = format!("{:.0}", tested.largest_px);
    asker.tell(&match tested.faces {
        0 => say("no-face", &[("camera", name)]),
        _ if f64::from(tested.largest_px) < least => say("small-face", &[("px", &px), ("least", &least.to_string())]),
        _ => say("good-face", &[("px", &px)]),
    });
    Ok(())
}

fn purpose(asker: Asker, args: &SetupArgs) -> Result<(String, LegalBasis), Failure> {
    asker.tell(&say("why", &[]));
    let question = Question {
        text: say("camera-purpose", &[]),
        option: "--camera-purpose",
        given: args.camera_purpose.as_deref(),
        default: None,
    };
    let purpose = asker.text(&question, |text| match text.trim() {
        "" => Err("it must be said; it stands on the notice at the door".to_owned()),
        text if text.len() > 1000 || text.chars().any(char::is_control) => {
            Err("at most 1000 bytes on one line".to_owned())
        }
        text => Ok(text.to_owned()),
    })?;
    Ok((
        purpose,
        basis(asker, say("camera-basis", &[]), "--camera-legal-basis", args.camera_legal_basis.as_deref(), None)?,
    ))
}

/// On which legal basis.
pub(super) fn basis(
    asker: Asker,
    text: Said,
    option: &'static str,
    given: Option<&str>,
    default: Option<&str>,
) -> Result<LegalBasis, Failure> {
    let words =
        LegalBasis::ALL.map(|basis| (basis.as_str().to_owned(), say(&format!("basis-{}", basis.as_str()), &[])));
    let chosen = asker.choose(&Question { text, option, given, default }, &words)?;
    LegalBasis::parse(&chosen).ok_or_else(|| Failure::Wrong(format!("{option}: {chosen:?} is no legal basis")))
}
