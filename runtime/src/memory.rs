//! Linear memories as copy-on-write views of images.
//!
//! All of the crate's memory-mapping code lives here. A [`Region`] is a reservation of address
//! space large enough for a whole 32-bit memory and its guard, so that compiled code needs no
//! bounds checks. The front of a region maps an image privately: reading it shares pages with
//! every other fork, writing it copies one page. Regions are pooled and stay mapped to the image
//! they served last, so that the next fork of the same image needs no system call.

mod backing;
mod creator;
mod host_bytes;
mod mappings;
mod pagemap;
mod pool;
mod region;
mod touched;

pub(crate) use backing::{Backing, PageRun, Snapshot};
pub(crate) use creator::{ImageMemoryCreator, Prepared, with_prepared};
pub(crate) use host_bytes::SealedFile;
pub(crate) use pool::RegionPool;
pub(crate) use touched::TouchedPages;

/// Size of a page, in bytes. [`RegionPool::new`] refuses to run where the kernel's differs.
pub(crate) const PAGE: usize = 4096;

/// Address space reserved for one memory: all that a 32-bit address can reach.
pub(crate) const RESERVATION: usize = 1 << 32;

/// Unmapped bytes after the reservation. Accesses with a constant offset up to this need no check.
pub(crate) const GUARD: usize = 32 << 20;

/// Largest size a memory may have: one WebAssembly page less than the reservation, so that an
/// offset plus a length within the memory never overflows 32 bits.
pub(crate) const MEMORY_MAX: usize = RESERVATION - (64 << 10);

/// Why memory could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// A system call failed.
    #[error("{operation} failed: {source}")]
    System {
        /// What was attempted.
        operation: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// All regions are in use.
    #[error("max_instances: all {limit} instances are in use")]
    Exhausted {
        /// Regions that may exist.
        limit: usize,
    },
    /// The kernel's pages have another size than this build supports.
    #[error("page size: the kernel uses {kernel} bytes, this build needs {PAGE}")]
    PageSize {
        /// The kernel's page size, in bytes.
        kernel: usize,
    },
    /// An image does not fit a 32-bit memory or contradicts itself.
    #[error("malformed image: {reason}")]
    Malformed {
        /// What is wrong.
        reason: &'static str,
    },
}

impl MemoryError {
    fn system(operation: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::System { operation, source: errno.into() }
    }
}
