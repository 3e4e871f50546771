//! Name resolution with a conscience: the addresses that were checked are those that are connected
//! to, so a name that changes its mind between two lookups gains nothing.

use std::sync::Arc;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::network::{AddressKind, AddressPolicy};

/// A resolver that leaves out the addresses that must not be reached.
#[derive(Debug)]
pub(super) struct CheckedResolver {
    lookup: Arc<dyn Resolver>,
    policy: AddressPolicy,
}

impl CheckedResolver {
    pub(super) fn new(lookup: Arc<dyn Resolver>, policy: AddressPolicy) -> Self {
        Self { lookup, policy }
    }
}

/// None of a host's addresses may be reached. Reaches the caller within [`ureq::Error::Other`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the host has {kind}")]
pub(super) struct AddressRefused {
    /// What its first address is.
    pub(super) kind: AddressKind,
}

impl Resolver for CheckedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.lookup.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        let mut refused = None;
        for address in found.iter() {
            match self.policy.check(address.ip()) {
                Ok(()) => allowed.push(*address),
                // Only the operator learns the address: a stranger could map the network by names.
                Err(kind) => {
                    let host = uri.host();
                    tracing::info!(host, %address, %kind, "an import's host must not be reached");
                    refused.get_or_insert(kind);
                }
            }
        }
        match (allowed.is_empty(), refused) {
            (false, _) => Ok(allowed),
            (true, Some(kind)) => Err(ureq::Error::Other(Box::new(AddressRefused { kind }))),
            (true, None) => Err(ureq::Error::HostNotFound),
        }
    }
}
