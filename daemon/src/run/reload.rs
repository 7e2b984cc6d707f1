//! SIGHUP: what can be applied without dropping a stream is applied; the rest is named and waits for a restart.

use super::decide::Order;
use super::keeper::strangers;
use super::{Daemon, books, journal};
use crate::config::settings::{Settings, SinkName};
use crate::config::{self, Change, ReloadPlan, WrittenKeys};
use crate::notify;
use crate::site;
use crate::status::access::AccessRules;
use sd_notify::NotifyState;
use serde_json::json;
use std::path::Path;
use std::sync::PoisonError;

impl Daemon {
    /// Reads the configuration again. A wrong one changes nothing.
    pub fn reload(&mut self, path: &Path) {
        if let Ok(reloading) = NotifyState::monotonic_usec_now() {
            notify::tell(&[NotifyState::Reloading, reloading]);
        }
        match config::load(path) {
            Ok(new) => {
                let written = WrittenKeys::read(path);
                let plan = self.apply(new);
                self.note_reload(&written, &plan);
                self.written = written;
            }
            Err(error) => {
                tracing::error!("reload: {error}\nthe configuration in force stays as it was");
                let detail = json!({ "sha256": WrittenKeys::read(path).sha256() });
                books::audit(&self.store, "config-refused", None, detail, self.clock.now().wall);
            }
        }
        notify::tell(&[NotifyState::Ready]);
    }

    /// Notes which keys changed, never their values.
    fn note_reload(&self, written: &WrittenKeys, plan: &ReloadPlan) {
        let names = |sinks: &[SinkName]| sinks.iter().map(ToString::to_string).collect::<Vec<_>>();
        let detail = json!({
            "changed": self.written.changed(written), "sha256": written.sha256(), "after-restart": plan.restart,
            "sinks-added": names(&plan.sinks_added), "sinks-removed": names(&plan.sinks_removed),
            "sinks-changed": names(&plan.sinks_changed),
        });
        books::audit(&self.store, "config-reloaded", None, detail, self.clock.now().wall);
    }

    fn apply(&mut self, new: Settings) -> ReloadPlan {
        let plan = config::diff(&self.settings, &new);
        for what in &plan.restart {
            tracing::warn!("reload: {what} changed; it takes effect at the next restart");
        }
        if plan.policy == Change::Differs {
            // The loop empties its queue within milliseconds; it is gone only when everything stops.
            let (strangers, _) = strangers(&new, &self.traffic);
            let _gone = self.orders.send(Order::Policy(Box::new(site::policy_at(&new, strangers))));
        }
        *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = new.clone();
        if plan.access == Change::Differs {
            self.access.send_replace(AccessRules::of(&new.daemon));
            self.app.web.forget_tickets();
        }
        // The certificate may have been renewed in its file although no key changed.
        self.reload_web.send_modify(|count| *count += 1);
        self.apply_cameras(&plan, &new);
        // First who is told, then who tells: a sink that is gone gets nothing new, and a new one nothing before it is there.
        *self.subscriptions.write().unwrap_or_else(PoisonError::into_inner) = journal::subscriptions(&new);
        if let Err(error) = self.sinks.follow(&new) {
            tracing::error!("reload: {error}");
        }
        if plan.privacy == Change::Differs || !plan.cameras_added.is_empty() {
            new.undone().iter().for_each(|said| tracing::warn!("reload: {said}"));
        }
        self.settings = new;
        tracing::info!("reload: the new configuration is in force");
        plan
    }

    fn apply_cameras(&self, plan: &ReloadPlan, new: &Settings) {
        for id in &plan.cameras_removed {
            self.fleet.unwatch(id);
        }
        let places = site::credentials(new);
        for (id, its) in new.cameras.iter().filter(|(_, its)| its.enabled) {
            let anew = plan.vision == Change::Differs
                || plan.cameras_added.contains(id)
                || plan.cameras_reconnected.contains(id);
            let done =
                if anew { self.fleet.watch(new, id, its, &places) } else { self.fleet.refresh(id, its, &places) };
            if let Err(error) = done {
                tracing::error!("reload: {error}; the camera stays as it was");
            }
        }
    }
}
