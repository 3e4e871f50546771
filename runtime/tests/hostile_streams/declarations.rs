//! Guests and callers that lie about groups, kinds, batches and declarations.

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, Int64Array, UInt32Array};
use arrow::datatypes::DataType;
use vivarium_runtime::{
    BuildError, CallError, Engine, EngineConfig, EngineError, InputError, InstrumentError, ModuleSource,
    ProtocolViolation,
};

use crate::common::wat_guest::WatGuest;
use crate::common::{int64_batch, int64_spec};
use crate::{BUILD_LIMITS, aggregate_spec, batch, column, instance, map, map_spec, none, table_spec};

#[test]
fn groups_are_checked_before_the_guest_sees_them() {
    let mut instance = instance(&aggregate_spec(), "(i32.const 2)");
    let groups = |groups: Vec<Option<u32>>| UInt32Array::from(groups);
    let mut error = |groups: UInt32Array| match instance.accumulate(&groups, &int64_batch([1, 2])) {
        Err(CallError::Input(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(error(groups(vec![Some(0)])), InputError::GroupCount { rows: 2, groups: 1 });
    assert_eq!(error(groups(vec![Some(0), None])), InputError::GroupNull { row: 1 });
    let over = InputError::Groups { name: "aggregate_groups", limit: 1000, requested: 1001 };
    assert_eq!(error(groups(vec![Some(1000), Some(0)])), over);
    let over = InputError::Groups { name: "aggregate_groups", limit: 1000, requested: 1 << 32 };
    assert_eq!(error(groups(vec![Some(u32::MAX), Some(0)])), over);
    assert!(matches!(instance.states(1001), Err(CallError::Input(InputError::Groups { .. }))));
    let states: ArrayRef = Arc::new(Int64Array::from(vec![None]));
    let merged = instance.merge(&UInt32Array::from(vec![0]), &states);
    assert!(matches!(merged, Err(CallError::Input(InputError::Null { .. }))), "{merged:?}");
    assert!(!instance.is_poisoned());
}

#[test]
fn groups_and_states_of_the_wrong_shape() {
    // Answers two values, whatever is asked for.
    let two = |nulls: i64| {
        column(91_000, "(i64.const 2)", 100_000)
            + &format!("(i64.store (i32.const 91008) (i64.const {nulls}))")
            + "(memory.copy (local.get $output) (i32.const 91000) (i32.const 64)) (i32.const 0)"
    };
    let mut honest = instance(&aggregate_spec(), &two(0));
    assert_eq!(honest.states(2).unwrap().len(), 2);
    assert_eq!(honest.finish(2).unwrap().data_type(), &DataType::Int64);
    for groups in [0, 1, 3, 1000] {
        let mut instance = instance(&aggregate_spec(), &two(0));
        let error = instance.states(groups).unwrap_err();
        assert!(matches!(error, CallError::Guest(_)), "{error}");
        assert!(instance.is_poisoned());
    }
    let mut nulls = instance(&aggregate_spec(), &two(2));
    assert!(matches!(nulls.states(2), Err(CallError::Guest(_))));
}

#[test]
fn methods_of_other_kinds_are_refused() {
    let specs = [int64_spec(""), table_spec(), aggregate_spec(), map_spec()];
    let batch = int64_batch([1]);
    let groups = UInt32Array::from(vec![0]);
    let states: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    for (own, spec) in specs.iter().enumerate() {
        let mut instance = instance(spec, "unreachable");
        let results = [
            (0, instance.invoke(&batch).map(drop)),
            (1, instance.expand(&batch, &mut |_| ControlFlow::Continue(()))),
            (2, instance.accumulate(&groups, &batch)),
            (2, instance.retract(&groups, &batch)),
            (2, instance.merge(&groups, &states)),
            (2, instance.states(1).map(drop)),
            (2, instance.finish(1).map(drop)),
            (3, instance.map(&mut none, &mut |_| ControlFlow::Continue(()))),
        ];
        let mut trapped = false;
        for (kind, result) in results {
            match result.unwrap_err() {
                CallError::Kind { .. } => assert_ne!(kind, own),
                CallError::Trap { .. } => {
                    assert_eq!(kind, own);
                    trapped = true;
                }
                CallError::Poisoned => assert!(trapped),
                other => panic!("{other}"),
            }
        }
    }
}

#[test]
fn batches_that_are_not_the_declared_ones() {
    let good = |length: &str| column(91_000, length, 100_000) + &batch(length, &[91_000]);
    for (what, body) in [
        ("no children", batch("(i64.const 1)", &[]) + "(i32.const 1)"),
        ("negative length", good("(i64.const -1)") + "(i32.const 1)"),
        (
            "a child too short",
            column(91_000, "(i64.const 1)", 100_000) + &batch("(i64.const 2)", &[91_000]) + "(i32.const 1)",
        ),
        (
            "data outside",
            column(91_000, "(i64.const 9)", 262_100) + &batch("(i64.const 9)", &[91_000]) + "(i32.const 1)",
        ),
        ("not written", "(i32.const 1)".to_owned()),
    ] {
        let mut instance = instance(&map_spec(), &body);
        let error = map(&mut instance, 1).1.unwrap_err();
        assert!(matches!(error, CallError::Guest(_)), "{what}: {error}");
    }
    for length in ["(i64.const 200000)", "(i64.const 0x7fffffffffffffff)"] {
        let mut instance = instance(&map_spec(), &(good(length) + "(i32.const 1)"));
        let error = map(&mut instance, 1).1.unwrap_err();
        assert!(matches!(error, CallError::Guest(_) | CallError::Output(_)), "{length}: {error}");
    }
}

fn describe(body: &str, extra: &str) -> Result<usize, CallError> {
    let guest = WatGuest { describe: body.into(), extra: extra.into(), ..WatGuest::default() };
    let module = ModuleSource { filename: "a.py".into(), ..ModuleSource::default() };
    match guest.engine().describe(&module, &BUILD_LIMITS) {
        Ok(declarations) => Ok(declarations.len()),
        Err(BuildError::Call { error, .. }) => Err(*error),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn declarations_that_lie() {
    let at = |pointer: i64, len: i64| {
        format!(
            "(i32.store (local.get $out) (i32.const {pointer}))
            (i32.store offset=4 (local.get $out) (i32.const {len})) (i32.const 0)"
        )
    };
    let empty = r#"(data (i32.const 80000) "{\22functions\22: []}")"#;
    assert_eq!(describe(&at(80_000, 17), empty).unwrap(), 0);
    let error = describe(&at(80_000, -1), empty).unwrap_err();
    assert!(
        matches!(error, CallError::Protocol(ProtocolViolation::DescriptionSize { requested: u32::MAX, .. })),
        "{error}"
    );
    for (pointer, len) in [(-1, 10), (0x7fff_ffff, 10), (-10, 1 << 20), (262_140, 8)] {
        let error = describe(&at(pointer, len), empty).unwrap_err();
        assert!(matches!(error, CallError::Protocol(ProtocolViolation::Pointer { .. })), "{error}");
    }
    let invalid = r#"(data (i32.const 80000) "{\22functions\22: [\ff]}")"#;
    let deep = format!(r#"(data (i32.const 80000) "{}")"#, "[".repeat(50_000));
    for (extra, len) in [(invalid, 18), (deep.as_str(), 50_000), (empty, 0), (empty, 16), (empty, 18)] {
        let error = describe(&at(80_000, len), extra).unwrap_err();
        assert!(matches!(error, CallError::Protocol(ProtocolViolation::Description { .. })), "{error}");
    }
    for answer in [1, 2, -2] {
        let error = describe(&format!("(i32.const {answer})"), "").unwrap_err();
        assert!(matches!(error, CallError::Protocol(ProtocolViolation::Answer { .. })), "{error}");
    }
    assert!(matches!(describe("(i32.const -1)", ""), Err(CallError::Function(_))));
    assert!(matches!(describe("(loop (br 0)) (i32.const 0)", ""), Err(CallError::Fuel { .. })));
    assert!(matches!(describe("unreachable", ""), Err(CallError::Trap { .. })));
}

#[test]
fn a_guest_without_the_stub_for_input_is_none() {
    let stubs = [
        "",
        r#"(func $pull (export "vivarium_pull") (param i64 i32) (result i32) (i32.const -1))"#,
        r#"(func $pull (export "vivarium_pull") (param i32 i32))"#,
        r#"(global (export "vivarium_pull") i32 (i32.const 0))"#,
    ];
    for stub in stubs {
        let guest = WatGuest { pull: stub.into(), ..WatGuest::default() };
        match Engine::with_guest(&EngineConfig::default(), &guest.wasm()) {
            Err(EngineError::Instrument(InstrumentError::Missing { what })) => {
                assert!(what.contains("vivarium_pull"), "{what}");
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{stub}"),
        }
    }
}
