//! What an instance may learn from the outside.

use serde::{Deserialize, Serialize};

/// Capabilities of one instance. There is no file system, network, process or thread to grant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capabilities {
    /// What the guest's clocks show.
    pub clock: Clock,
    /// Where its random bytes come from.
    pub random: Random,
}

/// The clocks a guest can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Clock {
    /// The host's wall clock and a monotonic clock that starts at 0 with the instance, both
    /// rounded down to a step, so that they are too coarse to time other tenants with.
    System {
        /// Step, in milliseconds; 0 counts as 1.
        step_ms: u32,
    },
    /// Time stands still: the wall clock shows this moment, the monotonic clock 0.
    Frozen {
        /// Nanoseconds since 1970-01-01T00:00:00Z.
        unix_ns: u64,
    },
}

impl Default for Clock {
    fn default() -> Self {
        Self::System { step_ms: 1 }
    }
}

/// Source of random bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Random {
    /// The operating system's generator.
    #[default]
    System,
    /// None: drawing fails inside the guest.
    Denied,
}
