//! Who runs next: the jobs that wait, and the places that running ones hold.
//!
//! The threads' time is divided between tenants by start-time fair queueing. A virtual clock shows the time
//! that a tenant with always something to do has been given. A tenant's next job gets a tag: where the clock
//! is, or, if it has had more, how much it has had; and the lowest tag is next. Whoever uses little is thus
//! always behind the clock, and waits for nobody but those that run: not even for them, as long as there are
//! express places.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::{Job, PoolSize};

/// How far behind the clock a tenant may fall by not using its share: what it may then use at once.
const CREDIT: Duration = Duration::from_millis(20);

/// How far behind the clock a tenant must be to get an express place.
const EXPRESS: Duration = Duration::from_millis(10);

/// How far ahead of the clock one long job can bring its tenant, which waits so long for others at most.
const DEBT: Duration = Duration::from_millis(200);

/// The state of a pool.
pub(super) struct Queues {
    /// The tenants that have jobs, waiting or running, and those that had some since the pool was at rest.
    tenants: HashMap<String, Tenant>,
    /// The tenants that have a job waiting and may run one more, each once, in the order in which
    /// they get their turn.
    turns: BTreeMap<Turn, String>,
    next_turn: u64,
    /// The virtual time.
    clock: Duration,
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
    /// What it has had, on the virtual clock.
    had: Duration,
    /// Its turn, if it has one.
    turn: Option<Turn>,
}

/// A tenant's place in the order of turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    /// Whoever has nothing running goes before those who would get a second thread.
    is_second: bool,
    tag: Duration,
    /// Among equals, who came first.
    number: u64,
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
            turns: BTreeMap::new(),
            next_turn: 0,
            clock: CREDIT,
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
        self.tenants.entry(name.to_owned()).or_default().waiting.push_back(job);
        self.arrange(name);
    }

    pub(super) fn pop(&mut self) -> Option<(String, Job)> {
        if !self.has_next() {
            return None;
        }
        let (turn, name) = self.turns.pop_first()?;
        let tenant = self.tenants.get_mut(&name)?;
        tenant.turn = None;
        tenant.had = turn.tag;
        let job = tenant.waiting.pop_front()?;
        tenant.running += 1;
        self.clock = self.clock.max(turn.tag);
        self.running += 1;
        self.queued = self.queued.saturating_sub(1);
        self.arrange(&name);
        Some((name, job))
    }

    /// Whether a job waits that may run now.
    pub(super) fn has_next(&self) -> bool {
        let first = self.turns.first_key_value();
        first.is_some_and(|(turn, _)| self.has_place(turn.tag, turn.is_second))
    }

    /// Whether a job with this tag may run now: one of a tenant that has had little, and has nothing
    /// running, also beside those that hold all ordinary places.
    fn has_place(&self, tag: Duration, is_second: bool) -> bool {
        let is_light = !is_second && tag + EXPRESS <= self.clock;
        self.running < self.size.threads + if is_light { self.size.express } else { 0 }
    }

    /// Gives a tenant the turn that it should have now.
    fn arrange(&mut self, name: &str) {
        let Some(tenant) = self.tenants.get_mut(name) else { return };
        let before = tenant.turn.take();
        if let Some(turn) = before {
            self.turns.remove(&turn);
        }
        if tenant.waiting.is_empty() || tenant.running >= self.size.threads_of_tenant {
            return;
        }
        let number = before.map_or(self.next_turn, |turn| turn.number);
        self.next_turn += u64::from(before.is_none());
        // What it had is known better now than when it came.
        let tag = tenant.had.max(before.map_or(self.clock.saturating_sub(CREDIT), |turn| turn.tag));
        let turn = Turn { is_second: tenant.running > 0, tag, number };
        tenant.turn = Some(turn);
        self.turns.insert(turn, name.to_owned());
    }

    /// Whether a job that wanted to come back may, and has not seen it yet.
    pub(super) fn has_returned(&self) -> bool {
        !self.returned.is_empty()
    }

    /// Whether more threads look for jobs than there are places.
    pub(super) fn has_surplus_thread(&self) -> bool {
        self.threads > self.size.threads + self.size.express + self.aside + self.long
    }

    /// A job has run for long: its place is free for others, its tenant's is not.
    pub(super) fn give_up_place(&mut self) {
        self.running = self.running.saturating_sub(1);
        self.long += 1;
        self.let_return();
    }

    /// A job ends or steps aside after it `took` so long: lets others of its tenant have their turn, and
    /// those that want to come back do so.
    pub(super) fn leave(&mut self, name: &str, had_place: bool, took: Duration) {
        let of_its_sort = if had_place { &mut self.running } else { &mut self.long };
        *of_its_sort = of_its_sort.saturating_sub(1);
        if let Some(tenant) = self.tenants.get_mut(name) {
            tenant.running = tenant.running.saturating_sub(1);
            tenant.had = tenant.had.saturating_add(took).min(self.clock + DEBT);
        }
        self.arrange(name);
        self.let_return();
        if self.running + self.long + self.aside + self.queued == 0 {
            // Nobody waits for anybody: what tenants had matters no more.
            self.tenants.clear();
            self.clock = CREDIT;
        }
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
            let (had, running) = (tenant.had.max(self.clock.saturating_sub(CREDIT)), tenant.running);
            let free = running < self.size.threads_of_tenant && self.has_place(had, running > 0);
            if free {
                if let Some(tenant) = self.tenants.get_mut(name) {
                    tenant.had = had;
                    tenant.running += 1;
                }
                self.running += 1;
                self.aside = self.aside.saturating_sub(1);
                self.returned.insert(*number);
                self.arrange(name);
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

    /// No tenant is known, no job runs or has stepped aside, and there are no returns that nobody has seen.
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

#[cfg(test)]
mod tests {
    use super::*;

    const NO_TIME: Duration = Duration::ZERO;

    fn queues(threads: usize, threads_of_tenant: usize, express: usize) -> Queues {
        let size = PoolSize {
            threads,
            threads_of_tenant,
            express,
            stack_bytes: 0,
            max_queued: 100,
            nice: 0,
            long_job_nice: 0,
        };
        Queues::new(size)
    }

    fn push(queues: &mut Queues, tenants: &[&str]) {
        for tenant in tenants {
            queues.push(tenant, Box::new(|| ()));
        }
    }

    fn next(queues: &mut Queues) -> Option<String> {
        queues.pop().map(|(tenant, _)| tenant)
    }

    /// Runs what waits on one thread, each job for as long as `took` says, and tells the order.
    fn order(queues: &mut Queues, took: impl Fn(&str) -> u64) -> String {
        std::iter::from_fn(|| {
            let tenant = next(queues)?;
            queues.leave(&tenant, true, Duration::from_millis(took(&tenant)));
            Some(tenant)
        })
        .collect()
    }

    #[test]
    fn tenants_take_turns() {
        let mut queues = queues(1, 1, 0);
        push(&mut queues, &["a", "a", "a", "b", "c", "b"]);
        assert_eq!(order(&mut queues, |_| 0), "abcaba");
        push(&mut queues, &["a", "a", "a", "b", "c", "b"]);
        assert_eq!(order(&mut queues, |_| 1), "abcaba");
    }

    #[test]
    fn time_is_divided_not_turns() {
        let mut queues = queues(1, 1, 0);
        push(&mut queues, &["a", "a", "a", "b", "b", "b", "b", "b", "b", "b", "b"]);
        assert_eq!(order(&mut queues, |tenant| if tenant == "a" { 40 } else { 10 }), "abbbbabbbba");
    }

    #[test]
    fn who_has_nothing_running_goes_first() {
        let mut queues = queues(3, 2, 0);
        push(&mut queues, &["a", "a", "b"]);
        assert_eq!([next(&mut queues), next(&mut queues)], ["a", "b"].map(|name| Some(name.to_owned())));
        push(&mut queues, &["c"]);
        assert_eq!(next(&mut queues).as_deref(), Some("c"), "although a's other one came first");
        queues.leave("b", true, Duration::from_millis(100));
        push(&mut queues, &["b"]);
        assert_eq!(next(&mut queues).as_deref(), Some("b"), "although it has had more than a");
        queues.leave("a", true, NO_TIME);
        assert_eq!(next(&mut queues).as_deref(), Some("a"));
    }

    #[test]
    fn who_has_had_little_waits_for_nobody() {
        let mut queues = queues(1, 1, 1);
        // One that has much to do moves the clock.
        push(&mut queues, &["busy"]);
        for _ in 0..5 {
            push(&mut queues, &["busy"]);
            assert_eq!(next(&mut queues).as_deref(), Some("busy"));
            queues.leave("busy", true, Duration::from_millis(30));
        }
        assert_eq!(next(&mut queues).as_deref(), Some("busy"));
        push(&mut queues, &["light", "busy", "another"]);
        assert_eq!(
            next(&mut queues).as_deref(),
            Some("light"),
            "the place is taken, but it has an express one"
        );
        assert_eq!(next(&mut queues), None, "there is one only");
        queues.leave("light", true, Duration::from_millis(15));
        push(&mut queues, &["light"]);
        assert_eq!(next(&mut queues).as_deref(), Some("another"));
        queues.leave("another", true, NO_TIME);
        assert_eq!(next(&mut queues), None, "it has had more than little, and waits like others");
        queues.leave("busy", true, Duration::from_millis(30));
        assert_eq!(next(&mut queues).as_deref(), Some("light"), "but goes first");
        assert_eq!(next(&mut queues), None);
    }

    #[test]
    fn a_long_job_is_forgiven_in_time() {
        let mut queues = queues(1, 1, 0);
        push(&mut queues, &["long", "short"]);
        assert_eq!(next(&mut queues).as_deref(), Some("long"));
        queues.leave("long", true, Duration::from_secs(100));
        push(&mut queues, &["long"]);
        let mut others = 0;
        while next(&mut queues).as_deref() == Some("short") {
            others += 1;
            queues.leave("short", true, Duration::from_millis(10));
            push(&mut queues, &["short"]);
        }
        assert!((20..=23).contains(&others), "{others}");
    }

    #[test]
    fn nothing_is_remembered_at_rest() {
        let mut queues = queues(2, 1, 1);
        push(&mut queues, &["a", "b"]);
        let (a, b) = (next(&mut queues), next(&mut queues));
        assert_eq!((a.as_deref(), b.as_deref()), (Some("a"), Some("b")));
        queues.leave("a", true, Duration::from_millis(100));
        assert!(queues.tenants.contains_key("a"));
        queues.leave("b", true, NO_TIME);
        assert!(queues.at_rest());
        assert_eq!(queues.clock, CREDIT);
    }
}
