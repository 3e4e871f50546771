//! One running guest: the exports of the guest ABI, called with suspicion.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::{
    Extern, Instance, InstancePre, Memory, Module, ModuleExport, Store, TypedFunc, Val, WasmParams,
    WasmResults,
};

use crate::call::{CallError, ProtocolViolation};
use crate::function_error::{ERROR_BYTES_MAX, FunctionError};
use crate::globals::{GlobalExports, Globals};
use crate::host_state::{Handles, HostState, begin_call, charge, fuel_used};
use crate::instrument::{FUEL_EXPORT, START_EXPORT};
use crate::memory::{Backing, PageRun, Prepared, RegionPool, TouchedPages, with_prepared};
use crate::operation::{Answer, Expect, Operation};
use crate::trap::{CallLimits, explain};

/// Longest list of declarations that is read from a guest, in bytes.
const DESCRIPTION_BYTES_MAX: u32 = 1 << 20;

/// Most bytes that are copied back when a guest restarts in its place; more take longer than a new fork.
const RESTORED_MAX: usize = 2 << 20;

/// Where the schemas of a function that is being loaded are in the guest's memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LoadedSchemas {
    pub(crate) input: u32,
    pub(crate) output: u32,
    /// 0 unless the function is an aggregate.
    pub(crate) state: u32,
}

/// A module that has everything a guest must have.
#[derive(Clone)]
pub(crate) struct GuestModule {
    pre: InstancePre<HostState>,
    exports: Arc<Exports>,
}

/// Where the ABI's exports are in the module.
pub(crate) struct Exports {
    memory: ModuleExport,
    fuel: ModuleExport,
    stack_pointer: ModuleExport,
    globals: GlobalExports,
    start: Option<ModuleExport>,
    initialize: Export,
    abi_version: Export,
    init: Export,
    alloc: Export,
    free: Export,
    mount: Export,
    load: Export,
    describe: Export,
    image_flags: Export,
    freeze: Export,
    invoke: Export,
    last_error: Export,
}

#[derive(Clone, Copy)]
struct Export {
    name: &'static str,
    at: ModuleExport,
}

/// The module lacks an export of the guest ABI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the guest has no export `{name}`")]
pub struct MissingExport {
    /// The export's name.
    pub name: &'static str,
}

impl GuestModule {
    /// Looks the exports up.
    pub(crate) fn new(module: &Module, pre: InstancePre<HostState>) -> Result<Self, MissingExport> {
        let at = |name: &'static str| module.get_export_index(name).ok_or(MissingExport { name });
        let export = |name: &'static str| at(name).map(|at| Export { name, at });
        let exports = Exports {
            memory: at("memory")?,
            fuel: at(FUEL_EXPORT)?,
            stack_pointer: at("__stack_pointer")?,
            globals: GlobalExports::find(module),
            start: module.get_export_index(START_EXPORT),
            initialize: export("_initialize")?,
            abi_version: export("vivarium_abi_version")?,
            init: export("vivarium_init")?,
            alloc: export("vivarium_alloc")?,
            free: export("vivarium_free")?,
            mount: export("vivarium_mount")?,
            load: export("vivarium_load")?,
            describe: export("vivarium_describe")?,
            image_flags: export("vivarium_image_flags")?,
            freeze: export("vivarium_freeze")?,
            invoke: export("vivarium_invoke")?,
            last_error: export("vivarium_last_error")?,
        };
        Ok(Self { pre, exports: Arc::new(exports) })
    }
}

/// A guest that can be called.
pub(crate) struct Guest {
    store: Store<HostState>,
    instance: Instance,
    memory: Memory,
    exports: Arc<Exports>,
    limits: CallLimits,
    /// The stack pointer while no call is running.
    stack_start: u32,
    poisoned: bool,
    fuel_before: u64,
    touched: TouchedPages,
}

impl Guest {
    /// Instantiates the module over `memory` and restores `globals`. Runs no guest code.
    pub(crate) fn start(
        module: &GuestModule,
        memory: Prepared,
        globals: Option<&Globals>,
        state: HostState,
        limits: CallLimits,
    ) -> wasmtime::Result<Self> {
        let touched = memory.touched();
        let mut store = Store::new(module.pre.module().engine(), state);
        store.limiter(|state| &mut state.growth);
        let instance = with_prepared(memory, || module.pre.instantiate(&mut store))?;
        let exports = module.exports.clone();
        let memory = match instance.get_module_export(&mut store, &exports.memory) {
            Some(Extern::Memory(memory)) => memory,
            _ => return Err(wasmtime::Error::msg("the export `memory` is not a memory")),
        };
        let fuel = match instance.get_module_export(&mut store, &exports.fuel) {
            Some(Extern::Global(fuel)) => fuel,
            _ => return Err(wasmtime::Error::msg("the fuel counter is not a global")),
        };
        store.data_mut().handles = Some(Handles { memory, fuel });
        if let Some(globals) = globals {
            exports.globals.restore(&mut store, instance, globals)?;
        }
        let mut guest = Self {
            store,
            instance,
            memory,
            exports,
            limits,
            stack_start: 0,
            poisoned: false,
            fuel_before: 0,
            touched,
        };
        guest.stack_start = guest.stack_pointer();
        Ok(guest)
    }

    /// Starts the account of a batch of calls: fuel and deadline count from here.
    pub(crate) fn begin(&mut self) -> Result<(), CallError> {
        if self.poisoned {
            return Err(CallError::Poisoned);
        }
        if self.state().meter.canceller().is_cancelled() {
            return Err(CallError::Cancelled);
        }
        let deadline = Duration::from_millis(self.limits.deadline_ms);
        begin_call(&mut self.store, self.limits.fuel, deadline).map_err(CallError::host)?;
        self.store.data_mut().growth.denied = false;
        Ok(())
    }

    /// Takes fuel for work that the host does for the guest.
    pub(crate) fn charge(&mut self, units: u64) -> Result<(), CallError> {
        let charged = charge(&mut self.store, units);
        charged.map_err(|error| explain(&error, self.store.data(), self.limits, (0, 0)))
    }

    /// Ends the account that [`Guest::begin`] started and returns the fuel it used.
    pub(crate) fn end(&mut self) -> u64 {
        let used = fuel_used(&mut self.store);
        self.fuel_before = self.fuel_before.saturating_add(used);
        self.state().meter.canceller().publish_fuel(self.fuel_before);
        used
    }

    /// Fuel used by all accounts that have ended.
    pub(crate) fn fuel(&self) -> u64 {
        self.fuel_before
    }

    /// Whether the guest must not be entered again.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Forbids any further call.
    pub(crate) fn poison(&mut self) {
        self.poisoned = true;
    }

    pub(crate) fn state(&self) -> &HostState {
        self.store.data()
    }

    pub(crate) fn state_mut(&mut self) -> &mut HostState {
        self.store.data_mut()
    }

    /// All of linear memory.
    pub(crate) fn memory(&self) -> &[u8] {
        self.memory.data(&self.store)
    }

    /// All of linear memory, to write to.
    pub(crate) fn memory_mut(&mut self) -> &mut [u8] {
        self.touched.touch();
        self.memory.data_mut(&mut self.store)
    }

    /// Starts to notice whether the calling thread makes more pages the guest's own, until
    /// [`Guest::end_watch`] on the same thread: only then has [`Guest::restart`] to look for them.
    pub(crate) fn watch(&mut self) {
        self.touched.watch();
    }

    /// Ends what [`Guest::watch`] began.
    pub(crate) fn end_watch(&mut self) {
        self.touched.end_watch();
    }

    /// The pages that [`Guest::restart`] has to restore; `None` if it is not possible, or a new fork of
    /// `memory` is quicker.
    pub(crate) fn pages_to_restore(&self, memory: &Backing, pool: &RegionPool) -> Option<Arc<[PageRun]>> {
        let bytes = self.memory.data(&self.store);
        // A memory that has grown cannot shrink.
        if bytes.len() != memory.len() {
            return None;
        }
        let found = pool.pages_to_restore(&self.touched, bytes)?;
        (found.iter().map(|run| run.len).sum::<usize>() <= RESTORED_MAX).then_some(found)
    }

    /// Brings memory, globals and the host's side back to those of a fork of `memory` and `globals`, which
    /// this guest was forked from; `pages` are those of [`Guest::pages_to_restore`].
    pub(crate) fn restart(
        &mut self,
        (memory, pages): (&Backing, &[PageRun]),
        globals: &Globals,
        state: HostState,
    ) -> wasmtime::Result<()> {
        memory.restore(self.memory.data_mut(&mut self.store), pages);
        let handles = self.store.data().handles;
        *self.store.data_mut() = HostState { handles, ..state };
        self.exports.globals.restore(&mut self.store, self.instance, globals)?;
        self.poisoned = false;
        self.fuel_before = 0;
        Ok(())
    }

    /// The mutable globals.
    pub(crate) fn globals(&mut self) -> Globals {
        self.exports.globals.save(&mut self.store, self.instance)
    }

    fn stack_pointer(&mut self) -> u32 {
        let at = self.exports.stack_pointer;
        match self.instance.get_module_export(&mut self.store, &at) {
            Some(Extern::Global(global)) => match global.get(&mut self.store) {
                Val::I32(value) => value.cast_unsigned(),
                _ => 0,
            },
            _ => 0,
        }
    }

    fn call<P: WasmParams, R: WasmResults>(&mut self, export: Export, params: P) -> Result<R, CallError> {
        if self.poisoned {
            return Err(CallError::Poisoned);
        }
        self.touched.touch();
        let function = match self.instance.get_module_export(&mut self.store, &export.at) {
            Some(Extern::Func(function)) => function.typed::<P, R>(&self.store),
            _ => Err(wasmtime::Error::msg("not a function")),
        };
        let function: TypedFunc<P, R> =
            function.map_err(|error| CallError::host(format!("`{}`: {error}", export.name)))?;
        function.call(&mut self.store, params).map_err(|error| {
            self.poisoned = true;
            let stack = (self.stack_pointer(), self.stack_start);
            explain(&error, self.store.data(), self.limits, stack)
        })
    }

    /// Runs what was the module's start function, then the reactor's constructor.
    pub(crate) fn initialize(&mut self) -> Result<(), CallError> {
        if let Some(at) = self.exports.start {
            self.call::<(), ()>(Export { name: START_EXPORT, at }, ())?;
        }
        self.call::<(), ()>(self.exports.initialize, ())
    }

    /// The version of the guest ABI that the guest implements.
    pub(crate) fn abi_version(&mut self) -> Result<u32, CallError> {
        self.call(self.exports.abi_version, ())
    }

    /// Starts the interpreter.
    pub(crate) fn init(&mut self, hash_seed: u32) -> Result<(), CallError> {
        let answer: i32 = self.call(self.exports.init, hash_seed)?;
        self.zero_or_error(self.exports.init.name, answer)
    }

    /// `size` bytes at a 64-byte boundary.
    pub(crate) fn alloc(&mut self, size: u32) -> Result<u32, CallError> {
        let pointer: u32 = self.call(self.exports.alloc, size)?;
        if pointer == 0 {
            return Err(CallError::Memory { limit_bytes: self.limits.memory_bytes, error: None });
        }
        let end = u64::from(pointer) + u64::from(size);
        if end > self.memory().len() as u64 || !pointer.is_multiple_of(64) {
            return Err(self.violation(ProtocolViolation::Pointer {
                export: self.exports.alloc.name,
                pointer,
                bytes: u64::from(size),
                memory: self.memory().len() as u64,
            }));
        }
        Ok(pointer)
    }

    /// Gives memory back.
    pub(crate) fn free(&mut self, pointer: u32) -> Result<(), CallError> {
        self.call(self.exports.free, pointer)
    }

    /// Puts the files of an archive into the guest's file system, which takes the memory over that the
    /// archive is in.
    pub(crate) fn mount(&mut self, archive: u32, len: u32) -> Result<(), CallError> {
        /// What the file system answers when memory is exhausted.
        const NOMEM: i32 = 48;
        let answer: i32 = self.call(self.exports.mount, (archive, len))?;
        match answer {
            0 => Ok(()),
            NOMEM => Err(CallError::Memory { limit_bytes: self.limits.memory_bytes, error: None }),
            value => Err(self.answer(self.exports.mount.name, value)),
        }
    }

    /// Binds a function; all pointers are the guest's own. Returns its handle.
    pub(crate) fn load(
        &mut self,
        spec: u32,
        spec_len: u32,
        schemas: LoadedSchemas,
    ) -> Result<u32, CallError> {
        let LoadedSchemas { input, output, state } = schemas;
        let handle: i32 = self.call(self.exports.load, (spec, spec_len, input, output, state))?;
        match handle {
            0 => Err(self.last_error()),
            handle if handle > 0 => Ok(handle.cast_unsigned()),
            value => Err(self.answer(self.exports.load.name, value)),
        }
    }

    /// Whether the code that was loaded drew pseudo-random numbers, to be asked before the freeze.
    pub(crate) fn drew_while_loading(&mut self) -> Result<bool, CallError> {
        let flags: i32 = self.call(self.exports.image_flags, ())?;
        match flags {
            -1 => Err(self.answer(self.exports.image_flags.name, flags)),
            flags => Ok(flags & 1 != 0),
        }
    }

    /// Last call before a snapshot.
    pub(crate) fn freeze(&mut self) -> Result<(), CallError> {
        let answer: i32 = self.call(self.exports.freeze, ())?;
        self.zero_or_error(self.exports.freeze.name, answer)
    }

    /// Asks the function with this handle for an operation over the `ArrowArray` at `input`. Of an answer
    /// that says so, [`Guest::last_error`] tells why it failed.
    pub(crate) fn invoke(
        &mut self,
        function: u32,
        operation: Operation,
        input: u32,
        output: u32,
        expect: Expect,
    ) -> Result<Answer, CallError> {
        let answer: i32 = self.call(self.exports.invoke, (function, operation as i32, input, output))?;
        Answer::read(answer, expect).ok_or_else(|| self.answer(self.exports.invoke.name, answer))
    }

    /// Executes a module and returns what it declares, as JSON; the spec is the guest's own.
    pub(crate) fn describe(&mut self, spec: u32, spec_len: u32) -> Result<Vec<u8>, CallError> {
        let out = self.alloc(64)?;
        let answer: i32 = self.call(self.exports.describe, (spec, spec_len, out))?;
        self.zero_or_error(self.exports.describe.name, answer)?;
        let (pointer, len) = self.span(out);
        if len > DESCRIPTION_BYTES_MAX {
            let limit = DESCRIPTION_BYTES_MAX;
            return Err(self.violation(ProtocolViolation::DescriptionSize { limit, requested: len }));
        }
        let description = self.text(self.exports.describe.name, pointer, len)?.to_vec();
        self.free(out)?;
        Ok(description)
    }

    /// A pointer and a length that the guest wrote at `at`.
    fn span(&self, at: u32) -> (u32, u32) {
        let field = |at: usize| -> Option<u32> {
            self.memory().get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
        };
        (field(at as usize).unwrap_or(0), field(at as usize + 4).unwrap_or(0))
    }

    /// `len` bytes at `pointer`, which `export` gave.
    fn text(&mut self, export: &'static str, pointer: u32, len: u32) -> Result<&[u8], CallError> {
        let (start, end) = (pointer as usize, pointer as usize + len as usize);
        let memory = self.memory().len() as u64;
        if end as u64 > memory {
            let bytes = u64::from(len);
            return Err(self.violation(ProtocolViolation::Pointer { export, pointer, bytes, memory }));
        }
        Ok(self.memory().get(start..end).unwrap_or_default())
    }

    fn zero_or_error(&mut self, export: &'static str, answer: i32) -> Result<(), CallError> {
        match answer {
            0 => Ok(()),
            -1 => Err(self.last_error()),
            value => Err(self.answer(export, value)),
        }
    }

    fn answer(&mut self, export: &'static str, value: i32) -> CallError {
        self.violation(ProtocolViolation::Answer { export, value: i64::from(value) })
    }

    fn violation(&mut self, violation: ProtocolViolation) -> CallError {
        self.poisoned = true;
        violation.into()
    }

    /// Asks the guest what went wrong.
    pub(crate) fn last_error(&mut self) -> CallError {
        match self.read_error() {
            Ok(error) => {
                let denied = self.state().growth.denied;
                CallError::of_function(error, self.limits.memory_bytes, denied)
            }
            Err(error) => error,
        }
    }

    fn read_error(&mut self) -> Result<FunctionError, CallError> {
        let out = self.alloc(64)?;
        self.call::<u32, ()>(self.exports.last_error, out)?;
        let (pointer, len) = self.span(out);
        if len > ERROR_BYTES_MAX {
            return Err(
                self.violation(ProtocolViolation::ErrorSize { limit: ERROR_BYTES_MAX, requested: len })
            );
        }
        let error = FunctionError::parse(self.text(self.exports.last_error.name, pointer, len)?);
        self.free(out)?;
        Ok(error)
    }
}
