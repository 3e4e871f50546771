//! The command line: one module per subcommand.

pub(crate) mod audit;
mod check;
pub(crate) mod keys;
pub(crate) mod run;
pub(crate) mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Run untrusted Python functions over Arrow data, each tenant in its own WebAssembly sandbox.
#[derive(Debug, Parser)]
#[command(name = "vivarium", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    // Its description, short and long, is that of its arguments.
    Serve(serve::Arguments),
    /// Run one function over a local file
    Run(run::Arguments),
    /// Print what the sandbox can and cannot do, read from the module itself
    Audit(audit::Arguments),
    // As of `Serve`.
    Keys(keys::Arguments),
}

impl CommandLine {
    /// Runs the chosen subcommand.
    ///
    /// # Errors
    /// What the subcommand could not do, with the chain of causes.
    pub(crate) fn execute(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve(arguments) => arguments.execute(),
            Command::Run(arguments) => arguments.execute(),
            Command::Audit(arguments) => arguments.execute(),
            Command::Keys(arguments) => arguments.execute(),
        }
    }
}
