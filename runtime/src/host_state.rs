//! The host's side of one instance: what its host functions see.

use std::time::Instant;

use wasmtime::{AsContextMut, Global, Memory, ResourceLimiter, Val};

use crate::capabilities::Capabilities;
use crate::feed::LentFeed;
use crate::logs::LogBuffer;
use crate::meter::{Canceller, Meter, Stop};

/// State of one store.
#[derive(Debug)]
pub(crate) struct HostState {
    pub(crate) meter: Meter,
    pub(crate) logs: LogBuffer,
    pub(crate) capabilities: Capabilities,
    pub(crate) growth: GrowthLimit,
    /// Start of the instance's monotonic clock.
    pub(crate) born: Instant,
    /// While an image is built nothing random may get into it.
    pub(crate) building: bool,
    /// Random numbers were drawn while the image was built.
    pub(crate) drew_randomness: bool,
    /// The input of the map function that is running.
    pub(crate) feed: Option<LentFeed>,
    /// The instance's memory and fuel counter; set right after instantiation.
    pub(crate) handles: Option<Handles>,
}

/// What host functions touch of the instance that called them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handles {
    pub(crate) memory: Memory,
    pub(crate) fuel: Global,
}

impl HostState {
    pub(crate) fn new(memory_bytes: u64, log_bytes: u64, capabilities: Capabilities, building: bool) -> Self {
        Self {
            meter: Meter::new(Canceller::default()),
            logs: LogBuffer::new(log_bytes),
            capabilities,
            growth: GrowthLimit { bytes: usize::try_from(memory_bytes).unwrap_or(usize::MAX), denied: false },
            born: Instant::now(),
            building,
            drew_randomness: false,
            feed: None,
            handles: None,
        }
    }
}

/// Answers a guest's requests for more memory. Beyond the limit `memory.grow` returns -1, which
/// Python turns into a `MemoryError`.
#[derive(Debug)]
pub(crate) struct GrowthLimit {
    bytes: usize,
    /// Whether a request has been refused since the flag was last cleared.
    pub(crate) denied: bool,
}

impl ResourceLimiter for GrowthLimit {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let allowed = desired <= self.bytes;
        self.denied |= !allowed;
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        current: usize,
        _desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // Tables get their size at instantiation; no guest can grow one, see `crate::instrument`.
        Ok(current == 0)
    }
}

/// Starts the account of a call: sets the guest's fuel counter to the first slice.
pub(crate) fn begin_call(
    mut store: impl AsContextMut<Data = HostState>,
    fuel: u64,
    deadline: std::time::Duration,
) -> Result<(), wasmtime::Error> {
    let mut store = store.as_context_mut();
    let slice = store.data_mut().meter.begin(fuel, deadline);
    set_left(&mut store, slice)
}

/// Gives the running call a new budget of fuel and time.
pub(crate) fn renew_call(mut store: impl AsContextMut<Data = HostState>) -> wasmtime::Result<()> {
    let mut store = store.as_context_mut();
    let left = left(&mut store);
    let slice = store.data_mut().meter.renew(left);
    set_left(&mut store, slice)
}

/// Fuel used by the call since [`begin_call`].
pub(crate) fn fuel_used(mut store: impl AsContextMut<Data = HostState>) -> u64 {
    let mut store = store.as_context_mut();
    let left = left(&mut store);
    store.data().meter.total(left)
}

/// Burns `units` for work that the host does for the guest; fails when the call has to stop.
pub(crate) fn charge(store: &mut impl AsContextMut<Data = HostState>, units: u64) -> wasmtime::Result<()> {
    let mut store = store.as_context_mut();
    let after = left(&mut store).saturating_sub_unsigned(units);
    if after >= 0 {
        return set_left(&mut store, after);
    }
    let next = refill(store.data_mut(), after)?;
    set_left(&mut store, next)
}

/// The host's half of a charge: the injected import.
pub(crate) fn refill(state: &mut HostState, left: i64) -> Result<i64, Stop> {
    state.meter.refill(left)
}

fn left(mut store: impl AsContextMut<Data = HostState>) -> i64 {
    let mut store = store.as_context_mut();
    let fuel = store.data().handles.map(|handles| handles.fuel);
    match fuel.map(|fuel| fuel.get(&mut store)) {
        Some(Val::I64(left)) => left,
        _ => 0,
    }
}

fn set_left(mut store: impl AsContextMut<Data = HostState>, left: i64) -> wasmtime::Result<()> {
    let mut store = store.as_context_mut();
    match store.data().handles.map(|handles| handles.fuel) {
        Some(fuel) => fuel.set(&mut store, Val::I64(left)),
        None => Ok(()),
    }
}
