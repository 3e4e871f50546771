//! `cargo xtask`: the entry points for people and for CI.

mod bench;
mod clients;
mod demo;
mod fuzz;
mod guest;
mod mutate;
mod product;
mod soak;
mod test;

use std::process::ExitCode;

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
    /// Build the guest: CPython as a WebAssembly module, with and without NumPy.
    Guest(guest::Arguments),
    /// Measure speed; builds whatever is missing.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Fuzz what reads a stranger's bytes; a crash's input is kept.
    Fuzz(fuzz::Arguments),
    /// Take defences out one at a time, and see the tests that are named for them fail.
    Mutate(mutate::Arguments),
    /// Stream a real data set through a provisioned function; builds whatever is missing.
    Demo,
    /// Serve a good tenant while others attack, and tell what became of both; builds whatever is missing.
    Soak {
        /// Arguments for the soak: `--seconds N`, `--calls N`, `--parallel N`, `--ratio X`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run all tests; builds whatever is missing.
    Test {
        /// Arguments for `cargo test`, such as a test's name.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Guest(arguments) => guest::run(&arguments),
        Command::Bench(bench) => bench::run(&bench),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Mutate(arguments) => mutate::run(&arguments),
        Command::Demo => demo::run(),
        Command::Soak { arguments } => soak::run(&arguments),
        Command::Test { arguments } => test::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            eprintln!("error: {}", causes.join("\n  because: "));
            ExitCode::FAILURE
        }
    }
}
