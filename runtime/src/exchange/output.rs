//! Validated results in exactly the declared type.

use arrow::array::{Array, ArrayData, make_array};
use arrow::buffer::Buffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::types::children;

/// Turns `data`, in the guest's layout of `declared` and verified against it, into `declared`
/// itself: views, dictionaries and runs are built, lists and structs get their declared fields.
///
/// Whatever is rebuilt is validated again; leaves that already have their type are not touched.
pub(super) fn deliver(data: ArrayData, declared: &DataType) -> Result<ArrayData, ArrowError> {
    if data.data_type() == declared {
        return Ok(data);
    }
    let inner = children(declared);
    if inner.is_empty() && !matches!(declared, DataType::Struct(_)) {
        // Never null instead of an error.
        let options = CastOptions { safe: false, ..CastOptions::default() };
        return Ok(cast_with_options(&make_array(data), declared, &options)?.to_data());
    }
    let delivered = data
        .child_data()
        .iter()
        .zip(inner)
        .map(|(child, field)| deliver(child.clone(), field.data_type()))
        .collect::<Result<Vec<_>, _>>()?;
    let buffers = match declared {
        DataType::ListView(_) => views(data.buffer::<i32>(0), data.len()),
        DataType::LargeListView(_) => views(data.buffer::<i64>(0), data.len()),
        _ => data.buffers().to_vec(),
    };
    let builder = data.into_builder().data_type(declared.clone());
    builder.buffers(buffers).child_data(delivered).build()
}

/// First elements and sizes of list views from the offsets of lists.
fn views<T>(offsets: &[T], len: usize) -> Vec<Buffer>
where
    T: arrow::datatypes::ArrowNativeType + std::ops::Sub<Output = T>,
{
    let firsts = offsets.iter().take(len).copied().collect::<Vec<_>>();
    let sizes = offsets.windows(2).take(len).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>();
    vec![Buffer::from_vec(firsts), Buffer::from_vec(sizes)]
}
