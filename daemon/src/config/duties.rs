//! What a valid configuration still leaves to do before faces may be compared with a good conscience: said at every start, by
//! `check-config` and in status, each time what to write where.

use super::privacy::{NotMatched, Profile, RequirePurpose};
use super::settings::Settings;

impl Settings {
    /// One sentence for each thing that is not written down; empty when all is.
    #[must_use]
    pub fn undone(&self) -> Vec<String> {
        let mut said = Vec::new();
        for (id, camera) in self.cameras.iter().filter(|(_, camera)| camera.enabled) {
            let missing: Vec<_> = [
                camera.scope.purpose.is_none().then_some("purpose"),
                camera.scope.legal_basis.is_none().then_some("legal-basis"),
            ]
            .into_iter()
            .flatten()
            .collect();
            if missing.is_empty() {
                continue;
            }
            let what = match missing.as_slice() {
                ["legal-basis"] => "no legal basis is written down",
                _ => "no purpose is written down",
            };
            let outcome = match self.privacy.require_purpose {
                RequirePurpose::Warn => "its faces are compared all the same",
                RequirePurpose::Refuse => "its faces are not compared",
            };
            said.push(format!("camera {id}: {what}; {outcome}; add {} to [cameras.{id}]", missing.join(" and ")));
        }
        let privacy = &self.privacy;
        if privacy.published_at.is_none() && self.cameras.values().any(|camera| camera.enabled) {
            let outcome = match privacy.profile.asks_for_notice() {
                true => "no camera's faces are compared until it is",
                false => "people cannot know that their faces are compared",
            };
            said.push(format!(
                "the notice is not up; {outcome}; print it with `sekisho notice`, put it up, and write the day into \
                 [privacy] published-at"
            ));
        }
        let needed = [("controller", &privacy.controller), ("contact", &privacy.contact)];
        let missing: Vec<_> = needed.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| *key).collect();
        if !missing.is_empty() && privacy.profile != Profile::None {
            said.push(format!(
                "the notice cannot say who answers for the processing; add {} to [privacy]",
                missing.join(" and ")
            ));
        }
        said
    }

    /// Cameras whose faces are not compared although they are switched on, with the reason.
    pub fn held_cameras(&self) -> impl Iterator<Item = (&sekisho_logic::id::CameraId, NotMatched)> {
        let enabled = self.cameras.iter().filter(|(_, camera)| camera.enabled);
        enabled.filter_map(|(id, camera)| Some((id, self.not_matched(camera)?)))
    }

    /// What the profile changes, one sentence each; empty without one.
    #[must_use]
    pub fn profile_changes(&self) -> &'static [&'static str] {
        match self.privacy.profile {
            Profile::None => &[],
            Profile::Eu => &[
                "lists of purpose \"watch\" ask two people to confirm (AI Act, Art. 14(5)) unless they say otherwise",
                "a camera without purpose or legal basis is not matched, unless require-purpose says otherwise",
                "no camera is matched before [privacy] published-at says since when the notice is up",
            ],
            Profile::Jp => &[
                "the notice is in Japanese and names face recognition among the purposes of use (APPI, Art. 17 and 21)",
                "no camera is matched before [privacy] published-at says since when the notice is up",
            ],
        }
    }
}
