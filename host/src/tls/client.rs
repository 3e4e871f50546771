//! Who a client is by its certificate, and for which tenants it may act.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use tonic::Code;

use super::config::{TlsConfig, TlsService};
use crate::status::Failure;

/// Stands for all tenants.
const ALL: &str = "*";

/// The other end of a connection.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Its address.
    pub address: Option<SocketAddr>,
    /// The names in its certificate, which an authority of the operator's has signed.
    pub(crate) names: Option<Arc<[String]>>,
}

/// Names as `tls.tenants` spells them.
pub(super) fn names_of(certificate: &CertificateDer<'_>) -> Arc<[String]> {
    let mut names = vec![format!("sha256:{}", hex::encode(Sha256::digest(certificate)))];
    // It was verified in the handshake, so it can be read.
    if let Ok(read) = webpki::EndEntityCert::try_from(certificate) {
        names.extend(read.valid_dns_names().map(|name| format!("dns:{}", name.to_ascii_lowercase())));
        names.extend(read.valid_uri_names().map(|name| format!("uri:{name}")));
    }
    names.into()
}

/// For which tenants clients may act.
#[derive(Clone, Debug, Default)]
pub struct ClientTenants(Option<Arc<BTreeMap<String, BTreeSet<String>>>>);

/// A client may not act for a tenant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TenantRefused {
    /// It has shown no certificate.
    #[error("a client without a certificate may not act for tenant `{tenant}` (tls.tenants)")]
    NoCertificate {
        /// The tenant.
        tenant: String,
    },
    /// Its certificate is for other tenants.
    #[error("the client's certificate ({client}) is not for tenant `{tenant}` (tls.tenants)")]
    NotIts {
        /// What the certificate says.
        client: String,
        /// The tenant.
        tenant: String,
    },
}

impl Failure for TenantRefused {
    fn code(&self) -> Code {
        Code::PermissionDenied
    }
}

impl ClientTenants {
    /// What the operator allows clients of a service.
    pub fn new(config: &TlsConfig, service: TlsService) -> Self {
        let bound = config.covers(service) && !config.tenants.is_empty();
        let lower = |(name, tenants): (&String, &BTreeSet<String>)| {
            let name = if name.starts_with("dns:") { name.to_ascii_lowercase() } else { name.clone() };
            (name, tenants.clone())
        };
        Self(bound.then(|| Arc::new(config.tenants.iter().map(lower).collect())))
    }

    /// Refuses a client that may not act for a tenant.
    ///
    /// # Errors
    /// [`TenantRefused`].
    pub fn check(&self, peer: Option<&Peer>, tenant: &str) -> Result<(), TenantRefused> {
        let Some(clients) = &self.0 else { return Ok(()) };
        let tenant_name = || tenant.chars().take(128).collect();
        let Some(names) = peer.and_then(|peer| peer.names.as_deref()) else {
            return Err(TenantRefused::NoCertificate { tenant: tenant_name() });
        };
        let mut tenants = names.iter().filter_map(|name| clients.get(name));
        if tenants.any(|tenants| tenants.contains(tenant) || tenants.contains(ALL)) {
            return Ok(());
        }
        // The digest comes first; a name says more to a reader.
        let client = names.get(1).or(names.first()).cloned().unwrap_or_default();
        let client = client.chars().take(128).flat_map(char::escape_debug).collect();
        Err(TenantRefused::NotIts { client, tenant: tenant_name() })
    }
}
