//! The C structs of the guest ABI, as bytes.

use super::GuestViolation;

/// Size of an `ArrowSchema`.
pub(super) const SCHEMA_BYTES: usize = 48;
/// Size of an `ArrowArray`.
pub(super) const ARRAY_BYTES: usize = 64;
/// Size of a pointer.
pub(super) const POINTER_BYTES: usize = 4;
/// Alignment of data buffers.
pub(super) const BUFFER_ALIGN: u64 = 64;
/// `ARROW_FLAG_NULLABLE`.
pub(super) const FLAG_NULLABLE: i64 = 2;
/// `ARROW_FLAG_MAP_KEYS_SORTED`.
pub(super) const FLAG_MAP_KEYS_SORTED: i64 = 4;
/// The largest layout that is ever written: what a guest of 32 bits can allocate in one piece.
pub(super) const MAX_BYTES: u64 = i32::MAX as u64;

/// An `ArrowArray` without `release` and `private_data`, which are 0 in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RawArray {
    pub(super) length: i64,
    pub(super) null_count: i64,
    pub(super) offset: i64,
    pub(super) n_buffers: i64,
    pub(super) n_children: i64,
    pub(super) buffers: u32,
    pub(super) children: u32,
    pub(super) dictionary: u32,
}

impl RawArray {
    /// Reads the struct from its bytes.
    pub(super) fn decode(bytes: &[u8; ARRAY_BYTES]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let (halves, _) = bytes.as_chunks::<4>();
        Self {
            length: i64::from_le_bytes(words[0]),
            null_count: i64::from_le_bytes(words[1]),
            offset: i64::from_le_bytes(words[2]),
            n_buffers: i64::from_le_bytes(words[3]),
            n_children: i64::from_le_bytes(words[4]),
            buffers: u32::from_le_bytes(halves[10]),
            children: u32::from_le_bytes(halves[11]),
            dictionary: u32::from_le_bytes(halves[12]),
        }
    }

    /// The struct's bytes.
    pub(super) fn encode(&self) -> [u8; ARRAY_BYTES] {
        let mut bytes = [0; ARRAY_BYTES];
        let integers = [self.length, self.null_count, self.offset, self.n_buffers, self.n_children];
        for (chunk, value) in bytes.chunks_exact_mut(8).zip(integers) {
            chunk.copy_from_slice(&value.to_le_bytes());
        }
        let pointers = [self.buffers, self.children, self.dictionary];
        for (chunk, value) in bytes[40..].chunks_exact_mut(4).zip(pointers) {
            chunk.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }
}

/// `value` rounded up to a multiple of `align`, a power of two.
pub(super) fn align_up(value: u64, align: u64) -> u64 {
    value.saturating_add(align - 1) & !(align - 1)
}

/// The part of `memory` that the guest allocated at `base` for something of `size` bytes.
pub(super) fn destination<'m>(
    memory: &'m mut [u8],
    base: u32,
    size: usize,
    path: &str,
) -> Result<&'m mut [u8], GuestViolation> {
    let available = memory.len() as u64;
    let start = base as usize;
    start.checked_add(size).and_then(|end| memory.get_mut(start..end)).ok_or_else(|| {
        GuestViolation::OutOfBounds {
            path: path.to_owned(),
            what: "allocation",
            pointer: base,
            bytes: size as u64,
            memory: available,
        }
    })
}
