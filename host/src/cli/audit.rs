//! `vivarium audit`: what a function can reach.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use vivarium_host::audit::Report;
use vivarium_host::config::Config;
use vivarium_host::local;
use vivarium_runtime::{Capabilities, Engine, EngineConfig};

const AFTER_HELP: &str = "\
The report is read from the module that the sandbox runs and from the configuration; it is not
written by hand. A module that imports a function without a description is an error (exit code 1).";

/// Arguments of `vivarium audit`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// How the report is written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// Configuration of the server [default: every value's default]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where the compiled sandbox is kept between runs
    /// [default: the configuration's, else $XDG_CACHE_HOME/vivarium/sandbox or ~/.cache/vivarium/sandbox]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For machines; versioned by its `schema` member
    Json,
}

impl Arguments {
    /// Prints the report to standard output.
    pub(crate) fn execute(self) -> anyhow::Result<ExitCode> {
        let config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        let cache_dir = self
            .cache_dir
            .or_else(|| self.config.is_some().then(|| config.cache_dir()))
            .or_else(local::default_cache_dir);
        // Nothing is forked: the engine is opened only to look at it.
        let engine_config = EngineConfig { cache_dir, max_instances: 1, ..EngineConfig::default() };
        let engine = Engine::new(engine_config).context("the sandbox could not be started")?;
        let report = Report::new(&engine.imports(), engine.identity(), &Capabilities::default(), &config)?;
        let text = match self.format {
            Format::Table => report.to_text(),
            Format::Json => serde_json::to_string_pretty(&report)? + "\n",
        };
        match io::stdout().lock().write_all(text.as_bytes()) {
            // `vivarium audit | head`
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            outcome => outcome.context("cannot write to standard output")?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
