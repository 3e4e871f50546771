//! Figures of the runtime on this machine: start, fork, call, drop, throughput.
//!
//! `cargo run --release -p vivarium-runtime --example measure`

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::RecordBatch;
use vivarium_runtime::{
    BuildLimits, Capabilities, Engine, EngineConfig, FunctionFiles, FunctionSpec, Image, Limits,
    worker_thread,
};

fn main() -> Result<(), Box<dyn Error>> {
    let worker = worker_thread("measure").spawn(|| measure().map_err(|error| error.to_string()))?;
    worker.join().map_err(|_| "the measuring thread panicked")??;
    Ok(())
}

fn measure() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("vivarium-measure-{}", std::process::id()));
    let config = EngineConfig { cache_dir: Some(dir.clone()), ..EngineConfig::default() };
    let cold = time(|| Engine::new(config.clone()));
    println!("engine, cold cache      {:>10.1?}", cold.0);
    let mut warm = Vec::new();
    for _ in 0..10 {
        warm.push(time(|| Engine::new(config.clone())).0);
    }
    println!("engine, warm cache      {}", quantiles(&mut warm));
    let engine = Engine::new(config)?;
    std::fs::remove_dir_all(dir)?;

    let mut builds = Vec::new();
    for number in 0..20 {
        let spec = spec(&format!("def f(a, b):\n    return a + b + 0 * {number}\n"));
        let (took, image) =
            time(|| engine.build_image(&spec, &FunctionFiles::default(), &BuildLimits::default()));
        image?;
        builds.push(took);
    }
    println!("build image             {}", quantiles(&mut builds));
    let image = engine.build_image(
        &spec("def f(a, b):\n    return a + b\n"),
        &FunctionFiles::default(),
        &BuildLimits::default(),
    )?;
    println!(
        "image                   {} KiB in memory, {} KiB stored, {} MiB address space, {} fuel",
        image.stored_bytes() >> 10,
        image.to_bytes().len() >> 10,
        image.memory_bytes() >> 20,
        image.build_usage().fuel
    );
    let bytes = image.to_bytes();
    let spec = image.spec().clone();
    let mut loads: Vec<_> = (0..20).map(|_| time(|| engine.load_image(&spec, &bytes)).0).collect();
    println!("load image              {}", quantiles(&mut loads));
    forks(&image, "pooled")?;
    throughput(&image)?;
    parallel(&image)?;
    for code in [
        "def f(a, b):\n    def fib(n):\n        return n if n < 2 else fib(n - 1) + fib(n - 2)\n    return fib(25)\n",
        "def f(a, b):\n    s = 0\n    for i in range(3000000):\n        s += i\n    return s\n",
        "import json\ndef f(a, b):\n    d = {str(i): [i, i * 2, str(i)] for i in range(2000)}\n    for _ in range(5): json.loads(json.dumps(d))\n    return 0\n",
        "import re\ndef f(a, b):\n    t = 'foo bar 123 baz_99 ' * 5000\n    return len(re.findall(r'[a-z]+_?\\d*', t))\n",
        "def f(a, b):\n    x = list(range(200000, 0, -1))\n    x.sort(key=lambda v: v % 1000)\n    return len(x)\n",
        "def f(a, b):\n    return pow(3, 40000) % 1000\n",
        "import hashlib\ndef f(a, b):\n    return len(hashlib.sha256(b'x' * 20000000).hexdigest())\n",
        "def f(a, b):\n    return len(bytearray(100000000))\n",
    ] {
        speed(&engine, code)?;
    }
    Ok(())
}

fn spec(code: &str) -> FunctionSpec {
    FunctionSpec {
        name: "f".into(),
        handler: "f".into(),
        filename: "f.py".into(),
        code: code.into(),
        parameters: vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Int64, true)],
        result: Field::new("y", DataType::Int64, true),
        kind: Default::default(),
        null_handling: Default::default(),
        on_error: Default::default(),
        environment: Default::default(),
        interpreter: Default::default(),
        files_digest: None,
    }
}

fn batch(rows: i64) -> Result<RecordBatch, Box<dyn Error>> {
    let column =
        |offset: i64| -> ArrayRef { Arc::new(Int64Array::from_iter_values((0..rows).map(|x| x + offset))) };
    Ok(RecordBatch::try_from_iter_with_nullable([("a", column(0), true), ("b", column(5), true)])?)
}

fn forks(image: &Image, name: &str) -> Result<(), Box<dyn Error>> {
    let (limits, capabilities) = (Limits::default(), Capabilities::default());
    let one = batch(1)?;
    let (mut create, mut first, mut steady, mut dropping) = (vec![], vec![], vec![], vec![]);
    for round in 0..2200 {
        let (created, instance) = time(|| image.fork(&limits, &capabilities));
        let mut instance = instance?;
        let (called, result) = time(|| instance.invoke(&one));
        result?;
        let mut again = Duration::ZERO;
        for _ in 0..10 {
            again = time(|| instance.invoke(&one)).0;
        }
        let (dropped, ()) = time(|| drop(instance));
        if round >= 200 {
            create.push(created);
            first.push(called);
            steady.push(again);
            dropping.push(dropped);
        }
    }
    println!("{name}: create          {}", quantiles(&mut create));
    println!("{name}: first result    {}", quantiles(&mut first));
    println!("{name}: steady call     {}", quantiles(&mut steady));
    println!("{name}: drop            {}", quantiles(&mut dropping));
    Ok(())
}

fn throughput(image: &Image) -> Result<(), Box<dyn Error>> {
    for rows in [1000, 8192, 100_000, 1_000_000] {
        let batch = batch(rows)?;
        let mut instance = image.fork(&Limits::default(), &Capabilities::default())?;
        instance.invoke(&batch)?;
        let fuel = instance.usage().fuel;
        let mut times = Vec::new();
        for _ in 0..(4_000_000 / rows).clamp(5, 500) {
            times.push(time(|| instance.invoke(&batch)).0);
        }
        times.sort_unstable();
        let median = times[times.len() / 2];
        println!(
            "a + b, {rows:>7} rows     {:>6.1} M rows/s, {:.1} ns/row, {} fuel/row",
            rows as f64 / median.as_secs_f64() / 1e6,
            median.as_nanos() as f64 / rows as f64,
            fuel / rows as u64
        );
    }
    Ok(())
}

fn parallel(image: &Image) -> Result<(), Box<dyn Error>> {
    for threads in [1, 2] {
        let start = Instant::now();
        let mut workers = Vec::new();
        for _ in 0..threads {
            let image = image.clone();
            let work = move || -> Result<usize, String> {
                let batch = batch(1).map_err(|error| error.to_string())?;
                let mut count = 0;
                while start.elapsed() < Duration::from_secs(1) {
                    let instance = image.fork(&Limits::default(), &Capabilities::default());
                    instance
                        .map_err(|error| error.to_string())?
                        .invoke(&batch)
                        .map_err(|error| error.to_string())?;
                    count += 1;
                }
                Ok(count)
            };
            workers.push(worker_thread("fork").spawn(work)?);
        }
        let mut total = 0;
        for worker in workers {
            total += worker.join().map_err(|_| "a worker panicked")??;
        }
        println!(
            "fork + call + drop      {:>8.1} k/s on {threads} threads",
            total as f64 / start.elapsed().as_secs_f64() / 1e3
        );
    }
    Ok(())
}

fn speed(engine: &Engine, code: &str) -> Result<(), Box<dyn Error>> {
    let image = engine.build_image(&spec(code), &FunctionFiles::default(), &BuildLimits::default())?;
    let one = batch(1)?;
    let mut best = Duration::MAX;
    let mut fuel = 0;
    for _ in 0..5 {
        let mut instance = image.fork(&Limits::default(), &Capabilities::default())?;
        let (took, result) = time(|| instance.invoke(&one));
        result?;
        best = best.min(took);
        fuel = instance.usage().fuel;
    }
    let line = code.lines().nth(1).unwrap_or_default().trim();
    println!(
        "{:>8.1} ms, {:>6.0} M fuel, {:>5.2} G fuel/s   {line:.50}",
        best.as_secs_f64() * 1e3,
        fuel as f64 / 1e6,
        fuel as f64 / best.as_secs_f64() / 1e9
    );
    Ok(())
}

fn time<R>(work: impl FnOnce() -> R) -> (Duration, R) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

fn quantiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |fraction: f64| times[((times.len() - 1) as f64 * fraction) as usize];
    format!("p50 {:>9.1?}  p99 {:>9.1?}", at(0.5), at(0.99))
}
