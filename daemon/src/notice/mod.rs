//! The sign at the door and the notice behind it, from the configuration: what the program does is what they say.
//!
//! What the operator wrote (controller, purposes) stands in both languages as it was written. What is not written down is
//! shown as a gap with the key's name, so that nobody hangs up a sign that is silent about it.

use crate::config::Settings;
use crate::config::privacy::Profile;
use crate::config::settings::{CameraSettings, Pictures, Purpose, SinkKind};
use crate::page::brief::Brief;
use crate::page::words::{Said, Words};
use crate::page::{Language, Page};
use sekisho_logic::id::CameraId;
use sekisho_logic::lawful::LegalBasis;
use sekisho_logic::policy::ConfirmBy;
use std::sync::LazyLock;
use std::time::Duration;

static WORDS: LazyLock<Words> = LazyLock::new(|| Words::parse(include_str!("words.toml")).unwrap_or_default());

/// The notice for one camera or all.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'s> {
    settings: &'s Settings,
    camera: Option<&'s CameraId>,
}

pub(crate) fn say(key: &str, values: &[(&str, Said)]) -> Said {
    WORDS.say(key, values)
}

/// What was written, or a gap that names where to write it.
pub(crate) fn written(text: Option<&String>, key: &str) -> Said {
    text.map_or_else(|| say("missing", &[("key", Said::same(key))]), Said::same)
}

/// A span of time in days where it is whole days from two on, else in hours.
pub(crate) fn span(time: Duration) -> Said {
    let hours = time.as_secs() / 3600;
    if hours >= 48 && hours.is_multiple_of(24) {
        say("days", &[("count", Said::same(hours / 24))])
    } else {
        say("hours", &[("count", Said::same(hours))])
    }
}

/// A legal basis in words.
pub(crate) fn basis(basis: Option<LegalBasis>, camera: &CameraId) -> Said {
    match basis {
        Some(basis) => say(&format!("basis-{}", basis.as_str()), &[]),
        None => written(None, &format!("[cameras.{camera}] legal-basis")),
    }
}

/// When a camera is used.
pub(crate) fn hours(camera: &CameraSettings) -> Said {
    match camera.scope.schedule_text.as_slice() {
        [] => say("always", &[]),
        windows => Said::same(windows.join(", ")),
    }
}

/// Receivers of events, in words; empty without any.
pub(crate) fn recipients(settings: &Settings) -> Vec<Said> {
    let one = |(name, sink): (&crate::config::settings::SinkName, &crate::config::settings::SinkSettings)| {
        let name = ("name", Said::same(name));
        match &sink.kind {
            SinkKind::EventLog(_) => say("sink-event-log", &[name]),
            SinkKind::Webhook(hook) => say("sink-webhook", &[name, ("host", Said::same(hook.url.host()))]),
            SinkKind::Mqtt(mqtt) => say("sink-mqtt", &[name, ("host", Said::same(mqtt.broker.host()))]),
        }
    };
    settings.sinks.iter().map(one).collect()
}

/// Several texts as one, with commas.
pub(crate) fn joined(texts: &[Said]) -> Said {
    let of = |language: fn(&Said) -> &String, comma: &str| {
        texts.iter().map(|said| language(said).as_str()).collect::<Vec<_>>().join(comma)
    };
    Said { en: of(|said| &said.en, ", "), ja: of(|said| &said.ja, "\u{3001}") }
}

/// What a list asks of people before an alert counts.
pub(crate) fn list_line(list: &sekisho_logic::id::ListId, its: &crate::config::settings::ListSettings) -> Said {
    let purpose = match its.purpose {
        Purpose::EntryLog => say("purpose-entry-log", &[]),
        Purpose::Watch => say("purpose-watch", &[]),
    };
    let votes = match its.rules.votes {
        1 => say("vote", &[]),
        count => say("votes", &[("count", Said::same(count))]),
    };
    let values = [("list", Said::same(list)), ("purpose", purpose), ("votes", votes)];
    match its.rules.confirm {
        ConfirmBy::Machine => say("list-machine", &values),
        ConfirmBy::Human | ConfirmBy::TwoPerson => say("list-human", &values),
    }
}

impl<'s> Notice<'s> {
    /// For `camera`, or for every camera that is in use.
    #[must_use]
    pub const fn new(settings: &'s Settings, camera: Option<&'s CameraId>) -> Self {
        Self { settings, camera }
    }

    fn cameras(&self) -> impl Iterator<Item = (&'s CameraId, &'s CameraSettings)> {
        let camera = self.camera;
        let shown = move |(id, its): &(&CameraId, &CameraSettings)| camera.map_or(its.enabled, |wanted| wanted == *id);
        self.settings.cameras.iter().filter(shown)
    }

    /// The sign at the door: a handful of lines.
    #[must_use]
    pub fn sign(&self) -> Brief {
        let (privacy, evidence) = (&self.settings.privacy, &self.settings.evidence);
        let mut sign = Brief::new(say("title", &[]));
        sign.line(say("sign-what", &[]));
        let mut purposes = Vec::new();
        for (id, its) in self.cameras() {
            let purpose = written(its.scope.purpose.as_ref(), &format!("[cameras.{id}] purpose"));
            if !purposes.contains(&purpose) {
                purposes.push(purpose);
            }
        }
        purposes.into_iter().for_each(|purpose| {
            sign.line(say("sign-purpose", &[("purpose", purpose)]));
        });
        let controller = written(privacy.controller.as_ref(), "[privacy] controller");
        sign.line(say("sign-who", &[("controller", controller)]));
        let contact = written(privacy.contact.as_ref(), "[privacy] contact");
        sign.line(say("sign-contact", &[("contact", contact)]));
        if evidence.pictures == Pictures::Faces {
            let times =
                [("unconfirmed", span(evidence.keep_unconfirmed)), ("confirmed", span(evidence.keep_confirmed))];
            sign.line(say("sign-kept", &times));
        }
        if let Some(url) = &privacy.notice_url {
            sign.line(say("sign-more", &[("url", Said::same(url))]));
        }
        sign.line(self.version());
        sign
    }

    fn version(&self) -> Said {
        let privacy = &self.settings.privacy;
        let version = written(privacy.notice_version.as_ref(), "[privacy] notice-version");
        let day = written(privacy.published_at.as_ref(), "[privacy] published-at");
        say("sign-version", &[("version", version), ("day", day)])
    }

    /// The whole notice.
    #[must_use]
    pub fn whole(&self) -> Brief {
        let mut notice = Brief::new(say("notice-title", &[]));
        self.who(&mut notice);
        notice.heading(say("what", &[]));
        for key in ["what-compared", "what-strangers", "what-alert"] {
            notice.line(say(key, &[]));
        }
        self.camera_lines(&mut notice);
        notice.heading(say("decides", &[]));
        for (list, its) in &self.settings.lists {
            if self.cameras().any(|(_, camera)| camera.lists.contains(list)) {
                notice.item(list_line(list, its));
            }
        }
        kept(self.settings, &mut notice);
        notice.heading(say("told", &[]));
        match recipients(self.settings).as_slice() {
            [] => notice.line(say("told-nobody", &[])),
            sinks => notice.line(say("told-sinks", &[("sinks", joined(sinks))])),
        };
        self.rights(&mut notice);
        notice.heading(say("version", &[])).line(self.version());
        notice
    }

    fn who(&self, notice: &mut Brief) {
        let privacy = &self.settings.privacy;
        notice.heading(say("who", &[]));
        let controller = written(privacy.controller.as_ref(), "[privacy] controller");
        notice.line(say("who-controller", &[("controller", controller)]));
        let contact = written(privacy.contact.as_ref(), "[privacy] contact");
        notice.line(say("who-contact", &[("contact", contact)]));
        if let Some(dpo) = &privacy.dpo_contact {
            notice.line(say("who-dpo", &[("dpo", Said::same(dpo))]));
        }
    }

    fn camera_lines(&self, notice: &mut Brief) {
        notice.heading(say("cameras", &[]));
        for (id, its) in self.cameras() {
            let whole = its.scope.area.zones().is_empty() && its.scope.area.masks().is_empty();
            notice.item(say(
                "camera",
                &[
                    ("camera", Said::same(id)),
                    ("purpose", written(its.scope.purpose.as_ref(), &format!("[cameras.{id}] purpose"))),
                    ("basis", basis(its.scope.legal_basis, id)),
                    ("lists", Said::same(its.lists.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))),
                    ("hours", hours(its)),
                    ("area", if whole { say("area-whole", &[]) } else { say("area-part", &[]) }),
                ],
            ));
        }
    }

    fn rights(&self, notice: &mut Brief) {
        notice.heading(say("rights", &[]));
        let key = match self.settings.privacy.profile {
            Profile::None => "rights-none",
            Profile::Eu => "rights-eu",
            Profile::Jp => "rights-jp",
        };
        notice.line(say(key, &[]));
        if self.cameras().any(|(_, its)| its.scope.legal_basis == Some(LegalBasis::Consent)) {
            notice.line(say("rights-consent", &[]));
        }
    }

    /// Sign and notice as text.
    #[must_use]
    pub fn text(&self, language: Language) -> String {
        format!("{}\n{}", self.sign().markdown(language), self.whole().markdown(language))
    }

    /// Sign and notice as a page: the sign fills the first sheet of paper, the notice follows.
    #[must_use]
    pub fn html(&self, language: Language) -> String {
        let (sign, whole) = (self.sign(), self.whole());
        let mut page = Page::new(sign.title().clone(), language);
        page.raw("<section class=\"sign\">").add("h1", "", sign.title());
        sign.onto(&mut page);
        page.raw("</section>").add("h1", "", whole.title());
        whole.onto(&mut page);
        page.render()
    }
}

/// What is kept and for how long.
pub(crate) fn kept(settings: &Settings, notice: &mut Brief) {
    let (evidence, shadow) = (&settings.evidence, &settings.shadow);
    notice.heading(say("kept", &[]));
    notice.item(say("kept-enrolled", &[]));
    let times = [
        ("unconfirmed", span(evidence.keep_unconfirmed)),
        ("rejected", span(evidence.keep_rejected)),
        ("confirmed", span(evidence.keep_confirmed)),
    ];
    notice.item(match evidence.pictures {
        Pictures::Faces => say("kept-pictures", &times),
        Pictures::HashOnly => say("kept-hashes", &[]),
        Pictures::None => say("kept-no-pictures", &[]),
    });
    notice.item(say("kept-sightings", &[("sightings", span(settings.retention.sightings))]));
    if shadow.enabled {
        let counts = span(Duration::from_secs(u64::from(shadow.keep_days) * 86_400));
        notice.item(say("kept-counts", &[("counts", counts)]));
    }
    notice.item(say("kept-hold", &[]));
}

#[cfg(test)]
#[path = "notice_tests.rs"]
mod tests;
