//! Setting an interpreter up: its module compiled, its base image loaded.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::{ExternType, Linker, Module};

use crate::artefact::GuestArtefact;
use crate::base::{self, ABI_VERSION, Base};
use crate::cache::{BuildLock, Cache, Entry};
use crate::codec;
use crate::compile;
use crate::engine::{EngineError, EngineIdentity, ImportedFunction};
use crate::globals::Globals;
use crate::guest::{Guest, GuestModule};
use crate::host_state::HostState;
use crate::image::{ForkError, IMAGE_FORMAT};
use crate::instrument::{DataSegment, INSTRUMENTATION_VERSION, instrument};
use crate::memory::{Backing, Prepared, RegionPool};
use crate::trap::CallLimits;
use crate::wasi;

/// An interpreter that can be forked.
pub(crate) struct PreparedInterpreter {
    module: GuestModule,
    pub(crate) pool: Arc<RegionPool>,
    pub(crate) base: Base,
    pub(crate) base_memory: Arc<Backing>,
    /// What an image must have been built with to be loaded.
    pub(crate) image_key: [u8; 32],
    pub(crate) imports: Vec<ImportedFunction>,
    guest_digest: String,
}

impl PreparedInterpreter {
    /// A guest with the memory of `memory`. The caller has admitted it.
    pub(crate) fn fork(
        &self,
        memory: &Arc<Backing>,
        globals: &Globals,
        state: HostState,
        limits: CallLimits,
    ) -> Result<Guest, ForkError> {
        let requested = memory.len() as u64;
        if requested > limits.memory_bytes {
            return Err(ForkError::TooSmall { limit: limits.memory_bytes, requested });
        }
        let prepared = Prepared::image(&self.pool, memory)?;
        Guest::start(&self.module, prepared, Some(globals), state, limits)
            .map_err(|error| ForkError::Instantiate { reason: format!("{error:#}") })
    }

    /// A guest with the memory of the bare interpreter, likewise.
    pub(crate) fn fork_base(&self, state: HostState, limits: CallLimits) -> Result<Guest, ForkError> {
        self.fork(&self.base_memory, &self.base.globals, state, limits)
    }
}

/// What all interpreters of an engine are set up with.
pub(crate) struct Surroundings {
    wasmtime: wasmtime::Engine,
    cache: Option<Cache>,
    pool: Arc<RegionPool>,
    compilation: [u8; 32],
}

impl Surroundings {
    pub(crate) fn new(cache: Option<Cache>, pool: Arc<RegionPool>) -> Result<Self, EngineError> {
        let wasmtime = compile::engine().map_err(refused("setting wasmtime up"))?;
        let compilation = compile::compatibility(&wasmtime);
        Ok(Self { wasmtime, cache, pool, compilation })
    }

    /// Sets the interpreter of a guest module up, from the cache if it is there.
    pub(crate) fn prepare(&self, guest: &GuestArtefact<'_>) -> Result<PreparedInterpreter, EngineError> {
        let mut setup = Setup::new(self, guest);
        let (module, imports) = setup.module()?;
        let base = setup.base(&module)?;
        // Memory depends on the guest and its base, not on how the code was compiled.
        let mut image_key = Vec::new();
        codec::put_bytes(&mut image_key, guest.digest.as_bytes());
        codec::put_u64(&mut image_key, u64::from(ABI_VERSION));
        codec::put_bytes(&mut image_key, &base.digest);
        Ok(PreparedInterpreter {
            module,
            pool: self.pool.clone(),
            base_memory: Backing::of_base(base.snapshot.clone(), &self.pool),
            base,
            image_key: Sha256::digest(image_key).into(),
            imports,
            guest_digest: guest.digest.clone(),
        })
    }

    /// What an engine with this interpreter is made of; nothing of the other one.
    pub(crate) fn identity(&self, plain: &PreparedInterpreter, python_version: &str) -> EngineIdentity {
        EngineIdentity {
            guest_digest: plain.guest_digest.clone(),
            numpy_guest_digest: String::new(),
            abi_version: ABI_VERSION.to_string(),
            python_version: python_version.to_owned(),
            numpy_version: String::new(),
            wasmtime_version: compile::wasmtime_version(),
            compilation: hex::encode(self.compilation),
            instrumentation_version: INSTRUMENTATION_VERSION.to_string(),
            image_format: IMAGE_FORMAT.to_string(),
            base_digest: hex::encode(plain.base.digest),
        }
    }
}

/// One interpreter that is being set up.
struct Setup<'a> {
    surroundings: &'a Surroundings,
    guest: &'a GuestArtefact<'a>,
    lock: Option<BuildLock>,
    key: String,
    /// Kept from compiling, for building the base.
    data: Option<Vec<DataSegment>>,
}

impl<'a> Setup<'a> {
    fn new(surroundings: &'a Surroundings, guest: &'a GuestArtefact<'a>) -> Self {
        let key = Sha256::new()
            .chain_update(&guest.digest)
            .chain_update(ABI_VERSION.to_le_bytes())
            .chain_update(INSTRUMENTATION_VERSION.to_le_bytes())
            .chain_update(surroundings.compilation)
            .finalize();
        Self { surroundings, guest, lock: None, key: hex::encode(key), data: None }
    }

    /// The content of a cache entry, built by `build` if it is missing.
    fn cached(
        &mut self,
        name: &str,
        build: impl FnOnce(&mut Self) -> Result<Vec<u8>, EngineError>,
    ) -> Result<Content, EngineError> {
        let surroundings = self.surroundings;
        let Some(cache) = &surroundings.cache else { return build(self).map(Content::Fresh) };
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
        cache.store(name, &content)?;
        Ok(Content::Fresh(content))
    }

    fn module(&mut self) -> Result<(GuestModule, Vec<ImportedFunction>), EngineError> {
        let name = format!("{}.module", self.key);
        let content = self.cached(&name, |setup| {
            let instrumented = instrument(setup.guest.wasm)?;
            setup.data = Some(instrumented.data);
            let compiled = setup.surroundings.wasmtime.precompile_module(&instrumented.wasm);
            compiled.map_err(refused("compiling the guest"))
        })?;
        let engine = &self.surroundings.wasmtime;
        // SAFETY: the bytes are the output of `precompile_module`, either of the call above or of an
        // earlier one: the entry's digest has been checked on these very bytes, its name contains
        // the digest of guest, engine and settings, and nobody but this user could write it.
        let module = unsafe { Module::deserialize(engine, content.bytes()) };
        let module = module.map_err(refused("loading the compiled guest"))?;
        let imports = module.imports().map(|import| ImportedFunction {
            module: import.module().to_owned(),
            name: import.name().to_owned(),
            signature: signature(&import.ty()),
        });
        let imports = imports.collect();
        let mut linker: Linker<HostState> = Linker::new(engine);
        wasi::link(&mut linker).map_err(refused("linking the host functions"))?;
        let pre = linker.instantiate_pre(&module).map_err(refused("linking the guest"))?;
        Ok((GuestModule::new(&module, pre)?, imports))
    }

    fn base(&mut self, module: &GuestModule) -> Result<Base, EngineError> {
        let name = format!("{}.base", self.key);
        let content = self.cached(&name, |setup| {
            let data = match setup.data.take() {
                Some(data) => data,
                None => instrument(setup.guest.wasm)?.data,
            };
            Ok(base::build(module, &setup.surroundings.pool, &data)?)
        })?;
        Ok(Base::load(content.bytes(), content.digest())?)
    }
}

enum Content {
    Fresh(Vec<u8>),
    Cached(Entry),
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
