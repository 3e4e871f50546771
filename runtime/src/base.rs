//! The base image: an initialised interpreter, shared by the images of all functions.

use std::io::Read;
use std::sync::Arc;

use crate::call::CallError;
use crate::capabilities::{Capabilities, Clock};
use crate::codec::{StoredMemory, read_memory, runs_where};
use crate::globals::Globals;
use crate::guest::{Guest, GuestModule};
use crate::host_state::HostState;
use crate::instrument::DataSegment;
use crate::memory::{MemoryError, PAGE, Prepared, RegionPool, Snapshot};
use crate::stack::with_guest_stack;
use crate::trap::CallLimits;

/// Version of the guest ABI that this runtime speaks.
pub(crate) const ABI_VERSION: u32 = 1;

/// The interpreter's start is ours, not a tenant's: these only catch a broken guest.
const LIMITS: CallLimits = CallLimits { fuel: 1 << 40, deadline_ms: 120_000, memory_bytes: 1 << 30 };

const LOG_BYTES: u64 = 64 << 10;

/// Why the interpreter did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {
    /// A call into the guest failed.
    #[error("{step}: {error}{}", if .stderr.is_empty() { String::new() } else { format!("\n{}", .stderr) })]
    Call {
        /// What was called.
        step: &'static str,
        /// How it failed.
        error: Box<CallError>,
        /// The end of what the guest wrote to stderr.
        stderr: String,
    },
    /// The guest implements another version of the guest ABI.
    #[error("the guest has ABI version {got}, this runtime speaks {expected}")]
    AbiVersion {
        /// Version this runtime speaks.
        expected: u32,
        /// Version of the guest.
        got: u32,
    },
    /// A data segment lies outside of the guest's memory.
    #[error("a data segment of {bytes} bytes at {offset:#x} lies outside of the guest's memory")]
    DataSegment {
        /// Where the segment starts.
        offset: u32,
        /// Its size, in bytes.
        bytes: usize,
    },
    /// Memory could not be set up.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The module could not be instantiated.
    #[error("the guest could not be instantiated: {reason}")]
    Instantiate {
        /// What wasmtime said.
        reason: String,
    },
    /// The stored form is not one.
    #[error("the stored base image is malformed")]
    Malformed,
    /// The stored form cannot be read.
    #[error("the stored base image cannot be read: {0}")]
    Read(#[source] std::io::Error),
    /// The operating system has no random bytes.
    #[error("no random bytes for the hash seed: {0}")]
    Random(#[from] getrandom::Error),
    /// No thread could be started.
    #[error("no thread to start the interpreter on: {0}")]
    Thread(#[from] std::io::Error),
}

/// The base image.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) globals: Globals,
    /// SHA-256 of the stored form: images can be loaded only over the base they were built on.
    pub(crate) digest: [u8; 32],
}

/// Starts the interpreter in the module's initial memory and returns the stored form of the base
/// image.
pub(crate) fn build(
    module: &GuestModule,
    pool: &Arc<RegionPool>,
    data: &[DataSegment],
) -> Result<Vec<u8>, BaseError> {
    let mut seed = [0; 4];
    getrandom::fill(&mut seed)?;
    with_guest_stack(|| {
        // The wall clock would end up in the image.
        let capabilities = Capabilities { clock: Clock::Frozen { unix_ns: 0 }, ..Capabilities::default() };
        let state = HostState::new(LIMITS.memory_bytes, LOG_BYTES, capabilities, true);
        let mut guest = Guest::start(module, Prepared::zeroed(pool)?, None, state, LIMITS)
            .map_err(|error| BaseError::Instantiate { reason: error.to_string() })?;
        write_data(&mut guest, data)?;
        start(&mut guest, u32::from_le_bytes(seed))?;
        Ok(encode(&mut guest))
    })?
}

fn write_data(guest: &mut Guest, data: &[DataSegment]) -> Result<(), BaseError> {
    for DataSegment { offset, bytes } in data {
        let start = *offset as usize;
        match guest.memory_mut().get_mut(start..start + bytes.len()) {
            Some(dest) => dest.copy_from_slice(bytes),
            None => return Err(BaseError::DataSegment { offset: *offset, bytes: bytes.len() }),
        }
    }
    Ok(())
}

fn start(guest: &mut Guest, hash_seed: u32) -> Result<(), BaseError> {
    step(guest, "starting the interpreter's clock", Guest::begin)?;
    step(guest, "_initialize", Guest::initialize)?;
    let got = step(guest, "vivarium_abi_version", Guest::abi_version)?;
    if got != ABI_VERSION {
        return Err(BaseError::AbiVersion { expected: ABI_VERSION, got });
    }
    step(guest, "vivarium_init", |guest| guest.init(hash_seed))?;
    tracing::debug!(fuel = guest.end(), memory = guest.memory().len(), "started the interpreter");
    Ok(())
}

fn step<R>(
    guest: &mut Guest,
    step: &'static str,
    call: impl FnOnce(&mut Guest) -> Result<R, CallError>,
) -> Result<R, BaseError> {
    call(guest).map_err(|error| BaseError::Call {
        step,
        error: Box::new(error),
        stderr: guest.state().logs.stderr_tail(),
    })
}

fn encode(guest: &mut Guest) -> Vec<u8> {
    let globals = guest.globals();
    let memory = guest.memory();
    let is_used = |start: usize| page(memory, start).iter().any(|byte| *byte != 0);
    let runs = runs_where(memory.len(), is_used);
    let content =
        |run: &crate::memory::PageRun| memory.get(run.start..run.start + run.len).unwrap_or_default();
    let pages = runs.iter().map(|run| (*run, content(run))).collect();
    let mut bytes = Vec::new();
    StoredMemory { len: memory.len(), globals, pages }.write(&mut bytes);
    bytes
}

fn page(memory: &[u8], start: usize) -> &[u8] {
    memory.get(start..start + PAGE).unwrap_or_default()
}

impl Base {
    /// Reads a base image's stored form to its end; its SHA-256 is `digest`.
    pub(crate) fn read(from: &mut impl Read, digest: [u8; 32]) -> Result<Self, BaseError> {
        let stored = read_memory(from).map_err(BaseError::Read)?;
        let (len, globals, runs) = stored.ok_or(BaseError::Malformed)?;
        let snapshot = Snapshot::read(len, &runs, from)?;
        if from.read(&mut [0]).map_err(BaseError::Read)? != 0 {
            return Err(BaseError::Malformed);
        }
        Ok(Self { snapshot, globals, digest })
    }
}
