//! The targets, one to a file.

pub(crate) mod archive;
pub(crate) mod calls;
pub(crate) mod errors;
pub(crate) mod flight;
mod guest;
pub(crate) mod image;
pub(crate) mod module;
pub(crate) mod results;
pub(crate) mod script;
pub(crate) mod spec;
pub(crate) mod sql_type;
pub(crate) mod token;
mod types;

/// The first `N` bytes, and the rest; zeros where there are too few.
fn take<const N: usize>(data: &[u8]) -> ([u8; N], &[u8]) {
    let mut taken = [0; N];
    let (first, rest) = data.split_at(N.min(data.len()));
    taken[..first.len()].copy_from_slice(first);
    (taken, rest)
}

/// Text, if the bytes are text; the parsers' input is.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}
