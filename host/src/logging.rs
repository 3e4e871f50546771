//! The server's own log: structured events on standard error.

use std::cell::Cell;
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LoggingConfig};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoggingError {
    /// `logging.level` is not a level or a list of directives.
    #[error("`{level}` is not a log level")]
    Level {
        /// What was configured.
        level: String,
        /// Why it is none.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Something in this process set up logging before.
    #[error("logging is set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends all events of this process to standard error, and panics too, as events.
///
/// # Errors
/// [`LoggingError`].
pub fn start(config: &LoggingConfig) -> Result<(), LoggingError> {
    let filter = EnvFilter::try_new(&config.level)
        .map_err(|source| LoggingError::Level { level: config.level.clone(), source })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.format {
        LogFormat::Human => builder.finish().try_init()?,
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    // The HTTP client of imports writes whole URLs, signatures included, at the level `trace`.
    log::set_max_level(log::max_level().min(log::LevelFilter::Debug));
    // A panic is contained where it happens (a worker's job, a call's task); it must show in the
    // log as one event, not as loose lines between JSON objects.
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no message");
        if QUIET.get() {
            tracing::debug!(location, message, "a panic was contained");
        } else {
            tracing::error!(location, message, "a panic was contained");
        }
    }));
    Ok(())
}

thread_local! {
    /// Whether panics of this thread are a stranger's doing.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs work whose panics, which it contains, are news at the level `debug` only: what strangers send can
/// cause them at will, and is counted as their failure.
pub(crate) fn with_quiet_panics<R>(work: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            QUIET.set(self.0);
        }
    }
    let _restore = Restore(QUIET.replace(true));
    work()
}
