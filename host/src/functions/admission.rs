//! Places for sandboxes: how many exchanges run at the same time, of one tenant and of all.
//!
//! A place is granted before any work starts, and with it the memory that its sandbox may come to use.
//! Within a tenant, exchanges get their places in the order in which they came; a tenant that has all
//! its places waits for its own only and takes none from others, and so does a function whose resource
//! class bounds its places.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::error::AdmissionError;
use crate::config::{Config, TenantConfig, TenantQuota};

/// The places of this server.
#[derive(Debug)]
pub struct Admission {
    all: Arc<Semaphore>,
    places: usize,
    /// Memory that is promised to nobody, in [`MEMORY_UNIT`]s.
    memory: Arc<Semaphore>,
    memory_units: u32,
    quotas: TenantConfig,
    tenants: Mutex<HashMap<String, Weak<TenantPlaces>>>,
    wait: Duration,
}

/// Memory is promised in whole MiB.
const MEMORY_UNIT: u64 = 1 << 20;

/// What an exchange needs.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    /// Memory limit of its sandbox, in bytes.
    pub(super) memory_bytes: u64,
    /// The places of its function, if those are bounded.
    pub(super) function: Option<Arc<FunctionPlaces>>,
}

/// The places of one function, which its resource class bounds.
#[derive(Debug)]
pub(super) struct FunctionPlaces {
    places: Arc<Semaphore>,
    limit: usize,
}

impl FunctionPlaces {
    pub(super) fn new(limit: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))), limit }
    }
}

/// The places of one tenant.
#[derive(Debug)]
struct TenantPlaces {
    quota: TenantQuota,
    places: Arc<Semaphore>,
    /// Memory that it may still be promised, in [`MEMORY_UNIT`]s, if that is bounded.
    memory: Option<Arc<Semaphore>>,
    waiting: AtomicUsize,
    running: AtomicU64,
    /// Promised to those that run, in bytes.
    memory_bytes: AtomicU64,
}

/// One place; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Permit {
    _all: OwnedSemaphorePermit,
    _tenant: OwnedSemaphorePermit,
    _function: Option<OwnedSemaphorePermit>,
    _memory_of_tenant: Option<OwnedSemaphorePermit>,
    _memory: OwnedSemaphorePermit,
    _running: Running,
}

/// Counts an exchange as running, and keeps the tenant's places known, while it lives.
#[derive(Debug)]
struct Running {
    places: Arc<TenantPlaces>,
    memory_bytes: u64,
}

impl Running {
    fn begin(places: &Arc<TenantPlaces>, memory_bytes: u64) -> Self {
        places.running.fetch_add(1, Ordering::Relaxed);
        places.memory_bytes.fetch_add(memory_bytes, Ordering::Relaxed);
        Self { places: Arc::clone(places), memory_bytes }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.places.running.fetch_sub(1, Ordering::Relaxed);
        self.places.memory_bytes.fetch_sub(self.memory_bytes, Ordering::Relaxed);
    }
}

/// What an exchange waits for.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Function,
    Tenant,
    TenantMemory,
    All,
    Memory,
}

/// Counts an exchange as waiting while it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// As many places and as much memory as `config` allows.
    pub(super) fn new(config: &Config) -> Self {
        let places = config.server.max_concurrent_exchanges.get();
        let memory_units = u32::try_from(config.exchange_memory_bytes() / MEMORY_UNIT).unwrap_or(u32::MAX);
        Self {
            all: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            places,
            memory: Arc::new(Semaphore::new(memory_units as usize)),
            memory_units,
            quotas: config.tenants.clone(),
            tenants: Mutex::default(),
            wait: Duration::from_secs(config.server.exchange_wait_s),
        }
    }

    /// Waits for a place for an exchange of `tenant`.
    pub(super) async fn enter(&self, tenant: &str, demand: &Demand) -> Result<Permit, AdmissionError> {
        let of_tenant = self.places_of(tenant);
        let requested = demand.memory_bytes;
        if let Some(limit) = of_tenant.quota.memory_bytes.filter(|limit| requested > *limit) {
            return Err(AdmissionError::TenantMemory { limit, requested });
        }
        if let Some(permit) = self.try_enter(&of_tenant, demand) {
            return Ok(permit);
        }

        let max_waiting = of_tenant.quota.waiting;
        if of_tenant.waiting.fetch_add(1, Ordering::Relaxed) >= max_waiting {
            of_tenant.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(AdmissionError::TooManyWaiting { limit: max_waiting });
        }
        let _waiting = Waiting(&of_tenant.waiting);
        let stage = Mutex::new(Stage::Function);
        match tokio::time::timeout(self.wait, self.acquire(&of_tenant, demand, &stage)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(AdmissionError::Closed),
            Err(_) => {
                Err(self.no_place(&of_tenant, demand, *stage.lock().unwrap_or_else(PoisonError::into_inner)))
            }
        }
    }

    /// What is shared by more comes later, so that nobody waits with something that others need.
    async fn acquire(
        &self,
        of_tenant: &Arc<TenantPlaces>,
        demand: &Demand,
        stage: &Mutex<Stage>,
    ) -> Result<Permit, AcquireError> {
        let enter = |next| *stage.lock().unwrap_or_else(PoisonError::into_inner) = next;
        let units = self.units(demand.memory_bytes);
        let function = match &demand.function {
            Some(function) => Some(Arc::clone(&function.places).acquire_owned().await?),
            None => None,
        };
        enter(Stage::Tenant);
        let tenant = Arc::clone(&of_tenant.places).acquire_owned().await?;
        enter(Stage::TenantMemory);
        let memory_of_tenant = match &of_tenant.memory {
            Some(memory) => Some(Arc::clone(memory).acquire_many_owned(tenant_units(demand)).await?),
            None => None,
        };
        enter(Stage::All);
        let all = Arc::clone(&self.all).acquire_owned().await?;
        enter(Stage::Memory);
        let memory = Arc::clone(&self.memory).acquire_many_owned(units).await?;
        Ok(Permit {
            _all: all,
            _tenant: tenant,
            _function: function,
            _memory_of_tenant: memory_of_tenant,
            _memory: memory,
            _running: Running::begin(of_tenant, demand.memory_bytes),
        })
    }

    /// Which limit kept an exchange out, with its figures.
    fn no_place(&self, of_tenant: &TenantPlaces, demand: &Demand, stage: Stage) -> AdmissionError {
        let free = |places: &Semaphore| places.available_permits();
        let bytes = |units: usize| (units as u64).saturating_mul(MEMORY_UNIT);
        let (name, limit, used, requested) = match (stage, &demand.function, of_tenant.quota.memory_bytes) {
            (Stage::Function, Some(function), _) => (
                "max_concurrent_exchanges of the function's resource class",
                function.limit as u64,
                function.limit.saturating_sub(free(&function.places)) as u64,
                1,
            ),
            (Stage::TenantMemory, _, Some(limit)) => (
                "tenants.max_memory_bytes",
                limit,
                of_tenant.memory_bytes.load(Ordering::Relaxed),
                demand.memory_bytes,
            ),
            (Stage::All, ..) => (
                "server.max_concurrent_exchanges",
                self.places as u64,
                self.places.saturating_sub(free(&self.all)) as u64,
                1,
            ),
            (Stage::Memory, ..) => (
                "server.host_memory_bytes without that of builds",
                bytes(self.memory_units as usize),
                bytes((self.memory_units as usize).saturating_sub(free(&self.memory))),
                demand.memory_bytes,
            ),
            _ => (
                "tenants.max_concurrent_exchanges",
                of_tenant.quota.exchanges as u64,
                of_tenant.quota.exchanges.saturating_sub(free(&of_tenant.places)) as u64,
                1,
            ),
        };
        AdmissionError::NoPlace { waited_s: self.wait.as_secs(), name, limit, used, requested }
    }

    /// Tenants that have exchanges: how many run, and the memory that is promised to those, in bytes.
    pub(super) fn of_tenants(&self) -> Vec<(String, u64, u64)> {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = tenants.iter().filter_map(|(name, places)| Some((name, places.upgrade()?)));
        let level = |(name, places): (&String, Arc<TenantPlaces>)| {
            let (running, memory) = (&places.running, &places.memory_bytes);
            (name.clone(), running.load(Ordering::Relaxed), memory.load(Ordering::Relaxed))
        };
        alive.map(level).collect()
    }

    /// A place for one more sandbox of an exchange that has one, at once or not at all: only while more
    /// than half of the server's places are free, so that it is never at the cost of others.
    pub(super) fn enter_if_spare(&self, tenant: &str, demand: &Demand) -> Option<Permit> {
        if self.all.available_permits() <= self.places / 2 {
            return None;
        }
        self.try_enter(&self.places_of(tenant), demand)
    }

    /// Exchanges that wait for a place.
    pub(super) fn waiting(&self) -> usize {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let places = tenants.values().filter_map(Weak::upgrade);
        places.map(|places| places.waiting.load(Ordering::Relaxed)).sum()
    }

    fn try_enter(&self, of_tenant: &Arc<TenantPlaces>, demand: &Demand) -> Option<Permit> {
        let function = match &demand.function {
            Some(function) => Some(Arc::clone(&function.places).try_acquire_owned().ok()?),
            None => None,
        };
        let tenant = Arc::clone(&of_tenant.places).try_acquire_owned().ok()?;
        let memory_of_tenant = match &of_tenant.memory {
            Some(memory) => Some(Arc::clone(memory).try_acquire_many_owned(tenant_units(demand)).ok()?),
            None => None,
        };
        Some(Permit {
            _function: function,
            _tenant: tenant,
            _memory_of_tenant: memory_of_tenant,
            _all: Arc::clone(&self.all).try_acquire_owned().ok()?,
            _memory: Arc::clone(&self.memory).try_acquire_many_owned(self.units(demand.memory_bytes)).ok()?,
            _running: Running::begin(of_tenant, demand.memory_bytes),
        })
    }

    /// Memory in units, rounded up. A sandbox that is larger than all there is gets all there is: the
    /// engine refuses it with the figures.
    fn units(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.div_ceil(MEMORY_UNIT)).unwrap_or(u32::MAX).min(self.memory_units)
    }

    /// A tenant is known as long as it holds or awaits a place.
    fn places_of(&self, tenant: &str) -> Arc<TenantPlaces> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = tenants.get(tenant).and_then(Weak::upgrade) {
            return places;
        }
        tenants.retain(|_, places| places.strong_count() > 0);
        let quota = self.quotas.of(tenant);
        let memory = quota.memory_bytes.map(|bytes| {
            let units = usize::try_from(bytes.div_ceil(MEMORY_UNIT)).unwrap_or(usize::MAX);
            Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS)))
        });
        let places = Arc::new(TenantPlaces {
            quota,
            places: Arc::new(Semaphore::new(quota.exchanges.min(Semaphore::MAX_PERMITS))),
            memory,
            waiting: AtomicUsize::new(0),
            running: AtomicU64::new(0),
            memory_bytes: AtomicU64::new(0),
        });
        tenants.insert(tenant.to_owned(), Arc::downgrade(&places));
        places
    }
}

/// What a sandbox takes of its tenant's memory, which it fits into.
fn tenant_units(demand: &Demand) -> u32 {
    u32::try_from(demand.memory_bytes.div_ceil(MEMORY_UNIT)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TenantOverride;
    use std::num::NonZeroUsize;

    fn admission(all: usize, of_tenant: usize, waiting: usize, wait_s: u64) -> Admission {
        Admission::new(&config(all, of_tenant, waiting, wait_s))
    }

    fn config(all: usize, of_tenant: usize, waiting: usize, wait_s: u64) -> Config {
        let mut config = Config::default();
        config.server.max_concurrent_exchanges = NonZeroUsize::new(all).unwrap();
        config.tenants.max_waiting_exchanges = waiting;
        config.server.exchange_wait_s = wait_s;
        config.tenants.max_concurrent_exchanges = NonZeroUsize::new(of_tenant).unwrap();
        config
    }

    fn demand(memory_bytes: u64) -> Demand {
        Demand { memory_bytes, function: None }
    }

    #[tokio::test]
    async fn a_tenant_with_all_its_places_does_not_keep_others_out() {
        let admission = admission(3, 2, 10, 0);
        let _held = (
            admission.enter("a", &demand(1)).await.unwrap(),
            admission.enter("a", &demand(1)).await.unwrap(),
        );
        let refused = admission.enter("a", &demand(1)).await.unwrap_err();
        assert_eq!(
            refused,
            AdmissionError::NoPlace {
                waited_s: 0,
                name: "tenants.max_concurrent_exchanges",
                limit: 2,
                used: 2,
                requested: 1
            }
        );
        assert!(admission.enter("b", &demand(1)).await.is_ok());
    }

    #[tokio::test]
    async fn a_place_that_is_given_back_goes_to_who_waits() {
        let admission = admission(1, 1, 10, 60);
        let held = admission.enter("a", &demand(1)).await.unwrap();
        let one = demand(1);
        let (entered, ()) = tokio::join!(admission.enter("b", &one), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(held);
        });
        let _entered = entered.unwrap();
        assert_eq!(admission.places_of("b").waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn more_sandboxes_for_an_exchange_come_from_what_is_spare() {
        let admission = admission(4, 3, 10, 0);
        let first = admission.enter("a", &demand(1)).await.unwrap();
        let second = admission.enter_if_spare("a", &demand(1)).unwrap();
        assert!(admission.enter_if_spare("a", &demand(1)).is_none(), "half of the places are taken");
        assert!(admission.enter("b", &demand(1)).await.is_ok());
        drop((first, second));
        let bounded = Demand { function: Some(Arc::new(FunctionPlaces::new(1))), ..demand(1) };
        let _held = admission.enter("a", &bounded).await.unwrap();
        assert!(admission.enter_if_spare("a", &bounded).is_none(), "the function's class has one place");
    }

    #[tokio::test]
    async fn the_waiting_room_is_bounded() {
        let admission = admission(1, 1, 0, 60);
        let _held = admission.enter("a", &demand(1)).await.unwrap();
        assert_eq!(
            admission.enter("b", &demand(1)).await.unwrap_err(),
            AdmissionError::TooManyWaiting { limit: 0 }
        );
    }

    #[tokio::test]
    async fn memory_is_promised_once() {
        let mut config = config(100, 100, 10, 0);
        config.server.host_memory_bytes = 10 << 20;
        config.build_limits.memory_bytes = 0;
        let admission = Admission::new(&config);
        let held = admission.enter("a", &demand(6 << 20)).await.unwrap();
        let _small = admission.enter("b", &demand(4 << 20)).await.unwrap();
        let refused = admission.enter("b", &demand(1)).await.unwrap_err().to_string();
        assert_eq!(
            refused,
            "no sandbox became free within 0 s (limit server.exchange_wait_s): server.host_memory_bytes without that of \
             builds is 10485760, 10485760 in use, 1 requested; retry when another exchange has ended"
        );
        drop(held);
        assert!(admission.enter("b", &demand((5 << 20) + 1)).await.is_ok());
    }

    #[tokio::test]
    async fn a_class_bounds_the_places_of_a_function() {
        let admission = admission(10, 10, 10, 0);
        let one = Demand { memory_bytes: 1, function: Some(Arc::new(FunctionPlaces::new(1))) };
        let _held = admission.enter("a", &one).await.unwrap();
        let refused = admission.enter("a", &one).await.unwrap_err();
        assert_eq!(refused.limit(), Some("max_concurrent_exchanges of the function's resource class"));
        assert!(admission.enter("a", &demand(1)).await.is_ok(), "another function of the tenant");
    }

    #[tokio::test]
    async fn a_tenants_memory_is_bounded_and_may_be_its_own() {
        let mut admission = admission(100, 100, 10, 0);
        admission.quotas.max_memory_bytes = 5 << 20;
        let own = TenantOverride {
            max_memory_bytes: Some(0),
            max_concurrent_exchanges: NonZeroUsize::new(1),
            ..TenantOverride::default()
        };
        admission.quotas.overrides.insert("own".to_owned(), own);
        let held = admission.enter("a", &demand(3 << 20)).await.unwrap();
        assert_eq!(admission.of_tenants(), [("a".to_owned(), 1, 3 << 20)]);
        let refused = admission.enter("a", &demand(3 << 20)).await.unwrap_err().to_string();
        assert_eq!(
            refused,
            "no sandbox became free within 0 s (limit server.exchange_wait_s): tenants.max_memory_bytes is 5242880, \
             3145728 in use, 3145728 requested; retry when another exchange has ended"
        );
        assert!(admission.enter("a", &demand(2 << 20)).await.is_ok());
        let refused = admission.enter("a", &demand(6 << 20)).await.unwrap_err().to_string();
        assert_eq!(
            refused,
            "the sandbox needs 6291456 bytes of memory; limit tenants.max_memory_bytes is 5242880"
        );
        let _large = admission.enter("own", &demand(6 << 20)).await.unwrap();
        let refused = admission.enter("own", &demand(1)).await.unwrap_err();
        assert_eq!(refused.limit(), Some("tenants.max_concurrent_exchanges"));
        drop(held);
        assert!(admission.enter("a", &demand(5 << 20)).await.is_ok());
    }
}
