//! The buffers of a batch as the guest gets them, each a function from a host buffer to bytes.

use arrow::array::{Array, BinaryViewArray};
use arrow::buffer::{BooleanBuffer, Buffer, ScalarBuffer};

use super::expand::view_bytes;

/// One buffer to be written.
#[derive(Debug)]
pub(super) enum Part {
    /// Not there: a validity bitmap without nulls, or a buffer without bytes.
    Absent,
    /// Copied as it is.
    Bytes(Buffer),
    /// Integers of `width` bytes, brought to `target` bytes.
    Integers { values: Buffer, width: usize, target: usize },
    /// A bitmap, moved to begin at bit 0.
    Bits(BooleanBuffer),
    /// Offsets, shifted to begin at 0.
    Offsets { offsets: Offsets, wide: bool },
    /// The offsets of gathered views.
    ViewOffsets { views: BinaryViewArray, wide: bool },
    /// The bytes of gathered views.
    ViewBytes { views: BinaryViewArray, bytes: u64 },
}

/// Offsets of a host array: one more than it has elements.
#[derive(Debug)]
pub(super) enum Offsets {
    Narrow(ScalarBuffer<i32>),
    Wide(ScalarBuffer<i64>),
}

impl Part {
    /// The offsets and the bytes of text or binary views.
    pub(super) fn views(views: BinaryViewArray, wide: bool) -> [Self; 2] {
        let bytes = view_bytes(&views);
        [Self::ViewOffsets { views: views.clone(), wide }, Self::ViewBytes { views, bytes }]
    }

    /// Bytes in the guest's memory.
    pub(super) fn bytes(&self) -> u64 {
        let offsets = |count: usize, wide: bool| (count as u64).saturating_mul(if wide { 8 } else { 4 });
        match self {
            Self::Absent => 0,
            Self::Bytes(buffer) => buffer.len() as u64,
            Self::Integers { values, width, target } => (values.len() / width * target) as u64,
            Self::Bits(bits) => bits.len().div_ceil(8) as u64,
            Self::Offsets { offsets: Offsets::Narrow(values), wide } => offsets(values.len(), *wide),
            Self::Offsets { offsets: Offsets::Wide(values), wide } => offsets(values.len(), *wide),
            Self::ViewOffsets { views, wide } => offsets(views.len() + 1, *wide),
            Self::ViewBytes { bytes, .. } => *bytes,
        }
    }

    /// Writes the buffer; `dest` is [`Part::bytes`] long.
    pub(super) fn write(&self, dest: &mut [u8]) {
        match self {
            Self::Absent => {}
            Self::Bytes(buffer) => dest.copy_from_slice(buffer),
            Self::Integers { values, width, target } => {
                for (to, from) in dest.chunks_exact_mut(*target).zip(values.chunks_exact(*width)) {
                    to.fill(sign(from));
                    let common = from.len().min(to.len());
                    to[..common].copy_from_slice(&from[..common]);
                }
            }
            Self::Bits(bits) => write_bits(bits, dest),
            Self::Offsets { offsets: Offsets::Narrow(values), wide: false }
                if values.first().is_none_or(|first| *first == 0) =>
            {
                dest.copy_from_slice(values.inner());
            }
            Self::Offsets { offsets: Offsets::Wide(values), wide: true }
                if values.first().is_none_or(|first| *first == 0) =>
            {
                dest.copy_from_slice(values.inner());
            }
            Self::Offsets { offsets: Offsets::Narrow(values), wide } => {
                let first = values.first().map_or(0, |first| i64::from(*first));
                write_offsets(
                    values.iter().map(|offset| i64::from(*offset).wrapping_sub(first)),
                    *wide,
                    dest,
                );
            }
            Self::Offsets { offsets: Offsets::Wide(values), wide } => {
                let first = values.first().copied().unwrap_or(0);
                write_offsets(values.iter().map(|offset| offset.wrapping_sub(first)), *wide, dest);
            }
            Self::ViewOffsets { views, wide } => {
                let ends = views.iter().scan(0i64, |end, value| {
                    *end += value.map_or(0, <[u8]>::len) as i64;
                    Some(*end)
                });
                write_offsets(std::iter::once(0).chain(ends), *wide, dest);
            }
            Self::ViewBytes { views, .. } => {
                let mut at = 0;
                for value in views.iter().flatten() {
                    dest[at..at + value.len()].copy_from_slice(value);
                    at += value.len();
                }
            }
        }
    }
}

/// The byte that a little-endian integer is extended with.
fn sign(integer: &[u8]) -> u8 {
    if integer.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 }
}

/// Whether a little-endian integer has the same value in its first `bytes` bytes.
pub(super) fn is_extended(integer: &[u8], bytes: usize) -> bool {
    let (kept, dropped) = integer.split_at(bytes.min(integer.len()));
    dropped.iter().all(|byte| *byte == sign(kept))
}

/// Writes offsets that begin at 0. Those written narrow were found to fit when they were planned.
fn write_offsets(offsets: impl Iterator<Item = i64>, wide: bool, dest: &mut [u8]) {
    if wide {
        for (dest, offset) in dest.as_chunks_mut().0.iter_mut().zip(offsets) {
            *dest = offset.to_le_bytes();
        }
    } else {
        for (dest, offset) in dest.as_chunks_mut().0.iter_mut().zip(offsets) {
            *dest = (offset as i32).to_le_bytes();
        }
    }
}

/// Writes a bitmap from bit 0 on, with zeros after its end.
fn write_bits(bits: &BooleanBuffer, dest: &mut [u8]) {
    if bits.offset().is_multiple_of(8) {
        let first = bits.offset() / 8;
        dest.copy_from_slice(&bits.values()[first..first + dest.len()]);
    } else {
        for (dest, word) in dest.chunks_mut(8).zip(bits.bit_chunks().iter_padded()) {
            dest.copy_from_slice(&word.to_le_bytes()[..dest.len()]);
        }
    }
    if let (Some(last), used @ 1..) = (dest.last_mut(), bits.len() % 8) {
        *last &= (1 << used) - 1;
    }
}
