//! The bounded pool of threads that runs guest code.
//!
//! Guest calls hold a processor until they end, so they never run on the threads that serve
//! connections, and they need a native stack of [`vivarium_runtime::WORKER_STACK_BYTES`]. Jobs wait
//! in one queue per tenant, and tenants get turns such that each has its share of the threads' time; one
//! that uses less than that gets a turn at once. One tenant never holds more than its share of the threads:
//! calls that only a deadline ends would otherwise hold them all. With more threads than processors, it is
//! then the operating system that divides time between the calls that run.
//!
//! A job that must wait for its client in the middle of a call steps aside ([`Place::step_aside`]):
//! it keeps its thread and the guest on it, and another thread takes its place until it comes back.
//! A job that runs for long gives its place up ([`Place::run_long`]): short ones never wait for it, and
//! its thread falls behind theirs, and behind those that serve connections, in the operating system's
//! order. Threads beyond the pool's size exist only for such jobs, so their number is bounded by that of
//! the sessions.

mod place;
mod queues;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

pub use self::place::Place;
use self::queues::Queues;
use crate::priority;

/// Pause after the operating system has refused a thread.
const RETRY: Duration = Duration::from_millis(100);

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
    /// Threads beyond those, for jobs of tenants that have had little of them lately and have nothing
    /// running: such a job does not wait until another ends.
    pub express: usize,
    /// Native stack of a thread, in bytes.
    pub stack_bytes: usize,
    /// Jobs that may wait.
    pub max_queued: usize,
    /// Niceness of the pool's threads, 0 to 19.
    pub nice: u8,
    /// Niceness of a thread whose job has run for long, 0 to 19.
    pub long_job_nice: u8,
}

#[derive(Debug)]
struct Shared {
    queues: Mutex<Queues>,
    /// Wakes threads that wait for a job.
    wake: Condvar,
    /// Wakes jobs that wait to come back.
    back: Condvar,
    /// Wakes the thread that starts threads.
    spawn: Condvar,
    /// Threads that were ever started.
    spawned: AtomicUsize,
    name: String,
    size: PoolSize,
}

impl Shared {
    /// No code that can panic runs under this lock, so a poisoned lock is as good as a whole one.
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job and its tenant, or nothing once the thread has to end.
    fn next(&self) -> Option<(String, Job)> {
        let mut queues = self.lock();
        loop {
            if queues.closed {
                return None;
            }
            if let Some(next) = queues.pop() {
                self.announce(queues);
                return Some(next);
            }
            if queues.has_surplus_thread() {
                return None;
            }
            queues = self.wake.wait(queues).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// After a change: wakes a thread for a job that may begin, asks for one if all are taken, and wakes
    /// jobs that have got their places back. Waking nobody for nothing matters: each costs a switch of
    /// threads on a processor that a guest could use.
    fn announce(&self, mut queues: MutexGuard<'_, Queues>) {
        let (next, missing) = (queues.has_next(), queues.ask_for_thread());
        let returned = queues.has_returned();
        drop(queues);
        if missing {
            self.spawn.notify_one();
        } else if next {
            self.wake.notify_one();
        }
        if returned {
            self.back.notify_all();
        }
    }

    /// Waits until somebody may have come back.
    fn wait_for_return<'a>(&self, queues: MutexGuard<'a, Queues>) -> MutexGuard<'a, Queues> {
        self.back.wait(queues).unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the calling thread one of the pool no more.
    fn retire(&self) {
        let mut queues = self.lock();
        queues.threads -= 1;
        self.announce(queues);
    }

    fn spawn(self: &Arc<Self>) -> std::io::Result<()> {
        let shared = Arc::clone(self);
        let index = self.spawned.fetch_add(1, Ordering::Relaxed);
        let thread = thread::Builder::new()
            .name(format!("{}-{index}", self.name))
            .stack_size(self.size.stack_bytes)
            .spawn(move || work(&shared));
        thread.map(drop)
    }

    /// Starts threads that are asked for, until the pool is closed. A thread of its own does it, because
    /// threads inherit the priority of the one that starts them.
    fn start_threads(self: &Arc<Self>) {
        let mut queues = self.lock();
        while !queues.closed {
            if queues.asked_threads == 0 {
                queues = self.spawn.wait(queues).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            drop(queues);
            let started = self.spawn();
            queues = self.lock();
            match started {
                Ok(()) => queues.asked_threads -= 1,
                Err(error) => {
                    // Waiting jobs wait for those that run, as in a smaller pool.
                    tracing::warn!(%error, "no thread to take the place of a job that runs");
                    let waited = self.spawn.wait_timeout(queues, RETRY);
                    queues = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
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
        let shared = Shared {
            queues: Mutex::new(Queues::new(size)),
            wake: Condvar::new(),
            back: Condvar::new(),
            spawn: Condvar::new(),
            spawned: AtomicUsize::new(0),
            name: name.to_owned(),
            size,
        };
        // From here on, an early return closes the pool and so ends the threads started by then.
        let pool = WorkerPool { shared: Arc::new(shared) };
        let shared = Arc::clone(&pool.shared);
        thread::Builder::new().name(format!("{name}-threads")).spawn(move || shared.start_threads())?;
        for _ in 0..threads {
            pool.shared.spawn()?;
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
        self.shared.announce(queues);
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
        (queues.queued as u64, (queues.running + queues.long) as u64)
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        let forgotten = self.shared.lock().close();
        self.shared.wake.notify_all();
        self.shared.back.notify_all();
        self.shared.spawn.notify_all();
        // Outside the lock: dropping a job may run code that looks at this pool.
        drop(forgotten);
    }
}

fn work(shared: &Arc<Shared>) {
    match shared.size.nice {
        0 => priority::react_quickly(),
        nice => priority::fall_behind(nice),
    }
    while let Some((tenant, job)) = shared.next() {
        place::begin();
        // A panic is a defect of ours; it costs the job that met it, never the thread. What the job
        // had captured is dropped by the unwinding, so nothing half-changed stays reachable.
        if catch_unwind(AssertUnwindSafe(job)).is_err() {
            tracing::error!(tenant, "a job panicked on a worker");
        }
        let (had_place, took) = place::end();
        let mut queues = shared.lock();
        queues.leave(&tenant, had_place, took);
        // This thread looks for the next job itself; another one may have become possible as well.
        shared.announce(queues);
        if place::is_lowered() {
            break;
        }
    }
    shared.retire();
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: usize = 256 * 1024;

    fn pool(threads: usize, max_queued: usize) -> WorkerPool {
        pool_with_share(threads, threads, max_queued)
    }

    fn pool_with_share(threads: usize, threads_of_tenant: usize, max_queued: usize) -> WorkerPool {
        let size = PoolSize {
            threads,
            threads_of_tenant,
            express: 0,
            stack_bytes: STACK,
            max_queued,
            nice: 0,
            long_job_nice: 1,
        };
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
    async fn a_job_of_a_tenant_that_has_had_little_begins_beside_those_that_run() {
        let size = PoolSize {
            threads: 1,
            threads_of_tenant: 1,
            express: 1,
            stack_bytes: STACK,
            max_queued: 10,
            nice: 0,
            long_job_nice: 0,
        };
        let pool = WorkerPool::start("test", size).unwrap();
        // Time has been used, and there is always more to do: only then has somebody had little.
        let first = block(&pool).await;
        let use_time = async {
            pool.submit("blocker", || ()).unwrap();
            std::thread::sleep(Duration::from_millis(60));
            drop(first);
        };
        let (second, ()) = tokio::join!(block(&pool), use_time);
        assert_eq!(pool.run("light", || 1).await, Ok(1));
        assert_eq!(pool.queued(), 1, "the blocker's last job waits for its turn");
        drop(second);
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
            queues.at_rest() && queues.threads == 2
        };
        while !at_rest() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_comes_back_waits_for_a_place() {
        let pool = pool_with_share(1, 1, 100);
        let aside = wait_aside(&pool, "a").await;
        let release = block(&pool).await;
        drop(aside);
        while pool.shared.lock().nobody_returns() {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.shared.lock().running, 1);
        let last = pool.run("b", || 3);
        drop(release);
        assert_eq!(last.await, Ok(3));
        assert_eq!(pool.shared.lock().aside, 0, "it came back before a new job began");
    }

    /// Occupies a thread of the pool with a job that runs for long, until the returned sender is dropped.
    async fn run_long(pool: &WorkerPool, tenant: &'static str) -> std::sync::mpsc::Sender<()> {
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let (started, running) = oneshot::channel();
        let place = pool.place(tenant);
        pool.submit(tenant, move || {
            place.run_long();
            place.run_long();
            let _ = started.send(());
            let _ = wait.recv();
        })
        .unwrap();
        running.await.unwrap();
        release
    }

    #[tokio::test]
    async fn nobody_waits_for_jobs_that_run_for_long() {
        let pool = pool_with_share(1, 2, 100);
        let long = [run_long(&pool, "a").await, run_long(&pool, "b").await, run_long(&pool, "b").await];
        assert_eq!(pool.jobs(), (0, 3));
        assert_eq!(pool.run("c", || 1).await, Ok(1));
        assert_eq!(pool.run("a", || 2).await, Ok(2), "its tenant may hold one more thread");
        let (started, mut running) = oneshot::channel();
        pool.submit("b", move || started.send(()).unwrap()).unwrap();
        assert_eq!(pool.run("c", || 3).await, Ok(3));
        assert!(running.try_recv().is_err(), "long jobs count for their tenant");
        drop(long);
        running.await.unwrap();
        while !pool.shared.lock().at_rest() {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.run("a", || 4).await, Ok(4), "threads of lower priority are replaced");
    }

    #[tokio::test]
    async fn a_long_job_that_waits_comes_back_to_a_place() {
        let pool = pool_with_share(1, 1, 100);
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let (started, running) = oneshot::channel();
        let place = pool.place("a");
        let shared = Arc::clone(&pool.shared);
        let job = pool.run("a", move || {
            place.run_long();
            place.step_aside(|| {
                let _ = started.send(());
                let _ = wait.recv();
            });
            let queues = shared.lock();
            (queues.running, queues.long, queues.aside)
        });
        let other = async {
            running.await.unwrap();
            assert_eq!(pool.run("a", || 1).await, Ok(1), "its tenant's thread is free meanwhile");
            drop(release);
        };
        assert_eq!(tokio::join!(job, other).0, Ok((1, 0, 0)));
        while !pool.shared.lock().at_rest() {
            tokio::task::yield_now().await;
        }
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
        while !pool.shared.lock().at_rest() {
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
