//! Unpacking one entry, never beyond its declared size.

use flate2::{Decompress, FlushDecompress, Status};

use super::end::to_u64;
use super::error::{ArchiveError, shown};
use super::layout::Entry;

/// Content is unpacked in pieces of so many bytes, so that memory follows what is really there.
const PIECE_BYTES: usize = 64 << 10;

/// Unpacks entries one after the other, with one window.
pub(super) struct Inflater {
    state: Decompress,
    piece: Vec<u8>,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self { state: Decompress::new(false), piece: vec![0; PIECE_BYTES] }
    }

    /// The entry's content, of the declared size and checksum.
    pub(super) fn unpack(&mut self, entry: &Entry<'_>) -> Result<Vec<u8>, ArchiveError> {
        let content = if entry.is_deflated { self.inflate(entry)? } else { entry.packed.to_vec() };
        let mut checksum = flate2::Crc::new();
        checksum.update(&content);
        if checksum.sum() != entry.checksum {
            let name = shown(entry.path.as_bytes());
            return Err(ArchiveError::Checksum { entry: name, said: entry.checksum, found: checksum.sum() });
        }
        Ok(content)
    }

    fn inflate(&mut self, entry: &Entry<'_>) -> Result<Vec<u8>, ArchiveError> {
        let name = || shown(entry.path.as_bytes());
        self.state.reset(false);
        let mut content = Vec::new();
        loop {
            let before = (self.state.total_in(), self.state.total_out());
            let read = usize::try_from(before.0).unwrap_or(usize::MAX).min(entry.packed.len());
            let status = self
                .state
                .decompress(&entry.packed[read..], &mut self.piece, FlushDecompress::None)
                .map_err(|_| ArchiveError::Deflate { entry: name() })?;
            let after = (self.state.total_in(), self.state.total_out());
            if after.1 > entry.size {
                return Err(ArchiveError::Size { entry: name(), size: entry.size, more: true });
            }
            let written = usize::try_from(after.1 - before.1).unwrap_or(0);
            content.extend_from_slice(&self.piece[..written]);
            match status {
                Status::StreamEnd => break,
                // No progress: the data ends before its last block does.
                _ if after == before => return Err(ArchiveError::Deflate { entry: name() }),
                _ => {}
            }
        }
        if to_u64(content.len()) != entry.size {
            return Err(ArchiveError::Size { entry: name(), size: entry.size, more: false });
        }
        match to_u64(entry.packed.len()) - self.state.total_in() {
            0 => Ok(content),
            bytes => Err(ArchiveError::DataTail { entry: name(), bytes }),
        }
    }
}
