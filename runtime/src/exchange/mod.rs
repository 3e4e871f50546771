//! Arrow batches in and out of a guest's linear memory.
//!
//! Pure functions over byte slices: nothing here knows what executes the guest. The memory is a
//! `&[u8]` or `&mut [u8]`, addresses are `u32` offsets into it, and the structs are those of the
//! Arrow C data interface in its ILP32 layout, as the guest ABI describes them.
//!
//! | step | entry point | trust |
//! |---|---|---|
//! | types, when a function is bound | [`SchemaPlan`] | the caller's schema is checked for what the guest can hold |
//! | a batch, before a call | [`InputPlan`] | arrays were validated by whoever decoded them; types, nulls and sizes are checked |
//! | a result, or one batch of a stream, after a call | [`read_result`], [`read_batch`] | **nothing is believed**: every pointer, length and value is checked |
//!
//! Copies: one `memcpy` per buffer in either direction. Work per row happens only where a layout
//! has to change: view types, dictionaries, runs and list views, offsets that do not start at 0 or
//! change their width, bitmaps that do not start on a byte; and, on the way out, in arrow's own
//! validation of offsets and UTF-8 and in the check of decimal precision.

mod abi;
mod error;
mod expand;
mod extension;
mod input;
mod layout;
mod output;
mod resolve;
mod result;
mod schema;
mod types;
mod verify;

pub(crate) use error::ResultError;
pub use error::{GuestViolation, InputError, OutputLimit, SchemaError};
pub(crate) use input::InputPlan;
pub(crate) use result::{read_batch, read_result};
pub(crate) use schema::SchemaPlan;

#[cfg(test)]
mod tests;

// Buffers are copied as they are, and Arrow inside the guest is little-endian.
const _: () = assert!(cfg!(target_endian = "little"), "the exchange needs a little-endian host");
