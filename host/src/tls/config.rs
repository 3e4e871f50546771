//! `[tls]`

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// TLS of the gRPC services. The files are read at the start, and again within a second of a connection
/// when they changed; a change that cannot be used is reported in the log, and the server keeps what it
/// had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The server's certificate and those between it and its authority (PEM). Default: none, no TLS.
    pub certificate: Option<PathBuf>,
    /// The certificate's private key (PEM: PKCS #8, PKCS #1 or SEC 1), closed to others. Default: none.
    pub key: Option<PathBuf>,
    /// The services behind TLS: `flight`, `provisioning`. Services that share an address are all behind
    /// TLS or none is. Default: both.
    pub services: BTreeSet<TlsService>,
    /// Authorities of client certificates (PEM). Default: none, clients need no certificate.
    pub client_ca: Option<PathBuf>,
    /// With `client_ca`: whether a client without a certificate is refused (`required`) or served
    /// (`optional`). Default: `required`.
    pub client_certificates: ClientCertificates,
    /// The tenants for which a client may act, by a name in its certificate: `dns:<name>` or `uri:<URI>`
    /// among its alternative names, or `sha256:<digest of the certificate, in hexadecimal digits>`. The
    /// tenant `*` stands for all. When there is an entry, a client whose certificate has none may act for
    /// no tenant. Default: none, any client for any tenant.
    pub tenants: BTreeMap<String, BTreeSet<String>>,
    /// Longest time for a handshake, in seconds. Default: 10.
    pub handshake_timeout_s: NonZeroU64,
    /// Handshakes that a network thread works on at the same time for one address of the server; further
    /// connections wait. Default: 256.
    pub max_handshakes: NonZeroUsize,
}

/// A service that can be behind TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsService {
    /// Arrow Flight.
    Flight,
    /// Provisioning.
    Provisioning,
}

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// Clients without one are refused.
    #[default]
    Required,
    /// Clients without one are served as far as `tls.tenants` allows.
    Optional,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            services: [TlsService::Flight, TlsService::Provisioning].into(),
            client_ca: None,
            client_certificates: ClientCertificates::default(),
            tenants: BTreeMap::new(),
            handshake_timeout_s: NonZeroU64::MIN.saturating_add(9),
            max_handshakes: NonZeroUsize::MIN.saturating_add(255),
        }
    }
}

impl TlsConfig {
    /// Whether a service is behind TLS.
    pub fn covers(&self, service: TlsService) -> bool {
        self.certificate.is_some() && self.services.contains(&service)
    }

    /// The key with a value that cannot be used, and what is wrong with it. `one_address` says whether both
    /// services share theirs.
    pub(crate) fn check(&self, one_address: bool) -> Result<(), (&'static str, String)> {
        let error = |key, problem: &str| Err((key, problem.to_owned()));
        match (&self.certificate, &self.key) {
            (Some(_), None) => return error("tls.key", "is required because tls.certificate is given"),
            (None, Some(_)) => return error("tls.certificate", "is required because tls.key is given"),
            (None, None) if self.client_ca.is_some() => {
                return error("tls.certificate", "is required because tls.client_ca is given");
            }
            _ => {}
        }
        if self.certificate.is_some() && self.services.is_empty() {
            return error("tls.services", "is empty; without tls.certificate there is no TLS");
        }
        if one_address && self.certificate.is_some() && self.services.len() == 1 {
            return error("tls.services", "must name both services because they share an address");
        }
        if !self.tenants.is_empty() && self.client_ca.is_none() {
            return error("tls.client_ca", "is required because tls.tenants names clients");
        }
        let is_name = |name: &str| match name.split_once(':') {
            Some(("dns" | "uri", rest)) => !rest.is_empty(),
            Some(("sha256", digest)) => {
                digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            }
            _ => false,
        };
        if let Some(name) = self.tenants.keys().find(|name| !is_name(name)) {
            let problem = format!(
                "has the client `{}`; expected `dns:<name>`, `uri:<URI>` or `sha256:<64 hexadecimal digits>`",
                name.chars().take(80).flat_map(char::escape_debug).collect::<String>()
            );
            return Err(("tls.tenants", problem));
        }
        Ok(())
    }
}
