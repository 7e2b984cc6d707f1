//! Cameras and the vision workers that look through them. A camera belongs to one worker for as long as it is watched.

use super::look::Look;
use super::vision::Assign;
use crate::cmd::Failure;
use crate::config::Settings;
use crate::config::credentials::CredentialPlaces;
use crate::config::settings;
use sekisho_camera::camera::{Camera, CameraHandle, CameraSettings, Stopped};
use sekisho_camera::lockout::AuthLockout;
use sekisho_camera::secret::Credential;
use sekisho_camera::slot::{Signal, Slot};
use sekisho_camera::status::CameraStatus;
use sekisho_logic::id::CameraId;
use sekisho_logic::time::Clock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// A vision worker, from outside.
pub struct WorkerHandle {
    /// Wakes it.
    pub signal: Arc<Signal>,
    /// Tells it.
    pub assign: SyncSender<Assign>,
    /// Its thread.
    pub thread: JoinHandle<()>,
}

struct Watched {
    handle: CameraHandle,
    slot: Arc<Slot>,
    worker: usize,
}

/// All cameras and workers.
pub struct Fleet {
    cameras: Mutex<BTreeMap<CameraId, Watched>>,
    workers: Mutex<Vec<WorkerHandle>>,
    lockout: Arc<AuthLockout>,
    clock: Arc<dyn Clock>,
    next: AtomicU64,
}

impl Fleet {
    /// Workers without cameras.
    #[must_use]
    pub fn new(workers: Vec<WorkerHandle>, clock: Arc<dyn Clock>) -> Self {
        Self {
            cameras: Mutex::default(),
            workers: Mutex::new(workers),
            lockout: AuthLockout::new(),
            clock,
            next: AtomicU64::new(0),
        }
    }

    /// Starts watching a camera, or gives one that is watched other settings: its stream goes on when they do not
    /// concern it.
    ///
    /// # Errors
    /// [`Failure::Wrong`] when the settings can never work; nothing is changed then.
    pub fn watch(
        &self,
        settings: &Settings,
        id: &CameraId,
        its: &settings::CameraSettings,
        places: &CredentialPlaces,
    ) -> Result<(), Failure> {
        let wrong = |error: &dyn std::fmt::Display| wrong(id, error);
        let wanted = camera_settings(its, places).map_err(|error| wrong(&error))?;
        let nth = self.next.fetch_add(1, Ordering::Relaxed);
        let look = Box::new(Look::new(settings, id, its, nth));
        let mut cameras = self.cameras();
        if let Some(watched) = cameras.get_mut(id) {
            watched.handle.reconfigure(wanted).map_err(|error| wrong(&error))?;
            self.tell(watched.worker, Assign::Camera(look, Arc::clone(&watched.slot)));
            return Ok(());
        }
        let workers = self.workers();
        let load = |worker: usize| cameras.values().filter(|watched| watched.worker == worker).count();
        let worker = (0..workers.len()).min_by_key(|worker| load(*worker)).unwrap_or(0);
        let Some(signal) = workers.get(worker).map(|worker| Arc::clone(&worker.signal)) else {
            return Err(wrong(&"there is no vision worker"));
        };
        drop(workers);
        let slot = Slot::new(id.clone(), signal);
        let handle =
            Camera::spawn(id.clone(), wanted, Arc::clone(&slot), Arc::clone(&self.clock), Arc::clone(&self.lockout))
                .map_err(|error| wrong(&error))?;
        self.tell(worker, Assign::Camera(look, Arc::clone(&slot)));
        cameras.insert(id.clone(), Watched { handle, slot, worker });
        Ok(())
    }

    /// Reads a watched camera's credential again; the stream goes on when nothing changed.
    ///
    /// # Errors
    /// [`Failure::Wrong`] when the settings can never work; nothing is changed then.
    pub fn refresh(
        &self,
        id: &CameraId,
        its: &settings::CameraSettings,
        places: &CredentialPlaces,
    ) -> Result<(), Failure> {
        let wrong = |error: &dyn std::fmt::Display| wrong(id, error);
        let wanted = camera_settings(its, places).map_err(|error| wrong(&error))?;
        match self.cameras().get_mut(id) {
            Some(watched) => watched.handle.reconfigure(wanted).map_err(|error| wrong(&error)),
            None => Ok(()),
        }
    }

    /// Stops watching a camera.
    pub fn unwatch(&self, id: &CameraId) {
        let gone = self.cameras().remove(id);
        if let Some(watched) = gone {
            if watched.handle.stop() == Stopped::LeftBehind {
                tracing::warn!("{id}: its thread hangs in GStreamer and is left behind");
            }
            self.tell(watched.worker, Assign::Drop(id.clone()));
        }
    }

    /// Where every camera stands.
    #[must_use]
    pub fn statuses(&self) -> Vec<(CameraId, CameraStatus)> {
        self.cameras().iter().map(|(id, watched)| (id.clone(), watched.handle.status())).collect()
    }

    /// Stops all cameras side by side, then the workers.
    pub fn stop(&self) {
        let cameras = std::mem::take(&mut *self.cameras());
        cameras.values().for_each(|watched| watched.handle.begin_stop());
        for (id, watched) in cameras {
            if watched.handle.stop() == Stopped::LeftBehind {
                tracing::warn!("{id}: its thread hangs in GStreamer and is left behind");
            }
        }
        for worker in std::mem::take(&mut *self.workers()) {
            // A worker that is gone needs no telling.
            let _gone = worker.assign.send(Assign::Stop);
            worker.signal.ring();
            if worker.thread.join().is_err() {
                tracing::error!("a vision worker panicked");
            }
        }
    }

    fn tell(&self, worker: usize, assign: Assign) {
        if let Some(worker) = self.workers().get(worker) {
            // The worker empties its queue several times a second; it is gone only when everything stops.
            let _gone = worker.assign.send(assign);
            worker.signal.ring();
        }
    }

    fn cameras(&self) -> MutexGuard<'_, BTreeMap<CameraId, Watched>> {
        self.cameras.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn workers(&self) -> MutexGuard<'_, Vec<WorkerHandle>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The camera crate's settings, with the password read from its credential.
///
/// # Errors
/// A sentence when the credential is missing or cannot be used.
pub(crate) fn camera_settings(
    its: &settings::CameraSettings,
    places: &CredentialPlaces,
) -> Result<CameraSettings, String> {
    let credential = its.credential.as_ref().map(|name| {
        let found = places.find(name).map_err(|error| error.to_string())?;
        let path = found.ok_or_else(|| {
            format!("there is no credential {name:?}; put `user:password` into a file of that name in [daemon] credentials-dir, mode 600")
        })?;
        Credential::from_file(&path).map_err(|error| error.to_string())
    });
    let source = its.source.clone().with_credential(credential.transpose()?);
    Ok(CameraSettings { stall: its.stall, ..CameraSettings::new(source) })
}

fn wrong(id: &CameraId, error: &dyn std::fmt::Display) -> Failure {
    Failure::Wrong(format!("camera {id}: {error}"))
}
