//! The first camera: found or typed, let in, its stream's path found, watched for some seconds, and what it is for.

use super::ask::{Asker, Question, say};
use super::file::{self, quoted};
use super::{Draft, SetupArgs};
use crate::cmd::cameras::try_camera;
use crate::cmd::output::{line, table};
use crate::cmd::terminal::secret_from;
use crate::cmd::{Failure, discover};
use crate::config::settings::CameraSettings;
use crate::config::{Settings, holds_password};
use crate::discover::media::Who;
use crate::discover::{Found, paths};
use crate::page::words::Said;
use sekisho_camera::CameraSettings as Watch;
use sekisho_camera::describe::{Described, NoAnswer, describe};
use sekisho_camera::secret::{Credential, Secret};
use sekisho_camera::source::{RtspUrl, Source};
use sekisho_logic::id::CameraId;
use sekisho_logic::lawful::LegalBasis;
use std::path::Path;
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
    if !settings.cameras.is_empty() && !is_another_wanted(asker, args, settings)? {
        return Ok(());
    }
    let (url, login) = reach(asker, args)?;
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
        let text = Zeroizing::new(format!("{}:{}\n", login.user, login.password.as_str()));
        let name = file::free(&settings.daemon.credentials_dir, id.as_str(), text.as_bytes())?;
        keys.push(("credential", quoted(&name)));
        draft.credential = Some((settings.daemon.credentials_dir.join(name), text));
    }
    keys.extend([("purpose", quoted(&purpose)), ("legal-basis", quoted(basis.as_str()))]);
    draft.section(&format!("cameras.{id}"), &keys);
    draft.camera = Some(id);
    Ok(())
}

/// Whether a camera is wanted beside those that are there: one that is given and is none of them, or any that somebody says yes
/// to.
fn is_another_wanted(asker: Asker, args: &SetupArgs, settings: &Settings) -> Result<bool, Failure> {
    let known: Vec<_> = settings.cameras.keys().map(ToString::to_string).collect();
    asker.tell(&say("cameras-there", &[("names", &known.join(", "))]));
    let Some(given) = &args.camera_url else { return asker.confirm(&say("another-camera", &[]), false) };
    if args.camera_name.as_ref().is_some_and(|name| known.contains(name)) {
        return Ok(false);
    }
    let same =
        address(given).ok().and_then(|url| settings.cameras.iter().find(|(_, camera)| is_at(&camera.source, &url)));
    if let Some((id, _)) = same {
        asker.tell(&say("camera-same", &[("camera", id.as_str()), ("url", given)]));
    }
    Ok(same.is_none())
}

/// Whether a camera is the one at `url`, which may be only its host and port.
fn is_at(source: &Source, url: &RtspUrl) -> bool {
    let Source::Rtsp { url: there, .. } = source else { return false };
    there.as_str() == url.as_str() || !paths::has_path(url) && (there.host(), there.port()) == (url.host(), url.port())
}

/// The address of a stream that can be used, and who we are to the camera. At the terminal it is asked until there is one.
fn reach(asker: Asker, args: &SetupArgs) -> Result<(RtspUrl, Option<Login>), Failure> {
    let found = if args.camera_url.is_none() && !asker.yes { search(asker)? } else { None };
    let given = args.camera_url.as_deref().or(found.as_ref().map(|(url, _)| url.as_str()));
    let question = Question { text: say("camera-url", &[]), option: "--camera-url", given, default: None };
    let mut url = asker.text(&question, address)?;
    let mut login = log_in(asker, (args.camera_user.as_deref(), args.camera_password_file.as_deref()), "")?;
    loop {
        // Another address that was typed meanwhile is another camera.
        let its = found.as_ref().map(|(_, found)| found).filter(|found| url.host().parse() == Ok(found.address));
        match stream(asker, &url, login.as_ref(), its)? {
            Reached::Stream(url) => return Ok((url, login)),
            // A camera locks after a few wrong passwords: the same one is not presented again.
            Reached::Refused if !asker.yes => {
                asker.tell(&say("camera-refused", &[]));
                let before = login.map(|login| login.user).unwrap_or_default();
                login = log_in(asker, (None, None), &before)?;
            }
            Reached::Nothing if !asker.yes && args.camera_url.is_none() => {
                let text = say("camera-url-again", &[]);
                url = asker.text(&Question { text, option: "--camera-url", given: None, default: None }, address)?;
            }
            Reached::Refused | Reached::Nothing => {
                return Err(Failure::No(say("no-stream", &[("url", &url.to_string())]).en));
            }
        }
    }
}

/// An address as people write it: whole, or only the host.
fn address(text: &str) -> Result<RtspUrl, String> {
    let text = text.trim();
    let whole = if text.contains("://") { text.to_owned() } else { format!("rtsp://{text}") };
    match Source::parse(&whole) {
        // The configuration refuses it as well, and would do so only at the end.
        Ok(Source::Rtsp { .. }) if holds_password(&whole) => Err(
            "it holds a password, and addresses stand in messages; use one without, and give user and password when \
             they are asked for"
                .into(),
        ),
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
        Ok(search) => {
            discover::left_out(&search);
            search.found
        }
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

/// User and password: the user that is given or was typed `before`, the password from a file or the terminal.
fn log_in(asker: Asker, (given, file): (Option<&str>, Option<&Path>), before: &str) -> Result<Option<Login>, Failure> {
    let question = Question { text: say("camera-user", &[]), option: "--camera-user", given, default: Some(before) };
    let user = asker.text(&question, user)?;
    if user.is_empty() {
        return Ok(None);
    }
    let password = match file {
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

/// A user as the credential file can hold one.
fn user(text: &str) -> Result<String, String> {
    match text {
        text if text.contains(':') => Err("a user's name has no colon".to_owned()),
        text if text.chars().any(char::is_control) => Err("a user's name has no control character".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// What came of asking a camera.
enum Reached {
    /// A stream that can be used.
    Stream(RtspUrl),
    /// The user or the password is not the right one.
    Refused,
    /// Nothing that can be used.
    Nothing,
}

impl Reached {
    /// What an answer without a usable stream means.
    fn without_stream(answer: Option<&Described>) -> Self {
        match answer {
            Some(answer) if answer.code == 401 && answer.unknown_ways.is_none() => Self::Refused,
            _ => Self::Nothing,
        }
    }
}

/// The address at which the camera offers a stream: the one given, one it names itself, or one that makers use. What it
/// answered is said each time.
fn stream(asker: Asker, url: &RtspUrl, login: Option<&Login>, found: Option<&Found>) -> Result<Reached, Failure> {
    let credential = login.map(Login::credential);
    let said = |answer: &Result<Described, NoAnswer>| answer.as_ref().map_or_else(ToString::to_string, Described::said);
    if paths::has_path(url) {
        let answer = describe(url, credential.as_ref(), PATIENCE);
        line(&format!("  {url}: {}", said(&answer)));
        return Ok(match answer {
            Ok(answer) if answer.is_usable() => Reached::Stream(url.clone()),
            answer => Reached::without_stream(answer.ok().as_ref()),
        });
    }
    let mut usable = Vec::new();
    if let (Some(found), Some(login)) = (found, login) {
        match discover::ask(found, Who { user: &login.user, password: &login.password }) {
            Err(error) => line(&format!("  ONVIF: {error}")),
            Ok(offer) => {
                offer.left_out.iter().for_each(|why| line(&format!("  ONVIF: {why}")));
                usable.extend(offer.streams.into_iter().map(|stream| {
                    let size = stream.size.map_or_else(String::new, |(width, height)| format!("{width}x{height}"));
                    (stream.url, Said::same(size))
                }));
            }
        }
    }
    if usable.is_empty() {
        asker.tell(&say("trying-paths", &[]));
        let tried = paths::try_all(url, credential.as_ref(), |one| {
            line(&format!("  {:<16} {}: {}", one.maker, one.url, said(&one.answer)));
        });
        let last = Reached::without_stream(tried.last().and_then(|one| one.answer.as_ref().ok()));
        let good = tried.into_iter().filter(paths::Tried::is_usable);
        usable.extend(good.map(|one| (one.url, Said::same(one.maker))));
        if usable.is_empty() {
            return Ok(last);
        }
    }
    let chosen = match &usable[..] {
        [(only, _)] => {
            asker.tell(&say("only-stream", &[("url", only)]));
            only.clone()
        }
        several => {
            let text = say("which-stream", &[]);
            asker.choose(&Question { text, option: "--camera-url", given: None, default: Some("1") }, several)?
        }
    };
    address(&chosen).map(Reached::Stream).map_err(Failure::No)
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
    let px = format!("{:.1}", tested.largest_px);
    asker.tell(&match tested.faces {
        0 => say("no-face", &[("camera", name)]),
        _ if f64::from(tested.largest_px) < least => {
            say("small-face", &[("px", &px), ("least", &least.to_string()), ("camera", name)])
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_alone_is_the_camera_that_is_there_and_another_path_is_not() {
        let there = Source::parse("rtsp://192.0.2.1:554/stream1").expect("an address");
        for (given, same) in [
            ("192.0.2.1", true),
            ("rtsp://192.0.2.1/", true),
            ("rtsp://192.0.2.1:554/stream1", true),
            ("rtsp://192.0.2.1/stream2", false),
            ("192.0.2.1:8554", false),
            ("192.0.2.2", false),
        ] {
            assert_eq!(is_at(&there, &address(given).expect("an address")), same, "{given}");
        }
    }

    #[test]
    fn a_user_is_what_a_credential_file_can_hold() {
        assert_eq!(user("ann"), Ok("ann".to_owned()));
        for bad in ["a:b", "a\tb", "a\r", "a\nb"] {
            assert!(user(bad).is_err(), "{bad:?}");
        }
    }
}
