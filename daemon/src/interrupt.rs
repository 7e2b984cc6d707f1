//! Ctrl-C as a wish instead of an end: long work stops early and still writes what it has.

use crate::cmd::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};

/// Whether somebody asked the work to end.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens for SIGINT and SIGTERM from now on; `wake` is called when one comes.
    ///
    /// # Errors
    /// [`Failure::No`] when the system does not let us.
    pub fn listen(wake: impl Fn() + Send + 'static) -> Result<Self, Failure> {
        let refused = |error: std::io::Error| Failure::No(format!("signals cannot be received: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let asked = Arc::new(AtomicBool::new(false));
        let (mut int, mut term) = {
            let _entered = runtime.enter();
            (signal(SignalKind::interrupt()).map_err(refused)?, signal(SignalKind::terminate()).map_err(refused)?)
        };
        let told = Arc::clone(&asked);
        let listen = move || {
            runtime.block_on(async move {
                loop {
                    tokio::select! {
                        _ = int.recv() => {}
                        _ = term.recv() => {}
                    }
                    told.store(true, Ordering::Release);
                    wake();
                }
            });
        };
        std::thread::Builder::new().name("signals".into()).spawn(listen).map_err(refused)?;
        Ok(Self(asked))
    }

    /// Whether a signal came.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
