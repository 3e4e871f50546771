//! Places for sandboxes: how many exchanges run at the same time, of one tenant and of all.
//!
//! A place is granted before any work starts. Within a tenant, exchanges get their places in the
//! order in which they came; a tenant that has all its places waits for its own only and takes none
//! from others.

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
    places_of_tenant: usize,
    tenants: Mutex<HashMap<String, Weak<TenantPlaces>>>,
    max_waiting: usize,
    wait: Duration,
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
    /// As many places as `config` allows.
    pub(super) fn new(config: &Config) -> Self {
        let places = config.concurrent_exchanges();
        Self {
            all: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            places,
            places_of_tenant: config.tenants.max_concurrent_exchanges.get(),
            tenants: Mutex::default(),
            max_waiting: config.tenants.max_waiting_exchanges,
            wait: Duration::from_secs(config.server.exchange_wait_s),
        }
    }

    /// Waits for a place for an exchange of `tenant`.
    pub(super) async fn enter(&self, tenant: &str) -> Result<Permit, AdmissionError> {
        let of_tenant = self.places_of(tenant);
        let permit = |tenant, all| Permit { _all: all, _tenant: tenant, _places: Arc::clone(&of_tenant) };
        if let (Ok(tenant), Ok(all)) =
            (Arc::clone(&of_tenant.places).try_acquire_owned(), Arc::clone(&self.all).try_acquire_owned())
        {
            return Ok(permit(tenant, all));
        }

        if of_tenant.waiting.fetch_add(1, Ordering::Relaxed) >= self.max_waiting {
            of_tenant.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(AdmissionError::TooManyWaiting { limit: self.max_waiting });
        }
        let _waiting = Waiting(&of_tenant.waiting);
        let acquired = tokio::time::timeout(self.wait, async {
            let tenant = Arc::clone(&of_tenant.places).acquire_owned().await?;
            let all = Arc::clone(&self.all).acquire_owned().await?;
            Ok::<_, tokio::sync::AcquireError>(permit(tenant, all))
        });
        match acquired.await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(AdmissionError::Closed),
            Err(_) => Err(AdmissionError::NoPlace {
                waited_s: self.wait.as_secs(),
                limit: self.places,
                limit_of_tenant: self.places_of_tenant,
            }),
        }
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

    #[tokio::test]
    async fn a_tenant_with_all_its_places_does_not_keep_others_out() {
        let admission = admission(3, 2, 10, 0);
        let _held = (admission.enter("a").await.unwrap(), admission.enter("a").await.unwrap());
        let refused = admission.enter("a").await.unwrap_err();
        assert_eq!(refused, AdmissionError::NoPlace { waited_s: 0, limit: 3, limit_of_tenant: 2 });
        assert!(admission.enter("b").await.is_ok());
    }

    #[tokio::test]
    async fn a_place_that_is_given_back_goes_to_who_waits() {
        let admission = admission(1, 1, 10, 60);
        let held = admission.enter("a").await.unwrap();
        let (entered, ()) = tokio::join!(admission.enter("b"), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(held);
        });
        let _entered = entered.unwrap();
        assert_eq!(admission.places_of("b").waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn the_waiting_room_is_bounded() {
        let admission = admission(1, 1, 0, 60);
        let _held = admission.enter("a").await.unwrap();
        assert_eq!(admission.enter("b").await.unwrap_err(), AdmissionError::TooManyWaiting { limit: 0 });
    }
}
