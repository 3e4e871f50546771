//! Which versions of which functions exist, in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use vivarium_runtime::{FunctionSpec, Image};

use super::error::{CallRefused, ProvisionError};
use super::images::ImageState;
use crate::sql_types::{self, Dialect};
use crate::token::{Grant, VersionPrefix};

/// The tenant of functions that anybody may call. No other tenant can have this name.
pub(super) const PUBLIC: &str = "";

/// Identity of one version: whose it is, and the digest of its definition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VersionId {
    /// The tenant that provisioned it.
    pub tenant: String,
    /// [`FunctionSpec::digest`].
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
    pub spec: FunctionSpec,
    /// Whose words the definition was written in: what callers send and expect depends on it.
    pub dialect: Dialect,
    /// Where its image is on its way to memory.
    pub(super) image: watch::Sender<ImageState>,
    /// Seconds since the Unix epoch.
    last_used: AtomicU64,
    /// When the youngest token may have been issued, in seconds since the Unix epoch.
    last_provisioned: AtomicU64,
}

impl Version {
    fn new(id: VersionId, spec: FunctionSpec, now: u64) -> Arc<Self> {
        Self::with_image(id, spec, Dialect::Databend, ImageState::Absent, now)
    }

    /// A version that anybody may call, with its image.
    pub(super) fn public(spec: FunctionSpec, dialect: Dialect, image: Image) -> Arc<Self> {
        let id = VersionId { tenant: PUBLIC.to_owned(), digest: spec.digest() };
        let now = unix_seconds(SystemTime::now());
        Self::with_image(id, spec, dialect, ImageState::Ready(image), now)
    }

    fn with_image(
        id: VersionId,
        spec: FunctionSpec,
        dialect: Dialect,
        image: ImageState,
        now: u64,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            spec,
            dialect,
            image: watch::Sender::new(image),
            last_used: AtomicU64::new(now),
            last_provisioned: AtomicU64::new(now),
        })
    }

    /// The function's name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Whether anybody may call it.
    pub fn is_public(&self) -> bool {
        self.id.tenant == PUBLIC
    }

    /// The definition as the sandbox gets it: the same types under the names that it knows.
    pub(super) fn guest_spec(&self) -> FunctionSpec {
        sql_types::guest_spec(&self.spec)
    }

    /// When it was last provisioned or called, in seconds since the Unix epoch.
    pub(super) fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }
}

/// How many versions may exist.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    /// Versions of one tenant.
    pub(super) versions_of_tenant: usize,
    /// Versions of all tenants.
    pub(super) versions_of_all: usize,
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
}

impl Registry {
    /// A registry of what was stored. Tokens that were issued before count as issued `now`.
    pub(super) fn new(quota: Quota, stored: Vec<(VersionId, FunctionSpec)>, now: SystemTime) -> Self {
        let mut tenants = Tenants::new();
        for (id, spec) in stored {
            let versions = tenants.entry(id.tenant.clone()).or_default();
            versions.insert(id.prefix(), Version::new(id, spec, unix_seconds(now)));
        }
        Self { quota, tenants: Mutex::new(tenants) }
    }

    fn lock(&self) -> MutexGuard<'_, Tenants> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a version of `tenant`, or finds the one that is there.
    pub(super) fn add(
        &self,
        tenant: &str,
        spec: FunctionSpec,
        now: SystemTime,
    ) -> Result<Added, ProvisionError> {
        let id = VersionId { tenant: tenant.to_owned(), digest: spec.digest() };
        let now = unix_seconds(now);
        let mut tenants = self.lock();
        let known = tenants.get(tenant).and_then(|versions| versions.get(&id.prefix()));
        if let Some(version) = known {
            version.last_used.store(now, Ordering::Relaxed);
            version.last_provisioned.store(now, Ordering::Relaxed);
            return Ok(Added { version: Arc::clone(version), is_new: false, retired: None });
        }

        let of_tenant = tenants.get(tenant).map_or(0, HashMap::len);
        let mut retired = None;
        if of_tenant >= self.quota.versions_of_tenant {
            retired = tenants.get_mut(tenant).and_then(|versions| self.retire(versions, now));
            if retired.is_none() {
                return Err(ProvisionError::TooManyOfTenant { limit: self.quota.versions_of_tenant });
            }
        } else if tenants.values().map(HashMap::len).sum::<usize>() >= self.quota.versions_of_all {
            return Err(ProvisionError::TooManyOfAll { limit: self.quota.versions_of_all });
        }
        let version = Version::new(id, spec, now);
        let versions = tenants.entry(tenant.to_owned()).or_default();
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
    use arrow::datatypes::{DataType, Field};
    use std::collections::BTreeMap;
    use vivarium_runtime::NullHandling;

    /// A definition that differs by `name` and `code`.
    pub(in crate::functions) fn spec(name: &str, code: &str) -> FunctionSpec {
        FunctionSpec {
            name: name.to_owned(),
            handler: name.to_owned(),
            filename: "udf.py".to_owned(),
            code: code.to_owned(),
            parameters: vec![Field::new("arg1", DataType::Int64, true)],
            result: Field::new("result", DataType::Int64, true),
            kind: Default::default(),
            null_handling: NullHandling::default(),
            on_error: Default::default(),
            environment: BTreeMap::new(),
            interpreter: Default::default(),
            files_digest: None,
        }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn registry(of_tenant: usize, of_all: usize) -> Registry {
        let quota = Quota {
            versions_of_tenant: of_tenant,
            versions_of_all: of_all,
            token_lifetime: Duration::from_secs(100),
        };
        Registry::new(quota, Vec::new(), at(0))
    }

    fn grant(version: &Version) -> Grant {
        Grant {
            tenant: version.id.tenant.clone(),
            function: version.name().to_owned(),
            version: version.id.prefix(),
            expires: at(u32::MAX.into()),
        }
    }

    #[test]
    fn changed_code_is_another_version_and_both_can_be_found() {
        let registry = registry(10, 10);
        let old = registry.add("a", spec("f", "1"), at(1)).unwrap();
        let new = registry.add("a", spec("f", "2"), at(2)).unwrap();
        let again = registry.add("a", spec("f", "1"), at(3)).unwrap();
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
        let of_a = registry.add("a", spec("f", "1"), at(1)).unwrap().version;
        let of_b = registry.add("b", spec("f", "1"), at(1)).unwrap().version;
        assert!(!Arc::ptr_eq(&of_a, &of_b));
        assert!(registry.has_function("a", "f") && !registry.has_function("c", "f"));
        let forged = Grant { tenant: "c".to_owned(), ..grant(&of_a) };
        assert!(matches!(registry.find(&forged, at(1)), Err(CallRefused::Retired { .. })));
    }

    #[test]
    fn the_longest_unused_version_without_tokens_gives_way() {
        let registry = registry(2, 10);
        let first = registry.add("a", spec("f", "1"), at(0)).unwrap().version;
        let second = registry.add("a", spec("f", "2"), at(0)).unwrap().version;
        let refused = registry.add("a", spec("f", "3"), at(99)).unwrap_err();
        assert!(matches!(refused, ProvisionError::TooManyOfTenant { limit: 2 }));
        registry.find(&grant(&first), at(99)).unwrap();
        let third = registry.add("a", spec("f", "3"), at(100)).unwrap();
        assert!(Arc::ptr_eq(&third.retired.unwrap(), &second));
        assert!(registry.find(&grant(&second), at(100)).is_err());
        assert!(registry.find(&grant(&first), at(100)).is_ok());
    }

    #[test]
    fn all_tenants_together_are_bounded() {
        let registry = registry(2, 2);
        registry.add("a", spec("f", "1"), at(0)).unwrap();
        let b = registry.add("b", spec("f", "1"), at(0)).unwrap().version;
        let refused = registry.add("c", spec("f", "1"), at(0)).unwrap_err();
        assert!(matches!(refused, ProvisionError::TooManyOfAll { limit: 2 }));
        registry.remove(&b.id);
        assert!(registry.add("c", spec("f", "1"), at(0)).is_ok());
    }
}
