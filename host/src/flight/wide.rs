//! Moments with offsets and intervals: Databend's engine sends both as 128-bit decimals.
//!
//! The sandbox knows them as Arrow's own types. A moment keeps its place in time and loses its offset:
//! Python gets it in UTC, and a result has the offset 0. An interval has microseconds in Databend, so a
//! result's nanoseconds below that are cut off.

use arrow::array::{
    Array as _, ArrayData, ArrayRef, AsArray as _, Decimal128Array, IntervalMonthDayNanoArray, RecordBatch,
    RecordBatchOptions, TimestampMicrosecondArray, make_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, IntervalMonthDayNano, IntervalMonthDayNanoType, Schema,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;

use crate::sql_types::Wide;

const NANOSECONDS: i64 = 1000;

/// Which way values go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    ToGuest,
    ToCaller,
}

/// Whether a parameter or result has such a type, at whatever depth.
pub(super) fn is_wide(field: &Field) -> bool {
    Wide::of(field).is_some() || children(field.data_type()).iter().any(|child| is_wide(child))
}

/// Columns as the sandbox takes them. What does not have the declared form stays as it is: the sandbox
/// judges it.
///
/// # Errors
/// An interval that Arrow's type has no room for.
pub(super) fn to_guest(batch: RecordBatch, parameters: &[Field]) -> Result<RecordBatch, ArrowError> {
    if batch.num_columns() != parameters.len() {
        return Ok(batch);
    }
    let (mut columns, mut fields) = (Vec::new(), Vec::new());
    for ((column, sent), parameter) in batch.columns().iter().zip(batch.schema_ref().fields()).zip(parameters)
    {
        let column = if is_wide(parameter) {
            make_array(convert(&column.to_data(), parameter, Way::ToGuest)?)
        } else {
            ArrayRef::clone(column)
        };
        fields.push(Field::new(sent.name(), column.data_type().clone(), sent.is_nullable()));
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Schema::new(fields).into(), columns, &options)
}

/// A result of the sandbox as `declared` says.
///
/// # Errors
/// A moment or interval that 64 bits of microseconds have no room for.
pub(super) fn to_caller(column: ArrayRef, declared: &Field) -> Result<ArrayRef, ArrowError> {
    if !is_wide(declared) {
        return Ok(column);
    }
    Ok(make_array(convert(&column.to_data(), declared, Way::ToCaller)?))
}

fn convert(data: &ArrayData, declared: &Field, way: Way) -> Result<ArrayData, ArrowError> {
    if let Some(wide) = Wide::of(declared) {
        return convert_values(data, wide, way);
    }
    let declared = children(declared.data_type());
    let inside = children(data.data_type());
    if declared.len() != inside.len() || !declared.iter().any(|child| is_wide(child)) {
        return Ok(data.clone());
    }
    let mut converted = Vec::with_capacity(inside.len());
    for (child, declared) in data.child_data().iter().zip(&declared) {
        converted.push(convert(child, declared, way)?);
    }
    let types = converted.iter().map(|child| child.data_type());
    let fields: Vec<FieldRef> = inside
        .iter()
        .zip(types)
        .map(|(field, data_type)| Field::clone(field).with_data_type(data_type.clone()).into())
        .collect();
    let data_type = with_children(data.data_type(), fields);
    data.clone().into_builder().data_type(data_type).child_data(converted).build()
}

fn convert_values(data: &ArrayData, wide: Wide, way: Way) -> Result<ArrayData, ArrowError> {
    let array = make_array(data.clone());
    let nulls = array.nulls().cloned();
    let converted = match (wide, way, data.data_type()) {
        (Wide::TimestampTz, Way::ToGuest, DataType::Decimal128(..)) => {
            let values = array.as_primitive::<Decimal128Type>().values().iter();
            TimestampMicrosecondArray::new(values.map(|value| *value as i64).collect(), nulls)
                .with_timezone("UTC")
                .into_data()
        }
        (Wide::TimestampTz, Way::ToCaller, DataType::Timestamp(..)) => {
            let values = array.as_primitive::<TimestampMicrosecondType>().values().iter();
            decimals(values.map(|value| i128::from(value.cast_unsigned())).collect(), nulls)?
        }
        (Wide::Interval, Way::ToGuest, DataType::Decimal128(..)) => {
            let values = array.as_primitive::<Decimal128Type>().iter();
            let values = values.map(|value| value.map(unpack).transpose()).collect::<Result<Vec<_>, _>>()?;
            IntervalMonthDayNanoArray::from(values).into_data()
        }
        (Wide::Interval, Way::ToCaller, DataType::Interval(_)) => {
            let values = array.as_primitive::<IntervalMonthDayNanoType>().values().iter();
            decimals(values.map(pack).collect(), nulls)?
        }
        _ => data.clone(),
    };
    Ok(converted)
}

fn decimals(values: Vec<i128>, nulls: Option<NullBuffer>) -> Result<ArrayData, ArrowError> {
    let array = Decimal128Array::new(values.into(), nulls);
    // The numbers are bit patterns: with an offset or months they are larger than any 38 digits.
    Ok(array.with_data_type(DataType::Decimal128(38, 0)).into_data())
}

fn unpack(packed: i128) -> Result<IntervalMonthDayNano, ArrowError> {
    let microseconds = packed as i64;
    let nanoseconds = microseconds.checked_mul(NANOSECONDS).ok_or_else(|| {
        ArrowError::ComputeError(format!("an interval of {microseconds} microseconds is too long"))
    })?;
    Ok(IntervalMonthDayNano::new((packed >> 96) as i32, (packed >> 64) as i32, nanoseconds))
}

fn pack(interval: &IntervalMonthDayNano) -> i128 {
    let microseconds = interval.nanoseconds.div_euclid(NANOSECONDS);
    let (days, months) = (i128::from(interval.days.cast_unsigned()), i128::from(interval.months));
    months << 96 | days << 64 | i128::from(microseconds.cast_unsigned())
}

fn children(data_type: &DataType) -> Vec<FieldRef> {
    match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => vec![FieldRef::clone(item)],
        DataType::Struct(fields) => fields.iter().cloned().collect(),
        _ => Vec::new(),
    }
}

fn with_children(data_type: &DataType, mut fields: Vec<FieldRef>) -> DataType {
    match data_type {
        DataType::Struct(_) => DataType::Struct(fields.into()),
        container => match (container, fields.pop()) {
            (DataType::List(_), Some(item)) => DataType::List(item),
            (DataType::LargeList(_), Some(item)) => DataType::LargeList(item),
            (DataType::FixedSizeList(_, length), Some(item)) => DataType::FixedSizeList(item, *length),
            (DataType::Map(_, sorted), Some(entries)) => DataType::Map(entries, *sorted),
            _ => container.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, ListArray, StructArray};
    use arrow::buffer::OffsetBuffer;

    use super::*;
    use crate::sql_types::{self, Dialect};

    fn declared(text: &str) -> Field {
        sql_types::parse_field("x", text, Dialect::Databend).unwrap()
    }

    fn wide(values: Vec<Option<i128>>) -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_data_type(DataType::Decimal128(38, 0)))
    }

    fn there_and_back(array: ArrayRef, text: &str) -> (ArrayRef, ArrayRef) {
        let field = declared(text);
        let batch = RecordBatch::try_from_iter([("sent", array)]).unwrap();
        let inside = to_guest(batch, std::slice::from_ref(&field)).unwrap().column(0).clone();
        assert_eq!(inside.data_type(), sql_types::guest_field(&field).data_type(), "{text}");
        (ArrayRef::clone(&inside), to_caller(inside, &field).unwrap())
    }

    #[test]
    fn moments_keep_their_place_in_time() {
        let east = 28_800_i128 << 64;
        let before_1970 = i128::from((-5_i64).cast_unsigned()) | (-3600_i128 << 64);
        let sent = wide(vec![Some(7), Some(east | 7), None, Some(before_1970)]);
        let (inside, back) = there_and_back(sent, "TIMESTAMP_TZ NULL");
        let expected = TimestampMicrosecondArray::from(vec![Some(7), Some(7), None, Some(-5)]);
        assert_eq!(inside.as_primitive(), &expected.with_timezone("UTC"));
        let utc = i128::from((-5_i64).cast_unsigned());
        assert_eq!(back.as_ref(), wide(vec![Some(7), Some(7), None, Some(utc)]).as_ref());
    }

    #[test]
    fn intervals_come_back() {
        let interval = |months, days, nanoseconds| IntervalMonthDayNano::new(months, days, nanoseconds);
        let cases = [interval(1, 2, 3000), interval(-1, -2, -3000), interval(0, 0, 0), interval(-7, 9, 0)];
        let packed: Vec<_> = cases.iter().map(|interval| Some(pack(interval))).chain([None]).collect();
        assert_eq!(packed[0], Some((1_i128 << 96) | (2 << 64) | 3));
        let (inside, back) = there_and_back(wide(packed.clone()), "INTERVAL NULL");
        let expected: Vec<_> = cases.iter().copied().map(Some).chain([None]).collect();
        assert_eq!(inside.as_primitive(), &IntervalMonthDayNanoArray::from(expected));
        assert_eq!(back.as_ref(), wide(packed).as_ref());
        assert_eq!(pack(&interval(0, 0, -1)), i128::from((-1_i64).cast_unsigned()), "cut off, not rounded");
        assert!(unpack(i128::from(i64::MAX)).is_err());
    }

    #[test]
    fn values_are_found_at_any_depth() {
        let item = Field::new("item", DataType::Decimal128(38, 0), true);
        let list =
            ListArray::new(item.into(), OffsetBuffer::from_lengths([2, 0]), wide(vec![Some(1), None]), None);
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let fields =
            vec![Field::new("1", DataType::Int32, false), Field::new("2", list.data_type().clone(), true)];
        let tuple: ArrayRef = Arc::new(StructArray::new(fields.into(), vec![numbers, Arc::new(list)], None));
        let field = declared("TUPLE(1 INT32, 2 ARRAY(INTERVAL NULL) NULL)");
        let batch = RecordBatch::try_from_iter([("sent", ArrayRef::clone(&tuple))]).unwrap();
        let inside = to_guest(batch, std::slice::from_ref(&field)).unwrap().column(0).clone();
        let items = inside.as_struct().column(1).as_list::<i32>().values();
        assert_eq!(
            items.as_primitive::<IntervalMonthDayNanoType>().value(0),
            IntervalMonthDayNano::new(0, 0, 1000)
        );
        assert_eq!(to_caller(inside, &field).unwrap().as_ref(), tuple.as_ref());
        assert!(!is_wide(&declared("TUPLE(1 INT32, 2 DECIMAL(38, 0))")));
    }

    #[test]
    fn other_columns_are_left_to_the_sandbox() {
        let sent: ArrayRef = Arc::new(Int32Array::from(vec![1]));
        let batch = RecordBatch::try_from_iter([("sent", sent)]).unwrap();
        assert_eq!(to_guest(batch.clone(), &[declared("INTERVAL")]).unwrap(), batch);
        assert_eq!(to_guest(batch.clone(), &[]).unwrap(), batch);
    }
}
