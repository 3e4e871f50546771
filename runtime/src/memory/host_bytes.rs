//! Sealed, anonymous files that hold image content, and the host's read-only view of them.

use std::io::{IoSlice, Read};
use std::os::fd::OwnedFd;
use std::ptr::NonNull;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::{pwrite, pwritev};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use super::{MemoryError, PAGE};

const OUTSIDE: MemoryError = MemoryError::Malformed { reason: "a run of pages ends outside the image" };

/// Bytes that are copied at once: few enough to stay in the processor's cache between reading and writing.
const CHUNK: usize = 256 << 10;

/// Parts of a file that are written at once; the kernel takes 1,024.
const PARTS_MAX: usize = 512;

/// An immutable file in memory, mapped read-only into the host.
#[derive(Debug)]
pub(crate) struct SealedFile {
    file: OwnedFd,
    view: NonNull<u8>,
    len: usize,
}

// SAFETY: the view is read-only for its whole life and the file is sealed against writes, so any
// number of threads may read it.
unsafe impl Send for SealedFile {}
// SAFETY: as above.
unsafe impl Sync for SealedFile {}

impl SealedFile {
    /// Creates a file of `len` bytes (a positive multiple of the page size) that holds `parts`, each at
    /// its offset, and zeros elsewhere.
    pub(super) fn new<'a>(
        name: &'static str,
        len: usize,
        parts: impl IntoIterator<Item = (usize, &'a [u8])>,
    ) -> Result<Self, MemoryError> {
        if len == 0 || !len.is_multiple_of(PAGE) {
            return Err(MemoryError::Malformed {
                reason: "an image's size is not a multiple of the page size",
            });
        }
        let file = create(name, len)?;
        let mut joined = Joined { file: &file, at: 0, bytes: 0, parts: Vec::with_capacity(PARTS_MAX) };
        for (offset, bytes) in parts {
            if offset.checked_add(bytes.len()).is_none_or(|end| end > len) {
                return Err(OUTSIDE);
            }
            joined.add(offset, bytes)?;
        }
        joined.write()?;
        Self::seal(file, len)
    }

    /// Creates a file of `len` bytes (more than 0) whose `parts`, given as offset and length, are read from
    /// `from`, one behind the other. A part at a time is never in memory as a whole but where it stays.
    pub(crate) fn read(
        name: &'static str,
        len: usize,
        parts: impl IntoIterator<Item = (usize, usize)>,
        from: &mut impl Read,
    ) -> Result<Self, MemoryError> {
        let file = create(name, len)?;
        // Large buffers of the C library begin 16 bytes behind a page, which some processors copy to at a
        // quarter of their speed.
        let mut buffer = vec![0; CHUNK + PAGE];
        let begin = buffer.as_ptr().align_offset(PAGE).min(PAGE);
        let buffer = buffer.get_mut(begin..begin + CHUNK).unwrap_or_default();
        for (mut offset, part) in parts {
            let end = offset.checked_add(part).filter(|end| *end <= len).ok_or(OUTSIDE)?;
            while offset < end {
                let chunk = buffer.get_mut(..CHUNK.min(end - offset)).unwrap_or_default();
                let read = from.read_exact(chunk);
                read.map_err(|source| MemoryError::System { operation: "reading an image", source })?;
                write(&file, chunk, offset)?;
                offset += chunk.len();
            }
        }
        Self::seal(file, len)
    }

    fn seal(file: OwnedFd, len: usize) -> Result<Self, MemoryError> {
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)
            .map_err(MemoryError::system("sealing an image"))?;
        // SAFETY: a new mapping at an address of the kernel's choice; no existing memory is touched.
        let view = unsafe { mmap(std::ptr::null_mut(), len, ProtFlags::READ, MapFlags::SHARED, &file, 0) }
            .map_err(MemoryError::system("mmap"))?;
        let view = NonNull::new(view.cast()).ok_or(MemoryError::Malformed { reason: "mapped at null" })?;
        let sealed = Self { file, view, len };
        // SAFETY: the mapping made above; the advice changes no content and no access. Without it, a core
        // file of the host could hold what is in an image, such as a function's environment.
        let advised = unsafe { madvise(view.as_ptr().cast(), len, Advice::LinuxDontDump) };
        if let Err(errno) = advised {
            tracing::debug!(%errno, "the kernel cannot keep memory out of core files");
        }
        Ok(sealed)
    }

    /// The file, to map it elsewhere.
    pub(crate) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Content of the file.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is `len` bytes long, lives as long as `self`, and cannot change: the
        // file is sealed against writes.
        unsafe { std::slice::from_raw_parts(self.view.as_ptr(), self.len) }
    }
}

fn create(name: &'static str, len: usize) -> Result<OwnedFd, MemoryError> {
    let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .map_err(MemoryError::system("memfd_create"))?;
    ftruncate(&file, len as u64).map_err(MemoryError::system("ftruncate"))?;
    Ok(file)
}

/// Parts of a file that follow each other, written with one call of the kernel.
struct Joined<'a> {
    file: &'a OwnedFd,
    at: usize,
    bytes: usize,
    parts: Vec<IoSlice<'a>>,
}

impl<'a> Joined<'a> {
    fn add(&mut self, offset: usize, part: &'a [u8]) -> Result<(), MemoryError> {
        if part.is_empty() {
            return Ok(());
        }
        if offset != self.at + self.bytes || self.parts.len() == PARTS_MAX {
            self.write()?;
            self.at = offset;
        }
        self.bytes += part.len();
        self.parts.push(IoSlice::new(part));
        Ok(())
    }

    fn write(&mut self) -> Result<(), MemoryError> {
        let mut parts = self.parts.as_mut_slice();
        while !parts.is_empty() {
            let written =
                pwritev(self.file, parts, self.at as u64).map_err(MemoryError::system("pwritev"))?;
            self.at += written;
            IoSlice::advance_slices(&mut parts, written);
        }
        self.parts.clear();
        self.bytes = 0;
        Ok(())
    }
}

fn write(file: &OwnedFd, mut bytes: &[u8], mut offset: usize) -> Result<(), MemoryError> {
    while !bytes.is_empty() {
        let written = pwrite(file, bytes, offset as u64).map_err(MemoryError::system("pwrite"))?;
        offset += written;
        bytes = bytes.get(written..).unwrap_or_default();
    }
    Ok(())
}

impl Drop for SealedFile {
    fn drop(&mut self) {
        // SAFETY: `view` is this value's own mapping of `len` bytes and no borrow of it is left.
        let unmapped = unsafe { munmap(self.view.as_ptr().cast(), self.len) };
        if let Err(errno) = unmapped {
            tracing::error!(%errno, "an image's view could not be unmapped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_parts_are_written_to_their_places_and_the_rest_is_zero() {
        // More than the kernel takes at once, empty ones among them, and a gap every now and then.
        let contents: Vec<Vec<u8>> = (0..3000_usize).map(|part| vec![part as u8 | 1; part % 40]).collect();
        let mut offset = 0;
        let mut parts: Vec<(usize, &[u8])> = Vec::new();
        for (number, content) in contents.iter().enumerate() {
            offset += if number % 700 == 699 { 5000 } else { 0 };
            parts.push((offset, content));
            offset += content.len();
        }
        let len = offset.next_multiple_of(PAGE);
        let file = SealedFile::new("test", len, parts.iter().copied()).unwrap();
        let mut expected = vec![0; len];
        for (offset, content) in parts {
            expected[offset..offset + content.len()].copy_from_slice(content);
        }
        assert!(file.bytes() == expected);
    }

    #[test]
    fn parts_are_read_to_their_places_and_the_rest_is_zero() {
        let len = 4 * CHUNK + 100;
        let parts = [(7, 2 * CHUNK + 9), (3 * CHUNK, 1), (len - 50, 50)];
        let content: Vec<u8> = (0..2 * CHUNK + 60).map(|at| (at % 251) as u8 + 1).collect();
        let mut from = content.as_slice();
        let file = SealedFile::read("test", len, parts, &mut from).unwrap();
        assert!(from.is_empty());
        let mut expected = vec![0; len];
        let mut rest = content.as_slice();
        for (offset, part) in parts {
            let (head, tail) = rest.split_at(part);
            expected[offset..offset + part].copy_from_slice(head);
            rest = tail;
        }
        assert!(file.bytes() == expected);
    }

    #[test]
    fn parts_that_end_outside_or_are_not_there_are_refused() {
        let read = |parts: &[(usize, usize)]| {
            SealedFile::read("test", PAGE, parts.iter().copied(), &mut [1; PAGE].as_slice()).map(drop)
        };
        assert!(read(&[(0, PAGE)]).is_ok());
        for parts in [[(1, PAGE)], [(PAGE, 1)], [(usize::MAX, 2)]] {
            assert!(matches!(read(&parts), Err(MemoryError::Malformed { .. })), "{parts:?}");
        }
        assert!(
            matches!(read(&[(0, PAGE), (0, 1)]), Err(MemoryError::System { .. })),
            "there is no more to read"
        );
    }
}
