//! What an instance has used.

/// Use since an instance was forked, or while an image was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel, in units of the cost model. The same calls with the same input always burn the same.
    pub fuel: u64,
    /// Calls of the methods that run the function, as far as they reached the guest.
    pub calls: u64,
    /// Input rows of the calls that succeeded; for a map function, rows that it has taken.
    pub rows: u64,
    /// Highest size of linear memory, in bytes.
    pub peak_memory_bytes: u64,
}
