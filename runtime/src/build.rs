//! Building an image: importing a function's code in a fork of the bare interpreter.

use crate::admission::Reservation;
use crate::call::CallError;
use crate::capabilities::Capabilities;
use crate::codec::{StoredMemory, runs_where};
use crate::engine::{Engine, EngineError};
use crate::exchange::{SchemaError, SchemaPlan};
use crate::files::{FilesError, FunctionFiles};
use crate::function::{FunctionSpec, SpecError};
use crate::guest::{Guest, LoadedSchemas};
use crate::host_state::HostState;
use crate::image::{ForkError, Image};
use crate::instance::Room;
use crate::limits::BuildLimits;
use crate::logs::Logs;
use crate::memory::{MemoryError, PAGE, PageRun};
use crate::prepared::PreparedInterpreter;
use crate::stack::with_guest_stack;
use crate::trap::CallLimits;
use crate::usage::Usage;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The spec cannot be a function.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A parameter or the result has a type that cannot cross into the guest.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The function's files cannot be put into a guest.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// The function's interpreter could not be set up.
    #[error(transparent)]
    Engine(#[from] Box<EngineError>),
    /// There was no room to build in.
    #[error(transparent)]
    Fork(#[from] ForkError),
    /// The code failed, or met a limit.
    #[error("{error}")]
    Call {
        /// How it failed; names the limit if one was met.
        error: Box<CallError>,
        /// What the code wrote until then.
        logs: Box<Logs>,
    },
    /// The image's memory could not be set up.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// No thread could be started.
    #[error("no thread to import the code on: {0}")]
    Thread(#[from] std::io::Error),
}

/// What a build leaves behind.
pub(crate) struct BuildResult<'a> {
    pub(crate) function: u32,
    pub(crate) room: Room,
    pub(crate) drew_randomness: bool,
    pub(crate) logs: Logs,
    pub(crate) usage: Usage,
    /// The pages that differ from the base.
    pub(crate) memory: StoredMemory<'a>,
}

/// Builds the image of `spec` with `files`.
pub(crate) fn build(
    engine: &Engine,
    spec: &FunctionSpec,
    files: &FunctionFiles,
    limits: &BuildLimits,
) -> Result<Image, BuildError> {
    spec.check(limits.code_bytes)?;
    files.check(limits)?;
    let input = SchemaPlan::parameters(&spec.parameters)?;
    let output = SchemaPlan::result(&spec.guest_output())?;
    let folded = spec.state().map(SchemaPlan::result).transpose()?;
    let schemas = Schemas { input, output, state: folded };
    let interpreter = engine.0.interpreter(spec.interpreter).map_err(Box::new)?;
    with_guest_stack(|| {
        let (_admitted, mut guest) = fork_bare(engine, &interpreter, limits)?;
        let loaded = guest.begin().and_then(|()| load(&mut guest, spec, files, &schemas));
        let fuel = guest.end();
        let logs = guest.state_mut().logs.take();
        let (function, room) = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                return Err(BuildError::Call { error: Box::new(error), logs: Box::new(logs) });
            }
        };
        let usage = Usage { fuel, peak_memory_bytes: guest.memory().len() as u64, ..Usage::default() };
        let drew_randomness = guest.state().drew_randomness;
        let globals = guest.globals();
        let memory = guest.memory();
        let changed = changed_pages(&interpreter, memory);
        let content = |run: &PageRun| memory.get(run.start..run.start + run.len).unwrap_or_default();
        let pages = changed.iter().map(|run| (*run, content(run))).collect();
        let memory = StoredMemory { len: memory.len(), globals, pages };
        let built = BuildResult { function, room, drew_randomness, logs, usage, memory };
        Ok(Image::new(engine, interpreter.clone(), spec, built)?)
    })?
}

/// A bare interpreter in which an image can be built, and the memory set aside for it.
pub(crate) fn fork_bare(
    engine: &Engine,
    interpreter: &PreparedInterpreter,
    limits: &BuildLimits,
) -> Result<(Reservation, Guest), ForkError> {
    let admitted = engine.0.admission.reserve(limits.memory_bytes)?;
    let state = HostState::new(limits.memory_bytes, limits.log_bytes, Capabilities::default(), true);
    let call_limits =
        CallLimits { fuel: limits.fuel, deadline_ms: limits.deadline_ms, memory_bytes: limits.memory_bytes };
    Ok((admitted, interpreter.fork_base(state, call_limits)?))
}

struct Schemas {
    input: SchemaPlan,
    output: SchemaPlan,
    state: Option<SchemaPlan>,
}

/// Imports the code; returns the function's handle and the room that its calls need.
fn load(
    guest: &mut Guest,
    spec: &FunctionSpec,
    files: &FunctionFiles,
    schemas: &Schemas,
) -> Result<(u32, Room), CallError> {
    mount(guest, files)?;
    let (spec, spec_len) = write_text(guest, &spec.guest_json(files))?;
    let schemas = LoadedSchemas {
        input: write_schema(guest, &schemas.input)?,
        output: write_schema(guest, &schemas.output)?,
        state: schemas.state.as_ref().map(|state| write_schema(guest, state)).transpose()?.unwrap_or(0),
    };
    let function = guest.load(spec, spec_len, schemas)?;
    for pointer in [spec, schemas.input, schemas.output, schemas.state] {
        if pointer != 0 {
            guest.free(pointer)?;
        }
    }
    if guest.drew_while_loading()? {
        guest.state_mut().drew_randomness = true;
    }
    let room = Room::allocate(guest)?;
    guest.freeze()?;
    Ok((function, room))
}

/// Puts files into the guest's file system, which keeps them where they are written.
pub(crate) fn mount(guest: &mut Guest, files: &FunctionFiles) -> Result<(), CallError> {
    if files.files.is_empty() {
        return Ok(());
    }
    // What does not fit 32 bits does not fit any guest.
    let len = u32::try_from(files.archive_bytes()).unwrap_or(u32::MAX);
    let at = guest.alloc(len)?;
    let start = at as usize;
    if let Some(archive) = guest.memory_mut().get_mut(start..start + len as usize) {
        files.write_archive(archive);
    }
    guest.mount(at, len)
}

/// Puts a text into the guest's memory; returns where it is and how long.
pub(crate) fn write_text(guest: &mut Guest, text: &str) -> Result<(u32, u32), CallError> {
    let len = u32::try_from(text.len()).map_err(CallError::host)?;
    let at = guest.alloc(len.max(1))?;
    let start = at as usize;
    if let Some(dest) = guest.memory_mut().get_mut(start..start + text.len()) {
        dest.copy_from_slice(text.as_bytes());
    }
    Ok((at, len))
}

fn write_schema(guest: &mut Guest, schema: &SchemaPlan) -> Result<u32, CallError> {
    let at = guest.alloc(u32::try_from(schema.size()).map_err(CallError::host)?)?;
    schema.write(guest.memory_mut(), at)?;
    Ok(at)
}

/// Pages of `memory`, a fork of the base, whose content is not the base's.
fn changed_pages(interpreter: &PreparedInterpreter, memory: &[u8]) -> Vec<PageRun> {
    let base = interpreter.base.snapshot.bytes();
    let differs = |start: usize| {
        let page = memory.get(start..start + PAGE).unwrap_or_default();
        match base.get(start..start + PAGE) {
            Some(before) => page != before,
            None => page.iter().any(|byte| *byte != 0),
        }
    };
    // Only pages that were written to can differ; the kernel may know which those are.
    match interpreter.pool.pagemap().and_then(|map| map.private_pages(memory.as_ptr(), memory.len())) {
        Some(written) => {
            let mut written = written.into_iter().peekable();
            runs_where(memory.len(), |start| {
                while written.peek().is_some_and(|run| run.start + run.len <= start) {
                    written.next();
                }
                written.peek().is_some_and(|run| run.start <= start) && differs(start)
            })
        }
        None => runs_where(memory.len(), differs),
    }
}
