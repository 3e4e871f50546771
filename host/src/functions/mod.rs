//! The one service that every protocol adapter talks to: who may call what.
//!
//! [`Functions::provision`] takes a function's definition, keeps it, starts to build its image in
//! the background and returns a token. [`Functions::authorize`] reads the token of a call,
//! [`Functions::find`] the version of the function that it permits, and [`Functions::open`] a
//! [`Session`] in which batches run, as soon as the image is ready and there is room.
//!
//! A *version* is one definition of one tenant, addressed by its digest. A changed definition under
//! the same name is another version: new tokens lead to it, while tokens and sessions of the older
//! one keep it until it is retired. Versions and images are never shared between tenants, not even
//! equal ones, so that no tenant can observe another through them.

mod admission;
mod definition;
mod error;
mod fuel;
mod images;
mod inventory;
mod kept;
mod materials;
mod registry;
mod session;
mod store;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime};

use vivarium_runtime::{Capabilities, Engine, Image, Limits};

pub use self::admission::Admission;
pub use self::definition::Definition;
pub use self::error::{
    AdmissionError, CallRefused, FuelUsedUp, ImageError, PrepareError, ProvisionError, SandboxError,
    SessionError, StartError, StoreError, Untrusted,
};
pub use self::fuel::FuelAccount;
pub use self::inventory::{EnvironmentNames, Inventory, KeptFunction, KeptImage};
pub use self::materials::{ImportedDigest, Materials, of_script};
pub use self::registry::{Version, VersionId};
pub use self::session::{Cancelled, Sandbox, Session, SessionSetup};

use self::admission::Demand;
use self::fuel::Fuel;
use self::images::Images;
use self::kept::{Kept, OperatorEnvironments};
use self::materials::Preparer;
use self::registry::{Quota, Registry};
use self::store::Store;
use crate::config::{Classes, Config};
use crate::declared::Declared;
use crate::environment::Environments;
use crate::imports::Imports;
use crate::metrics::{Levels, Metrics, TenantLevels};
use crate::packages::{self, Packages};
use crate::token::key_file::{KeyFile, Look};
use crate::token::{Grant, MAX_FUNCTION_BYTES, MAX_TENANT_BYTES, TokenError, Tokens};
use crate::workers::WorkerPool;

/// The service. Cheap to share behind an [`Arc`].
pub struct Functions {
    tokens: Tokens,
    key_file: KeyFile,
    registry: Arc<Registry>,
    kept: Arc<Kept>,
    /// Functions that anybody may call, by name.
    public: BTreeMap<String, Arc<Version>>,
    store: Arc<Store>,
    images: Images,
    operator: Arc<OperatorEnvironments>,
    admission: Admission,
    fuel: Arc<Fuel>,
    workers: Arc<WorkerPool>,
    classes: Classes,
    limits: Limits,
    capabilities: Capabilities,
    code_bytes: u64,
    image_wait: Duration,
    /// A call that runs for longer gives up its place among the workers.
    long_call: Duration,
    token_header: String,
    metrics: Arc<Metrics>,
}

/// What provisioning returns.
#[derive(Clone, Debug)]
pub struct Provisioned {
    /// The version that was provisioned.
    pub version: VersionId,
    /// Permits calls of it.
    pub token: String,
    /// Whether the version existed before.
    pub known: bool,
}

impl Functions {
    /// Opens the state directory, reads the keys, and starts the threads that read functions and build
    /// images. `engine` builds and loads images, `workers` run batches, `metrics` count both.
    ///
    /// # Errors
    /// [`StartError`]: a directory or key file cannot be used, or a thread cannot be started.
    pub fn start(
        config: &Config,
        engine: Engine,
        workers: Arc<WorkerPool>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let store = Arc::new(Store::open(&config.server.state_dir)?);
        let (key_file, keys) = KeyFile::open(&config.key_file())?;
        let lifetime = Duration::from_secs(config.tokens.lifetime_s);
        let quota = Quota { tenants: config.tenants.clone(), token_lifetime: lifetime };
        let operator = Arc::new(OperatorEnvironments {
            environments: Environments::open(&config.environment)?,
            key: store.environment_key()?,
        });
        let registry = Arc::new(Registry::new(quota));
        let kept = Kept::start(Arc::clone(&store), Arc::clone(&registry), Arc::clone(&operator))?;
        let cache = config.cache_dir();
        let fuel = Fuel::new(&config.tenants);
        let preparer = Arc::new(Preparer::new(
            Packages::new(&config.packages, &cache)?,
            Imports::new(&config.imports, &cache)?,
        ));
        Ok(Self {
            tokens: Tokens::with_keys(&keys, &config.tokens.audience, lifetime),
            key_file,
            registry,
            kept,
            public: BTreeMap::new(),
            images: Images::start(
                config,
                engine,
                preparer,
                Arc::clone(&store),
                Arc::clone(&metrics),
                Arc::clone(&fuel),
            )?,
            store,
            operator,
            admission: Admission::new(config),
            fuel,
            workers,
            classes: config.classes.clone(),
            limits: config.limits.clone(),
            capabilities: Capabilities::default(),
            code_bytes: config.build_limits.code_bytes,
            image_wait: Duration::from_secs(config.server.image_wait_s),
            long_call: Duration::from_millis(config.server.long_call_ms),
            token_header: config.headers.token.clone(),
            metrics,
        })
    }

    /// Makes a function callable for anybody, without a token, under its own name. The image is that
    /// of [`sql_types::guest_spec`](crate::sql_types::guest_spec) of the definition.
    pub fn publish(&mut self, function: Declared) {
        let Declared { spec, dialect, image, materials } = function;
        let version = Arc::new(Version::public(spec, dialect, image, materials));
        self.images.add(&version);
        self.public.insert(version.name().to_owned(), version);
    }

    /// Packages, as this server gives them to functions.
    pub fn packages(&self) -> &Packages {
        self.images.packages()
    }

    /// Loads the images that were used last, at most `limit`, on a thread of its own, when all functions of
    /// earlier runs have been read.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn load_images(&self, limit: usize) -> std::io::Result<()> {
        let (kept, registry) = (Arc::clone(&self.kept), Arc::clone(&self.registry));
        let versions = move || {
            futures::executor::block_on(kept.all());
            registry.all()
        };
        self.images.load_latest(versions, limit)
    }

    /// Waits until every image that can be kept on disk is there.
    pub async fn images_are_kept(&self) {
        self.images.are_kept().await;
    }

    /// The functions that anybody may call, by name.
    pub fn public(&self) -> impl Iterator<Item = &Arc<Version>> {
        self.public.values()
    }

    /// The version that a call is for. A call with a token of this server is for the version that
    /// the token permits; any other call can be for a public function only.
    ///
    /// # Errors
    /// [`CallRefused`].
    pub fn resolve(
        &self,
        token: Option<&str>,
        tenant: Option<&str>,
        function: &str,
    ) -> Result<Arc<Version>, CallRefused> {
        if !token.is_some_and(Tokens::is_ours) {
            if let Some(version) = self.public.get(function) {
                return Ok(Arc::clone(version));
            }
            if token.is_none() && !self.public.is_empty() {
                return Err(CallRefused::Unknown { function: function.to_owned() });
            }
        }
        let grant = self.authorize(token, tenant)?;
        self.find(&grant, function)
    }

    /// Makes a function callable for `tenant` and returns a token for it. The image is built in the
    /// background; a build that failed for a reason that may have passed is tried again. Provisioning
    /// what is known already touches no disk.
    ///
    /// # Errors
    /// [`ProvisionError`].
    pub async fn provision(
        &self,
        tenant: &str,
        mut definition: Definition,
    ) -> Result<Provisioned, ProvisionError> {
        check_name("tenant", tenant, MAX_TENANT_BYTES)?;
        check_name("function", &definition.spec.name, MAX_FUNCTION_BYTES)?;
        let environment = self.operator.of(tenant, &definition);
        let variables: usize = environment.0.iter().map(|(name, value)| name.len() + value.len()).sum();
        let requested = (definition.spec.code.len() + variables) as u64;
        if requested > self.code_bytes {
            return Err(ProvisionError::CodeTooLarge { limit: self.code_bytes, requested });
        }
        let inline = packages::inline_metadata(&definition.spec.code)?;
        materials::merge_requirements(&mut definition.packages, inline.dependencies);
        packages::parse_requirements(&definition.packages)?;

        let now = SystemTime::now();
        let id = VersionId { tenant: tenant.to_owned(), digest: definition.digest(environment.1) };
        if !self.is_known(&id) {
            // Quotas count all.
            self.kept.all().await;
            // Its image would have to be built.
            let refused = |error| self.refused(tenant, "tenants.fuel_per_minute", error);
            self.fuel.check(tenant).map_err(refused)?;
        }
        let added = self.registry.add(id, definition, environment, now).map_err(|error| match error {
            ProvisionError::TooManyOfTenant { .. } => self.refused(tenant, "tenants.max_functions", error),
            other => other,
        })?;
        if let Some(retired) = added.retired {
            self.forget(&retired, "retired to make room for another version").await;
        }
        let version = added.version;
        // It is built while the definition goes to disk.
        self.images.retry(&version);
        let started = self.images.refresh(&version).and_then(|()| self.images.ensure(&version));
        if added.is_new {
            if let Err(error) = self.keep(&version).await {
                tracing::error!(tenant, function = version.name(), error = %error, "cannot keep a function");
                self.registry.remove(&version.id);
                return Err(ProvisionError::Store(error));
            }
            tracing::info!(tenant, function = version.name(), version = %version.id.short(), "provisioned");
        }
        started?;
        self.look_at_keys(Look::Regular);
        let token = self.tokens.issue(tenant, version.name(), version.id.prefix(), now)?;
        Ok(Provisioned { version: version.id.clone(), token, known: !added.is_new })
    }

    /// Whether a version is there, if only on disk.
    fn is_known(&self, id: &VersionId) -> bool {
        if self.registry.is_known(id) {
            return true;
        }
        self.kept.bring(&id.tenant, Some(&id.prefix()));
        self.registry.is_known(id)
    }

    /// Reads the token of a call. `tenant` is what the request says of itself, if it says anything.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn authorize(&self, token: Option<&str>, tenant: Option<&str>) -> Result<Grant, TokenError> {
        let token = token.ok_or_else(|| TokenError::Missing { header: self.token_header.clone() })?;
        self.look_at_keys(Look::Regular);
        let now = SystemTime::now();
        let grant = match self.tokens.verify(token, now) {
            // Perhaps another server has the key already.
            Err(TokenError::UnknownKey { .. }) => {
                self.look_at_keys(Look::UnknownKey);
                self.tokens.verify(token, now)
            }
            verified => verified,
        }?;
        match tenant {
            Some(tenant) if tenant != grant.tenant => {
                Err(TokenError::WrongTenant { requested: tenant.to_owned() })
            }
            _ => Ok(grant),
        }
    }

    /// Reads the keys again if their file has changed.
    fn look_at_keys(&self, look: Look) {
        self.key_file.look(look, |keys| self.tokens.replace_keys(keys));
    }

    /// Looks at the operator's files now: token keys and environments.
    pub fn reload(&self) {
        self.look_at_keys(Look::Now);
        self.operator.environments.reload();
    }

    /// The version that a token permits, when the call names the same function.
    ///
    /// # Errors
    /// [`CallRefused`]: there is no such function, the token is for another one, or the token's
    /// version has been retired.
    pub fn find(&self, grant: &Grant, function: &str) -> Result<Arc<Version>, CallRefused> {
        if function != grant.function {
            self.kept.bring(&grant.tenant, None);
            return Err(if self.registry.has_function(&grant.tenant, function) {
                CallRefused::Token(TokenError::WrongFunction {
                    permitted: grant.function.clone(),
                    requested: function.to_owned(),
                })
            } else {
                CallRefused::Unknown { function: function.to_owned() }
            });
        }
        match self.registry.find(grant, SystemTime::now()) {
            Err(CallRefused::Retired { .. }) => {
                self.kept.bring(&grant.tenant, Some(&grant.version));
                self.registry.find(grant, SystemTime::now())
            }
            found => found,
        }
    }

    /// Waits for the version's image and for a place to run, and opens a session there.
    ///
    /// # Errors
    /// [`SessionError`]: the image could not be built or is not ready in time, or there is no
    /// place in time.
    pub async fn open(&self, version: &Arc<Version>) -> Result<Session, SessionError> {
        let tenant = &version.id.tenant;
        let out_of_fuel = |error| self.refused(tenant, "tenants.fuel_per_minute", error);
        self.fuel.check(tenant).map_err(out_of_fuel)?;
        let image = self.image(version).await?;
        let (limits, places) = match version.definition.class.as_deref() {
            None => (self.limits.clone(), None),
            Some(class) => {
                let (_, class) = self.classes.find(class)?;
                (class.limits(&self.limits), class.max_concurrent_exchanges)
            }
        };
        let function = places.map(|limit| version.places(limit.get()));
        let demand = Demand { memory_bytes: limits.memory_bytes, function };
        let permit = self.admission.enter(tenant, &demand).await;
        let permit = permit.map_err(|error| match error.limit() {
            Some(limit) => self.refused(tenant, limit, error),
            None => error,
        })?;
        // Others of the tenant may have used it up meanwhile.
        self.fuel.check(tenant).map_err(out_of_fuel)?;
        let setup = SessionSetup {
            version: Arc::clone(version),
            image,
            log_budget: AtomicUsize::new(usize::try_from(limits.log_bytes).unwrap_or(usize::MAX)),
            limits,
            capabilities: self.capabilities.clone(),
            demand,
            workers: Arc::clone(&self.workers),
            long_call: self.long_call,
            metrics: Arc::clone(&self.metrics),
            fuel: Arc::clone(&self.fuel),
        };
        Ok(Session::new(Arc::new(setup), permit))
    }

    /// One more session for an exchange that has one, if there is a place at once and the server has
    /// places to spare.
    pub fn open_beside(&self, setup: &Arc<SessionSetup>) -> Option<Session> {
        self.fuel.check(&setup.version.id.tenant).ok()?;
        let permit = self.admission.enter_if_spare(&setup.version.id.tenant, &setup.demand)?;
        Some(Session::new(Arc::clone(setup), permit))
    }

    /// Counts a refusal.
    fn refused<E>(&self, tenant: &str, limit: &'static str, error: E) -> E {
        self.metrics.quota_refused(tenant, limit);
        error
    }

    /// Refuses calls of a tenant's functions that the operator's environments know as `name`, or serves
    /// them again. Exchanges that run go on.
    pub fn suspend(&self, tenant: &str, name: &str, suspended: bool) {
        self.registry.suspend(tenant, name, suspended);
    }

    /// Forgets all versions of a tenant's functions that the operator's environments know as `name`: their
    /// tokens lead nowhere from now on. Exchanges that run go on.
    pub async fn retire(&self, tenant: &str, name: &str) {
        self.kept.all().await;
        for version in self.registry.take(tenant, name) {
            self.forget(&version, "retired").await;
        }
    }

    /// What there is now; while functions of earlier runs are read, as far as they have been.
    pub fn levels(&self) -> Levels {
        let usage = self.images.engine_usage();
        Levels {
            sandboxes: usage.instances as u64,
            reserved_memory_bytes: usage.admitted_memory_bytes,
            images: self.images.resident() as u64,
            functions: (self.registry.len() + self.public.len()) as u64,
            worker_jobs: self.workers.jobs(),
            build_jobs: self.images.jobs(),
            exchanges_waiting: self.admission.waiting() as u64,
            tenants: self.tenant_levels(),
        }
    }

    fn tenant_levels(&self) -> BTreeMap<String, TenantLevels> {
        let mut tenants = BTreeMap::<String, TenantLevels>::new();
        for (tenant, functions) in self.registry.of_tenants() {
            tenants.entry(tenant).or_default().functions = functions as u64;
        }
        for (tenant, sandboxes, memory_bytes) in self.admission.of_tenants() {
            let levels = tenants.entry(tenant).or_default();
            (levels.sandboxes, levels.memory_bytes) = (sandboxes, memory_bytes);
        }
        for (tenant, fuel) in self.fuel.levels() {
            tenants.entry(tenant).or_default().fuel = Some(fuel);
        }
        tenants
    }

    /// Waits for the version's image.
    ///
    /// # Errors
    /// [`ImageError`]: it could not be built, or is not ready in time.
    pub async fn image(&self, version: &Arc<Version>) -> Result<Image, ImageError> {
        self.images.get(version, self.image_wait).await
    }

    async fn keep(&self, version: &Arc<Version>) -> Result<(), StoreError> {
        let (store, version) = (Arc::clone(&self.store), Arc::clone(version));
        spawn_io(move || store.put_function(&version.id, &version.definition, version.environment_mark)).await
    }

    async fn forget(&self, version: &Arc<Version>, why: &str) {
        tracing::info!(
            tenant = version.id.tenant,
            function = version.name(),
            version = %version.id.short(),
            "{why}"
        );
        let (store, id) = (Arc::clone(&self.store), version.id.clone());
        if let Err(error) = spawn_io(move || store.remove(&id)).await {
            tracing::warn!(error = %error, "cannot remove a retired version from the state directory");
        }
    }
}

impl std::fmt::Debug for Functions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Functions").finish_non_exhaustive()
    }
}

fn check_name(what: &'static str, name: &str, limit: usize) -> Result<(), ProvisionError> {
    let problem = if name.is_empty() {
        "it is empty"
    } else if name.len() > limit {
        "it is too long"
    } else if name.chars().any(char::is_control) {
        "it contains a control character"
    } else {
        return Ok(());
    };
    Err(ProvisionError::Name { what, problem, limit })
}

async fn spawn_io(work: impl FnOnce() -> Result<(), StoreError> + Send + 'static) -> Result<(), StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Interrupted))
}
