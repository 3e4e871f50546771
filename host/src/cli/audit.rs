//! `vivarium audit`: what a function can reach.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde_json::Value;
use vivarium_host::audit::{self, FunctionReport, Report, diff, statement};
use vivarium_host::config::Config;
use vivarium_host::functions::{Inventory, KeptFunction};
use vivarium_host::local;
use vivarium_runtime::{Capabilities, Engine, EngineConfig};

/// The second report allows more than the first.
const WIDER: u8 = 3;

/// Functions that an error names, at most.
const MAX_NAMED: usize = 20;

const AFTER_HELP: &str = "\
The report is read from the module that the sandbox runs, from the configuration and, for one function,
from the state directory; it is not written by hand. No server has to run, and nothing in the state
directory is changed. A module that imports a function without a description is an error.

Examples:
  vivarium audit --config vivarium.toml
  vivarium audit --config vivarium.toml --function acme/add
  vivarium audit --generate-key audit.key          makes audit.key and audit.key.pub
  vivarium audit --config vivarium.toml --sign audit.key > statement.json
  vivarium audit --verify statement.json --key audit.key.pub
  vivarium audit --verify statement.json --key audit.key.pub --format json > report.json
  vivarium audit --diff before.json after.json

Keys are Ed25519 in PEM; OpenSSL makes them too:
  openssl genpkey -algorithm ed25519 -out audit.key
  openssl pkey -in audit.key -pubout -out audit.key.pub

Exit codes:
  0  done; with --diff: nothing allows more than before
  1  failed; with --verify: the statement is not to be believed
  2  wrong arguments
  3  with --diff: something is reachable or allowed that was not, or a change cannot be ranked";

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

    /// The state directory, for --function [default: the configuration's]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// Report on one provisioned function; VERSION is the beginning of its digest, for a name with several
    #[arg(long, value_name = "TENANT/NAME[@VERSION]", group = "what")]
    function: Option<String>,

    /// Write the report as a signed statement (in-toto in a DSSE envelope) instead
    #[arg(long, value_name = "PRIVATE_KEY")]
    sign: Option<PathBuf>,

    /// Verify a signed statement, and show what it says
    #[arg(long, value_name = "STATEMENT", group = "what", requires = "key", conflicts_with = "sign")]
    verify: Option<PathBuf>,

    /// The public key for --verify
    #[arg(long, value_name = "PUBLIC_KEY", requires = "verify")]
    key: Option<PathBuf>,

    /// Tell what changed between two reports in JSON
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"], group = "what", conflicts_with = "sign")]
    diff: Option<Vec<PathBuf>>,

    /// Make a key for --sign: FILE and FILE.pub, which must not exist
    #[arg(long, value_name = "FILE", group = "what", conflicts_with = "sign")]
    generate_key: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For machines; versioned by its `schema` member
    Json,
    /// The tables of SECURITY.md: what is the same in every build; for the whole report only
    Markdown,
}

/// A report, in the forms in which it can be written.
struct Reported {
    text: String,
    markdown: Option<String>,
    json: Value,
    subjects: Vec<(String, String)>,
}

impl Arguments {
    /// Does what was asked for, and prints it to standard output.
    pub(crate) fn execute(self) -> anyhow::Result<ExitCode> {
        if let Some(path) = &self.generate_key {
            let public = audit::generate_key(path)?;
            eprintln!("the private key is in {}, the public one in {}", path.display(), public.display());
            return Ok(ExitCode::SUCCESS);
        }
        if let Some([before, after]) = self.diff.as_deref() {
            return self.compare(before, after);
        }
        if let (Some(path), Some(key)) = (&self.verify, &self.key) {
            return self.check(path, key);
        }
        let reported = self.report()?;
        let text = match (&self.sign, self.format) {
            (Some(key), _) => pretty(&statement::sign(&reported.json, &reported.subjects, key)?)?,
            (None, Format::Table) => reported.text,
            (None, Format::Json) => pretty(&reported.json)?,
            (None, Format::Markdown) => {
                reported.markdown.context("the report on a function has no Markdown form")?
            }
        };
        print(&text)?;
        Ok(ExitCode::SUCCESS)
    }

    fn compare(&self, before: &Path, after: &Path) -> anyhow::Result<ExitCode> {
        let diff = diff::compare(&read_json(before)?, &read_json(after)?)?;
        match self.format {
            Format::Json => print(&pretty(&diff)?)?,
            Format::Table => print(&diff.to_text())?,
            Format::Markdown => bail!("a comparison has no Markdown form"),
        }
        Ok(if diff.wider { ExitCode::from(WIDER) } else { ExitCode::SUCCESS })
    }

    fn check(&self, path: &Path, key: &Path) -> anyhow::Result<ExitCode> {
        let envelope = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let verified =
            statement::verify(&envelope, key).with_context(|| format!("{} is refused", path.display()))?;
        match self.format {
            Format::Json => print(&pretty(&verified.report)?)?,
            Format::Table | Format::Markdown => {
                let said =
                    |name: &str| verified.report[name].as_str().unwrap_or("?").escape_debug().to_string();
                let mut text = format!("good signature of key {}\n", verified.key_id);
                text += &format!("{} of vivarium {}\n", said("schema"), said("version"));
                for (name, digest) in &verified.subjects {
                    text += &format!("  {} sha256 {}\n", name.escape_debug(), digest.escape_debug());
                }
                print(&text)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn report(&self) -> anyhow::Result<Reported> {
        let mut config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        if let Some(state_dir) = &self.state_dir {
            config.server.state_dir.clone_from(state_dir);
        }
        // What can be found out without the sandbox comes first.
        let chosen = match &self.function {
            Some(name) => {
                let inventory = Inventory::open(&config)?;
                let function = choose(inventory.functions()?, name)?;
                Some((inventory, function))
            }
            None => None,
        };
        let cache_dir = self
            .cache_dir
            .clone()
            .or_else(|| self.config.is_some().then(|| config.cache_dir()))
            .or_else(local::default_cache_dir);
        // Nothing is forked: the engine is opened only to look at it.
        let engine_config = EngineConfig { cache_dir, max_instances: 1, ..EngineConfig::default() };
        let engine = Engine::new(engine_config).context("the sandbox could not be started")?;
        let (imports, identity) = (engine.imports(), engine.identity());
        let Some((inventory, function)) = chosen else {
            let report = Report::new(&imports, identity, &Capabilities::default(), &config)?;
            return Ok(Reported {
                text: report.to_text(),
                markdown: Some(report.to_markdown()),
                json: serde_json::to_value(&report)?,
                subjects: report.subjects(),
            });
        };
        let image = inventory.image(&engine, &function)?;
        let environment = inventory.environment(&function);
        let report =
            FunctionReport::new(&imports, identity, &config, &function, environment, image.as_ref())?;
        Ok(Reported {
            text: report.to_text(),
            markdown: None,
            json: serde_json::to_value(&report)?,
            subjects: report.subjects(),
        })
    }
}

/// The function of that name, with the beginning of its version behind it where a name has several.
fn choose(functions: Vec<KeptFunction>, wanted: &str) -> anyhow::Result<KeptFunction> {
    let name = |function: &KeptFunction| format!("{}/{}", function.id.tenant, function.name());
    let is_wanted = |function: &KeptFunction| match wanted.rsplit_once('@') {
        Some((of, version)) if !version.is_empty() && function.version().starts_with(version) => {
            of == name(function)
        }
        _ => wanted == name(function),
    };
    let shown = |functions: &[KeptFunction]| {
        let shown: Vec<String> = functions
            .iter()
            .take(MAX_NAMED)
            .map(|function| format!("{}@{}", name(function).escape_debug(), &function.version()[..12]))
            .collect();
        let more = functions.len().saturating_sub(MAX_NAMED);
        shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
    };
    let (mut found, others): (Vec<_>, Vec<_>) = functions.into_iter().partition(is_wanted);
    match found.len() {
        0 if others.is_empty() => bail!("no function is provisioned in this state directory"),
        0 => bail!("no function `{}` is provisioned; there are {}", wanted.escape_debug(), shown(&others)),
        1 => Ok(found.remove(0)),
        several => {
            bail!("`{}` has {several} versions, choose one of {}", wanted.escape_debug(), shown(&found))
        }
    }
}

fn read_json(path: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", path.display()))
}

fn pretty(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // `vivarium audit | head`
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.context("cannot write to standard output"),
    }
}
