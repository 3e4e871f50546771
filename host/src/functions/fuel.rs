//! Fuel that tenants may use in a minute.
//!
//! Each tenant has a bucket that fills evenly and holds a minute's worth. Work begins while there is
//! anything in it, and is paid for when it is done, so that its bucket can come to owe: then nothing of
//! the tenant begins until that has come in again. On average nobody uses more than the quota, whatever
//! a single call used, and no call has to be large enough to pay beforehand for the most that it may use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::error::FuelUsedUp;
use crate::config::TenantConfig;

/// A minute in nanoseconds: levels are counted in this part of a unit, so that filling is exact.
const MINUTE: i128 = 60_000_000_000;

/// A tenant's fuel.
#[derive(Debug)]
struct Bucket {
    per_minute: u64,
    /// In units of fuel by [`MINUTE`]; below zero for what is owed.
    level: i128,
    at: Instant,
}

impl Bucket {
    fn full(per_minute: u64, now: Instant) -> Self {
        Self { per_minute, level: i128::from(per_minute) * MINUTE, at: now }
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_nanos();
        let gained = i128::try_from(elapsed).unwrap_or(i128::MAX).saturating_mul(self.per_minute.into());
        self.level = self.level.saturating_add(gained).min(i128::from(self.per_minute) * MINUTE);
        self.at = self.at.max(now);
    }

    fn is_full(&self) -> bool {
        self.level >= i128::from(self.per_minute) * MINUTE
    }

    fn check(&mut self, now: Instant) -> Result<(), FuelUsedUp> {
        self.fill(now);
        if self.level > 0 {
            return Ok(());
        }
        let owed = self.level.unsigned_abs();
        let used = u128::from(self.per_minute) + owed / MINUTE.unsigned_abs();
        // It has to come above zero.
        let wait_s = owed / u128::from(self.per_minute.max(1)) / 1_000_000_000 + 1;
        Err(FuelUsedUp {
            limit: self.per_minute,
            used: u64::try_from(used).unwrap_or(u64::MAX),
            retry_s: u64::try_from(wait_s).unwrap_or(u64::MAX),
        })
    }

    fn charge(&mut self, fuel: u64, now: Instant) {
        self.fill(now);
        self.level = self.level.saturating_sub(i128::from(fuel) * MINUTE);
    }
}

/// The buckets of all tenants that have a quota of fuel.
#[derive(Debug)]
pub(super) struct Fuel {
    config: TenantConfig,
    /// Those that are not full.
    buckets: Mutex<HashMap<String, Bucket>>,
}

impl Fuel {
    pub(super) fn new(config: &TenantConfig) -> Arc<Self> {
        Arc::new(Self { config: config.clone(), buckets: Mutex::default() })
    }

    /// Refuses work of a tenant that owes fuel.
    pub(super) fn check(&self, tenant: &str) -> Result<(), FuelUsedUp> {
        self.check_at(tenant, Instant::now())
    }

    fn check_at(&self, tenant: &str, now: Instant) -> Result<(), FuelUsedUp> {
        match self.buckets().get_mut(tenant) {
            Some(bucket) => bucket.check(now),
            None => Ok(()),
        }
    }

    /// Takes fuel that was used.
    pub(super) fn charge(&self, tenant: &str, fuel: u64) {
        self.charge_at(tenant, fuel, Instant::now());
    }

    fn charge_at(&self, tenant: &str, fuel: u64, now: Instant) {
        let Some(per_minute) = self.config.of(tenant).fuel_per_minute else { return };
        let mut buckets = self.buckets();
        if let Some(bucket) = buckets.get_mut(tenant) {
            return bucket.charge(fuel, now);
        }
        // Who has not used anything for long is like somebody new.
        buckets.retain(|_, bucket| {
            bucket.fill(now);
            !bucket.is_full()
        });
        let mut bucket = Bucket::full(per_minute, now);
        bucket.charge(fuel, now);
        buckets.insert(tenant.to_owned(), bucket);
    }

    /// What tenants have left that have used anything, in units; below zero for what they owe.
    pub(super) fn levels(&self) -> Vec<(String, i64)> {
        let now = Instant::now();
        let level = |(tenant, bucket): (&String, &mut Bucket)| {
            bucket.fill(now);
            let units = i64::try_from(bucket.level.div_euclid(MINUTE)).unwrap_or(i64::MIN);
            (tenant.clone(), units)
        };
        self.buckets().iter_mut().map(level).collect()
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<String, Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one sandbox uses of its tenant's fuel. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FuelAccount {
    fuel: Arc<Fuel>,
    tenant: Arc<str>,
    /// Of this sandbox, paid already.
    paid: Arc<AtomicU64>,
}

impl FuelAccount {
    pub(super) fn new(fuel: &Arc<Fuel>, tenant: &str) -> Self {
        Self { fuel: Arc::clone(fuel), tenant: tenant.into(), paid: Arc::default() }
    }

    /// Pays for what the sandbox has used in its whole life.
    pub fn pay(&self, used: u64) {
        let paid = self.paid.fetch_max(used, Ordering::Relaxed);
        if used > paid {
            self.fuel.charge(&self.tenant, used - paid);
        }
    }

    /// Refuses further work while the tenant owes fuel.
    ///
    /// # Errors
    /// [`FuelUsedUp`].
    pub fn check(&self) -> Result<(), FuelUsedUp> {
        self.fuel.check(&self.tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn fuel(per_minute: u64) -> Arc<Fuel> {
        Fuel::new(&TenantConfig { fuel_per_minute: per_minute, ..TenantConfig::default() })
    }

    #[test]
    fn what_was_used_too_much_has_to_come_in_again() {
        let (fuel, start) = (fuel(600), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(fuel.check_at("a", at(0)), Ok(()));
        fuel.charge_at("a", 599, at(0));
        assert_eq!(fuel.check_at("a", at(0)), Ok(()), "a unit is left");
        fuel.charge_at("a", 1000, at(0));
        let refused = fuel.check_at("a", at(0)).unwrap_err();
        assert_eq!(refused, FuelUsedUp { limit: 600, used: 1599, retry_s: 100 });
        assert_eq!(
            refused.to_string(),
            "the tenant has used 1599 units of fuel; limit tenants.fuel_per_minute is 600; retry in 100 s"
        );
        assert_eq!(fuel.check_at("b", at(0)), Ok(()), "another tenant");
        assert_eq!(fuel.check_at("a", at(99)).unwrap_err().retry_s, 1);
        assert_eq!(fuel.check_at("a", at(100)), Ok(()));
        fuel.charge_at("a", 10, at(1_000_000));
        assert_eq!(fuel.levels(), [("a".to_owned(), 590)], "no more than a minute's fuel is saved up");
    }

    #[test]
    fn in_the_long_run_nobody_uses_more_than_the_quota() {
        let (fuel, start) = (fuel(600), Instant::now());
        let (mut used, minutes) = (0, 60);
        for tenth in 0..minutes * 600 {
            let now = start + Duration::from_millis(100 * tenth);
            if fuel.check_at("a", now).is_ok() {
                used += 777;
                fuel.charge_at("a", 777, now);
            }
        }
        assert!((600 * minutes..=600 * (minutes + 1) + 777).contains(&used), "{used}");
    }

    #[test]
    fn tenants_without_a_quota_and_tenants_with_all_of_it_take_no_room() {
        let (without, start) = (fuel(0), Instant::now());
        without.charge_at("a", u64::MAX, start);
        assert_eq!(without.check_at("a", start), Ok(()));
        assert!(without.buckets().is_empty());
        let fuel = fuel(60);
        for tenant in 0..100_u64 {
            fuel.charge_at(&tenant.to_string(), 30, start + Duration::from_secs(tenant));
        }
        assert!(fuel.buckets().len() <= 31, "{}", fuel.buckets().len());
    }

    #[test]
    fn an_absurd_use_and_a_clock_that_goes_back_are_no_panic() {
        let (fuel, start) = (fuel(u64::MAX), Instant::now() + Duration::from_secs(10));
        fuel.charge_at("a", u64::MAX, start);
        fuel.charge_at("a", u64::MAX, start.checked_sub(Duration::from_secs(5)).unwrap());
        assert_eq!(fuel.check_at("a", start).unwrap_err().retry_s, 61);
    }

    #[test]
    fn a_sandbox_pays_once_for_what_it_used() {
        let fuel = fuel(1000);
        let account = FuelAccount::new(&fuel, "a");
        account.pay(100);
        account.clone().pay(2500);
        account.pay(2500);
        let level = fuel.levels()[0].1;
        assert!((-1500..0).contains(&level), "{level}");
        assert_eq!(account.check().unwrap_err().limit, 1000);
    }
}
