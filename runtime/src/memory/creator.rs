//! Hands prepared regions to wasmtime.

use std::cell::RefCell;
use std::sync::Arc;

use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

use super::backing::Backing;
use super::pool::RegionPool;
use super::region::Region;
use super::touched::TouchedPages;
use super::{GUARD, MEMORY_MAX, MemoryError, RESERVATION};

thread_local! {
    /// The region that the next memory created on this thread is made of. wasmtime's creator gets
    /// no argument of ours, and creation happens synchronously inside `instantiate`.
    static NEXT: RefCell<Option<Prepared>> = const { RefCell::new(None) };
}

/// A region on its way to an instance. Dropping it gives the region back.
#[derive(Debug)]
pub(crate) struct Prepared {
    region: Option<Region>,
    backing: Option<Arc<Backing>>,
    pool: Arc<RegionPool>,
}

impl Prepared {
    /// A memory with the content of `backing`.
    pub(crate) fn image(pool: &Arc<RegionPool>, backing: &Arc<Backing>) -> Result<Self, MemoryError> {
        let region = pool.acquire(Some(backing))?;
        Ok(Self { region: Some(region), backing: Some(backing.clone()), pool: pool.clone() })
    }

    /// A memory of zeros.
    pub(crate) fn zeroed(pool: &Arc<RegionPool>) -> Result<Self, MemoryError> {
        Ok(Self { region: Some(pool.acquire(None)?), backing: None, pool: pool.clone() })
    }

    /// The account of the region's pages.
    pub(crate) fn touched(&self) -> TouchedPages {
        self.region.as_ref().map(|region| region.touched().clone()).unwrap_or_default()
    }

    /// The memory's content.
    #[cfg(test)]
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        let len = self.backing.as_ref().map_or(0, |backing| backing.len());
        match &mut self.region {
            // SAFETY: a region is accessible up to its backing's length, and borrowed as long as the slice.
            Some(region) => unsafe { std::slice::from_raw_parts_mut(region.base(), len) },
            None => &mut [],
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(region) = self.region.take() {
            self.pool.release(region, self.backing.as_deref());
        }
    }
}

/// Runs `instantiate`, in which one memory may be created: out of `prepared`.
pub(crate) fn with_prepared<R>(prepared: Prepared, instantiate: impl FnOnce() -> R) -> R {
    struct Clear;
    impl Drop for Clear {
        fn drop(&mut self) {
            let unused = NEXT.with_borrow_mut(Option::take);
            drop(unused);
        }
    }
    let before = NEXT.replace(Some(prepared));
    drop(before);
    let _clear = Clear;
    instantiate()
}

/// The engine's memory creator: takes what [`with_prepared`] put ready.
pub(crate) struct ImageMemoryCreator;

// SAFETY: memories come from regions that reserve `RESERVATION + GUARD` bytes, of which exactly
// `[0, byte_size)` is accessible; they never move and are owned by the memory until it is dropped.
// The creator refuses any other geometry.
unsafe impl MemoryCreator for ImageMemoryCreator {
    fn new_memory(
        &self,
        _ty: MemoryType,
        minimum: usize,
        _maximum: Option<usize>,
        reserved_size_in_bytes: Option<usize>,
        guard_size_in_bytes: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        if reserved_size_in_bytes != Some(RESERVATION) || guard_size_in_bytes > GUARD {
            return Err("the engine asks for another memory geometry".to_owned());
        }
        let prepared = NEXT.with_borrow_mut(Option::take);
        let mut prepared = prepared.ok_or_else(|| "no region was prepared".to_owned())?;
        let size = prepared.backing.as_ref().map_or(minimum, |backing| backing.len());
        if size < minimum || size > MEMORY_MAX {
            return Err("the image does not fit the module's memory".to_owned());
        }
        let Some(region) = prepared.region.as_mut() else {
            return Err("no region was prepared".to_owned());
        };
        region.make_accessible(size).map_err(|error| error.to_string())?;
        let base = region.base();
        Ok(Box::new(ImageMemory { prepared, base: Address(base), size }))
    }
}

/// Address of a region; the region lives beside it in [`ImageMemory`].
struct Address(*mut u8);

// SAFETY: the address is only handed to wasmtime, which coordinates access to the memory.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

struct ImageMemory {
    prepared: Prepared,
    base: Address,
    size: usize,
}

// SAFETY: see `ImageMemoryCreator`; `as_ptr` and `byte_size` describe accessible memory that this
// value owns, and growing never moves it.
unsafe impl LinearMemory for ImageMemory {
    fn byte_size(&self) -> usize {
        self.size
    }

    fn byte_capacity(&self) -> usize {
        MEMORY_MAX
    }

    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        if new_size > MEMORY_MAX {
            return Err(wasmtime::Error::msg("a memory cannot grow to 4 GiB"));
        }
        let Some(region) = self.prepared.region.as_mut() else {
            return Err(wasmtime::Error::msg("the memory has no region"));
        };
        region.make_accessible(new_size)?;
        self.size = self.size.max(new_size);
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.base.0
    }
}
