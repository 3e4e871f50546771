//! The engine: the interpreters, and the memory that all instances share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::admission::Admission;
use crate::artefact::Guests;
use crate::base::BaseError;
use crate::build::{self, BuildError};
use crate::cache::{Cache, CacheError};
use crate::declaration::{Declaration, ModuleSource};
use crate::describe;
use crate::files::FunctionFiles;
use crate::function::FunctionSpec;
use crate::guest::MissingExport;
use crate::image::{self, Image, LoadError};
use crate::instrument::InstrumentError;
use crate::interpreter::Interpreter;
use crate::limits::BuildLimits;
use crate::memory::{MemoryError, RegionPool};
use crate::prepared::{PreparedInterpreter, Surroundings};

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Directory of the compiled guests and the base images. It is created if needed and must belong
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
    guests: Guests,
    surroundings: Surroundings,
    pub(crate) pool: Arc<RegionPool>,
    pub(crate) admission: Arc<Admission>,
    plain: Arc<PreparedInterpreter>,
    numpy: OnceLock<Arc<PreparedInterpreter>>,
    /// Held by whoever sets the one with NumPy up.
    numpy_setup: Mutex<()>,
    identity: EngineIdentity,
}

/// What an engine is made of, for people and for caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineIdentity {
    /// Digest of what the plain guest module was built from, in hexadecimal.
    pub guest_digest: String,
    /// Digest of what the guest module with NumPy was built from, in hexadecimal.
    pub numpy_guest_digest: String,
    /// Version of the guest ABI.
    pub abi_version: String,
    /// Version of the Python interpreters.
    pub python_version: String,
    /// Version of NumPy.
    pub numpy_version: String,
    /// Version of wasmtime.
    pub wasmtime_version: String,
    /// Digest of what compiled code depends on: target, CPU features, compiler settings.
    pub compilation: String,
    /// Version of the instrumentation and thus of the fuel's cost model.
    pub instrumentation_version: String,
    /// Version of the image format.
    pub image_format: String,
    /// SHA-256 of the plain interpreter's base image, in hexadecimal. Images can be loaded only over the base they were
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
    /// A guest imports what the plain one, which the engine's report is about, does not.
    #[error("the guest imports `{name}`, which the plain guest does not")]
    Imports {
        /// Module and name of the import.
        name: String,
    },
}

impl Engine {
    /// Sets an engine up, with the plain interpreter. With a warm cache this takes milliseconds; with a
    /// cold one the guest is compiled and its interpreter started, which takes seconds. The interpreter
    /// with NumPy is set up when it is needed, or by [`Engine::prepare`].
    ///
    /// # Errors
    /// [`EngineError`]; a damaged cache entry is not an error but rebuilt, one that others could have
    /// written is.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        Self::with_guests(&config, Guests::bundled())
    }

    /// An engine in which another guest module stands for every interpreter. For tests with hostile
    /// guests.
    #[doc(hidden)]
    pub fn with_guest(config: &EngineConfig, wasm: &[u8]) -> Result<Self, EngineError> {
        Self::with_guests(config, Guests::of_module(wasm))
    }

    fn with_guests(config: &EngineConfig, guests: Guests) -> Result<Self, EngineError> {
        let pool = RegionPool::new(config.max_instances)?;
        let cache = config.cache_dir.as_deref().map(Cache::open).transpose()?;
        let surroundings = Surroundings::new(cache, pool.clone())?;
        let plain = surroundings.prepare(&guests.artefact(Interpreter::Plain))?;
        let identity = EngineIdentity {
            numpy_guest_digest: guests.artefact(Interpreter::NumPy).digest,
            numpy_version: guests.numpy_version.to_owned(),
            ..surroundings.identity(&plain, guests.python_version)
        };
        Ok(Self(Arc::new(EngineInner {
            guests,
            surroundings,
            pool,
            admission: Admission::new(config.host_memory_bytes),
            plain: Arc::new(plain),
            numpy: OnceLock::new(),
            numpy_setup: Mutex::new(()),
            identity,
        })))
    }

    /// Sets an interpreter up, if it is not yet. With a cold cache the one with NumPy takes some ten
    /// seconds, which the first image of a function for it would wait for otherwise.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn prepare(&self, interpreter: Interpreter) -> Result<(), EngineError> {
        self.0.interpreter(interpreter).map(|_| ())
    }

    /// Builds the image of a function: imports its code in a fork of its interpreter, in which `files`
    /// are there. The spec does not say which they are: [`FunctionSpec::files_digest`] has to differ where
    /// they do.
    ///
    /// # Errors
    /// [`BuildError`]: spec or files are impossible, the code does not import, or a limit was met.
    pub fn build_image(
        &self,
        spec: &FunctionSpec,
        files: &FunctionFiles,
        limits: &BuildLimits,
    ) -> Result<Image, BuildError> {
        build::build(self, spec, files, limits)
    }

    /// Executes a module in a fork of the interpreter, which is thrown away, and lists what it declares.
    ///
    /// # Errors
    /// [`BuildError`]: the code does not execute, a limit was met, or the list is no list.
    pub fn describe(
        &self,
        module: &ModuleSource,
        limits: &BuildLimits,
    ) -> Result<Vec<Declaration>, BuildError> {
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

    /// The functions that the guests import, read from the linked module: the whole capability set.
    pub fn imports(&self) -> Vec<ImportedFunction> {
        self.0.plain.imports.clone()
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

impl EngineInner {
    /// An interpreter that is set up, now if it was not before. Others that want it meanwhile wait.
    pub(crate) fn interpreter(
        &self,
        interpreter: Interpreter,
    ) -> Result<Arc<PreparedInterpreter>, EngineError> {
        if interpreter == Interpreter::Plain || self.guests.is_one() {
            return Ok(self.plain.clone());
        }
        if let Some(ready) = self.numpy.get() {
            return Ok(ready.clone());
        }
        let _one_at_a_time = self.numpy_setup.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = self.numpy.get() {
            return Ok(ready.clone());
        }
        let started = std::time::Instant::now();
        let ready = self.surroundings.prepare(&self.guests.artefact(interpreter))?;
        if let Some(import) = ready.imports.iter().find(|import| !self.plain.imports.contains(import)) {
            return Err(EngineError::Imports { name: format!("{}.{}", import.module, import.name) });
        }
        let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(interpreter = interpreter.name(), took_ms, "interpreter ready");
        Ok(self.numpy.get_or_init(|| Arc::new(ready)).clone())
    }
}
