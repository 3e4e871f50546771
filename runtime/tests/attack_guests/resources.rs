//! Fuel, memory, stack and what WebAssembly stops by itself (1, 9, 18, 23, 26).

use crate::harness::{hostile, run};

const IDENTITY: &str = "(call $identity (local.get $input) (local.get $output)) (i32.const 0)";

#[test]
fn attack_09_work_without_end() {
    let endless = |body: &str| format!("(loop {body} (br 0)) (i32.const 0)");
    let cases = [
        ("an empty loop", endless("")),
        ("loops in loops", endless("(loop (loop (br 2)))")),
        ("a table of branches", endless("(br_table 0 0 0 (i32.const 7))")),
        ("calls", endless("(call $identity (local.get $input) (local.get $output))")),
        ("calls through the table", endless("(call_indirect $calls (type $nothing) (i32.const 0))")),
        ("fills 256 KiB", endless("(memory.fill (i32.const 0) (i32.const 0) (i32.const 131072))")),
        ("fills nothing", endless("(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))")),
        ("copies 128 KiB", endless("(memory.copy (i32.const 0) (i32.const 1) (i32.const 131071))")),
        ("copies nothing", endless("(memory.copy (i32.const 0) (i32.const 0) (i32.const 0))")),
        ("asks for the size", endless("(drop (memory.size))")),
        ("grows by nothing", endless("(drop (memory.grow (i32.const 0)))")),
        ("grows in vain", endless("(drop (memory.grow (i32.const -1)))")),
    ];
    let expected = "fuel: the budget of 20000000 units is used up";
    let case = |(what, body): (_, String)| {
        let mut case = hostile(what, &body, expected);
        case.guest.extra += "(type $nothing (func)) (func $empty) (table $calls funcref (elem $empty))";
        case
    };
    run(cases.map(case).into());
}

#[test]
fn attack_23_growth() {
    let grown = |pages: &str, times: u32, then: &str| {
        format!(
            "(local $left i32) (local.set $left (i32.const {times}))
            (loop
                (drop (memory.grow {pages}))
                (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
            {then} {IDENTITY}"
        )
    };
    let at_limit = "(if (i32.ne (memory.size) (i32.const 256)) (then (unreachable)))";
    let as_before = "(if (i32.ne (memory.size) (i32.const 4)) (then (unreachable)))";
    run(vec![
        hostile(
            "page after page to the limit",
            &grown("(i32.const 1)", 600, at_limit),
            "ok: 7 rows of Int64",
        ),
        hostile("all at once", &grown("(i32.const 65532)", 3, as_before), "ok: 7 rows of Int64"),
        hostile("more pages than there are", &grown("(i32.const -1)", 3, as_before), "ok: 7 rows of Int64"),
        hostile(
            "writes to all it gets",
            "(local $at i32)
            (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
            (if (i32.ne (memory.size) (i32.const 256)) (then (unreachable)))
            (local.set $at (i32.const 262144))
            (loop
                (i64.store (local.get $at) (i64.const -1))
                (br_if 0 (i32.lt_u
                    (local.tee $at (i32.add (local.get $at) (i32.const 4096))) (i32.const 16777216))))
            (call $identity (local.get $input) (local.get $output)) (i32.const 0)",
            "ok: 7 rows of Int64",
        ),
        hostile(
            "writes one byte behind all it gets",
            "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
            (i32.store8 (i32.const 16777216) (i32.const 1)) (i32.const 0)",
            "the guest trapped: wasm trap: out of bounds memory access",
        ),
    ]);
}

#[test]
fn attack_18_the_call_stack() {
    let mut table = hostile(
        "through the table",
        "(call_indirect $calls (type $f) (i32.const 0))",
        "the call stack of 50331648 bytes is exhausted by deep recursion",
    );
    table.guest.extra += "(type $f (func (result i32)))
        (func $again (result i32) (i32.add (call_indirect $calls (type $f) (i32.const 0)) (i32.const 1)))
        (table $calls funcref (elem $again))";
    let mut large = hostile(
        "with many variables",
        "(call $large (i64.const 1))",
        "the call stack of 50331648 bytes is exhausted by deep recursion",
    );
    let variables: String = (0..400).map(|index| format!("(local $v{index} i64)")).collect();
    let used: String = (0..400)
        .map(|index| format!("(local.set $v{index} (i64.mul (local.get $x) (i64.const {index})))"))
        .collect();
    let sum = (0..400)
        .fold("(i64.const 0)".to_owned(), |sum, index| format!("(i64.add (local.get $v{index}) {sum})"));
    large.guest.extra += &format!(
        "(func $large (param $x i64) (result i32) {variables} {used}
            (i32.add (call $large (i64.add (local.get $x) (i64.const 1))) (i32.wrap_i64 {sum})))"
    );
    let mut cases = vec![
        hostile(
            "directly",
            "(i32.add (call $hostile (local.get $input) (local.get $output)) (i32.const 1))",
            "the call stack of 50331648 bytes is exhausted by deep recursion",
        ),
        table,
        large,
    ];
    for case in &mut cases {
        case.limits.fuel_per_batch = 10_000_000_000;
    }
    run(cases);
}

#[test]
fn attack_26_traps() {
    let indirect = |index: u32| format!("(drop (call_indirect $calls (type $f) (i32.const {index})))");
    let cases = [
        (
            "unreachable",
            "(unreachable)".to_owned(),
            "the guest trapped: wasm trap: wasm `unreachable` instruction executed",
        ),
        (
            "division by zero",
            "(drop (i32.div_u (i32.const 1) (i32.const 0)))".into(),
            "the guest trapped: wasm trap: integer divide by zero",
        ),
        (
            "division overflows",
            "(drop (i64.div_s (i64.const 0x8000000000000000) (i64.const -1)))".into(),
            "the guest trapped: wasm trap: integer overflow",
        ),
        (
            "not a number as an integer",
            "(drop (i32.trunc_f64_s (f64.const nan)))".into(),
            "the guest trapped: wasm trap: invalid conversion to integer",
        ),
        (
            "a float too large",
            "(drop (i64.trunc_f32_u (f32.const 1e38)))".into(),
            "the guest trapped: wasm trap: integer overflow",
        ),
        (
            "reads behind memory",
            "(drop (i32.load8_u (i32.const 262144)))".into(),
            "the guest trapped: wasm trap: out of bounds memory access",
        ),
        (
            "reads the last byte of 4 GiB",
            "(drop (i32.load8_u (i32.const -1)))".into(),
            "the guest trapped: wasm trap: out of bounds memory access",
        ),
        (
            "reads at 8 GiB",
            "(drop (i64.load offset=4294967295 (i32.const -1)))".into(),
            "the guest trapped: wasm trap: out of bounds memory access",
        ),
        (
            "writes behind memory",
            "(i64.store (i32.const 262137) (i64.const 1))".into(),
            "the guest trapped: wasm trap: out of bounds memory access",
        ),
        (
            "fills beyond memory",
            "(memory.fill (i32.const 1) (i32.const 0) (i32.const 262144))".into(),
            "the guest trapped: wasm trap: out of bounds memory access",
        ),
        (
            "copies from beyond",
            "(memory.copy (i32.const 0) (i32.const 262143) (i32.const 2))".into(),
            "the guest trapped: wasm trap: out of bounds memory access",
        ),
        ("an empty place of the table", indirect(1), "the guest trapped: wasm trap: uninitialized element"),
        (
            "behind the table",
            indirect(2),
            "the guest trapped: wasm trap: undefined element: out of bounds table access",
        ),
        (
            "far behind the table",
            indirect(0x7fff_ffff),
            "the guest trapped: wasm trap: undefined element: out of bounds table access",
        ),
        ("another type", indirect(0), "the guest trapped: wasm trap: indirect call type mismatch"),
        (
            "a stack pointer at the bottom",
            "(global.set $stack (i32.const 0)) (i32.store (i32.const -4) (i32.const 1))".into(),
            "the call stack of 50331648 bytes is exhausted by deep recursion",
        ),
    ];
    let case = |(what, body, expected): (_, String, _)| {
        let mut case = hostile(what, &format!("{body} (i32.const 0)"), expected);
        case.guest.extra += "(type $f (func (result i64))) (func $other)
            (table $calls 2 funcref) (elem (table $calls) (i32.const 0) func $other)";
        case
    };
    run(cases.map(case).into());
}
