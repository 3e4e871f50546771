//! Several that want the same at the same time wait for one who gets it.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::cache::Key;

/// Work that runs once for everybody who asks for it meanwhile.
#[derive(Debug)]
pub(super) struct Once<T, E> {
    running: Mutex<HashMap<Key, Arc<Run<T, E>>>>,
}

#[derive(Debug)]
struct Run<T, E> {
    /// Who asks exactly so shares the error too.
    question: Key,
    state: Mutex<State<T, E>>,
    changed: Condvar,
}

#[derive(Debug)]
enum State<T, E> {
    Running,
    Done(Result<T, E>),
    /// Whoever did the work went away without a result.
    Abandoned,
}

impl<T: Clone, E: Clone> Once<T, E> {
    pub(super) fn new() -> Self {
        Self { running: Mutex::new(HashMap::new()) }
    }

    /// Does `work`, or waits for another who does it under the same `key` and takes the result. An
    /// error is taken only from who asked the same `question`; otherwise the work is done again.
    pub(super) fn run(&self, key: Key, question: Key, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        loop {
            let run = {
                let mut running = lock(&self.running);
                match running.get(&key) {
                    Some(run) => Arc::clone(run),
                    None => {
                        let state = Mutex::new(State::Running);
                        let run = Arc::new(Run { question, state, changed: Condvar::new() });
                        running.insert(key, Arc::clone(&run));
                        drop(running);
                        let mut leader = Leader { once: self, key, run, outcome: State::Abandoned };
                        let outcome = work();
                        leader.outcome = State::Done(outcome.clone());
                        return outcome;
                    }
                }
            };
            let mut state = lock(&run.state);
            while matches!(*state, State::Running) {
                state = run.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            match &*state {
                State::Done(Ok(result)) => return Ok(result.clone()),
                State::Done(Err(error)) if run.question == question => return Err(error.clone()),
                _ => {}
            }
        }
    }
}

/// Tells the others when the work is done, also when it panics.
struct Leader<'a, T, E> {
    once: &'a Once<T, E>,
    key: Key,
    run: Arc<Run<T, E>>,
    outcome: State<T, E>,
}

impl<T, E> Drop for Leader<'_, T, E> {
    fn drop(&mut self) {
        lock(&self.once.running).remove(&self.key);
        *lock(&self.run.state) = std::mem::replace(&mut self.outcome, State::Abandoned);
        self.run.changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn count_runs(questions: [&str; 4], outcome: Result<u8, u8>) -> usize {
        let once = Once::new();
        let runs = AtomicUsize::new(0);
        let key = Key::of(&[b"key"]);
        let work = || {
            let others = questions.len() - 1 - runs.fetch_add(1, Ordering::SeqCst);
            // All who have no answer yet hold the run, besides the map and who works.
            let holders = || lock(&once.running).get(&key).map_or(0, Arc::strong_count);
            while holders() < 2 + others {
                std::thread::yield_now();
            }
            outcome
        };
        let ask = |question: &str| once.run(key, Key::of(&[question.as_bytes()]), work);
        std::thread::scope(|scope| {
            for question in questions {
                scope.spawn(move || assert_eq!(ask(question), outcome));
            }
        });
        assert!(lock(&once.running).is_empty());
        runs.load(Ordering::SeqCst)
    }

    #[test]
    fn the_work_is_done_once() {
        assert_eq!(count_runs(["a", "a", "a", "a"], Ok(1)), 1);
        assert_eq!(count_runs(["a", "b", "c", "d"], Ok(1)), 1);
    }

    #[test]
    fn an_error_is_shared_by_those_who_asked_the_same() {
        assert_eq!(count_runs(["a", "a", "a", "a"], Err(1)), 1);
        assert_eq!(count_runs(["a", "b", "c", "d"], Err(1)), 4);
    }

    #[test]
    fn who_panics_leaves_the_work_to_the_next() {
        let once: Once<u8, u8> = Once::new();
        let key = Key::of(&[]);
        let panics = || once.run(key, key, || std::panic::panic_any("test"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
        assert_eq!(once.run(key, key, || Ok(7)), Ok(7));
    }
}
