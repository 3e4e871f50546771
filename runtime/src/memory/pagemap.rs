//! Asks the kernel which pages of a private mapping were written to (`PAGEMAP_SCAN`, Linux 6.7).

use std::fs::File;
use std::os::fd::AsRawFd;

use super::{PAGE, PageRun};

/// Runs reported by one scan. A region with more is treated as if the scan had failed.
const RUNS_MAX: usize = 512;

const PAGEMAP_SCAN: libc::c_ulong = 0xc060_6610;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;

/// `struct page_region` of the kernel.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg` of the kernel.
#[repr(C)]
#[derive(Default)]
struct ScanArguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// The process's own page map.
#[derive(Debug)]
pub(crate) struct Pagemap {
    file: File,
}

impl Pagemap {
    /// Opens the page map; `None` where the kernel cannot scan it.
    pub(crate) fn open() -> Option<Self> {
        let pagemap = Self { file: File::open("/proc/self/pagemap").ok()? };
        let probe = [0_u8; 1];
        let page = probe.as_ptr() as usize / PAGE * PAGE;
        pagemap.scan(page, PAGE).map(|_| pagemap)
    }

    /// Pages in `[base, base + len)` that belong to this process alone: written-to pages of a
    /// private file mapping, and every page in use of an anonymous mapping. Offsets are relative to
    /// `base`. `None` if the kernel refuses or finds too many runs.
    pub(crate) fn private_pages(&self, base: *const u8, len: usize) -> Option<Vec<PageRun>> {
        self.scan(base as usize, len)
    }

    fn scan(&self, base: usize, len: usize) -> Option<Vec<PageRun>> {
        let mut found = [PageRegion::default(); RUNS_MAX];
        let mut arguments = ScanArguments {
            size: size_of::<ScanArguments>() as u64,
            start: base as u64,
            end: (base + len) as u64,
            vec: found.as_mut_ptr() as u64,
            vec_len: RUNS_MAX as u64,
            // Not of a file, and present or swapped out.
            category_inverted: PAGE_IS_FILE,
            category_mask: PAGE_IS_FILE,
            category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
            return_mask: PAGE_IS_PRESENT,
            ..ScanArguments::default()
        };
        // SAFETY: the kernel reads `arguments` and writes at most `vec_len` entries to `vec`, which
        // has room for them; the scanned memory itself is only looked up, never accessed.
        let count = unsafe { libc::ioctl(self.file.as_raw_fd(), PAGEMAP_SCAN, &mut arguments) };
        let count = usize::try_from(count).ok()?;
        // A full table may be a truncated answer.
        if count >= RUNS_MAX || arguments.walk_end != arguments.end {
            return None;
        }
        let runs = found.get(..count)?.iter().map(|region| {
            let start = usize::try_from(region.start).ok()?.checked_sub(base)?;
            let len = usize::try_from(region.end.checked_sub(region.start)?).ok()?;
            Some(PageRun { start, len })
        });
        runs.collect()
    }
}
