//! Workers: the resources that Databend keeps for functions, by name.
//!
//! A worker is a record: tags, options, whether it is suspended, and which version of a function it
//! runs. It survives a restart. What costs something, the sandbox, belongs to calls and to nobody
//! else, so a worker without calls costs its record.
//!
//! * `CREATE WORKER` makes a record; every query that uses the function makes it too when it is missing,
//!   and keeps what is there.
//! * The option `size` names a resource class of the configuration. It counts from the next query on.
//! * Suspended: calls of the function are refused, and nothing is forgotten. Exchanges that run go on.
//! * Dropped: the function's versions are forgotten, so tokens for them lead nowhere. Exchanges that run
//!   go on. The next query that uses the function makes the worker anew, without tags and options.

mod labels;
mod record;
mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Mutex, MutexGuard};
use tonic::Code;

use self::labels::LabelError;
pub(super) use self::labels::Labels;
pub(super) use self::record::{Timestamp, Worker};
use self::store::Store;
use crate::config::{Classes, ProvisioningConfig, UnknownClass};
use crate::functions::StoreError;
use crate::status::Failure;
use crate::token::MAX_TENANT_BYTES;

/// Longest name of a worker, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// The option that names a resource class.
pub(super) const SIZE: &str = "size";

/// The option that says whether a worker is suspended.
pub(super) const SUSPENDED: &str = "suspended";

/// All workers of all tenants.
#[derive(Debug)]
pub struct Workers {
    known: RwLock<HashMap<String, BTreeMap<String, Arc<Worker>>>>,
    /// Whoever changes a record holds this, so that memory and disk change in the same order.
    writer: Mutex<()>,
    store: Arc<Store>,
    limits: ProvisioningConfig,
    classes: Classes,
}

/// Why a worker could not be made or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The request names none.
    #[error("the request names no worker")]
    NoName,
    /// A name cannot be used.
    #[error("the {what} name cannot be used: {problem} (1 to {limit} bytes without control characters)")]
    Name {
        /// Whose name.
        what: &'static str,
        /// What is wrong with it.
        problem: &'static str,
        /// Longest name, in bytes.
        limit: usize,
    },
    /// It is there already.
    #[error("worker `{name}` exists already")]
    Exists {
        /// Its name.
        name: String,
    },
    /// It is not there.
    #[error("worker `{name}` does not exist")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// Its size is not one.
    #[error("the option `size` cannot be used: {0}")]
    Size(#[from] UnknownClass),
    /// Tags or options cannot be used.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// The tenant has as many as it may.
    #[error("the tenant has {limit} workers (limit provisioning.max_workers); drop one first")]
    TooManyOfTenant {
        /// Workers allowed.
        limit: usize,
    },
    /// All tenants together have as many as they may.
    #[error("the server has {limit} workers (limit provisioning.max_workers_of_all)")]
    TooManyOfAll {
        /// Workers allowed.
        limit: usize,
    },
    /// It could not be kept.
    #[error("the worker could not be kept: {0}")]
    Store(#[from] StoreError),
}

impl Failure for WorkerError {
    fn code(&self) -> Code {
        match self {
            Self::Exists { .. } => Code::AlreadyExists,
            Self::Unknown { .. } => Code::NotFound,
            Self::Label(error) => error.code(),
            Self::TooManyOfTenant { .. } | Self::TooManyOfAll { .. } => Code::ResourceExhausted,
            Self::Store(_) => Code::Internal,
            _ => Code::InvalidArgument,
        }
    }
}

/// What `ALTER WORKER` changes.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) set_tags: Labels,
    pub(super) unset_tags: Vec<String>,
    pub(super) set_options: Labels,
    pub(super) unset_options: Vec<String>,
    pub(super) suspended: Option<bool>,
}

impl Workers {
    /// Reads what is kept in the state directory.
    ///
    /// # Errors
    /// [`StoreError`]: the directory cannot be used.
    pub fn open(
        state_dir: &Path,
        limits: &ProvisioningConfig,
        classes: &Classes,
    ) -> Result<Self, StoreError> {
        let store = Store::open(state_dir)?;
        let mut known: HashMap<String, BTreeMap<String, Arc<Worker>>> = HashMap::new();
        for (tenant, worker) in store.load_all()? {
            known.entry(tenant).or_default().insert(worker.name.clone(), Arc::new(worker));
        }
        Ok(Self {
            known: RwLock::new(known),
            writer: Mutex::default(),
            store: Arc::new(store),
            limits: limits.clone(),
            classes: classes.clone(),
        })
    }

    /// The suspended ones: tenant and name.
    pub fn suspended(&self) -> Vec<(String, String)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let all =
            known.iter().flat_map(|(tenant, workers)| workers.values().map(move |worker| (tenant, worker)));
        all.filter(|(_, worker)| worker.suspended == Some(true))
            .map(|(tenant, worker)| (tenant.clone(), worker.name.clone()))
            .collect()
    }

    /// The workers of a tenant, by name.
    pub(super) fn list(&self, tenant: &str) -> Vec<Arc<Worker>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(tenant).into_iter().flat_map(BTreeMap::values).cloned().collect()
    }

    pub(super) fn find(&self, tenant: &str, name: &str) -> Option<Arc<Worker>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(tenant)?.get(name).cloned()
    }

    /// What a new worker would be, or the one that is there and may be. Nothing is kept yet.
    pub(super) fn prepare(
        &self,
        tenant: &str,
        name: &str,
        if_not_exists: bool,
        tags: Labels,
        options: Labels,
    ) -> Result<Arc<Worker>, WorkerError> {
        check_name("tenant", tenant, MAX_TENANT_BYTES)?;
        if name.is_empty() {
            return Err(WorkerError::NoName);
        }
        check_name("worker", name, MAX_NAME_BYTES)?;
        match self.find(tenant, name) {
            Some(worker) if if_not_exists => Ok(worker),
            Some(_) => Err(WorkerError::Exists { name: name.to_owned() }),
            None => {
                self.check_room(tenant)?;
                let worker = Worker::new(name, Timestamp::now());
                let change = Change { set_tags: tags, set_options: options, ..Change::default() };
                Ok(Arc::new(self.changed(&worker, change)?))
            }
        }
    }

    /// The resource class of a worker.
    pub(super) fn class(&self, worker: &Worker) -> Result<Option<String>, WorkerError> {
        Ok(worker
            .options
            .get(SIZE)
            .map(|size| self.classes.find(size).map(|(name, _)| name.to_owned()))
            .transpose()?)
    }

    /// Keeps a worker that was prepared, and the version that it runs, if it runs one. Without a change
    /// the disk is not touched.
    pub(super) async fn keep(
        &self,
        tenant: &str,
        prepared: Arc<Worker>,
        if_not_exists: bool,
        version: Option<[u8; 32]>,
    ) -> Result<Arc<Worker>, WorkerError> {
        let runs = |worker: &Worker| version.is_none() || worker.version == version;
        if if_not_exists && runs(&prepared) && self.find(tenant, &prepared.name).as_ref() == Some(&prepared) {
            return Ok(prepared);
        }
        let guard = self.writer.lock().await;
        let mut worker = match self.find(tenant, &prepared.name) {
            Some(known) if if_not_exists && runs(&known) => return Ok(known),
            Some(known) if if_not_exists => Worker::clone(&known),
            Some(_) => return Err(WorkerError::Exists { name: prepared.name.clone() }),
            None => {
                self.check_room(tenant)?;
                Worker::clone(&prepared)
            }
        };
        if !runs(&worker) {
            worker.version = version;
            worker.updated_at = Timestamp::now();
        }
        self.put(&guard, tenant, worker).await
    }

    /// Changes a worker, and does what follows from it before anybody can change it again.
    pub(super) async fn alter(
        &self,
        tenant: &str,
        name: &str,
        change: Change,
        then: impl FnOnce(&Worker) + Send,
    ) -> Result<Arc<Worker>, WorkerError> {
        let guard = self.writer.lock().await;
        let worker = self.known(tenant, name)?;
        let mut changed = self.changed(&worker, change)?;
        let altered = if changed == *worker {
            worker
        } else {
            changed.updated_at = Timestamp::now();
            self.put(&guard, tenant, changed).await?
        };
        then(&altered);
        Ok(altered)
    }

    /// Forgets a worker.
    pub(super) async fn remove(&self, tenant: &str, name: &str) -> Result<(), WorkerError> {
        let _guard = self.writer.lock().await;
        let worker = self.known(tenant, name)?;
        let (store, of_tenant) = (Arc::clone(&self.store), tenant.to_owned());
        on_disk(move || store.remove(&of_tenant, &worker.name)).await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(workers) = known.get_mut(tenant) {
            workers.remove(name);
            if workers.is_empty() {
                known.remove(tenant);
            }
        }
        Ok(())
    }

    fn known(&self, tenant: &str, name: &str) -> Result<Arc<Worker>, WorkerError> {
        if name.is_empty() {
            return Err(WorkerError::NoName);
        }
        self.find(tenant, name).ok_or_else(|| WorkerError::Unknown { name: excerpt(name) })
    }

    fn check_room(&self, tenant: &str) -> Result<(), WorkerError> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let limit = self.limits.max_workers.get();
        if known.get(tenant).is_some_and(|workers| workers.len() >= limit) {
            return Err(WorkerError::TooManyOfTenant { limit });
        }
        let limit = self.limits.max_workers_of_all.get();
        if known.values().map(BTreeMap::len).sum::<usize>() >= limit {
            return Err(WorkerError::TooManyOfAll { limit });
        }
        Ok(())
    }

    fn changed(&self, worker: &Worker, change: Change) -> Result<Worker, WorkerError> {
        let mut changed = worker.clone();
        labels::apply("tag", &mut changed.tags, change.set_tags, &change.unset_tags, &self.limits)?;
        let options = &mut changed.options;
        labels::apply("option", options, change.set_options, &change.unset_options, &self.limits)?;
        changed.suspended = change.suspended.or(changed.suspended);
        self.class(&changed)?;
        Ok(changed)
    }

    async fn put(
        &self,
        _guard: &MutexGuard<'_, ()>,
        tenant: &str,
        worker: Worker,
    ) -> Result<Arc<Worker>, WorkerError> {
        let worker = Arc::new(worker);
        let (store, of_tenant, kept) = (Arc::clone(&self.store), tenant.to_owned(), Arc::clone(&worker));
        on_disk(move || store.put(&of_tenant, &kept)).await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(tenant.to_owned()).or_default().insert(worker.name.clone(), Arc::clone(&worker));
        Ok(worker)
    }
}

fn check_name(what: &'static str, name: &str, limit: usize) -> Result<(), WorkerError> {
    let problem = if name.is_empty() {
        "it is empty"
    } else if name.len() > limit {
        "it is too long"
    } else if name.chars().any(char::is_control) {
        "it contains a control character"
    } else {
        return Ok(());
    };
    Err(WorkerError::Name { what, problem, limit })
}

/// The beginning of a text from outside, for an error.
fn excerpt(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

async fn on_disk(work: impl FnOnce() -> Result<(), StoreError> + Send + 'static) -> Result<(), StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Interrupted))
}
