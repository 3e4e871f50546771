//! Functions of earlier runs, on their way from disk to the registry.
//!
//! Ten thousand of them take half a second to read, so the server is ready before it has: a thread reads
//! them all, and whoever asks for one meanwhile has that one read at once. What depends on how many there are
//! waits for the thread. Nothing is written below `functions` until it is done.

use std::ffi::OsString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Instant, SystemTime};

use tokio::sync::watch;

use super::definition::{Definition, EnvironmentMark};
use super::error::StartError;
use super::registry::Registry;
use super::store::{Store, StoredFunction};
use crate::environment::{Environment, Environments};
use crate::token::VersionPrefix;

/// What the operator gives to functions, and what stands for it in their versions.
#[derive(Debug)]
pub(super) struct OperatorEnvironments {
    /// Of all functions, by name.
    pub(super) environments: Environments,
    /// Key of [`EnvironmentMark`]s.
    pub(super) key: [u8; 32],
}

impl OperatorEnvironments {
    /// Today's environment of a function.
    pub(super) fn of(
        &self,
        tenant: &str,
        definition: &Definition,
    ) -> (Arc<Environment>, Option<EnvironmentMark>) {
        let variables = self.environments.of(tenant, &definition.environment_name);
        let mark = EnvironmentMark::of(&variables, &self.key);
        (variables, mark)
    }
}

/// Brings functions of earlier runs to the registry.
#[derive(Debug)]
pub(super) struct Kept {
    store: Arc<Store>,
    registry: Arc<Registry>,
    operator: Arc<OperatorEnvironments>,
    /// When the server was started: no token for these functions is younger.
    started: SystemTime,
    /// Whether all have been brought.
    all: watch::Sender<bool>,
    /// Held by whoever brings single ones: none is on its way any more when all have been brought, and so
    /// none comes back that was retired after that.
    single: Mutex<()>,
}

/// Tells that all have been brought, whatever became of the thread: nobody waits for ever.
struct TellAll<'a>(&'a Kept);

impl Drop for TellAll<'_> {
    fn drop(&mut self) {
        let _none = self.0.single();
        self.0.all.send_replace(true);
    }
}

impl Kept {
    /// Starts to bring all functions, on a thread of its own.
    ///
    /// # Errors
    /// [`StartError`]: their directory cannot be read, or there is no thread to be had.
    pub(super) fn start(
        store: Arc<Store>,
        registry: Arc<Registry>,
        operator: Arc<OperatorEnvironments>,
    ) -> Result<Arc<Self>, StartError> {
        let tenants = store.tenants()?;
        let kept = Arc::new(Self::new(store, registry, operator));
        if tenants.is_empty() {
            kept.bring_all(&tenants);
            return Ok(kept);
        }
        let reader = Arc::clone(&kept);
        let read = move || reader.bring_all(&tenants);
        thread::Builder::new().name("functions".to_owned()).spawn(read).map_err(StartError::Thread)?;
        Ok(kept)
    }

    fn new(store: Arc<Store>, registry: Arc<Registry>, operator: Arc<OperatorEnvironments>) -> Self {
        let all = watch::Sender::new(false);
        Self { store, registry, operator, started: SystemTime::now(), all, single: Mutex::default() }
    }

    fn single(&self) -> MutexGuard<'_, ()> {
        self.single.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the functions below these directories, which are all that there are.
    fn bring_all(&self, tenants: &[OsString]) {
        let _tell = TellAll(self);
        let began = Instant::now();
        for tenant in tenants {
            // As with a single function: what cannot be read costs nobody else anything.
            if let Err(error) = self.store.load_tenant(tenant, |stored| self.add(stored)) {
                tracing::error!(error = %error, "the functions of a tenant cannot be read");
            }
        }
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(functions = self.registry.len(), took_ms, "functions of earlier runs");
    }

    /// Brings a tenant's versions that begin so, or all of them, unless all functions have been brought
    /// already: whoever has not found one looks again after this, in any case. Blocks for a directory and,
    /// with a version, one small file.
    pub(super) fn bring(&self, tenant: &str, version: Option<&VersionPrefix>) {
        if *self.all.borrow() {
            return;
        }
        let _single = self.single();
        if *self.all.borrow() {
            return;
        }
        if let Err(error) = self.store.load_versions(tenant, version, |stored| self.add(stored)) {
            tracing::warn!(error = %error, "a tenant's functions cannot be read");
        }
    }

    /// Waits until all have been brought.
    pub(super) async fn all(&self) {
        // The other end is this value's own.
        let _ = self.all.subscribe().wait_for(|all| *all).await;
    }

    fn add(&self, stored: StoredFunction) {
        let today = self.operator.of(&stored.id.tenant, &stored.definition);
        self.registry.adopt(stored, today, self.started);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::environment::EnvironmentConfig;
    use crate::functions::registry::VersionId;
    use crate::functions::registry::tests::{definition, grant_of, registry};

    fn id(tenant: &str, code: &str) -> VersionId {
        VersionId { tenant: tenant.to_owned(), digest: definition("f", code).digest(None) }
    }

    /// Functions of two tenants on disk, none of them read.
    fn kept(directory: &tempfile::TempDir) -> Kept {
        let store = Arc::new(Store::open(directory.path()).unwrap());
        for (tenant, code) in [("a", "1"), ("a", "2"), ("b", "1")] {
            store.put_function(&id(tenant, code), &definition("f", code), None).unwrap();
        }
        let environments = Environments::open(&EnvironmentConfig::default()).unwrap();
        let operator = Arc::new(OperatorEnvironments { environments, key: [0; 32] });
        Kept::new(store, Arc::new(registry(10, 10)), operator)
    }

    #[test]
    fn a_function_is_there_before_all_have_been_read() {
        let directory = tempfile::tempdir().unwrap();
        let kept = kept(&directory);
        let grant = grant_of(&id("a", "2"), "f");
        assert!(kept.registry.find(&grant, SystemTime::now()).is_err());
        kept.bring("a", Some(&grant.version));
        let found = kept.registry.find(&grant, SystemTime::now()).unwrap();
        assert_eq!((found.definition.clone(), kept.registry.len()), (definition("f", "2"), 1));
        kept.bring("a", None);
        assert_eq!(kept.registry.len(), 2);
        assert!(kept.all().now_or_never().is_none(), "not all have been read");

        kept.bring_all(&kept.store.tenants().unwrap());
        assert!(kept.all().now_or_never().is_some());
        assert_eq!(kept.registry.len(), 3);
        let again = kept.registry.find(&grant, SystemTime::now()).unwrap();
        assert!(Arc::ptr_eq(&found, &again), "whoever has a version shares its image with all others");
    }

    #[test]
    fn what_is_not_there_or_damaged_is_not_found_either_way() {
        let directory = tempfile::tempdir().unwrap();
        let kept = kept(&directory);
        for tenant in kept.store.tenants().unwrap() {
            let tenant = directory.path().join("functions").join(tenant);
            let name = format!("{}.json", hex::encode(id("a", "1").digest));
            if std::fs::read_dir(&tenant).unwrap().count() == 2 {
                std::fs::write(tenant.join(name), b"{\"format\":").unwrap();
            }
        }
        for (tenant, code) in [("a", "1"), ("c", "1"), ("b", "2")] {
            kept.bring(tenant, Some(&id(tenant, code).prefix()));
        }
        assert_eq!(kept.registry.len(), 0);
        kept.bring_all(&kept.store.tenants().unwrap());
        assert_eq!(kept.registry.len(), 2, "the others");
    }

    #[test]
    fn nothing_is_looked_for_when_all_have_been_read() {
        let directory = tempfile::tempdir().unwrap();
        let kept = kept(&directory);
        kept.bring_all(&[]);
        kept.bring("a", None);
        assert_eq!(kept.registry.len(), 0);
    }

    #[test]
    fn a_directory_that_cannot_be_read_costs_itself_only_and_nobody_waits_for_it() {
        let directory = tempfile::tempdir().unwrap();
        let kept = kept(&directory);
        let mut tenants = kept.store.tenants().unwrap();
        tenants.insert(1, "gone".into());
        kept.bring_all(&tenants);
        assert_eq!(kept.registry.len(), 3);
        assert!(kept.all().now_or_never().is_some());
    }

    #[test]
    fn a_server_starts_to_read_by_itself() {
        let directory = tempfile::tempdir().unwrap();
        let Kept { store, registry, operator, .. } = kept(&directory);
        let kept = Kept::start(store, registry, operator).unwrap();
        futures::executor::block_on(kept.all());
        assert_eq!(kept.registry.len(), 3);
    }
}
