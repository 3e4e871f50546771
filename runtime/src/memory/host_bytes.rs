//! Sealed, anonymous files that hold image content, and the host's read-only view of them.

use std::os::fd::OwnedFd;
use std::ptr::NonNull;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::pwrite;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use super::{MemoryError, PAGE};

/// An immutable file in memory, mapped read-only into the host.
#[derive(Debug)]
pub(super) struct SealedFile {
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
        let file = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .map_err(MemoryError::system("memfd_create"))?;
        ftruncate(&file, len as u64).map_err(MemoryError::system("ftruncate"))?;
        for (offset, mut bytes) in parts {
            let mut offset = offset;
            if offset.checked_add(bytes.len()).is_none_or(|end| end > len) {
                return Err(MemoryError::Malformed { reason: "a run of pages ends outside the image" });
            }
            while !bytes.is_empty() {
                let written = pwrite(&file, bytes, offset as u64).map_err(MemoryError::system("pwrite"))?;
                offset += written;
                bytes = bytes.get(written..).unwrap_or_default();
            }
        }
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
    pub(super) fn file(&self) -> &OwnedFd {
        &self.file
    }

    /// Content of the file.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is `len` bytes long, lives as long as `self`, and cannot change: the
        // file is sealed against writes.
        unsafe { std::slice::from_raw_parts(self.view.as_ptr(), self.len) }
    }
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
