//! The bounded pool of threads that runs guest code.
//!
//! Guest calls hold a processor until they end, so they never run on the threads that serve
//! connections, and they need a native stack of [`vivarium_runtime::WORKER_STACK_BYTES`]. Jobs wait
//! in one queue per tenant, and the threads take them in turns, one tenant after the other. One
//! tenant never holds more than its share of the threads: calls that only a deadline ends would
//! otherwise hold them all. With more threads than processors, it is then the operating system that
//! divides time between the calls that run.
//!
//! A job that must wait for its client in the middle of a call steps aside ([`Place::step_aside`]):
//! it keeps its thread and the guest on it, and another thread takes its place until it comes back.
//! Threads beyond the pool's size exist only for jobs that have stepped aside, so their number is
//! bounded by that of the sessions.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

/// A pool of worker threads. Dropping it forgets waiting jobs; running ones end in their own time,
/// and the threads with them.
#[derive(Debug)]
pub struct WorkerPool {
    shared: Arc<Shared>,
}

/// Why a job did not bring a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// Too many jobs are waiting already.
    #[error("{limit} batches are waiting for a worker already (limit server.max_queued_jobs)")]
    QueueFull {
        /// Most jobs that may wait.
        limit: usize,
    },
    /// The job panicked, or the pool was shut down before the job ran.
    #[error("the worker gave up the job")]
    Lost,
}

type Job = Box<dyn FnOnce() + Send>;

/// Size of a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolSize {
    /// Threads, at least one.
    pub threads: usize,
    /// Threads that one tenant may hold at the same time, at least one.
    pub threads_of_tenant: usize,
    /// Native stack of a thread, in bytes.
    pub stack_bytes: usize,
    /// Jobs that may wait.
    pub max_queued: usize,
}

#[derive(Debug)]
struct Shared {
    queues: Mutex<Queues>,
    /// Wakes threads that wait for a job.
    wake: Condvar,
    /// Wakes jobs that wait to come back.
    back: Condvar,
    name: String,
    size: PoolSize,
}

/// A job's place among those that run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Place {
    shared: Arc<Shared>,
    tenant: String,
}

struct Queues {
    /// The tenants that have jobs, waiting or running.
    tenants: HashMap<String, Tenant>,
    /// The tenants that have a job waiting and may run one more, each once, in the order in which
    /// they get their turn.
    turns: VecDeque<String>,
    size: PoolSize,
    queued: usize,
    closed: bool,
    /// Threads of the pool, with those whose jobs have stepped aside.
    threads: usize,
    /// Jobs that run, without those that have stepped aside.
    running: usize,
    /// Jobs that have stepped aside.
    aside: usize,
    /// Those of them that want to come back, in order: tenant and number.
    returning: VecDeque<(String, u64)>,
    /// Those that may.
    returned: HashSet<u64>,
    next_return: u64,
}

#[derive(Default)]
struct Tenant {
    waiting: VecDeque<Job>,
    running: usize,
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Queues").field("turns", &self.turns).field("queued", &self.queued).finish()
    }
}

impl Queues {
    fn push(&mut self, name: &str, job: Job) {
        self.queued += 1;
        let tenant = self.tenants.entry(name.to_owned()).or_default();
        tenant.waiting.push_back(job);
        if tenant.waiting.len() == 1 && tenant.running < self.size.threads_of_tenant {
            self.turns.push_back(name.to_owned());
        }
    }

    fn pop(&mut self) -> Option<(String, Job)> {
        if self.running >= self.size.threads {
            return None;
        }
        let name = self.turns.pop_front()?;
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

    /// A job ends or steps aside: lets others of its tenant have their turn, and those that want
    /// to come back do so.
    fn leave(&mut self, name: &str) {
        self.running = self.running.saturating_sub(1);
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

    /// The number of a thread that is missing: a job may run, and every thread is taken.
    fn missing_thread(&mut self) -> Option<usize> {
        let missing = !self.closed
            && !self.turns.is_empty()
            && self.running < self.size.threads
            && self.threads <= self.running + self.aside;
        missing.then(|| {
            self.threads += 1;
            self.threads
        })
    }
}

impl Shared {
    /// No code that can panic runs under this lock, so a poisoned lock is as good as a whole one.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job and its tenant, or nothing once the thread has to end.
    fn next(self: &Arc<Self>) -> Option<(String, Job)> {
        let mut queues = self.lock();
        loop {
            if queues.closed {
                return None;
            }
            if let Some(next) = queues.pop() {
                let missing = queues.missing_thread();
                drop(queues);
                self.add_thread(missing);
                return Some(next);
            }
            if queues.threads > self.size.threads + queues.aside {
                return None;
            }
            queues = self.wake.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Starts what [`Queues::missing_thread`] gave.
    fn add_thread(self: &Arc<Self>, missing: Option<usize>) {
        if let Some(index) = missing
            && let Err(error) = self.spawn(index)
        {
            // Waiting jobs wait for those that run, as in a smaller pool.
            tracing::warn!(%error, "no thread to take the place of a job that waits");
            self.lock().threads -= 1;
        }
    }

    fn spawn(self: &Arc<Self>, index: usize) -> std::io::Result<()> {
        let shared = Arc::clone(self);
        let thread = thread::Builder::new()
            .name(format!("{}-{index}", self.name))
            .stack_size(self.size.stack_bytes)
            .spawn(move || work(&shared));
        thread.map(drop)
    }
}

impl Place {
    /// Waits for something that is not the guest's to compute, while another job may run. Comes
    /// back when there is a place again; then the job goes on where it was.
    ///
    /// Must be called on the job's own thread.
    pub fn step_aside<T>(&self, wait: impl FnOnce() -> T) -> T {
        let missing = {
            let mut queues = self.shared.lock();
            queues.aside += 1;
            queues.leave(&self.tenant);
            queues.missing_thread()
        };
        self.shared.back.notify_all();
        self.shared.wake.notify_one();
        self.shared.add_thread(missing);
        let _aside = Aside(self);
        wait()
    }

    fn come_back(&self) {
        let mut queues = self.shared.lock();
        let number = queues.next_return;
        queues.next_return += 1;
        queues.returning.push_back((self.tenant.clone(), number));
        queues.let_return();
        while !queues.returned.remove(&number) {
            if queues.closed {
                break;
            }
            queues = self.shared.back.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Brings a job back, also when its waiting panicked.
struct Aside<'a>(&'a Place);

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.0.come_back();
    }
}

impl WorkerPool {
    /// Starts the threads, named `name` and a number.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start(name: &str, size: PoolSize) -> std::io::Result<WorkerPool> {
        let threads = size.threads.max(1);
        let size = PoolSize { threads, threads_of_tenant: size.threads_of_tenant.max(1), ..size };
        let queues = Queues {
            tenants: HashMap::new(),
            turns: VecDeque::new(),
            size,
            queued: 0,
            closed: false,
            threads,
            running: 0,
            aside: 0,
            returning: VecDeque::new(),
            returned: HashSet::new(),
            next_return: 0,
        };
        let shared = Shared {
            queues: Mutex::new(queues),
            wake: Condvar::new(),
            back: Condvar::new(),
            name: name.to_owned(),
            size,
        };
        // From here on, an early return closes the pool and so ends the threads started by then.
        let pool = WorkerPool { shared: Arc::new(shared) };
        for index in 0..threads {
            pool.shared.spawn(index)?;
        }
        Ok(pool)
    }

    /// Queues a job of a tenant and waits for its result.
    ///
    /// Dropping the returned future does not take the job back: it still runs, and its result is
    /// dropped on the worker.
    ///
    /// # Errors
    /// [`WorkerError`]: the queue is full, or the job panicked.
    pub async fn run<T, F>(&self, tenant: &str, job: F) -> Result<T, WorkerError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.submit(tenant, move || drop(sender.send(job())))?;
        receiver.await.map_err(|_| WorkerError::Lost)
    }

    /// Queues a job of a tenant without waiting for it.
    ///
    /// # Errors
    /// [`WorkerError::QueueFull`], or [`WorkerError::Lost`] when the pool is shutting down.
    pub fn submit(&self, tenant: &str, job: impl FnOnce() + Send + 'static) -> Result<(), WorkerError> {
        let mut queues = self.shared.lock();
        if queues.closed {
            return Err(WorkerError::Lost);
        }
        let limit = self.shared.size.max_queued;
        if queues.queued >= limit {
            return Err(WorkerError::QueueFull { limit });
        }
        queues.push(tenant, Box::new(job));
        let missing = queues.missing_thread();
        drop(queues);
        self.shared.wake.notify_one();
        self.shared.add_thread(missing);
        Ok(())
    }

    /// The place of a job of `tenant`, for the job itself.
    pub fn place(&self, tenant: &str) -> Place {
        Place { shared: Arc::clone(&self.shared), tenant: tenant.to_owned() }
    }

    /// Number of jobs that wait for a thread.
    pub fn queued(&self) -> usize {
        self.shared.lock().queued
    }

    /// Jobs that wait for a thread, and that run on one.
    pub fn jobs(&self) -> (u64, u64) {
        let queues = self.shared.lock();
        (queues.queued as u64, queues.running as u64)
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        let forgotten = {
            let mut queues = self.shared.lock();
            queues.closed = true;
            queues.queued = 0;
            queues.turns.clear();
            std::mem::take(&mut queues.tenants)
        };
        self.shared.wake.notify_all();
        self.shared.back.notify_all();
        // Outside the lock: dropping a job may run code that looks at this pool.
        drop(forgotten);
    }
}

fn work(shared: &Arc<Shared>) {
    while let Some((tenant, job)) = shared.next() {
        // A panic is a defect of ours; it costs the job that met it, never the thread. What the job
        // had captured is dropped by the unwinding, so nothing half-changed stays reachable.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!(tenant, "a job panicked on a worker");
        }
        shared.lock().leave(&tenant);
        // This thread looks for the next job itself; another one may have become possible as well.
        shared.wake.notify_one();
        shared.back.notify_all();
    }
    shared.lock().threads -= 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: usize = 256 * 1024;

    fn pool(threads: usize, max_queued: usize) -> WorkerPool {
        pool_with_share(threads, threads, max_queued)
    }

    fn pool_with_share(threads: usize, threads_of_tenant: usize, max_queued: usize) -> WorkerPool {
        let size = PoolSize { threads, threads_of_tenant, stack_bytes: STACK, max_queued };
        WorkerPool::start("test", size).unwrap()
    }

    /// Occupies a thread of the pool until the returned sender is dropped or used.
    async fn block(pool: &WorkerPool) -> std::sync::mpsc::Sender<()> {
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let (started, running) = oneshot::channel();
        pool.submit("blocker", move || {
            let _ = started.send(());
            let _ = wait.recv();
        })
        .unwrap();
        running.await.unwrap();
        release
    }

    #[tokio::test]
    async fn results_come_back() {
        assert_eq!(pool(2, 10).run("a", || 6 * 7).await, Ok(42));
    }

    #[tokio::test]
    async fn a_panic_costs_its_job_only() {
        let pool = pool(1, 10);
        let lost = pool.run("a", || -> i32 { panic!("on purpose") }).await;
        assert_eq!(lost, Err(WorkerError::Lost));
        assert_eq!(pool.run("a", || 1).await, Ok(1));
    }

    #[tokio::test]
    async fn tenants_take_turns() {
        let pool = pool(1, 100);
        let release = block(&pool).await;
        let (sender, order) = std::sync::mpsc::channel();
        for (tenant, label) in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1"), ("c", "c1"), ("b", "b2")]
        {
            let sender = sender.clone();
            pool.submit(tenant, move || sender.send(label).unwrap()).unwrap();
        }
        drop((sender, release));
        assert_eq!(order.iter().collect::<Vec<_>>(), ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[tokio::test]
    async fn a_tenant_never_holds_more_than_its_share_of_the_threads() {
        let pool = pool_with_share(3, 2, 10);
        let (first, second) = (block(&pool).await, block(&pool).await);
        let (started, running) = oneshot::channel();
        pool.submit("blocker", move || started.send(()).unwrap()).unwrap();
        assert_eq!(pool.run("other", || 1).await, Ok(1), "one thread is left for others");
        assert_eq!(pool.queued(), 1, "the third job waits for a place of its tenant");
        drop(first);
        running.await.unwrap();
        drop(second);
        assert_eq!(pool.run("blocker", || 2).await, Ok(2));
    }

    /// Occupies a thread of the pool, and steps aside until the returned sender is dropped.
    async fn wait_aside(pool: &WorkerPool, tenant: &'static str) -> std::sync::mpsc::Sender<()> {
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let (started, running) = oneshot::channel();
        let place = pool.place(tenant);
        pool.submit(tenant, move || {
            place.step_aside(|| {
                let _ = started.send(());
                let _ = wait.recv();
            });
        })
        .unwrap();
        running.await.unwrap();
        release
    }

    #[tokio::test]
    async fn jobs_that_wait_take_no_place_from_others() {
        let pool = pool_with_share(2, 1, 100);
        let mut aside = Vec::new();
        for tenant in ["a", "a", "a", "b", "b", "c"] {
            aside.push(wait_aside(&pool, tenant).await);
        }
        assert_eq!(pool.run("a", || 1).await, Ok(1));
        drop(aside);
        assert_eq!(pool.run("b", || 2).await, Ok(2));
        // All places are given back, and the threads that took them are gone.
        let at_rest = || {
            let queues = pool.shared.lock();
            (queues.running, queues.aside, queues.tenants.len(), queues.returned.len(), queues.threads)
        };
        while at_rest() != (0, 0, 0, 0, 2) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_comes_back_waits_for_a_place() {
        let pool = pool_with_share(1, 1, 100);
        let aside = wait_aside(&pool, "a").await;
        let release = block(&pool).await;
        drop(aside);
        while pool.shared.lock().returning.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.shared.lock().running, 1);
        let last = pool.run("b", || 3);
        drop(release);
        assert_eq!(last.await, Ok(3));
        assert_eq!(pool.shared.lock().aside, 0, "it came back before a new job began");
    }

    #[tokio::test]
    async fn a_panic_while_aside_leaves_the_pool_whole() {
        let pool = pool(1, 10);
        let place = pool.place("a");
        let lost = pool.run("a", move || place.step_aside(|| -> i32 { panic!("on purpose") })).await;
        assert_eq!(lost, Err(WorkerError::Lost));
        assert_eq!(pool.run("a", || 1).await, Ok(1));
    }

    #[tokio::test]
    async fn tenants_are_forgotten_when_they_have_no_jobs() {
        let pool = pool(2, 10);
        for tenant in ["a", "b", "c"] {
            pool.run(tenant, || ()).await.unwrap();
        }
        while !pool.shared.lock().tenants.is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn the_queue_is_bounded() {
        let pool = pool(1, 2);
        let release = block(&pool).await;
        pool.submit("a", || ()).unwrap();
        pool.submit("a", || ()).unwrap();
        assert_eq!(pool.submit("b", || ()), Err(WorkerError::QueueFull { limit: 2 }));
        assert_eq!(pool.queued(), 2);
        drop(release);
        while pool.queued() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run("b", || 2).await, Ok(2));
    }

    #[tokio::test]
    async fn dropping_the_pool_forgets_waiting_jobs() {
        let pool = pool(1, 10);
        let release = block(&pool).await;
        let (sender, receiver) = oneshot::channel::<()>();
        pool.submit("a", move || sender.send(()).unwrap()).unwrap();
        drop(pool);
        assert!(receiver.await.is_err(), "the waiting job was dropped");
        drop(release);
    }
}
