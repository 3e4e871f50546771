//! Those who run the same functions over the same rows in process: this process, and others that are told by
//! lines on their standard input what to do.
//!
//! A line is `{"load": {...}}` with a function `f` and its rows, which is called once and whose answer goes into
//! a file, or `{"run": N}` for so many calls of it. The answer to either is a line with the seconds that the
//! calls took. Rows and answers are Arrow IPC streams of one batch.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use arrow::array::{Array as _, ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde::Serialize;
use vivarium_benches::image;
use vivarium_runtime::{Capabilities, Engine, Instance, Limits};

/// A function, its rows, and what is right.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Defines `f`.
    pub(crate) python: &'static str,
    /// Exports the same `f`.
    pub(crate) javascript: &'static str,
    pub(crate) batch: RecordBatch,
    pub(crate) right: ArrayRef,
}

/// One who runs functions.
pub(crate) trait Contestant {
    /// Takes a function and its rows, and answers once; `None` of one who only copies.
    fn load(&mut self, case: &Case) -> anyhow::Result<Option<ArrayRef>>;

    /// How long so many calls take.
    fn run(&mut self, calls: u64) -> anyhow::Result<Duration>;
}

/// One instance of Vivarium's runtime in this process.
pub(crate) struct Sandbox {
    engine: Engine,
    /// Whether nothing of a call is left in the next one.
    reset: bool,
    loaded: Option<(Instance, RecordBatch)>,
}

impl Sandbox {
    pub(crate) fn new(engine: &Engine, reset: bool) -> Self {
        Self { engine: engine.clone(), reset, loaded: None }
    }
}

impl Contestant for Sandbox {
    fn load(&mut self, case: &Case) -> anyhow::Result<Option<ArrayRef>> {
        let parameters: Vec<DataType> =
            case.batch.schema().fields().iter().map(|field| field.data_type().clone()).collect();
        let image = image(&self.engine, case.python, &parameters, case.right.data_type().clone());
        let mut instance = image.fork(&Limits::default(), &Capabilities::default())?;
        let answer = instance.invoke(&case.batch)?;
        self.loaded = Some((instance, case.batch.clone()));
        Ok(Some(answer))
    }

    fn run(&mut self, calls: u64) -> anyhow::Result<Duration> {
        let (instance, batch) = self.loaded.as_mut().context("nothing is loaded")?;
        let began = Instant::now();
        for _ in 0..calls {
            if self.reset {
                instance.reset()?;
            }
            instance.invoke(black_box(batch))?;
        }
        Ok(began.elapsed())
    }
}

/// Copies the rows and the answer, into memory that has been used before.
#[derive(Default)]
pub(crate) struct Copying {
    from: Vec<Vec<u8>>,
    to: Vec<Vec<u8>>,
}

impl Contestant for Copying {
    fn load(&mut self, case: &Case) -> anyhow::Result<Option<ArrayRef>> {
        let arrays = case.batch.columns().iter().chain([&case.right]);
        self.from = arrays
            .flat_map(|array| array.to_data().buffers().iter().map(|b| b.to_vec()).collect::<Vec<_>>())
            .collect();
        self.to = self.from.clone();
        Ok(None)
    }

    fn run(&mut self, calls: u64) -> anyhow::Result<Duration> {
        let began = Instant::now();
        for _ in 0..calls {
            for (from, to) in self.from.iter().zip(&mut self.to) {
                black_box(to).copy_from_slice(black_box(from));
            }
        }
        Ok(began.elapsed())
    }
}

/// A process that is told what to run.
pub(crate) struct Process {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    folder: PathBuf,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Request<'a> {
    Load { python: &'a str, javascript: &'a str, result: &'a str, batch: &'a Path, answer: &'a Path },
    Run(u64),
}

impl Process {
    /// Starts a program, which gets its rows through files in `folder`.
    pub(crate) fn start(command: &mut Command, folder: &Path) -> anyhow::Result<Self> {
        let program = command.get_program().to_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let requests = child.stdin.take().context("no standard input")?;
        let answers = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Self { child, requests, answers, folder: folder.to_owned() })
    }

    fn ask(&mut self, request: &Request<'_>) -> anyhow::Result<Duration> {
        writeln!(self.requests, "{}", serde_json::to_string(request)?)?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        ensure!(!answer.is_empty(), "a contestant has ended");
        Ok(Duration::try_from_secs_f64(answer.trim().parse()?)?)
    }
}

impl Contestant for Process {
    fn load(&mut self, case: &Case) -> anyhow::Result<Option<ArrayRef>> {
        let (batch, answer) = (self.folder.join("batch.arrow"), self.folder.join("answer.arrow"));
        let mut writer = StreamWriter::try_new(File::create(&batch)?, &case.batch.schema())?;
        writer.write(&case.batch)?;
        writer.finish()?;
        let result = match case.right.data_type() {
            DataType::Utf8 => "string".to_owned(),
            other => other.to_string().to_lowercase(),
        };
        self.ask(&Request::Load {
            python: case.python,
            javascript: case.javascript,
            result: &result,
            batch: &batch,
            answer: &answer,
        })?;
        let mut answers = StreamReader::try_new(File::open(&answer)?, None)?;
        let found = answers.next().context("there is no answer")??;
        ensure!(found.num_columns() == 1, "{} columns in place of one", found.num_columns());
        Ok(Some(found.column(0).clone()))
    }

    fn run(&mut self, calls: u64) -> anyhow::Result<Duration> {
        self.ask(&Request::Run(calls))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A failure means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
