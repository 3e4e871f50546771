//! How a call into a guest can fail.

use crate::exchange::{GuestViolation, InputError, OutputLimit, ResultError};
use crate::function_error::{FunctionError, FunctionErrorKind};

/// Why a call gave no result.
///
/// [`CallError::poisons`] tells whether the instance is unusable afterwards.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The fuel budget is used up.
    #[error("fuel: the budget of {limit} units is used up")]
    Fuel {
        /// Units allowed.
        limit: u64,
    },
    /// The deadline has passed.
    #[error("deadline_ms: the call took longer than {limit_ms} ms")]
    Deadline {
        /// Milliseconds allowed.
        limit_ms: u64,
    },
    /// Python ran out of memory, or the guest had none for the batch.
    #[error("memory_bytes: {limit_bytes} bytes are not enough{}", describe(.error.as_deref()))]
    Memory {
        /// Bytes of linear memory allowed.
        limit_bytes: u64,
        /// The `MemoryError`, if Python raised one.
        error: Option<Box<FunctionError>>,
    },
    /// Recursion too deep for the call stack (a `RecursionError` that Python raised itself is a
    /// [`CallError::Function`]).
    #[error("the call stack of {limit_bytes} bytes is exhausted by deep recursion")]
    Recursion {
        /// Native stack that the guest may use, in bytes.
        limit_bytes: u64,
    },
    /// The guest aborted.
    #[error("the guest aborted{}", colon(.stderr))]
    Abort {
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// The guest ended its process.
    #[error("the guest exited with code {code}")]
    Exit {
        /// The code it gave.
        code: u32,
    },
    /// The guest did something that WebAssembly stops.
    #[error("the guest trapped: {trap}{}", colon(.stderr))]
    Trap {
        /// What it was.
        trap: String,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// The call was cancelled.
    #[error("the call was cancelled")]
    Cancelled,
    /// Python reported an error.
    #[error("{}", describe_function(.0))]
    Function(Box<FunctionError>),
    /// The batch does not fit the function or its limits.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The result is too large.
    #[error(transparent)]
    Output(#[from] OutputLimit),
    /// A table or map function gave more for one input batch than it may.
    #[error("{name}: the function gave {requested} for one input batch, {limit} are allowed")]
    Stream {
        /// Name of the limit, with its unit: `stream_output_bytes` or `stream_output_rows`.
        name: &'static str,
        /// What is allowed.
        limit: u64,
        /// What had been given when the limit was met.
        requested: u64,
    },
    /// The function is of a kind that is called in another way.
    #[error("`{method}` cannot run a function of kind `{kind}`")]
    Kind {
        /// The method of [`Instance`](crate::Instance) that was called.
        method: &'static str,
        /// The function's kind.
        kind: &'static str,
    },
    /// The source of a map function's input failed.
    #[error("the input ended early: {0}")]
    Source(InputFailure),
    /// A batch of a map function's input does not fit the function or its limits.
    #[error("input batch {index}: {error}")]
    SourceBatch {
        /// Zero-based number of the batch.
        index: u64,
        /// What is wrong with it.
        error: InputError,
    },
    /// The result cannot be delivered as declared.
    #[error("the result cannot be delivered: {reason}")]
    Layout {
        /// Why not.
        reason: String,
    },
    /// The guest broke the Arrow part of the guest ABI.
    #[error("the guest broke the ABI: {0}")]
    Guest(#[from] GuestViolation),
    /// The guest broke the calling part of the guest ABI.
    #[error("the guest broke the ABI: {0}")]
    Protocol(#[from] ProtocolViolation),
    /// The instance trapped or broke the ABI earlier and is not entered again.
    #[error("the instance failed earlier and cannot be used any more")]
    Poisoned,
    /// The call could not be made, for a reason that lies in the host.
    #[error("the call could not be made: {reason}")]
    Host {
        /// What went wrong.
        reason: String,
    },
}

/// Why the source of a map function's input has no further batch, although the input has not ended.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InputFailure(Box<dyn std::error::Error + Send + Sync>);

impl InputFailure {
    /// A failure for this reason.
    pub fn new(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(reason.into())
    }

    /// The reason.
    pub fn into_inner(self) -> Box<dyn std::error::Error + Send + Sync> {
        self.0
    }
}

/// What a guest did that a guest does not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolViolation {
    /// An export answered with a value that has no meaning.
    #[error("`{export}` returned {value}")]
    Answer {
        /// The export.
        export: &'static str,
        /// What it returned.
        value: i64,
    },
    /// An export answered with memory that is not there or is misaligned.
    #[error(
        "`{export}` returned {bytes} bytes at {pointer:#x}, outside its memory of {memory} bytes or misaligned"
    )]
    Pointer {
        /// The export.
        export: &'static str,
        /// Address it gave.
        pointer: u32,
        /// Bytes that must be there.
        bytes: u64,
        /// Size of its memory.
        memory: u64,
    },
    /// The guest asked for a batch of input that was not waiting, or gave room for it that is too small,
    /// misaligned or not there.
    #[error(
        "`vivarium_pull` was called out of order or with unusable room: {size} bytes at {room:#x} of {memory}"
    )]
    Pull {
        /// Where the room should be.
        room: u32,
        /// Its size, in bytes.
        size: u32,
        /// Size of the guest's memory.
        memory: u64,
    },
    /// A table function's row number that is smaller than the one before, or than 0, or that the batch does
    /// not have.
    #[error("an output row belongs to input row {row}; it must be at least {least} and below {rows}")]
    Row {
        /// The number.
        row: i32,
        /// The last one before it.
        least: i32,
        /// Rows of the input batch.
        rows: usize,
    },
    /// The list of a module's declarations is larger than the ABI allows.
    #[error("the declarations have {requested} bytes, {limit} are allowed")]
    DescriptionSize {
        /// Bytes allowed.
        limit: u32,
        /// Bytes claimed.
        requested: u32,
    },
    /// The list of a module's declarations is not one.
    #[error("the declarations cannot be read: {reason}")]
    Description {
        /// What is wrong with it.
        reason: String,
    },
    /// The guest reported an error larger than the ABI allows.
    #[error("the error has {requested} bytes, {limit} are allowed")]
    ErrorSize {
        /// Bytes allowed.
        limit: u32,
        /// Bytes claimed.
        requested: u32,
    },
}

impl CallError {
    /// Whether the instance is unusable after this error. After a trap the interpreter's state is
    /// undefined; after a Python exception it is not.
    pub fn poisons(&self) -> bool {
        match self {
            Self::Fuel { .. }
            | Self::Deadline { .. }
            | Self::Recursion { .. }
            | Self::Abort { .. }
            | Self::Exit { .. }
            | Self::Trap { .. }
            | Self::Cancelled
            | Self::Guest(_)
            | Self::Protocol(_)
            | Self::Poisoned
            | Self::Source(_)
            | Self::SourceBatch { .. }
            | Self::Host { .. } => true,
            Self::Memory { .. }
            | Self::Function(_)
            | Self::Input(_)
            | Self::Output(_)
            | Self::Stream { .. }
            | Self::Kind { .. }
            | Self::Layout { .. } => false,
        }
    }

    /// Python's error, which may be a `MemoryError`; `denied` if the call was refused memory. Without memory
    /// for an exception CPython has a `SystemError` to tell.
    pub(crate) fn of_function(error: FunctionError, memory_bytes: u64, denied: bool) -> Self {
        let is_memory = error.kind == FunctionErrorKind::Memory
            || (denied && error.class.as_deref() == Some("SystemError"));
        let error = Box::new(error);
        if is_memory {
            Self::Memory { limit_bytes: memory_bytes, error: Some(error) }
        } else {
            Self::Function(error)
        }
    }

    pub(crate) fn host(reason: impl std::fmt::Display) -> Self {
        Self::Host { reason: reason.to_string() }
    }
}

impl From<ResultError> for CallError {
    fn from(error: ResultError) -> Self {
        match error {
            ResultError::Guest(violation) => Self::Guest(violation),
            ResultError::Limit(limit) => Self::Output(limit),
            ResultError::Layout { .. } => Self::Layout { reason: error.to_string() },
        }
    }
}

fn describe(error: Option<&FunctionError>) -> String {
    error.map(|error| format!(": {}", describe_function(error))).unwrap_or_default()
}

fn describe_function(error: &FunctionError) -> String {
    // A traceback ends with the exception's own line.
    let what = match (&error.traceback, &error.class) {
        (Some(traceback), _) if !traceback.trim().is_empty() => traceback.trim_end().to_owned(),
        (_, Some(class)) if !error.message.starts_with(class.as_str()) => {
            format!("{class}: {}", error.message)
        }
        _ => error.message.clone(),
    };
    match (&error.column, error.row) {
        (Some(column), Some(row)) => format!("`{column}`, row {row}: {what}"),
        (Some(column), None) => format!("`{column}`: {what}"),
        (None, Some(row)) => format!("row {row}: {what}"),
        (None, None) => what,
    }
}

fn colon(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}
