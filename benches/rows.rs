//! Rows a second through one instance on one core, metering on, beside a copy of the same bytes.
//! `native_rows.py` runs the same functions over the same data natively.

#![expect(clippy::panic, reason = "a benchmark has no callers")]

use std::hint::black_box;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vivarium_benches::{
    BATCH_ROWS, DECIMAL, decimals, engine, floats, image, integers, on_guest_thread, strings,
};
use vivarium_runtime::{Capabilities, Limits};

fn rows(criterion: &mut Criterion) {
    let engine = engine();
    let cases: [(&str, &str, RecordBatch, DataType); 6] = [
        ("int64 a + b", "def f(a, b): return a + b", integers(2, BATCH_ROWS), DataType::Int64),
        ("int64 a + 1", "def f(a): return a + 1", integers(1, BATCH_ROWS), DataType::Int64),
        ("float64 a * 2.5", "def f(a): return a * 2.5", floats(BATCH_ROWS), DataType::Float64),
        ("str identity", "def f(a): return a", strings(BATCH_ROWS), DataType::Utf8),
        ("str.upper", "def f(a): return a.upper()", strings(BATCH_ROWS), DataType::Utf8),
        ("decimal a + a", "def f(a): return a + a", decimals(BATCH_ROWS), DECIMAL),
    ];
    let mut group = criterion.benchmark_group("rows");
    group.throughput(Throughput::Elements(BATCH_ROWS as u64)).sample_size(30);
    for (name, code, batch, result) in cases {
        let parameters: Vec<DataType> =
            batch.schema().fields().iter().map(|field| field.data_type().clone()).collect();
        let image = image(&engine, code, &parameters, result);
        group.bench_function(name, |bencher| {
            on_guest_thread(|| {
                let mut instance = image
                    .fork(&Limits::default(), &Capabilities::default())
                    .unwrap_or_else(|error| panic!("fork: {error}"));
                bencher.iter(|| {
                    instance.invoke(black_box(&batch)).unwrap_or_else(|error| panic!("invoke: {error}"))
                });
            });
        });
    }
    let bytes = vec![1_u8; BATCH_ROWS * 3 * size_of::<i64>()];
    group.bench_function("limit: memcpy of a + b's bytes", |bencher| {
        bencher.iter(|| black_box(&bytes).to_vec())
    });
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
