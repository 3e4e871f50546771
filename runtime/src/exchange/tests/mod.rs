//! Round trips through an emulated guest, and what happens when the guest lies.

mod arrays;
mod guest;
mod inputs;
mod lies;
mod outputs;
mod round_trip;
mod schemas;
