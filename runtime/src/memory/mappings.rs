//! The kernel allows a process a limited number of mappings; regions share them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The kernel's default, where its setting cannot be read.
const KERNEL_DEFAULT: usize = 65_530;

/// Mappings that regions may take.
#[derive(Debug)]
pub(super) struct MappingBudget {
    limit: usize,
    taken: AtomicUsize,
}

impl MappingBudget {
    /// Three quarters of what the kernel allows: the rest is for the process and for grown memories.
    pub(super) fn of_kernel() -> Arc<Self> {
        let setting = std::fs::read_to_string("/proc/sys/vm/max_map_count");
        let allowed = setting.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(KERNEL_DEFAULT);
        Self::new(allowed / 4 * 3)
    }

    fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, taken: AtomicUsize::new(0) })
    }

    /// Whether so many are taken that instances should do with few.
    pub(super) fn are_scarce(&self) -> bool {
        self.taken.load(Ordering::Acquire) > self.limit / 3
    }

    /// Takes `count` mappings, if there are that many.
    pub(super) fn take(self: &Arc<Self>, count: usize) -> Option<MappingShare> {
        let add = |taken: usize| taken.checked_add(count).filter(|sum| *sum <= self.limit);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, add).ok()?;
        Some(MappingShare { budget: self.clone(), count })
    }
}

/// Mappings taken from a [`MappingBudget`], until dropped.
#[derive(Debug)]
pub(super) struct MappingShare {
    budget: Arc<MappingBudget>,
    count: usize,
}

impl Drop for MappingShare {
    fn drop(&mut self) {
        self.budget.taken.fetch_sub(self.count, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_back() {
        let budget = MappingBudget::new(10);
        let first = budget.take(7).unwrap();
        assert!(budget.take(4).is_none());
        drop(first);
        assert!(!budget.are_scarce());
        let most = budget.take(10);
        assert!(most.is_some() && budget.are_scarce() && budget.take(usize::MAX).is_none());
    }
}
