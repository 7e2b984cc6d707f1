//! Second stage: what is meant. Plain checked values; whoever holds a [`Settings`] checks nothing again. No secret is
//! ever in here, only the names of credentials.

use super::endpoint::Endpoint;
pub use super::privacy::{PrivacySettings, RetentionSettings, Scope};
pub use super::review::ReviewSettings;
pub use super::sink_settings::{SinkKind, SinkName, SinkSettings};
use sekisho_camera::source::Source;
use sekisho_logic::hours::Hours;
use sekisho_logic::id::{CameraId, ListId};
use sekisho_logic::lawful::LegalBasis;
use sekisho_logic::policy::ConfirmBy;
pub use sekisho_logic::policy::{Mode, OnDrift, Purpose, SecondPolicy};
use sekisho_vision::accelerator::{Device, Provider};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The whole configuration. [`Default`] is what an empty file means.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `[daemon]`
    pub daemon: DaemonSettings,
    /// `[models]`
    pub models: ModelSettings,
    /// `[store]`
    pub store: StoreSettings,
    /// `[detect]`
    pub detect: DetectSettings,
    /// `[quality]`
    pub quality: QualitySettings,
    /// `[track]`
    pub track: TrackSettings,
    /// `[decide]`
    pub decide: DecideSettings,
    /// `[evidence]`
    pub evidence: EvidenceSettings,
    /// `[retention]`
    pub retention: RetentionSettings,
    /// `[shadow]`
    pub shadow: ShadowSettings,
    /// `[drift]`
    pub drift: DriftSettings,
    /// `[review]`
    pub review: ReviewSettings,
    /// `[privacy]`
    pub privacy: PrivacySettings,
    /// `[enrol]`
    pub enrol: EnrolSettings,
    /// `[lists.NAME]`; `staff` and `watch` are always there.
    pub lists: BTreeMap<ListId, ListSettings>,
    /// `[cameras.NAME]`
    pub cameras: BTreeMap<CameraId, CameraSettings>,
    /// `[sinks.NAME]`
    pub sinks: BTreeMap<SinkName, SinkSettings>,
}

/// Where the program lives and who may talk to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonSettings {
    /// Directory of the database; absolute.
    pub state_dir: PathBuf,
    /// The status socket; absolute and short enough for a socket address.
    pub socket: PathBuf,
    /// Where credentials lie when systemd hands over none.
    pub credentials_dir: PathBuf,
    /// Vision threads; `None`: one fewer than the machine has cores, at least one.
    pub vision_workers: Option<u32>,
    /// Least severe log level written, unless the environment variable `RUST_LOG` says otherwise.
    pub log_level: LogLevel,
    /// Unix groups that may look.
    pub view_groups: Vec<String>,
    /// Unix groups that may vote.
    pub review_groups: Vec<String>,
    /// Unix groups that look after cameras, people and reviewers.
    pub admin_groups: Vec<String>,
    /// Unix groups of the data-protection officer; none: admins stand in.
    pub dpo_groups: Vec<String>,
    /// The zone of schedules and quiet hours: `system`, or a name of the time-zone database.
    pub time_zone: String,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// What needs somebody.
    Error,
    /// What may need somebody.
    Warn,
    /// What changed.
    Info,
    /// What was decided and why.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word a log filter takes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Which networks run, and in what.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSettings {
    /// The contracts of all networks.
    pub manifest: PathBuf,
    /// Folder of the network files that do not lie beside the manifest.
    pub dir: PathBuf,
    /// The ONNX Runtime shared library.
    pub onnxruntime: PathBuf,
    /// Detector, as named in the manifest.
    pub detector: String,
    /// Embedder, as named in the manifest.
    pub embedder: String,
    /// The network whose agreement machine confirmation needs beside disjoint frames.
    pub second: SecondChoice,
    /// The kind of processor wanted.
    pub device: DeviceChoice,
    /// Whose library is wanted.
    pub provider: ProviderChoice,
    /// Folder with a folder for each provider's libraries.
    pub provider_dir: PathBuf,
    /// Options of providers, as their makers name them.
    pub provider_options: BTreeMap<Provider, BTreeMap<String, String>>,
    /// How many times faster than the processor a provider must be to be used; 0: no matter.
    pub provider_speedup_min: f64,
    /// How long the trial of one network may take.
    pub provider_trial: Duration,
}

impl ModelSettings {
    /// The options of one provider.
    #[must_use]
    pub fn options_of(&self, provider: Provider) -> Option<&BTreeMap<String, String>> {
        self.provider_options.get(&provider).filter(|options| !options.is_empty())
    }
}

/// On what networks are wanted to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best there is.
    Auto,
    /// This one, or the processor with a reason.
    Named(Device),
}

/// By whose library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderChoice {
    /// One that is installed.
    Auto,
    /// ONNX Runtime's own code for the processor.
    Cpu,
    /// This one, or the processor with a reason.
    Named(Provider),
}

/// Which network is the second one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecondChoice {
    /// The shipped one that is another network than the embedder.
    Auto,
    /// None: disjoint frames alone confirm.
    Nobody,
    /// As named in the manifest.
    Named(String),
}

/// Where people, alerts and their key are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSettings {
    /// The database file, inside the state directory.
    pub database: PathBuf,
    /// Credential that holds the database key; used when it exists.
    pub key_credential: String,
    /// Key file used otherwise, made at first run.
    pub key_file: PathBuf,
    /// Server that hands out the database key instead; `None`: none.
    pub key_server: Option<KeyServer>,
    /// Credential that holds the secret audit checkpoints and receipts are signed with; used when it exists.
    pub audit_key_credential: String,
    /// File with that secret used otherwise, made at first run.
    pub audit_key_file: PathBuf,
}

/// A server that hands out the database key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyServer {
    /// Its address; encrypted unless it is this machine.
    pub url: Endpoint,
    /// Credential whose text is sent as bearer token.
    pub token_credential: Option<String>,
    /// Who may sign its certificate.
    pub ca_file: PathBuf,
}

/// Finding faces.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectSettings {
    /// Frames per second and camera that are looked at. Cameras may differ: see [`CameraSettings::analysed_fps`].
    pub analysed_fps: f64,
    /// Time between two detections on the whole frame.
    pub full_frame_interval: Duration,
    /// Smallest face that is compared, in source pixels between the eyes. See [`CameraSettings::min_inter_eye_px`].
    pub min_inter_eye_px: f32,
    /// Detector scores below this are no faces, 0..=1.
    pub detector_score_min: f32,
    /// Faces of one frame that are followed, best first.
    pub max_faces_per_frame: u32,
    /// Whether still parts of the picture are skipped.
    pub motion: Motion,
}

/// Whether detection waits for motion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// Detect where something moved, and on the whole frame now and then.
    Gated,
    /// Detect on the whole of every analysed frame.
    Ignored,
}

/// Floors below which a face is counted but not compared.
#[derive(Clone, Debug, PartialEq)]
pub struct QualitySettings {
    /// Least sharpness, 0..=1.
    pub sharpness_min: f32,
    /// Degrees the head may be turned to either side.
    pub yaw_deg_max: f32,
    /// Degrees the head may be tilted to either side.
    pub roll_deg_max: f32,
    /// Least mean luma, 0..=1.
    pub brightness_min: f32,
    /// Greatest mean luma, 0..=1.
    pub brightness_max: f32,
    /// Least standard deviation of luma, 0..=1.
    pub contrast_min: f32,
}

/// Following faces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackSettings {
    /// Frames of one track closer than this count once.
    pub min_interval: Duration,
    /// A face unseen for this long has left; its track ends.
    pub max_gap: Duration,
    /// A track from which nothing was heard for this long is over even if its camera is silent.
    pub expires: Duration,
    /// What about faces that never move.
    pub still_faces: StillFaces,
}

/// Whether a face is compared before its track has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StillFaces {
    /// Like any other.
    Compared,
    /// Not before it has moved.
    LeftOut,
}

/// From scores to candidates.
#[derive(Clone, Debug, PartialEq)]
pub struct DecideSettings {
    /// Whether candidates become alerts. See [`CameraSettings::mode`].
    pub mode: Mode,
    /// Share of strangers' tracks that may become a candidate, 0..1 (the file says per mille).
    pub target_fpir: f64,
    /// False candidates a camera and day; where it is given, `target_fpir` follows from it.
    pub per_camera_day: Option<f64>,
    /// Strangers a camera and day, as long as they have not been counted.
    pub strangers_per_camera_day: f64,
    /// Frame counts at which a track is judged, ascending.
    pub looks: Vec<u32>,
    /// Frame counts at which the disjoint confirming frames are judged, ascending.
    pub confirm_looks: Vec<u32>,
    /// Lead over the second best person, natural-log likelihood ratio.
    pub runner_up_llr_min: f64,
    /// At or below this log likelihood ratio a track is somebody who is not enrolled.
    pub not_enrolled_llr_max: f64,
    /// Confirming frames at or below this log likelihood ratio withdraw the candidate.
    pub withdraw_llr_max: f64,
    /// What the second network must say.
    pub second: SecondPolicy,
    /// A person unseen for this long on a camera has left.
    pub visit_gap: Duration,
    /// How long a candidate waits for independent evidence.
    pub candidate_expires: Duration,
}

/// What is kept of an alert for the people who review it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceSettings {
    /// What is kept.
    pub pictures: Pictures,
    /// Pictures an alert has at the most.
    pub pictures_max: u32,
    /// How long, while nobody confirmed or rejected the alert.
    pub keep_unconfirmed: Duration,
    /// How long after a rejection.
    pub keep_rejected: Duration,
    /// How long after people confirmed it.
    pub keep_confirmed: Duration,
}

/// What is kept of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pictures {
    /// Nothing.
    None,
    /// The SHA-256 of each picture, in the audit trail: enough to prove what was seen to whoever has the recording.
    HashOnly,
    /// The best few faces of its track.
    Faces,
}

/// What enrolling asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolSettings {
    /// For how many days grounds may be recorded at the most.
    pub expires_days_max: u32,
}

/// Counting strangers' scores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowSettings {
    /// Whether they are counted.
    pub enabled: bool,
    /// Counts older than this are forgotten.
    pub keep_days: u32,
}

/// Noticing that the calibration no longer fits.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftSettings {
    /// What a stale calibration does to deciding.
    pub on_drift: OnDrift,
    /// Strangers' tracks a row of the calibration gathers before it is tested.
    pub window_tracks: u32,
    /// Share of voted alerts that people may reject, 0..1 (the file says per mille).
    pub rejected_borne: f64,
    /// A calibration older than this is called old.
    pub old_after_days: u32,
    /// Share of one person's or one camera's voted alerts that may be rejected, 0..1 (the file says per mille).
    pub suspend_rejected: f64,
    /// How many times more errors one group of people may have than another before status warns.
    pub groups_ratio_max: f64,
}

/// One list of people and its policy.
#[derive(Clone, Debug, PartialEq)]
pub struct ListSettings {
    /// What being recognised means.
    pub purpose: Purpose,
    /// Share of strangers' tracks that may become a candidate of this list, 0..1; `None`: the general rate is in force.
    pub own_fpir: Option<f64>,
    /// What stands in for grounds that are not given at an enrolment.
    pub grounds: ListGrounds,
    /// What it asks for at every camera that says nothing else.
    pub rules: ListRules,
    /// What it asks for at one camera.
    pub at: BTreeMap<CameraId, ListRules>,
}

/// Grounds that everybody on a list shares. Where the consent or decision of one person is filed is never shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListGrounds {
    /// What they are matched for.
    pub purpose: Option<String>,
    /// On which legal basis.
    pub legal_basis: Option<LegalBasis>,
    /// Which version of the notice is given out.
    pub notice: Option<String>,
    /// For how many days from the enrolment.
    pub expires_days: Option<u32>,
}

/// What a list asks for before an alert is confirmed, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRules {
    /// Who turns a machine-confirmed alert into a confirmed one.
    pub confirm: ConfirmBy,
    /// Distinct people who must agree; 0 when the machine confirms.
    pub votes: u32,
    /// How long an alert waits for votes.
    pub vote_expires: Duration,
    /// After an alert, the next one for the same person and camera waits this long.
    pub cool_down: Duration,
    /// When the list is matched at all, in local time.
    pub schedule: Hours,
    /// When sinks that keep quiet are not told, in local time.
    pub quiet: Hours,
}

/// One camera, with the general settings already filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraSettings {
    /// Whether it is used at all.
    pub enabled: bool,
    /// Address and transport, or clip and playback. Its credential is not filled in: see `credential`.
    pub source: Source,
    /// Name of the credential that holds `user:password`.
    pub credential: Option<String>,
    /// Lists its faces are compared with.
    pub lists: Vec<ListId>,
    /// Whether its candidates become alerts.
    pub mode: Mode,
    /// A camera that sends no frame for this long is taken down and reconnected.
    pub stall: Duration,
    /// Frames per second that are looked at.
    pub analysed_fps: f64,
    /// Smallest face that is compared, in source pixels between the eyes.
    pub min_inter_eye_px: f32,
    /// What it may be used for, where in its picture and when.
    pub scope: Scope,
}

impl CameraSettings {
    /// A camera that is not in the file, with the general settings and without limits of its own: for measuring material that
    /// somebody brings.
    #[must_use]
    pub fn unlisted(settings: &Settings, source: Source) -> Self {
        Self {
            enabled: true,
            source,
            credential: None,
            lists: settings.lists.keys().cloned().collect(),
            mode: Mode::Live,
            stall: Duration::from_secs(5),
            analysed_fps: settings.detect.analysed_fps,
            min_inter_eye_px: settings.detect.min_inter_eye_px,
            scope: Scope::default(),
        }
    }
}
