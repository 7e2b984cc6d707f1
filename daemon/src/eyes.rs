//! The networks, opened once and proven before anything relies on them.

use crate::clock::ThreadCpuClock;
use crate::cmd::Failure;
use crate::config::Settings;
use crate::site::{self, CalibrationPlaces, ChosenCalibration};
use sekisho_logic::calibration::Calibration;
use sekisho_vision::analyser::Eyes;
use sekisho_vision::manifest::{Entry, Manifest};
use sekisho_vision::photo::{self, EnrolledFace, PhotoError};
use sekisho_vision::session::Runtime;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Runtime, manifest and the two networks in use.
pub struct Loaded {
    runtime: &'static Runtime,
    manifest: Manifest,
    detector: Arc<Entry>,
    embedder: Arc<Entry>,
    preprocessing: String,
    own_calibration: PathBuf,
}

impl Loaded {
    /// Loads ONNX Runtime and the manifest and finds the networks the settings name.
    ///
    /// # Errors
    /// [`Failure::Wrong`] when a file is missing or a name unknown.
    pub fn open(settings: &Settings) -> Result<Self, Failure> {
        let manifest = Manifest::load(&settings.models.manifest).map_err(Failure::wrong)?;
        let manifest = manifest.with_models_dir(&settings.models.dir);
        let detector = Arc::clone(manifest.entry(&settings.models.detector).map_err(Failure::wrong)?);
        let embedder = Arc::clone(manifest.entry(&settings.models.embedder).map_err(Failure::wrong)?);
        detector.detector().map_err(Failure::wrong)?;
        let preprocessing = embedder.embedder().map_err(Failure::wrong)?.preprocessing_version.to_string();
        let runtime = Runtime::load(&settings.models.onnxruntime).map_err(Failure::wrong)?;
        let own_calibration = site::site_calibration(settings);
        Ok(Self { runtime, manifest, detector, embedder, preprocessing, own_calibration })
    }

    /// One set of sessions, for the thread that will own them. Hashes, contracts and a self-test are checked here.
    ///
    /// # Errors
    /// [`Failure::Wrong`] naming the file that is not what the manifest says.
    pub fn eyes(&mut self) -> Result<OpenEyes, Failure> {
        let eyes = Eyes::open(self.runtime, &self.manifest, &self.detector, &self.embedder, Arc::new(ThreadCpuClock));
        eyes.map(OpenEyes).map_err(Failure::wrong)
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
            shipped: self.shipped_calibration()?,
            own: self.own_calibration.clone(),
            model_digest: self.embedder.sha256.clone(),
            preprocessing: self.preprocessing.clone(),
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

    fn shipped_calibration(&self) -> Result<PathBuf, Failure> {
        let contract = self.embedder.embedder().map_err(Failure::wrong)?;
        let path = contract.calibration.as_ref().ok_or_else(|| {
            Failure::Wrong(format!(
                "the manifest names no calibration for {}; without one nothing can be decided",
                self.embedder.id
            ))
        })?;
        Ok(self.manifest.beside(path))
    }

    /// SHA-256 of the embedder's file, in hex.
    #[must_use]
    pub fn embedder_digest(&self) -> &str {
        &self.embedder.sha256
    }

    /// Version of alignment and sampling.
    #[must_use]
    pub fn preprocessing(&self) -> &str {
        &self.preprocessing
    }

    /// The networks, for status.
    #[must_use]
    pub fn about(&self) -> Value {
        let one = |entry: &Entry| json!({ "id": entry.id, "digest": entry.sha256, "licence": entry.licence, "usage": entry.usage });
        json!({
            "detector": one(&self.detector),
            "embedder": one(&self.embedder),
            "runtime": self.runtime.build_info(),
            "device": "cpu",
            "preprocessing": self.preprocessing,
        })
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
