//! One caller's use of one function: a sandbox of its own, for as long as the session lives.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use vivarium_runtime::{CallError, Canceller, Capabilities, Image, Instance, Limits, Logs, Usage};

use super::admission::{Demand, Permit};
use super::error::{SandboxError, SessionError};
use super::fuel::{Fuel, FuelAccount};
use super::registry::Version;
use crate::metrics::Metrics;
use crate::workers::{Place, WorkerError, WorkerPool};

/// Fuel that a sandbox may have used and still be dropped anywhere: it cannot have written to much memory.
const LITTLE_FUEL: u64 = 1_000_000;

/// A session. Its work runs on the workers, one piece after the other. Dropping it, at any time,
/// interrupts what runs and gives the sandbox and its place back.
#[derive(Debug)]
pub struct Session {
    setup: Arc<SessionSetup>,
    /// Away while a worker uses it, and lost if that worker panicked.
    sandbox: Option<Box<Sandbox>>,
    cancelled: Cancelled,
}

/// What the sessions of one exchange have in common.
pub struct SessionSetup {
    pub(super) version: Arc<Version>,
    pub(super) image: Image,
    pub(super) limits: Limits,
    pub(super) capabilities: Capabilities,
    pub(super) demand: Demand,
    pub(super) workers: Arc<WorkerPool>,
    /// A call that runs for longer gives up its place among the workers.
    pub(super) long_call: Duration,
    pub(super) metrics: Arc<Metrics>,
    pub(super) fuel: Arc<Fuel>,
    /// Bytes of the guests' output that may still go to the log.
    pub(super) log_budget: AtomicUsize,
}

/// The sandbox of a session, on a worker.
pub struct Sandbox {
    setup: Arc<SessionSetup>,
    /// Forked with the first batch.
    instance: Option<Instance>,
    cancelled: Cancelled,
    /// What the guest wrote since the caller asked last, if the caller asks.
    logs: Option<Logs>,
    place: Place,
    account: FuelAccount,
    /// Given back after the instance.
    _permit: Permit,
}

/// Tells a session's work, wherever it runs, that nobody waits for it any more.
#[derive(Clone, Debug, Default)]
pub struct Cancelled(Arc<CancelledInner>);

#[derive(Debug, Default)]
struct CancelledInner {
    flag: AtomicBool,
    canceller: OnceLock<Canceller>,
}

impl Session {
    pub(super) fn new(setup: Arc<SessionSetup>, permit: Permit) -> Self {
        let cancelled = Cancelled::default();
        let sandbox = Sandbox {
            instance: None,
            cancelled: cancelled.clone(),
            logs: None,
            account: FuelAccount::new(&setup.fuel, &setup.version.id.tenant),
            place: setup.workers.place(&setup.version.id.tenant),
            setup: Arc::clone(&setup),
            _permit: permit,
        };
        Self { setup, sandbox: Some(Box::new(sandbox)), cancelled }
    }

    /// What more sessions of the same exchange are opened with.
    pub fn setup(&self) -> &Arc<SessionSetup> {
        &self.setup
    }

    /// Keeps what the guest writes for [`Sandbox::take_logs`], bounded by `limits.log_bytes`.
    pub fn keep_logs(&mut self) {
        if let Some(sandbox) = &mut self.sandbox {
            sandbox.logs = Some(Logs::default());
        }
    }

    /// Runs a piece of work with the sandbox on a worker, in turn with the work of other tenants.
    ///
    /// # Errors
    /// [`SessionError::Worker`] when the work was refused or lost; after a loss the session cannot
    /// be used any more.
    pub async fn run<T, F>(&mut self, work: F) -> Result<T, SessionError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Sandbox) -> T + Send + 'static,
    {
        let mut sandbox = self.sandbox.take().ok_or(WorkerError::Lost)?;
        let job = move || {
            let result = work(&mut sandbox);
            (sandbox, result)
        };
        let (sandbox, result) = self.setup.workers.run(&self.setup.version.id.tenant, job).await?;
        self.sandbox = Some(sandbox);
        Ok(result)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        match self.sandbox.take() {
            None => self.cancelled.cancel(),
            // Sessions end on the threads of the network, which others wait for.
            Some(sandbox) if sandbox.usage().fuel > LITTLE_FUEL => {
                let job = move || drop(sandbox);
                if let Err(error) = self.setup.workers.submit(&self.setup.version.id.tenant, job) {
                    tracing::debug!(%error, "a sandbox was dropped where its session ended");
                }
            }
            Some(sandbox) => drop(sandbox),
        }
    }
}

impl Sandbox {
    /// Runs the function over one batch. Must be called on a worker, as [`Session::run`] does.
    ///
    /// # Errors
    /// See [`Sandbox::call`].
    pub fn invoke(&mut self, batch: &RecordBatch) -> Result<ArrayRef, SandboxError> {
        self.call(|instance| instance.invoke(batch))
    }

    /// Calls the function in any way. Must be called on a worker, as [`Session::run`] does.
    ///
    /// # Errors
    /// [`SandboxError`]: before anything runs when the tenant has used its fuel. A Python exception leaves the sandbox usable; after anything worse every
    /// further call fails.
    pub fn call<T>(
        &mut self,
        work: impl FnOnce(&mut Instance) -> Result<T, CallError>,
    ) -> Result<T, SandboxError> {
        if self.cancelled.is_cancelled() {
            return Err(CallError::Cancelled.into());
        }
        self.account.check()?;
        let instance = match &mut self.instance {
            Some(instance) => instance,
            empty => {
                let mut instance = self.setup.image.fork(&self.setup.limits, &self.setup.capabilities)?;
                let place = self.place.clone();
                instance.tell_of_long_calls(self.setup.long_call, move || place.run_long());
                self.cancelled.arm(instance.canceller());
                empty.insert(instance)
            }
        };
        let result = work(instance);
        self.account.pay(instance.usage().fuel);
        let logs = instance.take_logs();
        self.log(logs);
        Ok(result?)
    }

    /// The account of what the sandbox uses, for work that looks at it while it goes on.
    pub fn account(&self) -> FuelAccount {
        self.account.clone()
    }

    /// How a call waits for its client without keeping a worker from others.
    pub fn place(&self) -> Place {
        self.place.clone()
    }

    /// What the guest wrote since the last time, if [`Session::keep_logs`] was called and it wrote
    /// anything.
    pub fn take_logs(&mut self) -> Option<Logs> {
        let logs = std::mem::take(self.logs.as_mut()?);
        (logs != Logs::default()).then_some(logs)
    }

    /// Limits of the sandbox.
    pub fn limits(&self) -> &Limits {
        &self.setup.limits
    }

    /// What the sandbox has used so far.
    pub fn usage(&self) -> Usage {
        self.instance.as_ref().map(Instance::usage).unwrap_or_default()
    }

    fn log(&mut self, mut logs: Logs) {
        if let Some(kept) = &mut self.logs {
            let limit = usize::try_from(self.setup.limits.log_bytes).unwrap_or(usize::MAX);
            kept.dropped_bytes += logs.dropped_bytes;
            for (kept_stream, stream) in [(&mut kept.stdout, &logs.stdout), (&mut kept.stderr, &logs.stderr)]
            {
                kept_stream.extend_from_slice(stream);
                let surplus = kept_stream.len().saturating_sub(limit);
                kept_stream.drain(..surplus);
                kept.dropped_bytes += surplus as u64;
            }
        }
        for stream in [&mut logs.stdout, &mut logs.stderr] {
            let mut kept = 0;
            let take = |budget: usize| {
                kept = stream.len().min(budget);
                Some(budget - kept)
            };
            // Never refuses: the closure always has an answer.
            let _ = self.setup.log_budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
            logs.dropped_bytes += (stream.len() - kept) as u64;
            stream.truncate(kept);
        }
        log_output(&self.setup.version, &logs);
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let (usage, version) = (self.usage(), &self.setup.version);
        if self.instance.is_some() {
            self.setup.metrics.sandbox_ended(&version.id.tenant, usage);
        }
        tracing::info!(
            tenant = version.id.tenant,
            function = version.name(),
            version = %version.id.short(),
            fuel = usage.fuel,
            batches = usage.calls,
            rows = usage.rows,
            peak_memory_bytes = usage.peak_memory_bytes,
            cancelled = self.cancelled.is_cancelled(),
            "session ended"
        );
    }
}

impl std::fmt::Debug for SessionSetup {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SessionSetup").field("version", &self.version.id).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sandbox").field("version", &self.setup.version.id).finish_non_exhaustive()
    }
}

impl Cancelled {
    /// Whether nobody waits for the work any more.
    pub fn is_cancelled(&self) -> bool {
        self.0.flag.load(Ordering::SeqCst)
    }

    /// The flag is raised before the canceller is looked for, and `arm` leaves the canceller before
    /// it looks at the flag: whichever comes second interrupts the guest.
    fn cancel(&self) {
        self.0.flag.store(true, Ordering::SeqCst);
        if let Some(canceller) = self.0.canceller.get() {
            canceller.cancel();
        }
    }

    fn arm(&self, canceller: Canceller) {
        let canceller = self.0.canceller.get_or_init(|| canceller);
        if self.is_cancelled() {
            canceller.cancel();
        }
    }
}

/// Writes a guest's output to the server's log. It is text from a stranger: the log's formats
/// escape line ends and control characters in a field.
pub(super) fn log_output(version: &Version, logs: &Logs) {
    for (stream, bytes) in [("stdout", &logs.stdout), ("stderr", &logs.stderr)] {
        if !bytes.is_empty() {
            tracing::info!(
                target: "vivarium::guest",
                tenant = version.id.tenant,
                function = version.name(),
                stream,
                text = &*String::from_utf8_lossy(bytes),
                "output"
            );
        }
    }
    if logs.dropped_bytes > 0 {
        tracing::info!(
            target: "vivarium::guest",
            tenant = version.id.tenant,
            function = version.name(),
            dropped_bytes = logs.dropped_bytes,
            "output dropped"
        );
    }
}
