//! Which networks the settings mean, before any of them is loaded.

use crate::cmd::Failure;
use crate::config::Settings;
use crate::config::settings::SecondChoice;
use crate::site;
use sekisho_logic::calibration::{Calibration, Pairing, RawPairings};
use sekisho_store::Network;
use sekisho_vision::manifest::{Entry, Manifest, Usage};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What `second = "auto"` means: SFace with its weights in 8 bits, a quarter of the size of the whole one...
const SECOND: &str = "sface-2021dec-int8";

/// ...or our own network, where the embedder is SFace itself.
const SECOND_TO_SFACE: &str = "sekisho-student-m";

/// The manifest and the entries chosen from it.
#[derive(Clone, Debug)]
pub struct Networks {
    /// All contracts.
    pub manifest: Manifest,
    /// Finds faces.
    pub detector: Arc<Entry>,
    /// Makes the embeddings everything is decided by.
    pub embedder: Arc<Entry>,
    /// Must agree before a machine confirms; `None` by configuration.
    pub second: Option<Arc<Entry>>,
}

/// What templates of an embedder are bound to.
///
/// # Errors
/// [`Failure::Wrong`] for a network that is no embedder.
pub fn network(entry: &Entry) -> Result<Network, Failure> {
    let contract = entry.embedder().map_err(Failure::wrong)?;
    Ok(Network { model_digest: entry.sha256.clone(), preprocessing: contract.preprocessing_version.to_string() })
}

impl Networks {
    /// Reads the manifest and finds the networks the settings name.
    ///
    /// # Errors
    /// [`Failure::Wrong`] when the manifest cannot be used, a name is unknown, a network has another role than it is named
    /// for, or the second network is the first one again.
    pub fn choose(settings: &Settings) -> Result<Self, Failure> {
        let models = &settings.models;
        let manifest = Manifest::load(&models.manifest).map_err(Failure::wrong)?.with_models_dir(&models.dir);
        let entry = |id: &str| manifest.entry(id).map(Arc::clone);
        let detector = entry(&models.detector).map_err(Failure::wrong)?;
        let embedder = entry(&models.embedder).map_err(Failure::wrong)?;
        detector.detector().map_err(Failure::wrong)?;
        embedder.embedder().map_err(Failure::wrong)?;
        let second = match &models.second {
            SecondChoice::Nobody => None,
            SecondChoice::Named(id) => Some(entry(id).map_err(Failure::wrong)?),
            SecondChoice::Auto => {
                let small = entry(SECOND).ok().filter(|small| !small.is_same_network(&embedder));
                let found = small.map_or_else(|| entry(SECOND_TO_SFACE), Ok);
                Some(found.map_err(|error| {
                    Failure::Wrong(format!("{error}; name a second network in [models] second, or say \"none\" there"))
                })?)
            }
        };
        if let Some(second) = &second {
            second.embedder().map_err(Failure::wrong)?;
            if second.is_same_network(&embedder) {
                return Err(Failure::Wrong(format!(
                    "[models] second: {} is the same network as the embedder {}, which always agrees with itself; name \
                     another one, \"auto\", or \"none\"",
                    second.id, embedder.id,
                )));
            }
        }
        Ok(Self { manifest, detector, embedder, second })
    }

    /// What an operator must hear about the second network at every start; `None` when there is nothing.
    #[must_use]
    pub fn second_warning(&self) -> Option<String> {
        let Some(second) = &self.second else {
            return Some(
                "second network: NONE ([models] second = \"none\"): disjoint frames of one network alone turn a candidate \
                 into a machine-confirmed alert"
                    .to_owned(),
            );
        };
        let bound = second.usage == Usage::NonCommercial && self.embedder.usage == Usage::Commercial;
        bound.then(|| {
            format!(
                "second network: {} may not be used commercially, although the embedder {} may; for commercial use name \
                 another one in [models] second, or \"none\"",
                second.id, self.embedder.id,
            )
        })
    }

    /// What templates of the embedder are bound to.
    ///
    /// # Errors
    /// None once chosen.
    pub fn first(&self) -> Result<Network, Failure> {
        network(&self.embedder)
    }

    /// What templates of the second network are bound to; `None` without one.
    ///
    /// # Errors
    /// None once chosen.
    pub fn second(&self) -> Result<Option<Network>, Failure> {
        self.second.as_deref().map(network).transpose()
    }

    /// The calibration that came with an embedder.
    ///
    /// # Errors
    /// [`Failure::Wrong`] when the manifest names none.
    pub fn shipped_calibration(&self, entry: &Entry) -> Result<PathBuf, Failure> {
        let contract = entry.embedder().map_err(Failure::wrong)?;
        let path = contract.calibration.as_ref().ok_or_else(|| {
            Failure::Wrong(format!(
                "the manifest names no calibration for {}; without one nothing can be decided",
                entry.id
            ))
        })?;
        Ok(self.manifest.beside(path))
    }

    /// The second network's calibration, with what was measured of both networks together where there is such; `None`
    /// without a second network.
    ///
    /// # Errors
    /// [`Failure::Wrong`] when a file is missing or not for these networks.
    pub fn second_calibration(&self) -> Result<Option<Calibration>, Failure> {
        let Some(second) = &self.second else { return Ok(None) };
        let network = network(second)?;
        let path = self.shipped_calibration(second)?;
        let calibration = site::load_calibration(&path, &network.model_digest, &network.preprocessing)?;
        let pairing = self.pairing(second)?;
        if pairing.is_none() {
            tracing::warn!(
                "second network: {} and {} were not measured together; how much agreement a face size asks for comes from \
                 the calibration of {} alone",
                self.embedder.id,
                second.id,
                second.id,
            );
        }
        Ok(Some(match pairing {
            Some(pairing) => calibration.as_second(pairing),
            None => calibration,
        }))
    }

    fn pairing(&self, second: &Entry) -> Result<Option<Pairing>, Failure> {
        let Some(path) = self.manifest.pairs() else { return Ok(None) };
        let raw = read_pairs(&path)?;
        Pairing::find(&raw, &self.embedder.sha256, &second.sha256)
            .map_err(|error| Failure::Wrong(format!("{}: {error}", path.display())))
    }

    /// The networks that an accelerator may run, each with its role.
    pub fn placed(&self) -> impl Iterator<Item = (&'static str, &Arc<Entry>)> {
        [("detector", &self.detector), ("embedder", &self.embedder)].into_iter()
    }

    /// The networks, for status.
    #[must_use]
    pub fn about(&self) -> Value {
        let one = |entry: &Entry| json!({ "id": entry.id, "digest": entry.sha256, "licence": entry.licence, "usage": entry.usage });
        json!({
            "detector": one(&self.detector),
            "embedder": one(&self.embedder),
            "second": self.second.as_deref().map(one),
        })
    }
}

fn read_pairs(path: &Path) -> Result<RawPairings, Failure> {
    let wrong = |what: String| Failure::Wrong(format!("pairs of networks {}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    toml::from_str(&text).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(models: &str) -> Result<Networks, Failure> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/manifest.toml");
        let text = format!("[models]\nmanifest = {:?}\n{models}", manifest.canonicalize().expect("shipped"));
        Networks::choose(&crate::config::parse(Path::new("test.toml"), &text).expect("valid"))
    }

    fn second(models: &str) -> Option<String> {
        chosen(models).expect("known networks").second.map(|entry| entry.id.clone())
    }

    #[test]
    fn auto_takes_the_other_of_the_two_shipped_networks() {
        assert_eq!(second("").as_deref(), Some("sface-2021dec-int8"));
        assert_eq!(second("embedder = \"sface-2021dec\"\n").as_deref(), Some("sekisho-student-m"));
        assert_eq!(second("embedder = \"sface-2021dec-int8\"\n").as_deref(), Some("sekisho-student-m"));
        assert_eq!(second("second = \"sface-2021dec\"\n").as_deref(), Some("sface-2021dec"));
        assert_eq!(second("second = \"none\"\n"), None);
    }

    #[test]
    fn a_network_beside_itself_and_one_of_another_role_are_refused() {
        for (models, said) in [
            ("embedder = \"sface-2021dec-int8\"\nsecond = \"sface-2021dec\"\n", "the same network as the embedder"),
            ("second = \"yunet-2023mar\"\n", "where an embedder is wanted"),
            ("second = \"sface-2022\"\n", "no model `sface-2022`"),
        ] {
            let refused = chosen(models).expect_err("refused").to_string();
            assert!(refused.contains(said), "{refused}");
        }
    }

    #[test]
    fn none_and_weights_that_bind_more_than_the_embedders_are_said() {
        assert_eq!(chosen("").expect("known").second_warning(), None);
        let none = chosen("second = \"none\"\n").expect("known").second_warning().expect("said");
        assert!(none.contains("NONE"), "{none}");
        let bound = chosen("embedder = \"sface-2021dec\"\n").expect("known").second_warning().expect("said");
        assert!(bound.contains("sekisho-student-m may not be used commercially"), "{bound}");
    }

    #[test]
    fn the_default_pair_was_measured_together() {
        let calibration = chosen("").expect("known").second_calibration().expect("usable").expect("a second one");
        let pairing = calibration.pairing().expect("listed in pairs.toml");
        let reach = [8.0, 12.0, 18.0, 30.0].map(|px| pairing.reach(px).expect("measured"));
        assert!(reach.is_sorted() && reach[0] >= 0.0, "{reach:?}");
    }
}
