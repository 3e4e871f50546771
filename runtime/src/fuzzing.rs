//! What fuzzing, and the benchmark of meters, need of the inside. No part of the interface: it changes with what it shows.

use arrow::array::{ArrayRef, RecordBatch, StructArray};
use arrow::datatypes::Field;

use crate::declaration::Declaration;
use crate::describe;
use crate::exchange::{self, InputPlan};
use crate::function_error::FunctionError;
use crate::instrument::{InstrumentError, instrument as instrument_module};

/// Room in front of what [`write_batch`] writes, in bytes.
const BASE: u32 = 64;

/// Reads a result out of `memory`, as after a call of a function that returns `field`.
///
/// # Errors
/// What is wrong with it.
pub fn read_result(
    memory: &[u8],
    array: u32,
    field: &Field,
    rows: usize,
    limit_bytes: u64,
) -> Result<ArrayRef, String> {
    exchange::read_result(memory, array, field, rows, limit_bytes).map_err(|error| error.to_string())
}

/// Reads a batch of a stream likewise, and tells how many bytes it has.
///
/// # Errors
/// What is wrong with it.
pub fn read_batch(
    memory: &[u8],
    array: u32,
    field: &Field,
    limit_bytes: u64,
) -> Result<(StructArray, u64), String> {
    exchange::read_batch(memory, array, field, limit_bytes).map_err(|error| error.to_string())
}

/// A memory that holds a batch as guests get it, and the address of its struct.
///
/// # Errors
/// Why the batch cannot be written.
pub fn write_batch(batch: &RecordBatch) -> Result<(Vec<u8>, u32), String> {
    let plan =
        InputPlan::new(batch, batch.schema_ref().fields(), u64::MAX).map_err(|error| error.to_string())?;
    let mut memory = vec![0; BASE as usize + plan.size()];
    plan.write(&mut memory, BASE).map_err(|error| error.to_string())?;
    Ok((memory, BASE))
}

/// Reads an error object of a guest.
pub fn function_error(bytes: &[u8]) -> FunctionError {
    FunctionError::parse(bytes)
}

/// Reads a guest's list of declarations.
///
/// # Errors
/// What is wrong with it.
pub fn description(bytes: &[u8]) -> Result<Vec<Declaration>, String> {
    describe::read(bytes)
}

/// The module that is compiled in place of `wasm`.
///
/// # Errors
/// Why it is no guest.
pub fn instrument(wasm: &[u8]) -> Result<Vec<u8>, InstrumentError> {
    instrument_module(wasm).map(|instrumented| instrumented.wasm)
}
