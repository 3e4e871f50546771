//! Nothing goes from one instance to another, and forks do not share their luck.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field};
use common::{engine, fork, int64_batch, int64_image, int64_spec, int64_values, run_under};
use vivarium_runtime::{
    BuildLimits, Capabilities, Clock, FunctionFiles, FunctionSpec, Image, Limits, LoadError, worker_thread,
};

fn text_image(code: &str) -> Image {
    let spec = FunctionSpec { result: Field::new("y", DataType::Utf8, true), ..int64_spec(code) };
    engine().build_image(&spec, &FunctionFiles::default(), &BuildLimits::default()).unwrap()
}

fn text_of(array: &arrow::array::ArrayRef) -> String {
    array.as_any().downcast_ref::<StringArray>().unwrap().value(0).to_owned()
}

#[test]
fn globals_live_as_long_as_the_instance() {
    let image = int64_image("calls = []\ndef f(x):\n    calls.append(x)\n    return len(calls)\n");
    for _ in 0..20 {
        let mut instance = fork(&image);
        assert_eq!(int64_values(&instance.invoke(&int64_batch([7, 7])).unwrap()), [1, 2]);
        assert_eq!(int64_values(&instance.invoke(&int64_batch([7])).unwrap()), [3]);
    }
}

#[test]
fn no_residue_after_errors_and_growth() {
    // Every way to end, each followed by a look at all that could have stayed.
    let image = int64_image(
        "import os, sys\n\
         seen = {}\n\
         def f(x):\n\
         \x20   found = len(seen) + hasattr(sys, 'marker') + os.path.exists('/tmp/marker') + ('MARKER' in os.environ)\n\
         \x20   seen[x] = bytearray(b'marker' * 1000)\n\
         \x20   sys.marker = 1\n\
         \x20   os.environ['MARKER'] = '1'\n\
         \x20   open('/tmp/marker', 'w').write('marker')\n\
         \x20   if x == 1: keep = [bytearray(1 << 20) for _ in range(40)]; seen['keep'] = keep\n\
         \x20   if x == 2: os.abort()\n\
         \x20   if x == 3: raise ValueError('no')\n\
         \x20   if x == 4:\n\
         \x20       while True: pass\n\
         \x20   return found\n",
    );
    let limits = Limits { fuel_per_batch: 200_000_000, ..Limits::default() };
    for round in 0..12 {
        let mut instance = image.fork(&limits, &Capabilities::default()).unwrap();
        let result = instance.invoke(&int64_batch([round % 5]));
        assert_eq!(result.is_ok(), [0, 1].contains(&(round % 5)), "{round}");
        drop(instance);
        let mut next = fork(&image);
        assert_eq!(int64_values(&next.invoke(&int64_batch([0])).unwrap()), [0], "after {}", round % 5);
    }
}

#[test]
fn memory_after_reset_is_the_image_byte_for_byte() {
    // What a fork sees of its own memory before it does anything must not depend on what came before.
    let image = int64_image("def f(x):\n    return x * 2 if x < 100 else len(str(list(range(x))))\n");
    let fuel = |rows: &[i64]| {
        let mut instance = fork(&image);
        instance.invoke(&int64_batch(rows.iter().copied())).unwrap();
        instance.usage().fuel
    };
    let fresh = fuel(&[1, 2, 3]);
    for big in [1000, 100_000, 500_000] {
        fuel(&[big]);
        assert_eq!(fuel(&[1, 2, 3]), fresh);
    }
}

#[test]
fn forks_draw_different_random_numbers() {
    let image = text_image(
        "import random, secrets, uuid, os, tempfile\n\
         def f(x):\n\
         \x20   return '|'.join([str(random.random()), secrets.token_hex(16), str(uuid.uuid4()), os.urandom(16).hex(),\n\
         \x20       str(random.SystemRandom().random()), next(tempfile._get_candidate_names())])\n",
    );
    let mut seen: Vec<HashSet<String>> = vec![HashSet::new(); 6];
    for _ in 0..1000 {
        let drawn = text_of(&fork(&image).invoke(&int64_batch([1])).unwrap());
        for (seen, value) in seen.iter_mut().zip(drawn.split('|')) {
            assert!(seen.insert(value.to_owned()), "{value} was drawn twice");
        }
    }
}

#[test]
fn fuel_is_deterministic() {
    let image = int64_image(
        "import json, re\n\
         def f(x):\n\
         \x20   d = {str(i): [i] * 3 for i in range(200)}\n\
         \x20   s = json.dumps(d)\n\
         \x20   return len(json.loads(s)) + len(re.findall(r'\\d+', s)) + sum(sorted(range(500), reverse=True)) + x\n",
    );
    let fuel = || {
        let mut instance = fork(&image);
        instance.invoke(&int64_batch(0..20)).unwrap();
        let first = instance.usage().fuel;
        instance.invoke(&int64_batch(0..20)).unwrap();
        (first, instance.usage().fuel)
    };
    let first = fuel();
    assert!((0..10).all(|_| fuel() == first));
}

#[test]
fn tenants_run_side_by_side() {
    let images: Vec<Image> = (0..4)
        .map(|tenant| {
            int64_image(&format!(
                "state = 0\ndef f(x):\n    global state\n    state += x\n    return state * 10 + {tenant}\n"
            ))
        })
        .collect();
    let images = Arc::new(images);
    let threads: Vec<_> = (0..4_usize)
        .map(|tenant| {
            let images = images.clone();
            let work = move || {
                for round in 0..200 {
                    let mut instance = fork(&images[(tenant + round) % 4]);
                    let values = int64_values(&instance.invoke(&int64_batch([1, 2, 3])).unwrap());
                    let tenant = ((tenant + round) % 4) as i64;
                    assert_eq!(values, [10 + tenant, 30 + tenant, 60 + tenant]);
                }
            };
            worker_thread("test").spawn(work).unwrap()
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn randomness_at_import_is_refused_and_reported() {
    let quiet = int64_image("def f(x):\n    return x\n");
    assert!(!quiet.drew_randomness_at_import());
    let image = int64_image(
        "import os\ntry:\n    drawn = os.urandom(8)\nexcept OSError:\n    drawn = None\ndef f(x):\n    return int(drawn is None)\n",
    );
    assert!(image.drew_randomness_at_import());
    assert_eq!(int64_values(&run_under(&image, &Limits::default()).unwrap()), [1]);
}

#[test]
fn a_frozen_clock_stands_still() {
    let image = int64_image("import time\ndef f(x):\n    return time.time_ns()\n");
    let capabilities = Capabilities { clock: Clock::Frozen { unix_ns: 1_234_567_890 }, ..Default::default() };
    let mut instance = image.fork(&Limits::default(), &capabilities).unwrap();
    assert_eq!(int64_values(&instance.invoke(&int64_batch([1, 2])).unwrap()), [1_234_567_890; 2]);
    let now = int64_values(&fork(&image).invoke(&int64_batch([1])).unwrap())[0];
    assert_eq!(now % 1_000_000, 0, "the clock is coarse");
    assert!(now > 1_600_000_000_000_000_000);
}

#[test]
fn the_environment_is_the_functions_own() {
    let spec = FunctionSpec {
        environment: [("TOKEN".to_owned(), "12".to_owned())].into(),
        ..int64_spec("import os\ndef f(x):\n    return int(os.environ['TOKEN']) + len(os.environ)\n")
    };
    let image = engine().build_image(&spec, &FunctionFiles::default(), &BuildLimits::default()).unwrap();
    let with = int64_values(&run_under(&image, &Limits::default()).unwrap())[0];
    let image = int64_image("import os\ndef f(x):\n    return len(os.environ)\n");
    let without = int64_values(&run_under(&image, &Limits::default()).unwrap())[0];
    assert_eq!(with, 12 + 1 + without);
}

#[test]
fn images_survive_storage() {
    let spec = int64_spec(
        "print('hello')\ntable = {i: i * i for i in range(1000)}\ndef f(x):\n    return table[x]\n",
    );
    let image = engine().build_image(&spec, &FunctionFiles::default(), &BuildLimits::default()).unwrap();
    let bytes = image.to_bytes();
    let loaded = engine().load_image(&spec, &bytes).unwrap();
    assert_eq!(int64_values(&fork(&loaded).invoke(&int64_batch([12, 31])).unwrap()), [144, 961]);
    assert_eq!(loaded.build_logs().stdout, b"hello\n");
    assert_eq!(loaded.build_usage(), image.build_usage());
    assert_eq!(loaded.to_bytes(), bytes);

    let other = int64_spec("def f(x): return x");
    assert!(matches!(engine().load_image(&other, &bytes), Err(LoadError::OtherFunction)));
    for at in [0, 9, 20, 60, 200, bytes.len() / 2, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        assert!(engine().load_image(&spec, &damaged).is_err(), "byte {at}");
    }
    assert!(matches!(engine().load_image(&spec, &bytes[..bytes.len() - 1]), Err(LoadError::Damaged)));
    assert!(matches!(engine().load_image(&spec, &[]), Err(LoadError::Damaged)));
}

#[test]
fn nulls_follow_the_declared_handling() {
    let spec = FunctionSpec {
        kind: Default::default(),
        null_handling: vivarium_runtime::NullHandling::SkipNull,
        on_error: Default::default(),
        ..int64_spec("def f(x):\n    return x + 1\n")
    };
    let batch = arrow::record_batch::RecordBatch::try_from_iter_with_nullable([(
        "x",
        Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])) as arrow::array::ArrayRef,
        true,
    )])
    .unwrap();
    let image = engine().build_image(&spec, &FunctionFiles::default(), &BuildLimits::default()).unwrap();
    let result = fork(&image).invoke(&batch).unwrap();
    assert_eq!(result.as_ref(), &Int64Array::from(vec![Some(2), None, Some(4)]) as &dyn Array);
    let image = int64_image("def f(x):\n    return 0 if x is None else x + 1\n");
    let result = fork(&image).invoke(&batch).unwrap();
    assert_eq!(result.as_ref(), &Int64Array::from(vec![2, 0, 4]) as &dyn Array);
}
