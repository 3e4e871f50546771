//! Images: functions that are ready to run.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::build::BuildResult;
use crate::capabilities::Capabilities;
use crate::codec::{Reader, StoredMemory, put_bytes, put_memory, put_u64};
use crate::engine::{Engine, EngineError, EngineInner};
use crate::function::FunctionSpec;
use crate::globals::Globals;
use crate::guest::Guest;
use crate::host_state::HostState;
use crate::instance::{Instance, Room};
use crate::limits::Limits;
use crate::logs::Logs;
use crate::memory::{Backing, MemoryError, PAGE, PageRun};
use crate::prepared::PreparedInterpreter;
use crate::trap::CallLimits;
use crate::usage::Usage;

/// Version of the stored form of images.
pub(crate) const IMAGE_FORMAT: u32 = 3;

const MAGIC: [u8; 8] = *b"VIVIMAGE";

/// A function whose code has been imported: the memory of an interpreter, ready to be forked.
///
/// It holds only the pages in which it differs from the bare interpreter, and one file descriptor.
/// Cheap to clone.
#[derive(Clone)]
pub struct Image(pub(crate) Arc<ImageInner>);

pub(crate) struct ImageInner {
    pub(crate) engine: Arc<EngineInner>,
    interpreter: Arc<PreparedInterpreter>,
    pub(crate) spec: FunctionSpec,
    pub(crate) memory: Arc<Backing>,
    globals: Globals,
    /// Pages in which the memory differs from the base.
    pages: Vec<PageRun>,
    /// The guest's handle of the function.
    pub(crate) function: u32,
    pub(crate) room: Room,
    drew_randomness: bool,
    logs: Logs,
    usage: Usage,
}

/// No instance could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForkError {
    /// The memory limits of the live instances leave no room for this one.
    #[error("host_memory_bytes: {in_use} of {limit} bytes are promised, {requested} more do not fit")]
    Admission {
        /// Bytes that may be promised in total.
        limit: u64,
        /// Bytes promised to live instances.
        in_use: u64,
        /// The new instance's memory limit.
        requested: u64,
    },
    /// The image alone is larger than the memory limit.
    #[error("memory_bytes: the image needs {requested} bytes, {limit} are allowed")]
    TooSmall {
        /// The instance's memory limit.
        limit: u64,
        /// Size of the image's memory.
        requested: u64,
    },
    /// No region of address space could be had.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// wasmtime refused.
    #[error("the guest could not be instantiated: {reason}")]
    Instantiate {
        /// What it said.
        reason: String,
    },
}

/// Bytes that are not the image that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Not an image, or a damaged one.
    #[error("the bytes are not an intact image")]
    Damaged,
    /// The image has another format.
    #[error("the image has format {got}, this engine reads {expected}")]
    Format {
        /// Format this engine reads.
        expected: u32,
        /// Format of the image.
        got: u32,
    },
    /// The image was built on another guest or another base.
    #[error("the image was built by an engine with another identity")]
    OtherEngine,
    /// The image belongs to another function.
    #[error("the image belongs to another function")]
    OtherFunction,
    /// The function's interpreter could not be set up.
    #[error(transparent)]
    Engine(#[from] Box<EngineError>),
    /// The memory could not be set up.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

impl Image {
    /// Makes an instance: a copy of the image that shares every page until it writes to it. Takes
    /// microseconds and runs no guest code.
    ///
    /// # Errors
    /// [`ForkError`], in particular when the host's memory budget does not admit the instance.
    pub fn fork(&self, limits: &Limits, capabilities: &Capabilities) -> Result<Instance, ForkError> {
        let inner = &*self.0;
        let reservation = inner.engine.admission.reserve(limits.memory_bytes)?;
        let state = HostState::new(limits.memory_bytes, limits.log_bytes, capabilities.clone(), false);
        let guest = inner.fork(state, limits)?;
        Ok(Instance::new(guest, reservation, self.clone(), limits))
    }

    /// The function.
    pub fn spec(&self) -> &FunctionSpec {
        &self.0.spec
    }

    /// Bytes that this image holds in memory beyond what all images share.
    pub fn stored_bytes(&self) -> u64 {
        self.0.memory.own_bytes() as u64
    }

    /// Size of a fresh instance's linear memory, in bytes: the least that a memory limit can be.
    pub fn memory_bytes(&self) -> u64 {
        self.0.memory.len() as u64
    }

    /// Whether the code drew random numbers while it was imported. Those from the operating system
    /// were refused; those from a generator without a seed are now the same in every fork.
    pub fn drew_randomness_at_import(&self) -> bool {
        self.0.drew_randomness
    }

    /// What the code wrote while it was imported.
    pub fn build_logs(&self) -> &Logs {
        &self.0.logs
    }

    /// What importing the code used.
    pub fn build_usage(&self) -> Usage {
        self.0.usage
    }

    /// The image as bytes, for [`Engine::load_image`]. They contain the function's memory: keep them
    /// as private as its code.
    pub fn to_bytes(&self) -> Vec<u8> {
        let inner = &*self.0;
        let stored: usize = inner.pages.iter().map(|run| run.len).sum();
        // Room for the rest as well, so that the pages are copied once.
        let mut bytes = Vec::with_capacity(stored + (64 << 10));
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&IMAGE_FORMAT.to_le_bytes());
        let digest_at = bytes.len();
        bytes.extend_from_slice(&[0; 32]);
        let body_at = bytes.len();
        let body = &mut bytes;
        body.extend_from_slice(&inner.interpreter.image_key);
        body.extend_from_slice(&inner.spec.digest());
        put_u64(body, u64::from(inner.function));
        for address in inner.room.addresses() {
            put_u64(body, u64::from(address));
        }
        put_u64(body, u64::from(inner.drew_randomness));
        put_bytes(body, &inner.logs.stdout);
        put_bytes(body, &inner.logs.stderr);
        put_u64(body, inner.logs.dropped_bytes);
        put_u64(body, inner.usage.fuel);
        put_u64(body, inner.usage.peak_memory_bytes);
        put_memory(body, inner.memory.len(), &inner.globals, &inner.pages);
        for start in inner.pages.iter().flat_map(|run| (run.start..run.start + run.len).step_by(PAGE)) {
            body.extend_from_slice(inner.memory.page(start).unwrap_or(&[0; PAGE]));
        }
        let digest = Sha256::digest(bytes.get(body_at..).unwrap_or_default());
        if let Some(place) = bytes.get_mut(digest_at..body_at) {
            place.copy_from_slice(&digest);
        }
        bytes
    }

    /// An image of what a build left behind.
    pub(crate) fn new(
        engine: &Engine,
        interpreter: Arc<PreparedInterpreter>,
        spec: &FunctionSpec,
        built: BuildResult<'_>,
    ) -> Result<Self, MemoryError> {
        let StoredMemory { len, globals, pages } = built.memory;
        let (base, pool) = (interpreter.base.snapshot.clone(), &interpreter.pool);
        let memory = Backing::with_pages(base, pool, len, &pages)?;
        Ok(Self(Arc::new(ImageInner {
            engine: engine.0.clone(),
            interpreter,
            spec: spec.clone(),
            memory,
            globals,
            pages: pages.iter().map(|(run, _)| *run).collect(),
            function: built.function,
            room: built.room,
            drew_randomness: built.drew_randomness,
            logs: built.logs,
            usage: built.usage,
        })))
    }
}

impl ImageInner {
    /// A guest with the image's memory. The caller has admitted it.
    fn fork(&self, state: HostState, limits: &Limits) -> Result<Guest, ForkError> {
        let call_limits = CallLimits {
            fuel: limits.fuel_per_batch,
            deadline_ms: limits.deadline_ms,
            memory_bytes: limits.memory_bytes,
        };
        self.interpreter.fork(&self.memory, &self.globals, state, call_limits)
    }

    /// Makes `guest`, a fork of this image, a fresh one: in its place or, where that takes longer, anew.
    pub(crate) fn restart(
        &self,
        guest: &mut Guest,
        state: HostState,
        limits: &Limits,
    ) -> Result<(), ForkError> {
        let Some(pages) = guest.pages_to_restore(&self.memory, &self.interpreter.pool) else {
            *guest = self.fork(state, limits)?;
            return Ok(());
        };
        let restarted = guest.restart((&self.memory, &pages), &self.globals, state);
        restarted.map_err(|error| ForkError::Instantiate { reason: format!("{error:#}") })
    }
}

/// Makes an image of its stored form.
pub(crate) fn load(engine: &Engine, spec: &FunctionSpec, bytes: &[u8]) -> Result<Image, LoadError> {
    let mut reader = Reader(bytes);
    let header = (|| {
        let magic = reader.array()?;
        let format = u32::from_le_bytes(reader.array()?);
        Some((magic, format, reader.array::<32>()?))
    })();
    let (MAGIC, format, digest) = header.ok_or(LoadError::Damaged)? else { return Err(LoadError::Damaged) };
    if format != IMAGE_FORMAT {
        return Err(LoadError::Format { expected: IMAGE_FORMAT, got: format });
    }
    if <[u8; 32]>::from(Sha256::digest(reader.0)) != digest {
        return Err(LoadError::Damaged);
    }
    let keys = (reader.array::<32>(), reader.array::<32>());
    let interpreter = engine.0.interpreter(spec.interpreter).map_err(Box::new)?;
    if keys.0 != Some(interpreter.image_key) {
        return Err(LoadError::OtherEngine);
    }
    if keys.1 != Some(spec.digest()) {
        return Err(LoadError::OtherFunction);
    }
    let built = read_body(&mut reader).filter(|_| reader.is_empty()).ok_or(LoadError::Damaged)?;
    Ok(Image::new(engine, interpreter, spec, built)?)
}

fn read_body<'a>(reader: &mut Reader<'a>) -> Option<BuildResult<'a>> {
    let function = u32::try_from(reader.u64()?).ok()?;
    let room = [u32::try_from(reader.u64()?).ok()?, u32::try_from(reader.u64()?).ok()?];
    let drew_randomness = reader.u64()? != 0;
    let logs = Logs {
        stdout: reader.bytes()?.to_vec(),
        stderr: reader.bytes()?.to_vec(),
        dropped_bytes: reader.u64()?,
    };
    let usage = Usage { fuel: reader.u64()?, peak_memory_bytes: reader.u64()?, ..Usage::default() };
    let memory = StoredMemory::read(reader)?;
    let room = Room::at(room, memory.len)?;
    Some(BuildResult { function, room, drew_randomness, logs, usage, memory })
}
