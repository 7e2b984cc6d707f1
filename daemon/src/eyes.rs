//! The networks, opened once and proven before anything relies on them.

use crate::clock::ThreadCpuClock;
use crate::cmd::Failure;
use crate::config::Settings;
use crate::networks::{Networks, network};
use crate::providers::standing::Standings;
use crate::providers::{ask_for_time, settle};
use crate::second::{OpenSecond, SecondEyes};
use crate::site::{self, CalibrationPlaces, ChosenCalibration};
use sekisho_logic::calibration::Calibration;
use sekisho_logic::time::WallMs;
use sekisho_store::Network;
use sekisho_vision::analyser::Eyes;
use sekisho_vision::detector::{Detector, StartError};
use sekisho_vision::embedder::Embedder;
use sekisho_vision::photo::{self, EnrolledFace, PhotoError};
use sekisho_vision::session::{Place, Run, Runtime};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Runtime, manifest and the networks in use.
pub struct Loaded {
    runtime: &'static Runtime,
    networks: Networks,
    first: Network,
    own_calibration: PathBuf,
    standings: Standings,
    state_dir: PathBuf,
    opened: WallMs,
    /// How long one load on an accelerator may take.
    patience: Duration,
}

impl Loaded {
    /// Loads ONNX Runtime and the manifest and finds the networks the settings name. Everything runs on the processor.
    ///
    /// # Errors
    /// [`Failure::Wrong`] when a file is missing or a name unknown.
    pub fn open(settings: &Settings) -> Result<Self, Failure> {
        let networks = Networks::choose(settings)?;
        let runtime = Runtime::load(&settings.models.onnxruntime).map_err(Failure::wrong)?;
        let standings = Standings::on_processor(&networks, None);
        Self::with(settings, networks, runtime, standings, WallMs(0))
    }

    /// As [`open`](Self::open), on the accelerator that the settings ask for where it passes its trial, which `stop` breaks
    /// off. The state directory must be this process' own.
    ///
    /// # Errors
    /// As `open`: whatever an accelerator does is no error.
    pub fn open_for_daemon(settings: &Settings, now: WallMs, stop: &dyn Fn() -> bool) -> Result<Self, Failure> {
        let networks = Networks::choose(settings)?;
        let mut standings = settle(settings, &networks, now, stop);
        let stock = &settings.models.onnxruntime;
        let runtime = match Runtime::load(&standings.runtime(stock)) {
            Err(error) if standings.any_on_accelerator() => {
                let (why, state_dir) = (error.to_string(), &settings.daemon.state_dir);
                networks.placed().for_each(|(role, _)| standings.refuse(role, &why, state_dir, now));
                Runtime::load(stock)
            }
            other => other,
        };
        let runtime = runtime.map_err(Failure::wrong)?;
        Self::with(settings, networks, runtime, standings, now)
    }

    fn with(
        settings: &Settings,
        networks: Networks,
        runtime: &'static Runtime,
        standings: Standings,
        opened: WallMs,
    ) -> Result<Self, Failure> {
        let (first, own_calibration) = (networks.first()?, site::site_calibration(settings));
        let (state_dir, patience) = (settings.daemon.state_dir.clone(), settings.models.provider_trial);
        Ok(Self { runtime, networks, first, own_calibration, standings, state_dir, opened, patience })
    }

    /// One set of sessions, for the thread that will own them. Hashes, contracts and a self-test are checked here. What an
    /// accelerator refuses now runs on the processor.
    ///
    /// # Errors
    /// [`Failure::Wrong`] naming the file that is not what the manifest says.
    pub fn eyes(&mut self) -> Result<OpenEyes, Failure> {
        let Networks { manifest, detector, embedder, .. } = &self.networks;
        let (runtime, remembered) = (self.runtime, (self.state_dir.as_path(), self.opened, self.patience));
        let detector = in_place(&mut self.standings, "detector", remembered, |place| {
            Detector::load_in(place, runtime, manifest, detector)
        })?;
        let embedder = in_place(&mut self.standings, "embedder", remembered, |place| {
            Embedder::load_in(place, runtime, manifest, embedder, Run::Often)
        })?;
        Ok(OpenEyes(Eyes::with((detector, embedder), Arc::new(ThreadCpuClock))))
    }

    /// Where everything runs, for whoever shows it; nothing is opened after this.
    #[must_use]
    pub fn into_standings(self) -> Standings {
        self.standings
    }

    /// The second network for the thread that will own it, checked like the others; `None` without one.
    ///
    /// # Errors
    /// [`Failure::Wrong`] naming the file that is not what the manifest says.
    pub fn second(&self) -> Result<Option<OpenSecond>, Failure> {
        let Some(entry) = &self.networks.second else { return Ok(None) };
        let Some(calibration) = self.networks.second_calibration()? else { return Ok(None) };
        let embedder = Embedder::load_in(&Place::Cpu, self.runtime, &self.networks.manifest, entry, Run::Seldom);
        let embedder = embedder.map_err(Failure::wrong)?;
        let (eyes, network) = (SecondEyes::new(embedder), network(entry)?);
        Ok(Some(OpenSecond { eyes, network, calibration: Arc::new(calibration) }))
    }

    /// The networks chosen.
    #[must_use]
    pub const fn networks(&self) -> &Networks {
        &self.networks
    }

    /// What templates of the embedder are bound to.
    #[must_use]
    pub const fn first(&self) -> &Network {
        &self.first
    }

    /// The calibration in force: the site's own where there is one that fits, else the one that came with the embedder.
    ///
    /// # Errors
    /// [`Failure::Wrong`] when there is none or it is not for this network.
    pub fn calibration_in_force(&self) -> Result<ChosenCalibration, Failure> {
        self.calibration_places()?.choose()
    }

    /// Where calibrations for the embedder lie.
    ///
    /// # Errors
    /// [`Failure::Wrong`] when the manifest names none.
    pub fn calibration_places(&self) -> Result<CalibrationPlaces, Failure> {
        Ok(CalibrationPlaces {
            shipped: self.networks.shipped_calibration(&self.networks.embedder)?,
            own: self.own_calibration.clone(),
            model_digest: self.first.model_digest.clone(),
            preprocessing: self.first.preprocessing.clone(),
        })
    }

    /// The same without where it was found; a site's calibration that was refused is said in the log.
    ///
    /// # Errors
    /// As [`calibration_in_force`](Self::calibration_in_force).
    pub fn calibration(&self) -> Result<Calibration, Failure> {
        let chosen = self.calibration_in_force()?;
        if let Some(said) = &chosen.refused {
            tracing::warn!("{said}");
        }
        Ok(chosen.calibration)
    }

    /// SHA-256 of the embedder's file, in hex.
    #[must_use]
    pub fn embedder_digest(&self) -> &str {
        &self.first.model_digest
    }

    /// Version of alignment and sampling.
    #[must_use]
    pub fn preprocessing(&self) -> &str {
        &self.first.preprocessing
    }

    /// The networks, for status.
    #[must_use]
    pub fn about(&self) -> Value {
        let mut about = self.networks.about();
        about["runtime"] = json!(self.runtime.build_info());
        self.standings.add_to(&mut about);
        about["preprocessing"] = json!(self.first.preprocessing);
        about
    }
}

/// Loads a network where it stands; what refuses it there and not on the processor is remembered, and it runs on the processor.
fn in_place<T>(
    standings: &mut Standings,
    role: &str,
    (state_dir, now, patience): (&Path, WallMs, Duration),
    load: impl Fn(&Place) -> Result<T, StartError>,
) -> Result<T, Failure> {
    let place = standings.place(role);
    if matches!(place, Place::On(..)) {
        // It compiles once more for each worker.
        ask_for_time(patience);
    }
    match load(&place) {
        Err(error) if matches!(place, Place::On(..)) => {
            let on_processor = load(&Place::Cpu).map_err(Failure::wrong)?;
            standings.refuse(role, &error.to_string(), state_dir, now);
            Ok(on_processor)
        }
        other => other.map_err(Failure::wrong),
    }
}

/// Sessions of one thread.
pub struct OpenEyes(pub Eyes);

impl OpenEyes {
    /// Reads an enrolment photograph and finds the one face in it.
    ///
    /// # Errors
    /// [`Failure::No`] with one sentence naming the file.
    pub fn photo(&mut self, path: &Path) -> Result<(Vec<u8>, EnrolledFace), Failure> {
        let no = |error: &dyn std::fmt::Display| Failure::No(format!("{}: {error}", path.display()));
        let bytes = photo::read(path).map_err(|error| no(&error))?;
        let face = self.kept_photo(&bytes).map_err(|error| no(&error))?;
        Ok((bytes, face))
    }

    /// The one face in the bytes of a photograph that was kept.
    ///
    /// # Errors
    /// [`PhotoError`], one sentence why it enrols nobody.
    pub fn kept_photo(&mut self, bytes: &[u8]) -> Result<EnrolledFace, PhotoError> {
        photo::enrol(&mut self.0, bytes)
    }
}
