//! The engine: compiled guest, base image, and the memory all instances share.

use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::{ExternType, Linker, Module};

use crate::admission::Admission;
use crate::artefact::GuestArtefact;
use crate::base::{self, ABI_VERSION, Base, BaseError};
use crate::build::{self, BuildError};
use crate::cache::{BuildLock, Cache, CacheError};
use crate::codec;
use crate::compile;
use crate::declaration::{Declaration, ModuleSource};
use crate::describe;
use crate::function::FunctionSpec;
use crate::guest::{GuestModule, MissingExport};
use crate::host_state::HostState;
use crate::image::{self, IMAGE_FORMAT, Image, LoadError};
use crate::instrument::{DataSegment, INSTRUMENTATION_VERSION, InstrumentError, instrument};
use crate::limits::{BuildLimits, Limits};
use crate::memory::{Backing, MemoryError, RegionPool};
use crate::wasi;

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Directory of the compiled guest and the base image. It is created if needed and must belong
    /// to this user alone (mode 0700). `None`: compile anew for each engine, which takes seconds.
    pub cache_dir: Option<PathBuf>,
    /// Instances that may be live at once. Each takes 4 GiB of address space, not of memory.
    /// Default: 1000.
    pub max_instances: usize,
    /// Sum of the memory limits of all live instances, in bytes. A fork beyond it is refused before
    /// it starts. Default: 8 GiB.
    pub host_memory_bytes: u64,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self { cache_dir: None, max_instances: 1000, host_memory_bytes: 8 << 30 }
    }
}

/// The sandbox: makes images of functions. Cheap to clone; one per process is enough, and memory is
/// admitted per engine.
#[derive(Clone)]
pub struct Engine(pub(crate) Arc<EngineInner>);

pub(crate) struct EngineInner {
    pub(crate) module: GuestModule,
    pub(crate) pool: Arc<RegionPool>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) base: Base,
    pub(crate) base_memory: Arc<Backing>,
    /// What an image must have been built with to be loaded.
    pub(crate) image_key: [u8; 32],
    identity: EngineIdentity,
    imports: Vec<ImportedFunction>,
}

/// What an engine is made of, for people and for caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineIdentity {
    /// Digest of what the guest module was built from, in hexadecimal.
    pub guest_digest: String,
    /// Version of the guest ABI.
    pub abi_version: String,
    /// Version of the Python interpreter.
    pub python_version: String,
    /// Version of wasmtime.
    pub wasmtime_version: String,
    /// Digest of what compiled code depends on: target, CPU features, compiler settings.
    pub compilation: String,
    /// Version of the instrumentation and thus of the fuel's cost model.
    pub instrumentation_version: String,
    /// Version of the image format.
    pub image_format: String,
    /// SHA-256 of the base image, in hexadecimal. Images can be loaded only over the base they were
    /// built on; a new base is made whenever the cache is empty.
    pub base_digest: String,
}

/// A function that the guest imports from the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedFunction {
    /// Module part of the import.
    pub module: String,
    /// Name part of the import.
    pub name: String,
    /// Types of parameters and results.
    pub signature: String,
}

/// Use of an engine's shared resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineUsage {
    /// Live instances.
    pub instances: usize,
    /// Sum of their memory limits, in bytes.
    pub admitted_memory_bytes: u64,
}

/// An engine could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The guest module is not fit to be one.
    #[error(transparent)]
    Instrument(#[from] InstrumentError),
    /// The guest module lacks an export.
    #[error(transparent)]
    Export(#[from] MissingExport),
    /// wasmtime refused.
    #[error("{operation}: {reason}")]
    Wasmtime {
        /// What was attempted.
        operation: &'static str,
        /// What wasmtime said.
        reason: String,
    },
    /// The cache could not be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Memory could not be set up.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The interpreter did not start.
    #[error("the interpreter did not start: {0}")]
    Base(#[from] BaseError),
}

impl Engine {
    /// Sets an engine up. With a warm cache this takes milliseconds; with a cold one the guest is
    /// compiled and its interpreter started, which takes seconds.
    ///
    /// # Errors
    /// [`EngineError`]; a damaged cache entry is not an error but rebuilt, one that others could have
    /// written is.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        Self::with_artefact(&config, &GuestArtefact::bundled())
    }

    /// An engine for another guest module. For tests with hostile guests.
    #[doc(hidden)]
    pub fn with_guest(config: &EngineConfig, wasm: &[u8]) -> Result<Self, EngineError> {
        Self::with_artefact(config, &GuestArtefact::of_module(wasm))
    }

    fn with_artefact(config: &EngineConfig, guest: &GuestArtefact<'_>) -> Result<Self, EngineError> {
        let cache = config.cache_dir.as_deref().map(Cache::open).transpose()?;
        let mut setup = Setup::new(config, guest, cache)?;
        let module = setup.module()?;
        let base = setup.base(&module)?;
        Ok(Self(Arc::new(setup.finish(config, guest, module, base))))
    }

    /// Builds the image of a function: imports its code in a fork of the interpreter.
    ///
    /// # Errors
    /// [`BuildError`]: the spec is impossible, the code does not import, or a limit was met.
    pub fn build_image(&self, spec: &FunctionSpec, limits: &BuildLimits) -> Result<Image, BuildError> {
        build::build(self, spec, limits)
    }

    /// Executes a module in a fork of the interpreter, which is thrown away, and lists what it declares.
    ///
    /// # Errors
    /// [`BuildError`]: the code does not execute, a limit was met, or the list is no list.
    pub fn describe(&self, module: &ModuleSource, limits: &Limits) -> Result<Vec<Declaration>, BuildError> {
        describe::describe(self, module, limits)
    }

    /// Makes an image of what [`Image::to_bytes`] gave.
    ///
    /// # Errors
    /// [`LoadError`]: the bytes are damaged, belong to another function, or were made by an engine
    /// with another identity. Build the image again then.
    pub fn load_image(&self, spec: &FunctionSpec, bytes: &[u8]) -> Result<Image, LoadError> {
        image::load(self, spec, bytes)
    }

    /// The functions that the guest imports, read from the linked module: the whole capability set.
    pub fn imports(&self) -> Vec<ImportedFunction> {
        self.0.imports.clone()
    }

    /// What the engine is made of.
    pub fn identity(&self) -> &EngineIdentity {
        &self.0.identity
    }

    /// Use of what all instances share.
    pub fn usage(&self) -> EngineUsage {
        EngineUsage { instances: self.0.pool.live(), admitted_memory_bytes: self.0.admission.in_use() }
    }
}

/// What exists while an engine is being set up.
struct Setup<'a> {
    guest: &'a GuestArtefact<'a>,
    wasmtime: wasmtime::Engine,
    linker: Linker<HostState>,
    pool: Arc<RegionPool>,
    cache: Option<Cache>,
    lock: Option<BuildLock>,
    compilation: [u8; 32],
    key: String,
    imports: Vec<ImportedFunction>,
    /// Kept from compiling, for building the base.
    data: Option<Vec<DataSegment>>,
}

impl<'a> Setup<'a> {
    fn new(
        config: &EngineConfig,
        guest: &'a GuestArtefact<'a>,
        cache: Option<Cache>,
    ) -> Result<Self, EngineError> {
        let wasmtime = compile::engine().map_err(refused("setting wasmtime up"))?;
        let mut linker = Linker::new(&wasmtime);
        wasi::link(&mut linker).map_err(refused("linking the host functions"))?;
        let compilation = compile::compatibility(&wasmtime);
        let key = Sha256::new()
            .chain_update(&guest.digest)
            .chain_update(ABI_VERSION.to_le_bytes())
            .chain_update(INSTRUMENTATION_VERSION.to_le_bytes())
            .chain_update(compilation)
            .finalize();
        let key = hex::encode(key);
        let pool = RegionPool::new(config.max_instances)?;
        Ok(Self {
            guest,
            wasmtime,
            linker,
            pool,
            cache,
            lock: None,
            compilation,
            key,
            imports: vec![],
            data: None,
        })
    }

    /// The content of a cache entry, built by `build` if it is missing.
    fn cached(
        &mut self,
        name: &str,
        build: impl FnOnce(&mut Self) -> Result<Vec<u8>, EngineError>,
    ) -> Result<Content, EngineError> {
        let Some(cache) = &self.cache else { return build(self).map(Content::Fresh) };
        if let Some(entry) = cache.load(name)? {
            return Ok(Content::Cached(entry));
        }
        if self.lock.is_none() {
            self.lock = Some(cache.lock()?);
            // Another process may have built it in the meantime.
            if let Some(entry) = cache.load(name)? {
                return Ok(Content::Cached(entry));
            }
        }
        let content = build(self)?;
        if let Some(cache) = &self.cache {
            cache.store(name, &content)?;
        }
        Ok(Content::Fresh(content))
    }

    fn module(&mut self) -> Result<GuestModule, EngineError> {
        let name = format!("{}.module", self.key);
        let content = self.cached(&name, |setup| {
            let instrumented = instrument(setup.guest.wasm)?;
            setup.data = Some(instrumented.data);
            setup.wasmtime.precompile_module(&instrumented.wasm).map_err(refused("compiling the guest"))
        })?;
        // SAFETY: the bytes are the output of `precompile_module`, either of the call above or of an
        // earlier one: the entry's digest has been checked on these very bytes, its name contains
        // the digest of guest, engine and settings, and nobody but this user could write it.
        let module = unsafe { Module::deserialize(&self.wasmtime, content.bytes()) };
        let module = module.map_err(refused("loading the compiled guest"))?;
        self.imports = module
            .imports()
            .map(|import| ImportedFunction {
                module: import.module().to_owned(),
                name: import.name().to_owned(),
                signature: signature(&import.ty()),
            })
            .collect();
        let pre = self.linker.instantiate_pre(&module).map_err(refused("linking the guest"))?;
        Ok(GuestModule::new(&module, pre)?)
    }

    fn base(&mut self, module: &GuestModule) -> Result<Base, EngineError> {
        let name = format!("{}.base", self.key);
        let content = self.cached(&name, |setup| {
            let data = match setup.data.take() {
                Some(data) => data,
                None => instrument(setup.guest.wasm)?.data,
            };
            Ok(base::build(module, &setup.pool, &data)?)
        })?;
        Ok(Base::load(content.bytes(), content.digest())?)
    }

    fn finish(
        self,
        config: &EngineConfig,
        guest: &GuestArtefact<'_>,
        module: GuestModule,
        base: Base,
    ) -> EngineInner {
        let identity = EngineIdentity {
            guest_digest: guest.digest.clone(),
            abi_version: ABI_VERSION.to_string(),
            python_version: guest.python_version.to_owned(),
            wasmtime_version: compile::wasmtime_version(),
            compilation: hex::encode(self.compilation),
            instrumentation_version: INSTRUMENTATION_VERSION.to_string(),
            image_format: IMAGE_FORMAT.to_string(),
            base_digest: hex::encode(base.digest),
        };
        // Memory depends on the guest and its base, not on how the code was compiled.
        let mut image_key = Vec::new();
        codec::put_bytes(&mut image_key, guest.digest.as_bytes());
        codec::put_u64(&mut image_key, u64::from(ABI_VERSION));
        codec::put_bytes(&mut image_key, &base.digest);
        EngineInner {
            module,
            base_memory: Backing::of_base(base.snapshot.clone(), &self.pool),
            pool: self.pool,
            admission: Admission::new(config.host_memory_bytes),
            base,
            image_key: Sha256::digest(image_key).into(),
            identity,
            imports: self.imports,
        }
    }
}

enum Content {
    Fresh(Vec<u8>),
    Cached(crate::cache::Entry),
}

impl Content {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Fresh(bytes) => bytes,
            Self::Cached(entry) => entry.content(),
        }
    }

    fn digest(&self) -> [u8; 32] {
        match self {
            Self::Fresh(bytes) => Sha256::digest(bytes).into(),
            Self::Cached(entry) => entry.digest(),
        }
    }
}

fn refused(operation: &'static str) -> impl FnOnce(wasmtime::Error) -> EngineError {
    move |error| EngineError::Wasmtime { operation, reason: format!("{error:#}") }
}

fn signature(ty: &ExternType) -> String {
    let ExternType::Func(function) = ty else { return format!("{ty:?}") };
    let list = |types: Vec<String>| types.join(", ");
    format!(
        "({}) -> ({})",
        list(function.params().map(|ty| ty.to_string()).collect()),
        list(function.results().map(|ty| ty.to_string()).collect())
    )
}
