//! `[provisioning]`

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::nonzero;

/// Bounds of what is kept for functions beside the functions themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProvisioningConfig {
    /// Workers (Databend's named resources of functions) of one tenant. Default: 1000.
    pub max_workers: NonZeroUsize,
    /// Workers of all tenants together. Default: 100 000.
    pub max_workers_of_all: NonZeroUsize,
    /// Tags of one worker, and options of one worker. Default: 64.
    pub max_labels: usize,
    /// Name and value of a tag or option together, in bytes. Default: 4096.
    pub max_label_bytes: usize,
}

impl Default for ProvisioningConfig {
    fn default() -> Self {
        Self {
            max_workers: nonzero(1000),
            max_workers_of_all: nonzero(100_000),
            max_labels: 64,
            max_label_bytes: 4096,
        }
    }
}
