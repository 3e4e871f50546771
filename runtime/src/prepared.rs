//! Setting an interpreter up: its module compiled, its base image loaded.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

use sha2::{Digest, Sha256};
use wasmtime::{ExternType, Linker, Module};

use crate::artefact::GuestArtefact;
use crate::base::{self, ABI_VERSION, Base};
use crate::cache::{BuildLock, Cache};
use crate::codec;
use crate::compile;
use crate::engine::{EngineError, EngineIdentity, ImportedFunction};
use crate::globals::Globals;
use crate::guest::{Guest, GuestModule};
use crate::host_state::HostState;
use crate::image::{ForkError, IMAGE_FORMAT};
use crate::instrument::{DataSegment, INSTRUMENTATION_VERSION, instrument};
use crate::memory::{Backing, MemoryError, Prepared, RegionPool, SealedFile};
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
        let (module, base) = setup.kept()?;
        let Linked { module, imports } = match module {
            Some(linked) => linked,
            None => setup.module()?,
        };
        let base = match base {
            Some(base) => base,
            None => setup.base(&module)?,
        };
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

/// A guest module that can be instantiated.
struct Linked {
    module: GuestModule,
    imports: Vec<ImportedFunction>,
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

    /// What the cache has of both, read at the same time: most of a start is reading them and checking
    /// their digests.
    fn kept(&self) -> Result<(Option<Linked>, Option<Base>), EngineError> {
        thread::scope(|scope| {
            let beside = thread::Builder::new().name("base".to_owned());
            let beside = beside.spawn_scoped(scope, || self.kept_base());
            let module = self.kept_module();
            let base = match beside {
                Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // There is no other thread to be had.
                Err(_) => self.kept_base(),
            };
            Ok((module?, base?))
        })
    }

    fn kept_module(&self) -> Result<Option<Linked>, EngineError> {
        let Some(cache) = &self.surroundings.cache else { return Ok(None) };
        let copied = cache.load(&self.module_name(), |reader| {
            let len = usize::try_from(reader.left()).unwrap_or(usize::MAX);
            Ok::<_, EngineError>(SealedFile::read("vivarium-module", len, [(0, len)], reader)?)
        })?;
        let Some(copied) = copied else { return Ok(None) };
        let file = copied.file().try_clone();
        let file = file.map_err(|source| MemoryError::System { operation: "duplicating a file", source })?;
        // SAFETY: the file is in memory and sealed, so that it cannot change as long as it is mapped. Its
        // content is the output of an earlier `precompile_module`: the entry's digest has been checked while
        // it was copied, its name contains the digest of guest, engine and settings, and nobody but this
        // user could write it.
        let module = unsafe { Module::deserialize_open_file(&self.surroundings.wasmtime, file.into()) };
        self.link(&module.map_err(refused("loading the compiled guest"))?).map(Some)
    }

    fn kept_base(&self) -> Result<Option<Base>, EngineError> {
        let Some(cache) = &self.surroundings.cache else { return Ok(None) };
        cache.load(&self.base_name(), |reader| {
            let digest = reader.digest();
            Ok(Base::read(reader, digest)?)
        })
    }

    /// Keeps others from building what this setup is about to build. Whoever has waited for that should look
    /// into the cache again.
    fn lock(&mut self) -> Result<(), EngineError> {
        if let (Some(cache), None) = (&self.surroundings.cache, &self.lock) {
            self.lock = Some(cache.lock()?);
        }
        Ok(())
    }

    fn store(&self, name: &str, content: &[u8]) -> Result<(), EngineError> {
        match &self.surroundings.cache {
            Some(cache) => Ok(cache.store(name, content)?),
            None => Ok(()),
        }
    }

    fn module_name(&self) -> String {
        format!("{}.module", self.key)
    }

    fn base_name(&self) -> String {
        format!("{}.base", self.key)
    }

    /// Builds the module, unless another process did so in the meantime.
    fn module(&mut self) -> Result<Linked, EngineError> {
        self.lock()?;
        if let Some(linked) = self.kept_module()? {
            return Ok(linked);
        }
        let instrumented = instrument(self.guest.wasm)?;
        self.data = Some(instrumented.data);
        let compiled = self.surroundings.wasmtime.precompile_module(&instrumented.wasm);
        let compiled = compiled.map_err(refused("compiling the guest"))?;
        self.store(&self.module_name(), &compiled)?;
        // SAFETY: the bytes are the output of the call of `precompile_module` above.
        let module = unsafe { Module::deserialize(&self.surroundings.wasmtime, &compiled) };
        self.link(&module.map_err(refused("loading the compiled guest"))?)
    }

    /// Builds the base image, likewise.
    fn base(&mut self, module: &GuestModule) -> Result<Base, EngineError> {
        self.lock()?;
        if let Some(base) = self.kept_base()? {
            return Ok(base);
        }
        let data = match self.data.take() {
            Some(data) => data,
            None => instrument(self.guest.wasm)?.data,
        };
        let built = base::build(module, &self.surroundings.pool, &data)?;
        self.store(&self.base_name(), &built)?;
        Ok(Base::read(&mut built.as_slice(), Sha256::digest(&built).into())?)
    }

    /// Links a compiled guest to the host.
    fn link(&self, module: &Module) -> Result<Linked, EngineError> {
        let imports = module.imports().map(|import| ImportedFunction {
            module: import.module().to_owned(),
            name: import.name().to_owned(),
            signature: signature(&import.ty()),
        });
        let imports = imports.collect();
        let mut linker: Linker<HostState> = Linker::new(&self.surroundings.wasmtime);
        wasi::link(&mut linker).map_err(refused("linking the host functions"))?;
        let pre = linker.instantiate_pre(module).map_err(refused("linking the guest"))?;
        Ok(Linked { module: GuestModule::new(module, pre)?, imports })
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
