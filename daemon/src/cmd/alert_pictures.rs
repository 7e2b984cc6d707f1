//! `sekisho alerts show ID --pictures FOLDER`: what reviewers are shown, as files, for somebody at a terminal.
//!
//! Pictures never leave by the socket. Like the gallery's verbs this opens the database itself, which only root and the
//! service's own user can, and it is audited.

use super::Failure;
use super::gallery::actor;
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::evidence::portrait::portrait;
use crate::page::report::Folder;
use crate::site;
use crate::status::access::Peer;
use crate::status::blind::Reader;
use crate::status::wire;
use crate::web::reviewers::Reviewers;
use sekisho_logic::record::AlertId;
use sekisho_logic::role::Role;
use sekisho_logic::time::Clock as _;
use serde_json::{Value, json};
use std::path::Path;

/// Writes the alert's pictures and the enrolled face to `folder`; gives the alert with the names of the files.
///
/// # Errors
/// [`Failure::No`] when the database cannot be opened, there is no such alert, or the folder refuses.
pub(super) fn write(settings: &Settings, id: &str, folder: &Path) -> Result<Value, Failure> {
    let mut store = site::open_store(settings)?;
    let alert = AlertId(id.to_owned());
    let missing = || Failure::No(format!("there is no alert {id}; `sekisho alerts list` shows the latest"));
    let record = store.alert(&alert).map_err(Failure::no)?.ok_or_else(missing)?.record;
    let folder = Folder::open(folder)?;
    let rows = store.evidence(&alert).map_err(Failure::no)?;
    let photos = store.person_photos(&record.person).map_err(Failure::no)?;
    // Noted before anything is written: what is not noted is not shown.
    let detail = json!({ "pictures": rows.len(), "photos": photos.len() });
    let now = SystemClock::start().now().wall;
    store.audit(now, &actor(), "pictures-shown", Some(id), detail).map_err(Failure::no)?;
    let (mut pictures, mut faces) = (Vec::new(), Vec::new());
    for (row, nth) in rows.iter().zip(1..) {
        // One that expired since the list was read is left out like those that expired before.
        let Some(png) = store.evidence_picture(row.id).map_err(Failure::no)? else { continue };
        let quality: Value = serde_json::from_str(&row.quality).unwrap_or_default();
        pictures.push(json!({
            "file": folder.write_bytes(&format!("{id}-picture-{nth}.png"), &png)?,
            "taken": row.taken.to_rfc3339(), "face-px": f64::from((row.inter_eye_px * 100.0).round()) / 100.0,
            "width": row.width, "height": row.height, "quality": quality,
        }));
    }
    for (row, nth) in photos.iter().zip(1..) {
        let Some(photo) = store.photo_bytes(row.id).map_err(Failure::no)? else { continue };
        match portrait(&photo, row.face) {
            Ok(jpeg) => faces.push(json!({
                "file": folder.write_bytes(&format!("{id}-enrolled-{nth}.jpg"), &jpeg)?, "added": row.added.to_rfc3339(),
            })),
            Err(error) => eprintln!("sekisho: {}: photograph {nth} of {}: {error}", record.person, photos.len()),
        }
    }
    let reviewers = Reviewers::default();
    reviewers.replace(store.reviewers().map_err(Failure::no)?);
    store.close().map_err(Failure::no)?;
    // Whoever can open the database may vote, and is told no more than at the socket until they have.
    let peer = Peer { uid: rustix::process::getuid().as_raw(), pid: None, roles: Role::Admin.into() };
    let mut told = Reader { peer, reviewers: &reviewers }.alert(wire::alert(&record));
    (told["pictures"], told["photos"]) = (json!(pictures), json!(faces));
    Ok(told)
}
