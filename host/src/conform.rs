//! Columns that fit a declared type after a conversion.
//!
//! The servers of `databend_udf` and `arrow_udf` look at no input type: what comes is turned into
//! Python values, whatever the decorator says. Their callers rely on that, so integers and floats
//! of another width, and structs whose fields have other names, are converted for functions that
//! were declared in those dialects. A value that does not fit is refused.

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;

/// A column that cannot be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConformError {
    /// A value does not fit.
    #[error("the column for `{column}` cannot be converted: {reason}")]
    Column {
        /// The parameter.
        column: String,
        /// Which value, and why.
        reason: String,
    },
    /// The converted columns are no batch.
    #[error("the converted columns do not fit together: {0}")]
    Batch(#[from] ArrowError),
}

/// Converts the columns of `batch` that differ from the parameters in width or names alone. All
/// others stay as they are: the sandbox judges them.
pub(crate) fn conform(batch: RecordBatch, parameters: &[Field]) -> Result<RecordBatch, ConformError> {
    let fits = |(column, field): (&ArrayRef, &Field)| fit(column.data_type(), field.data_type());
    if batch.num_columns() != parameters.len()
        || !batch.columns().iter().zip(parameters).any(|pair| fits(pair) == Fit::Convert)
    {
        return Ok(batch);
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let (mut columns, mut fields) = (Vec::new(), Vec::new());
    for (index, (column, parameter)) in batch.columns().iter().zip(parameters).enumerate() {
        let column = match fit(column.data_type(), parameter.data_type()) {
            Fit::Convert => {
                cast_with_options(column, &nullable(parameter.data_type()), &options).map_err(|error| {
                    ConformError::Column { column: parameter.name().clone(), reason: error.to_string() }
                })?
            }
            Fit::Leave => ArrayRef::clone(column),
        };
        let field = batch.schema_ref().field(index);
        fields.push(Field::new(field.name(), column.data_type().clone(), field.is_nullable()));
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Schema::new(fields).into(), columns, &options)?)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// Equal, or different in a way that the sandbox knows or refuses.
    Leave,
    Convert,
}

fn fit(from: &DataType, to: &DataType) -> Fit {
    use DataType::{FixedSizeList, LargeList, List, Map, Null, Struct};
    match (from, to) {
        (from, to) if from == to => Fit::Leave,
        (Null, _) => Fit::Convert,
        (from, to) if from.is_integer() && (to.is_integer() || to.is_floating()) => Fit::Convert,
        (from, to) if from.is_floating() && to.is_floating() => Fit::Convert,
        (List(from) | LargeList(from), List(to) | LargeList(to)) => fit(from.data_type(), to.data_type()),
        (FixedSizeList(from, length), FixedSizeList(to, expected)) if length == expected => {
            fit(from.data_type(), to.data_type())
        }
        (Map(from, _), Map(to, _)) => match (from.data_type(), to.data_type()) {
            (Struct(from), Struct(to)) if from.len() == to.len() => all(from, to),
            _ => Fit::Leave,
        },
        (Struct(from), Struct(to)) if from.len() == to.len() => {
            let renamed = from.iter().zip(to).any(|(from, to)| from.name() != to.name());
            if renamed { Fit::Convert } else { all(from, to) }
        }
        _ => Fit::Leave,
    }
}

fn all(from: &[FieldRef], to: &[FieldRef]) -> Fit {
    let convert = from.iter().zip(to).any(|(f, t)| fit(f.data_type(), t.data_type()) == Fit::Convert);
    if convert { Fit::Convert } else { Fit::Leave }
}

/// The type with every nested field nullable: a null in the wrong place is the sandbox's to refuse,
/// with its row.
fn nullable(data_type: &DataType) -> DataType {
    let inner =
        |field: &FieldRef| -> FieldRef { Field::new(field.name(), nullable(field.data_type()), true).into() };
    match data_type {
        DataType::List(item) => DataType::List(inner(item)),
        DataType::LargeList(item) => DataType::LargeList(inner(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(inner(item), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array as _, AsArray as _, Float64Array, Int64Array, ListArray, StructArray};
    use arrow::datatypes::{Fields, Int32Type, Int64Type};

    use super::*;

    fn batch(column: ArrayRef) -> RecordBatch {
        RecordBatch::try_from_iter([("sent", column)]).unwrap()
    }

    fn parameter(data_type: DataType) -> [Field; 1] {
        [Field::new("x", data_type, true)]
    }

    #[test]
    fn numbers_of_another_width_are_converted_and_checked() {
        let sent: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let converted = conform(batch(Arc::clone(&sent)), &parameter(DataType::Int32)).unwrap();
        assert_eq!(converted.column(0).as_primitive::<Int32Type>().value(0), 1);
        assert!(converted.column(0).is_null(1));
        let too_large = batch(Arc::new(Int64Array::from(vec![1 << 40])));
        let error = conform(too_large, &parameter(DataType::Int32)).unwrap_err().to_string();
        assert!(error.contains("`x`") && error.contains("1099511627776"), "{error}");
        for (column, declared) in
            [(sent, DataType::Utf8), (Arc::new(Float64Array::from(vec![1.5])) as ArrayRef, DataType::Int32)]
        {
            let left = conform(batch(Arc::clone(&column)), &parameter(declared)).unwrap();
            assert_eq!(left.column(0).data_type(), column.data_type(), "left to the sandbox");
        }
    }

    #[test]
    fn nested_columns_are_converted_by_position() {
        let names = |a: &str, b: &str, data_type: DataType| -> Fields {
            vec![Field::new(a, data_type.clone(), true), Field::new(b, data_type, true)].into()
        };
        let values = || Arc::new(Int64Array::from(vec![7])) as ArrayRef;
        let sent = StructArray::new(names("p", "q", DataType::Int64), vec![values(), values()], None);
        let declared = DataType::Struct(names("1", "2", DataType::Int64));
        let converted = conform(batch(Arc::new(sent)), &parameter(declared)).unwrap();
        let converted = converted.column(0).as_struct();
        assert_eq!(converted.column_names(), ["1", "2"]);
        assert_eq!(converted.column(1).as_primitive::<Int64Type>().value(0), 7);

        let list = ListArray::from_iter_primitive::<Int64Type, _, _>([Some([Some(1), None])]);
        let strict = DataType::List(Field::new_list_field(DataType::Int32, false).into());
        let converted = conform(batch(Arc::new(list)), &parameter(strict)).unwrap();
        assert_eq!(converted.column(0).as_list::<i32>().values().null_count(), 1, "left to the sandbox");
    }
}
