//! From settings to open things: what `run`, `replay` and the gallery verbs share.

use crate::books::backup::restore;
use crate::clock::SystemClock;
use crate::cmd::Failure;
use crate::config::Settings;
use crate::config::credentials::CredentialPlaces;
use crate::config::settings::{CameraSettings, ListRules, ListSettings};
use crate::keys;
use crate::local_time;
use nix::unistd::User;
use sekisho_logic::calibration::{Calibration, RawCalibration};
use sekisho_logic::gallery::{Gallery, Member};
use sekisho_logic::id::PersonId;
use sekisho_logic::policy::{CameraPolicy, ListPolicy, Policy, Standing};
use sekisho_logic::time::{Clock as _, WallMs};
use sekisho_store::{DbKey, GalleryRows, IfMissing, Network, SigningKey, Store, StoreError};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where credentials lie in this process.
#[must_use]
pub fn credentials(settings: &Settings) -> CredentialPlaces {
    CredentialPlaces::new(std::env::var_os("CREDENTIALS_DIRECTORY"), &settings.daemon.credentials_dir)
}

/// Opens the database, making it and its key at the first run.
///
/// # Errors
/// [`Failure::No`] with the store's own sentence.
pub fn open_store(settings: &Settings) -> Result<Store, Failure> {
    let database = &settings.store.database;
    may_enter(&settings.daemon.state_dir)?;
    // A restore that was decided and broken off comes first.
    restore::finish(&settings.daemon.state_dir)?;
    let if_missing = if database.exists() { IfMissing::Refuse } else { IfMissing::Create };
    let (places, state) = (credentials(settings), &settings.daemon.state_dir);
    make_private(state).map_err(|error| {
        Failure::No(format!("{}: {error}; check [daemon] state-dir and its owner", state.display()))
    })?;
    let (key, key_file) = (keys::database(settings, &places, if_missing)?, &settings.store.key_file);
    let signing = signing_key(settings)?;
    let mut store = match Store::create_or_open(database, key) {
        // A change of the key that was cut off just before its last step.
        Err(error @ StoreError::WrongKey { .. }) => {
            let next = DbKey::next_if_any(key_file).map_err(Failure::no)?.ok_or_else(|| Failure::no(error))?;
            let store = Store::create_or_open(database, next).map_err(Failure::no)?;
            DbKey::install_next(key_file).map_err(Failure::no)?;
            store
        }
        other => other.map_err(Failure::no)?,
    };
    store.sign_with(signing);
    finish_erasures(&mut store, SystemClock::start().now().wall);
    Ok(store)
}

/// Says whose the state directory is where it is closed to us, before anything in it seems to be missing or broken.
fn may_enter(state: &Path) -> Result<(), Failure> {
    if !std::fs::read_dir(state).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
        return Ok(());
    }
    let owner = std::fs::metadata(state).ok().and_then(|about| User::from_uid(about.uid().into()).ok().flatten());
    let whose = owner.map_or_else(|| "its owner".to_owned(), |user| user.name);
    Err(Failure::No(format!(
        "{}: only {whose} may open it; run the command as that user, `sudo -u {whose} sekisho ...`",
        state.display()
    )))
}

/// What there is to look at.
#[derive(Debug)]
pub enum Look {
    /// No database yet.
    Nothing,
    /// One that the next start brings up to date, in a sentence.
    Older(String),
    /// The open database.
    Store(Box<Store>),
}

/// Opens the database for looking: makes neither directory nor key nor database, changes nothing in it, and finishes nothing that
/// was left undone.
///
/// # Errors
/// [`Failure::No`] with the sentence of the store or the key.
pub fn open_to_look(settings: &Settings) -> Result<Look, Failure> {
    let database = &settings.store.database;
    match std::fs::metadata(database) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Look::Nothing),
        Err(error) => return Err(Failure::No(format!("{}: {error}", database.display()))),
        Ok(_) => {}
    }
    let places = credentials(settings);
    let key = keys::database(settings, &places, IfMissing::Refuse)?;
    let its = &settings.store;
    let signing = keys::secret(&places, &its.audit_key_credential, &its.audit_key_file, IfMissing::Refuse);
    let mut store = match Store::open_to_look(database, key) {
        Err(error @ StoreError::OlderSchema { .. }) => return Ok(Look::Older(error.to_string())),
        other => other.map_err(Failure::no)?,
    };
    store.sign_with(signing.ok().as_ref().and_then(SigningKey::new));
    Ok(Look::Store(Box::new(store)))
}

/// Goes on with erasures that a crash cut off, and erases again whoever an older backup brought back. What cannot be done now
/// holds up nothing: it is tried again by the daemon and by every command.
fn finish_erasures(store: &mut Store, now: WallMs) {
    let again = store.tombstones().and_then(|stones| store.apply_tombstones(&stones, now));
    match again {
        Ok(again) => again.iter().for_each(|erasure| {
            tracing::warn!("{}: erased again: the database is older than the erasure", erasure.person);
        }),
        Err(error) => tracing::warn!("erased people may be back: {error}"),
    }
    if let Err(error) = store.resume_erasures(now) {
        tracing::warn!("an erasure is not done yet: {error}");
    }
}

/// The database's key, which must be there.
///
/// # Errors
/// [`Failure::No`] when there is none.
pub fn database_key(settings: &Settings) -> Result<DbKey, Failure> {
    keys::database(settings, &credentials(settings), IfMissing::Refuse)
}

/// What checkpoints and receipts are signed with. One that was lost is made anew: what the old one signed stays provable with
/// its public key.
///
/// # Errors
/// [`Failure::No`] when it cannot be read or made.
pub fn signing_key(settings: &Settings) -> Result<Option<SigningKey>, Failure> {
    let its = &settings.store;
    let places = credentials(settings);
    let signing = keys::secret(&places, &its.audit_key_credential, &its.audit_key_file, IfMissing::Create)?;
    Ok(SigningKey::new(&signing))
}

/// Makes a directory that only its owner may enter; one that is there is left alone.
pub(crate) fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if directory.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Where the site's own calibration lies.
#[must_use]
pub fn site_calibration(settings: &Settings) -> PathBuf {
    settings.daemon.state_dir.join("calibration.toml")
}

/// The calibrations there are for one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CalibrationPlaces {
    /// The one that came with it.
    pub shipped: PathBuf,
    /// The site's own; need not be there.
    pub own: PathBuf,
    /// SHA-256 of the network's file.
    pub model_digest: String,
    /// Preprocessing in use.
    pub preprocessing: String,
}

/// A calibration and where it was found.
#[derive(Clone, Debug)]
pub struct ChosenCalibration {
    /// The table.
    pub calibration: Calibration,
    /// Its file.
    pub file: PathBuf,
    /// Why the site's own was not taken, a sentence.
    pub refused: Option<String>,
}

impl CalibrationPlaces {
    /// The site's own calibration, or the shipped one where there is none or it does not fit the network.
    ///
    /// # Errors
    /// [`Failure::Wrong`] when the shipped one cannot be used either.
    pub fn choose(&self) -> Result<ChosenCalibration, Failure> {
        let load = |path: &Path| load_calibration(path, &self.model_digest, &self.preprocessing);
        let refused = match self.own.exists().then(|| load(&self.own)) {
            Some(Ok(calibration)) => {
                return Ok(ChosenCalibration { calibration, file: self.own.clone(), refused: None });
            }
            Some(Err(error)) => Some(format!("{error}; the shipped calibration is in force instead")),
            None => None,
        };
        Ok(ChosenCalibration { calibration: load(&self.shipped)?, file: self.shipped.clone(), refused })
    }
}

/// Reads a calibration as it is written.
///
/// # Errors
/// [`Failure::Wrong`] when the file is missing or malformed.
pub fn read_calibration(path: &Path) -> Result<RawCalibration, Failure> {
    let wrong = |what: String| Failure::Wrong(format!("calibration {}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    toml::from_str(&text).map_err(|error| wrong(error.to_string()))
}

/// Reads a calibration and holds it to the network it is used with.
///
/// # Errors
/// [`Failure::Wrong`] when the file is missing, malformed, or made for another network or preprocessing.
pub fn load_calibration(path: &Path, model_digest: &str, preprocessing: &str) -> Result<Calibration, Failure> {
    let wrong = |what: String| Failure::Wrong(format!("calibration {}: {what}", path.display()));
    let raw = read_calibration(path)?;
    let calibration = Calibration::try_new(raw).map_err(|error| wrong(error.to_string()))?;
    if calibration.model_digest() != model_digest {
        return Err(wrong(format!(
            "it was made for the network {:.16}..., but {model_digest:.16}... is in use; calibrate again",
            calibration.model_digest(),
        )));
    }
    if calibration.preprocessing() != preprocessing {
        return Err(wrong(format!(
            "it was made with preprocessing {:?}, but {preprocessing:?} is in use; calibrate again",
            calibration.preprocessing(),
        )));
    }
    Ok(calibration)
}

/// The rates a budget of false candidates may come to, whatever traffic says: as `target-fpir-per-mille` may be.
const FPIR: (f64, f64) = (1e-6, 0.1);

/// The policy the settings mean, with the traffic they expect.
#[must_use]
pub fn policy(settings: &Settings) -> Policy {
    policy_at(settings, settings.decide.strangers_per_camera_day)
}

/// The general target rate at so many strangers a camera and day: as given, or what a budget of false candidates comes to.
#[must_use]
pub fn general_fpir(settings: &Settings, strangers_per_camera_day: f64) -> f64 {
    let decide = &settings.decide;
    let share = |budget: f64| (budget / strangers_per_camera_day.max(1.0)).clamp(FPIR.0, FPIR.1);
    decide.per_camera_day.map_or(decide.target_fpir, share)
}

/// The policy the settings mean at so many strangers a camera and day.
#[must_use]
pub fn policy_at(settings: &Settings, strangers_per_camera_day: f64) -> Policy {
    let (decide, track) = (&settings.decide, &settings.track);
    let general = general_fpir(settings, strangers_per_camera_day);
    let list = |list: &ListSettings, rules: &ListRules| ListPolicy {
        purpose: list.purpose,
        confirm: rules.confirm,
        votes: rules.votes,
        vote_expires: rules.vote_expires,
        target_fpir: list.own_fpir.unwrap_or(general),
        schedule: rules.schedule.clone(),
        quiet: rules.quiet.clone(),
        cool_down: rules.cool_down,
    };
    let at = settings.lists.iter().flat_map(|(name, its)| {
        its.at.iter().map(move |(camera, rules)| ((name.clone(), camera.clone()), list(its, rules)))
    });
    let watched = settings.cameras.iter().filter(|(_, camera)| camera.enabled);
    Policy {
        looks: decide.looks.clone(),
        confirm_looks: decide.confirm_looks.clone(),
        min_interval: track.min_interval,
        runner_up_llr_min: decide.runner_up_llr_min,
        not_enrolled_llr_max: decide.not_enrolled_llr_max,
        withdraw_llr_max: decide.withdraw_llr_max,
        visit_gap: decide.visit_gap,
        candidate_expires: decide.candidate_expires,
        track_expires: track.expires,
        lists: settings.lists.iter().map(|(name, its)| (name.clone(), list(its, &its.rules))).collect(),
        lists_at: at.collect(),
        zone: local_time::zone(&settings.daemon.time_zone).unwrap_or_default(),
        second: decide.second,
        suspend_rejected: settings.drift.suspend_rejected,
        cameras: watched.map(|(name, camera)| (name.clone(), camera_policy(settings, camera))).collect(),
        counts_strangers: settings.shadow.enabled,
        standing: Standing::default(),
    }
}

/// What one camera may compare.
#[must_use]
pub fn camera_policy(settings: &Settings, camera: &CameraSettings) -> CameraPolicy {
    CameraPolicy {
        lists: camera.lists.clone(),
        mode: camera.mode,
        area: camera.scope.area.clone(),
        schedule: settings.hours_of(camera),
    }
}

/// What of the store's gallery cannot be compared with the network in use, a sentence each; never silently left out.
/// Templates of the second network belong there.
#[must_use]
pub fn left_out(rows: &GalleryRows, second: Option<&Network>) -> Vec<String> {
    let is_second = |digest: &str, preprocessing: &str| {
        second.is_some_and(|second| second.model_digest == digest && second.preprocessing == preprocessing)
    };
    let others = rows.other_versions.iter().filter(|other| !is_second(&other.model_digest, &other.preprocessing));
    let other = others.map(|other| {
        format!(
            "gallery: {} prototypes of {} people come from another network ({:.12}..., preprocessing {}) and are not \
             compared; make them anew with `sekisho gallery re-embed`",
            other.prototypes, other.people, other.model_digest, other.preprocessing,
        )
    });
    let names: Vec<_> = rows.without_prototype.iter().take(10).map(ToString::to_string).collect();
    let (count, unreadable) = (rows.without_prototype.len(), rows.unreadable);
    let without = (count > 0)
        .then(|| format!("gallery: {count} people cannot be matched with this network: {}; `sekisho gallery re-embed` makes their templates", names.join(", ")));
    let unreadable = (unreadable > 0).then(|| {
        format!("gallery: {unreadable} prototypes cannot be read and are not compared: people.keys is damaged or lacks their keys; restore it, or enrol them again")
    });
    other.chain(without).chain(unreadable).collect()
}

/// The matcher's gallery from the store's rows: the full-resolution prototype of each person.
///
/// # Errors
/// [`Failure::No`] when the rows do not make one.
pub fn matcher_gallery(rows: GalleryRows, model_digest: &str) -> Result<Gallery, Failure> {
    let revision = u64::try_from(rows.version).unwrap_or_default();
    let whole = rows.rows.into_iter().filter(|row| row.size_bin_px.is_none());
    let (mut people, mut enrollers) = (Vec::new(), Vec::new());
    for row in whole {
        enrollers.push((row.person.clone(), row.enrolled_by));
        people.push((Member { person: row.person, list: row.list }, row.embedding));
    }
    let gallery = Gallery::try_new(revision, model_digest, people).map_err(Failure::no)?;
    Ok(gallery.with_enrollers(enrollers))
}

/// The rows of both networks' galleries, as the store has them.
///
/// # Errors
/// [`StoreError`].
pub fn gallery_rows(
    store: &mut Store,
    first: &Network,
    second: Option<&Network>,
    now: WallMs,
) -> Result<(GalleryRows, Option<GalleryRows>), StoreError> {
    let rows = |store: &mut Store, of: &Network| store.gallery(&of.model_digest, &of.preprocessing, now);
    Ok((rows(store, first)?, second.map(|second| rows(store, second)).transpose()?))
}

/// Both networks' galleries.
#[derive(Clone, Debug)]
pub struct Galleries {
    /// The one everything is decided by.
    pub first: Arc<Gallery>,
    /// The second network's; `None` without one.
    pub second: Option<Arc<Gallery>>,
    /// People in the first gallery who are not in the second one: they become candidates and no machine confirms them.
    pub without_second: Vec<PersonId>,
    /// People who are matched although parts of their grounds are missing.
    pub without_grounds: usize,
    /// What could not be taken or is to be seen to, a sentence each.
    pub left_out: Vec<String>,
    /// When the next person's grounds run out.
    pub next_expires: Option<WallMs>,
    /// The store's version of this content.
    pub version: i64,
}

impl Galleries {
    /// The reference database for the audit trail: its version, how many are in it, and a digest over who is compared and with
    /// what, from which nothing of a template can be told.
    #[must_use]
    pub fn about(&self) -> serde_json::Value {
        let mut hasher = Sha256::new();
        for (gallery, which) in [(Some(&self.first), 1_u8), (self.second.as_ref(), 2)] {
            for (member, row) in gallery.into_iter().flat_map(|gallery| gallery.entries()) {
                hasher.update([which]);
                hasher.update(member.person.as_str());
                hasher.update([0]);
                hasher.update(member.list.as_str());
                hasher.update([0]);
                row.iter().for_each(|component| hasher.update(component.to_le_bytes()));
            }
        }
        serde_json::json!({
            "version": self.version, "people": self.first.members().len(), "sha256": hex::encode(hasher.finalize()),
        })
    }

    /// The galleries that the store's rows make.
    ///
    /// # Errors
    /// [`Failure::No`] when they do not make one.
    pub fn of(
        (rows, second_rows): (GalleryRows, Option<GalleryRows>),
        first: &Network,
        second: Option<&Network>,
    ) -> Result<Self, Failure> {
        let (version, next_expires, mut left_out) = (rows.version, rows.next_expires, left_out(&rows, second));
        let without_grounds = rows.without_grounds.len();
        left_out.extend(groundless(&rows.without_grounds));
        let gallery = Arc::new(matcher_gallery(rows, &first.model_digest)?);
        let (Some(second_rows), Some(second)) = (second_rows, second) else {
            return Ok(Self {
                first: gallery,
                second: None,
                without_second: Vec::new(),
                without_grounds,
                left_out,
                next_expires,
                version,
            });
        };
        if second_rows.unreadable > 0 {
            left_out.push(format!(
                "gallery: {} prototypes of the second network cannot be read; enrol their people again",
                second_rows.unreadable
            ));
        }
        let second_gallery = matcher_gallery(second_rows, &second.model_digest)?;
        let known: BTreeSet<&PersonId> = second_gallery.members().iter().map(|member| &member.person).collect();
        let members = gallery.members().iter().map(|member| &member.person);
        let without_second: Vec<PersonId> = members.filter(|person| !known.contains(person)).cloned().collect();
        left_out.extend(unconfirmable(&without_second));
        let second = Some(Arc::new(second_gallery));
        Ok(Self { first: gallery, second, without_second, without_grounds, left_out, next_expires, version })
    }
}

/// The first ten of them, and how many more there are.
#[must_use]
pub fn named(people: &[PersonId]) -> String {
    let names: Vec<_> = people.iter().take(10).map(ToString::to_string).collect();
    let more = people.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

fn groundless(people: &[PersonId]) -> Option<String> {
    (!people.is_empty()).then(|| {
        format!(
            "gallery: {} people are matched without complete grounds: {}; `sekisho gallery grounds PERSON` records them",
            people.len(),
            named(people),
        )
    })
}

fn unconfirmable(people: &[PersonId]) -> Option<String> {
    (!people.is_empty()).then(|| {
        format!(
            "gallery: {} people have no template of the second network and are never machine-confirmed: {}; \
             `sekisho gallery re-embed` makes their templates",
            people.len(),
            named(people),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sekisho_logic::id::ListId;

    #[test]
    fn a_budget_of_false_candidates_becomes_a_rate_by_the_traffic() {
        let text = "[decide]\nfalse-candidates-per-camera-day = 0.5\nstrangers-per-camera-day = 1000.0\n";
        let settings = crate::config::parse(Path::new("test.toml"), text).expect("valid");
        let staff = ListId::try_new("staff").expect("a name");
        assert!((policy(&settings).target_fpir(&staff) - 0.0005).abs() < 1e-12, "as configured");
        assert!((policy_at(&settings, 250.0).target_fpir(&staff) - 0.002).abs() < 1e-12, "as counted");
        assert!((policy_at(&settings, 0.0).target_fpir(&staff) - 0.1).abs() < 1e-12, "never above one in ten");
    }

    #[test]
    fn a_lists_own_rate_is_in_force_whether_stricter_or_looser_than_the_general_one() {
        let text = "[decide]\ntarget-fpir-per-mille = 1.0\n[lists.staff]\ntarget-fpir-per-mille = 5.0\n\
                    [lists.banned]\ntarget-fpir-per-mille = 0.2\n";
        let settings = crate::config::parse(Path::new("test.toml"), text).expect("valid");
        let policy = policy(&settings);
        for (list, wanted) in [("staff", 0.005), ("banned", 0.0002), ("watch", 0.001)] {
            let rate = policy.target_fpir(&ListId::try_new(list).expect("a name"));
            assert!((rate - wanted).abs() < 1e-12, "{list}: {rate}");
        }
    }
}
