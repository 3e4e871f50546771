//! Regions, live and idle. There are never more than the engine allows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::backing::{Backing, Overlay};
use super::mappings::MappingBudget;
use super::pagemap::Pagemap;
use super::region::Region;
use super::touched::TouchedPages;
use super::{MemoryError, PAGE, PageRun};

/// Idle regions of images that keep restored pages instead of giving them back to the kernel.
const WARM_REGIONS_MAX: usize = 256;

/// Bytes that each of them keeps at most.
const WARM_BYTES_MAX: usize = 128 * PAGE;

/// The same of a region that maps a base. Importing a small function writes to some 160 pages, and as many
/// regions are ever in use as images are built at the same time.
const WARM_BASE_BYTES_MAX: usize = 512 * PAGE;

/// All regions of an engine.
#[derive(Debug)]
pub(crate) struct RegionPool {
    idle: Mutex<Idle>,
    limit: usize,
    pagemap: Option<Pagemap>,
    mappings: Arc<MappingBudget>,
}

#[derive(Debug, Default)]
struct Idle {
    /// Regions that map an image, by the image's number.
    bound: HashMap<u64, Vec<Slot>>,
    /// Regions that map nothing.
    blank: Vec<Region>,
    bound_count: usize,
    warm_count: usize,
    live: usize,
}

#[derive(Debug)]
struct Slot {
    region: Region,
    warm: bool,
}

impl Idle {
    fn take_bound(&mut self, id: u64) -> Option<Region> {
        let slots = self.bound.get_mut(&id)?;
        let slot = slots.pop()?;
        if slots.is_empty() {
            self.bound.remove(&id);
        }
        self.bound_count -= 1;
        self.warm_count -= usize::from(slot.warm);
        Some(slot.region)
    }
}

impl RegionPool {
    /// A pool of at most `limit` regions; address space is reserved when it is first needed.
    pub(crate) fn new(limit: usize) -> Result<Arc<Self>, MemoryError> {
        let kernel = rustix::param::page_size();
        if kernel != PAGE {
            return Err(MemoryError::PageSize { kernel });
        }
        Ok(Arc::new(Self {
            idle: Mutex::default(),
            limit,
            pagemap: Pagemap::open(),
            mappings: MappingBudget::of_kernel(),
        }))
    }

    /// How written-to pages are found, where the kernel can tell.
    pub(crate) fn pagemap(&self) -> Option<&Pagemap> {
        self.pagemap.as_ref()
    }

    /// The pages of a region's memory that are its own, as [`TouchedPages`] knows them or the kernel.
    pub(crate) fn pages_to_restore(&self, touched: &TouchedPages, memory: &[u8]) -> Option<Arc<[PageRun]>> {
        touched.find(self.pagemap.as_ref()?, memory.as_ptr(), memory.len())
    }

    /// Regions in use.
    pub(crate) fn live(&self) -> usize {
        self.lock().live
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        // Nothing panics while the lock is held; the counts are consistent even if something did.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A region that maps `backing`, or a blank one for `None`.
    pub(super) fn acquire(&self, backing: Option<&Backing>) -> Result<Region, MemoryError> {
        let mut idle = self.lock();
        if idle.live >= self.limit {
            return Err(MemoryError::Exhausted { limit: self.limit });
        }
        let found = backing.and_then(|backing| idle.take_bound(backing.id()));
        if let Some(region) = found {
            idle.live += 1;
            return Ok(region);
        }
        let mut region = idle.blank.pop();
        if region.is_none() && idle.live + idle.bound_count >= self.limit {
            let other = idle.bound.keys().next().copied();
            region = other.and_then(|id| idle.take_bound(id));
        }
        idle.live += 1;
        drop(idle);
        let prepared = self.prepare(region, backing);
        if prepared.is_err() {
            self.lock().live -= 1;
        }
        prepared
    }

    fn prepare(&self, region: Option<Region>, backing: Option<&Backing>) -> Result<Region, MemoryError> {
        let mut region = match region {
            Some(region) => region,
            None => Region::reserve()?,
        };
        region.blank()?;
        if let Some(backing) = backing {
            let layer = backing.layer(self.mappings.are_scarce());
            region.bind(backing, layer, self.mappings.take(Overlay::mappings(layer)))?;
        }
        Ok(region)
    }

    /// Takes a region back, cleaned for the next user. A region that cannot be cleaned is unmapped.
    pub(super) fn release(&self, mut region: Region, backing: Option<&Backing>) {
        let keep_bytes = match backing {
            Some(backing) if backing.is_base() => WARM_BASE_BYTES_MAX,
            _ if self.lock().warm_count < WARM_REGIONS_MAX => WARM_BYTES_MAX,
            _ => 0,
        };
        let cleaned = match backing {
            Some(backing) if region.bound_to() == Some(backing.id()) => {
                region.reset(backing, self.pagemap.as_ref(), keep_bytes)
            }
            _ => region.blank().map(|()| 0),
        };
        let mut idle = self.lock();
        idle.live -= 1;
        match cleaned {
            Ok(kept) => match region.bound_to() {
                Some(id) => {
                    idle.bound.entry(id).or_default().push(Slot { region, warm: kept > 0 });
                    idle.bound_count += 1;
                    idle.warm_count += usize::from(kept > 0);
                }
                None => idle.blank.push(region),
            },
            Err(error) => {
                drop(idle);
                tracing::error!(%error, "a memory region could not be cleaned and is given up");
                drop(region);
            }
        }
    }

    /// Blanks the idle regions that map the backing with this number.
    pub(super) fn forget(&self, id: u64) {
        let mut slots = Vec::new();
        {
            let mut idle = self.lock();
            while let Some(region) = idle.take_bound(id) {
                slots.push(region);
            }
        }
        slots.retain_mut(|region| region.blank().is_ok());
        self.lock().blank.append(&mut slots);
    }
}
