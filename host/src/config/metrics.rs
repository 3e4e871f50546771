//! `[metrics]`, and the address at which they are served.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::nonzero;

/// How much metrics tell apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Functions that metrics tell apart by name, the first to be called; all others together are
    /// `_other`. Default: 200.
    pub max_functions: NonZeroUsize,
    /// Tenants that metrics tell apart in the same way. Default: 100.
    pub max_tenants: NonZeroUsize,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { max_functions: nonzero(200), max_tenants: nonzero(100) }
    }
}

/// An address, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusAddress(pub Option<SocketAddr>);

/// Any free port of this machine, for itself only.
impl Default for StatusAddress {
    fn default() -> Self {
        Self(Some(SocketAddr::from(([127, 0, 0, 1], 0))))
    }
}

const OFF: &str = "off";

impl std::str::FromStr for StatusAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == OFF {
            return Ok(Self(None));
        }
        let address = text.parse().map_err(|_| format!("`{text}` is neither an address nor `{OFF}`"))?;
        Ok(Self(Some(address)))
    }
}

impl Serialize for StatusAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(address) => serializer.collect_str(&address),
            None => serializer.serialize_str(OFF),
        }
    }
}

impl<'de> Deserialize<'de> for StatusAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
