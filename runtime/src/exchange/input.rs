//! A record batch as `ArrowArray` structs and buffers in guest memory.

use arrow::array::{Array, ArrayData, ArrayRef, UInt32Array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, Field};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::abi::{ARRAY_BYTES, BUFFER_ALIGN, MAX_BYTES, POINTER_BYTES, RawArray, align_up, destination};
use super::expand::{Budget, Exhausted, charge, expand, is_needed, view_array};
use super::layout::{Offsets, Part, is_extended};
use super::types::{accepts, children, fixed_width, is_wide, nulls, value_type};
use super::verify::verify;
use super::{GuestViolation, InputError};

/// Name of the limit in errors.
const INPUT_BYTES: &str = "input_bytes";

/// A batch, checked against the parameters and laid out, ready to be written.
///
/// Holds references to the batch's buffers; only dictionaries, runs and list views are expanded
/// when the plan is made, everything else that changes does so while it is written.
#[derive(Debug)]
pub(crate) struct InputPlan {
    /// The struct over all columns first; children anywhere after their parent.
    arrays: Vec<Node>,
    size: u32,
}

#[derive(Debug)]
struct Node {
    length: usize,
    null_count: usize,
    parts: Vec<Part>,
    children: Vec<usize>,
}

/// Why a column cannot be laid out.
enum Fault {
    Limit(u64),
    Array(String),
}

impl From<Exhausted> for Fault {
    fn from(exhausted: Exhausted) -> Self {
        Self::Limit(exhausted.0)
    }
}

impl From<ArrowError> for Fault {
    fn from(error: ArrowError) -> Self {
        Self::Array(error.to_string())
    }
}

impl InputPlan {
    /// Checks number, types and nulls of the batch's columns against the parameters, and its size
    /// in the guest's layout against `limit_bytes` (and 2 GiB).
    ///
    /// A column's type may be any layout of the parameter's type: text and binary in any of their
    /// three layouts, lists in any of four, decimals in any of four widths, dictionaries and runs of the
    /// type.
    pub(crate) fn new<F: AsRef<Field>>(
        batch: &RecordBatch,
        parameters: &[F],
        limit_bytes: u64,
    ) -> Result<Self, InputError> {
        Self::of(batch.num_rows(), None, batch.columns(), parameters, limit_bytes)
    }

    /// The same with a first column that says to which group each row belongs.
    pub(crate) fn grouped<F: AsRef<Field>>(
        groups: &UInt32Array,
        rows: usize,
        columns: &[ArrayRef],
        parameters: &[F],
        limit_bytes: u64,
    ) -> Result<Self, InputError> {
        if groups.len() != rows {
            return Err(InputError::GroupCount { rows, groups: groups.len() });
        }
        if let Some(row) = (0..rows).find(|row| groups.is_null(*row)) {
            return Err(InputError::GroupNull { row });
        }
        Self::of(rows, Some(groups), columns, parameters, limit_bytes)
    }

    /// So many rows without columns.
    pub(crate) fn rows(rows: usize) -> Self {
        let mut plan = Self::start(rows);
        plan.size = u32::try_from(plan.layout(|_, _| ())).unwrap_or(u32::MAX);
        plan
    }

    fn start(rows: usize) -> Self {
        let top = Node { length: rows, null_count: 0, parts: vec![Part::Absent], children: vec![] };
        Self { arrays: vec![top], size: 0 }
    }

    fn of<F: AsRef<Field>>(
        rows: usize,
        groups: Option<&UInt32Array>,
        columns: &[ArrayRef],
        parameters: &[F],
        limit_bytes: u64,
    ) -> Result<Self, InputError> {
        if columns.len() != parameters.len() {
            return Err(InputError::ColumnCount { expected: parameters.len(), got: columns.len() });
        }
        let limit = limit_bytes.min(MAX_BYTES);
        let over = |requested| InputError::Limit { name: INPUT_BYTES, limit, requested };
        let mut budget = Budget::new(limit);
        let mut plan = Self::start(rows);
        if let Some(groups) = groups {
            let position = plan.arrays.len();
            let parts = vec![Part::Absent, Part::Bytes(groups.values().inner().clone())];
            plan.arrays.push(Node { length: rows, null_count: 0, parts, children: vec![] });
            plan.arrays[0].children.push(position);
        }
        for (index, (column, parameter)) in columns.iter().zip(parameters).enumerate() {
            let field = parameter.as_ref();
            if !accepts(field.data_type(), column.data_type()) {
                return Err(InputError::Type {
                    index,
                    column: field.name().clone(),
                    expected: field.data_type().clone(),
                    got: column.data_type().clone(),
                });
            }
            let fault = |fault| match fault {
                Fault::Limit(requested) => over(requested),
                Fault::Array(reason) => InputError::Array { index, column: field.name().clone(), reason },
            };
            let data = plain(column.to_data(), &mut budget).map_err(fault)?;
            verify(field, &data, false).map_err(|finding| InputError::Null {
                index,
                path: finding.path(field.name()),
                row: finding.row,
            })?;
            let child = plan.add(&data, 0, data.len(), field.data_type()).map_err(fault)?;
            plan.arrays[0].children.push(child);
        }
        let size = plan.layout(|_, _| ());
        if size > limit {
            return Err(over(size));
        }
        plan.size = u32::try_from(size).map_err(|_| over(size))?;
        Ok(plan)
    }

    /// Bytes to allocate in the guest: structs, pointer tables, and buffers with their padding.
    pub(crate) fn size(&self) -> usize {
        self.size as usize
    }

    /// Writes the batch at `base`, which the guest allocated (aligned to 64) with
    /// [`InputPlan::size`] bytes; the `ArrowArray` of the struct over all columns is at `base`
    /// itself. Fails if the guest's allocation does not lie inside its memory.
    pub(crate) fn write(&self, memory: &mut [u8], base: u32) -> Result<(), GuestViolation> {
        let dest = destination(memory, base, self.size(), "input")?;
        // The destination lies inside a memory of at most 2^32 bytes: no address overflows.
        let address = |at: usize| (base as usize + at) as u32;
        let mut table = self.arrays.len() * ARRAY_BYTES;
        for (index, node) in self.arrays.iter().enumerate() {
            let buffers = table;
            let children = buffers + node.parts.len() * POINTER_BYTES;
            table = children + node.children.len() * POINTER_BYTES;
            for (slot, child) in dest[children..table].as_chunks_mut().0.iter_mut().zip(&node.children) {
                *slot = address(child * ARRAY_BYTES).to_le_bytes();
            }
            let raw = RawArray {
                length: node.length as i64,
                null_count: node.null_count as i64,
                offset: 0,
                n_buffers: node.parts.len() as i64,
                n_children: node.children.len() as i64,
                buffers: if node.parts.is_empty() { 0 } else { address(buffers) },
                children: if node.children.is_empty() { 0 } else { address(children) },
                dictionary: 0,
            };
            dest[index * ARRAY_BYTES..][..ARRAY_BYTES].copy_from_slice(&raw.encode());
        }
        let mut slot = self.arrays.len() * ARRAY_BYTES;
        let mut owner = 0;
        self.layout(|part, at| {
            // Parts come in the order of the pointer tables, between which lie those of children.
            while owner < part.array {
                slot += self.arrays[owner].children.len() * POINTER_BYTES;
                owner += 1;
            }
            let pointer = match part.part.bytes() as usize {
                0 => 0,
                bytes => {
                    part.part.write(&mut dest[at..at + bytes]);
                    address(at)
                }
            };
            dest[slot..slot + POINTER_BYTES].copy_from_slice(&pointer.to_le_bytes());
            slot += POINTER_BYTES;
        });
        Ok(())
    }

    /// Visits every buffer with its position and returns the size of the whole.
    fn layout(&self, mut visit: impl FnMut(Placed<'_>, usize)) -> u64 {
        let tables = self.arrays.iter().map(|node| node.parts.len() + node.children.len()).sum::<usize>();
        let head = self.arrays.len() * ARRAY_BYTES + tables * POINTER_BYTES;
        let mut at = align_up(head as u64, BUFFER_ALIGN);
        for (array, node) in self.arrays.iter().enumerate() {
            for part in &node.parts {
                visit(Placed { array, part }, at as usize);
                at = align_up(at.saturating_add(part.bytes()), BUFFER_ALIGN);
            }
        }
        at
    }

    /// Appends `len` elements of an array from `start` on, and what is inside of it; returns its
    /// position. `declared` decides the width of offsets.
    fn add(
        &mut self,
        data: &ArrayData,
        start: usize,
        len: usize,
        declared: &DataType,
    ) -> Result<usize, Fault> {
        let first = data.offset() + start;
        let nulls = nulls(data, start, len);
        let null_count = nulls.as_ref().map_or(0, |nulls| nulls.null_count());
        let validity = nulls.as_ref().map_or(Part::Absent, |nulls| Part::Bits(nulls.inner().clone()));
        let index = self.arrays.len();
        self.arrays.push(Node { length: len, null_count, parts: Vec::new(), children: Vec::new() });

        let wide = is_wide(declared);
        let inner = children(declared);
        let mut nested = Vec::with_capacity(inner.len());
        let parts = match data.data_type() {
            DataType::Null => {
                self.arrays[index].null_count = len;
                vec![]
            }
            DataType::Boolean => {
                let bits = bytes(data, 0, first / 8, first.saturating_add(len).div_ceil(8))?;
                vec![validity, Part::Bits(BooleanBuffer::new(bits, first % 8, len))]
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => {
                let (offsets, from, to) = offsets(data, start, len)?;
                fits(to - from, wide)?;
                vec![validity, Part::Offsets { offsets, wide }, Part::Bytes(bytes(data, 1, from, to)?)]
            }
            DataType::Utf8View | DataType::BinaryView => {
                let [ends, text] = Part::views(view_array(data, start, len), wide);
                fits(text.bytes() as usize, wide)?;
                vec![validity, ends, text]
            }
            DataType::List(_) | DataType::LargeList(_) | DataType::Map(..) => {
                let (offsets, from, to) = offsets(data, start, len)?;
                fits(to - from, wide)?;
                nested.push((from, to - from));
                vec![validity, Part::Offsets { offsets, wide }]
            }
            DataType::FixedSizeList(_, size) => {
                let size = size.as_usize();
                let range = first.checked_mul(size).zip(len.checked_mul(size));
                nested.push(range.ok_or_else(|| Fault::Array("too many elements".to_owned()))?);
                vec![validity]
            }
            DataType::Struct(_) => {
                nested.resize(inner.len(), (first, len));
                vec![validity]
            }
            other => {
                let width = fixed_width(other)
                    .ok_or_else(|| Fault::Array(format!("type {other} has no layout in the guest")))?;
                let range = first.checked_mul(width).zip(first.saturating_add(len).checked_mul(width));
                let (from, to) = range.ok_or_else(|| Fault::Array("too many elements".to_owned()))?;
                let values = bytes(data, 0, from, to)?;
                let target = fixed_width(value_type(declared)).unwrap_or(width);
                vec![validity, resized(values, width, target, nulls.as_ref())?]
            }
        };
        self.arrays[index].parts = parts;
        for ((field, child), (first, count)) in inner.iter().zip(data.child_data()).zip(nested) {
            if first.saturating_add(count) > child.len() {
                return Err(Fault::Array(format!("{} has fewer elements than it must have", field.name())));
            }
            let position = self.add(child, first, count, field.data_type())?;
            self.arrays[index].children.push(position);
        }
        Ok(index)
    }
}

/// A buffer and the array it belongs to.
struct Placed<'a> {
    array: usize,
    part: &'a Part,
}

/// The column without dictionaries, runs and list views.
fn plain(data: ArrayData, budget: &mut Budget) -> Result<ArrayData, Fault> {
    if !is_needed(data.data_type()) {
        return Ok(data);
    }
    charge(&data, 0, data.len(), budget)?;
    Ok(expand(&data, 0, data.len())?)
}

/// Bytes `from..to` of a buffer, without a copy.
fn bytes(data: &ArrayData, buffer: usize, from: usize, to: usize) -> Result<Buffer, Fault> {
    match data.buffers().get(buffer) {
        Some(bytes) if from <= to && to <= bytes.len() => Ok(bytes.slice_with_length(from, to - from)),
        _ => Err(Fault::Array(format!("buffer {buffer} is too short"))),
    }
}

/// The offsets of `len` elements from `start` on, and the range they span.
fn offsets(data: &ArrayData, start: usize, len: usize) -> Result<(Offsets, usize, usize), Fault> {
    let wide =
        matches!(data.data_type(), DataType::LargeUtf8 | DataType::LargeBinary | DataType::LargeList(_));
    if len == 0 {
        return Ok((Offsets::Narrow(vec![0].into()), 0, 0));
    }
    let first = data.offset() + start;
    let width = if wide { 8 } else { 4 };
    let buffer = bytes(data, 0, first * width, (first + len + 1) * width)?;
    let (offsets, from, to) = if wide {
        let values = ScalarBuffer::<i64>::from(buffer);
        let (from, to) = (values[0] as usize, values[len] as usize);
        (Offsets::Wide(values), from, to)
    } else {
        let values = ScalarBuffer::<i32>::from(buffer);
        let (from, to) = (values[0] as usize, values[len] as usize);
        (Offsets::Narrow(values), from, to)
    };
    if from > to {
        return Err(Fault::Array("offsets decrease".to_owned()));
    }
    Ok((offsets, from, to))
}

/// Values of `width` bytes as such of `target` bytes, which differ only for decimals.
fn resized(values: Buffer, width: usize, target: usize, nulls: Option<&NullBuffer>) -> Result<Part, Fault> {
    if width == target {
        return Ok(Part::Bytes(values));
    }
    let lost = |(row, value): (usize, &[u8])| {
        let valid = nulls.is_none_or(|nulls| nulls.is_valid(row));
        valid && target < width && !is_extended(value, target)
    };
    match values.chunks_exact(width).enumerate().position(lost) {
        Some(row) => Err(Fault::Array(format!("row {row} holds a decimal of more digits than its type"))),
        None => Ok(Part::Integers { values, width, target }),
    }
}

/// Whether a span can be told by offsets of the declared width.
fn fits(span: usize, wide: bool) -> Result<(), Fault> {
    if wide || i32::try_from(span).is_ok() { Ok(()) } else { Err(Fault::Limit(span as u64)) }
}
