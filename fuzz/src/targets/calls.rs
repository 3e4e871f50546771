//! Whole calls of a guest that answers as the input says: the answer's number, the result's struct, the
//! error's place, and what is in memory.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, RecordBatch};
use vivarium_runtime::{CallError, Capabilities};

use super::guest::{FREE, IMAGES, LIMITS, engine};
use super::take;
use crate::Target;

pub(crate) const TARGET: Target =
    Target { name: "calls", about: "calls of a guest that answers anything", run, seeds };

fn run(data: &[u8]) {
    let ([kind], answer) = take::<1>(data);
    let images = &*IMAGES;
    let image = &images[usize::from(kind) % images.len()];
    let mut instance = image.fork(&LIMITS, &Capabilities::default()).unwrap();
    let column: ArrayRef = Arc::new(BinaryArray::from_vec(vec![answer]));
    let batch = RecordBatch::try_from_iter_with_nullable([("x", column, true)]).unwrap();
    match instance.invoke(&batch) {
        Ok(result) => {
            let field = &image.spec().result;
            assert_eq!((result.len(), result.data_type()), (1, field.data_type()));
            result.to_data().validate_full().unwrap();
        }
        Err(error) => {
            assert_eq!(error.poisons(), instance.is_poisoned());
            let text = error.to_string();
            assert!(!text.is_empty() && text.len() < 64 << 10, "{text:.500}");
            assert!(!text.contains(['\0', '\u{1b}', '\r']), "{text:?}");
            assert!(!matches!(error, CallError::Host { .. }), "{text}");
        }
    }
    drop(instance);
    assert_eq!(engine().usage().instances, 0);
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    // One row of 64-bit integers, whose buffers are behind a table at the free place.
    let mut honest = vec![3];
    honest.extend(0_i32.to_le_bytes());
    honest.extend([FREE + 64, 40].map(u32::to_le_bytes).concat());
    honest.extend([1_i64, 0, 0, 2, 0].map(i64::to_le_bytes).concat());
    honest.extend([FREE, 0, 0, 0, 0, 0].map(u32::to_le_bytes).concat());
    honest.extend([0, FREE + 8].map(u32::to_le_bytes).concat());
    honest.extend(7_i64.to_le_bytes());
    honest.resize(1 + 76 + 64, 0);
    honest.extend(br#"{"kind":"exception","message":"no","row":0}"#);
    for answer in [0_i32, -1, -2, 1, 16, 17, i32::MIN] {
        let mut seed = honest.clone();
        seed[1..5].copy_from_slice(&answer.to_le_bytes());
        seeds.push(seed);
    }
    for kind in 0..24 {
        let mut seed = honest.clone();
        seed[0] = kind;
        seeds.push(seed);
    }
    seeds
}
