//! The Prometheus page. No person's name or reference is ever a label.

use super::board::{CalibrationView, DecideView, DelaySummary, EvidenceView, SecondPeople, StageTime, VerdictCounts};
use crate::providers::standing::{Shown, Why};
use crate::sink::standing::{SinkState, SinkView};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sekisho_camera::status::CameraStatus;
use sekisho_logic::id::CameraId;
use sekisho_logic::time::Now;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// What one scrape reads.
pub struct Reading {
    /// Cameras.
    pub cameras: Vec<(CameraId, CameraStatus)>,
    /// Counts by camera.
    pub verdicts: BTreeMap<CameraId, VerdictCounts>,
    /// Vision time by stage.
    pub stages: BTreeMap<&'static str, StageTime>,
    /// Deciding.
    pub decide: Arc<DecideView>,
    /// Candidate delays.
    pub delays: DelaySummary,
    /// Analysed frames dropped before deciding.
    pub faces_dropped_total: u64,
    /// Resident memory.
    pub memory_bytes: u64,
    /// Whether matching is paused.
    pub paused: bool,
    /// Whether the disk refuses writes.
    pub storage_failed: bool,
    /// The calibration.
    pub calibration: CalibrationView,
    /// Sinks.
    pub sinks: Vec<SinkView>,
    /// When.
    pub now: Now,
    /// Pictures of alerts.
    pub evidence: EvidenceView,
    /// Whom the second network knows.
    pub second_people: SecondPeople,
    /// On what the networks run.
    pub standings: Vec<Shown>,
}

type Labels = Vec<(&'static str, String)>;
type Values = Family<Labels, Gauge<f64, AtomicU64>>;

struct Page(Registry);

impl Page {
    /// Registers one metric and gives its values. The names end in `_total` where they count up: they are copies of
    /// counters kept elsewhere, so they are exported as gauges, which scrapers treat alike.
    fn metric(&mut self, name: &str, help: &str) -> Values {
        let values = Values::default();
        self.0.register(name, help, values.clone());
        values
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus values are doubles")]
const fn real(count: u64) -> f64 {
    count as f64
}

/// The page.
#[must_use]
pub fn render(reading: &Reading) -> String {
    let mut page = Page(Registry::with_prefix("sekisho"));
    cameras(&mut page, reading);
    outcomes(&mut page, reading);
    calibration(&mut page, reading);
    sinks(&mut page, reading);
    evidence(&mut page, &reading.evidence);
    second(&mut page, reading);
    providers(&mut page, &reading.standings);
    let whole = |page: &mut Page, name, help, value| {
        page.metric(name, help).get_or_create(&Vec::new()).set(value);
    };
    whole(&mut page, "alerts_open", "Alerts that are not final.", real(reading.decide.open.len() as u64));
    whole(&mut page, "matching_paused", "1 while matching is paused.", f64::from(u8::from(reading.paused)));
    let failed = f64::from(u8::from(reading.storage_failed));
    whole(&mut page, "storage_failed", "1 while the disk refuses writes and alerts wait in memory.", failed);
    whole(&mut page, "gallery_people", "Enrolled people in force.", real(reading.decide.gallery_people as u64));
    whole(&mut page, "tracks_live", "Tracks in flight.", real(reading.decide.tracks.len() as u64));
    whole(&mut page, "resident_memory_bytes", "Resident memory.", real(reading.memory_bytes));
    whole(
        &mut page,
        "frames_shed_total",
        "Analysed frames dropped before deciding.",
        real(reading.faces_dropped_total),
    );
    let delay = page.metric("candidate_delay_seconds", "First usable face to candidate, last 1024.");
    for (quantile, ms) in [("0.5", reading.delays.p50_ms), ("0.95", reading.delays.p95_ms)] {
        delay.get_or_create(&vec![("quantile", quantile.into())]).set(real(ms) / 1000.0);
    }
    let (spent, calls) = (
        page.metric(
            "vision_cpu_seconds_total",
            "Processor time spent in one stage of vision, the second network included.",
        ),
        page.metric("vision_calls_total", "How often the stage ran."),
    );
    for (stage, time) in &reading.stages {
        let labels = vec![("stage", (*stage).to_owned())];
        spent.get_or_create(&labels).set(time.total.as_secs_f64());
        calls.get_or_create(&labels).set(real(time.calls));
    }
    let mut text = String::new();
    match encode(&mut text, &page.0) {
        Ok(()) => text,
        Err(error) => format!("# the page could not be written: {error}\n"),
    }
}

fn evidence(page: &mut Page, view: &EvidenceView) {
    let whole = [
        ("evidence_pictures", "Pictures of alerts that are kept.", view.pictures),
        ("evidence_bytes", "Bytes of those pictures.", view.bytes),
        ("evidence_due", "Pictures that have expired and are not erased yet.", view.due),
        ("evidence_written_total", "Pictures of alerts written.", view.written_total),
        (
            "evidence_erased_total",
            "Pictures erased because they expired or the disk was nearly full.",
            view.erased_total,
        ),
    ];
    for (name, help, value) in whole {
        page.metric(name, help).get_or_create(&Vec::new()).set(real(value));
    }
    let dropped = page.metric("evidence_dropped_total", "Pictures of alerts that were not kept, by reason.");
    for (why, count) in &view.dropped_total {
        dropped.get_or_create(&vec![("reason", (*why).to_owned())]).set(real(*count));
    }
}

fn providers(page: &mut Page, standings: &[Shown]) {
    let (on, fallback) = (
        page.metric("network_on", "1 for the provider and the device that each network runs on."),
        page.metric("network_fallback", "1 while a network runs on the processor in place of what was asked for."),
    );
    for one in standings {
        let role = ("role", one.role.to_owned());
        let labels = vec![role.clone(), ("provider", one.provider.into()), ("device", one.device.into())];
        on.get_or_create(&labels).set(1.0);
        fallback.get_or_create(&vec![role]).set(f64::from(u8::from(one.why == Why::Fallback)));
    }
}

/// Absent without a second network.
fn second(page: &mut Page, reading: &Reading) {
    let Some(counts) = reading.decide.second else { return };
    page.metric("second_asked_total", "Candidates the second network was asked about.")
        .get_or_create(&Vec::new())
        .set(real(counts.asked));
    let answers = page.metric("second_answers_total", "What became of these, by answer.");
    for (answer, count) in [
        ("agreed", counts.agreed),
        ("against", counts.against),
        ("open", counts.open),
        ("silent", counts.silent),
        ("late", counts.late),
    ] {
        answers.get_or_create(&vec![("answer", answer.into())]).set(real(count));
    }
    page.metric("second_people_without", "Enrolled people without a template of the second network.")
        .get_or_create(&Vec::new())
        .set(real(reading.second_people.without as u64));
}

fn calibration(page: &mut Page, reading: &Reading) {
    let stale = page.metric("calibration_stale", "1 while the calibration does not fit the site any more.");
    stale.get_or_create(&Vec::new()).set(f64::from(u8::from(reading.calibration.stale.is_some())));
    if let Some(age) = reading.calibration.age {
        page.metric("calibration_age_seconds", "Age of the calibration.")
            .get_or_create(&Vec::new())
            .set(age.as_secs_f64());
    }
    let threshold = page.metric("threshold_cosine", "Least cosine of a candidate, by list, face size and look.");
    for row in &reading.decide.in_force.thresholds {
        let Some(cosine) = row.cosine else { continue };
        let labels = vec![
            ("list", row.list.to_string()),
            ("from_px", row.from_px.to_string()),
            ("frames", row.frames.to_string()),
        ];
        threshold.get_or_create(&labels).set(f64::from(cosine));
    }
}

fn sinks(page: &mut Page, reading: &Reading) {
    let (pending, dead, failing, oldest) = (
        page.metric("sink_pending", "Events that wait for the sink."),
        page.metric("sink_dead", "Events given up; `sekisho sinks requeue` tries them again."),
        page.metric("sink_failing", "1 while events do not get through."),
        page.metric("sink_oldest_pending_seconds", "Age of the oldest event that waits."),
    );
    let (delivered, retries) = (
        page.metric("sink_delivered_total", "Deliveries made."),
        page.metric("sink_retries_total", "Tries that failed."),
    );
    for sink in &reading.sinks {
        let labels = vec![("sink", sink.name.clone()), ("kind", sink.kind.to_owned())];
        let set = |values: &Values, value| values.get_or_create(&labels).set(value);
        set(&pending, real(sink.depth.pending));
        set(&dead, real(sink.depth.dead));
        set(&failing, f64::from(u8::from(matches!(sink.state, SinkState::Failing | SinkState::Denied))));
        let age_ms = sink.depth.oldest_pending.map_or(0, |oldest| reading.now.wall.0.saturating_sub(oldest.0).max(0));
        set(&oldest, real(age_ms.unsigned_abs()) / 1000.0);
        set(&delivered, real(sink.delivered_total));
        set(&retries, real(sink.retries_total));
    }
}

fn cameras(page: &mut Page, reading: &Reading) {
    let (up, age) = (
        page.metric("camera_up", "1 while the camera streams."),
        page.metric("camera_frame_age_seconds", "Age of the newest decoded frame."),
    );
    let (decoded, superseded, gated) = (
        page.metric("frames_decoded_total", "Frames decoded."),
        page.metric("frames_superseded_total", "Frames replaced by a newer one before they were analysed."),
        page.metric("frames_gated_loss_total", "Frames left out between a loss and the next key frame."),
    );
    let reconnects = page.metric("camera_reconnects_total", "Reconnects by reason.");
    for (id, status) in &reading.cameras {
        let labels = vec![("camera", id.to_string())];
        up.get_or_create(&labels).set(f64::from(u8::from(status.state.as_str() == "streaming")));
        if let Some(ms) = status.last_frame_age_ms {
            age.get_or_create(&labels).set(real(ms) / 1000.0);
        }
        decoded.get_or_create(&labels).set(real(status.frames_decoded_total));
        superseded.get_or_create(&labels).set(real(status.frames_superseded_total));
        gated.get_or_create(&labels).set(real(status.frames_gated_loss_total));
        for (reason, count) in &status.reconnects_total {
            let labels = vec![("camera", id.to_string()), ("reason", (*reason).to_owned())];
            reconnects.get_or_create(&labels).set(real(*count));
        }
    }
}

fn outcomes(page: &mut Page, reading: &Reading) {
    let (faces, unfit, tracks, stages) = (
        page.metric("faces_detected_total", "Faces of finished tracks."),
        page.metric("faces_rejected_total", "Faces left out, by reason."),
        page.metric("tracks_total", "Finished tracks, by decision and reason."),
        page.metric("alert_events_total", "Alert events, by the stage reached."),
    );
    for (id, counts) in &reading.verdicts {
        let camera = || ("camera", id.to_string());
        faces.get_or_create(&vec![camera()]).set(real(counts.faces));
        for (why, count) in &counts.faces_unfit {
            unfit.get_or_create(&vec![camera(), ("reason", why.as_str().into())]).set(real(*count));
        }
        let decided = [("identified", counts.identified), ("not-enrolled", counts.not_enrolled)];
        for (decision, count) in decided {
            let labels = vec![camera(), ("decision", decision.into()), ("reason", String::new())];
            tracks.get_or_create(&labels).set(real(count));
        }
        for (why, count) in &counts.not_decidable {
            let labels = vec![camera(), ("decision", "not-decidable".into()), ("reason", why.as_str().into())];
            tracks.get_or_create(&labels).set(real(*count));
        }
        for (stage, count) in &counts.stages {
            stages.get_or_create(&vec![camera(), ("stage", stage.as_str().into())]).set(real(*count));
        }
    }
}
