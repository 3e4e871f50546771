//! NumPy in the sandbox: 64-bit integers, columns without a copy, luck that forks do not share.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::collections::HashSet;

use arrow::array::{Array, StringArray};
use arrow::datatypes::{DataType, Field};
use common::{engine, fork, int64_batch, int64_spec, int64_values};
use vivarium_runtime::{BuildLimits, FunctionKind, FunctionSpec};

/// The text that an expression over `np` shows.
fn shown(expression: &str) -> String {
    let code = format!("import numpy as np\ndef f(x): return str({expression})\n");
    let spec = FunctionSpec { result: Field::new("y", DataType::Utf8, true), ..int64_spec(&code) };
    let image = engine().build_image(&spec, &BuildLimits::default()).unwrap();
    let result = fork(&image).invoke(&int64_batch([1])).unwrap();
    result.as_any().downcast_ref::<StringArray>().unwrap().value(0).to_owned()
}

#[test]
fn integers_are_as_on_every_64_bit_machine() {
    for (expression, expected) in [
        ("np.arange(100000).sum()", "4999950000"),
        ("np.array([1, 2]).dtype", "int64"),
        ("np.dtype(int)", "int64"),
        ("np.array([1, 2], np.int32).sum().dtype", "int64"),
        ("np.argsort([3, 1, 2]).dtype", "int64"),
        ("np.cumprod(np.full(6, 1000))[-1]", "1000000000000000000"),
        ("np.linalg.solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 8.0]).tolist()", "[1.0, 2.0]"),
        ("np.fft.ifft(np.fft.fft([1.0, 2.0, 3.0])).real.round(9).tolist()", "[1.0, 2.0, 3.0]"),
        ("np.random.default_rng(7).integers(0, 10**12, 2).tolist()", "[625095466604, 897213800969]"),
    ] {
        assert_eq!(shown(expression), expected, "{expression}");
    }
}

#[test]
fn columns_are_arrays_without_a_copy() {
    let code = "import numpy as np\n\
                def f(x):\n\
                \x20   a = np.asarray(x)\n\
                \x20   assert a.dtype == np.int64 and not a.flags.owndata and not a.flags.writeable\n\
                \x20   return a * 2 + 1\n";
    let spec = FunctionSpec { kind: FunctionKind::Vectorized, ..int64_spec(code) };
    let image = engine().build_image(&spec, &BuildLimits::default()).unwrap();
    let mut instance = fork(&image);
    for _ in 0..3 {
        assert_eq!(
            int64_values(&instance.invoke(&int64_batch([1, 2, 1 << 40])).unwrap()),
            [3, 5, (1 << 41) + 1]
        );
        assert_eq!(int64_values(&instance.invoke(&int64_batch([0_i64; 0])).unwrap()), [0_i64; 0]);
    }
}

#[test]
fn forks_do_not_share_their_luck() {
    for draw in ["np.random.random()", "made_at_import.random()", "np.random.default_rng().random()"] {
        let code = format!(
            "import numpy as np\nmade_at_import = np.random.default_rng()\ndef f(x): return int({draw} * 2**52)\n"
        );
        let image = engine().build_image(&int64_spec(&code), &BuildLimits::default()).unwrap();
        assert!(!image.drew_randomness_at_import(), "{draw}");
        let seen: HashSet<i64> =
            (0..20).flat_map(|_| int64_values(&fork(&image).invoke(&int64_batch([1, 2])).unwrap())).collect();
        assert_eq!(seen.len(), 40, "{draw}");
    }
}
