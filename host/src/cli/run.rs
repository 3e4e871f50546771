//! `vivarium run`: one function over a local file, in the same sandbox as the server's.

mod failure;
mod quantity;
mod terminal;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use arrow::datatypes::{DataType, Schema};
use vivarium_host::declared;
use vivarium_host::functions::{self, Materials};
use vivarium_host::local::{self, Format, Input, Job, Output, Signature};
use vivarium_host::packages::{Packages, PackagesConfig};
use vivarium_host::sql_types;
use vivarium_runtime::{
    BuildLimits, Capabilities, Engine, EngineConfig, FunctionFiles, FunctionSpec, Image, Limits,
    ModuleSource, NullHandling,
};

use failure::Failure;
use terminal::{Preview, Progress};

/// Largest source file that is read, in bytes; the runtime's own limit comes after.
const MAX_SOURCE_BYTES: u64 = 16 << 20;

const AFTER_HELP: &str = "\
Parameters are matched to columns by name; the result type is the function's return annotation
(int, float, str, bool, bytes, date, datetime, time, timedelta, list[..], dict[..], each also
`| None`) or --result. Without --output, the first rows are printed.

Where a decorator of vivarium, databend_udf or arrow_udf declares the function, its types and
settings count. A table function gives every row as often as it has results for it, an aggregate
function one row for the whole file, a map function what it gives; these run in one fork.

The function runs in forks of one sandbox image, one for each job, on whole batches at a time. It
sees no files, no network, no environment but --env, and no other process of this machine.

Exit codes:
  0  every row went through
  1  the function failed: it does not compile, raised, or returned what does not fit the result type
  2  usage: an option, a file, a column or a type is wrong
  3  a limit was met: fuel, time, memory, recursion, output size
  4  anything else: the disk is full, the sandbox could not be started, the sandbox was violated";

/// Arguments of `vivarium run`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// Python source, and the function in it: by default the only one, or the one named like the file
    #[arg(value_name = "FILE.py[:FUNCTION]")]
    source: String,

    /// Rows to read: .parquet, .csv, .tsv, .ndjson, .jsonl, .json (lines), .arrow, .arrows, .feather
    #[arg(short, long, value_name = "FILE")]
    input: PathBuf,

    /// Where to write all columns and the result: .parquet, .csv, .tsv, .ndjson, .arrow, .arrows
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Name of the result column [default: the function's name]
    #[arg(long, value_name = "NAME")]
    column: Option<String>,

    /// Result type, in SQL or Arrow spelling, such as 'DECIMAL(18, 2) NULL' or int64; nullable
    /// unless NOT NULL is written
    #[arg(long, value_name = "TYPE", value_parser = result_type)]
    result: Option<ResultType>,

    /// Fill a parameter from a column of another name (repeatable)
    #[arg(long, value_name = "PARAMETER=COLUMN", value_parser = pair)]
    argument: Vec<(String, String)>,

    /// Answer NULL for rows with a NULL argument instead of calling the function with None
    #[arg(long)]
    skip_null: bool,

    /// Environment variable that the function sees (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,

    /// Stop after so many rows
    #[arg(long, value_name = "ROWS", value_parser = quantity::count)]
    limit: Option<u64>,

    /// Rows to print when there is no --output
    #[arg(long, value_name = "ROWS", default_value_t = 10)]
    preview: usize,

    /// Forks that work at the same time [default: one for each core]
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,

    /// Most rows in one call
    #[arg(long, value_name = "ROWS", default_value = "65536", value_parser = quantity::count)]
    batch_rows: u64,

    /// Rows from which the column types of a text file are guessed
    #[arg(long, value_name = "ROWS", default_value_t = local::DEFAULT_INFER_ROWS)]
    infer_rows: usize,

    /// Fuel for each batch, such as 50G; about 1 to 3 G are a second
    #[arg(long, value_name = "FUEL", value_parser = quantity::count)]
    fuel: Option<u64>,

    /// Wall-clock time for each batch, such as 500ms or 30s
    #[arg(long, value_name = "TIME", value_parser = quantity::milliseconds)]
    deadline: Option<u64>,

    /// Memory of each fork, such as 256MiB
    #[arg(long, value_name = "BYTES", value_parser = quantity::bytes)]
    memory: Option<u64>,

    /// Result of one batch, such as 64MiB
    #[arg(long, value_name = "BYTES", value_parser = quantity::bytes)]
    output_bytes: Option<u64>,

    /// Where the compiled sandbox is kept between runs
    /// [default: $XDG_CACHE_HOME/vivarium/sandbox or ~/.cache/vivarium/sandbox]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
}

/// What `--result` says.
#[derive(Debug, Clone)]
struct ResultType {
    data_type: DataType,
    nullable: bool,
}

fn result_type(text: &str) -> Result<ResultType, sql_types::SqlTypeError> {
    let field = sql_types::parse_field("result", text, sql_types::Dialect::Vivarium)?;
    // On a command line a bare type is a wish for values, not a promise that there is never None.
    let required = text.trim_end().to_ascii_uppercase().ends_with("NOT NULL");
    Ok(ResultType { data_type: field.data_type().clone(), nullable: !required })
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

impl Arguments {
    /// Runs the function over the file. All errors are printed here, since they decide the exit
    /// code.
    #[expect(clippy::unnecessary_wraps, reason = "the signature that all subcommands share")]
    pub(crate) fn execute(self) -> anyhow::Result<ExitCode> {
        Ok(match self.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        })
    }

    fn run(&self) -> Result<(), Failure> {
        let source = Source::read(&self.source)?;
        let format = Format::of(&self.input).map_err(Failure::usage)?;
        let output_format = self.output.as_deref().map(Format::of).transpose().map_err(Failure::usage)?;
        let batch_rows = usize::try_from(self.batch_rows).unwrap_or(usize::MAX);
        let input = Input::open(&self.input, format, batch_rows, self.infer_rows).map_err(Failure::usage)?;

        let (image, signature) = self.prepare(&source, &input)?;
        let schema = local::result_schema(input.schema(), &signature);
        let mut output = match (&self.output, output_format) {
            (Some(path), Some(format)) => {
                Some(Output::create(path, format, &schema).map_err(Failure::output)?)
            }
            _ => None,
        };
        let mut preview = Preview::new(schema, if output.is_some() { 0 } else { self.preview });

        let limits = self.limits();
        let job = Job {
            image: &image,
            limits: &limits,
            capabilities: &Capabilities::default(),
            signature: &signature,
            batch_rows,
            workers: self.workers(),
            max_rows: self.limit,
        };
        let mut progress = Progress::over(&input, self.limit);
        let totals = local::run(job, input, |batch| {
            progress.print_logs(&batch.logs);
            progress.advance(batch.rows.num_rows());
            preview.add(&batch.rows);
            output.as_mut().map_or(Ok(()), |output| output.write(&batch.rows))
        });
        let totals = totals.map_err(|error| Failure::job(error, &image.spec().handler, &self.input))?;
        let kept = output.is_some();
        if let Some(output) = output {
            output.finish().map_err(Failure::output)?;
        }
        let elapsed = progress.finish();
        if !kept {
            preview.print().map_err(Failure::standard_output)?;
        }
        eprintln!("{}", terminal::summary(&totals, elapsed, job.workers));
        Ok(())
    }

    /// Starts the engine, settles what to run and builds its image.
    fn prepare(&self, source: &Source, input: &Input) -> Result<(Image, Signature), Failure> {
        let spinner = Progress::spinner("starting the sandbox (the first time on a machine takes longer)");
        let prepared = self.prepare_quietly(source, input.schema());
        spinner.finish_and_clear();
        if let Ok((image, _)) = &prepared {
            terminal::print_logs(image.build_logs());
        }
        prepared
    }

    fn prepare_quietly(&self, source: &Source, schema: &Schema) -> Result<(Image, Signature), Failure> {
        let engine = Engine::new(self.engine_config()).map_err(Failure::engine)?;
        let (materials, files) = self.materials(source)?;
        let functions =
            local::describe(&engine, &source.code).map_err(|error| Failure::describe(error, &source.path))?;
        let columns: BTreeMap<String, String> = self.argument.iter().cloned().collect();
        let column = self.column.as_deref();
        let (spec, signature) = match self.declared(&engine, source, &materials, &files)? {
            Some(mut spec) => {
                let signature =
                    local::bind_declared(&spec, schema, &columns, column).map_err(Failure::usage)?;
                spec.parameters.clone_from(&signature.parameters);
                (sql_types::guest_spec(&spec), signature)
            }
            None => {
                let function = local::choose(&functions, source.handler.as_deref(), &source.stem())
                    .map_err(Failure::usage)?;
                let result = self.result.as_ref().map(|result| (result.data_type.clone(), result.nullable));
                let mut signature =
                    local::bind(function, schema, &columns, result, column).map_err(Failure::usage)?;
                if self.skip_null {
                    signature.result = signature.result.with_nullable(true);
                }
                (self.spec(source, &materials, &function.name, &signature), signature)
            }
        };
        let image = engine
            .build_image(&spec, &files, &self.build_limits())
            .map_err(|error| Failure::build(error, &spec.handler))?;
        Ok((image, signature))
    }

    /// The packages that the source asks for in a block of inline metadata (PEP 723), under the default
    /// policy. Without such a block nothing of packages is opened.
    fn materials(&self, source: &Source) -> Result<(Materials, FunctionFiles), Failure> {
        functions::of_script(&source.code, |requirements| {
            let cache_dir = self.cache_dir.clone().or_else(local::default_cache_dir);
            let cache_dir = cache_dir.unwrap_or_else(|| std::env::temp_dir().join("vivarium-packages"));
            let packages = Packages::new(&PackagesConfig::default(), &cache_dir).map_err(Failure::usage)?;
            Ok(packages.collect(requirements)?)
        })
    }

    /// The function that was asked for, if a decorator declares it.
    fn declared(
        &self,
        engine: &Engine,
        source: &Source,
        materials: &Materials,
        files: &FunctionFiles,
    ) -> Result<Option<FunctionSpec>, Failure> {
        let module = ModuleSource {
            filename: source.file_name(),
            code: source.code.clone(),
            environment: self.env.iter().cloned().collect(),
            interpreter: materials.interpreter,
            files: files.clone(),
        };
        let declarations = declared::describe(engine, &module, &self.build_limits())
            .map_err(|error| Failure::build(error, &module.filename))?;
        let stem = source.stem();
        let chosen = match (source.handler.as_deref(), declarations.as_slice()) {
            (Some(handler), all) => all.iter().find(|one| one.name == handler || one.handler == handler),
            (None, [only]) => Some(only),
            (None, several) => match several.iter().find(|one| one.name == stem) {
                None if !several.is_empty() => {
                    let names: Vec<String> = several.iter().map(|one| one.name.clone()).collect();
                    return Err(Failure::usage(local::SignatureError::Ambiguous { candidates: names }));
                }
                found => found,
            },
        };
        let Some(declaration) = chosen else {
            return Ok(None);
        };
        for (option, given) in [("--result", self.result.is_some()), ("--skip-null", self.skip_null)] {
            if given {
                return Err(Failure::usage_text(format!(
                    "{option} cannot be given for `{}`: its decorator says that",
                    declaration.name
                )));
            }
        }
        let mut spec = declared::spec(&module, declaration)
            .map_err(|error| Failure::usage_text(format!("`{}`: {error}", declaration.name)))?;
        spec.files_digest.clone_from(&materials.files_digest);
        Ok(Some(spec))
    }

    fn spec(
        &self,
        source: &Source,
        materials: &Materials,
        handler: &str,
        signature: &Signature,
    ) -> FunctionSpec {
        FunctionSpec {
            name: handler.to_owned(),
            handler: handler.to_owned(),
            filename: source.file_name(),
            code: source.code.clone(),
            parameters: signature.parameters.clone(),
            result: signature.result.clone(),
            kind: Default::default(),
            null_handling: if self.skip_null { NullHandling::SkipNull } else { NullHandling::CallOnNull },
            on_error: Default::default(),
            environment: self.env.iter().cloned().collect(),
            interpreter: materials.interpreter,
            files_digest: materials.files_digest.clone(),
        }
    }

    fn workers(&self) -> usize {
        self.jobs.map_or_else(|| thread::available_parallelism().map_or(1, usize::from), usize::from)
    }

    fn limits(&self) -> Limits {
        let defaults = Limits::default();
        Limits {
            fuel_per_batch: self.fuel.unwrap_or(defaults.fuel_per_batch),
            deadline_ms: self.deadline.unwrap_or(defaults.deadline_ms),
            memory_bytes: self.memory.unwrap_or(defaults.memory_bytes),
            output_bytes: self.output_bytes.unwrap_or(defaults.output_bytes),
            ..defaults
        }
    }

    fn build_limits(&self) -> BuildLimits {
        let defaults = BuildLimits::default();
        BuildLimits { memory_bytes: self.memory.unwrap_or(defaults.memory_bytes), ..defaults }
    }

    fn engine_config(&self) -> EngineConfig {
        let cache_dir = self.cache_dir.clone().or_else(local::default_cache_dir);
        // One fork for each worker, one for the helper and one while an image is built.
        let instances = self.workers() + 2;
        let memory = self.limits().memory_bytes.max(Limits::default().memory_bytes);
        EngineConfig {
            cache_dir,
            max_instances: instances,
            host_memory_bytes: memory.saturating_mul(instances as u64),
        }
    }
}

/// A Python source file.
struct Source {
    path: PathBuf,
    handler: Option<String>,
    code: String,
}

impl Source {
    /// Reads `FILE.py[:FUNCTION]`.
    fn read(argument: &str) -> Result<Self, Failure> {
        let (path, handler) = split_handler(argument);
        let path = PathBuf::from(path);
        let read = || {
            use std::io::Read as _;
            let mut code = String::new();
            let file = std::fs::File::open(&path)?;
            let bytes = file.take(MAX_SOURCE_BYTES + 1).read_to_string(&mut code)?;
            if bytes as u64 > MAX_SOURCE_BYTES {
                return Err(std::io::ErrorKind::FileTooLarge.into());
            }
            Ok(code)
        };
        let code = read().map_err(|error: std::io::Error| {
            Failure::usage_text(format!("cannot read {}: {error}", path.display()))
        })?;
        Ok(Self { path, handler: handler.map(str::to_owned), code })
    }

    fn stem(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn file_name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Splits off the function's name, unless the whole argument is a file.
fn split_handler(argument: &str) -> (&str, Option<&str>) {
    match argument.rsplit_once(':') {
        Some((path, handler))
            if !handler.is_empty() && !handler.contains(['/', '\\']) && !Path::new(argument).exists() =>
        {
            (path, Some(handler))
        }
        _ => (argument, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_follows_the_last_colon() {
        assert_eq!(split_handler("a.py"), ("a.py", None));
        assert_eq!(split_handler("a.py:f"), ("a.py", Some("f")));
        assert_eq!(split_handler("c:/x/a.py"), ("c:/x/a.py", None));
        assert_eq!(split_handler("a.py:"), ("a.py:", None));
    }

    #[test]
    fn a_bare_result_type_is_nullable() {
        assert!(result_type("BIGINT").unwrap().nullable);
        assert!(result_type("BIGINT NULL").unwrap().nullable);
        assert!(!result_type("bigint not null ").unwrap().nullable);
        assert!(result_type("BIGNT").is_err());
    }
}
