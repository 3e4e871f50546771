//! What a reset leaves of an instance's earlier calls: nothing.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field};
use vivarium_runtime::{CallError, Capabilities, FunctionKind, Instance, Limits};

use common::{
    batch_of, expand_all, fork, fork_of, function_error, int64_batch, int64_image, int64_values, spec_of,
};

fn call(instance: &mut Instance, x: i64) -> i64 {
    int64_values(&instance.invoke(&int64_batch([x])).unwrap())[0]
}

#[test]
fn state_files_logs_and_use_are_gone() {
    let image = int64_image(
        "import os\n\
         seen = []\n\
         def f(x):\n\
         \x20   print('row', x)\n\
         \x20   seen.append(x)\n\
         \x20   with open(f'/tmp/{x}', 'w') as file: file.write('x')\n\
         \x20   return len(seen) * 100 + len(os.listdir('/tmp'))\n",
    );
    let mut instance = fork(&image);
    let fresh = call(&mut instance, 1);
    assert_eq!(fresh, 101);
    let (first_use, first_logs) = (instance.usage(), instance.take_logs());
    assert_eq!(call(&mut instance, 2), 202);
    for _ in 0..5 {
        instance.reset().unwrap();
        assert_eq!((instance.usage().fuel, instance.usage().calls, instance.usage().rows), (0, 0, 0));
        assert_eq!(call(&mut instance, 1), fresh);
        assert_eq!(instance.usage(), first_use, "a reset instance burns what a fork burns");
        assert_eq!(instance.take_logs(), first_logs);
        call(&mut instance, 3);
    }
}

#[test]
fn forks_after_a_reset_do_not_repeat_random_numbers() {
    let image = int64_image(
        "import os, random, uuid\n\
         own = random.Random()\n\
         def f(x):\n\
         \x20   draws = [random.getrandbits(62), own.getrandbits(62), uuid.uuid4().int >> 66,\n\
         \x20            int.from_bytes(os.urandom(7))]\n\
         \x20   return draws[x]\n",
    );
    for source in 0..4 {
        let mut instance = fork(&image);
        let mut draws: Vec<i64> = (0..20)
            .map(|_| {
                instance.reset().unwrap();
                call(&mut instance, source)
            })
            .collect();
        draws.sort_unstable();
        draws.dedup();
        assert_eq!(draws.len(), 20, "source {source}");
    }
}

#[test]
fn an_instance_that_met_a_limit_can_be_used_again() {
    let image = int64_image(
        "def f(x):\n\
         \x20   if x == 1:\n\
         \x20       while True: pass\n\
         \x20   if x == 2: return len(bytes(1 << 30))\n\
         \x20   if x == 3: return len(bytes(40 << 20))\n\
         \x20   if x == 4:\n\
         \x20       import os\n\
         \x20       os.abort()\n\
         \x20   return -x\n",
    );
    let limits = Limits { fuel_per_batch: 200_000_000, memory_bytes: 128 << 20, ..Limits::default() };
    let mut instance = image.fork(&limits, &Capabilities::default()).unwrap();
    for _ in 0..3 {
        assert!(matches!(instance.invoke(&int64_batch([1])), Err(CallError::Fuel { .. })));
        assert!(instance.is_poisoned());
        instance.reset().unwrap();
        assert_eq!(call(&mut instance, 7), -7);
        assert!(matches!(instance.invoke(&int64_batch([2])), Err(CallError::Memory { .. })));
        instance.reset().unwrap();
        // It grows beyond the image, and is as small as before afterwards.
        assert_eq!(call(&mut instance, 3), 40 << 20);
        assert!(instance.usage().peak_memory_bytes > image.memory_bytes());
        instance.reset().unwrap();
        assert_eq!(instance.usage().peak_memory_bytes, image.memory_bytes());
        assert!(instance.invoke(&int64_batch([4])).is_err());
        instance.reset().unwrap();
        assert_eq!(call(&mut instance, 8), -8);
    }
}

#[test]
fn a_canceller_has_no_power_beyond_a_reset() {
    let mut instance = fork(&int64_image("def f(x): return x\n"));
    let before = instance.canceller();
    before.cancel();
    assert!(matches!(instance.invoke(&int64_batch([1])), Err(CallError::Cancelled)));
    instance.reset().unwrap();
    assert_eq!(call(&mut instance, 1), 1);
    before.cancel();
    assert_eq!(call(&mut instance, 2), 2);
    instance.canceller().cancel();
    assert!(matches!(instance.invoke(&int64_batch([1])), Err(CallError::Cancelled)));
}

/// Writes to few and to many pages, old ones and new ones, in an order that the runtime cannot guess. Only the
/// pages that were written are looked at, since reading a page makes it one that is restored.
#[test]
fn attack_no_byte_survives_a_reset() {
    const PAGES: i64 = 1024;
    let image = int64_image(&format!(
        "data = bytearray(b'\\7') * ({PAGES} * 4096)\n\
         def f(x):\n\
         \x20   count, start, step = x & 4095, x >> 12 & 4095, x >> 24 & 15\n\
         \x20   at = [(start + n * step) % {PAGES} * 4096 + 5 for n in range(count)]\n\
         \x20   if x >> 28: return sum(data[i] != 7 for i in at)\n\
         \x20   for i in at: data[i] = 1\n\
         \x20   return 0\n"
    ));
    let mut instance = fork(&image);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % below).cast_signed()
    };
    for round in 0..400 {
        let count = match round % 8 {
            7 => draw(900),
            3 => draw(40),
            _ => 1 + draw(3),
        };
        let written = count | draw(PAGES as u64) << 12 | (1 + draw(7)) << 24;
        call(&mut instance, written);
        if round % 3 == 0 {
            // On another thread, and twice between two resets.
            std::thread::scope(|scope| {
                scope.spawn(|| call(&mut instance, written)).join().unwrap();
            });
        }
        instance.reset().unwrap();
        assert_eq!(call(&mut instance, written | 1 << 28), 0, "round {round}");
        instance.reset().unwrap();
    }
}

#[test]
fn tables_maps_and_failed_calls_are_forgotten_too() {
    let parameter = vec![Field::new("x", DataType::Int64, true)];
    let result = Field::new("y", DataType::Int64, true);
    let code = "n = 0\ndef f(x):\n    global n\n    for at in range(x):\n        n += 1\n        yield n\n";
    let spec = spec_of(code, FunctionKind::Table, parameter, result);
    let mut instance = fork_of(&spec, &Limits::default());
    let batch = batch_of(vec![int64_batch([3]).column(0).clone()]);
    let rows = |instance: &mut Instance, batch: &RecordBatch| {
        int64_values(expand_all(instance, batch).unwrap().column(1))
    };
    for _ in 0..3 {
        assert_eq!(rows(&mut instance, &batch), [1, 2, 3]);
        // Not read to its end.
        let mut taken = 0;
        instance
            .expand(&batch_of(vec![int64_batch([100_000]).column(0).clone()]), &mut |_| {
                taken += 1;
                std::ops::ControlFlow::Break(())
            })
            .unwrap();
        assert_eq!(taken, 1);
        instance.reset().unwrap();
    }

    let mut instance =
        fork(&int64_image("n = 0\ndef f(x):\n    global n\n    n += 1\n    return 1 // (n - x)\n"));
    for _ in 0..3 {
        let error = function_error(instance.invoke(&int64_batch([1])));
        assert_eq!(error.class.as_deref(), Some("ZeroDivisionError"));
        instance.reset().unwrap();
        assert_eq!(call(&mut instance, 2), -1);
        instance.reset().unwrap();
    }
}
