//! Stored images whose digest is right and whose content is anything: loaded, forked and called.

use std::sync::LazyLock;

use arrow::array::{Array, ArrayRef, BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Field};
use sha2::{Digest, Sha256};
use vivarium_runtime::Capabilities;

use super::guest::{LIMITS, build, engine, spec};
use crate::Target;

pub(crate) const TARGET: Target =
    Target { name: "image", about: "stored images with a right digest and wrong content", run, seeds };

/// Where the digest ends and the keys of engine and function end, which the input does not choose.
const HEADER: usize = 44;
const KEYS: usize = HEADER + 64;

static HONEST: LazyLock<Vec<u8>> =
    LazyLock::new(|| build(&spec(Field::new("y", DataType::Int64, true))).to_bytes());

fn run(data: &[u8]) {
    let mut bytes = HONEST[..KEYS].to_vec();
    bytes.extend(data);
    let digest = Sha256::digest(&bytes[HEADER..]);
    bytes[12..HEADER].copy_from_slice(&digest);
    let spec = spec(Field::new("y", DataType::Int64, true));
    let Ok(image) = engine().load_image(&spec, &bytes) else { return };
    assert_eq!(engine().load_image(&spec, &image.to_bytes()).unwrap().to_bytes(), image.to_bytes());
    let Ok(mut instance) = image.fork(&LIMITS, &Capabilities::default()) else { return };
    let column: ArrayRef = std::sync::Arc::new(BinaryArray::from_vec(vec![b"x"]));
    let batch = RecordBatch::try_from_iter_with_nullable([("x", column, true)]).unwrap();
    if let Ok(result) = instance.invoke(&batch) {
        result.to_data().validate_full().unwrap();
    }
    drop(instance);
    assert_eq!(engine().usage().instances, 0);
}

fn seeds() -> Vec<Vec<u8>> {
    let body = HONEST[KEYS..].to_vec();
    // The numbers that say where pages are, with less content behind.
    let short = body[..body.len().min(300)].to_vec();
    vec![body, short]
}
