//! Little-endian fields of one record.

use super::error::ArchiveError;

/// Reads the fields of a record one after the other.
#[derive(Clone, Debug)]
pub(super) struct Record<'a> {
    rest: &'a [u8],
    what: &'static str,
    offset: usize,
}

impl<'a> Record<'a> {
    /// The record that begins with `signature` at `offset`; `what` names it in errors.
    pub(super) fn at(
        archive: &'a [u8],
        offset: usize,
        what: &'static str,
        signature: [u8; 4],
    ) -> Result<Self, ArchiveError> {
        let rest = archive.get(offset..).ok_or(ArchiveError::Truncated { what, offset })?;
        let mut record = Record { rest, what, offset };
        if record.take(4)? != signature {
            return Err(ArchiveError::NoRecord { what, offset });
        }
        Ok(record)
    }

    /// The next `length` bytes.
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], ArchiveError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(ArchiveError::Truncated { what: self.what, offset: self.offset })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ArchiveError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(ArchiveError::Truncated { what: self.what, offset: self.offset })?;
        self.rest = rest;
        Ok(*taken)
    }

    /// The next two bytes.
    pub(super) fn u16(&mut self) -> Result<u16, ArchiveError> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes.
    pub(super) fn u32(&mut self) -> Result<u32, ArchiveError> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes.
    pub(super) fn u64(&mut self) -> Result<u64, ArchiveError> {
        self.array().map(u64::from_le_bytes)
    }

    /// How many bytes are left of the archive behind what was read.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }
}
