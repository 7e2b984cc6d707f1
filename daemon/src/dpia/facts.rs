//! What the fact sheet rests on, gathered from configuration, database, manifest and the running daemon.

use crate::cmd::Failure;
use crate::config::Settings;
use crate::networks::{Networks, network};
use crate::site::{self, CalibrationPlaces, ChosenCalibration};
use sekisho_logic::time::WallMs;
use sekisho_store::{Holdings, Person, PersonStatus, Reviewer, ReviewerRole};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Everything, as it stood at one moment.
pub struct Facts<'s> {
    /// The configuration in force.
    pub settings: &'s Settings,
    /// When.
    pub now: WallMs,
    /// Rows by class of data.
    pub holdings: Holdings,
    /// Everybody enrolled; what leaves this program are counts.
    pub people: Vec<Person>,
    /// Who may log in.
    pub reviewers: Vec<Reviewer>,
    /// The networks as the manifest has them, or why they cannot be told.
    pub networks: Result<Value, String>,
    /// The calibration in force.
    pub calibration: Option<ChosenCalibration>,
    /// What `/v1/status` says; absent when no daemon answers.
    pub status: Option<Value>,
}

impl<'s> Facts<'s> {
    /// Reads the database and the manifest; `status` was asked before.
    ///
    /// # Errors
    /// [`Failure`] when the database cannot be read.
    pub fn gather(settings: &'s Settings, now: WallMs, status: Option<Value>) -> Result<Self, Failure> {
        let mut store = site::open_store(settings)?;
        let networks = Networks::choose(settings);
        let calibration = networks.as_ref().ok().and_then(|networks| chosen(settings, networks));
        Ok(Self {
            settings,
            now,
            holdings: store.holdings().map_err(Failure::no)?,
            people: store.people().map_err(Failure::no)?,
            reviewers: store.reviewers().map_err(Failure::no)?,
            networks: networks.map(|networks| networks.about()).map_err(|error| error.to_string()),
            calibration,
            status,
        })
    }

    /// Enrolled people for whom something holds.
    pub fn people_who(&self, holds: impl Fn(&Person) -> bool) -> usize {
        self.people.iter().filter(|person| holds(person)).count()
    }

    /// People without purpose or legal basis.
    pub fn groundless(&self) -> usize {
        self.people_who(|person| person.grounds.purpose.is_none() || person.grounds.legal_basis.is_none())
    }

    /// Accounts of one role.
    pub fn accounts(&self, role: ReviewerRole) -> usize {
        self.reviewers.iter().filter(|reviewer| reviewer.role == role).count()
    }

    /// Whether the database key comes from a credential, and whether the signing key does.
    pub fn keys_from_credentials(&self) -> (bool, bool) {
        let places = site::credentials(self.settings);
        let there = |name: &str| places.find(name).is_ok_and(|found| found.is_some());
        (there(&self.settings.store.key_credential), there(&self.settings.store.audit_key_credential))
    }

    /// Whether the calibration was fitted to this site.
    pub fn fitted(&self) -> bool {
        let own = site::site_calibration(self.settings);
        self.calibration.as_ref().is_some_and(|chosen| chosen.file == own)
    }

    /// As data, with the open points the sheet ends with.
    #[must_use]
    pub fn document(&self, open: &[String]) -> Value {
        let settings = self.settings;
        let by_list = settings.lists.keys().map(|list| (list.to_string(), self.people_who(|one| one.list == *list)));
        let status = |wanted: PersonStatus| self.people_who(|person| person.status == wanted);
        let (database, audit) = self.keys_from_credentials();
        let place = |credential: bool| if credential { "credential" } else { "file" };
        json!({
            "type": "dpia-fact-sheet",
            "made": self.now.to_rfc3339(),
            "version": env!("CARGO_PKG_VERSION"),
            "privacy": {
                "profile": settings.privacy.profile.as_str(),
                "require-purpose": settings.privacy.require_purpose.as_str(),
                "controller": settings.privacy.controller,
                "contact": settings.privacy.contact,
                "dpo-contact": settings.privacy.dpo_contact,
                "notice-url": settings.privacy.notice_url,
                "notice-version": settings.privacy.notice_version,
                "published-at": settings.privacy.published_at,
            },
            "cameras": self.cameras(),
            "lists": self.lists(),
            "people": {
                "total": self.people.len(),
                "by-list": by_list.collect::<BTreeMap<_, _>>(),
                "active": status(PersonStatus::Active),
                "withdrawn": status(PersonStatus::Withdrawn),
                "restricted": status(PersonStatus::Restricted),
                "without-purpose-or-basis": self.groundless(),
            },
            "rows": self.holdings.0,
            "kept-s": {
                "pictures-unconfirmed": settings.evidence.keep_unconfirmed.as_secs(),
                "pictures-rejected": settings.evidence.keep_rejected.as_secs(),
                "pictures-confirmed": settings.evidence.keep_confirmed.as_secs(),
                "sightings": settings.retention.sightings.as_secs(),
                "counts-of-strangers": u64::from(settings.shadow.keep_days) * 86_400,
                "audit": settings.retention.audit.as_secs(),
                "backups": settings.retention.backups.as_secs(),
            },
            "networks": self.networks.as_ref().ok(),
            "calibration": self.calibration.as_ref().map(|chosen| {
                json!({ "id": chosen.calibration.id(), "fitted-to-site": self.fitted() })
            }),
            "keys": { "database": place(database), "audit": place(audit) },
            "accounts": ReviewerRole::ALL.map(|role| json!({ "role": role.as_str(), "count": self.accounts(role) })),
            "recipients": settings.sinks.keys().map(ToString::to_string).collect::<Vec<_>>(),
            "retention": self.status.as_ref().map(|status| status["retention"].clone()),
            "pad": "none",
            "open-points": open,
        })
    }

    fn cameras(&self) -> Value {
        let one = |(id, its): (&sekisho_logic::id::CameraId, &crate::config::settings::CameraSettings)| {
            let outlines = |polygons: &[sekisho_logic::zone::Polygon]| -> Vec<Vec<[f32; 2]>> {
                let corners = |polygon: &sekisho_logic::zone::Polygon| {
                    polygon.corners().iter().map(|corner| [corner.x, corner.y]).collect()
                };
                polygons.iter().map(corners).collect()
            };
            let mut camera = Map::new();
            for (key, value) in [
                ("enabled", json!(its.enabled)),
                ("purpose", json!(its.scope.purpose)),
                ("legal-basis", json!(its.scope.legal_basis.map(|basis| basis.as_str()))),
                ("lists", json!(its.lists)),
                ("schedule", json!(its.scope.schedule_text)),
                ("zones", json!(outlines(its.scope.area.zones()))),
                ("masks", json!(outlines(its.scope.area.masks()))),
                ("keep-s", json!(its.scope.keep.map(|keep| keep.as_secs()))),
                ("not-matched", json!(self.settings.not_matched(its).map(|why| why.as_str()))),
            ] {
                camera.insert(key.to_owned(), value);
            }
            (id.to_string(), Value::Object(camera))
        };
        Value::Object(self.settings.cameras.iter().map(one).collect())
    }

    fn lists(&self) -> Value {
        let policy = site::policy(self.settings);
        let one = |(list, its): (&sekisho_logic::id::ListId, &crate::config::settings::ListSettings)| {
            let rate = policy.target_fpir(list);
            let about = json!({ "purpose": its.purpose.as_str(), "votes": its.rules.votes, "target-fpir": rate });
            (list.to_string(), about)
        };
        Value::Object(self.settings.lists.iter().map(one).collect())
    }
}

fn chosen(settings: &Settings, networks: &Networks) -> Option<ChosenCalibration> {
    let first = network(&networks.embedder).ok()?;
    let shipped = networks.shipped_calibration(&networks.embedder).ok()?;
    let own = site::site_calibration(settings);
    let places =
        CalibrationPlaces { shipped, own, model_digest: first.model_digest, preprocessing: first.preprocessing };
    places.choose().ok()
}
