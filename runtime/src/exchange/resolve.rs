//! The guest's `ArrowArray` tree resolved to ranges of its memory, before a byte of data is read.
//!
//! Everything in the structs is a stranger's word. Recursion follows the declared type, never the
//! guest's pointers, so structs that point at themselves only describe the same bytes again, and
//! those count again.

use std::ops::Range;

use arrow::datatypes::DataType;

use super::abi::{ARRAY_BYTES, POINTER_BYTES, RawArray};
use super::types::{Path, fixed_width, is_wide};
use super::{GuestViolation, ResultError};

/// An array whose ranges all lie inside the memory.
#[derive(Debug)]
pub(super) struct Resolved<'t> {
    pub(super) data_type: &'t DataType,
    pub(super) len: usize,
    /// The validity bitmap, if there is one.
    pub(super) validity: Option<Range<usize>>,
    pub(super) buffers: Vec<Range<usize>>,
    pub(super) children: Vec<Resolved<'t>>,
}

/// Length an array must have.
#[derive(Clone, Copy)]
pub(super) struct Required {
    pub(super) length: u64,
    pub(super) exact: bool,
}

/// Walks one result and counts its bytes.
pub(super) struct Resolver<'m> {
    memory: &'m [u8],
    /// Bytes that the result's buffers occupy, and one for each element without bytes.
    pub(super) bytes: u64,
}

impl<'m> Resolver<'m> {
    pub(super) fn new(memory: &'m [u8]) -> Self {
        Self { memory, bytes: 0 }
    }

    /// Resolves the array of `data_type` (in the guest's layout) at `pointer`.
    pub(super) fn array<'t>(
        &mut self,
        pointer: u32,
        data_type: &'t DataType,
        required: Required,
        path: &Path<'_>,
    ) -> Result<Resolved<'t>, ResultError> {
        let raw = self.header(pointer, required, path)?;
        let Required { length, .. } = required;
        let layout = Layout::of(data_type, length).ok_or_else(|| ResultError::Layout {
            data_type: data_type.clone(),
            reason: "the type has no layout in the guest".to_owned(),
        })?;

        let expected = layout.buffers();
        if raw.n_buffers != expected as i64 {
            return Err(
                GuestViolation::Buffers { path: path.to_string(), got: raw.n_buffers, expected }.into()
            );
        }
        let fields = super::types::children(data_type);
        if raw.n_children != fields.len() as i64 {
            let (got, expected) = (raw.n_children, fields.len());
            return Err(GuestViolation::Children { path: path.to_string(), got, expected }.into());
        }

        let table = self.range(raw.buffers, expected as u64 * 4, "table of buffer pointers", path)?;
        let pointers = self.memory[table].as_chunks::<POINTER_BYTES>().0;
        let buffer = |index: usize| pointers.get(index).map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let validity = match (layout, buffer(0)) {
            (Layout::Null, _) => None,
            (_, 0) if raw.null_count > 0 => {
                return Err(GuestViolation::NoValidity { path: path.to_string(), got: raw.null_count }.into());
            }
            (_, 0) => None,
            (_, pointer) => Some(self.data(pointer, length.div_ceil(8), "validity buffer", path)?),
        };

        // Elements that occupy no bytes count as one byte, or their number would be unbounded.
        let mut buffers = Vec::with_capacity(2);
        let mut elements = length;
        match layout {
            Layout::Null | Layout::Struct => {
                if fields.is_empty() {
                    self.bytes = self.bytes.saturating_add(length);
                }
            }
            Layout::Fixed { bytes } => {
                if bytes == 0 {
                    self.bytes = self.bytes.saturating_add(length);
                }
                buffers.push(self.data(buffer(1), bytes, "data buffer", path)?);
            }
            Layout::Offsets { width, data } => {
                let bytes = if length == 0 { 0 } else { (length + 1).saturating_mul(width) };
                let offsets = self.data(buffer(1), bytes, "offsets buffer", path)?;
                elements = self.last_offset(offsets.clone(), width, path)?;
                buffers.push(offsets);
                if data {
                    buffers.push(self.data(buffer(2), elements, "data buffer", path)?);
                }
            }
            Layout::Blocks { size } => {
                if size == 0 {
                    self.bytes = self.bytes.saturating_add(length);
                }
                elements = length.saturating_mul(size);
            }
        }

        let table = self.range(raw.children, fields.len() as u64 * 4, "table of child pointers", path)?;
        let pointers = self.memory[table].as_chunks::<POINTER_BYTES>().0;
        let required = Required { length: elements, exact: false };
        let mut children = Vec::with_capacity(fields.len());
        for (field, pointer) in fields.iter().zip(pointers) {
            let pointer = u32::from_le_bytes(*pointer);
            children.push(self.array(pointer, field.data_type(), required, &path.child(field.name()))?);
        }
        Ok(Resolved { data_type, len: length as usize, validity, buffers, children })
    }

    /// The length that the array at `pointer` claims to have.
    pub(super) fn length(&self, pointer: u32, path: &Path<'_>) -> Result<u64, GuestViolation> {
        let any = Required { length: 0, exact: false };
        Ok(self.header(pointer, any, path)?.length.unsigned_abs())
    }

    /// Reads the struct and checks what does not depend on the type.
    fn header(&self, pointer: u32, required: Required, path: &Path<'_>) -> Result<RawArray, GuestViolation> {
        let range = self.range(pointer, ARRAY_BYTES as u64, "ArrowArray", path)?;
        let raw = match self.memory[range].first_chunk() {
            Some(bytes) => RawArray::decode(bytes),
            None => RawArray::default(),
        };
        let fits = match u64::try_from(raw.length) {
            Ok(length) if required.exact => length == required.length,
            Ok(length) => length >= required.length,
            Err(_) => false,
        };
        if !fits {
            let Required { length: expected, exact } = required;
            return Err(GuestViolation::Length { path: path.to_string(), got: raw.length, expected, exact });
        }
        if raw.offset != 0 {
            return Err(GuestViolation::Offset { path: path.to_string(), got: raw.offset });
        }
        if raw.null_count < -1 || raw.null_count > raw.length {
            let (got, length) = (raw.null_count, raw.length);
            return Err(GuestViolation::NullCount { path: path.to_string(), got, length });
        }
        if raw.dictionary != 0 {
            return Err(GuestViolation::Dictionary { path: path.to_string(), got: raw.dictionary });
        }
        Ok(raw)
    }

    /// A range of data, which counts.
    fn data(
        &mut self,
        pointer: u32,
        bytes: u64,
        what: &'static str,
        path: &Path<'_>,
    ) -> Result<Range<usize>, GuestViolation> {
        let range = self.range(pointer, bytes, what, path)?;
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(range)
    }

    /// A range of the memory. Where no bytes are needed any pointer will do.
    fn range(
        &self,
        pointer: u32,
        bytes: u64,
        what: &'static str,
        path: &Path<'_>,
    ) -> Result<Range<usize>, GuestViolation> {
        if bytes == 0 {
            return Ok(0..0);
        }
        if pointer == 0 {
            return Err(GuestViolation::NullPointer { path: path.to_string(), what, bytes });
        }
        let memory = self.memory.len() as u64;
        match u64::from(pointer).checked_add(bytes) {
            Some(end) if end <= memory => Ok(pointer as usize..end as usize),
            _ => {
                let path = path.to_string();
                Err(GuestViolation::OutOfBounds { path, what, pointer, bytes, memory })
            }
        }
    }

    /// The last offset: how many bytes or elements the offsets refer to, if they are in order.
    fn last_offset(&self, offsets: Range<usize>, width: u64, path: &Path<'_>) -> Result<u64, GuestViolation> {
        let bytes = &self.memory[offsets];
        let last = if width == 8 {
            bytes.last_chunk().map_or(0, |last| i64::from_le_bytes(*last))
        } else {
            bytes.last_chunk().map_or(0, |last| i64::from(i32::from_le_bytes(*last)))
        };
        u64::try_from(last).map_err(|_| GuestViolation::NegativeOffset { path: path.to_string(), got: last })
    }
}

/// What follows the validity in an array's buffers and children.
#[derive(Clone, Copy)]
enum Layout {
    /// Nothing, and no validity either.
    Null,
    /// One buffer of `bytes`.
    Fixed { bytes: u64 },
    /// Offsets of `width` bytes into a data buffer or into a child.
    Offsets { width: u64, data: bool },
    /// `size` elements of the child each.
    Blocks { size: u64 },
    /// As many elements of each child.
    Struct,
}

impl Layout {
    fn of(data_type: &DataType, length: u64) -> Option<Self> {
        let width = if is_wide(data_type) { 8 } else { 4 };
        Some(match data_type {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Fixed { bytes: length.div_ceil(8) },
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => {
                Self::Offsets { width, data: true }
            }
            DataType::List(_) | DataType::LargeList(_) => Self::Offsets { width, data: false },
            DataType::FixedSizeList(_, size) => Self::Blocks { size: u64::try_from(*size).ok()? },
            DataType::Struct(_) => Self::Struct,
            other => Self::Fixed { bytes: length.saturating_mul(fixed_width(other)? as u64) },
        })
    }

    /// `n_buffers` of the struct.
    fn buffers(self) -> usize {
        match self {
            Self::Null => 0,
            Self::Struct | Self::Blocks { .. } => 1,
            Self::Fixed { .. } | Self::Offsets { data: false, .. } => 2,
            Self::Offsets { data: true, .. } => 3,
        }
    }
}
