//! What a reload can apply while streams keep running, and what waits for a restart.

use super::settings::{CameraSettings, Settings, SinkName};
use sekisho_logic::id::CameraId;
use sekisho_vision::accelerator::Provider;

/// The way from one configuration to another. Empty when both mean the same.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ReloadPlan {
    /// Thresholds, lists, tracks, shadow mode, drift, or what a camera is compared with: a new policy for the decide loop.
    pub policy: Change,
    /// Frame rates, sizes, quality floors: new numbers for the vision workers.
    pub vision: Change,
    /// What is kept of alerts and of people, and for how long.
    pub evidence: Change,
    /// Who answers for the processing, what cameras are for, and what the notice says.
    pub privacy: Change,
    /// Groups that may look, vote or do everything.
    pub access: Change,
    /// How the review page is served. Its certificate is read again at every reload.
    pub review: Change,
    /// Cameras to start.
    pub cameras_added: Vec<CameraId>,
    /// Cameras to stop, with their tracks and candidates.
    pub cameras_removed: Vec<CameraId>,
    /// Cameras whose stream must be opened anew. All others keep theirs.
    pub cameras_reconnected: Vec<CameraId>,
    /// Sinks to start.
    pub sinks_added: Vec<SinkName>,
    /// Sinks to stop. What waits for them stays in the outbox, so that one that is taken back misses nothing.
    pub sinks_removed: Vec<SinkName>,
    /// Sinks that write elsewhere or hear of other events from now on.
    pub sinks_changed: Vec<SinkName>,
    /// Settings that stay as they were until the daemon is restarted: `section.key`.
    pub restart: Vec<&'static str>,
}

/// Whether something differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Change {
    /// As it was.
    #[default]
    Same,
    /// To be replaced.
    Differs,
}

impl Change {
    fn of<T: PartialEq>(old: &T, new: &T) -> Self {
        if old == new { Self::Same } else { Self::Differs }
    }
}

impl ReloadPlan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Cameras in use; a disabled one is as good as absent.
fn enabled(settings: &Settings) -> impl Iterator<Item = (&CameraId, &CameraSettings)> {
    settings.cameras.iter().filter(|(_, camera)| camera.enabled)
}

fn running<'s>(settings: &'s Settings, id: &CameraId) -> Option<&'s CameraSettings> {
    settings.cameras.get(id).filter(|camera| camera.enabled)
}

fn same_stream(old: &CameraSettings, new: &CameraSettings) -> bool {
    old.source == new.source && old.credential == new.credential && old.stall == new.stall
}

/// Compares two configurations. Credentials are compared by name: a password changed in its file needs no reload, the
/// file is read at each connection.
#[must_use]
pub fn diff(old: &Settings, new: &Settings) -> ReloadPlan {
    let lists_of = |settings: &Settings| -> Vec<_> {
        let limits = |camera: &CameraSettings| (settings.hours_of(camera), camera.scope.area.clone());
        enabled(settings).map(|(id, camera)| (id.clone(), camera.lists.clone(), camera.mode, limits(camera))).collect()
    };
    let analysis_of = |settings: &Settings| -> Vec<_> {
        let limits = |camera: &CameraSettings| (settings.hours_of(camera), camera.scope.area.clone());
        let pace = |camera: &CameraSettings| (camera.analysed_fps, camera.min_inter_eye_px);
        enabled(settings).map(|(id, camera)| (id.clone(), pace(camera), limits(camera))).collect()
    };
    let keep_of = |settings: &Settings| -> Vec<_> {
        enabled(settings).map(|(id, camera)| (id.clone(), camera.scope.keep)).collect()
    };
    let purposes_of = |settings: &Settings| -> Vec<_> {
        enabled(settings)
            .map(|(id, camera)| (id.clone(), camera.scope.purpose.clone(), camera.scope.legal_basis))
            .collect()
    };
    let access_of = |settings: &Settings| {
        let daemon = &settings.daemon;
        [&daemon.view_groups, &daemon.review_groups, &daemon.admin_groups, &daemon.dpo_groups].map(Clone::clone)
    };
    ReloadPlan {
        policy: Change::of(
            &(&old.decide, &old.lists, &old.track, &old.shadow, &old.drift, lists_of(old), &old.daemon.time_zone),
            &(&new.decide, &new.lists, &new.track, &new.shadow, &new.drift, lists_of(new), &new.daemon.time_zone),
        ),
        vision: Change::of(
            &(&old.detect, &old.quality, &old.track, analysis_of(old)),
            &(&new.detect, &new.quality, &new.track, analysis_of(new)),
        ),
        evidence: Change::of(
            &(&old.evidence, &old.retention, keep_of(old)),
            &(&new.evidence, &new.retention, keep_of(new)),
        ),
        privacy: Change::of(&(&old.privacy, purposes_of(old)), &(&new.privacy, purposes_of(new))),
        access: Change::of(&access_of(old), &access_of(new)),
        review: Change::of(&old.review, &new.review),
        cameras_added: enabled(new).filter(|(id, _)| running(old, id).is_none()).map(|(id, _)| id.clone()).collect(),
        cameras_removed: enabled(old).filter(|(id, _)| running(new, id).is_none()).map(|(id, _)| id.clone()).collect(),
        cameras_reconnected: enabled(new)
            .filter(|(id, camera)| running(old, id).is_some_and(|before| !same_stream(before, camera)))
            .map(|(id, _)| id.clone())
            .collect(),
        sinks_added: new.sinks.keys().filter(|name| !old.sinks.contains_key(name)).cloned().collect(),
        sinks_removed: old.sinks.keys().filter(|name| !new.sinks.contains_key(name)).cloned().collect(),
        sinks_changed: new
            .sinks
            .iter()
            .filter(|(name, sink)| old.sinks.get(name).is_some_and(|before| before != *sink))
            .map(|(name, _)| name.clone())
            .collect(),
        restart: restart(old, new),
    }
}

/// What is opened once and held for the life of the process.
fn restart(old: &Settings, new: &Settings) -> Vec<&'static str> {
    let (od, nd) = (&old.daemon, &new.daemon);
    let (om, nm) = (&old.models, &new.models);
    let (os, ns) = (&old.store, &new.store);
    let (or, nr) = (&old.review, &new.review);
    [
        ("daemon.state-dir", od.state_dir == nd.state_dir),
        ("daemon.socket", od.socket == nd.socket),
        ("daemon.credentials-dir", od.credentials_dir == nd.credentials_dir),
        ("daemon.vision-workers", od.vision_workers == nd.vision_workers),
        ("daemon.log-level", od.log_level == nd.log_level),
        ("models.manifest", om.manifest == nm.manifest),
        ("models.dir", om.dir == nm.dir),
        ("models.onnxruntime", om.onnxruntime == nm.onnxruntime),
        ("models.detector", om.detector == nm.detector),
        ("models.embedder", om.embedder == nm.embedder),
        ("models.second", om.second == nm.second),
        ("models.device", om.device == nm.device),
        ("models.provider", om.provider == nm.provider),
        ("models.provider-dir", om.provider_dir == nm.provider_dir),
        ("models.openvino-options", om.options_of(Provider::OpenVino) == nm.options_of(Provider::OpenVino)),
        ("models.qnn-options", om.options_of(Provider::Qnn) == nm.options_of(Provider::Qnn)),
        ("models.provider-speedup-min", om.provider_speedup_min.total_cmp(&nm.provider_speedup_min).is_eq()),
        ("models.provider-trial-s", om.provider_trial == nm.provider_trial),
        ("store.key-credential", os.key_credential == ns.key_credential),
        ("store.key-file", os.key_file == ns.key_file),
        ("store.key-url", os.key_server == ns.key_server),
        ("store.audit-key-credential", os.audit_key_credential == ns.audit_key_credential),
        ("store.audit-key-file", os.audit_key_file == ns.audit_key_file),
        ("review.enabled", or.enabled == nr.enabled),
        ("review.listen", or.listen == nr.listen),
        ("review.tls", or.encrypted() == nr.encrypted()),
    ]
    .into_iter()
    .filter(|(_, same)| !same)
    .map(|(key, _)| key)
    .collect()
}
