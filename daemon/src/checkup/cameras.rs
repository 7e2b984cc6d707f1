//! A question to each camera while the daemon does not run: is it there, does it let us in, does it offer a picture. The running
//! daemon knows better and is asked instead.

use super::{Area, Finding};
use crate::config::Settings;
use crate::config::settings::CameraSettings;
use crate::run::fleet::camera_settings;
use crate::site;
use sekisho_camera::describe::{NoAnswer, describe};
use sekisho_camera::source::Source;
use sekisho_logic::id::CameraId;
use std::path::Path;
use std::time::Duration;

/// How long one camera may take. All are asked at once, so this is how long all take.
const PATIENCE: Duration = Duration::from_secs(6);

/// Asks every camera that is switched on.
pub(super) fn probe(settings: &Settings) -> Vec<Finding> {
    let enabled: Vec<_> = settings.cameras.iter().filter(|(_, camera)| camera.enabled).collect();
    std::thread::scope(|scope| {
        let asked: Vec<_> = enabled.iter().map(|(id, camera)| scope.spawn(|| one(settings, id, camera))).collect();
        asked.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}

fn one(settings: &Settings, id: &CameraId, camera: &CameraSettings) -> Finding {
    let name = id.to_string();
    let test = format!("`sekisho cameras test {name}`");
    let bad = |id, said: String, advice: String| Finding::error((Area::Cameras, id), &name, said).advise(advice);
    let watch = match camera_settings(camera, &site::credentials(settings)) {
        Ok(watch) => watch,
        Err(error) => {
            let closed = std::fs::read_dir(&settings.daemon.credentials_dir)
                .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
            return match closed {
                true => Finding::notice(
                    (Area::Cameras, "not-looked-at"),
                    &name,
                    "not asked: only root may read its password",
                )
                .advise("run this with sudo"),
                false => bad("credential", error, "write the credential, then look again".into()),
            };
        }
    };
    let (url, credential) = match watch.source {
        Source::Clip { path, .. } => return clip(&name, &path),
        Source::Rtsp { url, credential, .. } => (url, credential),
    };
    match describe(&url, credential.as_ref(), PATIENCE) {
        Ok(answer) if answer.is_usable() => Finding::ok((Area::Cameras, "answers"), name, answer.said()),
        Ok(answer) => match answer.code {
            401 if answer.presented => {
                let again =
                    "write the right user:password into its credential file; a camera locks after a few wrong ones"
                        .to_owned();
                bad("password-refused", answer.said(), again)
            }
            401 if answer.unknown_ways.is_some() => {
                let plain = "switch its RTSP authentication to digest (or basic), then look again".to_owned();
                bad("password-way", answer.said(), plain)
            }
            401 => bad("no-password", answer.said(), format!("write a credential and name it in [cameras.{name}]")),
            404 | 454 => bad("no-such-path", answer.said(), "`sekisho setup` tries the paths that makers use".into()),
            _ => bad("refused", answer.said(), format!("mend the camera's settings; {test}")),
        },
        Err(NoAnswer::Encrypted { .. }) => {
            Finding::ok((Area::Cameras, "reached"), &name, "takes connections (TLS; not asked further)")
        }
        Err(error) => bad("unreachable", error.to_string(), format!("check power, cable and address; {test}")),
    }
}

fn clip(name: &str, path: &Path) -> Finding {
    match std::fs::File::open(path) {
        Ok(_) => Finding::ok((Area::Cameras, "answers"), name, format!("its clip {} is there", path.display())),
        Err(error) => Finding::error((Area::Cameras, "unreachable"), name, format!("{}: {error}", path.display()))
            .advise("check the path of its clip"),
    }
}
