//! Functions that need all rows of a file in one place or in one order: table, aggregate and map
//! functions run in one fork, on the calling thread.

use std::ops::ControlFlow;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch, UInt32Array};
use arrow::compute::{TakeOptions, take};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use vivarium_runtime::{CallError, InputFailure, Instance};

use super::input::Input;
use super::job::{Batch, Job, JobError, Totals, arguments, failure, pieces, result_schema};
use super::output::OutputError;
use super::pieces::{Piece, Pieces};
use super::signature::Rows;

/// Runs the job's function over all rows of `input`.
pub(super) fn run(
    job: Job<'_>,
    input: Input,
    mut consume: impl FnMut(Batch) -> Result<(), OutputError>,
) -> Result<Totals, JobError> {
    let mut run = Run {
        schema: result_schema(input.schema(), job.signature),
        instance: job.image.fork(job.limits, job.capabilities)?,
        job,
        rows: 0,
        consume: &mut consume,
    };
    let pieces = pieces(job, input);
    match job.signature.rows {
        Rows::Each | Rows::Many => run.table(pieces),
        Rows::One => run.aggregate(pieces),
        Rows::Columns => run.map(pieces),
    }?;
    let usage = run.instance.usage();
    Ok(Totals { rows: run.rows, fuel: usage.fuel, peak_memory_bytes: usage.peak_memory_bytes })
}

struct Run<'a> {
    job: Job<'a>,
    schema: SchemaRef,
    instance: Instance,
    /// Rows of the file that have been through the function.
    rows: u64,
    consume: &'a mut dyn FnMut(Batch) -> Result<(), OutputError>,
}

impl Run<'_> {
    fn table(&mut self, pieces: Pieces<Input>) -> Result<(), JobError> {
        for piece in pieces {
            let piece = piece?;
            let arguments = arguments(self.job, &piece)?;
            let Self { instance, schema, consume, .. } = self;
            let mut refused = None;
            let outcome = instance.expand(&arguments, &mut |rows| {
                let handed_on = beside(&piece, &rows, schema)
                    .map_err(JobError::Assemble)
                    .and_then(|rows| Ok(consume(Batch { rows, logs: Default::default() })?));
                keep(handed_on, &mut refused)
            });
            self.settle(outcome, refused, &piece, &arguments)?;
        }
        Ok(())
    }

    fn aggregate(&mut self, pieces: Pieces<Input>) -> Result<(), JobError> {
        let mut last = None;
        for piece in pieces {
            let piece = piece?;
            let arguments = arguments(self.job, &piece)?;
            let groups = UInt32Array::from(vec![0; arguments.num_rows()]);
            let outcome = self.instance.accumulate(&groups, &arguments);
            self.settle(outcome, None, &piece, &arguments)?;
            last = Some((piece, arguments));
        }
        let result = self.instance.finish(1).map_err(|source| {
            let piece = Piece { first_row: 0, rows: RecordBatch::new_empty(self.schema.clone()) };
            let (piece, arguments) = last.unwrap_or_else(|| (piece.clone(), piece.rows));
            Box::new(failure(self.job, &piece, &arguments, self.instance.take_logs(), source))
        })?;
        let rows = RecordBatch::try_new(self.schema.clone(), vec![result]).map_err(JobError::Assemble)?;
        Ok((self.consume)(Batch { rows, logs: self.instance.take_logs() })?)
    }

    fn map(&mut self, mut pieces: Pieces<Input>) -> Result<(), JobError> {
        let Self { instance, schema, consume, job, rows: taken, .. } = self;
        let (mut unread, mut refused) = (None, None);
        let mut source = || {
            let Some(piece) = pieces.next() else {
                return Ok(None);
            };
            let arguments = piece.map_err(JobError::from).and_then(|piece| {
                *taken += piece.rows.num_rows() as u64;
                arguments(*job, &piece)
            });
            arguments.map(Some).map_err(|error| {
                unread = Some(error);
                InputFailure::new("the file cannot be read on")
            })
        };
        let outcome = instance.map(&mut source, &mut |rows| {
            let handed_on = RecordBatch::try_new(schema.clone(), rows.columns().to_vec())
                .map_err(JobError::Assemble)
                .and_then(|rows| Ok(consume(Batch { rows, logs: Default::default() })?));
            keep(handed_on, &mut refused)
        });
        if let Some(error) = unread {
            return Err(error);
        }
        // A map function sees all rows in one call.
        let rows = RecordBatch::new_empty(self.schema.clone());
        let piece = Piece { first_row: self.rows, rows: rows.clone() };
        self.settle(outcome, refused, &piece, &rows)
    }

    /// After a call: hands the logs on, and turns what failed into the job's error.
    fn settle(
        &mut self,
        outcome: Result<(), CallError>,
        refused: Option<JobError>,
        piece: &Piece,
        arguments: &RecordBatch,
    ) -> Result<(), JobError> {
        let logs = self.instance.take_logs();
        if let Some(error) = refused {
            return Err(error);
        }
        outcome.map_err(|source| {
            let logs = logs.clone();
            Box::new(failure(self.job, piece, arguments, logs, source))
        })?;
        self.rows += piece.rows.num_rows() as u64;
        let rows = RecordBatch::new_empty(self.schema.clone());
        Ok((self.consume)(Batch { rows, logs })?)
    }
}

fn keep(outcome: Result<(), JobError>, refused: &mut Option<JobError>) -> ControlFlow<()> {
    match outcome {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            *refused = Some(error);
            ControlFlow::Break(())
        }
    }
}

/// The rows of a table function beside the rows of the file that they belong to.
fn beside(piece: &Piece, rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let [numbers, value] = rows.columns() else {
        return Err(ArrowError::SchemaError("a table function gives two columns".to_owned()));
    };
    // The numbers come from the guest.
    let options = Some(TakeOptions { check_bounds: true });
    let mut columns = piece
        .rows
        .columns()
        .iter()
        .map(|column| take(column, numbers, options.clone()))
        .collect::<Result<Vec<ArrayRef>, _>>()?;
    if columns.len() + 1 == schema.fields().len()
        && value.data_type() == schema.field(columns.len()).data_type()
    {
        columns.push(ArrayRef::clone(value));
    } else if let DataType::Struct(_) = value.data_type() {
        columns.extend(value.as_struct().columns().iter().cloned());
    }
    RecordBatch::try_new(schema.clone(), columns)
}
