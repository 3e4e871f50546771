//! Who runs next: the jobs that wait, and the places that running ones hold.

use std::collections::{HashMap, HashSet, VecDeque};

use super::{Job, PoolSize};

/// The state of a pool.
pub(super) struct Queues {
    /// The tenants that have jobs, waiting or running.
    tenants: HashMap<String, Tenant>,
    /// The tenants that have a job waiting and may run one more, each once, in the order in which
    /// they get their turn.
    turns: VecDeque<String>,
    size: PoolSize,
    pub(super) queued: usize,
    pub(super) closed: bool,
    /// Threads of the pool, with those whose jobs hold no place, and those that are asked for.
    pub(super) threads: usize,
    /// Threads that shall be started.
    pub(super) asked_threads: usize,
    /// Jobs that hold a place.
    pub(super) running: usize,
    /// Jobs that run without a place, because they have run for long.
    pub(super) long: usize,
    /// Jobs that have stepped aside.
    pub(super) aside: usize,
    /// Those of them that want to come back, in order: tenant and number.
    returning: VecDeque<(String, u64)>,
    /// Those that may.
    returned: HashSet<u64>,
    next_return: u64,
}

#[derive(Default)]
struct Tenant {
    waiting: VecDeque<Job>,
    /// Jobs that hold a place or have run for long.
    running: usize,
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Queues").field("turns", &self.turns).field("queued", &self.queued).finish()
    }
}

impl Queues {
    /// The state of a pool whose threads are about to be started.
    pub(super) fn new(size: PoolSize) -> Self {
        Self {
            tenants: HashMap::new(),
            turns: VecDeque::new(),
            size,
            queued: 0,
            closed: false,
            threads: size.threads,
            asked_threads: 0,
            running: 0,
            long: 0,
            aside: 0,
            returning: VecDeque::new(),
            returned: HashSet::new(),
            next_return: 0,
        }
    }

    pub(super) fn push(&mut self, name: &str, job: Job) {
        self.queued += 1;
        let tenant = self.tenants.entry(name.to_owned()).or_default();
        tenant.waiting.push_back(job);
        if tenant.waiting.len() == 1 && tenant.running < self.size.threads_of_tenant {
            self.turns.push_back(name.to_owned());
        }
    }

    pub(super) fn pop(&mut self) -> Option<(String, Job)> {
        if self.running >= self.size.threads {
            return None;
        }
        // Whoever has nothing running goes before those who would get a second thread.
        let is_idle = |name: &String| self.tenants.get(name).is_some_and(|tenant| tenant.running == 0);
        let at = self.turns.iter().position(is_idle).unwrap_or(0);
        let name = self.turns.remove(at)?;
        let tenant = self.tenants.get_mut(&name)?;
        let job = tenant.waiting.pop_front()?;
        tenant.running += 1;
        self.running += 1;
        if !tenant.waiting.is_empty() && tenant.running < self.size.threads_of_tenant {
            self.turns.push_back(name.clone());
        }
        self.queued = self.queued.saturating_sub(1);
        Some((name, job))
    }

    /// Whether a job waits that may run now.
    pub(super) fn has_next(&self) -> bool {
        !self.turns.is_empty() && self.running < self.size.threads
    }

    /// Whether a job that wanted to come back may, and has not seen it yet.
    pub(super) fn has_returned(&self) -> bool {
        !self.returned.is_empty()
    }

    /// Whether more threads look for jobs than there are places.
    pub(super) fn has_surplus_thread(&self) -> bool {
        self.threads > self.size.threads + self.aside + self.long
    }

    /// A job has run for long: its place is free for others, its tenant's is not.
    pub(super) fn give_up_place(&mut self) {
        self.running = self.running.saturating_sub(1);
        self.long += 1;
        self.let_return();
    }

    /// A job ends or steps aside: lets others of its tenant have their turn, and those that want
    /// to come back do so.
    pub(super) fn leave(&mut self, name: &str, had_place: bool) {
        let of_its_sort = if had_place { &mut self.running } else { &mut self.long };
        *of_its_sort = of_its_sort.saturating_sub(1);
        let share = self.size.threads_of_tenant;
        if let Some(tenant) = self.tenants.get_mut(name) {
            let was_held_back = tenant.running == share && !tenant.waiting.is_empty();
            tenant.running = tenant.running.saturating_sub(1);
            if was_held_back {
                self.turns.push_back(name.to_owned());
            } else if tenant.running == 0 && tenant.waiting.is_empty() {
                self.tenants.remove(name);
            }
        }
        self.let_return();
    }

    /// Asks for a place for a job that has stepped aside, and returns the number by which
    /// [`Queues::take_return`] knows it.
    pub(super) fn ask_to_return(&mut self, name: &str) -> u64 {
        let number = self.next_return;
        self.next_return += 1;
        self.returning.push_back((name.to_owned(), number));
        self.let_return();
        number
    }

    /// Whether the job has got its place.
    pub(super) fn take_return(&mut self, number: u64) -> bool {
        self.returned.remove(&number)
    }

    /// Gives free places to jobs that want to come back. They go before jobs that have not begun,
    /// which hold no sandbox.
    fn let_return(&mut self) {
        let mut waiting = std::mem::take(&mut self.returning);
        waiting.retain(|(name, number)| {
            let tenant = self.tenants.entry(name.clone()).or_default();
            let free = self.running < self.size.threads && tenant.running < self.size.threads_of_tenant;
            if free {
                tenant.running += 1;
                self.running += 1;
                self.aside = self.aside.saturating_sub(1);
                self.returned.insert(*number);
                if tenant.running == self.size.threads_of_tenant {
                    self.turns.retain(|turn| turn != name);
                }
            }
            !free
        });
        self.returning = waiting;
    }

    /// Asks for one more thread if a job may run and every thread is taken.
    pub(super) fn ask_for_thread(&mut self) -> bool {
        let is_missing =
            !self.closed && self.has_next() && self.threads <= self.running + self.aside + self.long;
        if is_missing {
            self.threads += 1;
            self.asked_threads += 1;
        }
        is_missing
    }

    /// No job begins any more. Returns those that wait, to be dropped.
    pub(super) fn close(&mut self) -> impl Sized + use<> {
        self.closed = true;
        self.queued = 0;
        self.turns.clear();
        std::mem::take(&mut self.tenants)
    }

    /// Tenants that have jobs, jobs that run or have stepped aside, and returns that nobody has seen.
    #[cfg(test)]
    pub(super) fn at_rest(&self) -> bool {
        let jobs = self.running + self.long + self.aside + self.queued;
        self.tenants.is_empty() && self.returned.is_empty() && jobs == 0
    }

    /// Whether nobody waits to come back.
    #[cfg(test)]
    pub(super) fn nobody_returns(&self) -> bool {
        self.returning.is_empty()
    }
}
