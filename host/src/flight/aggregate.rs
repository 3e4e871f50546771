//! Aggregate functions: one exchange folds its whole stream.
//!
//! Groups are told apart by `$group`, any 64-bit integers, and answered in the order in which they
//! first came. Without that column there is one group, which exists even when no row came.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{filter, filter_record_batch, not};
use arrow::datatypes::{DataType, Int64Type, Schema, UInt32Type};
use arrow::error::ArrowError;
use tonic::Code;

use super::exchange::ExchangeError;
use super::signature::{GROUP, Phase, RETRACT};
use crate::functions::Sandbox;
use crate::status::Failure;

/// Why the input of an aggregate was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum AggregateError {
    #[error("the column `{column}` must be {expected} without nulls, it is {found}")]
    Column { column: &'static str, expected: &'static str, found: String },
    #[error("the column `{RETRACT}` belongs to rows; this call takes states")]
    RetractStates,
    #[error("a call that takes states needs one column of states beside `{GROUP}`, it got {found}")]
    States { found: usize },
    #[error("the input has more than {limit} groups (limit limits.aggregate_groups)")]
    Groups { limit: u64 },
    #[error("a batch cannot be taken apart: {0}")]
    Arrow(#[from] ArrowError),
}

impl Failure for AggregateError {
    fn code(&self) -> Code {
        match self {
            Self::Groups { .. } => Code::ResourceExhausted,
            Self::Arrow(_) => Code::Internal,
            _ => Code::InvalidArgument,
        }
    }
}

/// The state of an exchange with an aggregate function, apart from what the sandbox holds.
#[derive(Debug, Default)]
pub(super) struct Aggregation {
    phase: Phase,
    grouped: bool,
    numbers: HashMap<i64, u32>,
    groups: Vec<i64>,
}

/// A batch with the columns that are not the function's split off.
struct Rows {
    groups: UInt32Array,
    retract: Option<BooleanArray>,
    columns: RecordBatch,
}

impl Aggregation {
    /// An aggregation of batches of `schema`; without a schema, no batches will come.
    pub(super) fn new(phase: Phase, schema: Option<&Schema>) -> Self {
        let grouped = schema.is_some_and(|schema| leading(schema).0.is_some());
        Self { phase, grouped, ..Self::default() }
    }

    /// Whether the answer names groups.
    pub(super) fn is_grouped(&self) -> bool {
        self.grouped
    }

    /// On a worker: folds a batch.
    pub(super) fn fold(&mut self, sandbox: &mut Sandbox, batch: &RecordBatch) -> Result<(), ExchangeError> {
        let rows = self.split(batch, sandbox.limits().aggregate_groups)?;
        if self.phase.takes_states() {
            let [states] = rows.columns.columns() else {
                return Err(AggregateError::States { found: rows.columns.num_columns() }.into());
            };
            return Ok(sandbox.call(|instance| instance.merge(&rows.groups, states))?);
        }
        let Some(retract) = rows.retract.filter(|retract| retract.true_count() > 0) else {
            return Ok(sandbox.call(|instance| instance.accumulate(&rows.groups, &rows.columns))?);
        };
        // What is new first: a state may not have a form without the rows that go.
        for (mask, retracts) in [(not(&retract).map_err(AggregateError::from)?, false), (retract, true)] {
            let columns = filter_record_batch(&rows.columns, &mask).map_err(AggregateError::from)?;
            let groups = filter(&rows.groups, &mask).map_err(AggregateError::from)?;
            let groups = groups.as_primitive::<UInt32Type>();
            sandbox.call(|instance| {
                if retracts {
                    instance.retract(groups, &columns)
                } else {
                    instance.accumulate(groups, &columns)
                }
            })?;
        }
        Ok(())
    }

    /// On a worker: the answer, one row for each group.
    pub(super) fn end(self, sandbox: &mut Sandbox) -> Result<Vec<ArrayRef>, ExchangeError> {
        let groups = if self.grouped { self.groups.len() } else { 1 };
        let values = sandbox.call(|instance| {
            if self.phase.gives_states() { instance.states(groups) } else { instance.finish(groups) }
        })?;
        let names: Option<ArrayRef> =
            self.grouped.then(|| Arc::new(Int64Array::from(self.groups)) as ArrayRef);
        Ok(names.into_iter().chain([values]).collect())
    }

    fn split(&mut self, batch: &RecordBatch, max_groups: u64) -> Result<Rows, AggregateError> {
        let (group, retract, count) = leading(batch.schema_ref());
        if self.phase.takes_states() && retract.is_some() {
            return Err(AggregateError::RetractStates);
        }
        let groups = match group {
            Some(index) => {
                let names = column(batch, index, GROUP, &DataType::Int64, "int64")?;
                self.number(names.as_primitive::<Int64Type>(), max_groups)?
            }
            None => UInt32Array::from(vec![0; batch.num_rows()]),
        };
        let retract = match retract {
            Some(index) => {
                let flags = column(batch, index, RETRACT, &DataType::Boolean, "boolean")?;
                Some(flags.as_boolean().clone())
            }
            None => None,
        };
        let rest: Vec<usize> = (count..batch.num_columns()).collect();
        Ok(Rows { groups, retract, columns: batch.project(&rest)? })
    }

    fn number(&mut self, names: &Int64Array, max_groups: u64) -> Result<UInt32Array, AggregateError> {
        let mut numbers = Vec::with_capacity(names.len());
        for name in names.values() {
            let number = match self.numbers.get(name) {
                Some(number) => *number,
                None => {
                    let number = u32::try_from(self.groups.len())
                        .ok()
                        .filter(|number| u64::from(*number) < max_groups)
                        .ok_or(AggregateError::Groups { limit: max_groups })?;
                    self.numbers.insert(*name, number);
                    self.groups.push(*name);
                    number
                }
            };
            numbers.push(number);
        }
        Ok(numbers.into())
    }
}

/// Where `$group` and `$retract` stand among the leading columns, and how many there are of them.
fn leading(schema: &Schema) -> (Option<usize>, Option<usize>, usize) {
    let (mut group, mut retract, mut count) = (None, None, 0);
    for (index, field) in schema.fields().iter().enumerate().take(2) {
        match field.name().as_str() {
            GROUP if group.is_none() => group = Some(index),
            RETRACT if retract.is_none() => retract = Some(index),
            _ => break,
        }
        count += 1;
    }
    (group, retract, count)
}

fn column<'a>(
    batch: &'a RecordBatch,
    index: usize,
    column: &'static str,
    data_type: &DataType,
    expected: &'static str,
) -> Result<&'a ArrayRef, AggregateError> {
    let array = batch.column(index);
    let refused = |found| Err(AggregateError::Column { column, expected, found });
    if array.data_type() != data_type {
        return refused(array.data_type().to_string());
    }
    match array.null_count() {
        0 => Ok(array),
        nulls => refused(format!("{data_type} with {nulls} nulls")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringArray;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn integers(values: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    #[test]
    fn groups_are_numbered_as_they_come() {
        let first = batch(vec![(GROUP, integers(&[7, -1, 7])), ("x", integers(&[1, 2, 3]))]);
        let mut aggregation = Aggregation::new(Phase::Whole, Some(first.schema_ref()));
        assert!(aggregation.is_grouped());
        let rows = aggregation.split(&first, 3).unwrap();
        assert_eq!((rows.groups.values().to_vec(), rows.columns.num_columns()), (vec![0, 1, 0], 1));
        let second = batch(vec![(GROUP, integers(&[5, -1])), ("x", integers(&[1, 2]))]);
        assert_eq!(aggregation.split(&second, 3).unwrap().groups.values().to_vec(), [2, 1]);
        assert_eq!(aggregation.groups, [7, -1, 5]);
        let more = batch(vec![(GROUP, integers(&[6])), ("x", integers(&[1]))]);
        assert!(matches!(aggregation.split(&more, 3), Err(AggregateError::Groups { limit: 3 })));
    }

    #[test]
    fn only_leading_columns_are_ours() {
        let flags: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
        let both = batch(vec![(RETRACT, flags), (GROUP, integers(&[1])), ("x", integers(&[1]))]);
        assert_eq!(leading(both.schema_ref()), (Some(1), Some(0), 2));
        let late = batch(vec![("x", integers(&[1])), (GROUP, integers(&[1]))]);
        assert_eq!(leading(late.schema_ref()), (None, None, 0));
        let mut aggregation = Aggregation::new(Phase::Merge, Some(both.schema_ref()));
        assert!(matches!(aggregation.split(&both, 3), Err(AggregateError::RetractStates)));
    }

    #[test]
    fn columns_of_another_type_are_named() {
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
        let nulls: ArrayRef = Arc::new(Int64Array::from(vec![None]));
        for (group, found) in [(text, "Utf8"), (nulls, "1 nulls")] {
            let batch = batch(vec![(GROUP, group)]);
            let mut aggregation = Aggregation::new(Phase::Whole, Some(batch.schema_ref()));
            let error = aggregation.split(&batch, 3).err().unwrap().to_string();
            assert!(error.contains("`$group` must be int64") && error.contains(found), "{error}");
        }
    }
}
