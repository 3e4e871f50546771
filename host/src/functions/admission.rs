//! Places for sandboxes: how many exchanges run at the same time, of one tenant and of all.
//!
//! A place is granted before any work starts, and with it the memory that its sandbox may come to use.
//! Within a tenant, exchanges get their places in the order in which they came; a tenant that has all
//! its places waits for its own only and takes none from others, and so does a function whose resource
//! class bounds its places.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::AdmissionError;
use crate::config::Config;

/// The places of this server.
#[derive(Debug)]
pub struct Admission {
    all: Arc<Semaphore>,
    places: usize,
    /// Memory that is promised to nobody, in [`MEMORY_UNIT`]s.
    memory: Arc<Semaphore>,
    memory_units: u32,
    places_of_tenant: usize,
    tenants: Mutex<HashMap<String, Weak<TenantPlaces>>>,
    max_waiting: usize,
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
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// One place; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Permit {
    _all: OwnedSemaphorePermit,
    _tenant: OwnedSemaphorePermit,
    _function: Option<OwnedSemaphorePermit>,
    _memory: OwnedSemaphorePermit,
    /// Keeps the tenant's places known while one of them is held.
    _places: Arc<TenantPlaces>,
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
            places_of_tenant: config.tenants.max_concurrent_exchanges.get(),
            tenants: Mutex::default(),
            max_waiting: config.tenants.max_waiting_exchanges,
            wait: Duration::from_secs(config.server.exchange_wait_s),
        }
    }

    /// Waits for a place for an exchange of `tenant`.
    pub(super) async fn enter(&self, tenant: &str, demand: &Demand) -> Result<Permit, AdmissionError> {
        let of_tenant = self.places_of(tenant);
        let units = self.units(demand.memory_bytes);
        if let Some(permit) = self.try_enter(&of_tenant, demand, units) {
            return Ok(permit);
        }

        if of_tenant.waiting.fetch_add(1, Ordering::Relaxed) >= self.max_waiting {
            of_tenant.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(AdmissionError::TooManyWaiting { limit: self.max_waiting });
        }
        let _waiting = Waiting(&of_tenant.waiting);
        // What is shared by more comes later, so that nobody waits with something that others need.
        let acquired = tokio::time::timeout(self.wait, async {
            let function = match &demand.function {
                Some(function) => Some(Arc::clone(&function.places).acquire_owned().await?),
                None => None,
            };
            let tenant = Arc::clone(&of_tenant.places).acquire_owned().await?;
            let all = Arc::clone(&self.all).acquire_owned().await?;
            let memory = Arc::clone(&self.memory).acquire_many_owned(units).await?;
            Ok::<_, tokio::sync::AcquireError>(Permit {
                _all: all,
                _tenant: tenant,
                _function: function,
                _memory: memory,
                _places: Arc::clone(&of_tenant),
            })
        });
        match acquired.await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(AdmissionError::Closed),
            Err(_) => Err(AdmissionError::NoPlace {
                waited_s: self.wait.as_secs(),
                limit: self.places,
                limit_of_tenant: self.places_of_tenant,
                limit_of_function: demand.function.as_ref().map(|function| function.limit),
            }),
        }
    }

    /// A place for one more sandbox of an exchange that has one, at once or not at all: only while more
    /// than half of the server's places are free, so that it is never at the cost of others.
    pub(super) fn enter_if_spare(&self, tenant: &str, demand: &Demand) -> Option<Permit> {
        if self.all.available_permits() <= self.places / 2 {
            return None;
        }
        self.try_enter(&self.places_of(tenant), demand, self.units(demand.memory_bytes))
    }

    /// Exchanges that wait for a place.
    pub(super) fn waiting(&self) -> usize {
        let tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let places = tenants.values().filter_map(Weak::upgrade);
        places.map(|places| places.waiting.load(Ordering::Relaxed)).sum()
    }

    fn try_enter(&self, of_tenant: &Arc<TenantPlaces>, demand: &Demand, units: u32) -> Option<Permit> {
        let function = match &demand.function {
            Some(function) => Some(Arc::clone(&function.places).try_acquire_owned().ok()?),
            None => None,
        };
        Some(Permit {
            _function: function,
            _tenant: Arc::clone(&of_tenant.places).try_acquire_owned().ok()?,
            _all: Arc::clone(&self.all).try_acquire_owned().ok()?,
            _memory: Arc::clone(&self.memory).try_acquire_many_owned(units).ok()?,
            _places: Arc::clone(of_tenant),
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
        let places = Arc::new(Semaphore::new(self.places_of_tenant.min(Semaphore::MAX_PERMITS)));
        let places = Arc::new(TenantPlaces { places, waiting: AtomicUsize::new(0) });
        tenants.insert(tenant.to_owned(), Arc::downgrade(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroUsize;

    fn admission(all: usize, of_tenant: usize, waiting: usize, wait_s: u64) -> Admission {
        let mut config = Config::default();
        config.server.max_concurrent_exchanges = NonZeroUsize::new(all).unwrap();
        config.tenants.max_waiting_exchanges = waiting;
        config.server.exchange_wait_s = wait_s;
        config.tenants.max_concurrent_exchanges = NonZeroUsize::new(of_tenant).unwrap();
        Admission::new(&config)
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
            AdmissionError::NoPlace { waited_s: 0, limit: 3, limit_of_tenant: 2, limit_of_function: None }
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
        let mut admission = admission(100, 100, 10, 0);
        (admission.memory, admission.memory_units) = (Arc::new(Semaphore::new(10)), 10);
        let held = admission.enter("a", &demand(6 << 20)).await.unwrap();
        let _small = admission.enter("b", &demand(4 << 20)).await.unwrap();
        assert!(matches!(admission.enter("b", &demand(1)).await, Err(AdmissionError::NoPlace { .. })));
        drop(held);
        assert!(admission.enter("b", &demand((5 << 20) + 1)).await.is_ok());
    }

    #[tokio::test]
    async fn a_class_bounds_the_places_of_a_function() {
        let admission = admission(10, 10, 10, 0);
        let one = Demand { memory_bytes: 1, function: Some(Arc::new(FunctionPlaces::new(1))) };
        let _held = admission.enter("a", &one).await.unwrap();
        let refused = admission.enter("a", &one).await.unwrap_err();
        assert!(matches!(refused, AdmissionError::NoPlace { limit_of_function: Some(1), .. }));
        assert!(admission.enter("a", &demand(1)).await.is_ok(), "another function of the tenant");
    }
}
