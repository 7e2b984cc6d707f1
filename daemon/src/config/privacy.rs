//! `[privacy]`, `[retention]` and the part of `[cameras.NAME]` that says what a camera may compare, where and when.

use super::lists;
use super::problem::Findings;
use super::raw::shown;
use super::reader::Reader;
use super::settings::{CameraSettings, Settings};
use sekisho_logic::hours::Hours;
use sekisho_logic::lawful::LegalBasis;
use sekisho_logic::time::WallMs;
use sekisho_logic::zone::{Area, Polygon};
use std::time::Duration;

/// `[privacy]`: who answers for the processing, and how strictly the program asks for what must be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivacySettings {
    /// Whose rules set the defaults.
    pub profile: Profile,
    /// Whether a camera without purpose or legal basis is matched.
    pub require_purpose: RequirePurpose,
    /// Who answers for the processing: name and seat.
    pub controller: Option<String>,
    /// Where people turn to.
    pub contact: Option<String>,
    /// The data-protection officer, where there is one.
    pub dpo_contact: Option<String>,
    /// Where the whole notice can be read.
    pub notice_url: Option<String>,
    /// Version of the notice; enrolments refer to it.
    pub notice_version: Option<String>,
    /// Day since which the notice is up, `2026-11-01`.
    pub published_at: Option<String>,
}

/// Whose rules set the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Nobody's in particular.
    None,
    /// The European Union: GDPR and the AI Act.
    Eu,
    /// Japan: APPI.
    Jp,
}

impl Profile {
    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Eu => "eu",
            Self::Jp => "jp",
        }
    }

    /// Whether nothing is matched before the notice is up.
    #[must_use]
    pub const fn asks_for_notice(self) -> bool {
        match self {
            Self::None => false,
            Self::Eu | Self::Jp => true,
        }
    }
}

/// What becomes of a camera without a purpose or legal basis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequirePurpose {
    /// It is matched, and said wherever somebody looks.
    Warn,
    /// It is not matched.
    Refuse,
}

impl RequirePurpose {
    /// The word in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Refuse => "refuse",
        }
    }
}

/// `[retention]`: how long what is not a picture is kept. Pictures of alerts and counts of strangers have their times in
/// `[evidence]` and `[shadow]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Alerts that came to an end, with their journal, votes and deliveries.
    pub sightings: Duration,
    /// Rows of the audit trail.
    pub audit: Duration,
    /// Backups, after which `backup list` names them and `backup prune` deletes them.
    pub backups: Duration,
    /// How long after somebody withdrew, or after their grounds ran out, they are erased.
    pub erase_withdrawn_after: Duration,
}

/// Why a camera's faces are not compared although it is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMatched {
    /// No purpose is written down.
    NoPurpose,
    /// No legal basis is written down.
    NoLegalBasis,
    /// The notice is not up.
    NoNotice,
}

impl NotMatched {
    /// The word in status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoPurpose => "no-purpose",
            Self::NoLegalBasis => "no-legal-basis",
            Self::NoNotice => "no-notice",
        }
    }
}

impl Settings {
    /// Why a camera's faces are not compared; `None` when they are.
    #[must_use]
    pub fn not_matched(&self, camera: &CameraSettings) -> Option<NotMatched> {
        let privacy = &self.privacy;
        if privacy.profile.asks_for_notice() && privacy.published_at.is_none() {
            return Some(NotMatched::NoNotice);
        }
        match (privacy.require_purpose, &camera.scope.purpose, camera.scope.legal_basis) {
            (RequirePurpose::Warn, ..) | (RequirePurpose::Refuse, Some(_), Some(_)) => None,
            (RequirePurpose::Refuse, None, _) => Some(NotMatched::NoPurpose),
            (RequirePurpose::Refuse, Some(_), None) => Some(NotMatched::NoLegalBasis),
        }
    }

    /// When a camera's faces are compared: its own hours, and never while something stands against it.
    #[must_use]
    pub fn hours_of(&self, camera: &CameraSettings) -> Hours {
        self.not_matched(camera).map_or_else(|| camera.scope.schedule.clone(), |_| Hours::never())
    }
}

/// What one camera may be used for.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// What faces are compared here for.
    pub purpose: Option<String>,
    /// On which legal basis.
    pub legal_basis: Option<LegalBasis>,
    /// Where in its picture.
    pub area: Area,
    /// When.
    pub schedule: Hours,
    /// The windows of `schedule` as they were written; empty: always.
    pub schedule_text: Vec<String>,
    /// Pictures of its alerts are kept no longer than this.
    pub keep: Option<Duration>,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            purpose: None,
            legal_basis: None,
            area: Area::default(),
            schedule: Hours::always(),
            schedule_text: Vec::new(),
            keep: None,
        }
    }
}

/// A sign has room for a few lines; a purpose that takes more has not been thought through.
const TEXT_CHARS_MAX: usize = 300;
const TEXT: &str = "allowed is text of at most 300 characters on one line, or \"\" for none";

fn text(written: &str) -> Result<Option<String>, String> {
    let text = written.trim();
    if text.chars().count() > TEXT_CHARS_MAX || text.chars().any(char::is_control) {
        return Err("is too long or holds control characters".to_owned());
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

const DAY: &str = "allowed is a day, as \"2026-11-01\", or \"\" for not yet";

fn day(written: &str) -> Result<Option<String>, String> {
    match written {
        "" => Ok(None),
        _ if written.len() == 10 && WallMs::from_rfc3339(written).is_some() => Ok(Some(written.to_owned())),
        _ => Err(format!("\"{}\" is no day", shown(written))),
    }
}

const URL: &str = "allowed is an address that begins with https:// or http://, or \"\" for none";

fn url(written: &str) -> Result<Option<String>, String> {
    let sound = written.starts_with("https://") || written.starts_with("http://");
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '<' | '>');
    match written {
        "" => Ok(None),
        _ if sound && written.len() <= TEXT_CHARS_MAX && written.chars().all(plain) => Ok(Some(written.to_owned())),
        _ => Err("is no such address".to_owned()),
    }
}

/// Reads `[privacy]`.
pub(super) fn privacy(reader: &mut Reader<'_, '_>) -> PrivacySettings {
    let profiles = [Profile::None, Profile::Eu, Profile::Jp];
    let profile = reader.choice("profile", &profiles.map(|one| (one.as_str(), one)), Profile::None);
    let strict = match profile {
        Profile::Eu => RequirePurpose::Refuse,
        Profile::None | Profile::Jp => RequirePurpose::Warn,
    };
    let answers = [RequirePurpose::Warn, RequirePurpose::Refuse];
    let require_purpose = reader.choice_or("require-purpose", &answers.map(|one| (one.as_str(), one)), strict);
    let written = |reader: &mut Reader<'_, '_>, key| reader.checked(key, Some(""), TEXT, text).flatten();
    PrivacySettings {
        profile,
        require_purpose,
        controller: written(reader, "controller"),
        contact: written(reader, "contact"),
        dpo_contact: written(reader, "dpo-contact"),
        notice_url: reader.checked("notice-url", Some(""), URL, url).flatten(),
        notice_version: written(reader, "notice-version"),
        published_at: reader.checked("published-at", Some(""), DAY, day).flatten(),
    }
}

/// AI Act Art. 26(6): logs are kept for at least six months.
const AUDIT_DAYS: (u64, u64) = (183, 3660);

/// Reads `[retention]`.
pub(super) fn retention(reader: &mut Reader<'_, '_>) -> RetentionSettings {
    let days = |days: u64| Duration::from_secs(days * 86_400);
    RetentionSettings {
        // Beyond a year it is an archive, which is kept elsewhere and on other grounds.
        sightings: days(reader.number("sightings-days", (1, 366), 30)),
        audit: days(reader.number("audit-days", AUDIT_DAYS, 366)),
        // A backup keeps what was erased since it was made; a quarter is the longest that can be explained to anybody.
        // At once, or within the month in which a request has to be answered.
        erase_withdrawn_after: Duration::from_secs(3600 * reader.number("erase-withdrawn-after-h", (0, 720), 24)),
        backups: days(reader.number("backups-days", (1, 92), 30)),
    }
}

const BASES: &str = "allowed is \"consent\", \"employment-law\", \"vital-interests\", \"legal-claims\", \"public-interest\" or \
     \"notified-purpose\"";
const SCHEDULE: &str = "allowed are hours in square brackets, as [\"mon-fri 07:00-19:00\"], or [\"always\"]";
const POLYGONS: &str = "allowed are polygons of at least three corners in fractions of the picture, as \
     [[[0.1, 0.2], [0.9, 0.2], [0.9, 0.9]]]";

/// Reads what a camera may be used for.
pub(super) fn scope(reader: &mut Reader<'_, '_>) -> Scope {
    let purpose = reader.checked("purpose", None, TEXT, text).flatten();
    let legal_basis = reader.checked("legal-basis", None, BASES, |text| {
        LegalBasis::parse(text).ok_or_else(|| format!("\"{}\" is none of the words known here", shown(text)))
    });
    let area = Area::new(polygons(reader, "zones"), polygons(reader, "masks"));
    let (schedule, schedule_text) = match lists::hours(reader, "schedule", SCHEDULE) {
        Some((hours, _)) if hours == Hours::never() => {
            reader.wrong("schedule", "is empty, so this camera would look at people for nothing", SCHEDULE);
            (hours, Vec::new())
        }
        Some((hours, _)) if hours == Hours::always() => (hours, Vec::new()),
        Some(written) => written,
        None => (Hours::always(), Vec::new()),
    };
    let keep = reader.has("keep-days").then_some(());
    let days: u64 = reader.number_or("keep-days", (1, 366), 366);
    Scope {
        purpose,
        legal_basis,
        area,
        schedule,
        schedule_text,
        keep: keep.map(|()| Duration::from_secs(days * 86_400)),
    }
}

fn polygons(reader: &mut Reader<'_, '_>, key: &'static str) -> Vec<Polygon> {
    let Some(written) = reader.outlines(key, POLYGONS) else { return Vec::new() };
    let mut polygons = Vec::with_capacity(written.len());
    for (nth, corners) in written.iter().enumerate() {
        match Polygon::try_new(corners) {
            Ok(polygon) => polygons.push(polygon),
            Err(wrong) => reader.wrong(key, format!("number {}: {wrong}", nth + 1), POLYGONS),
        }
    }
    polygons
}

/// Keeping times that do not go together, and a legal basis of another law.
pub(super) fn contradictions(settings: &Settings, findings: &mut Findings) {
    let (pictures, sightings) = (settings.evidence.keep_confirmed, settings.retention.sightings);
    let days = |span: Duration| span.as_secs() / 86_400;
    if pictures > sightings {
        findings.contradiction(
            &[("evidence", "keep-days"), ("retention", "sightings-days")],
            format!(
                "pictures would be kept for {} days and the alerts they belong to for {}",
                days(pictures),
                days(sightings)
            ),
            "keep-days must not be the greater; raise sightings-days as well".to_owned(),
        );
    }
    for (id, camera) in &settings.cameras {
        let section = format!("cameras.{id}");
        if let Some(keep) = camera.scope.keep.filter(|keep| *keep > pictures) {
            findings.contradiction(
                &[("evidence", "keep-days"), (&section, "keep-days")],
                format!("{} days are longer than the {} days of [evidence]", days(keep), days(pictures)),
                "a camera's own keep-days can only shorten".to_owned(),
            );
        }
        if settings.privacy.profile == Profile::Eu && camera.scope.legal_basis == Some(LegalBasis::NotifiedPurpose) {
            findings.contradiction(
                &[("privacy", "profile"), (&section, "legal-basis")],
                "\"notified-purpose\" is a basis of Japanese law and none of GDPR Art. 9(2)".to_owned(),
                "name another one, or leave the profile out".to_owned(),
            );
        }
    }
}
