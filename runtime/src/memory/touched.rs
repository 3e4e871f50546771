//! Which pages of a memory have to be restored before it is used for something else.
//!
//! Asking the kernel means a walk over all pages of the memory, tens of microseconds. A page that is not
//! yet the memory's own becomes so in a page fault, which the kernel counts for the thread that has it.
//! So as long as all that touches the memory happens under [`TouchedPages::watch`], and no thread had a
//! fault there, the pages found the last time are still all of them.

use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, PoisonError};

use super::PageRun;
use super::pagemap::Pagemap;

/// The pages of one region that are its own, as far as known. The region and the guest in it share this;
/// clones are the same account.
#[derive(Clone, Debug, Default)]
pub(crate) struct TouchedPages(Arc<Mutex<Account>>);

#[derive(Debug, Default)]
struct Account {
    /// All of them at the time of the last scan; `None` before the first.
    known: Option<Arc<[PageRun]>>,
    /// Whether the memory may have become the owner of more since.
    stale: bool,
    /// Page faults of the thread that is being watched, at the start.
    watched: Option<u64>,
    /// Whether pages may become the memory's own in other ways than a page fault.
    distrusted: bool,
}

impl TouchedPages {
    /// Starts watching what the calling thread does until [`TouchedPages::end_watch`], on the same thread.
    pub(crate) fn watch(&self) {
        self.with(|account| {
            // A watch that was never ended has missed something.
            account.stale |= account.watched.is_some();
            if account.known.is_some() && !account.stale {
                account.watched = page_faults();
            }
        });
    }

    /// Ends what [`TouchedPages::watch`] began.
    pub(crate) fn end_watch(&self) {
        self.with(|account| {
            if let Some(before) = account.watched.take() {
                account.stale |= page_faults() != Some(before);
            }
        });
    }

    /// Has to be called before anything may touch the memory.
    pub(crate) fn touch(&self) {
        self.with(|account| account.stale |= account.watched.is_none());
    }

    /// The pages of the memory of `len` bytes at `base` that are its own. `None` where the kernel cannot
    /// tell, or they are too many.
    pub(super) fn find(&self, map: &Pagemap, base: *const u8, len: usize) -> Option<Arc<[PageRun]>> {
        self.with(|account| {
            let is_known = account.known.is_some() && account.watched.is_none();
            if !is_known || account.stale || account.distrusted {
                account.watched = None;
                account.known = map.private_pages(base, len).map(Arc::from);
                account.stale = false;
            }
            account.known.clone()
        })
    }

    /// What was known is so no more.
    pub(super) fn forget(&self) {
        self.with(|account| *account = Account { distrusted: account.distrusted, ..Account::default() });
    }

    /// From now on the kernel is asked every time.
    pub(super) fn distrust(&self) {
        self.with(|account| account.distrusted = true);
    }

    fn with<R>(&self, work: impl FnOnce(&mut Account) -> R) -> R {
        // Nothing panics while the lock is held.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Page faults that the calling thread has had; `None` if the kernel does not say.
fn page_faults() -> Option<u64> {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the call fills `usage`, which is large enough for it, if it returns 0.
    let usage = unsafe {
        if libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) != 0 {
            return None;
        }
        usage.assume_init()
    };
    u64::try_from(usage.ru_minflt).ok()?.checked_add(u64::try_from(usage.ru_majflt).ok()?)
}

#[cfg(test)]
mod tests {
    use super::super::{Backing, PAGE, Prepared, RegionPool, Snapshot};
    use super::*;

    #[test]
    fn a_page_written_for_the_first_time_is_found_and_an_old_one_is_not_looked_for() {
        let Some(map) = Pagemap::open() else { return };
        let pool = RegionPool::new(1).unwrap();
        let base = Snapshot::new(64 * PAGE, []).unwrap();
        let mut prepared = Prepared::image(&pool, &Backing::of_base(base, &pool)).unwrap();
        let memory = prepared.bytes();
        let (start, len) = (memory.as_ptr(), memory.len());
        let touched = TouchedPages::default();
        let is_stale = || touched.with(|account| account.stale);
        let found = || touched.find(&map, start, len).unwrap().to_vec();
        let page = |at: usize| PageRun { start: at * PAGE, len: PAGE };
        memory[5 * PAGE] = 1;
        assert_eq!(found(), [page(5)]);
        // Watched, and no page more. (The first times the code itself may not be there yet.)
        let mut quiet = || {
            found();
            touched.watch();
            touched.touch();
            memory[5 * PAGE + 9] = 1;
            touched.end_watch();
            !is_stale()
        };
        assert!((0..20).any(|_| quiet()));
        // Watched, and one page more.
        touched.watch();
        touched.touch();
        memory[20 * PAGE] = 1;
        touched.end_watch();
        assert!(is_stale());
        assert_eq!(found(), [page(5), page(20)]);
        // Not watched.
        touched.touch();
        assert!(is_stale());
        memory[40 * PAGE] = 1;
        assert_eq!(found(), [page(5), page(20), page(40)]);
        // A watch that nobody ended.
        touched.watch();
        touched.watch();
        assert!(is_stale());
        found();
        // Of a memory that is distrusted nothing is taken for granted.
        touched.distrust();
        found();
        memory[41 * PAGE] = 1;
        assert_eq!(found().last(), Some(&PageRun { start: 40 * PAGE, len: 2 * PAGE }));
    }
}
