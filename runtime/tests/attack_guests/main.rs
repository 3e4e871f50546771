//! Attacks by guests that an attacker controls completely: modules written by hand that implement the
//! guest ABI and lie in every place where a guest says something. Every case is a line of a table: what
//! the guest does, and the error it gets, in full.
//!
//! After every case the same image, forked again, and another tenant's module must answer correctly, and
//! the engine's gauges must be back at zero; after every table the process must hold as many descriptors
//! and mappings as before. Cases of the catalogue are given in brackets.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[path = "../common/mod.rs"]
mod common;

mod allocations;
mod errors;
mod harness;
mod host_calls;
mod modules;
mod residue;
mod resources;
mod results;
mod stored_images;
mod values;
