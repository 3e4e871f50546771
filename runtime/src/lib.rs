//! Sandbox for untrusted Python functions over Arrow batches, as a library.
//!
//! A function becomes an [`Image`]: the memory of a Python interpreter that has imported the
//! function's code. Every [`Instance`] is a copy-on-write fork of an image, made in microseconds,
//! with limits on fuel, time, memory, input, output and logs, and thrown away after use. The
//! interpreter is CPython, compiled to one WebAssembly module that has no file system, network,
//! process or thread to reach for.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use std::sync::Arc;
//!
//! use arrow::array::{Array, ArrayRef, Int64Array};
//! use arrow::datatypes::{DataType, Field};
//! use arrow::record_batch::RecordBatch;
//! use vivarium_runtime::{
//!     BuildLimits, Capabilities, Engine, EngineConfig, FunctionFiles, FunctionKind, FunctionSpec,
//!     Interpreter, Limits,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new(EngineConfig::default())?;
//! let spec = FunctionSpec {
//!     name: "add".into(),
//!     handler: "add".into(),
//!     filename: "add.py".into(),
//!     code: "def add(a, b):\n    return a + b\n".into(),
//!     parameters: vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Int64, true)],
//!     result: Field::new("sum", DataType::Int64, true),
//!     kind: FunctionKind::Scalar,
//!     null_handling: Default::default(),
//!     on_error: Default::default(),
//!     environment: Default::default(),
//!     interpreter: Default::default(),
//!     files_digest: None,
//! };
//! let image = engine.build_image(&spec, &FunctionFiles::default(), &BuildLimits::default())?;
//!
//! let mut instance = image.fork(&Limits::default(), &Capabilities::default())?;
//! let a: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
//! let b: ArrayRef = Arc::new(Int64Array::from(vec![10, 20, 30]));
//! let batch = RecordBatch::try_from_iter_with_nullable([("a", a, true), ("b", b, true)])?;
//! let sum = instance.invoke(&batch)?;
//! assert_eq!(sum.as_ref(), &Int64Array::from(vec![11, 22, 33]) as &dyn Array);
//!
//! // A table function makes any number of rows of each row, and gives them as they are made.
//! let spec = FunctionSpec {
//!     handler: "between".into(),
//!     code: "def between(a, b):\n    yield from range(a, b)\n".into(),
//!     kind: FunctionKind::Table,
//!     ..spec
//! };
//! let image = engine.build_image(&spec, &FunctionFiles::default(), &BuildLimits::default())?;
//! let mut rows = 0;
//! image.fork(&Limits::default(), &Capabilities::default())?.expand(&batch, &mut |made| {
//!     rows += made.num_rows();
//!     ControlFlow::Continue(())
//! })?;
//! assert_eq!(rows, 9 + 18 + 27);
//!
//! // A vectorised function gets columns, which are NumPy's arrays without a copy.
//! let spec = FunctionSpec {
//!     handler: "distance".into(),
//!     code: "import numpy as np\ndef distance(a, b):\n    return np.abs(np.asarray(b) - a)\n".into(),
//!     kind: FunctionKind::Vectorized,
//!     interpreter: Interpreter::NumPy,
//!     ..spec
//! };
//! let image = engine.build_image(&spec, &FunctionFiles::default(), &BuildLimits::default())?;
//! let distance = image.fork(&Limits::default(), &Capabilities::default())?.invoke(&batch)?;
//! assert_eq!(distance.as_ref(), &Int64Array::from(vec![9, 18, 27]) as &dyn Array);
//! # Ok(())
//! # }
//! ```
//!
//! # Kinds of functions
//!
//! | [`FunctionKind`] | is called with | gives | run by |
//! |---|---|---|---|
//! | `Scalar` | a row | a value | [`Instance::invoke`] |
//! | `Vectorized` | columns | a column | [`Instance::invoke`] |
//! | `Table` | a row | any number of rows | [`Instance::expand`] |
//! | `Aggregate` | the rows of a group | a state, and in the end a value | [`Instance::accumulate`] and what follows it |
//! | `Map` | an iterator of batches | an iterator of batches | [`Instance::map`] |
//!
//! [`Engine::describe`] lists what the decorators in a module declare.
//!
//! # Interpreters and files
//!
//! There are two [`Interpreter`]s: CPython alone, and CPython with NumPy, which an engine sets up when the
//! first function asks for it. [`FunctionFiles`] are what a function can import and read: packages, modules,
//! data. They are part of its image, so that importing costs something once.
//!
//! # Threads
//!
//! Everything is synchronous. An [`Instance`] runs one batch at a time; different instances run in
//! parallel without sharing a lock. Guest code needs [`WORKER_STACK_BYTES`] of native stack: run it
//! on threads made by [`worker_thread`]. On any other thread a call still works, on a helper thread
//! that is made for it.
//!
//! # What is trusted
//!
//! The guest's module is ours. What happens inside of it is not: code, data, return values, pointers
//! and text that come out of a guest are checked as if an attacker had complete control of the
//! interpreter. See SECURITY.md.

mod admission;
mod artefact;
mod base;
mod build;
mod cache;
mod call;
mod capabilities;
mod codec;
mod compile;
mod declaration;
mod describe;
mod engine;
mod exchange;
mod feed;
mod files;
mod function;
mod function_error;
#[doc(hidden)]
pub mod fuzzing;
mod globals;
mod guest;
mod host_state;
mod image;
mod instance;
mod instrument;
mod interpreter;
mod limits;
mod logs;
mod memory;
mod meter;
mod operation;
mod prepared;
mod stack;
mod text;
mod trap;
mod usage;
mod wasi;

pub use base::BaseError;
pub use build::BuildError;
pub use cache::CacheError;
pub use call::{CallError, InputFailure, ProtocolViolation};
pub use capabilities::{Capabilities, Clock, Random};
pub use declaration::{Declaration, DeclaredKind, Dialect, ModuleSource};
pub use engine::{Engine, EngineConfig, EngineError, EngineIdentity, EngineUsage, ImportedFunction};
pub use exchange::{GuestViolation, InputError, OutputLimit, SchemaError};
pub use files::{FilesError, FunctionFiles, GuestFile, PathProblem};
pub use function::{FunctionKind, FunctionSpec, NullHandling, OnError, SpecError};
pub use function_error::{FunctionError, FunctionErrorKind};
pub use guest::MissingExport;
pub use image::{ForkError, Image, LoadError};
pub use instance::Instance;
pub use instrument::InstrumentError;
pub use interpreter::Interpreter;
pub use limits::{BuildLimits, Limits};
pub use logs::Logs;
pub use memory::MemoryError;
pub use meter::Canceller;
pub use stack::{WORKER_STACK_BYTES, worker_thread};
pub use usage::Usage;
pub use vivarium_guest::{NUMPY_VERSION, PYTHON_VERSION};
