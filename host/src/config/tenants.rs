//! `[tenants]`: what one tenant may have.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::nonzero;
use crate::token::MAX_TENANT_BYTES;

/// `[tenants]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantConfig {
    /// Tenant of a provisioning request that names none. Without it such a request is refused.
    /// Default: `default`.
    pub default_tenant: Option<String>,
    /// Versions of functions that one tenant may have. Beyond it the longest unused version whose
    /// tokens have all expired gives way; when there is none, provisioning is refused.
    /// Default: 1000.
    pub max_functions: NonZeroUsize,
    /// Versions of functions of all tenants together. Default: 100 000.
    pub max_functions_of_all: NonZeroUsize,
    /// Worker threads that one tenant may hold at the same time. Default: 0, one for each core.
    pub max_workers: usize,
    /// Exchanges of one tenant that run at the same time, each with a sandbox; further ones wait, for
    /// `server.exchange_wait_s`, and are refused then. Default: 32.
    pub max_concurrent_exchanges: NonZeroUsize,
    /// Exchanges of one tenant that wait for a place; more are refused at once. Default: 1024.
    pub max_waiting_exchanges: usize,
    /// Sum of the memory limits of one tenant's sandboxes that run at the same time, in bytes; further
    /// exchanges wait as for `max_concurrent_exchanges`. Default: 0, what all tenants share.
    pub max_memory_bytes: u64,
    /// Fuel that one tenant may use in a minute, with that of building its images. Up to a minute's fuel
    /// can be saved up. What has begun goes on until its own limits, and what it used too much has to come
    /// in again before anything else begins. Default: 0, without bound.
    pub fuel_per_minute: u64,
    /// Quotas of single tenants, by name, instead of the above. Default: none.
    pub overrides: BTreeMap<String, TenantOverride>,
}

/// `[tenants.overrides.<tenant>]`: what it says replaces what `[tenants]` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TenantOverride {
    /// Default: `tenants.max_functions`.
    pub max_functions: Option<NonZeroUsize>,
    /// Default: `tenants.max_concurrent_exchanges`.
    pub max_concurrent_exchanges: Option<NonZeroUsize>,
    /// Default: `tenants.max_waiting_exchanges`.
    pub max_waiting_exchanges: Option<usize>,
    /// Default: `tenants.max_memory_bytes`; 0 for no bound.
    pub max_memory_bytes: Option<u64>,
    /// Default: `tenants.fuel_per_minute`; 0 for no bound.
    pub fuel_per_minute: Option<u64>,
}

/// What a certain tenant may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantQuota {
    /// Versions of functions.
    pub functions: usize,
    /// Exchanges at the same time.
    pub exchanges: usize,
    /// Exchanges that wait.
    pub waiting: usize,
    /// Memory of sandboxes at the same time, in bytes, if it is bounded.
    pub memory_bytes: Option<u64>,
    /// Fuel in a minute, if it is bounded.
    pub fuel_per_minute: Option<u64>,
}

impl Default for TenantConfig {
    fn default() -> Self {
        Self {
            default_tenant: Some("default".to_owned()),
            max_functions: nonzero(1000),
            max_functions_of_all: nonzero(100_000),
            max_workers: 0,
            max_concurrent_exchanges: nonzero(32),
            max_waiting_exchanges: 1024,
            max_memory_bytes: 0,
            fuel_per_minute: 0,
            overrides: BTreeMap::new(),
        }
    }
}

impl TenantConfig {
    /// What a tenant may have.
    pub fn of(&self, tenant: &str) -> TenantQuota {
        let own = self.overrides.get(tenant);
        let bound = |value: u64| (value > 0).then_some(value);
        let or = |own: Option<u64>, all| bound(own.unwrap_or(all));
        TenantQuota {
            functions: own.and_then(|own| own.max_functions).unwrap_or(self.max_functions).get(),
            exchanges: own
                .and_then(|own| own.max_concurrent_exchanges)
                .unwrap_or(self.max_concurrent_exchanges)
                .get(),
            waiting: own.and_then(|own| own.max_waiting_exchanges).unwrap_or(self.max_waiting_exchanges),
            memory_bytes: or(own.and_then(|own| own.max_memory_bytes), self.max_memory_bytes),
            fuel_per_minute: or(own.and_then(|own| own.fuel_per_minute), self.fuel_per_minute),
        }
    }

    /// The key with a value that cannot be used, and what is wrong with it.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let is_name = |name: &String| (1..=MAX_TENANT_BYTES).contains(&name.len());
        if !self.default_tenant.as_ref().is_none_or(is_name) {
            return Err(("tenants.default_tenant", "must be 1 to 128 bytes long".to_owned()));
        }
        if !self.overrides.keys().all(is_name) {
            let problem = "has a tenant whose name is not 1 to 128 bytes long".to_owned();
            return Err(("tenants.overrides", problem));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_replaces_what_it_names() {
        let text = "fuel_per_minute = 7\n[overrides.big]\nmax_functions = 5\nfuel_per_minute = 0\n";
        let config: TenantConfig = toml::from_str(text).unwrap();
        let quota = TenantQuota {
            functions: 1000,
            exchanges: 32,
            waiting: 1024,
            memory_bytes: None,
            fuel_per_minute: Some(7),
        };
        assert_eq!(config.of("small"), quota);
        assert_eq!(config.of("big"), TenantQuota { functions: 5, fuel_per_minute: None, ..quota });
        assert!(toml::from_str::<TenantConfig>("[overrides.a]\nmax_worker = 1\n").is_err());
    }
}
