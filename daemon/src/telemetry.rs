//! Where log lines go: to the journal when there is one and we are a service, else to standard error.

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt};

/// Who reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The service manager.
    Service,
    /// A person at a terminal.
    Terminal,
}

/// Starts logging. `RUST_LOG` overrides `level`; ONNX Runtime's own chatter stays at warnings. Calling it twice keeps
/// the first, so tests may.
pub fn start(audience: Audience, level: &str) {
    let filter = EnvFilter::try_from_default_env()
        .or_else(|_| EnvFilter::try_new(format!("{level},ort=warn")))
        .unwrap_or_else(|_| EnvFilter::new("info,ort=warn"));
    // The journal is used only when standard error is already connected to it: that is how systemd tells a service.
    let journal = (audience == Audience::Service && std::env::var_os("JOURNAL_STREAM").is_some())
        .then(|| tracing_journald::layer().ok())
        .flatten()
        .map(|layer| layer.with_syslog_identifier("sekisho".into()));
    let stderr = journal.is_none().then(|| fmt::layer().with_writer(std::io::stderr).with_target(false));
    let _first_one_wins = tracing_subscriber::registry().with(filter).with(stderr).with(journal).try_init();
}
