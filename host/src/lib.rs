//! The server behind `vivarium serve`, and the rooms that its command line shares with it.
//!
//! One flow: a protocol adapter ([`provisioning`], [`flight`]) turns its wire into calls of the one
//! [`functions::Functions`] service, which decides who may call what and hands out images of the
//! sandbox runtime. Guest code runs on [`workers`] only. An adapter never touches WebAssembly, and
//! the runtime never sees a token or a gRPC status.

pub mod archive;
pub mod audit;
pub mod config;
mod conform;
mod connections;
pub mod declared;
pub mod descriptors;
pub mod environment;
pub mod flight;
pub mod functions;
pub mod hardening;
pub mod imports;
pub mod local;
pub mod logging;
pub mod metrics;
pub mod network;
pub mod observe;
pub mod packages;
mod priority;
pub mod provisioning;
pub mod secret_file;
pub mod server;
pub mod sql_types;
mod state_dir;
pub mod status;
pub mod tls;
pub mod token;
mod watched;
pub mod workers;
