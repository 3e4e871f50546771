//! TLS of the gRPC services: certificates that can be replaced while the server runs, and clients that
//! show theirs.
//!
//! The protocol is rustls's, versions 1.2 and 1.3 with its default suites. A handshake has a time limit,
//! and so has a connection without TLS until its client has said anything (see `connections`).

mod client;
mod config;
mod files;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::pki_types::UnixTime;

pub use self::client::{ClientTenants, Peer, TenantRefused};
pub use self::config::{ClientCertificates, TlsConfig, TlsService};
pub use self::files::TlsError;

use crate::watched::{Fingerprint, LOOK_INTERVAL};

/// The log warns of certificates that end sooner.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// Certificates and keys as they are now.
pub struct Tls {
    config: TlsConfig,
    certificate: PathBuf,
    key: PathBuf,
    state: Mutex<State>,
}

struct State {
    server: Arc<ServerConfig>,
    ends: UnixTime,
    looked: Instant,
    /// The files as they were when they were read, or when they could not be used.
    seen: [Option<Fingerprint>; 3],
}

impl Tls {
    /// Reads the files; nothing when there is no certificate.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        let (Some(certificate), Some(key)) = (&config.certificate, &config.key) else { return Ok(None) };
        let seen = fingerprints(config);
        let files::Loaded { server, ends } = files::load(config, certificate, key)?;
        warn_of_end(ends);
        let state = State { server, ends, looked: Instant::now(), seen };
        Ok(Some(Self {
            config: config.clone(),
            certificate: certificate.clone(),
            key: key.clone(),
            state: Mutex::new(state),
        }))
    }

    /// When the certificate ends, in ISO 8601.
    pub fn ends(&self) -> String {
        files::moment(self.state().ends)
    }

    /// What the next handshake works with. Reads files that changed.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        let mut state = self.state();
        if state.looked.elapsed() >= LOOK_INTERVAL {
            self.look(&mut state);
        }
        Arc::clone(&state.server)
    }

    /// Looks at the files now, whenever they were looked at last.
    pub(crate) fn reload(&self) {
        self.look(&mut self.state());
    }

    /// Longest time for a handshake.
    pub(crate) fn handshake_timeout(&self) -> Duration {
        Duration::from_secs(self.config.handshake_timeout_s.get())
    }

    /// Handshakes at the same time.
    pub(crate) fn max_handshakes(&self) -> usize {
        self.config.max_handshakes.get()
    }

    /// The names in a client's certificate.
    pub(crate) fn names(&self, session: &rustls::ServerConnection) -> Option<Arc<[String]>> {
        session.peer_certificates().and_then(<[_]>::first).map(client::names_of)
    }

    /// Reads the files again if one changed. What cannot be used is reported once: a certificate and its
    /// key may be replaced one after the other.
    fn look(&self, state: &mut State) {
        state.looked = Instant::now();
        let now = fingerprints(&self.config);
        if now == state.seen {
            return;
        }
        state.seen = now;
        match files::load(&self.config, &self.certificate, &self.key) {
            Ok(files::Loaded { server, ends }) => {
                tracing::info!(ends = files::moment(ends), "the TLS certificate was read again");
                warn_of_end(ends);
                (state.server, state.ends) = (server, ends);
            }
            Err(error) => tracing::error!(%error, "the server keeps the TLS certificate that it had"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tls").field("config", &self.config).finish_non_exhaustive()
    }
}

fn fingerprints(config: &TlsConfig) -> [Option<Fingerprint>; 3] {
    let files = [&config.certificate, &config.key, &config.client_ca];
    files.map(|file| file.as_deref().and_then(Fingerprint::of))
}

fn warn_of_end(ends: UnixTime) {
    if ends.as_secs() < UnixTime::now().as_secs().saturating_add(SOON.as_secs()) {
        tracing::warn!(ends = files::moment(ends), "the TLS certificate ends soon");
    }
}
