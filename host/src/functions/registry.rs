//! Which versions of which functions exist, in memory.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use vivarium_runtime::{FunctionSpec, Image};

use super::admission::FunctionPlaces;
use super::definition::{Definition, EnvironmentMark};
use super::error::{CallRefused, PrepareError, ProvisionError};
use super::images::{ImageState, Ready};
use super::materials::Materials;
use super::store::StoredFunction;
use crate::config::TenantConfig;
use crate::environment::Environment;
use crate::imports::Import;
use crate::sql_types::Dialect;
use crate::token::{Grant, VersionPrefix};

/// The tenant of functions that anybody may call. No other tenant can have this name.
pub(super) const PUBLIC: &str = "";

/// Identity of one version: whose it is, and the digest of its definition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VersionId {
    /// The tenant that provisioned it.
    pub tenant: String,
    /// Digest of its [`Definition`] and environment.
    pub digest: [u8; 32],
}

impl VersionId {
    /// The part of the digest that tokens carry.
    pub fn prefix(&self) -> VersionPrefix {
        let mut prefix = VersionPrefix::default();
        let length = prefix.len();
        prefix.copy_from_slice(&self.digest[..length]);
        prefix
    }

    /// Enough of the digest to tell versions apart in a log.
    pub fn short(&self) -> impl fmt::Display + use<> {
        hex::encode(&self.digest[..6])
    }
}

/// One version of one tenant's function.
#[derive(Debug)]
pub struct Version {
    /// Its identity.
    pub id: VersionId,
    /// Its definition, with its types as its dialect names them.
    pub definition: Definition,
    /// Whose words the definition was written in: what callers send and expect depends on it.
    pub dialect: Dialect,
    /// What the operator gave the function when it was provisioned.
    pub(super) environment: Arc<Environment>,
    /// Stands for the environment that the version was provisioned with.
    pub(super) environment_mark: Option<EnvironmentMark>,
    /// Whether [`Version::environment`] is what the version was provisioned with: a restarted server
    /// has today's.
    has_its_environment: bool,
    /// Where its image is on its way to memory.
    pub(super) image: watch::Sender<ImageState>,
    /// Where its resource class bounds the exchanges that run at the same time.
    places: OnceLock<Arc<FunctionPlaces>>,
    /// The imports, with the addresses of the latest provisioning: older ones have expired.
    imports: Mutex<Vec<Import>>,
    /// Seconds since the Unix epoch.
    last_used: AtomicU64,
    /// When the youngest token may have been issued, in seconds since the Unix epoch.
    last_provisioned: AtomicU64,
}

impl Version {
    fn new(
        id: VersionId,
        definition: Definition,
        (environment, environment_mark): (Arc<Environment>, Option<EnvironmentMark>),
        now: u64,
    ) -> Self {
        Self {
            id,
            imports: Mutex::new(definition.imports.clone()),
            definition,
            dialect: Dialect::Databend,
            environment,
            environment_mark,
            has_its_environment: true,
            image: watch::Sender::new(ImageState::Absent),
            places: OnceLock::new(),
            last_used: AtomicU64::new(now),
            last_provisioned: AtomicU64::new(now),
        }
    }

    /// A version that anybody may call, with its image.
    pub(super) fn public(spec: FunctionSpec, dialect: Dialect, image: Image, materials: Materials) -> Self {
        let definition = Definition::of(spec);
        let id = VersionId { tenant: PUBLIC.to_owned(), digest: definition.digest(None) };
        let ready = Ready { image, materials: Arc::new(materials) };
        Self {
            dialect,
            image: watch::Sender::new(ImageState::Ready(ready)),
            ..Self::new(id, definition, Default::default(), unix_seconds(SystemTime::now()))
        }
    }

    /// A version that was kept, with today's environment.
    fn stored(stored: StoredFunction, today: (Arc<Environment>, Option<EnvironmentMark>), now: u64) -> Self {
        Self {
            has_its_environment: stored.environment == today.1,
            ..Self::new(stored.id, stored.definition, (today.0, stored.environment), now)
        }
    }

    /// The function.
    pub fn spec(&self) -> &FunctionSpec {
        &self.definition.spec
    }

    /// What the image is made from, once that is known.
    pub fn materials(&self) -> Option<Arc<Materials>> {
        match &*self.image.borrow() {
            ImageState::Ready(ready) => Some(Arc::clone(&ready.materials)),
            _ => None,
        }
    }

    /// The places of its exchanges.
    pub(super) fn places(&self, limit: usize) -> Arc<FunctionPlaces> {
        Arc::clone(self.places.get_or_init(|| Arc::new(FunctionPlaces::new(limit))))
    }

    /// The imports, with addresses that are valid if any are.
    pub(super) fn imports(&self) -> Vec<Import> {
        self.imports.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether its image may be written to disk: one with an environment holds secrets.
    pub(super) fn may_be_kept(&self) -> bool {
        !self.is_public() && self.environment.is_empty() && self.has_its_environment
    }

    /// Refuses to build an older version with today's environment.
    pub(super) fn check_environment(&self) -> Result<(), PrepareError> {
        if self.has_its_environment { Ok(()) } else { Err(PrepareError::EnvironmentChanged) }
    }

    /// The function's name.
    pub fn name(&self) -> &str {
        &self.definition.spec.name
    }

    /// Whether anybody may call it.
    pub fn is_public(&self) -> bool {
        self.id.tenant == PUBLIC
    }

    /// When it was last provisioned or called, in seconds since the Unix epoch.
    pub(super) fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }
}

/// How many versions may exist.
#[derive(Clone, Debug)]
pub(super) struct Quota {
    /// Versions of one tenant, and of all.
    pub(super) tenants: TenantConfig,
    /// A version younger than this may still be called with a token.
    pub(super) token_lifetime: Duration,
}

/// Result of [`Registry::add`].
#[derive(Debug)]
pub(super) struct Added {
    pub(super) version: Arc<Version>,
    /// Whether it was not there before.
    pub(super) is_new: bool,
    /// What had to give way.
    pub(super) retired: Option<Arc<Version>>,
}

type Tenants = HashMap<String, HashMap<VersionPrefix, Arc<Version>>>;

/// All versions of all tenants.
#[derive(Debug)]
pub(super) struct Registry {
    quota: Quota,
    tenants: Mutex<Tenants>,
    /// Whose functions are refused: tenant and the name that environments know them by.
    suspended: Mutex<HashSet<(String, String)>>,
}

impl Registry {
    /// A registry without versions.
    pub(super) fn new(quota: Quota) -> Self {
        Self { quota, tenants: Mutex::default(), suspended: Mutex::default() }
    }

    /// Takes in a version that was kept, unless it is there, with today's environment of its function.
    /// Tokens that were issued for it before count as issued `now`.
    pub(super) fn adopt(
        &self,
        stored: StoredFunction,
        today: (Arc<Environment>, Option<EnvironmentMark>),
        now: SystemTime,
    ) {
        let version = Version::stored(stored, today, unix_seconds(now));
        let mut tenants = self.lock();
        let versions = tenants.entry(version.id.tenant.clone()).or_default();
        versions.entry(version.id.prefix()).or_insert_with(|| Arc::new(version));
    }

    fn lock(&self) -> MutexGuard<'_, Tenants> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the version of a definition with an environment, or finds the one that is there.
    pub(super) fn add(
        &self,
        id: VersionId,
        definition: Definition,
        environment: (Arc<Environment>, Option<EnvironmentMark>),
        now: SystemTime,
    ) -> Result<Added, ProvisionError> {
        let tenant = id.tenant.as_str();
        let now = unix_seconds(now);
        let mut tenants = self.lock();
        let known = tenants.get(tenant).and_then(|versions| versions.get(&id.prefix()));
        if let Some(version) = known {
            version.last_used.store(now, Ordering::Relaxed);
            version.last_provisioned.store(now, Ordering::Relaxed);
            *version.imports.lock().unwrap_or_else(PoisonError::into_inner) = definition.imports;
            return Ok(Added { version: Arc::clone(version), is_new: false, retired: None });
        }

        let of_tenant = tenants.get(tenant).map_or(0, HashMap::len);
        let (limit, limit_of_all) =
            (self.quota.tenants.of(tenant).functions, self.quota.tenants.max_functions_of_all.get());
        let mut retired = None;
        if of_tenant >= limit {
            let versions = tenants.get_mut(tenant);
            let lifetime = self.quota.token_lifetime.as_secs();
            let earliest = versions.as_ref().and_then(|versions| {
                versions.values().map(|version| version.last_provisioned.load(Ordering::Relaxed)).min()
            });
            let retry_s = earliest.unwrap_or(now).saturating_add(lifetime).saturating_sub(now);
            retired = versions.and_then(|versions| self.retire(versions, now));
            if retired.is_none() {
                return Err(ProvisionError::TooManyOfTenant { limit, retry_s });
            }
        } else if tenants.values().map(HashMap::len).sum::<usize>() >= limit_of_all {
            return Err(ProvisionError::TooManyOfAll { limit: limit_of_all });
        }
        let versions = tenants.entry(tenant.to_owned()).or_default();
        let version = Arc::new(Version::new(id, definition, environment, now));
        versions.insert(version.id.prefix(), Arc::clone(&version));
        Ok(Added { version, is_new: true, retired })
    }

    /// Takes out the longest unused version for which no token can be valid any more.
    fn retire(&self, versions: &mut HashMap<VersionPrefix, Arc<Version>>, now: u64) -> Option<Arc<Version>> {
        let lifetime = self.quota.token_lifetime.as_secs();
        let oldest = versions
            .values()
            .filter(|version| {
                version.last_provisioned.load(Ordering::Relaxed).saturating_add(lifetime) <= now
            })
            .min_by_key(|version| version.last_used())?
            .id
            .prefix();
        versions.remove(&oldest)
    }

    /// Refuses functions, or serves them again.
    pub(super) fn suspend(&self, tenant: &str, name: &str, suspended: bool) {
        let mut all = self.suspended.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tenant.to_owned(), name.to_owned());
        if suspended {
            all.insert(key)
        } else {
            all.remove(&key)
        };
    }

    fn check_suspended(&self, version: &Version) -> Result<(), CallRefused> {
        let all = self.suspended.lock().unwrap_or_else(PoisonError::into_inner);
        let name = &version.definition.environment_name;
        if !all.is_empty() && all.contains(&(version.id.tenant.clone(), name.clone())) {
            return Err(CallRefused::Suspended { worker: name.clone() });
        }
        Ok(())
    }

    /// Takes all versions out that environments know as `name`.
    pub(super) fn take(&self, tenant: &str, name: &str) -> Vec<Arc<Version>> {
        let mut tenants = self.lock();
        let Some(versions) = tenants.get_mut(tenant) else { return Vec::new() };
        let is_named = |version: &Arc<Version>| version.definition.environment_name == name;
        let taken = versions.extract_if(|_, version| is_named(version)).map(|(_, version)| version).collect();
        if versions.is_empty() {
            tenants.remove(tenant);
        }
        taken
    }

    /// Whether the version is there.
    pub(super) fn is_known(&self, id: &VersionId) -> bool {
        self.lock().get(&id.tenant).is_some_and(|versions| versions.contains_key(&id.prefix()))
    }

    /// All versions.
    pub(super) fn all(&self) -> Vec<Arc<Version>> {
        self.lock().values().flat_map(HashMap::values).cloned().collect()
    }

    /// Number of versions of each tenant.
    pub(super) fn of_tenants(&self) -> Vec<(String, usize)> {
        self.lock().iter().map(|(tenant, versions)| (tenant.clone(), versions.len())).collect()
    }

    /// Number of versions.
    pub(super) fn len(&self) -> usize {
        self.lock().values().map(HashMap::len).sum()
    }

    /// Takes a version out.
    pub(super) fn remove(&self, id: &VersionId) {
        let mut tenants = self.lock();
        if let Some(versions) = tenants.get_mut(&id.tenant) {
            versions.remove(&id.prefix());
            if versions.is_empty() {
                tenants.remove(&id.tenant);
            }
        }
    }

    /// The version that a token permits.
    pub(super) fn find(&self, grant: &Grant, now: SystemTime) -> Result<Arc<Version>, CallRefused> {
        let tenants = self.lock();
        let version = tenants
            .get(&grant.tenant)
            .and_then(|versions| versions.get(&grant.version))
            .ok_or_else(|| CallRefused::Retired { function: grant.function.clone() })?;
        self.check_suspended(version)?;
        version.last_used.store(unix_seconds(now), Ordering::Relaxed);
        Ok(Arc::clone(version))
    }

    /// Whether a tenant has a function of that name, in any version.
    pub(super) fn has_function(&self, tenant: &str, name: &str) -> bool {
        self.lock()
            .get(tenant)
            .is_some_and(|versions| versions.values().any(|version| version.name() == name))
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::TenantOverride;
    use arrow::datatypes::{DataType, Field};
    use vivarium_runtime::NullHandling;

    /// A definition that differs by `name` and `code`.
    pub(in crate::functions) fn definition(name: &str, code: &str) -> Definition {
        Definition::of(FunctionSpec {
            name: name.to_owned(),
            handler: name.to_owned(),
            filename: "udf.py".to_owned(),
            code: code.to_owned(),
            parameters: vec![Field::new("arg1", DataType::Int64, true)],
            result: Field::new("result", DataType::Int64, true),
            kind: Default::default(),
            null_handling: NullHandling::default(),
            on_error: Default::default(),
            environment: Default::default(),
            interpreter: Default::default(),
            files_digest: None,
        })
    }

    fn add(
        registry: &Registry,
        tenant: &str,
        definition: Definition,
        now: SystemTime,
    ) -> Result<Added, ProvisionError> {
        let id = VersionId { tenant: tenant.to_owned(), digest: definition.digest(None) };
        registry.add(id, definition, (Arc::default(), None), now)
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// An empty registry for so many versions of a tenant, and of all.
    pub(in crate::functions) fn registry(of_tenant: usize, of_all: usize) -> Registry {
        let some = |number| std::num::NonZeroUsize::new(number).unwrap();
        let mut tenants = TenantConfig {
            max_functions: some(of_tenant),
            max_functions_of_all: some(of_all),
            ..TenantConfig::default()
        };
        let larger = TenantOverride { max_functions: Some(some(3)), ..TenantOverride::default() };
        tenants.overrides.insert("larger".to_owned(), larger);
        let quota = Quota { tenants, token_lifetime: Duration::from_secs(100) };
        Registry::new(quota)
    }

    fn grant(version: &Version) -> Grant {
        grant_of(&version.id, version.name())
    }

    /// What a token for a version says.
    pub(in crate::functions) fn grant_of(id: &VersionId, function: &str) -> Grant {
        Grant {
            tenant: id.tenant.clone(),
            function: function.to_owned(),
            version: id.prefix(),
            expires: at(u32::MAX.into()),
        }
    }

    #[test]
    fn changed_code_is_another_version_and_both_can_be_found() {
        let registry = registry(10, 10);
        let old = add(&registry, "a", definition("f", "1"), at(1)).unwrap();
        let new = add(&registry, "a", definition("f", "2"), at(2)).unwrap();
        let again = add(&registry, "a", definition("f", "1"), at(3)).unwrap();
        assert_eq!((old.is_new, new.is_new, again.is_new), (true, true, false));
        assert!(Arc::ptr_eq(&old.version, &again.version));
        for added in [old, new] {
            let found = registry.find(&grant(&added.version), at(4)).unwrap();
            assert!(Arc::ptr_eq(&found, &added.version));
        }
    }

    #[test]
    fn tenants_do_not_see_each_other() {
        let registry = registry(10, 10);
        let of_a = add(&registry, "a", definition("f", "1"), at(1)).unwrap().version;
        let of_b = add(&registry, "b", definition("f", "1"), at(1)).unwrap().version;
        assert!(!Arc::ptr_eq(&of_a, &of_b));
        assert!(registry.has_function("a", "f") && !registry.has_function("c", "f"));
        let forged = Grant { tenant: "c".to_owned(), ..grant(&of_a) };
        assert!(matches!(registry.find(&forged, at(1)), Err(CallRefused::Retired { .. })));
    }

    #[test]
    fn the_longest_unused_version_without_tokens_gives_way() {
        let registry = registry(2, 10);
        let first = add(&registry, "a", definition("f", "1"), at(0)).unwrap().version;
        let second = add(&registry, "a", definition("f", "2"), at(0)).unwrap().version;
        let refused = add(&registry, "a", definition("f", "3"), at(99)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the tenant has 2 versions of functions whose tokens are alive, and asks for one more; limit \
             tenants.max_functions is 2; retry in 1 s, when the first token has expired"
        );
        registry.find(&grant(&first), at(99)).unwrap();
        let third = add(&registry, "a", definition("f", "3"), at(100)).unwrap();
        assert!(Arc::ptr_eq(&third.retired.unwrap(), &second));
        assert!(registry.find(&grant(&second), at(100)).is_err());
        assert!(registry.find(&grant(&first), at(100)).is_ok());
    }

    #[test]
    fn a_tenant_may_have_a_quota_of_its_own() {
        let registry = registry(2, 10);
        for (code, tenant, expected) in
            [("1", "larger", true), ("2", "larger", true), ("3", "larger", true), ("4", "larger", false)]
        {
            assert_eq!(add(&registry, tenant, definition("f", code), at(0)).is_ok(), expected, "{code}");
        }
    }

    #[test]
    fn attack_55_functions_that_were_dropped_or_suspended_are_not_found() {
        let registry = registry(10, 10);
        let version = add(&registry, "a", definition("f", "1"), at(0)).unwrap().version;
        let name = version.definition.environment_name.clone();
        registry.suspend("a", &name, true);
        assert!(matches!(registry.find(&grant(&version), at(1)), Err(CallRefused::Suspended { .. })));
        registry.suspend("a", &name, false);
        assert!(registry.find(&grant(&version), at(1)).is_ok());
        assert_eq!(registry.take("a", &name).len(), 1);
        assert!(matches!(registry.find(&grant(&version), at(1)), Err(CallRefused::Retired { .. })));
    }

    #[test]
    fn all_tenants_together_are_bounded() {
        let registry = registry(2, 2);
        add(&registry, "a", definition("f", "1"), at(0)).unwrap();
        let b = add(&registry, "b", definition("f", "1"), at(0)).unwrap().version;
        let refused = add(&registry, "c", definition("f", "1"), at(0)).unwrap_err();
        assert!(matches!(refused, ProvisionError::TooManyOfAll { limit: 2 }));
        registry.remove(&b.id);
        assert!(add(&registry, "c", definition("f", "1"), at(0)).is_ok());
    }
}
