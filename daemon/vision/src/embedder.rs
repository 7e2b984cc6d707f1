//! From aligned crops to embeddings, several in one run.

use crate::detector::StartError;
use crate::manifest::{EmbedderContract, Entry, Manifest};
use crate::planes::RgbView;
use crate::planes::aligned::Crop;
use crate::planes::region::RegionSampler;
use crate::session::{Place, Run, RunError, Runtime, Session};
use sekisho_logic::embedding::{BadEmbedding, Embedding};
use sekisho_logic::geometry::{CROP_PX, Rect};
use std::sync::Arc;

/// What a template was made with. Templates of different versions are never compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TemplateVersion {
    /// Manifest id of the embedder.
    pub model: String,
    /// SHA-256 of its file, lower-case hex.
    pub model_digest: String,
    /// Version of alignment and sampling.
    pub preprocessing_version: u32,
    /// Components of an embedding.
    pub size: usize,
}

/// Why a crop has no embedding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// The whole run failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// This face's vector is no embedding.
    #[error("the network's answer is no embedding: {0}")]
    Vector(#[from] BadEmbedding),
}

/// The embedder of one worker thread.
#[derive(Debug)]
pub struct Embedder {
    session: Session,
    contract: EmbedderContract,
    sampler: RegionSampler,
    tensor: Vec<f32>,
}

impl Embedder {
    /// Loads, checks and tries an embedder.
    ///
    /// # Errors
    /// [`StartError`], naming network, file and key.
    pub fn load(runtime: &'static Runtime, manifest: &Manifest, entry: &Arc<Entry>) -> Result<Self, StartError> {
        Self::load_in(&Place::Cpu, runtime, manifest, entry, Run::Often)
    }

    /// As [`load`](Self::load), in the place given, for an embedder that runs as often as `run` says.
    ///
    /// # Errors
    /// As `load`; what an accelerator refuses is refused here.
    pub fn load_in(
        place: &Place,
        runtime: &'static Runtime,
        manifest: &Manifest,
        entry: &Arc<Entry>,
        run: Run,
    ) -> Result<Self, StartError> {
        let contract = entry.embedder()?.clone();
        let session = Session::load_in(place, runtime, manifest, entry, run)?;
        Ok(Self { session, contract, sampler: RegionSampler::default(), tensor: Vec::new() })
    }

    /// The network in use.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// What templates made by this embedder are bound to.
    #[must_use]
    pub fn version(&self) -> TemplateVersion {
        TemplateVersion {
            model: self.session.entry().id.clone(),
            model_digest: self.session.digest().to_owned(),
            preprocessing_version: self.contract.preprocessing_version,
            size: self.contract.size,
        }
    }

    /// The sizes of batch that [`embed`](Self::embed) makes, beyond one crop alone.
    pub(crate) fn batches(&self) -> impl Iterator<Item = usize> + use<> {
        let most = batch_size(usize::MAX, self.session.batch_max(self.contract.batch_max));
        (1..=most.ilog2()).map(|power| 1 << power)
    }

    /// Embeds every crop, in order. Runs take 8, 4, 2 or 1 crops, never padded, so that the runtime sees few shapes.
    pub fn embed(&mut self, crops: &[&Crop]) -> Vec<Result<Embedding, EmbedError>> {
        let mut embeddings = Vec::with_capacity(crops.len());
        let mut rest = crops;
        while !rest.is_empty() {
            let batch = batch_size(rest.len(), self.session.batch_max(self.contract.batch_max));
            let (now, later) = rest.split_at(batch);
            match self.run(now) {
                Ok(list) => embeddings.extend(list),
                Err(error) => embeddings.extend(now.iter().map(|_| Err(EmbedError::Run(error.clone())))),
            }
            rest = later;
        }
        embeddings
    }

    /// The template of one crop for the gallery: the mean of the embeddings of the crop and its mirror image. A face has
    /// no side, so the difference of the two is noise.
    ///
    /// # Errors
    /// [`EmbedError`] when the run failed or gave no usable vector.
    pub fn template(&mut self, crop: &Crop) -> Result<Embedding, EmbedError> {
        let both = self.embed(&[crop, &crop.mirrored()]).into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(unit_mean(&both)?)
    }

    fn run(&mut self, crops: &[&Crop]) -> Result<Vec<Result<Embedding, EmbedError>>, RunError> {
        let (width, height) = self.contract.input_size_px;
        let per_image = 3 * width * height;
        self.tensor.resize(per_image * crops.len(), 0.0);
        for (crop, out) in crops.iter().zip(self.tensor.chunks_exact_mut(per_image)) {
            write_input(self.session.entry(), &self.contract, &mut self.sampler, crop, out);
        }
        let size = self.contract.size;
        let answer = self.session.run([crops.len(), 3, height, width], &self.tensor)?;
        let values = answer.tensor(&self.contract.output, &[crops.len(), size])?;
        let embeddings: Vec<_> =
            values.chunks_exact(size).map(|vector| Embedding::try_new(vector).map_err(EmbedError::from)).collect();
        drop(answer);
        if embeddings.iter().all(Result::is_err) {
            self.session.distrust();
        }
        Ok(embeddings)
    }
}

/// The mean of several embeddings, at unit length.
pub(crate) fn unit_mean(embeddings: &[Embedding]) -> Result<Embedding, BadEmbedding> {
    let mut sum = vec![0.0_f32; embeddings.first().map_or(0, Embedding::dim)];
    for embedding in embeddings {
        sum.iter_mut().zip(embedding.as_slice()).for_each(|(sum, value)| *sum += value);
    }
    Embedding::try_new(&sum)
}

/// The largest of 8, 4, 2, 1 that is wanted and allowed.
fn batch_size(wanted: usize, most: usize) -> usize {
    let limit = wanted.min(most).max(1);
    1 << limit.ilog2()
}

/// One crop as one image of the input: the declared part of it, stretched to the declared size.
fn write_input(entry: &Entry, contract: &EmbedderContract, sampler: &mut RegionSampler, crop: &Crop, out: &mut [f32]) {
    let Some(view) = RgbView::try_new(CROP_PX, CROP_PX, crop.rgb()) else { return };
    let [x, y, width, height] = contract.crop_part.map(|v| u16::try_from(v).map_or(0.0, f32::from));
    let planes = sampler.sample(view.into(), Rect::new(x, y, width, height), contract.input_size_px);
    planes.write_tensor(&entry.input, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn runs_are_powers_of_two_and_never_padded() {
        let sizes = |mut count: usize, most| {
            let mut list = Vec::new();
            while count > 0 {
                let size = batch_size(count, most);
                list.push(size);
                count -= size;
            }
            list
        };
        assert_eq!(sizes(15, 8), [8, 4, 2, 1]);
        assert_eq!(sizes(7, 4), [4, 2, 1]);
        assert_eq!(sizes(3, 1), [1, 1, 1]);
    }

    fn input_of(text: &str, id: &str, crop: &Crop) -> Vec<f32> {
        let manifest = Manifest::parse(text, Path::new("sample.toml")).expect("valid");
        let entry = manifest.entry(id).expect("there").clone();
        let contract = entry.embedder().expect("an embedder").clone();
        let (width, height) = contract.input_size_px;
        let mut out = vec![f32::NAN; 3 * width * height];
        write_input(&entry, &contract, &mut RegionSampler::default(), crop, &mut out);
        out
    }

    fn gradient() -> Crop {
        let rgb = (0..CROP_PX)
            .flat_map(|y| (0..CROP_PX).flat_map(move |x| [x, y, 50].map(|v| u8::try_from(v).unwrap_or(255))));
        Crop::try_new(rgb.collect()).expect("sized right")
    }

    #[test]
    fn a_declared_part_is_stretched_in_the_declared_colours_and_range() {
        let input = input_of(include_str!("manifest/sample.toml"), "tiny", &gradient());
        let (plane, side) = (128 * 128, 128);
        // BGR: blue is constant 50 and comes first; (50 - 127.5) / 128.
        assert!(input[..plane].iter().all(|v| (v - (50.0 - 127.5) / 128.0).abs() < 1e-5));
        // Red comes last and runs along x: columns 8..104 of the crop stretched over 128.
        let red = &input[2 * plane..];
        for (column, expected) in [(0, 8.0 - 0.125), (64, 55.875), (127, 103.125)] {
            let value = red[40 * side + column] * 128.0 + 127.5;
            assert!((value - expected).abs() < 0.01, "column {column}: {value}");
        }
    }

    #[test]
    fn the_whole_crop_goes_in_unchanged() {
        let text = include_str!("../../../models/manifest.toml");
        let crop = gradient();
        let input = input_of(text, "sface-2021dec", &crop);
        let plane = CROP_PX * CROP_PX;
        for (at, pixel) in crop.rgb().chunks_exact(3).enumerate() {
            for channel in 0..3 {
                assert!((input[channel * plane + at] - f32::from(pixel[channel])).abs() < 1e-4);
            }
        }
    }
}
