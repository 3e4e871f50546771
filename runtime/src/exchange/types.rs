//! Which types cross the boundary, in which physical layout, and which are equivalent.

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayData;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};

/// Levels of nesting a declared type may have.
pub(super) const MAX_DEPTH: usize = 64;

/// A dotted path of field names that costs nothing until it is shown.
#[derive(Clone, Copy)]
pub(super) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    name: &'a str,
}

impl<'a> Path<'a> {
    pub(super) fn root(name: &'a str) -> Self {
        Self { parent: None, name }
    }

    pub(super) fn child(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), name }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(f, "{parent}.")?;
        }
        f.write_str(self.name)
    }
}

/// What a result is called in errors.
pub(super) fn result_name(field: &Field) -> &str {
    if field.name().is_empty() { "result" } else { field.name() }
}

/// The type that says what values a field holds: what is inside of a dictionary or runs.
pub(super) fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => value_type(value),
        DataType::RunEndEncoded(_, values) => value_type(values.data_type()),
        other => other,
    }
}

/// Whether the guest may see or return null in `field`.
pub(super) fn is_nullable(field: &Field) -> bool {
    match field.data_type() {
        DataType::RunEndEncoded(_, values) => field.is_nullable() && values.is_nullable(),
        _ => field.is_nullable(),
    }
}

/// The fields of the guest's children for a type, in order.
pub(super) fn children(data_type: &DataType) -> &[FieldRef] {
    match value_type(data_type) {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => std::slice::from_ref(item),
        DataType::Struct(fields) => fields,
        _ => &[],
    }
}

/// Whether offsets of the guest's layout of this type have 64 bits.
pub(super) fn is_wide(data_type: &DataType) -> bool {
    matches!(
        value_type(data_type),
        DataType::LargeUtf8 | DataType::LargeBinary | DataType::LargeList(_) | DataType::LargeListView(_)
    )
}

/// Whether `data_type` has neither children nor a dictionary.
pub(super) fn is_leaf(data_type: &DataType) -> bool {
    !data_type.is_nested() && !matches!(data_type, DataType::Dictionary(..) | DataType::RunEndEncoded(..))
}

/// The guest's physical layout of a type, with every nested field nullable and maps as the lists
/// that they physically are: data of this type can be validated in full before nullability is
/// judged, so that a forbidden null is answered with its path and row.
pub(super) fn relaxed(data_type: &DataType) -> DataType {
    fn field(field: &Field) -> FieldRef {
        Arc::new(Field::new(field.name(), relaxed(field.data_type()), true))
    }
    match value_type(data_type) {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) | DataType::ListView(item) | DataType::Map(item, _) => {
            DataType::List(field(item))
        }
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|f| field(f)).collect()),
        other => other.clone(),
    }
}

/// Whether a column of type `source` can be laid out as `declared`: the same values, perhaps in
/// another layout. Names of list items and map entries and all metadata are ignored; names of
/// struct fields are not, since the function sees them.
pub(super) fn accepts(declared: &DataType, source: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Dictionary, FixedSizeList, LargeBinary, LargeList, LargeListView, LargeUtf8,
        List, ListView, Map, RunEndEncoded, Struct, Utf8, Utf8View,
    };
    match (value_type(declared), source) {
        (declared, Dictionary(_, value)) => is_leaf(value) && accepts(declared, value),
        (declared, RunEndEncoded(_, values)) => {
            is_leaf(values.data_type()) && accepts(declared, values.data_type())
        }
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | LargeUtf8 | Utf8View) => true,
        (Binary | LargeBinary | BinaryView, Binary | LargeBinary | BinaryView) => true,
        (
            List(declared) | LargeList(declared) | ListView(declared) | LargeListView(declared),
            List(source) | LargeList(source) | ListView(source) | LargeListView(source),
        ) => accepts(declared.data_type(), source.data_type()),
        (FixedSizeList(declared, size), FixedSizeList(source, source_size)) => {
            size == source_size && accepts(declared.data_type(), source.data_type())
        }
        (Struct(declared), Struct(source)) => {
            declared.len() == source.len()
                && declared
                    .iter()
                    .zip(source)
                    .all(|(d, s)| d.name() == s.name() && accepts(d.data_type(), s.data_type()))
        }
        (Map(declared, _), Map(source, _)) => {
            let (declared, source) = (children(declared.data_type()), children(source.data_type()));
            declared.len() == 2
                && source.len() == 2
                && declared.iter().zip(source).all(|(d, s)| accepts(d.data_type(), s.data_type()))
        }
        (declared, source) => {
            is_leaf(declared)
                && (declared == source || decimal(declared).is_some_and(|it| decimal(source) == Some(it)))
        }
    }
}

/// Precision and scale of a decimal of any width.
fn decimal(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// Bytes of one element of a type of fixed width; `None` for all others, booleans among them.
pub(super) fn fixed_width(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::FixedSizeBinary(width) => usize::try_from(*width).ok(),
        other => other.primitive_width(),
    }
}

/// The range of the child's elements that `len` lists, from list `start` on, refer to.
///
/// `data` is a list, large list or map of any offset; what it holds may be unreferenced before and
/// after that range.
pub(super) fn list_bounds(data: &ArrayData, start: usize, len: usize) -> (usize, usize) {
    if len == 0 {
        return (0, 0);
    }
    match data.data_type() {
        DataType::LargeList(_) => {
            let offsets = data.buffer::<i64>(0);
            (offsets[start] as usize, offsets[start + len] as usize)
        }
        _ => {
            let offsets = data.buffer::<i32>(0);
            (offsets[start] as usize, offsets[start + len] as usize)
        }
    }
}

/// The nulls among `len` elements from `start` on, if there are any.
pub(super) fn nulls(data: &ArrayData, start: usize, len: usize) -> Option<NullBuffer> {
    let nulls = data.nulls()?;
    // A slice is counted anew, the whole is not.
    let nulls = if (start, len) == (0, nulls.len()) { nulls.clone() } else { nulls.slice(start, len) };
    (nulls.null_count() > 0).then_some(nulls)
}
