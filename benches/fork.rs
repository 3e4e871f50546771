//! How long a fork takes: create, first result after it, the next call, starting over in its place, drop.
//!
//! The limit is the same interpreter without a fork: the steady call of a live instance.

#![expect(clippy::panic, reason = "a benchmark has no callers")]

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use criterion::{Criterion, criterion_group, criterion_main};
use vivarium_benches::{engine, image, integers, on_guest_thread};
use vivarium_runtime::{Capabilities, Engine, Image, Instance, Limits};

fn fork(criterion: &mut Criterion) {
    let engine = engine();
    let image = addition(&engine);
    let row = integers(2, 1);
    percentiles(&image, &row);
    idle(&row);

    let mut group = criterion.benchmark_group("fork");
    group.bench_function("create", |bencher| {
        bencher.iter_custom(|times| on_guest_thread(|| (0..times).map(|_| timed(|| create(&image)).1).sum()))
    });
    group.bench_function("create and first result", |bencher| {
        bencher.iter_custom(|times| {
            on_guest_thread(|| (0..times).map(|_| timed(|| call(&mut create(&image), &row)).1).sum())
        })
    });
    group.bench_function("reset and first result", |bencher| {
        bencher.iter_custom(|times| {
            on_guest_thread(|| {
                let mut instance = create(&image);
                timed(|| (0..times).for_each(|_| isolated(&mut instance, &row))).1
            })
        })
    });
    group.bench_function("reset and first result, on two threads", |bencher| {
        bencher.iter_custom(|times| {
            let work = || {
                on_guest_thread(|| {
                    let mut instance = create(&image);
                    timed(|| (0..times).for_each(|_| isolated(&mut instance, &row))).1
                })
            };
            let (one, other) = std::thread::scope(|scope| {
                let other = scope.spawn(work);
                (work(), other.join())
            });
            // Twice as many were done in the longer of the two times.
            one.max(other.unwrap_or_default()) / 2
        })
    });
    group.bench_function("steady call", |bencher| {
        bencher.iter_custom(|times| {
            on_guest_thread(|| {
                let mut instance = create(&image);
                call(&mut instance, &row);
                timed(|| (0..times).for_each(|_| call(&mut instance, &row))).1
            })
        })
    });
    group.finish();
}

fn addition(engine: &Engine) -> Image {
    let types = [DataType::Int64, DataType::Int64];
    image(engine, "def f(a, b):\n    return a + b\n", &types, DataType::Int64)
}

/// Criterion reports means; the promise is about percentiles, so these are printed beside it.
fn percentiles(image: &Image, row: &RecordBatch) {
    const ROUNDS: usize = 5_000;
    const PHASES: [&str; 6] = ["create", "first result", "steady call", "reset", "result after it", "drop"];
    let mut phases = PHASES.map(|name| (name, Vec::<Duration>::new()));
    on_guest_thread(|| {
        for _ in 0..ROUNDS {
            let (mut instance, create) = timed(|| create(image));
            let (_, first) = timed(|| call(&mut instance, row));
            let (_, steady) = timed(|| call(&mut instance, row));
            reset(&mut instance);
            call(&mut instance, row);
            let (_, reset) = timed(|| reset(&mut instance));
            let (_, again) = timed(|| call(&mut instance, row));
            let (_, drop) = timed(|| drop(instance));
            for ((_, samples), sample) in phases.iter_mut().zip([create, first, steady, reset, again, drop]) {
                samples.push(sample);
            }
        }
    });
    println!("{:<16}{:>10}{:>10}{:>10}   (µs, {ROUNDS} rounds)", "phase", "p50", "p99", "max");
    for (name, samples) in &mut phases {
        samples.sort_unstable();
        let at = |share: f64| samples[((ROUNDS - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
        println!("{name:<16}{:>10.2}{:>10.2}{:>10.2}", at(0.50), at(0.99), at(1.0));
    }
}

/// What an instance that waits for its next call holds of the machine's memory, after one call.
fn idle(row: &RecordBatch) {
    const INSTANCES: u64 = 1_000;
    // An engine of its own, so that no other benchmark gets the regions that they leave.
    let image = addition(&engine());
    on_guest_thread(|| {
        let held = || ["RssAnon:", "RssShmem:", "VmPTE:"].map(status_kib);
        let before = held();
        let instances: Vec<Instance> = (0..INSTANCES)
            .map(|_| {
                let mut instance = create(&image);
                call(&mut instance, row);
                instance
            })
            .collect();
        let after = held();
        let [own, shared, tables] =
            std::array::from_fn(|at| (after[at] - before[at]) as f64 / INSTANCES as f64);
        println!(
            "{} idle instances hold {own:.0} KiB of their own each, and {tables:.0} KiB of page tables; \
             {shared:.0} KiB are the image's, counted anew in each",
            instances.len()
        );
    });
}

/// A field of this process's status, in KiB.
fn status_kib(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value =
        status.lines().find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB")?.parse().ok());
    value.unwrap_or_else(|| panic!("/proc/self/status has no `{field}`"))
}

fn create(image: &Image) -> Instance {
    let limits = Limits { memory_bytes: 64 << 20, ..Limits::default() };
    image.fork(&limits, &Capabilities::default()).unwrap_or_else(|error| panic!("fork: {error}"))
}

fn call(instance: &mut Instance, batch: &RecordBatch) {
    instance.invoke(batch).unwrap_or_else(|error| panic!("invoke: {error}"));
}

fn reset(instance: &mut Instance) {
    instance.reset().unwrap_or_else(|error| panic!("reset: {error}"));
}

/// What a function's call costs when nothing of the one before may be left.
fn isolated(instance: &mut Instance, batch: &RecordBatch) {
    reset(instance);
    call(instance, batch);
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = work();
    (value, start.elapsed())
}

criterion_group!(benches, fork);
criterion_main!(benches);
