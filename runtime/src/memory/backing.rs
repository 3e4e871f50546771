//! What a region maps: a base snapshot, and over it the pages in which an image differs.

use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use super::host_bytes::SealedFile;
use super::pool::RegionPool;
use super::{MEMORY_MAX, MemoryError, PAGE};

/// The pages of an image are joined into about this many runs, because every run costs a mapping; the
/// unchanged pages between them are stored again.
const RUNS_FEW: usize = 16;

/// More runs, up to this many, are made where fewer would store more unchanged than changed pages, or more
/// than [`UNCHANGED_BYTES_MAX`] of them.
const RUNS_MAX: usize = 64;

/// Runs of the second layout of an image, for when mappings are scarce.
const RUNS_SCARCE: usize = 12;

/// Unchanged pages that an image stores rather than have more runs, in bytes.
const UNCHANGED_BYTES_MAX: usize = 1 << 20;

/// A complete linear memory, shared by all images that were built on it.
#[derive(Debug)]
pub(crate) struct Snapshot {
    content: SealedFile,
}

impl Snapshot {
    /// Makes a snapshot of `len` bytes whose `runs` of pages are read from `from`, one behind the other.
    pub(crate) fn read(len: usize, runs: &[PageRun], from: &mut impl Read) -> Result<Arc<Self>, MemoryError> {
        if len == 0 || len > MEMORY_MAX || !len.is_multiple_of(PAGE) {
            return Err(MemoryError::Malformed { reason: "the memory has an impossible size" });
        }
        let parts = runs.iter().map(|run| (run.start, run.len));
        Ok(Arc::new(Self { content: SealedFile::read("vivarium-base", len, parts, from)? }))
    }

    /// A snapshot of `len` bytes with runs of pages, each given with its offset.
    #[cfg(test)]
    pub(super) fn new<'a>(
        len: usize,
        runs: impl IntoIterator<Item = (usize, &'a [u8])>,
    ) -> Result<Arc<Self>, MemoryError> {
        Ok(Arc::new(Self { content: SealedFile::new("vivarium-base", len, runs)? }))
    }

    /// The memory's content.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.content.bytes()
    }

    pub(super) fn file(&self) -> &SealedFile {
        &self.content
    }
}

/// A run of consecutive pages, in bytes from the start of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageRun {
    /// First byte.
    pub(crate) start: usize,
    /// Number of bytes.
    pub(crate) len: usize,
}

impl PageRun {
    fn end(self) -> usize {
        self.start + self.len
    }
}

impl Overlay {
    /// Kernel mappings of a region that maps this over a base, or, for `None`, a base alone: each run
    /// splits what lies below it.
    pub(super) fn mappings(layer: Option<&Self>) -> usize {
        3 + 2 * layer.map_or(0, |overlay| overlay.runs.len())
    }
}

/// One mapped run of an overlay.
#[derive(Debug, Clone, Copy)]
pub(super) struct OverlayRun {
    pub(super) at: PageRun,
    /// Where the run's bytes start in the overlay's file.
    pub(super) file_offset: usize,
}

#[derive(Debug)]
pub(super) struct Overlay {
    pub(super) content: SealedFile,
    pub(super) runs: Vec<OverlayRun>,
}

/// The memory of an image. Regions that map it are found again by its number.
#[derive(Debug)]
pub(crate) struct Backing {
    id: u64,
    len: usize,
    base: Arc<Snapshot>,
    overlay: Option<Overlay>,
    /// The overlay in few runs, once so many instances are alive that mappings are scarce: it stores
    /// several times as many bytes, once for all of them.
    scarce: OnceLock<Option<Overlay>>,
    pool: Weak<RegionPool>,
}

impl Backing {
    /// The memory of the base itself.
    pub(crate) fn of_base(base: Arc<Snapshot>, pool: &Arc<RegionPool>) -> Arc<Self> {
        let len = base.bytes().len();
        let scarce = OnceLock::new();
        Arc::new(Self { id: next_id(), len, base, overlay: None, scarce, pool: Arc::downgrade(pool) })
    }

    /// A memory of `len` bytes that differs from `base` in `pages`, given in ascending order with their
    /// content.
    pub(crate) fn with_pages(
        base: Arc<Snapshot>,
        pool: &Arc<RegionPool>,
        len: usize,
        pages: &[(PageRun, &[u8])],
    ) -> Result<Arc<Self>, MemoryError> {
        if len < base.bytes().len() || len > MEMORY_MAX || !len.is_multiple_of(PAGE) {
            return Err(MemoryError::Malformed { reason: "the image's memory has an impossible size" });
        }
        check_order(len, pages)?;
        let runs = plan(&pages.iter().map(|(run, _)| *run).collect::<Vec<_>>());
        let overlay = if runs.is_empty() { None } else { Some(Self::overlay(&base, &runs, pages)?) };
        let scarce = OnceLock::new();
        Ok(Arc::new(Self { id: next_id(), len, base, overlay, scarce, pool: Arc::downgrade(pool) }))
    }

    fn overlay(
        base: &Snapshot,
        runs: &[PageRun],
        pages: &[(PageRun, &[u8])],
    ) -> Result<Overlay, MemoryError> {
        let mut placed = Vec::with_capacity(runs.len());
        let mut file_offset = 0;
        for run in runs {
            placed.push(OverlayRun { at: *run, file_offset });
            file_offset += run.len;
        }
        // Pages between the changed ones keep what the base has there, if it reaches that far.
        let below = |from: usize, to: usize| {
            let base = base.bytes();
            base.get(from.min(base.len())..to.min(base.len())).unwrap_or_default()
        };
        let mut parts: Vec<(usize, &[u8])> = Vec::with_capacity(placed.len() + 2 * pages.len());
        let mut pages = pages.iter().peekable();
        for run in &placed {
            let mut free_from = run.at.start;
            while let Some((page, bytes)) = pages.next_if(|(page, _)| page.start < run.at.end()) {
                parts.push((run.file_offset + (free_from - run.at.start), below(free_from, page.start)));
                parts.push((run.file_offset + (page.start - run.at.start), bytes));
                free_from = page.end();
            }
            parts.push((run.file_offset + (free_from - run.at.start), below(free_from, run.at.end())));
        }
        let content = SealedFile::new("vivarium-image", file_offset, parts)?;
        Ok(Overlay { content, runs: placed })
    }

    /// Whether this is a base itself, and no image on it.
    pub(super) fn is_base(&self) -> bool {
        self.overlay.is_none() && self.len == self.base.bytes().len()
    }

    /// Number that no other backing of this process has.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Size of the memory, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that this image holds beyond the base it shares.
    pub(crate) fn own_bytes(&self) -> usize {
        let layouts = [self.overlay.as_ref(), self.scarce.get().and_then(Option::as_ref)];
        layouts.into_iter().flatten().map(|overlay| overlay.content.bytes().len()).sum()
    }

    /// The snapshot below.
    pub(crate) fn base(&self) -> &Arc<Snapshot> {
        &self.base
    }

    /// What is mapped over the base: in few runs if mappings are scarce.
    pub(super) fn layer(&self, scarce: bool) -> Option<&Overlay> {
        let overlay = self.overlay.as_ref()?;
        if !scarce || overlay.runs.len() <= RUNS_SCARCE {
            return Some(overlay);
        }
        let few = self.scarce.get_or_init(|| {
            let changed: Vec<PageRun> = overlay.runs.iter().map(|run| run.at).collect();
            let content = |run: &OverlayRun| {
                let bytes = overlay.content.bytes().get(run.file_offset..run.file_offset + run.at.len);
                (run.at, bytes.unwrap_or_default())
            };
            let pages: Vec<(PageRun, &[u8])> = overlay.runs.iter().map(content).collect();
            let made = Self::overlay(&self.base, &plan_runs(&changed, RUNS_SCARCE), &pages);
            // Without memory for it, instances have copies of the pages instead.
            made.inspect_err(|error| tracing::warn!(%error, "no second layout of an image")).ok()
        });
        few.as_ref().or(Some(overlay))
    }

    /// Content of the page at `start`, or `None` where the image is zero.
    pub(crate) fn page(&self, start: usize) -> Option<&[u8]> {
        let over = self.overlay.as_ref().and_then(|overlay| {
            let next = overlay.runs.partition_point(|run| run.at.start <= start);
            let run = overlay.runs.get(next.checked_sub(1)?)?;
            if start >= run.at.end() {
                return None;
            }
            let from = run.file_offset + (start - run.at.start);
            overlay.content.bytes().get(from..from + PAGE)
        });
        over.or_else(|| self.base.bytes().get(start..start + PAGE))
    }

    /// Copies this content over `runs` of `memory`, which lie within it.
    pub(crate) fn restore(&self, memory: &mut [u8], runs: &[PageRun]) {
        for start in runs.iter().flat_map(|run| (run.start..run.end()).step_by(PAGE)) {
            let Some(dest) = memory.get_mut(start..start + PAGE) else { continue };
            match self.page(start) {
                Some(page) => dest.copy_from_slice(page),
                None => dest.fill(0),
            }
        }
    }
}

impl Drop for Backing {
    fn drop(&mut self) {
        // Idle regions would keep the overlay's pages alive through their mappings.
        if let Some(pool) = self.pool.upgrade() {
            pool.forget(self.id);
        }
    }
}

/// Joins the changed pages of an image into the runs that are mapped.
fn plan(pages: &[PageRun]) -> Vec<PageRun> {
    let bytes = |runs: &[PageRun]| runs.iter().map(|run| run.len).sum::<usize>();
    let changed = bytes(pages);
    let mut most = RUNS_FEW;
    loop {
        let runs = plan_runs(pages, most);
        if most >= RUNS_MAX || bytes(&runs) - changed <= changed.min(UNCHANGED_BYTES_MAX) {
            return runs;
        }
        most *= 2;
    }
}

/// Joins runs, smallest gap first, until at most `most` are left.
fn plan_runs(pages: &[PageRun], most: usize) -> Vec<PageRun> {
    let gap = |pair: &[PageRun]| match pair {
        [left, right] => right.start - left.end(),
        _ => 0,
    };
    let mut gaps: Vec<usize> = pages.windows(2).map(gap).filter(|gap| *gap > 0).collect();
    // `most` runs have `most - 1` gaps between them: those wider than all the others.
    gaps.sort_unstable_by(|a, b| b.cmp(a));
    let joined_up_to = gaps.get(most.saturating_sub(1)).copied().unwrap_or(0);
    let mut runs: Vec<PageRun> = Vec::new();
    for page in pages {
        match runs.last_mut() {
            Some(last) if page.start - last.end() <= joined_up_to => last.len = page.end() - last.start,
            _ => runs.push(*page),
        }
    }
    runs
}

fn check_order(len: usize, pages: &[(PageRun, &[u8])]) -> Result<(), MemoryError> {
    let mut free_from = 0;
    for (run, bytes) in pages {
        let aligned = run.start.is_multiple_of(PAGE) && run.len.is_multiple_of(PAGE) && run.len > 0;
        let inside = run.start.checked_add(run.len).is_some_and(|end| end <= len);
        if !aligned || !inside || run.start < free_from || bytes.len() != run.len {
            return Err(MemoryError::Malformed { reason: "its runs of pages overlap or leave the memory" });
        }
        free_from = run.end();
    }
    Ok(())
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: usize, pages: usize) -> PageRun {
        PageRun { start: start * PAGE, len: pages * PAGE }
    }

    #[test]
    fn adjacent_runs_are_joined_even_with_room_for_more() {
        assert_eq!(plan_runs(&[run(1, 1), run(2, 3), run(9, 1)], 16), [run(1, 4), run(9, 1)]);
    }

    #[test]
    fn the_widest_gaps_stay() {
        let pages = [run(0, 1), run(2, 1), run(10, 1), run(13, 1), run(100, 1)];
        assert_eq!(plan_runs(&pages, 3), [run(0, 3), run(10, 4), run(100, 1)]);
        assert_eq!(plan_runs(&pages, 1), [run(0, 101)]);
        assert_eq!(plan_runs(&pages, 5), pages);
        assert!(plan_runs(&[], 16).is_empty());
    }

    #[test]
    fn more_runs_are_made_to_store_less() {
        let scattered: Vec<PageRun> = (0..40).map(|at| run(at * 100, 1)).collect();
        assert_eq!(plan(&scattered).len(), 40);
        let close: Vec<PageRun> = (0..40).map(|at| run(at * 2, 1)).collect();
        assert_eq!(plan(&close).len(), 1);
        let behind_much = |step: usize| {
            let few = (0..20).map(|at| run(5000 + at * step, 1));
            plan(&[run(0, 4000)].into_iter().chain(few).collect::<Vec<_>>()).len()
        };
        assert_eq!((behind_much(10), behind_much(200)), (2, 21));
        let many: Vec<PageRun> = (0..1000).map(|at| run(at * at, 1)).collect();
        assert!(plan(&many).len() <= RUNS_MAX);
    }

    #[test]
    fn a_page_comes_from_the_topmost_layer_that_has_it() {
        let pool = RegionPool::new(1).unwrap();
        let base = vec![1_u8; 4 * PAGE];
        let base = Snapshot::new(4 * PAGE, [(0, base.as_slice())]).unwrap();
        let changed = vec![2_u8; PAGE];
        let pages = [(run(1, 1), changed.as_slice()), (run(5, 1), changed.as_slice())];
        let image = Backing::with_pages(base, &pool, 8 * PAGE, &pages).unwrap();
        let first = |page: usize| image.page(page * PAGE).map(|bytes| bytes[0]);
        assert_eq!([0, 1, 2, 5, 7].map(first), [Some(1), Some(2), Some(1), Some(2), None]);
    }

    #[test]
    fn unchanged_pages_within_a_run_are_those_of_the_base() {
        let pool = RegionPool::new(1).unwrap();
        let base = vec![1_u8; 6 * PAGE];
        let base = Snapshot::new(6 * PAGE, [(0, base.as_slice())]).unwrap();
        let changed = vec![2_u8; 2 * PAGE];
        let at = |page: usize, pages: usize| (run(page, pages), &changed[..pages * PAGE]);
        // So many that they become one run, which begins with two changed pages and ends beyond the base.
        let pages: Vec<_> =
            [at(0, 2)].into_iter().chain((3..60).step_by(2).map(|page| at(page, 1))).collect();
        let image = Backing::with_pages(base, &pool, 64 * PAGE, &pages).unwrap();
        assert_eq!(image.own_bytes(), 60 * PAGE);
        let expected = |page: usize| match page {
            0 | 1 => Some(2),
            60.. => None,
            odd if odd % 2 == 1 => Some(2),
            below if below < 6 => Some(1),
            _ => Some(0),
        };
        for page in 0..64 {
            let content = image.page(page * PAGE);
            assert_eq!(content.map(|bytes| bytes[0]), expected(page), "{page}");
            assert!(content.is_none_or(|bytes| bytes.iter().all(|byte| *byte == bytes[0])), "{page}");
        }
    }

    #[test]
    fn runs_that_overlap_or_leave_the_memory_are_refused() {
        let pool = RegionPool::new(1).unwrap();
        let base = Snapshot::new(PAGE, []).unwrap();
        let bytes = vec![0_u8; 2 * PAGE];
        for pages in [
            vec![(run(0, 2), bytes.as_slice()), (run(1, 2), bytes.as_slice())],
            vec![(run(3, 2), bytes.as_slice())],
            vec![(run(0, 1), bytes.as_slice())],
            vec![(PageRun { start: 1, len: 2 * PAGE }, bytes.as_slice())],
        ] {
            let refused = Backing::with_pages(base.clone(), &pool, 4 * PAGE, &pages);
            assert!(matches!(refused, Err(MemoryError::Malformed { .. })));
        }
    }
}
