//! Rewrites the trusted guest module once, before it is compiled.
//!
//! After the rewrite the module
//!
//! - **meters itself**: it counts down a mutable `i64` global, `vivarium.fuel`, and calls the
//!   imported function `vivarium.refill` when the count falls below zero. One mechanism thus
//!   serves fuel, deadline and cancellation. Corrupted guest memory cannot reach a wasm global.
//! - **carries no data**: active data segments are taken out and returned, because instances get
//!   their memory from an image; a start function is exported instead of run.
//! - **can ask the host for input**: the body of its export `vivarium_pull`, a stub that the guest calls
//!   itself, becomes a call of the imported function `vivarium.pull`. The guest as it is built thus
//!   imports nothing but its capability set.
//! - **shows its whole state**: every mutable global is exported as `vivarium.global.<index>`, so
//!   that linear memory plus these globals is a complete snapshot. Tables cannot change: a module
//!   that writes to a table is refused.
//!
//! # Cost model
//!
//! A unit is about one WebAssembly operator. Reading locals, constants, `drop` and the boundaries of
//! blocks are free, as they are in compiled code; `memory.grow` counts as [`MEMORY_GROW_COST`], and each
//! page that it brings as [`MEMORY_PAGE_COST`].
//!
//! A *region* is a function's body without its loops, or a loop's body without the loops nested
//! in it. A region costs the number of operators that one pass through it executes *on average*,
//! computed once from the code: a conditional branch is assumed to be taken once in eight times, both
//! arms of an `if` and all arms of a `br_table` are equally likely. (The plain number of operators
//! would be useless: the interpreter's dispatch loop has tens of thousands and executes a few dozen
//! of them for each bytecode.)
//!
//! Fuel is taken
//!
//! - at the head of every loop, for each iteration: the loop's region;
//! - before some calls outside of loops that are reached by an unlikely branch only: the callee's
//!   region;
//! - at the entry of some functions: the function's region.
//!
//! All other functions' regions are part of the regions that call them; an indirect call counts as
//! [`INDIRECT_CALL_COST`] there, because the callee is not known. Which calls and functions are charged
//! is decided such that as few as possible are, see [`cost::CallGraph::new`]; functions that cost more
//! than [`HOISTED_COST_MAX`] and those that the host calls always are.
//!
//! So every cycle, in the code or in the graph of calls, passes a charge, and a bounded number of
//! operators lies between two charges.
//!
//! `memory.fill` and `memory.copy` cost one unit for each [`BULK_BYTES_PER_UNIT`] bytes, before they
//! run. Long ones run in pieces of [`BULK_PIECE_BYTES`], so that a deadline is seen between pieces.
//! Host calls charge fuel too, see [`crate::wasi`].
//!
//! The charge depends on the path taken only, so that the same call on the same data burns the same
//! fuel every time. (Random numbers and the clock are data.)

mod cost;
mod emit;
mod profile;
mod rewrite;
mod survey;

pub(crate) use rewrite::instrument;

/// Goes into the cache key: raise it when the rewritten code changes.
pub(crate) const INSTRUMENTATION_VERSION: u32 = 4;

/// Module and name of the function that the meter calls, imported in addition to the module's own.
pub(crate) const REFILL_IMPORT: (&str, &str) = ("vivarium", "refill");

/// Module and name of the function that takes the place of [`PULL_EXPORT`], imported likewise.
pub(crate) const PULL_IMPORT: (&str, &str) = ("vivarium", "pull");

/// Export name of the stub that becomes a call of [`PULL_IMPORT`].
pub(crate) const PULL_EXPORT: &str = "vivarium_pull";

/// Functions that the rewritten module imports after the module's own imports.
pub(crate) const ADDED_IMPORTS: u32 = 2;

/// Export name of the fuel counter.
pub(crate) const FUEL_EXPORT: &str = "vivarium.fuel";

/// Prefix of the export names of the module's own mutable globals.
pub(crate) const GLOBAL_EXPORT_PREFIX: &str = "vivarium.global.";

/// Export name of what was the module's start function.
pub(crate) const START_EXPORT: &str = "vivarium.start";

/// A function that costs more than this on average is charged at its own entry, not by its callers.
pub(crate) const HOISTED_COST_MAX: u64 = 1000;

/// Charge of an indirect call: an average, because the callee is not known before.
pub(crate) const INDIRECT_CALL_COST: u32 = 25;

/// Operators that `memory.grow` counts as: it is a call into the host and a system call.
pub(crate) const MEMORY_GROW_COST: u32 = 100;

/// Units for each page of 64 KiB that a memory has grown by: as much as filling it, because the kernel does
/// that, in sixteen page faults, when the guest touches it for the first time, which no fuel could count.
pub(crate) const MEMORY_PAGE_COST: u32 = 65_536 / BULK_BYTES_PER_UNIT;

/// Bytes that one unit of fuel fills or copies.
pub(crate) const BULK_BYTES_PER_UNIT: u32 = 4;

/// Up to this length, a bulk operation of constant length is part of its region's cost.
pub(crate) const CONSTANT_BULK_MAX: u32 = 4096;

/// Bulk memory operations run in pieces of this many bytes.
pub(crate) const BULK_PIECE_BYTES: u32 = 1 << 20;

/// The only functions that a guest may import.
pub(crate) const ALLOWED_IMPORTS: [(&str, &str); 5] = [
    ("wasi_snapshot_preview1", "clock_time_get"),
    ("wasi_snapshot_preview1", "fd_write"),
    ("wasi_snapshot_preview1", "poll_oneoff"),
    ("wasi_snapshot_preview1", "proc_exit"),
    ("wasi_snapshot_preview1", "random_get"),
];

/// A rewritten module.
#[derive(Debug)]
pub(crate) struct Instrumented {
    /// The module's bytes.
    pub(crate) wasm: Vec<u8>,
    /// The initial memory's content, in the order in which it must be written.
    pub(crate) data: Vec<DataSegment>,
}

/// One former active data segment.
#[derive(Debug)]
pub(crate) struct DataSegment {
    /// Offset in linear memory, in bytes.
    pub(crate) offset: u32,
    /// What stands there.
    pub(crate) bytes: Vec<u8>,
}

/// Why a module cannot be a guest.
#[derive(Debug, thiserror::Error)]
pub enum InstrumentError {
    /// The bytes are not a core module.
    #[error("not a WebAssembly module: {0}")]
    Parse(#[from] wasmparser::Error),
    /// The module imports something outside of the capability set.
    #[error("the guest imports `{module}.{name}`, which is not in the capability set")]
    Import {
        /// Module part of the import.
        module: String,
        /// Name part of the import.
        name: String,
    },
    /// The module uses something that the rewrite or the snapshot does not support.
    #[error("the guest uses {what}, which is not supported")]
    Unsupported {
        /// The construct.
        what: &'static str,
    },
    /// The module's tables are too large.
    #[error("table_elements: the guest's tables have {requested} elements, {limit} are allowed")]
    Table {
        /// Elements allowed, in all tables together.
        limit: u64,
        /// Elements declared.
        requested: u64,
    },
    /// The module lacks something that a guest must have.
    #[error("the guest has no {what}")]
    Missing {
        /// What is missing.
        what: &'static str,
    },
    /// An export has a name that the rewrite reserves for itself.
    #[error("the guest exports the reserved name `{name}`")]
    ReservedName {
        /// The export's name.
        name: String,
    },
    /// A construct could not be encoded again.
    #[error("the guest could not be re-encoded: {0}")]
    Encode(String),
}
