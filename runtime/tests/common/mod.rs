//! Shared by the tests of the runtime.
#![allow(
    clippy::allow_attributes,
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    reason = "each test binary uses its own part; a failed unwrap is a failed test"
)]

pub(crate) mod wat_guest;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, Int64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use vivarium_runtime::{
    BuildLimits, CallError, Capabilities, Engine, EngineConfig, FunctionError, FunctionFiles, FunctionKind,
    FunctionSpec, Image, Instance, Limits,
};

/// A configuration whose cache is shared by all tests of a build, so that the guest is compiled once.
pub(crate) fn config() -> EngineConfig {
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("vivarium-cache");
    EngineConfig { cache_dir: Some(cache), ..EngineConfig::default() }
}

/// A function from int64 to int64.
pub(crate) fn int64_spec(code: &str) -> FunctionSpec {
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
        interpreter: Default::default(),
        files_digest: None,
    }
}

/// One int64 column called `x`.
pub(crate) fn int64_batch(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
    let schema = Schema::new(vec![Field::new("x", DataType::Int64, true)]);
    RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap()
}

/// The values of an int64 result.
pub(crate) fn int64_values(array: &ArrayRef) -> Vec<i64> {
    array.as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()
}

/// The engine over the real guest, one per test binary.
pub(crate) fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(config()).unwrap()).clone()
}

/// The image of a function from int64 to int64 in the real guest.
pub(crate) fn int64_image(code: &str) -> Image {
    engine().build_image(&int64_spec(code), &FunctionFiles::default(), &BuildLimits::default()).unwrap()
}

/// A fork with default limits.
pub(crate) fn fork(image: &Image) -> Instance {
    image.fork(&Limits::default(), &Capabilities::default()).unwrap()
}

/// Forks `image` under `limits` and runs one row with `x = 1`.
pub(crate) fn run_under(image: &Image, limits: &Limits) -> Result<ArrayRef, CallError> {
    image.fork(limits, &Capabilities::default()).unwrap().invoke(&int64_batch([1]))
}

/// The function `f` of this code.
pub(crate) fn spec_of(code: &str, kind: FunctionKind, parameters: Vec<Field>, result: Field) -> FunctionSpec {
    FunctionSpec { kind, parameters, result, ..int64_spec(code) }
}

/// A fork of a function in the real guest.
pub(crate) fn fork_of(spec: &FunctionSpec, limits: &Limits) -> Instance {
    match engine().build_image(spec, &FunctionFiles::default(), &BuildLimits::default()) {
        Ok(image) => image.fork(limits, &Capabilities::default()).unwrap(),
        Err(error) => panic!("{}: {error}", spec.code),
    }
}

/// Columns under the names `c0`, `c1`, ….
pub(crate) fn batch_of(columns: Vec<ArrayRef>) -> RecordBatch {
    let named = columns.into_iter().enumerate().map(|(index, column)| (format!("c{index}"), column, true));
    RecordBatch::try_from_iter_with_nullable(named).unwrap()
}

/// Python's error, of a call that must have failed with one.
#[track_caller]
pub(crate) fn function_error<T>(result: Result<T, CallError>) -> FunctionError {
    match result {
        Err(CallError::Function(error)) => *error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the call succeeded"),
    }
}

/// Runs a table function; all rows as one batch.
pub(crate) fn expand_all(instance: &mut Instance, batch: &RecordBatch) -> Result<RecordBatch, CallError> {
    let schema = instance.image().spec().output_schema();
    let mut batches = Vec::new();
    instance.expand(batch, &mut |batch| {
        batches.push(batch);
        ControlFlow::Continue(())
    })?;
    Ok(concat_batches(&schema, &batches).unwrap())
}

/// Runs a map function; the batches that it gives.
pub(crate) fn map_all(
    instance: &mut Instance,
    batches: impl IntoIterator<Item = RecordBatch, IntoIter: Send>,
) -> Result<Vec<RecordBatch>, CallError> {
    let mut batches = batches.into_iter();
    let mut given = Vec::new();
    instance.map(&mut || Ok(batches.next()), &mut |batch| {
        given.push(batch);
        ControlFlow::Continue(())
    })?;
    Ok(given)
}
