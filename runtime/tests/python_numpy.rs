//! NumPy in the sandbox: 64-bit integers, columns without a copy, luck that forks do not share.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::collections::HashSet;
use std::sync::{Arc, Barrier};

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type};
use common::{config, engine, fork, int64_batch, int64_spec, int64_values};
use vivarium_runtime::{
    BuildError, BuildLimits, Capabilities, Engine, FunctionFiles, FunctionKind, FunctionSpec, Image,
    Interpreter, Limits, LoadError, ModuleSource,
};

fn numpy_spec(code: &str) -> FunctionSpec {
    FunctionSpec { interpreter: Interpreter::NumPy, ..int64_spec(code) }
}

#[track_caller]
fn image(spec: &FunctionSpec) -> Image {
    match engine().build_image(spec, &FunctionFiles::default(), &BuildLimits::default()) {
        Ok(image) => image,
        Err(error) => panic!("{error}"),
    }
}

/// The text that an expression over `np` shows.
fn shown(expression: &str) -> String {
    let code = format!("import numpy as np\ndef f(x): return str({expression})\n");
    let spec = FunctionSpec { result: Field::new("y", DataType::Utf8, true), ..numpy_spec(&code) };
    let result = fork(&image(&spec)).invoke(&int64_batch([1])).unwrap();
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
        ("np.ma.array([1, 2, 3], mask=[0, 1, 0]).sum()", "4"),
        ("np.polynomial.Polynomial([1, 2])(3)", "7.0"),
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
    let spec = FunctionSpec { kind: FunctionKind::Vectorized, ..numpy_spec(code) };
    let mut instance = fork(&image(&spec));
    for _ in 0..3 {
        assert_eq!(
            int64_values(&instance.invoke(&int64_batch([1, 2, 1 << 40])).unwrap()),
            [3, 5, (1 << 41) + 1]
        );
        assert_eq!(int64_values(&instance.invoke(&int64_batch([0_i64; 0])).unwrap()), [0_i64; 0]);
    }
}

#[test]
fn results_are_arrays_without_a_copy() {
    // Input and output fit beside the interpreter only if neither is there twice. (What the guest
    // allocates takes a power of two, here 64 MiB each.)
    const ROWS: usize = (56 << 20) / 8;
    let code = "import numpy as np\ndef f(x):\n    result = np.asarray(x) + 0.5\n    return result\n";
    let spec = FunctionSpec {
        kind: FunctionKind::Vectorized,
        parameters: vec![Field::new("x", DataType::Float64, false)],
        result: Field::new("y", DataType::Float64, false),
        ..numpy_spec(code)
    };
    let image = image(&spec);
    let limits = Limits { memory_bytes: image.memory_bytes() + (130 << 20), ..Limits::default() };
    let column: ArrayRef = Arc::new(Float64Array::from_iter_values((0..ROWS).map(|x| x as f64)));
    let batch = RecordBatch::try_from_iter_with_nullable([("x", column, false)]).unwrap();
    let mut instance = image.fork(&limits, &Capabilities::default()).unwrap();
    for _ in 0..2 {
        let result = instance.invoke(&batch).unwrap();
        let result = result.as_primitive::<Float64Type>();
        assert_eq!((result.len(), result.value(0), result.value(ROWS - 1)), (ROWS, 0.5, ROWS as f64 - 0.5));
    }
    for (returned, expected) in [
        ("a[::-1]", [4, 3, 2, 1]),
        ("a.copy()", [1, 2, 3, 4]),
        ("np.repeat(a, 2)[::2]", [1, 2, 3, 4]),
        ("np.broadcast_to(a[2], 4)", [3, 3, 3, 3]),
    ] {
        let code = format!("import numpy as np\ndef f(x):\n    a = np.asarray(x)\n    return {returned}\n");
        let spec = FunctionSpec { kind: FunctionKind::Vectorized, ..numpy_spec(&code) };
        let result = fork(&self::image(&spec)).invoke(&int64_batch([1, 2, 3, 4])).unwrap();
        assert_eq!(int64_values(&result), expected, "{returned}");
    }
}

#[test]
fn functions_have_the_arguments_that_their_callers_give() {
    // A C function with fewer arguments than its table says works everywhere but in WebAssembly.
    for (expression, expected) in [
        ("repr(copy.copy(np.float64(1.5)))", "np.float64(1.5)"),
        ("repr(copy.copy(np.str_('a')))", "np.str_('a')"),
        ("repr(copy.copy(np.array((1,), 'i4,')[()]))", "np.void((1,), dtype=[('f0', '<i4')])"),
        ("repr(core._array_converter(1.0, np.ones(1)).scalar_input)", "(True, False)"),
        ("str(core._get_castingimpl(np.dtypes.Int8DType, np.dtypes.Int64DType)._supports_unaligned)", "True"),
    ] {
        let code = format!(
            "import copy\nimport numpy as np\nfrom numpy._core import _multiarray_umath as core\n\
             def f(x): return {expression}\n"
        );
        let spec = FunctionSpec { result: Field::new("y", DataType::Utf8, true), ..numpy_spec(&code) };
        let result = fork(&image(&spec)).invoke(&int64_batch([1])).unwrap();
        assert_eq!(result.as_string::<i32>().value(0), expected, "{expression}");
    }
}

#[test]
fn arrays_are_saved_to_files_and_loaded() {
    let code = "import io, os\nimport numpy as np\n\
                def f(x):\n\
                \x20   np.save('/tmp/a.npy', np.arange(x))\n\
                \x20   np.arange(x).tofile('/tmp/b')\n\
                \x20   np.arange(x).tofile(os.devnull)\n\
                \x20   with open('/tmp/a.npy', 'rb') as file:\n\
                \x20       file.seek(0, io.SEEK_END)\n\
                \x20       assert file.tell() == 128 + 8 * x, file.tell()\n\
                \x20   with open('/tmp/b', 'rb') as file:\n\
                \x20       first = int(np.fromfile(file, count=2)[1:].view('i8')[0])\n\
                \x20       assert file.tell() == 16, file.tell()\n\
                \x20   return int(np.load('/tmp/a.npy').sum() + np.fromfile('/tmp/b', 'i8').sum()) + first\n";
    assert_eq!(
        int64_values(&fork(&image(&numpy_spec(code))).invoke(&int64_batch([5, 4])).unwrap()),
        [21, 13]
    );
}

#[test]
fn numpy_is_imported_before_any_function_asks() {
    let code = "import sys\n\
                loaded = {'numpy', 'numpy.linalg', 'numpy.fft', 'numpy.random', 'numpy.ma'} <= sys.modules.keys()\n\
                def f(x): return int(loaded)\n";
    let with = image(&numpy_spec(code));
    let plain = image(&int64_spec(code));
    assert_eq!(int64_values(&fork(&with).invoke(&int64_batch([1])).unwrap()), [1]);
    assert_eq!(int64_values(&fork(&plain).invoke(&int64_batch([1])).unwrap()), [0]);
    let with = image(&numpy_spec("import numpy as np\ndef f(x): return int(np.int64(x))\n"));
    // Importing NumPy itself would cost some 20 MiB and a billion units. What another function's image costs
    // varies by some ten percent: each base has a hash seed of its own.
    let (most, fuel) = (plain.stored_bytes() * 4, plain.build_usage().fuel * 6);
    assert!(with.stored_bytes() < most, "{} bytes", with.stored_bytes());
    assert!(with.build_usage().fuel < fuel, "{} fuel", with.build_usage().fuel);
}

#[test]
fn a_plain_function_has_no_numpy() {
    let built = engine().build_image(
        &int64_spec("import numpy\n"),
        &FunctionFiles::default(),
        &BuildLimits::default(),
    );
    match built {
        Err(BuildError::Call { error, .. }) => {
            assert!(error.to_string().contains("No module named 'numpy'"), "{error}")
        }
        _ => panic!("numpy was imported"),
    }
}

#[test]
fn images_belong_to_their_interpreter() {
    let code = "def f(x): return x + 1\n";
    let (plain, with) = (image(&int64_spec(code)), image(&numpy_spec(code)));
    assert_ne!(plain.spec().digest(), with.spec().digest());
    let loaded = engine().load_image(&numpy_spec(code), &with.to_bytes()).unwrap();
    assert_eq!(int64_values(&fork(&loaded).invoke(&int64_batch([1])).unwrap()), [2]);
    for (spec, bytes) in [(int64_spec(code), with.to_bytes()), (numpy_spec(code), plain.to_bytes())] {
        assert!(matches!(engine().load_image(&spec, &bytes), Err(LoadError::OtherEngine)));
    }
}

#[test]
fn modules_declare_with_numpy() {
    let code = "import numpy as np\nimport vivarium\n\
                @vivarium.udf(parameters=[str(np.dtype('int32'))], result='int')\ndef f(x): return x\n";
    let module = ModuleSource {
        filename: "a.py".into(),
        code: code.into(),
        interpreter: Interpreter::for_code(code),
        ..ModuleSource::default()
    };
    let declared = engine().describe(&module, &BuildLimits::default()).unwrap();
    assert_eq!(declared[0].parameters, [("x".to_owned(), "int32".to_owned())]);
}

#[test]
fn the_guide_is_right() {
    let guide = include_str!("../../guest-python/AUTHORING.md");
    let blocks = guide.split("```python\n").skip(1).filter_map(|rest| rest.split("```").next());
    let code = blocks.into_iter().find(|block| block.contains("numpy")).unwrap();
    let module = ModuleSource {
        filename: "a.py".into(),
        code: code.into(),
        interpreter: Interpreter::for_code(code),
        ..ModuleSource::default()
    };
    let declared = engine().describe(&module, &BuildLimits::default()).unwrap();
    assert_eq!((declared.len(), declared[0].name.as_str()), (1, "distance"));
    let double = |name: &str| Field::new(name, DataType::Float64, true);
    let spec = FunctionSpec {
        handler: "distance".into(),
        kind: FunctionKind::Vectorized,
        null_handling: declared[0].null_handling,
        parameters: vec![double("a"), double("b")],
        result: double("y"),
        ..numpy_spec(code)
    };
    let a: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.0), None, Some(-2.5)]));
    let b: ArrayRef = Arc::new(Float64Array::from(vec![4.0, 1.0, 0.5]));
    let batch = RecordBatch::try_from_iter_with_nullable([("a", a, true), ("b", b, true)]).unwrap();
    let result = fork(&image(&spec)).invoke(&batch).unwrap();
    assert_eq!(result.as_ref(), &Float64Array::from(vec![Some(3.0), None, Some(3.0)]) as &dyn Array);
}

#[test]
fn engines_set_it_up_once_for_all_who_wait() {
    engine().prepare(Interpreter::NumPy).unwrap();
    let engine = Engine::new(config()).unwrap();
    let (start, spec) = (Barrier::new(4), numpy_spec("def f(x): return x\n"));
    let images: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let work = || {
            start.wait();
            engine.prepare(Interpreter::NumPy).unwrap();
            let built = engine.build_image(&spec, &FunctionFiles::default(), &BuildLimits::default());
            built.unwrap().to_bytes()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // All were built over one base, so that each can be loaded.
    assert!(images.iter().all(|image| engine.load_image(&spec, image).is_ok()));
    let identity = engine.identity();
    assert_ne!(identity.guest_digest, identity.numpy_guest_digest);
    assert_eq!(identity.numpy_version, "2.4.6");
}

#[test]
fn forks_do_not_share_their_luck() {
    for draw in [
        "np.random.random()",
        "np.random.default_rng().random()",
        "made_at_import.random()",
        "legacy.random_sample()",
        "np.random.default_rng(sequence.spawn(1)[0]).random()",
        "np.random.mtrand._rand.random_sample()",
    ] {
        let code = format!(
            "import numpy as np\n\
             made_at_import = np.random.default_rng()\n\
             legacy = np.random.RandomState()\n\
             sequence = np.random.SeedSequence()\n\
             def f(x): return int({draw} * 2**52)\n"
        );
        let image = image(&numpy_spec(&code));
        assert!(!image.drew_randomness_at_import(), "{draw}");
        let seen: HashSet<i64> = (0..100)
            .flat_map(|_| int64_values(&fork(&image).invoke(&int64_batch([1, 2])).unwrap()))
            .collect();
        assert_eq!(seen.len(), 200, "{draw}");
    }
}

#[test]
fn chosen_seeds_are_kept_and_draws_at_import_are_told() {
    for (setup, draw) in [
        ("np.random.seed(5)", "np.random.random()"),
        ("g = np.random.default_rng(5)", "g.random()"),
        ("g = np.random.RandomState(5)", "g.random_sample()"),
    ] {
        let image = image(&numpy_spec(&format!(
            "import numpy as np\n{setup}\ndef f(x): return int({draw} * 2**52)\n"
        )));
        let draw = || int64_values(&fork(&image).invoke(&int64_batch([1, 2])).unwrap());
        let first = draw();
        assert!(first[0] != first[1] && draw() == first, "{setup}");
        assert!(!image.drew_randomness_at_import(), "{setup}");
    }
    for setup in ["np.random.random()", "np.random.default_rng().random()", "np.random.shuffle([1, 2, 3])"] {
        let image = image(&numpy_spec(&format!("import numpy as np\n{setup}\ndef f(x): return x\n")));
        assert!(image.drew_randomness_at_import(), "{setup}");
    }
}
