//! arrow-udf-runtime as a contestant of `cargo xtask bench runtimes`: `arrow-udf-runtime-peer python` or
//! `arrow-udf-runtime-peer javascript`. `benches/house/contestants.rs` tells what the lines mean.

use std::fs::File;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use arrow_array::RecordBatch;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::DataType;
use arrow_udf_runtime::javascript::FunctionOptions;
use arrow_udf_runtime::{CallMode, javascript, python};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request {
    Load(Case),
    Run(u64),
}

/// A function `f` in both languages, its rows and where its answer goes.
#[derive(Debug, Deserialize)]
struct Case {
    python: String,
    javascript: String,
    result: String,
    batch: PathBuf,
    answer: PathBuf,
}

/// A function and its rows, ready to be called.
struct Loaded {
    function: Function,
    batch: RecordBatch,
}

enum Function {
    Python(python::Runtime),
    JavaScript(javascript::Runtime, tokio::runtime::Runtime),
}

impl Loaded {
    fn new(language: &str, case: &Case) -> anyhow::Result<Self> {
        let result = match case.result.as_str() {
            "int32" => DataType::Int32,
            "int64" => DataType::Int64,
            "string" => DataType::Utf8,
            other => bail!("no function has results of the type `{other}`"),
        };
        let mut batches = StreamReader::try_new(File::open(&case.batch)?, None)?;
        let batch = batches.next().context("there is no batch")??;
        let function = match language {
            "python" => {
                let mut runtime = python::Runtime::new()?;
                runtime.add_function("f", result, CallMode::CalledOnNullInput, &case.python)?;
                Function::Python(runtime)
            }
            "javascript" => {
                let executor = tokio::runtime::Builder::new_current_thread().build()?;
                let runtime = executor.block_on(async {
                    let mut runtime = javascript::Runtime::new().await?;
                    runtime.add_function("f", result, &case.javascript, FunctionOptions::default()).await?;
                    anyhow::Ok(runtime)
                })?;
                Function::JavaScript(runtime, executor)
            }
            other => bail!("`{other}` is no language: python or javascript"),
        };
        Ok(Self { function, batch })
    }

    fn call(&self) -> anyhow::Result<RecordBatch> {
        match &self.function {
            Function::Python(runtime) => runtime.call("f", &self.batch),
            Function::JavaScript(runtime, executor) => executor.block_on(runtime.call("f", &self.batch)),
        }
    }
}

fn main() -> anyhow::Result<()> {
    let language = std::env::args().nth(1).context("python or javascript?")?;
    let mut loaded = None;
    for line in std::io::stdin().lock().lines() {
        let took = match serde_json::from_str(&line?)? {
            Request::Load(case) => {
                let function = loaded.insert(Loaded::new(&language, &case)?);
                let (answer, took) = timed(|| function.call())?;
                write(&answer, &case.answer)?;
                took
            }
            Request::Run(calls) => {
                let function = loaded.as_ref().context("nothing is loaded")?;
                timed(|| (0..calls).try_for_each(|_| function.call().map(drop)))?.1
            }
        };
        println!("{}", took.as_secs_f64());
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Duration)> {
    let began = Instant::now();
    let value = work()?;
    Ok((value, began.elapsed()))
}

fn write(answer: &RecordBatch, path: &Path) -> anyhow::Result<()> {
    let mut writer = StreamWriter::try_new(File::create(path)?, &answer.schema())?;
    writer.write(answer)?;
    Ok(writer.finish()?)
}
