//! The bounded pool of threads that runs guest code.
//!
//! Guest calls hold a processor until they end, so they never run on the threads that serve
//! connections, and they need a native stack of [`vivarium_runtime::WORKER_STACK_BYTES`]. Jobs wait
//! in one queue per tenant; the threads take them in turns, one tenant after the other, so that a
//! tenant with a thousand jobs delays another tenant's next job by at most one job per thread.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

/// A pool of worker threads. Dropping it lets running jobs end, forgets waiting ones and joins
/// the threads.
#[derive(Debug)]
pub struct WorkerPool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
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

#[derive(Debug)]
struct Shared {
    queues: Mutex<Queues>,
    wake: Condvar,
    max_queued: usize,
}

#[derive(Default)]
struct Queues {
    /// Never holds an empty queue.
    by_tenant: HashMap<String, VecDeque<Job>>,
    /// The tenants of `by_tenant`, each once, in the order in which they get their turn.
    turns: VecDeque<String>,
    queued: usize,
    closed: bool,
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Queues").field("turns", &self.turns).field("queued", &self.queued).finish()
    }
}

impl Queues {
    fn push(&mut self, tenant: &str, job: Job) {
        self.queued += 1;
        if let Some(queue) = self.by_tenant.get_mut(tenant) {
            queue.push_back(job);
            return;
        }
        self.by_tenant.insert(tenant.to_owned(), VecDeque::from([job]));
        self.turns.push_back(tenant.to_owned());
    }

    fn pop(&mut self) -> Option<Job> {
        let tenant = self.turns.pop_front()?;
        let queue = self.by_tenant.get_mut(&tenant)?;
        let job = queue.pop_front();
        if queue.is_empty() {
            self.by_tenant.remove(&tenant);
        } else {
            self.turns.push_back(tenant);
        }
        self.queued = self.queued.saturating_sub(1);
        job
    }
}

impl Shared {
    /// No code that can panic runs under this lock, so a poisoned lock is as good as a whole one.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job, or nothing once the pool is closed.
    fn next(&self) -> Option<Job> {
        let mut queues = self.lock();
        loop {
            if queues.closed {
                return None;
            }
            if let Some(job) = queues.pop() {
                return Some(job);
            }
            queues = self.wake.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl WorkerPool {
    /// Starts `threads` threads named `name`, each with a native stack of `stack_bytes`. At most
    /// `max_queued` jobs wait.
    ///
    /// # Errors
    /// When the operating system refuses a thread.
    pub fn start(
        name: &str,
        threads: usize,
        stack_bytes: usize,
        max_queued: usize,
    ) -> std::io::Result<WorkerPool> {
        let shared =
            Arc::new(Shared { queues: Mutex::new(Queues::default()), wake: Condvar::new(), max_queued });
        let mut pool = WorkerPool { shared, threads: Vec::with_capacity(threads) };
        for index in 0..threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new()
                .name(format!("{name}-{index}"))
                .stack_size(stack_bytes)
                .spawn(move || work(&shared))?;
            pool.threads.push(thread);
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
            std::mem::take(&mut queues.by_tenant)
        };
        self.shared.wake.notify_all();
        // Outside the lock: dropping a job may run code that looks at this pool.
        drop(forgotten);
        let own = thread::current().id();
        for worker in self.threads.drain(..) {
            // A job may hold the last handle to its own pool; a thread cannot join itself.
            if worker.thread().id() != own && worker.join().is_err() {
                tracing::error!("a worker thread ended in a panic");
            }
        }
    }
}

fn work(shared: &Shared) {
    while let Some(job) = shared.next() {
        // A panic is a defect of ours; it costs the job that met it, never the thread. What the job
        // had captured is dropped by the unwinding, so nothing half-changed stays reachable.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!("a job panicked on a worker");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: usize = 256 * 1024;

    fn pool(threads: usize, max_queued: usize) -> WorkerPool {
        WorkerPool::start("test", threads, STACK, max_queued).unwrap()
    }

    /// Occupies the pool's only thread until the returned sender is dropped or used.
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
        let dropper = thread::spawn(move || drop(pool));
        assert!(receiver.await.is_err(), "the waiting job was dropped");
        drop(release);
        dropper.join().unwrap();
    }
}
