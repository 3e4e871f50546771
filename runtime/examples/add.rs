//! The smallest complete use of the runtime: one function, one batch.
//!
//! `cargo run --release -p vivarium-runtime --example add`

use std::error::Error;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field};
use arrow::record_batch::RecordBatch;
use vivarium_runtime::{
    BuildLimits, Capabilities, Engine, EngineConfig, FunctionFiles, FunctionSpec, Limits,
};

fn main() -> Result<(), Box<dyn Error>> {
    let engine = Engine::new(EngineConfig::default())?;
    let spec = FunctionSpec {
        name: "add".into(),
        handler: "add".into(),
        filename: "add.py".into(),
        code: "def add(a, b):\n    return a + b\n".into(),
        parameters: vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Int64, true)],
        result: Field::new("sum", DataType::Int64, true),
        kind: Default::default(),
        null_handling: Default::default(),
        on_error: Default::default(),
        environment: Default::default(),
        interpreter: Default::default(),
        files_digest: None,
    };
    let image = engine.build_image(&spec, &FunctionFiles::default(), &BuildLimits::default())?;
    println!("image: {} KiB beyond the interpreter", image.stored_bytes() >> 10);

    let mut instance = image.fork(&Limits::default(), &Capabilities::default())?;
    let a: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let b: ArrayRef = Arc::new(Int64Array::from(vec![10, 20, 30]));
    let batch = RecordBatch::try_from_iter_with_nullable([("a", a, true), ("b", b, true)])?;
    println!("{:?}", instance.invoke(&batch)?);
    println!("{:?}", instance.usage());
    Ok(())
}
