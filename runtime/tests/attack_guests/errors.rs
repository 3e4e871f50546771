//! Errors that lie: where they are, how long, and what they say (43).

use crate::harness::{Case, hostile, run};

/// A guest that fails, and whose error is said to be at this place.
fn at(what: &'static str, pointer: i64, len: i64, expected: &'static str) -> Case {
    says(what, pointer, len, "", expected)
}

/// The same, after something was done; `data` is what else is in the module.
fn says(what: &'static str, pointer: i64, len: i64, first: &str, expected: &'static str) -> Case {
    let mut case = hostile(what, "(i32.const -1)", expected);
    case.guest.last_error = format!(
        "{first}
        (i32.store (local.get $out) (i32.const {pointer}))
        (i32.store offset=4 (local.get $out) (i32.const {len}))"
    );
    case
}

/// An error that is these bytes, as WebAssembly text writes them.
fn text(what: &'static str, text: &str, len: usize, expected: &'static str) -> Case {
    let mut case = says(what, 196_608, len as i64, "", expected);
    case.guest.extra += &format!(r#"(data (i32.const 196608) "{text}")"#);
    case
}

#[test]
fn attack_43_places_of_errors() {
    run(vec![
        at("nowhere", 0, 0, "the guest's error is not an object: "),
        at("the first bytes", 0, 40, "the guest's error is not an object: "),
        at("last byte", 262_143, 1, "the guest's error is not an object: "),
        at(
            "ends after memory",
            262_143,
            2,
            "the guest broke the ABI: `vivarium_last_error` returned 2 bytes at 0x3ffff, outside its memory of 262144 bytes or misaligned",
        ),
        at("end of memory, empty", 262_144, 0, "the guest's error is not an object: "),
        at(
            "beyond memory, empty",
            -1,
            0,
            "the guest broke the ABI: `vivarium_last_error` returned 0 bytes at 0xffffffff, outside its memory of 262144 bytes or misaligned",
        ),
        at(
            "wraps",
            -16,
            17,
            "the guest broke the ABI: `vivarium_last_error` returned 17 bytes at 0xfffffff0, outside its memory of 262144 bytes or misaligned",
        ),
        at(
            "greatest length",
            70_000,
            -1,
            "the guest broke the ABI: the error has 4294967295 bytes, 65536 are allowed",
        ),
        at(
            "1 GB",
            70_000,
            1 << 30,
            "the guest broke the ABI: the error has 1073741824 bytes, 65536 are allowed",
        ),
        at(
            "one byte too long",
            70_000,
            (64 << 10) + 1,
            "the guest broke the ABI: the error has 65537 bytes, 65536 are allowed",
        ),
        at(
            "as long as allowed",
            70_000,
            64 << 10,
            "the guest's error is not an object: {\"kind\":\"exception\",\"message\":\"no\"} …",
        ),
    ]);
}

#[test]
fn attack_43_words_of_errors() {
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\22");
    let json = |what, value: &str, expected| text(what, &escaped(value), value.len(), expected);
    let mut deep = says(
        "nested as deep as there is room",
        131_072 + 65_536,
        65_536,
        "(memory.fill (i32.const 196608) (i32.const 0x5b) (i32.const 65536))",
        "the guest's error is not an object: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[…",
    );
    deep.limits.fuel_per_batch = 100_000_000;
    run(vec![
        deep,
        text("not UTF-8", r"\ff\fe\fd", 3, "the guest's error is not an object: ���"),
        text(
            "half a character",
            r"{\22message\22:\22\c3\22}",
            15,
            "the guest's error is not an object: {\"message\":\"�\"}",
        ),
        json("not an object", "[1]", "the guest's error is not an object: [1]"),
        json("an empty object", "{}", "the guest gave no reason"),
        json(
            "numbers where text belongs",
            r#"{"kind":1,"message":2,"traceback":[],"row":"x"}"#,
            "the guest gave no reason",
        ),
        json("an unknown kind", r#"{"kind":"root","message":"m"}"#, "m"),
        json("an unknown field", r#"{"kind":"exception","message":"m","status":0}"#, "m"),
        json(
            "a row that does not exist",
            r#"{"kind":"exception","message":"m","row":18446744073709551615}"#,
            "row 18446744073709551615: m",
        ),
        json("a negative row", r#"{"kind":"exception","message":"m","row":-1}"#, "m"),
        json("colours", r#"{"kind":"exception","message":"\u001b[2J\u001b]0;title\u0007x"}"#, "[2J]0;titlex"),
        json(
            "lines of a log",
            r#"{"kind":"exception","message":"a\r\n2026-01-01 ERROR forged"}"#,
            "a\n2026-01-01 ERROR forged",
        ),
        json("another direction", r#"{"kind":"exception","message":"\u202etxt.exe\u2066"}"#, "txt.exe"),
        json("a NUL", r#"{"kind":"exception","message":"a\u0000b","column":"c\u0000"}"#, "`c`: ab"),
        json(
            "a lone surrogate",
            r#"{"kind":"exception","message":"\ud800"}"#,
            "the guest's error is not an object: {\"kind\":\"exception\",\"message\":\"\\ud800\"}",
        ),
        json("the same key twice", r#"{"kind":"memory","kind":"exit","message":"m"}"#, "m"),
        json(
            "what looks like a limit",
            r#"{"kind":"memory","message":"fuel: the budget of 1 units is used up"}"#,
            "memory_bytes: 16777216 bytes are not enough: fuel: the budget of 1 units is used up",
        ),
    ]);
}

#[test]
fn attack_43_long_words_are_cut() {
    // A message of 60 000 letters: the error has 4 KiB of them.
    let mut case = hostile("long", "(i32.const -1)", "");
    case.guest.extra += r#"(data (i32.const 196608) "{\22kind\22:\22exception\22,\22message\22:\22")"#;
    case.guest.last_error = r#"
        (memory.fill (i32.const 196639) (i32.const 0x61) (i32.const 60000))
        (i32.store16 (i32.const 256639) (i32.const 0x7d22))
        (i32.store (local.get $out) (i32.const 196608))
        (i32.store offset=4 (local.get $out) (i32.const 60033))"#
        .into();
    let image = case.guest.image();
    let mut instance = crate::common::fork(&image);
    let error = instance.invoke(&crate::common::int64_batch(0..7)).unwrap_err();
    assert!(matches!(error, vivarium_runtime::CallError::Function(_)), "{error:.300}");
    assert!((4000..=4200).contains(&error.to_string().len()), "{}", error.to_string().len());
    assert!(!instance.is_poisoned());
}
