//! One worker.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use vivarium_proto::resourceproto;

use super::{Labels, SUSPENDED};

/// A worker, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::provisioning) struct Worker {
    pub(in crate::provisioning) name: String,
    pub(in crate::provisioning) tags: Labels,
    /// Without `suspended`.
    pub(in crate::provisioning) options: Labels,
    /// `None` before it was suspended or resumed for the first time.
    pub(in crate::provisioning) suspended: Option<bool>,
    pub(in crate::provisioning) created_at: Timestamp,
    pub(in crate::provisioning) updated_at: Timestamp,
    /// Digest of the version that it runs.
    pub(in crate::provisioning) version: Option<[u8; 32]>,
}

/// A moment, in microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::provisioning) struct Timestamp(i64);

impl Timestamp {
    pub(in crate::provisioning) fn now() -> Self {
        Self(Utc::now().timestamp_micros())
    }

    /// ISO 8601, UTC.
    pub(in crate::provisioning) fn to_text(self) -> String {
        let moment = DateTime::from_timestamp_micros(self.0).unwrap_or(DateTime::UNIX_EPOCH);
        moment.to_rfc3339_opts(SecondsFormat::Micros, false)
    }
}

impl Worker {
    pub(super) fn new(name: &str, now: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            tags: Labels::new(),
            options: Labels::new(),
            suspended: None,
            created_at: now,
            updated_at: now,
            version: None,
        }
    }

    /// As the engine reads it.
    pub(in crate::provisioning) fn to_message(&self) -> resourceproto::Worker {
        let mut options: std::collections::HashMap<_, _> = self.options.clone().into_iter().collect();
        options.extend(self.suspended.map(|suspended| (SUSPENDED.to_owned(), suspended.to_string())));
        resourceproto::Worker {
            name: self.name.clone(),
            tags: self.tags.clone().into_iter().collect(),
            created_at: self.created_at.to_text(),
            updated_at: self.updated_at.to_text(),
            options,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_reads_times_and_suspension_as_text() {
        let mut worker = Worker::new("w", Timestamp(1_787_412_237_000_001));
        assert_eq!(worker.to_message().created_at, "2026-08-22T15:23:57.000001+00:00");
        assert!(worker.to_message().options.is_empty());
        worker.suspended = Some(false);
        assert_eq!(worker.to_message().options[SUSPENDED], "false");
    }
}
