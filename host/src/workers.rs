//! The bounded pool of threads that runs guest code.
//!
//! Guest calls hold a processor until they end, so they never run on the threads that serve
//! connections, and they need a native stack of [`vivarium_runtime::WORKER_STACK_BYTES`]. Jobs wait
//! in one queue per tenant, and the threads take them in turns, one tenant after the other. One
//! tenant never holds more than its share of the threads: calls that only a deadline ends would
//! otherwise hold them all. With more threads than processors, it is then the operating system that
//! divides time between the calls that run.

use std::collections::{HashMap, VecDeque};
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
    wake: Condvar,
    max_queued: usize,
}

struct Queues {
    /// The tenants that have jobs, waiting or running.
    tenants: HashMap<String, Tenant>,
    /// The tenants that have a job waiting and may run one more, each once, in the order in which
    /// they get their turn.
    turns: VecDeque<String>,
    threads_of_tenant: usize,
    queued: usize,
    closed: bool,
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
        if tenant.waiting.len() == 1 && tenant.running < self.threads_of_tenant {
            self.turns.push_back(name.to_owned());
        }
    }

    fn pop(&mut self) -> Option<(String, Job)> {
        let name = self.turns.pop_front()?;
        let tenant = self.tenants.get_mut(&name)?;
        let job = tenant.waiting.pop_front()?;
        tenant.running += 1;
        if !tenant.waiting.is_empty() && tenant.running < self.threads_of_tenant {
            self.turns.push_back(name.clone());
        }
        self.queued = self.queued.saturating_sub(1);
        Some((name, job))
    }

    /// Whether the end of a job lets another one of its tenant run.
    fn end(&mut self, name: String) -> bool {
        let Some(tenant) = self.tenants.get_mut(&name) else {
            return false;
        };
        let was_held_back = tenant.running == self.threads_of_tenant && !tenant.waiting.is_empty();
        tenant.running = tenant.running.saturating_sub(1);
        if was_held_back {
            self.turns.push_back(name);
        } else if tenant.running == 0 && tenant.waiting.is_empty() {
            self.tenants.remove(&name);
        }
        was_held_back
    }
}

impl Shared {
    /// No code that can panic runs under this lock, so a poisoned lock is as good as a whole one.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job and its tenant, or nothing once the pool is closed.
    fn next(&self) -> Option<(String, Job)> {
        let mut queues = self.lock();
        loop {
            if queues.closed {
                return None;
            }
            if let Some(next) = queues.pop() {
                return Some(next);
            }
            queues = self.wake.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl WorkerPool {
    /// Starts the threads, named `name` and a number.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start(name: &str, size: PoolSize) -> std::io::Result<WorkerPool> {
        let queues = Queues {
            tenants: HashMap::new(),
            turns: VecDeque::new(),
            threads_of_tenant: size.threads_of_tenant.max(1),
            queued: 0,
            closed: false,
        };
        let shared = Shared { queues: Mutex::new(queues), wake: Condvar::new(), max_queued: size.max_queued };
        // From here on, an early return closes the pool and so ends the threads started by then.
        let pool = WorkerPool { shared: Arc::new(shared) };
        for index in 0..size.threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            thread::Builder::new()
                .name(format!("{name}-{index}"))
                .stack_size(size.stack_bytes)
                .spawn(move || work(&shared))?;
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
        if queues.queued >= self.shared.max_queued {
            return Err(WorkerError::QueueFull { limit: self.shared.max_queued });
        }
        queues.push(tenant, Box::new(job));
        drop(queues);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Number of jobs that wait for a thread.
    pub fn queued(&self) -> usize {
        self.shared.lock().queued
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
        // Outside the lock: dropping a job may run code that looks at this pool.
        drop(forgotten);
    }
}

fn work(shared: &Shared) {
    while let Some((tenant, job)) = shared.next() {
        // A panic is a defect of ours; it costs the job that met it, never the thread. What the job
        // had captured is dropped by the unwinding, so nothing half-changed stays reachable.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!(tenant, "a job panicked on a worker");
        }
        if shared.lock().end(tenant) {
            shared.wake.notify_one();
        }
    }
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
