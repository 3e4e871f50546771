//! What Databend's control plane asks a container: how often it was called, and when.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

/// No batch yet.
const NEVER: i64 = i64::MIN;

/// Counts batches, over all functions. Never blocks.
#[derive(Debug)]
pub struct Stats {
    batches: AtomicU64,
    /// Microseconds since the Unix epoch.
    first: AtomicI64,
    last: AtomicI64,
}

impl Default for Stats {
    fn default() -> Self {
        Self { batches: AtomicU64::new(0), first: AtomicI64::new(NEVER), last: AtomicI64::new(NEVER) }
    }
}

/// The answer to `GET /stats`.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct StatsReport {
    request_count: u64,
    first_request_time: Option<String>,
    last_request_time: Option<String>,
}

impl Stats {
    /// A batch comes.
    pub fn batch(&self) {
        let now = Utc::now().timestamp_micros();
        // Fails when a batch came before.
        let _ = self.first.compare_exchange(NEVER, now, Ordering::Relaxed, Ordering::Relaxed);
        self.last.fetch_max(now, Ordering::Relaxed);
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted so far; times in ISO 8601, UTC.
    pub fn report(&self) -> StatsReport {
        let text = |moment: &AtomicI64| match moment.load(Ordering::Relaxed) {
            NEVER => None,
            micros => DateTime::from_timestamp_micros(micros)
                .map(|moment| moment.to_rfc3339_opts(SecondsFormat::Micros, false)),
        };
        StatsReport {
            request_count: self.batches.load(Ordering::Relaxed),
            first_request_time: text(&self.first),
            last_request_time: text(&self.last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compat_the_report_is_as_the_control_plane_reads_it() {
        let stats = Stats::default();
        let json = serde_json::to_string(&stats.report()).unwrap();
        assert_eq!(json, r#"{"request_count":0,"first_request_time":null,"last_request_time":null}"#);
        stats.batch();
        stats.batch();
        let report = stats.report();
        let (first, last) = (report.first_request_time.unwrap(), report.last_request_time.unwrap());
        assert!(report.request_count == 2 && first <= last && first.ends_with("+00:00"), "{first} {last}");
    }
}
