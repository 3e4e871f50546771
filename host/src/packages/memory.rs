//! What was made once stays in memory, up to a number of bytes, and is made by one thread at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::store::Hash;

/// Values by hash; the longest unused gives way.
#[derive(Debug)]
pub(super) struct Memory<V> {
    limit: u64,
    inner: Mutex<Inner<V>>,
}

#[derive(Debug)]
struct Inner<V> {
    entries: HashMap<Hash, Entry<V>>,
    /// Held by whoever makes a value.
    makers: HashMap<Hash, Arc<Mutex<()>>>,
    weight: u64,
    /// Counts uses, to tell which is the oldest.
    uses: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: u64,
    used: u64,
}

impl<V: Clone> Memory<V> {
    pub(super) fn new(limit: u64) -> Self {
        let inner = Inner { entries: HashMap::new(), makers: HashMap::new(), weight: 0, uses: 0 };
        Self { limit, inner: Mutex::new(inner) }
    }

    /// The value if it is here and `is_good`.
    pub(super) fn get(&self, key: &Hash, is_good: impl Fn(&V) -> bool) -> Option<V> {
        let mut inner = self.inner();
        inner.uses = inner.uses.wrapping_add(1);
        let uses = inner.uses;
        let entry = inner.entries.get_mut(key).filter(|entry| is_good(&entry.value))?;
        entry.used = uses;
        Some(entry.value.clone())
    }

    /// The value if it is here and `is_good`, else what `make` makes: a value and its weight. Other
    /// threads that want the same wait, and make it themselves only if this one fails.
    pub(super) fn get_or_make<E>(
        &self,
        key: &Hash,
        is_good: impl Fn(&V) -> bool,
        make: impl FnOnce() -> Result<(V, u64), E>,
    ) -> Result<V, E> {
        if let Some(value) = self.get(key, &is_good) {
            return Ok(value);
        }
        let maker = Arc::clone(self.inner().makers.entry(*key).or_default());
        let turn = maker.lock().unwrap_or_else(PoisonError::into_inner);
        let made = match self.get(key, &is_good) {
            Some(value) => Ok(value),
            None => make().map(|(value, weight)| {
                self.inner().put(*key, value.clone(), weight, self.limit);
                value
            }),
        };
        drop(turn);
        let mut inner = self.inner();
        drop(maker);
        // Copies are made and dropped under the lock: the map's own is the last.
        if inner.makers.get(key).is_some_and(|maker| Arc::strong_count(maker) == 1) {
            inner.makers.remove(key);
        }
        made
    }

    fn inner(&self) -> MutexGuard<'_, Inner<V>> {
        // Nothing here can panic halfway.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V> Inner<V> {
    fn put(&mut self, key: Hash, value: V, weight: u64, limit: u64) {
        self.remove(&key);
        if weight > limit {
            return;
        }
        while self.weight.saturating_add(weight) > limit {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| *key);
            let Some(oldest) = oldest else { break };
            self.remove(&oldest);
        }
        self.uses = self.uses.wrapping_add(1);
        self.weight = self.weight.saturating_add(weight);
        self.entries.insert(key, Entry { value, weight, used: self.uses });
    }

    fn remove(&mut self, key: &Hash) {
        if let Some(entry) = self.entries.remove(key) {
            self.weight = self.weight.saturating_sub(entry.weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn key(number: u8) -> Hash {
        [number; 32]
    }

    fn put(memory: &Memory<u8>, number: u8, weight: u64) {
        memory.get_or_make(&key(number), |_| true, || Ok::<_, ()>((number, weight))).unwrap();
    }

    #[test]
    fn the_longest_unused_gives_way_and_the_too_heavy_never_stays() {
        let memory = Memory::new(10);
        put(&memory, 1, 4);
        put(&memory, 2, 4);
        assert_eq!(memory.get(&key(1), |_| true), Some(1));
        put(&memory, 3, 4);
        assert_eq!(memory.get(&key(2), |_| true), None);
        assert_eq!(memory.get(&key(1), |_| true), Some(1));
        put(&memory, 4, 11);
        assert_eq!(memory.get(&key(4), |_| true), None);
        assert_eq!(memory.get(&key(3), |_| true), Some(3));
    }

    #[test]
    fn one_thread_makes_it_and_the_others_wait() {
        let (memory, made) = (Memory::new(10), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let make = || {
                        made.fetch_add(1, Ordering::Relaxed);
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        Ok::<_, ()>((5, 1))
                    };
                    assert_eq!(memory.get_or_make(&key(5), |_| true, make), Ok(5));
                });
            }
        });
        assert_eq!(made.load(Ordering::Relaxed), 1);
        assert!(memory.inner().makers.is_empty());
    }

    #[test]
    fn failures_are_not_kept_and_bad_values_are_replaced() {
        let memory = Memory::new(10);
        assert_eq!(memory.get_or_make(&key(1), |_| true, || Err::<(u8, u64), _>("no")), Err("no"));
        put(&memory, 1, 1);
        let better = memory.get_or_make(&key(1), |value| *value > 1, || Ok::<_, ()>((2, 1)));
        assert_eq!(better, Ok(2));
        assert_eq!(memory.get(&key(1), |_| true), Some(2));
    }
}
