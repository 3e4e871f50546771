//! `cargo xtask`: the entry points for people and for CI.

mod guest;

use clap::{Parser, Subcommand};

/// Builds and checks Vivarium.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the guest: CPython as one WebAssembly module.
    Guest(guest::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Guest(arguments) => guest::run(&arguments),
    }
}
