//! Guests that lie about the input that they ask for.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, UInt32Array};
use vivarium_runtime::{CallError, InputError, InputFailure, Limits, ProtocolViolation, worker_thread};

use crate::common::wat_guest::{IDENTITY, WatGuest};
use crate::common::{int64_batch, int64_spec};
use crate::{
    LIMITS, aggregate_spec, expand, instance, map, map_spec, protocol, rows, steps, table_spec, with_pull,
};

/// Pulls one batch into a block and gives it back, until there is none.
const PULLING: &str = "
    (local $size i32) (local $block i32)
    (local.set $size (call $pull (i32.const 0) (i32.const 0)))
    (if (i32.le_s (local.get $size) (i32.const 0)) (then (return (i32.const 2))))
    (local.set $block (call $alloc (local.get $size)))
    (if (i32.ne (call $pull (local.get $block) (local.get $size)) (i32.const 0)) (then unreachable))
    (memory.copy (local.get $output) (local.get $block) (i32.const 64))
    (i32.const 1)";

#[test]
fn an_honest_map_function_streams() {
    let mut instance = instance(&map_spec(), PULLING);
    for _ in 0..3 {
        let (values, result) = map(&mut instance, 5);
        result.unwrap();
        assert_eq!(values, [1, 2, 3, 4, 5]);
    }
    assert_eq!((instance.usage().calls, instance.usage().rows), (3, 15));
    let stopped = instance.map(&mut || Ok(Some(int64_batch([7]))), &mut |_| ControlFlow::Break(()));
    assert!(stopped.is_ok());
    assert_eq!(map(&mut instance, 1).0, [1]);
}

#[test]
fn asking_again_does_not_take_again_and_the_end_stays_the_end() {
    let asking = PULLING.replacen(
        "(if",
        "(if (i32.ne (local.get $size) (call $pull (i32.const 0) (i32.const 0))) (then unreachable)) (if",
        1,
    );
    let (values, result) = map(&mut instance(&map_spec(), &asking), 3);
    result.unwrap();
    assert_eq!(values, [1, 2, 3]);
}

#[test]
fn pulling_out_of_order_or_to_nowhere() {
    let pulling = |body: &str| format!("(local $size i32) {body} (i32.const 2)");
    let waited = "(local.set $size (call $pull (i32.const 0) (i32.const 0)))";
    let rooms = [
        ("no batch is waiting", pulling("(drop (call $pull (i32.const 131072) (i32.const 4096)))")),
        ("outside", pulling(&format!("{waited} (drop (call $pull (i32.const -64) (local.get $size)))"))),
        ("the end", pulling(&format!("{waited} (drop (call $pull (i32.const 262080) (local.get $size)))"))),
        ("misaligned", pulling(&format!("{waited} (drop (call $pull (i32.const 131080) (i32.const 4096)))"))),
        ("too small", pulling(&format!("{waited} (drop (call $pull (i32.const 131072) (i32.const 64)))"))),
        ("null", pulling(&format!("{waited} (drop (call $pull (i32.const 0) (local.get $size)))"))),
        ("huge", pulling(&format!("{waited} (drop (call $pull (i32.const 131072) (i32.const -1)))"))),
        (
            "twice",
            pulling(&format!(
                "{waited} (drop (call $pull (i32.const 131072) (i32.const 4096)))
                (drop (call $pull (i32.const 131072) (i32.const 4096)))"
            )),
        ),
    ];
    for (what, body) in rooms {
        let mut instance = instance(&map_spec(), &body);
        let (_, result) = map(&mut instance, 3);
        let violation = protocol(result, &instance);
        assert!(matches!(violation, ProtocolViolation::Pull { .. }), "{what}: {violation}");
        assert!(matches!(map(&mut instance, 3).1, Err(CallError::Poisoned)));
    }
}

#[test]
fn there_is_no_input_outside_of_map_functions() {
    let asking = |rest: &str| {
        format!(
            "(if (i32.ne (call $pull (i32.const 0) (i32.const 0)) (i32.const -1)) (then unreachable))
            (if (i32.ne (call $pull (i32.const 131072) (i32.const 4096)) (i32.const -1)) (then unreachable))
            {rest}"
        )
    };
    instance(&int64_spec(""), &asking(IDENTITY)).invoke(&int64_batch([1])).unwrap();
    expand(&mut instance(&table_spec(), &asking("(i32.const 2)")), 1).1.unwrap();
    let mut aggregate = instance(&aggregate_spec(), &asking("(i32.const 2)"));
    aggregate.accumulate(&UInt32Array::from(vec![0]), &int64_batch([1])).unwrap();
    // Nor in calls that the host makes around the function's own, nor while code is imported.
    let guest = WatGuest {
        invoke: "(i32.const -1)".into(),
        last_error: asking(&WatGuest::default().last_error),
        init: asking("(i32.const 0)"),
        load: asking("(i32.const 1)"),
        freeze: asking("(i32.const 0)"),
        ..WatGuest::default()
    };
    let mut instance = guest.image_of(&map_spec()).fork(&LIMITS, &Default::default()).unwrap();
    assert!(matches!(map(&mut instance, 3).1, Err(CallError::Function(_))));
    assert!(!instance.is_poisoned());
}

#[test]
fn a_failing_source_is_given_back() {
    #[derive(Debug, PartialEq, thiserror::Error)]
    #[error("the peer is gone")]
    struct Gone(u32);
    let mut instance = instance(&map_spec(), PULLING);
    let mut given = 0;
    let mut batches = [int64_batch([1])].into_iter();
    let result =
        instance.map(&mut || batches.next().map(Some).ok_or_else(|| InputFailure::new(Gone(7))), &mut |_| {
            given += 1;
            ControlFlow::Continue(())
        });
    let Err(CallError::Source(failure)) = result else { panic!("{result:?}") };
    assert_eq!(failure.into_inner().downcast_ref::<Gone>(), Some(&Gone(7)));
    assert!(given == 1 && instance.is_poisoned());

    let column: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let other = RecordBatch::try_from_iter([("x", column)]).unwrap();
    let mut batches = [int64_batch([1]), other].into_iter();
    let mut instance = self::instance(&map_spec(), PULLING);
    let result = instance.map(&mut || Ok(batches.next()), &mut |_| ControlFlow::Continue(()));
    assert!(
        matches!(result, Err(CallError::SourceBatch { index: 1, error: InputError::Type { .. } })),
        "{result:?}"
    );
}

#[test]
fn a_source_that_panics_poisons() {
    let run = || {
        let mut instance = instance(&map_spec(), PULLING);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            instance.map(&mut || panic!("on purpose"), &mut |_| ControlFlow::Continue(()))
        }));
        assert!(panicked.is_err());
        assert!(matches!(map(&mut instance, 1).1, Err(CallError::Poisoned)));
    };
    worker_thread("test").spawn(run).unwrap().join().unwrap();
}

#[test]
fn waiting_for_input_or_output_does_not_count() {
    let limits = Limits { deadline_ms: 60, ..LIMITS };
    let pause = || std::thread::sleep(std::time::Duration::from_millis(100));
    let mut instance = with_pull(&map_spec(), PULLING, &limits);
    let mut left = 3;
    let mut source = || {
        pause();
        left -= 1;
        Ok((left >= 0).then(|| int64_batch([1])))
    };
    let sink = &mut |_| {
        pause();
        ControlFlow::Continue(())
    };
    instance.map(&mut source, sink).unwrap();
    let mut left = 4;
    let counting = steps(&rows(&[0], 1), &rows(&[0], 1));
    let mut instance = with_pull(&table_spec(), &counting, &limits);
    let streamed = instance.expand(&int64_batch([1]), &mut |_| {
        pause();
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    streamed.unwrap();
    // A cancelled call ends when the source returns.
    let mut instance = with_pull(&map_spec(), PULLING, &limits);
    let canceller = instance.canceller();
    let mut source = || {
        canceller.cancel();
        Ok(Some(int64_batch([1])))
    };
    let result = instance.map(&mut source, &mut |_| ControlFlow::Continue(()));
    assert!(matches!(result, Err(CallError::Cancelled)));
}

#[test]
fn every_batch_of_a_map_function_has_its_own_budget() {
    // Takes batch after batch and gives none.
    let swallowing = "(local $size i32) (local $i i32)
        (loop
            (local.set $size (call $pull (i32.const 0) (i32.const 0)))
            (if (i32.eqz (local.get $size)) (then (return (i32.const 2))))
            (drop (call $pull (i32.const 131072) (i32.const 4096)))
            (local.set $i (i32.const 1000000))
            (loop (br_if 0 (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
            (br 0))
        (i32.const 2)";
    let limits = Limits { fuel_per_batch: 8_000_000, ..LIMITS };
    let mut instance = with_pull(&map_spec(), swallowing, &limits);
    map(&mut instance, 10).1.unwrap();
    assert!(instance.usage().fuel > 20_000_000, "{}", instance.usage().fuel);
    // The end of the input can be asked for again and again, but not for free.
    let asking = "(loop (drop (call $pull (i32.const 0) (i32.const 0))) (br 0)) (i32.const 2)";
    for batches in [0, 5] {
        let (_, result) = map(&mut with_pull(&map_spec(), asking, &limits), batches);
        assert!(matches!(result, Err(CallError::Fuel { .. })), "{result:?}");
    }
}
