//! The second network at work: what it makes of the pictures of a candidate, and of an enrolment photograph.

use sekisho_logic::calibration::Calibration;
use sekisho_logic::embedding::Embedding;
use sekisho_logic::face::Quality;
use sekisho_logic::picture::FacePicture;
use sekisho_logic::second::SecondAnswer;
use sekisho_logic::watcher::AlertPictures;
use sekisho_store::Network;
use sekisho_vision::embedder::{EmbedError, Embedder};
use sekisho_vision::planes::aligned::Crop;
use std::sync::Arc;

/// The second network, opened for one thread, with what its answers are judged by.
pub struct OpenSecond {
    /// Its session.
    pub eyes: SecondEyes,
    /// What its templates are bound to.
    pub network: Network,
    /// From its similarities to evidence.
    pub calibration: Arc<Calibration>,
}

/// The session of one thread.
pub struct SecondEyes(Embedder);

impl SecondEyes {
    /// Takes a session that was proven.
    #[must_use]
    pub const fn new(embedder: Embedder) -> Self {
        Self(embedder)
    }

    /// What it makes of a candidate's pictures, taken as the first network takes a frame: as they are, without their mirror
    /// images, which only enrolment adds. A picture that gives no embedding is left out; when none does, it is silent.
    pub fn answer(&mut self, look: &AlertPictures) -> SecondAnswer {
        let crops: Vec<(Crop, Quality)> =
            look.pictures.iter().filter_map(|picture| Some((crop(picture)?, picture.quality))).collect();
        if crops.len() < look.pictures.len() {
            tracing::error!("{}: a picture of alert {} is not an aligned crop", look.camera, look.alert);
        }
        let views: Vec<&Crop> = crops.iter().map(|(crop, _)| crop).collect();
        let (mut found, mut failed) = (Vec::with_capacity(views.len()), None);
        for (embedding, (_, quality)) in self.0.embed(&views).into_iter().zip(&crops) {
            match embedding {
                Ok(embedding) => found.push((embedding, *quality)),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if found.is_empty() => SecondAnswer::Silent(error.to_string()),
            Some(_) | None => SecondAnswer::Embeddings(found),
        }
    }

    /// Embeddings of crops as a camera takes them, in order.
    pub fn embed(&mut self, crops: &[&Crop]) -> Vec<Result<Embedding, EmbedError>> {
        self.0.embed(crops)
    }

    /// The template of an enrolment photograph's crop.
    ///
    /// # Errors
    /// [`EmbedError`] when the run failed or gave no usable vector.
    pub fn template(&mut self, crop: &Crop) -> Result<Embedding, EmbedError> {
        self.0.template(crop)
    }
}

fn crop(picture: &FacePicture) -> Option<Crop> {
    Crop::try_new(picture.aligned.rgb().to_vec())
}
