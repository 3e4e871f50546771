//! One reservation of address space, and the system calls that fill and clean it.

use std::ffi::c_void;
use std::ptr::NonNull;

use rustix::io::Errno;
use rustix::mm::{
    Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mmap_anonymous, mprotect, munmap,
};

use super::backing::{Backing, Overlay};
use super::mappings::MappingShare;
use super::pagemap::Pagemap;
use super::touched::TouchedPages;
use super::{GUARD, MemoryError, PAGE, PageRun, RESERVATION};

const TOTAL: usize = RESERVATION + GUARD;

/// Address space for one linear memory. Bytes in `[0, accessible)` can be read and written, the
/// rest faults.
#[derive(Debug)]
pub(super) struct Region {
    base: NonNull<u8>,
    bound: Option<Bound>,
    accessible: usize,
    /// Pages that are not those of the backing any more.
    touched: TouchedPages,
}

/// What a region maps.
#[derive(Debug)]
struct Bound {
    /// Number of the backing.
    id: u64,
    /// The mappings that its runs take; `None` if the runs were copied instead.
    _mappings: Option<MappingShare>,
    copied: bool,
}

// SAFETY: a region is an exclusively owned range of address space; nothing in it belongs to a
// thread.
unsafe impl Send for Region {}
// SAFETY: shared references give out the base address only; accesses through it are the business
// of the one linear memory that owns the region.
unsafe impl Sync for Region {}

impl Region {
    /// Reserves address space; nothing in it is accessible yet.
    pub(super) fn reserve() -> Result<Self, MemoryError> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let base = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                TOTAL,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        };
        let base = base.map_err(MemoryError::system("reserving address space"))?;
        let base = NonNull::new(base.cast()).ok_or(MemoryError::Malformed { reason: "mapped at null" })?;
        let region = Self { base, bound: None, accessible: 0, touched: TouchedPages::default() };
        region.advise(0, TOTAL);
        Ok(region)
    }

    /// What the kernel shall do with tenants' memory. New mappings have to be told anew.
    ///
    /// It has no place in a core file of the host. And it is not to be joined into huge pages: those
    /// make pages the memory's own without a page fault, which [`TouchedPages`] relies on.
    fn advise(&self, from: usize, len: usize) {
        for advice in [Advice::LinuxDontDump, Advice::LinuxNoHugepage] {
            // SAFETY: the range lies inside this region; the advice changes no content and no access.
            let advised = unsafe { madvise(self.at(from), len, advice) };
            if let Err(errno) = advised {
                tracing::debug!(%errno, ?advice, "the kernel does not take advice on a memory");
                // A kernel without huge pages does not know the second.
                if matches!(advice, Advice::LinuxNoHugepage) && errno != Errno::INVAL {
                    self.touched.distrust();
                }
            }
        }
    }

    pub(super) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// The account of its pages: whoever touches the memory keeps it.
    pub(super) fn touched(&self) -> &TouchedPages {
        &self.touched
    }

    /// Number of the backing that is mapped.
    pub(super) fn bound_to(&self) -> Option<u64> {
        self.bound.as_ref().map(|bound| bound.id)
    }

    /// Whether any of it is accessible.
    pub(super) fn is_blank(&self) -> bool {
        self.accessible == 0
    }

    fn at(&self, offset: usize) -> *mut c_void {
        debug_assert!(offset <= RESERVATION);
        // SAFETY: all callers stay within the reservation of `TOTAL` bytes that starts at `base`.
        unsafe { self.base.as_ptr().add(offset) }.cast()
    }

    /// Maps `backing` over the front of a blank region, with `layer` of it over the base. Without a share
    /// of the process's mappings its pages are copied over the base instead, which costs memory.
    pub(super) fn bind(
        &mut self,
        backing: &Backing,
        layer: Option<&Overlay>,
        share: Option<MappingShare>,
    ) -> Result<(), MemoryError> {
        debug_assert!(self.is_blank());
        let base = backing.base().file();
        self.map_file(0, base.bytes().len(), base.file(), 0)?;
        self.accessible = base.bytes().len();
        self.make_accessible(backing.len())?;
        for (overlay, run) in
            layer.iter().flat_map(|overlay| overlay.runs.iter().map(move |run| (overlay, run)))
        {
            match share {
                Some(_) => {
                    self.map_file(run.at.start, run.at.len, overlay.content.file(), run.file_offset)?
                }
                None => self.restore(backing, run.at),
            }
        }
        self.advise(0, backing.len());
        let copied = share.is_none() && layer.is_some();
        self.bound = Some(Bound { id: backing.id(), _mappings: share, copied });
        Ok(())
    }

    fn map_file(
        &mut self,
        start: usize,
        len: usize,
        file: &std::os::fd::OwnedFd,
        file_offset: usize,
    ) -> Result<(), MemoryError> {
        debug_assert!(start + len <= RESERVATION);
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: `[start, start + len)` lies inside this region's own reservation, which holds no
        // Rust object; replacing its pages affects only the linear memory to come.
        unsafe {
            mmap(self.at(start), len, ProtFlags::READ | ProtFlags::WRITE, flags, file, file_offset as u64)
        }
        .map_err(MemoryError::system("mapping an image"))?;
        Ok(())
    }

    /// Makes `[accessible, end)` readable and writable; its pages are zero.
    pub(super) fn make_accessible(&mut self, end: usize) -> Result<(), MemoryError> {
        if end <= self.accessible {
            return Ok(());
        }
        if end > RESERVATION {
            return Err(MemoryError::Malformed { reason: "the memory is larger than 4 GiB" });
        }
        // SAFETY: the range lies inside this region's reservation; pages beyond `accessible` are
        // anonymous, untouched and thus zero.
        unsafe {
            mprotect(
                self.at(self.accessible),
                end - self.accessible,
                MprotectFlags::READ | MprotectFlags::WRITE,
            )
        }
        .map_err(MemoryError::system("growing a memory"))?;
        self.accessible = end;
        Ok(())
    }

    /// Takes pages from `from` on away: they fault, and read zero if they ever become accessible
    /// again.
    fn drop_from(&mut self, from: usize) -> Result<(), MemoryError> {
        if from >= self.accessible {
            return Ok(());
        }
        // Freeing pages takes milliseconds when they are many. Replacing the mapping would do it while nobody
        // else of the process can map, grow or protect anything.
        self.discard(from, self.accessible - from)?;
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: the range lies inside this region's reservation and no memory uses it any more.
        unsafe { mmap_anonymous(self.at(from), self.accessible - from, ProtFlags::empty(), flags) }
            .map_err(MemoryError::system("cleaning a memory"))?;
        self.advise(from, self.accessible - from);
        self.accessible = from;
        Ok(())
    }

    /// Takes every page away and forgets the backing.
    pub(super) fn blank(&mut self) -> Result<(), MemoryError> {
        self.bound = None;
        self.touched.forget();
        self.drop_from(0)
    }

    /// Brings the region back to the state right after [`Region::bind`] with `backing`, or makes it
    /// blank.
    ///
    /// Pages that were written to get the image's content copied back if they are no more than `keep_bytes`,
    /// which also spares the next fork their page faults; otherwise they are discarded.
    /// Returns how many bytes it kept.
    pub(super) fn reset(
        &mut self,
        backing: &Backing,
        pagemap: Option<&Pagemap>,
        keep_bytes: usize,
    ) -> Result<usize, MemoryError> {
        self.drop_from(backing.len())?;
        let written = pagemap.and_then(|map| self.touched.find(map, self.base(), backing.len()));
        if let Some(written) = written {
            let bytes: usize = written.iter().map(|run| run.len).sum();
            if bytes <= keep_bytes {
                written.iter().for_each(|run| self.restore(backing, *run));
                return Ok(bytes);
            }
        }
        if self.bound.as_ref().is_some_and(|bound| bound.copied) {
            // Discarding would lose the copied pages.
            self.blank()?;
            return Ok(0);
        }
        self.touched.forget();
        self.discard(0, backing.len())?;
        Ok(0)
    }

    /// Drops private pages: the next access finds the file's or a zero page again.
    fn discard(&self, from: usize, len: usize) -> Result<(), MemoryError> {
        // SAFETY: callers stay inside this region, and no memory uses the range.
        unsafe { madvise(self.at(from), len, Advice::LinuxDontNeed) }
            .map_err(MemoryError::system("discarding a memory's pages"))
    }

    /// Copies the image's content over a run of pages.
    fn restore(&mut self, backing: &Backing, run: PageRun) {
        for start in (run.start..run.start + run.len).step_by(PAGE) {
            debug_assert!(start + PAGE <= self.accessible);
            let dest = self.at(start).cast::<u8>();
            match backing.page(start) {
                // SAFETY: `dest` is a writable page of this region (it lies below `accessible`), which
                // no one else uses while it is prepared or reset; the source is one page of a separate
                // read-only mapping.
                Some(page) => unsafe { std::ptr::copy_nonoverlapping(page.as_ptr(), dest, PAGE) },
                // SAFETY: as above, without a source.
                None => unsafe { std::ptr::write_bytes(dest, 0, PAGE) },
            }
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the reservation is this value's own and no linear memory uses it any more.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), TOTAL) };
        if let Err(errno) = unmapped {
            tracing::error!(%errno, "a memory region could not be unmapped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{RegionPool, Snapshot};
    use super::*;
    use crate::memory::mappings::MappingBudget;

    const PAGES: usize = 64;

    /// An image of 64 pages over a base of 32; each page's bytes tell which it is.
    fn image() -> std::sync::Arc<Backing> {
        let pool = RegionPool::new(1).unwrap();
        let base: Vec<u8> = (0..PAGES / 2).flat_map(|page| [page as u8 + 1; PAGE]).collect();
        let base = Snapshot::new(base.len(), [(0, base.as_slice())]).unwrap();
        let changed = vec![200_u8; 2 * PAGE];
        let run = |page: usize| (PageRun { start: page * PAGE, len: 2 * PAGE }, changed.as_slice());
        Backing::with_pages(base, &pool, PAGES * PAGE, &[run(3), run(31), run(50)]).unwrap()
    }

    fn bytes(region: &mut Region) -> &mut [u8] {
        region.touched.touch();
        // SAFETY: `[0, accessible)` is mapped, and the test has the only reference to it.
        unsafe { std::slice::from_raw_parts_mut(region.base(), region.accessible) }
    }

    fn expected(image: &Backing) -> Vec<u8> {
        let page = |page: usize| image.page(page * PAGE).unwrap_or(&[0; PAGE]).to_vec();
        (0..PAGES).flat_map(page).collect()
    }

    #[test]
    fn a_reset_region_is_the_image_again() {
        let image = image();
        let pagemap = Pagemap::open();
        for (mapped, scan, keep) in
            [(true, true, usize::MAX), (true, true, 0), (true, false, usize::MAX), (false, true, usize::MAX)]
        {
            let layer = image.layer(false);
            let share = || MappingBudget::of_kernel().take(Overlay::mappings(layer)).filter(|_| mapped);
            let mut region = Region::reserve().unwrap();
            region.bind(&image, layer, share()).unwrap();
            assert_eq!(bytes(&mut region), expected(&image));
            for _ in 0..3 {
                region.make_accessible((PAGES + 16) * PAGE).unwrap();
                for page in (0..PAGES + 16).step_by(5) {
                    bytes(&mut region)[page * PAGE + 7] = 99;
                }
                let kept = region.reset(&image, pagemap.as_ref().filter(|_| scan), keep).unwrap();
                assert_eq!(kept > 0, scan && keep > 0 && pagemap.is_some());
                if region.is_blank() {
                    region.bind(&image, layer, share()).unwrap();
                }
                assert_eq!(bytes(&mut region), expected(&image));
                region.make_accessible((PAGES + 16) * PAGE).unwrap();
                assert!(bytes(&mut region)[PAGES * PAGE..].iter().all(|byte| *byte == 0));
                region.reset(&image, pagemap.as_ref().filter(|_| scan), keep).unwrap();
                if region.is_blank() {
                    region.bind(&image, layer, share()).unwrap();
                }
            }
        }
    }

    #[test]
    fn the_layout_in_few_runs_is_the_same_image() {
        let pool = RegionPool::new(1).unwrap();
        let base: Vec<u8> = (0..PAGES).flat_map(|page| [page as u8 + 1; PAGE]).collect();
        let base = Snapshot::new(base.len(), [(0, base.as_slice())]).unwrap();
        let changed = vec![200_u8; PAGE];
        let run = |page: usize| (PageRun { start: page * PAGE, len: PAGE }, changed.as_slice());
        let pages: Vec<_> = (0..40).map(|at| run(at * 100)).collect();
        let image = Backing::with_pages(base, &pool, 4000 * PAGE, &pages).unwrap();
        let before = image.own_bytes();
        let few = image.layer(true).unwrap();
        assert!(few.runs.len() <= 12 && Overlay::mappings(Some(few)) <= 27, "{}", few.runs.len());
        assert!(image.own_bytes() > before);
        let mut region = Region::reserve().unwrap();
        region.bind(&image, Some(few), MappingBudget::of_kernel().take(27)).unwrap();
        let bytes = bytes(&mut region);
        for page in 0..4000 {
            let expected = image.page(page * PAGE).map_or(0, |bytes| bytes[0]);
            assert_eq!(bytes[page * PAGE], expected, "page {page}");
            assert_eq!(bytes[page * PAGE + PAGE - 1], expected, "page {page}");
        }
    }

    /// Whether every mapping of a region is left out of core files and huge pages, as the kernel tells.
    fn is_advised(region: &mut Region) -> bool {
        let base = region.base() as usize;
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        let mut mappings = 0;
        for line in maps.lines() {
            let range = line.split_once('-').and_then(|(start, rest)| {
                let end = rest.split(' ').next()?;
                Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
            });
            if let Some((start, end)) = range {
                // The kernel joins equal neighbours, so a mapping may be longer than the region.
                inside = start < base + TOTAL && end > base;
            } else if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| inside) {
                mappings += 1;
                // A kernel without huge pages has no flag against them.
                let huge = std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists();
                let wanted = if huge { &["dd", "nh"][..] } else { &["dd"] };
                if !wanted.iter().all(|wanted| flags.split_whitespace().any(|flag| flag == *wanted)) {
                    return false;
                }
            }
        }
        mappings > 0
    }

    #[test]
    fn attack_tenants_memory_is_kept_out_of_core_files() {
        let image = image();
        let mut region = Region::reserve().unwrap();
        assert!(is_advised(&mut region));
        let layer = image.layer(false);
        region.bind(&image, layer, MappingBudget::of_kernel().take(Overlay::mappings(layer))).unwrap();
        assert!(is_advised(&mut region));
        region.make_accessible((PAGES + 16) * PAGE).unwrap();
        assert!(is_advised(&mut region));
        region.reset(&image, None, 0).unwrap();
        assert!(is_advised(&mut region));
        region.blank().unwrap();
        assert!(is_advised(&mut region));
    }

    #[test]
    fn copied_pages_are_not_discarded_silently() {
        let image = image();
        let mut region = Region::reserve().unwrap();
        region.bind(&image, image.layer(false), None).unwrap();
        assert_eq!(region.reset(&image, None, usize::MAX).unwrap(), 0);
        assert!(region.is_blank() && region.bound_to().is_none());
    }
}
