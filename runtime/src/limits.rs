//! What one instance, and the building of an image, may use.

use serde::{Deserialize, Serialize};

/// Limits of one instance. Every field has a default, so a configuration names only what it
/// changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Fuel for each batch, in units of the cost model (roughly, WebAssembly operators; 1 to 3
    /// billion a second). A table function has it for all that it gives for one input batch, a map
    /// function for the way from one batch that it takes or gives to the next. Default: 50 billion.
    pub fuel_per_batch: u64,
    /// Wall-clock time for each batch, in milliseconds, counted in the same way. Time that passes in the
    /// caller's source or sink does not count. Default: 30 000.
    pub deadline_ms: u64,
    /// Linear memory, in bytes, including the image's own. Python sees a `MemoryError` beyond it.
    /// Default: 256 MiB.
    pub memory_bytes: u64,
    /// One input batch as laid out for the guest, in bytes. Default: 64 MiB.
    pub input_bytes: u64,
    /// One result, or one batch of a stream, in bytes. Default: 64 MiB.
    pub output_bytes: u64,
    /// All that a table or map function gives for one input batch, in bytes; for a map function: between
    /// one batch that it takes and the next. Default: 4 GiB.
    pub stream_output_bytes: u64,
    /// The same in rows. Default: 1 billion.
    pub stream_output_rows: u64,
    /// Groups of an aggregate function at a time. Default: 10 million.
    pub aggregate_groups: u64,
    /// Output kept of each of stdout and stderr, in bytes; the oldest is dropped. Default: 64 KiB.
    pub log_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            fuel_per_batch: 50_000_000_000,
            deadline_ms: 30_000,
            memory_bytes: 256 << 20,
            input_bytes: 64 << 20,
            output_bytes: 64 << 20,
            stream_output_bytes: 4 << 30,
            stream_output_rows: 1_000_000_000,
            aggregate_groups: 10_000_000,
            log_bytes: 64 << 10,
        }
    }
}

/// Limits of building one image: importing the function's code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BuildLimits {
    /// Fuel, in units of the cost model. Large packages take over 200 billion to be compiled. Default: 300
    /// billion.
    pub fuel: u64,
    /// Wall-clock time, in milliseconds. Default: 90 000.
    pub deadline_ms: u64,
    /// Linear memory, in bytes, including the interpreter's own. Default: 256 MiB.
    pub memory_bytes: u64,
    /// Output kept of each of stdout and stderr, in bytes; the oldest is dropped. Default: 64 KiB.
    pub log_bytes: u64,
    /// The function's code together with its environment, in bytes. Default: 1 MiB.
    pub code_bytes: u64,
    /// Files that the function brings along. Default: 20 000.
    pub files: u64,
    /// Those files together, in bytes, with their paths, the search path and the options. They are part
    /// of linear memory too, so that more than `memory_bytes` never fit. Default: 256 MiB.
    pub file_bytes: u64,
}

impl Default for BuildLimits {
    fn default() -> Self {
        Self {
            fuel: 300_000_000_000,
            deadline_ms: 90_000,
            memory_bytes: 256 << 20,
            log_bytes: 64 << 10,
            code_bytes: 1 << 20,
            files: 20_000,
            file_bytes: 256 << 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_refused_and_missing_ones_defaulted() {
        let limits: Limits = serde_json::from_str(r#"{"deadline_ms": 5}"#).unwrap();
        assert_eq!(limits, Limits { deadline_ms: 5, ..Limits::default() });
        assert!(serde_json::from_str::<Limits>(r#"{"deadline": 5}"#).is_err());
        assert!(serde_json::from_str::<BuildLimits>(r#"{"fuel_per_batch": 5}"#).is_err());
    }
}
