//! A function's result out of guest memory.

use std::ops::Range;

use arrow::array::{ArrayData, ArrayDataBuilder, ArrayRef, AsArray, StructArray, make_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field};

use super::output::deliver;
use super::resolve::{Required, Resolved, Resolver};
use super::types::{Path, is_wide, relaxed, result_name};
use super::verify::{Problem, verify};
use super::{GuestViolation, OutputLimit, ResultError};

/// Name of the limit in errors.
const OUTPUT_BYTES: &str = "output_bytes";

/// Reads the result whose `ArrowArray` is at `array`, as exactly the declared type of `field`.
///
/// The guest is assumed to lie. In this order: every struct, pointer, count and length is checked
/// against the memory and the declared type; the bytes they describe are added up and compared with
/// `limit_bytes`; only then is anything copied. The copy is validated in full by arrow (offsets,
/// UTF-8), then nulls against every field's nullability, decimals against their precision.
/// Null counts are counted anew. `release` and `private_data` are ignored.
///
/// # Errors
/// [`ResultError::Guest`] for a guest that broke the ABI, [`ResultError::Limit`] for a result that
/// is too large, [`ResultError::Layout`] for one that arrow cannot encode as declared.
pub(crate) fn read_result(
    memory: &[u8],
    array: u32,
    field: &Field,
    rows: usize,
    limit_bytes: u64,
) -> Result<ArrayRef, ResultError> {
    Ok(read(memory, array, field, Some(rows), limit_bytes)?.0)
}

/// Reads one batch of a stream, a struct of any length whose fields are `field`'s, and tells how many bytes
/// it has. See [`read_result`].
pub(crate) fn read_batch(
    memory: &[u8],
    array: u32,
    field: &Field,
    limit_bytes: u64,
) -> Result<(StructArray, u64), ResultError> {
    let (array, bytes) = read(memory, array, field, None, limit_bytes)?;
    let batch = array.as_struct_opt().map(|batch| (batch.clone(), bytes));
    batch.ok_or_else(|| ResultError::Layout {
        data_type: field.data_type().clone(),
        reason: "a batch must be a struct".to_owned(),
    })
}

fn read(
    memory: &[u8],
    array: u32,
    field: &Field,
    rows: Option<usize>,
    limit_bytes: u64,
) -> Result<(ArrayRef, u64), ResultError> {
    let layout = relaxed(field.data_type());
    let root = Path::root(result_name(field));
    let mut resolver = Resolver::new(memory);
    // Without a number of rows the guest says how many there are; they are counted against the limit.
    let length = match rows {
        Some(rows) => rows as u64,
        None => resolver.length(array, &root)?,
    };
    let required = Required { length, exact: true };
    let resolved = resolver.array(array, &layout, required, &root)?;
    if resolver.bytes > limit_bytes {
        let requested = resolver.bytes;
        return Err(OutputLimit { name: OUTPUT_BYTES, limit: limit_bytes, requested }.into());
    }
    let data = build(memory, &resolved, &root)?;
    verify(field, &data, true).map_err(|finding| {
        let (path, row) = (finding.path(result_name(field)), finding.row);
        match finding.problem {
            Problem::Null => GuestViolation::Null { path, row },
            Problem::Precision(precision) => GuestViolation::Precision { path, row, precision },
        }
    })?;
    let data = deliver(data, field.data_type()).map_err(|error| ResultError::Layout {
        data_type: field.data_type().clone(),
        reason: error.to_string(),
    })?;
    Ok((make_array(data), resolver.bytes))
}

/// Copies an array out of the memory and has arrow validate it.
fn build(memory: &[u8], resolved: &Resolved<'_>, path: &Path<'_>) -> Result<ArrayData, GuestViolation> {
    let copy = |range: &Range<usize>| Buffer::from(&memory[range.clone()]);
    let mut buffers = resolved.buffers.iter().map(copy).collect::<Vec<_>>();
    if resolved.len == 0 && has_offsets(resolved.data_type) {
        // Arrow's own arrays have one offset even where they have no elements.
        let width = if is_wide(resolved.data_type) { 8 } else { 4 };
        buffers[0] = Buffer::from(&[0u8; 8][..width]);
    }
    let mut builder = ArrayDataBuilder::new(resolved.data_type.clone())
        .len(resolved.len)
        .buffers(buffers)
        .null_bit_buffer(resolved.validity.as_ref().map(copy));
    let fields = super::types::children(resolved.data_type);
    for (field, child) in fields.iter().zip(&resolved.children) {
        builder = builder.add_child_data(build(memory, child, &path.child(field.name()))?);
    }
    builder
        .build()
        .map_err(|error| GuestViolation::Values { path: path.to_string(), reason: error.to_string() })
}

fn has_offsets(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::List(_)
            | DataType::LargeList(_)
    )
}
