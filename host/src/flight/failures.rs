//! Batches that failed, so that the same batch need not fail again.
//!
//! Databend sends a batch up to nine times when it fails, whatever the reason: a function that raises, or
//! runs until its fuel is used up, would do so nine times. A query's batch that failed is remembered for a
//! while, and the same batch of the same query gets the same error without a call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::{Array as _, ArrayData, RecordBatch};
use sha2::{Digest as _, Sha256};
use tonic::Code;
use vivarium_runtime::{CallError, FunctionErrorKind};

use crate::functions::VersionId;

/// Failures that are remembered at the same time; the oldest make room.
const MAX_FAILURES: usize = 1000;

/// Failed batches by function and query, the last of each.
#[derive(Debug)]
pub(super) struct Failures {
    known: Mutex<HashMap<(VersionId, String), Arc<Failed>>>,
    lifetime: Duration,
}

/// A batch that failed.
#[derive(Debug)]
pub(super) struct Failed {
    batch: [u8; 32],
    at: Instant,
    /// Code of its error.
    pub(super) code: Code,
    /// Message of its error.
    pub(super) message: String,
    /// Kind of its error, for metrics.
    pub(super) error_type: &'static str,
}

impl Failures {
    /// Remembers failures for so long; not at all if it is zero.
    pub(super) fn new(lifetime: Duration) -> Self {
        Self { known: Mutex::default(), lifetime }
    }

    /// The failed batch of a function in a query, if there is one.
    pub(super) fn find(&self, version: &VersionId, query: &str) -> Option<Arc<Failed>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_empty() {
            return None;
        }
        let key = (version.clone(), query.to_owned());
        let failed = Arc::clone(known.get(&key)?);
        if failed.at.elapsed() > self.lifetime {
            known.remove(&key);
            return None;
        }
        Some(failed)
    }

    /// Remembers a batch whose call failed, if it would fail again.
    pub(super) fn remember(
        &self,
        version: &VersionId,
        query: &str,
        batch: &RecordBatch,
        error: &CallError,
        told: (Code, String, &'static str),
    ) {
        if self.lifetime.is_zero() || !fails_again(error) {
            return;
        }
        let (code, message, error_type) = told;
        let failed = Failed { batch: digest(batch), at: Instant::now(), code, message, error_type };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_FAILURES {
            known.retain(|_, failed| failed.at.elapsed() <= self.lifetime);
        }
        if known.len() >= MAX_FAILURES
            && let Some(oldest) = known.iter().min_by_key(|(_, failed)| failed.at).map(|(key, _)| key.clone())
        {
            known.remove(&oldest);
        }
        known.insert((version.clone(), query.to_owned()), Arc::new(failed));
    }
}

impl Failed {
    /// Whether a batch is the one that failed.
    pub(super) fn is(&self, batch: &RecordBatch) -> bool {
        digest(batch) == self.batch
    }
}

/// Whether a call failed for what it was given, or used, rather than for the state of this host.
fn fails_again(error: &CallError) -> bool {
    match error {
        CallError::Function(error) => error.kind != FunctionErrorKind::Internal,
        CallError::Fuel { .. }
        | CallError::Deadline { .. }
        | CallError::Memory { .. }
        | CallError::Recursion { .. }
        | CallError::Exit { .. }
        | CallError::Input(_)
        | CallError::Output(_) => true,
        _ => false,
    }
}

/// Tells batches apart by their bytes: equal rows in another layout are another batch.
fn digest(batch: &RecordBatch) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update((batch.num_rows() as u64).to_le_bytes());
    for column in batch.columns() {
        add(&mut hash, &column.to_data());
    }
    hash.finalize().into()
}

fn add(hash: &mut Sha256, data: &ArrayData) {
    let mut bytes = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    bytes(data.data_type().to_string().as_bytes());
    bytes(&(data.offset() as u64).to_le_bytes());
    bytes(&(data.len() as u64).to_le_bytes());
    match data.nulls() {
        None => bytes(&[]),
        Some(nulls) => bytes(&nulls.iter().map(u8::from).collect::<Vec<_>>()),
    }
    data.buffers().iter().for_each(|buffer| bytes(buffer.as_slice()));
    data.child_data().iter().for_each(|child| add(hash, child));
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, StringArray};

    fn batch(numbers: &[Option<i64>], text: &str) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
        let text: ArrayRef = Arc::new(StringArray::from(vec![text; numbers.len()]));
        RecordBatch::try_from_iter([("n", numbers), ("t", text)]).unwrap()
    }

    fn version(tenant: &str) -> VersionId {
        VersionId { tenant: tenant.to_owned(), digest: [1; 32] }
    }

    fn told() -> (Code, String, &'static str) {
        (Code::ResourceExhausted, "fuel".to_owned(), "FuelExhausted")
    }

    #[test]
    fn attack_the_same_batch_of_the_same_query_fails_once() {
        let failures = Failures::new(Duration::from_secs(60));
        let failed = batch(&[Some(1), None], "a");
        failures.remember(&version("t"), "q", &failed, &CallError::Fuel { limit: 1 }, told());
        let found = failures.find(&version("t"), "q").unwrap();
        assert!(found.is(&failed) && found.is(&batch(&[Some(1), None], "a")));
        for other in [batch(&[Some(1), Some(0)], "a"), batch(&[Some(1), None], "b"), batch(&[Some(1)], "a")] {
            assert!(!found.is(&other));
        }
        assert!(failures.find(&version("t"), "r").is_none() && failures.find(&version("u"), "q").is_none());
    }

    #[test]
    fn failures_of_the_host_and_old_ones_are_forgotten() {
        let failures = Failures::new(Duration::from_millis(20));
        let failed = batch(&[Some(1)], "a");
        failures.remember(&version("t"), "q", &failed, &CallError::Cancelled, told());
        assert!(failures.find(&version("t"), "q").is_none());
        failures.remember(&version("t"), "q", &failed, &CallError::Fuel { limit: 1 }, told());
        std::thread::sleep(Duration::from_millis(40));
        assert!(failures.find(&version("t"), "q").is_none());
        let never = Failures::new(Duration::ZERO);
        never.remember(&version("t"), "q", &failed, &CallError::Fuel { limit: 1 }, told());
        assert!(never.find(&version("t"), "q").is_none());
    }

    #[test]
    fn attack_the_memory_is_bounded() {
        let failures = Failures::new(Duration::from_secs(60));
        let failed = batch(&[Some(1)], "a");
        for query in 0..=MAX_FAILURES {
            failures.remember(
                &version("t"),
                &query.to_string(),
                &failed,
                &CallError::Fuel { limit: 1 },
                told(),
            );
        }
        assert_eq!(failures.known.lock().unwrap().len(), MAX_FAILURES);
        assert!(failures.find(&version("t"), "0").is_none() && failures.find(&version("t"), "1").is_some());
    }
}
