//! The same values under a type that differs in the names and metadata of nested fields.

use arrow::array::{ArrayData, ArrayRef, make_array};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

/// `array` with the type `data_type`, without touching a value. The sandbox knows types by other
/// names than callers do, and names of nested fields are part of an Arrow type.
///
/// # Errors
/// When the types differ in more than that.
pub(super) fn relabel(array: ArrayRef, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    if array.data_type() == data_type {
        return Ok(array);
    }
    Ok(make_array(relabel_data(array.to_data(), data_type)?))
}

fn relabel_data(data: ArrayData, data_type: &DataType) -> Result<ArrayData, ArrowError> {
    let inner: Vec<&DataType> = match data_type {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => vec![item.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        _ => Vec::new(),
    };
    let children = data
        .child_data()
        .iter()
        .zip(inner)
        .map(|(child, data_type)| relabel_data(child.clone(), data_type))
        .collect::<Result<Vec<_>, _>>()?;
    data.into_builder().data_type(data_type.clone()).child_data(children).build()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array as _, Int64Array, StringArray, StructArray};
    use arrow::datatypes::Field;

    use super::*;
    use crate::sql_types::{self, Dialect};

    #[test]
    fn values_stay_and_names_change() {
        let declared = sql_types::parse_field("f", "struct<a: json, b: json[]>", Dialect::ArrowUdf).unwrap();
        let guest = sql_types::guest_field(&declared);
        assert_ne!(guest.data_type(), declared.data_type());
        let array: ArrayRef = match guest.data_type() {
            DataType::Struct(fields) => {
                let text = Arc::new(StringArray::from(vec![Some("1"), None]));
                Arc::new(StructArray::new(
                    fields.clone(),
                    vec![text, arrow::array::new_null_array(fields[1].data_type(), 2)],
                    None,
                ))
            }
            other => panic!("{other}"),
        };
        let relabelled = relabel(Arc::clone(&array), declared.data_type()).unwrap();
        assert_eq!(relabelled.data_type(), declared.data_type());
        assert_eq!(relabelled.to_data().child_data()[0].nulls(), array.to_data().child_data()[0].nulls());
    }

    #[test]
    fn other_types_are_refused() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let list = DataType::List(Field::new_list_field(DataType::Int64, true).into());
        for wrong in [DataType::Utf8, list] {
            assert!(relabel(Arc::clone(&array), &wrong).is_err(), "{wrong}");
        }
    }
}
