//! NumPy in the sandbox beside NumPy on this machine: time of some operations, sizes of images.
//!
//! `cargo run --release -p vivarium-runtime --example numpy [PYTHON]`
//!
//! `PYTHON` is an interpreter that has NumPy; without it only the sandbox is measured. The two take
//! turns, so that both meet the same machine.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::RecordBatch;
use vivarium_runtime::{
    BuildLimits, Capabilities, Engine, EngineConfig, FunctionFiles, FunctionSpec, Instance, Interpreter,
    Limits, worker_thread,
};

const ROUNDS: usize = 9;

const SETUP: &str = "
import numpy as np
g = np.random.default_rng(1)
a, b = g.random(10_000_000), g.random(10_000_000)
i = np.arange(10_000_000)
out = np.empty_like(a)
short = g.random(1_000_000)
x, y = g.random(10_000), g.random(10_000)
m = g.random((300, 300))
";

const OPERATIONS: [&str; 14] = [
    "a*2+b",
    "np.add(np.multiply(a, 2, out=out), b, out=out)",
    "a+b",
    "np.where(a>b, a, b)",
    "a.sum()",
    "np.sqrt(a)",
    "np.exp(a)",
    "a.max()",
    "i*3+1",
    "i[i%1000==0]",
    "np.cumsum(a)",
    "np.sort(short)",
    "m@m",
    "x+y",
];

fn main() -> Result<(), Box<dyn Error>> {
    let worker = worker_thread("measure").spawn(|| measure().map_err(|error| error.to_string()))?;
    worker.join().map_err(|_| "the measuring thread panicked")??;
    Ok(())
}

fn measure() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("vivarium-numpy-{}", std::process::id()));
    let config = EngineConfig { cache_dir: Some(dir.clone()), ..EngineConfig::default() };
    let (cold, engine) = time(|| Engine::new(config.clone()));
    let engine = engine?;
    let (cold_numpy, prepared) = time(|| engine.prepare(Interpreter::NumPy));
    prepared?;
    println!("set up, cold cache      {cold:.1?} plain, {cold_numpy:.1?} more with NumPy");
    let (mut warm, mut warm_numpy) = (Duration::MAX, Duration::MAX);
    for _ in 0..5 {
        let (took, engine) = time(|| Engine::new(config.clone()));
        warm = warm.min(took);
        let engine = engine?;
        warm_numpy = warm_numpy.min(time(|| engine.prepare(Interpreter::NumPy)).0);
    }
    println!("set up, warm cache      {warm:.1?} plain, {warm_numpy:.1?} more with NumPy");
    std::fs::remove_dir_all(dir)?;

    for (name, code) in [
        ("plain", "def f(x):\n    return x\n"),
        ("numpy", "import numpy as np\ndef f(x):\n    return int(np.int64(x) + 1)\n"),
    ] {
        forks(&engine, name, code)?;
    }
    operations(&engine)
}

fn spec(code: &str) -> FunctionSpec {
    FunctionSpec {
        name: "f".into(),
        handler: "f".into(),
        filename: "f.py".into(),
        code: code.into(),
        parameters: vec![Field::new("x", DataType::Int64, true)],
        result: Field::new("y", DataType::Int64, true),
        kind: Default::default(),
        null_handling: Default::default(),
        on_error: Default::default(),
        environment: Default::default(),
        interpreter: Interpreter::for_code(code),
        files_digest: None,
    }
}

fn one(value: i64) -> Result<RecordBatch, Box<dyn Error>> {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
    Ok(RecordBatch::try_from_iter_with_nullable([("x", column, true)])?)
}

fn forks(engine: &Engine, name: &str, code: &str) -> Result<(), Box<dyn Error>> {
    let image = engine.build_image(&spec(code), &FunctionFiles::default(), &BuildLimits::default())?;
    println!(
        "{name} image             {} KiB in memory, {} KiB stored, {:.1} MiB of address space",
        image.stored_bytes() >> 10,
        image.to_bytes().len() >> 10,
        image.memory_bytes() as f64 / f64::from(1 << 20)
    );
    let batch = one(1)?;
    let (mut create, mut first, mut drops) = (vec![], vec![], vec![]);
    for round in 0..2200 {
        let (created, instance) = time(|| image.fork(&Limits::default(), &Capabilities::default()));
        let mut instance = instance?;
        let (called, result) = time(|| instance.invoke(&batch));
        result?;
        let (dropped, ()) = time(|| drop(instance));
        if round >= 200 {
            create.push(created);
            first.push(called);
            drops.push(dropped);
        }
    }
    for (what, times) in [("create", &mut create), ("first result", &mut first), ("drop", &mut drops)] {
        times.sort_unstable();
        println!("{name} {what:<17} p50 {:>8.1?}  p99 {:>8.1?}", times[1000], times[1980]);
    }
    Ok(())
}

/// Python that makes the arrays and the list of operations.
fn program() -> String {
    let operations: Vec<String> = OPERATIONS.iter().map(|operation| format!("lambda: {operation}")).collect();
    format!("{SETUP}operations = [{}]\n", operations.join(", "))
}

fn operations(engine: &Engine) -> Result<(), Box<dyn Error>> {
    // The arrays are made in the fork: an image with all of them would be large.
    let code = format!(
        "import numpy as np\noperations = []\ndef f(which):\n    if not operations:\n        \
         exec({:?}, globals())\n    operations[which]()\n    return which\n",
        program()
    );
    let image = engine.build_image(&spec(&code), &FunctionFiles::default(), &BuildLimits::default())?;
    let limits = Limits { memory_bytes: 1 << 30, fuel_per_batch: u64::MAX / 4, ..Limits::default() };
    let mut instance = image.fork(&limits, &Capabilities::default())?;
    instance.invoke(&one(0)?)?;
    let mut native = std::env::args().nth(1).map(|python| Native::start(&python)).transpose()?;
    println!("{:<50} {:>9} {:>9} {:>6}", "", "guest", "native", "ratio");
    for (index, operation) in OPERATIONS.iter().enumerate() {
        let (mut guest, mut here) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            guest = guest.min(call(&mut instance, index)?);
            if let Some(native) = &mut native {
                here = here.min(native.call(index)?);
            }
        }
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        match native {
            Some(_) => {
                let ratio = ms(guest) / ms(here);
                println!("{operation:<50} {:>6.3} ms {:>6.3} ms {ratio:>6.2}", ms(guest), ms(here));
            }
            None => println!("{operation:<50} {:>6.3} ms", ms(guest)),
        }
    }
    Ok(())
}

fn call(instance: &mut Instance, operation: usize) -> Result<Duration, Box<dyn Error>> {
    let batch = one(i64::try_from(operation)?)?;
    let (took, result) = time(|| instance.invoke(&batch));
    result?;
    Ok(took)
}

/// NumPy on this machine.
struct Native {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Native {
    fn start(python: &str) -> Result<Self, Box<dyn Error>> {
        let code = format!(
            "import sys, time\n{}for line in sys.stdin:\n    start = time.perf_counter_ns()\n    \
             operations[int(line)]()\n    print(time.perf_counter_ns() - start, flush=True)\n",
            program()
        );
        let mut child =
            Command::new(python).args(["-c", &code]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let requests = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(Self { child, requests, answers })
    }

    fn call(&mut self, operation: usize) -> Result<Duration, Box<dyn Error>> {
        writeln!(self.requests, "{operation}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(Duration::from_nanos(line.trim().parse()?))
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn time<R>(work: impl FnOnce() -> R) -> (Duration, R) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}
