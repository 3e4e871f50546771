//! NumPy's own tests in the sandbox: as many as need neither threads, processes nor files of the host.
//!
//! `cargo run --release -p vivarium-runtime --example numpy_tests SOURCE PACKAGES [FILE]...`
//!
//! `SOURCE` is NumPy's unpacked source archive, `PACKAGES` a folder with pytest and hypothesis
//! (`pip install --target PACKAGES pytest hypothesis`). `FILE`s are relative to NumPy's package; without
//! them all files of tests run. Each file has a fork of its own. A test that ends its fork (a C++ exception,
//! a memory access out of bounds) is reported, and the file goes on in another fork after it.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::RecordBatch;
use serde::Deserialize;
use std::sync::Arc;
use vivarium_runtime::{
    BuildLimits, Capabilities, Engine, EngineConfig, FunctionFiles, FunctionSpec, GuestFile, Image,
    Interpreter, Limits, worker_thread,
};

/// Packages whose tests run. Not `f2py` and `typing`: they run compilers.
const PACKAGES: [&str; 9] =
    ["_core", "fft", "lib", "linalg", "ma", "matrixlib", "polynomial", "random", "testing"];

/// Files of tests that are about threads, processes, the build, or the memory map.
const LEFT_OUT: [&str; 8] = [
    "_core/tests/test_cython.py",
    "_core/tests/test_limited_api.py",
    "_core/tests/test_memmap.py",
    "_core/tests/test_multithreading.py",
    "_core/tests/test_simd.py",
    "_core/tests/test_simd_module.py",
    "_core/tests/test_cpu_features.py",
    "random/tests/test_extending.py",
];

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-python/numpy/tests/run_file.py");

const THREADS: usize = 2;

/// Seconds in which tests of a file are started.
const FILE_S: i64 = 600;

/// Milliseconds in which a fork has to come to its end: those of its file, and a minute for its last test.
const FORK_MS: u64 = 660_000;

/// What became of a file's tests, as `run_file.py` tells it.
#[derive(Default, Deserialize)]
struct Outcome {
    collected: usize,
    counts: BTreeMap<String, usize>,
    failed: Vec<(String, String)>,
    skipped: BTreeMap<String, usize>,
    status: i32,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "give NumPy's source and a folder with pytest";
    let (source, packages) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let source = Path::new(&source).join("numpy");
    let mut files: Vec<String> = arguments.collect();
    if files.is_empty() {
        for package in PACKAGES {
            let found = below(&source.join(package).join("tests"))?;
            let names = found.iter().filter_map(|path| path.strip_prefix(&source).ok()?.to_str());
            let is_test = |name: &&str| name.ends_with(".py") && name.contains("/test_");
            files.extend(names.filter(is_test).map(str::to_owned));
        }
        files.retain(|file| !LEFT_OUT.contains(&file.as_str()));
        files.sort();
    }
    let guest_files = guest_files(&source, Path::new(&packages))?;
    let cache_dir = std::env::var_os("VIVARIUM_SANDBOX_CACHE").map(PathBuf::from);
    let engine = Engine::new(EngineConfig { cache_dir, ..EngineConfig::default() })?;
    let image = image(&engine, &guest_files)?;
    eprintln!(
        "{} files of tests; the image has {} MiB in {} files",
        files.len(),
        image.stored_bytes() >> 20,
        guest_files.files.len()
    );

    let next = AtomicUsize::new(0);
    let all = Mutex::new(Outcome::default());
    std::thread::scope(|scope| -> Result<(), Box<dyn Error>> {
        for _ in 0..THREADS {
            let work = || {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = run(&image, file);
                    report(file, &outcome);
                    if let Ok(mut all) = all.lock() {
                        add(&mut all, outcome);
                    }
                }
            };
            worker_thread("tests").spawn_scoped(scope, work)?;
        }
        Ok(())
    })?;
    let all = all.into_inner().map_err(|_| "a worker panicked")?;
    println!("\nall: {} tests, {:?}", all.collected, all.counts);
    for (reason, count) in &all.skipped {
        println!("  {count:>6} skipped: {reason:.120}");
    }
    Ok(())
}

/// The files below a folder, that of the tests' data included.
fn below(folder: &Path) -> Result<Vec<PathBuf>, std::io::Error> {
    let (mut folders, mut files) = (vec![folder.to_owned()], vec![]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true if path.ends_with("__pycache__") => {}
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    Ok(files)
}

fn guest_files(source: &Path, packages: &Path) -> Result<FunctionFiles, Box<dyn Error>> {
    let mut files = Vec::new();
    let mut add = |path: &Path, guest: String| -> Result<(), std::io::Error> {
        files.push(GuestFile { path: guest, content: std::fs::read(path)?.into() });
        Ok(())
    };
    for package in PACKAGES {
        for path in below(&source.join(package).join("tests"))? {
            let relative = path.strip_prefix(source)?.display().to_string();
            add(&path, format!("/tests/numpy/{relative}"))?;
        }
    }
    add(&source.join("conftest.py"), "/tests/numpy/conftest.py".to_owned())?;
    for path in below(packages)? {
        let relative = path.strip_prefix(packages)?.display().to_string();
        if !relative.starts_with("bin/") && !relative.ends_with(".so") {
            add(&path, format!("/packages/{relative}"))?;
        }
    }
    Ok(FunctionFiles { files, search_path: vec!["/packages".to_owned()], ..FunctionFiles::default() })
}

fn image(engine: &Engine, files: &FunctionFiles) -> Result<Image, Box<dyn Error>> {
    let spec = FunctionSpec {
        name: "run".into(),
        handler: "run".into(),
        filename: "run_file.py".into(),
        code: std::fs::read_to_string(SCRIPT)?,
        parameters: vec![
            Field::new("file", DataType::Utf8, false),
            Field::new("start", DataType::Int64, false),
            Field::new("seconds", DataType::Int64, false),
        ],
        result: Field::new("outcome", DataType::Utf8, false),
        kind: Default::default(),
        null_handling: Default::default(),
        on_error: Default::default(),
        environment: Default::default(),
        interpreter: Interpreter::NumPy,
        files_digest: None,
    };
    Ok(engine.build_image(&spec, files, &BuildLimits { memory_bytes: 1 << 30, ..Default::default() })?)
}

/// Runs a file, in as many forks as its tests end.
fn run(image: &Image, file: &str) -> Outcome {
    let limits = Limits {
        memory_bytes: 2 << 30,
        deadline_ms: FORK_MS,
        fuel_per_batch: u64::MAX / 4,
        ..Limits::default()
    };
    let mut all = Outcome::default();
    let mut start = 0;
    loop {
        let ended = match run_from(image, file, start, &limits) {
            Ok(outcome) => {
                add(&mut all, outcome);
                return all;
            }
            Err(ended) => ended,
        };
        // What passed before it in this fork is known by the number alone.
        let done = ended.number.saturating_sub(start);
        *all.counts.entry("passed or skipped before an end".to_owned()).or_default() += done;
        *all.counts.entry("ended".to_owned()).or_default() += 1;
        all.failed.push((ended.test, ended.error));
        if all.counts.get("ended").is_some_and(|ended| *ended > 200) {
            return all;
        }
        start = ended.number + 1;
    }
}

/// A fork that did not come to the end of the file.
struct Ended {
    number: usize,
    test: String,
    error: String,
}

fn run_from(image: &Image, file: &str, start: usize, limits: &Limits) -> Result<Outcome, Ended> {
    let failed = |error: String| Ended { number: start, test: file.to_owned(), error };
    let mut instance =
        image.fork(limits, &Capabilities::default()).map_err(|error| failed(error.to_string()))?;
    let files: ArrayRef = Arc::new(StringArray::from(vec![file]));
    let starts: ArrayRef = Arc::new(Int64Array::from(vec![i64::try_from(start).unwrap_or(i64::MAX)]));
    let seconds: ArrayRef = Arc::new(Int64Array::from(vec![FILE_S]));
    let columns = [("file", files, false), ("start", starts, false), ("seconds", seconds, false)];
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns).map_err(|error| failed(error.to_string()))?;
    let result = instance.invoke(&batch);
    let text = match &result {
        Ok(result) => result.as_any().downcast_ref::<StringArray>().map(|text| text.value(0)),
        Err(error) => {
            let logs = instance.take_logs();
            let stderr = String::from_utf8_lossy(&logs.stderr);
            let last = stderr.lines().rev().find_map(|line| line.strip_prefix("TEST "));
            let (number, test) = last.and_then(|line| line.split_once(' ')).unwrap_or(("", file));
            let number = number.parse().unwrap_or(start);
            return Err(Ended { number, test: test.to_owned(), error: error.to_string() });
        }
    };
    let outcome: Result<Outcome, _> = serde_json::from_str(text.unwrap_or_default());
    if outcome.as_ref().is_ok_and(|outcome| outcome.collected == 0) {
        // pytest says why.
        let logs = instance.take_logs();
        for output in [logs.stdout, logs.stderr] {
            eprintln!("{file}: {}", String::from_utf8_lossy(&output));
        }
    }
    outcome.map_err(|error| failed(error.to_string()))
}

fn add(all: &mut Outcome, outcome: Outcome) {
    all.collected += outcome.collected;
    all.status = outcome.status;
    all.failed.extend(outcome.failed);
    for (name, count) in outcome.counts {
        *all.counts.entry(name).or_default() += count;
    }
    for (reason, count) in outcome.skipped {
        *all.skipped.entry(reason).or_default() += count;
    }
}

fn report(file: &str, outcome: &Outcome) {
    println!("{file}: {} tests, {:?}, status {}", outcome.collected, outcome.counts, outcome.status);
    for (test, text) in &outcome.failed {
        let text: Vec<&str> = text.lines().collect();
        let tail = text.get(text.len().saturating_sub(4)..).unwrap_or_default();
        println!("    {test}\n        {}", tail.join("\n        "));
    }
}
