//! Memory that instances may come to use, admitted before they start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::image::ForkError;

/// Account of the memory limits of all live instances.
#[derive(Debug)]
pub(crate) struct Admission {
    limit: u64,
    in_use: AtomicU64,
}

impl Admission {
    /// An account of `limit` bytes.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, in_use: AtomicU64::new(0) })
    }

    /// Sets `bytes` aside until the reservation is dropped.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: u64) -> Result<Reservation, ForkError> {
        let add = |in_use: u64| in_use.checked_add(bytes).filter(|sum| *sum <= self.limit);
        match self.in_use.fetch_update(Ordering::AcqRel, Ordering::Acquire, add) {
            Ok(_) => Ok(Reservation { account: self.clone(), bytes }),
            Err(in_use) => Err(ForkError::Admission { limit: self.limit, in_use, requested: bytes }),
        }
    }

    /// Bytes set aside.
    pub(crate) fn in_use(&self) -> u64 {
        self.in_use.load(Ordering::Acquire)
    }
}

/// Bytes set aside in an [`Admission`].
#[derive(Debug)]
pub(crate) struct Reservation {
    account: Arc<Admission>,
    bytes: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account.in_use.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_what_is_dropped_comes_back() {
        let account = Admission::new(100);
        let first = account.reserve(60).unwrap();
        let refused = account.reserve(41);
        assert!(matches!(refused, Err(ForkError::Admission { limit: 100, in_use: 60, requested: 41 })));
        assert!(account.reserve(u64::MAX).is_err());
        drop(first);
        assert_eq!(account.reserve(100).unwrap().bytes, 100);
        assert_eq!(account.in_use(), 0);
    }
}
