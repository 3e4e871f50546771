//! What the benchmarks share: an engine, functions worth timing and batches to feed them; a server, a client of
//! it, and the report of what was found.

#![expect(clippy::panic, reason = "a benchmark that cannot run has nobody to report to but its caller")]

pub mod client;
pub mod report;
pub mod samples;
pub mod server;

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use vivarium_runtime::{
    BuildLimits, Engine, EngineConfig, FunctionFiles, FunctionSpec, Image, NullHandling, worker_thread,
};

/// Rows in a batch, as engines send them.
pub const BATCH_ROWS: usize = 65_536;

/// An engine that keeps its compiled module in the operating system's temporary directory.
pub fn engine() -> Engine {
    let cache = std::env::temp_dir().join("vivarium-benches");
    // Limits are promised, not used: a thousand instances fit.
    let config = EngineConfig { cache_dir: Some(cache), max_instances: 1_100, host_memory_bytes: 128 << 30 };
    Engine::new(config).unwrap_or_else(|error| panic!("the engine does not start: {error}"))
}

/// An image of the function `f` in `code`; no column is nullable.
pub fn image(engine: &Engine, code: &str, parameters: &[DataType], result: DataType) -> Image {
    let parameters = parameters
        .iter()
        .enumerate()
        .map(|(index, data_type)| Field::new(format!("arg{}", index + 1), data_type.clone(), false))
        .collect();
    let spec = FunctionSpec {
        name: "f".into(),
        handler: "f".into(),
        filename: "bench.py".into(),
        code: code.into(),
        parameters,
        result: Field::new("result", result, false),
        kind: Default::default(),
        null_handling: NullHandling::CallOnNull,
        on_error: Default::default(),
        environment: Default::default(),
        interpreter: Default::default(),
        files_digest: None,
    };
    engine
        .build_image(&spec, &FunctionFiles::default(), &BuildLimits::default())
        .unwrap_or_else(|error| panic!("the function does not build: {error}"))
}

/// Runs `work` on a thread that is large enough for guest code, as servers do.
pub fn on_guest_thread<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let thread = worker_thread("bench")
            .spawn_scoped(scope, work)
            .unwrap_or_else(|error| panic!("no thread: {error}"));
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Columns of small integers.
pub fn integers(columns: usize, rows: usize) -> RecordBatch {
    let array = |column: usize| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..rows as i64).map(|row| row * 7 + column as i64)))
    };
    batch((0..columns).map(array).collect())
}

/// One column of floats.
pub fn floats(rows: usize) -> RecordBatch {
    batch(vec![Arc::new(Float64Array::from_iter_values((0..rows).map(|row| row as f64 * 0.25)))])
}

/// One column of short ASCII strings.
pub fn strings(rows: usize) -> RecordBatch {
    batch(vec![Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("customer {row}"))))])
}

/// One column of ASCII strings of the same length.
pub fn texts(rows: usize, length: usize) -> RecordBatch {
    let text =
        |row: usize| -> String { (0..length).map(|at| char::from(b'a' + ((row + at) % 26) as u8)).collect() };
    batch(vec![Arc::new(StringArray::from_iter_values((0..rows).map(text)))])
}

/// Type of [`decimals`]: enough digits for twice each of them.
pub const DECIMAL: DataType = DataType::Decimal128(18, 2);

/// One column of decimals.
pub fn decimals(rows: usize) -> RecordBatch {
    let values = Decimal128Array::from_iter_values((0..rows).map(|row| row as i128 * 37));
    batch(vec![Arc::new(values.with_data_type(DECIMAL))])
}

/// A batch of columns of one length, without nulls.
pub fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(index, array)| Field::new(format!("arg{}", index + 1), array.data_type().clone(), false))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .unwrap_or_else(|error| panic!("columns of one length: {error}"))
}
