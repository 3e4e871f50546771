//! One function over all rows of a file.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::array_value_to_string;
use thiserror::Error;
use vivarium_runtime::{
    CallError, Canceller, Capabilities, ForkError, Image, Instance, Limits, Logs, Usage, WORKER_STACK_BYTES,
};

use super::input::{Input, InputError};
use super::ordered::{self, OrderedError, Workers};
use super::output::OutputError;
use super::pieces::{Cut, Piece, Pieces};
use super::sequential;
use super::signature::{Rows, Signature};
use crate::conform::{ConformError as ColumnError, conform};

/// What is to be run.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The function's image.
    pub image: &'a Image,
    /// Limits of each fork.
    pub limits: &'a Limits,
    /// Capabilities of each fork.
    pub capabilities: &'a Capabilities,
    /// Which columns are the arguments, and what the result column is.
    pub signature: &'a Signature,
    /// Most rows in one call.
    pub batch_rows: usize,
    /// Forks that work at the same time, at least 1.
    pub workers: usize,
    /// Rows after which to stop.
    pub max_rows: Option<u64>,
}

impl std::fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("signature", self.signature).finish_non_exhaustive()
    }
}

/// Rows that have been through the function.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The file's columns and the result column.
    pub rows: RecordBatch,
    /// What the function printed meanwhile.
    pub logs: Logs,
}

/// What a whole run has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows that went through the function.
    pub rows: u64,
    /// Fuel of all forks together, in the units of the runtime's cost model.
    pub fuel: u64,
    /// Highest memory of any one fork, in bytes.
    pub peak_memory_bytes: u64,
}

/// A call that failed, and where in the file.
#[derive(Debug, Error)]
#[error("{source}")]
pub struct Failure {
    /// Row of the file before the first row of the call, from 0.
    pub first_row: u64,
    /// Rows of the call.
    pub rows: usize,
    /// Row of the file that failed, from 1, where it is known.
    pub row: Option<u64>,
    /// Names and values of the arguments of that row; the values as text, shortened.
    pub arguments: Vec<(String, String)>,
    /// What the function had printed in this call.
    pub logs: Logs,
    /// What happened.
    pub source: CallError,
}

/// Why a run ended early.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JobError {
    /// The file could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The rows could not be handed on.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// No instance of the image.
    #[error("the function's instance could not be started")]
    Fork(#[from] ForkError),
    /// The function failed.
    #[error(transparent)]
    Call(#[from] Box<Failure>),
    /// A column does not fit the declared type of its parameter.
    #[error(transparent)]
    Convert(#[from] ColumnError),
    /// The result could not be put beside the file's columns.
    #[error("the result column does not fit the batch")]
    Assemble(#[source] ArrowError),
    /// The system gave no thread.
    #[error("cannot start a worker thread")]
    Thread(#[source] std::io::Error),
}

/// The schema of what [`run`] hands on: the file's columns, then the result; or the result alone.
pub fn result_schema(input: &Schema, signature: &Signature) -> SchemaRef {
    let mut fields = match signature.rows {
        Rows::Each | Rows::Many => input.fields().to_vec(),
        Rows::One | Rows::Columns => Vec::new(),
    };
    fields.extend(signature.result_columns().iter().cloned());
    Arc::new(Schema::new_with_metadata(fields, input.metadata().clone()))
}

/// Puts the rows of `input` through forks of the job's image and hands them to `consume`, in the
/// order of the file, on the calling thread. Memory is bounded by the size of a batch.
///
/// Every fork keeps its state from call to call, and which rows meet in one fork is not defined: a
/// function that counts its calls sees some of them.
///
/// # Errors
/// The first error in the order of the file.
pub fn run(
    job: Job<'_>,
    input: Input,
    mut consume: impl FnMut(Batch) -> Result<(), OutputError>,
) -> Result<Totals, JobError> {
    if job.signature.rows != Rows::Each {
        return sequential::run(job, input, consume);
    }
    let schema = result_schema(input.schema(), job.signature);
    let meter = Meter::default();
    let cancellers: Mutex<Vec<Canceller>> = Mutex::default();
    let mut rows = 0;
    let workers = Workers { count: job.workers, stack_bytes: WORKER_STACK_BYTES };
    let pieces = pieces(job, input);
    let outcome = ordered::for_each(
        workers,
        pieces.map(|piece| piece.map_err(JobError::from)),
        || {
            let mut instance = job.image.fork(job.limits, job.capabilities)?;
            lock(&cancellers).push(instance.canceller());
            let (schema, meter) = (&schema, &meter);
            Ok(move |piece: Piece| call(job, &mut instance, piece, schema, meter))
        },
        || lock(&cancellers).iter().for_each(Canceller::cancel),
        |batch: Batch| {
            rows += batch.rows.num_rows() as u64;
            consume(batch).map_err(JobError::from)
        },
    );
    match outcome {
        Ok(()) => Ok(Totals {
            rows,
            fuel: meter.fuel.into_inner(),
            peak_memory_bytes: meter.peak_memory_bytes.into_inner(),
        }),
        Err(OrderedError::Work(error)) => Err(error),
        Err(OrderedError::Thread(error)) => Err(JobError::Thread(error)),
    }
}

/// What of the file goes through one call each.
pub(super) fn pieces(job: Job<'_>, input: Input) -> Pieces<Input> {
    let cut = Cut {
        columns: job.signature.columns.clone(),
        max_bytes: job.limits.input_bytes / 2,
        piece_rows: job.batch_rows,
        max_rows: job.max_rows,
    };
    Pieces::new(input, cut)
}

/// The columns of a piece that are passed to the function.
pub(super) fn arguments(job: Job<'_>, piece: &Piece) -> Result<RecordBatch, JobError> {
    let arguments = piece.rows.project(&job.signature.columns).map_err(JobError::Assemble)?;
    Ok(conform(arguments, &job.signature.parameters)?)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Use of all forks together.
#[derive(Debug, Default)]
struct Meter {
    fuel: AtomicU64,
    peak_memory_bytes: AtomicU64,
}

impl Meter {
    fn add(&self, before: Usage, after: Usage) {
        self.fuel.fetch_add(after.fuel.saturating_sub(before.fuel), Ordering::Relaxed);
        self.peak_memory_bytes.fetch_max(after.peak_memory_bytes, Ordering::Relaxed);
    }
}

fn call(
    job: Job<'_>,
    instance: &mut Instance,
    piece: Piece,
    schema: &SchemaRef,
    meter: &Meter,
) -> Result<Batch, JobError> {
    let arguments = arguments(job, &piece)?;
    let before = instance.usage();
    let outcome = instance.invoke(&arguments);
    meter.add(before, instance.usage());
    let logs = instance.take_logs();
    let result =
        outcome.map_err(|source| Box::new(failure(job, &piece, &arguments, logs.clone(), source)))?;
    let mut columns = piece.rows.columns().to_vec();
    columns.push(result);
    let rows = RecordBatch::try_new(Arc::clone(schema), columns).map_err(JobError::Assemble)?;
    Ok(Batch { rows, logs })
}

pub(super) fn failure(
    job: Job<'_>,
    piece: &Piece,
    arguments: &RecordBatch,
    logs: Logs,
    source: CallError,
) -> Failure {
    let row = match &source {
        CallError::Function(error) => error.row.and_then(|row| usize::try_from(row).ok()),
        _ => None,
    };
    // The number comes from the guest, which may lie.
    let row = row.filter(|row| *row < piece.rows.num_rows());
    let arguments = row.map_or_else(Vec::new, |row| {
        let names = job.signature.parameters.iter().map(|field| field.name().clone());
        names.zip(arguments.columns().iter().map(|column| shown(column, row))).collect()
    });
    Failure {
        first_row: piece.first_row,
        rows: piece.rows.num_rows(),
        row: row.map(|row| piece.first_row + row as u64 + 1),
        arguments,
        logs,
        source,
    }
}

/// A value as text of at most 80 characters.
fn shown(column: &dyn Array, row: usize) -> String {
    const MAX_CHARACTERS: usize = 80;
    if column.is_null(row) {
        return "NULL".to_owned();
    }
    let Ok(text) = array_value_to_string(column, row) else {
        return "?".to_owned();
    };
    match text.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
