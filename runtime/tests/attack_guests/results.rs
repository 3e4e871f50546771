//! Results that lie: pointers, lengths, counts, trees (37).

use arrow::array::ArrayRef;

use crate::harness::{Case, hostile, hostile_column, lists, nested, run};

const DONE: &str = "(i32.const 0)";

/// The honest result with changes.
pub(crate) fn changed(changes: &str) -> String {
    format!("(call $identity (local.get $input) (local.get $output)) {changes} {DONE}")
}

/// Sets 64 bits of the result's `ArrowArray`.
fn set64(offset: u32, value: i64) -> String {
    changed(&format!("(i64.store offset={offset} (local.get $output) (i64.const {value}))"))
}

/// Sets a pointer of the result's `ArrowArray`.
fn set32(offset: u32, value: u32) -> String {
    changed(&format!("(i32.store offset={offset} (local.get $output) (i32.const {value}))"))
}

/// Sets the address of one of the result's buffers.
fn buffer(index: u32, value: &str) -> String {
    let offset = 4 * index;
    changed(&format!("(i32.store offset={offset} (i32.load offset=40 (local.get $output)) {value})"))
}

pub(crate) const LENGTH: u32 = 0;
pub(crate) const NULL_COUNT: u32 = 8;
pub(crate) const OFFSET: u32 = 16;
const BUFFERS: u32 = 24;
const CHILDREN: u32 = 32;
const BUFFER_TABLE: u32 = 40;
const CHILD_TABLE: u32 = 44;
const DICTIONARY: u32 = 48;

#[test]
fn attack_37_numbers_of_the_struct() {
    let cases = [
        (
            "length: least",
            LENGTH,
            i64::MIN,
            "the guest broke the ABI: `y`: length is -9223372036854775808, exactly 7 is required",
        ),
        ("length: negative", LENGTH, -1, "the guest broke the ABI: `y`: length is -1, exactly 7 is required"),
        ("length: none", LENGTH, 0, "the guest broke the ABI: `y`: length is 0, exactly 7 is required"),
        ("length: one less", LENGTH, 6, "the guest broke the ABI: `y`: length is 6, exactly 7 is required"),
        ("length: one more", LENGTH, 8, "the guest broke the ABI: `y`: length is 8, exactly 7 is required"),
        (
            "length: more than 32 bits",
            LENGTH,
            (1 << 32) + 7,
            "the guest broke the ABI: `y`: length is 4294967303, exactly 7 is required",
        ),
        (
            "length: greatest",
            LENGTH,
            i64::MAX,
            "the guest broke the ABI: `y`: length is 9223372036854775807, exactly 7 is required",
        ),
        (
            "null_count: least",
            NULL_COUNT,
            i64::MIN,
            "the guest broke the ABI: `y`: null_count is -9223372036854775808, it must be -1 or 0 to 7",
        ),
        (
            "null_count: below unknown",
            NULL_COUNT,
            -2,
            "the guest broke the ABI: `y`: null_count is -2, it must be -1 or 0 to 7",
        ),
        ("null_count: unknown", NULL_COUNT, -1, "ok: 7 rows of Int64"),
        (
            "null_count: without a bitmap",
            NULL_COUNT,
            1,
            "the guest broke the ABI: `y`: null_count is 1, but there is no validity buffer",
        ),
        (
            "null_count: more than rows",
            NULL_COUNT,
            8,
            "the guest broke the ABI: `y`: null_count is 8, it must be -1 or 0 to 7",
        ),
        (
            "null_count: greatest",
            NULL_COUNT,
            i64::MAX,
            "the guest broke the ABI: `y`: null_count is 9223372036854775807, it must be -1 or 0 to 7",
        ),
        ("offset: one", OFFSET, 1, "the guest broke the ABI: `y`: offset is 1, it must be 0"),
        ("offset: negative", OFFSET, -1, "the guest broke the ABI: `y`: offset is -1, it must be 0"),
        (
            "offset: greatest",
            OFFSET,
            i64::MAX,
            "the guest broke the ABI: `y`: offset is 9223372036854775807, it must be 0",
        ),
        ("n_buffers: none", BUFFERS, 0, "the guest broke the ABI: `y`: n_buffers is 0, 2 is required"),
        ("n_buffers: one more", BUFFERS, 3, "the guest broke the ABI: `y`: n_buffers is 3, 2 is required"),
        ("n_buffers: negative", BUFFERS, -1, "the guest broke the ABI: `y`: n_buffers is -1, 2 is required"),
        (
            "n_buffers: more than 32 bits",
            BUFFERS,
            (1 << 32) + 2,
            "the guest broke the ABI: `y`: n_buffers is 4294967298, 2 is required",
        ),
        (
            "n_buffers: greatest",
            BUFFERS,
            i64::MAX,
            "the guest broke the ABI: `y`: n_buffers is 9223372036854775807, 2 is required",
        ),
        ("n_children: one", CHILDREN, 1, "the guest broke the ABI: `y`: n_children is 1, 0 is required"),
        (
            "n_children: least",
            CHILDREN,
            i64::MIN,
            "the guest broke the ABI: `y`: n_children is -9223372036854775808, 0 is required",
        ),
        (
            "n_children: greatest",
            CHILDREN,
            i64::MAX,
            "the guest broke the ABI: `y`: n_children is 9223372036854775807, 0 is required",
        ),
    ];
    run(cases.map(|(what, offset, value, expected)| hostile(what, &set64(offset, value), expected)).into());
}

#[test]
fn attack_37_pointers_of_the_struct() {
    let cases = [
        (
            "buffers: null",
            BUFFER_TABLE,
            0,
            "the guest broke the ABI: `y`: table of buffer pointers is a null pointer, 8 bytes are needed \
            there",
        ),
        (
            "buffers: last byte",
            BUFFER_TABLE,
            262_143,
            "the guest broke the ABI: `y`: table of buffer pointers at 0x3ffff with 8 bytes ends outside \
            the guest's memory of 262144 bytes",
        ),
        (
            "buffers: ends one byte late",
            BUFFER_TABLE,
            262_137,
            "the guest broke the ABI: `y`: table of buffer pointers at 0x3fff9 with 8 bytes ends outside \
            the guest's memory of 262144 bytes",
        ),
        (
            "buffers: end of memory",
            BUFFER_TABLE,
            262_144,
            "the guest broke the ABI: `y`: table of buffer pointers at 0x40000 with 8 bytes ends outside \
            the guest's memory of 262144 bytes",
        ),
        (
            "buffers: wraps",
            BUFFER_TABLE,
            u32::MAX - 3,
            "the guest broke the ABI: `y`: table of buffer pointers at 0xfffffffc with 8 bytes ends \
            outside the guest's memory of 262144 bytes",
        ),
        (
            "buffers: greatest",
            BUFFER_TABLE,
            u32::MAX,
            "the guest broke the ABI: `y`: table of buffer pointers at 0xffffffff with 8 bytes ends \
            outside the guest's memory of 262144 bytes",
        ),
        ("children: anything, as there are none", CHILD_TABLE, u32::MAX, "ok: 7 rows of Int64"),
        (
            "dictionary: null plus one",
            DICTIONARY,
            1,
            "the guest broke the ABI: `y`: dictionary is 0x1, it must be 0",
        ),
        (
            "dictionary: greatest",
            DICTIONARY,
            u32::MAX,
            "the guest broke the ABI: `y`: dictionary is 0xffffffff, it must be 0",
        ),
    ];
    run(cases.map(|(what, offset, value, expected)| hostile(what, &set32(offset, value), expected)).into());
}

#[test]
fn attack_37_pointers_of_buffers() {
    let constant = |value: u32| format!("(i32.const {value})");
    let cases = [
        (
            "data: null",
            1,
            constant(0),
            "the guest broke the ABI: `y`: data buffer is a null pointer, 56 bytes are needed there",
        ),
        (
            "data: last byte",
            1,
            constant(262_143),
            "the guest broke the ABI: `y`: data buffer at 0x3ffff with 56 bytes ends outside the guest's \
            memory of 262144 bytes",
        ),
        (
            "data: ends one byte late",
            1,
            constant(262_089),
            "the guest broke the ABI: `y`: data buffer at 0x3ffc9 with 56 bytes ends outside the guest's \
            memory of 262144 bytes",
        ),
        ("data: ends with memory", 1, constant(262_088), "ok: 7 rows of Int64"),
        (
            "data: end of memory",
            1,
            constant(262_144),
            "the guest broke the ABI: `y`: data buffer at 0x40000 with 56 bytes ends outside the guest's \
            memory of 262144 bytes",
        ),
        (
            "data: wraps to 48",
            1,
            constant(u32::MAX - 7),
            "the guest broke the ABI: `y`: data buffer at 0xfffffff8 with 56 bytes ends outside the \
            guest's memory of 262144 bytes",
        ),
        (
            "data: greatest",
            1,
            constant(u32::MAX),
            "the guest broke the ABI: `y`: data buffer at 0xffffffff with 56 bytes ends outside the \
            guest's memory of 262144 bytes",
        ),
        (
            "data: half of the address space",
            1,
            constant(0x8000_0000),
            "the guest broke the ABI: `y`: data buffer at 0x80000000 with 56 bytes ends outside the \
            guest's memory of 262144 bytes",
        ),
        ("data: the stack", 1, constant(64), "ok: 7 rows of Int64"),
        ("data: the result's own struct", 1, "(local.get $output)".into(), "ok: 7 rows of Int64"),
        (
            "data: the table of buffers",
            1,
            "(i32.load offset=40 (local.get $output))".into(),
            "ok: 7 rows of Int64",
        ),
        ("data: misaligned", 1, constant(70_001), "ok: 7 rows of Int64"),
        (
            "validity: greatest",
            0,
            constant(u32::MAX),
            "the guest broke the ABI: `y`: validity buffer at 0xffffffff with 1 bytes ends outside the \
            guest's memory of 262144 bytes",
        ),
        (
            "validity: end of memory",
            0,
            constant(262_144),
            "the guest broke the ABI: `y`: validity buffer at 0x40000 with 1 bytes ends outside the \
            guest's memory of 262144 bytes",
        ),
        ("validity: last byte", 0, constant(262_143), "ok: 7 rows of Int64"),
        (
            "validity: the data",
            0,
            "(i32.load offset=4 (i32.load offset=40 (local.get $output)))".into(),
            "ok: 7 rows of Int64",
        ),
    ];
    let mut cases: Vec<Case> = cases
        .into_iter()
        .map(|(what, index, value, expected)| hostile(what, &buffer(index, &value), expected))
        .collect();
    let growing = |at: u32| {
        let at = format!("(i32.const {at})");
        format!("(drop (memory.grow (i32.const 1))) {}", buffer(1, &at))
    };
    cases.push(hostile("data: in memory that has just grown", &growing(262_144), "ok: 7 rows of Int64"));
    cases.push(hostile(
        "data: across the end that has just moved",
        &growing(327_640),
        "the guest broke the ABI: `y`: data buffer at 0x4ffd8 with 56 bytes ends outside the guest's memory \
        of 327680 bytes",
    ));
    run(cases);
}

#[test]
fn attack_37_results_that_were_freed_or_never_written() {
    run(vec![
        hostile(
            "nothing was written",
            DONE,
            "the guest broke the ABI: `y`: length is 0, exactly 7 is required",
        ),
        hostile(
            "the struct is inside its own data",
            &changed("(i32.store (i32.load offset=40 (local.get $output)) (local.get $output))"),
            "ok: 7 rows of Int64",
        ),
        hostile(
            "the input was given back first",
            &format!("(call $free (local.get $input)) {}", changed("")),
            "the guest trapped: wasm trap: out of bounds memory access",
        )
        .with_free(),
    ]);
}

#[test]
fn attack_37_answers_without_meaning() {
    let answers = [
        ("more of a scalar function", 1, "the guest broke the ABI: `vivarium_invoke` returned 1"),
        ("nothing of a scalar function", 2, "the guest broke the ABI: `vivarium_invoke` returned 2"),
        ("kept, and nothing else", 16, "ok: 7 rows of Int64"),
        ("kept and an unknown bit", 48, "the guest broke the ABI: `vivarium_invoke` returned 48"),
        ("unknown bit", 4, "the guest broke the ABI: `vivarium_invoke` returned 4"),
        ("failed without an error", -1, "no"),
        ("failed and kept", -2, "no"),
        ("below failed", -3, "the guest broke the ABI: `vivarium_invoke` returned -3"),
        ("greatest", i32::MAX, "the guest broke the ABI: `vivarium_invoke` returned 2147483647"),
        ("least", i32::MIN, "the guest broke the ABI: `vivarium_invoke` returned -2147483648"),
    ];
    let case = |(what, answer, expected): (_, i32, _)| {
        let body = changed("").replace(DONE, &format!("(i32.const {answer})"));
        hostile(what, &body, expected)
    };
    run(answers.map(case).into());
}

#[test]
fn attack_37_trees_that_point_at_themselves() {
    let parent = "(i32.store (i32.load offset=44 (local.get $output)) (local.get $output))";
    let own_table = "(i32.store offset=44 (local.get $output)
        (i32.add (local.get $output) (i32.const 44)))";
    let shared =
        "(i32.store (i32.load offset=44 (local.get $output)) (i32.load offset=44 (local.get $input)))";
    let count = |value: i64| format!("(i64.store offset=32 (local.get $output) (i64.const {value}))");
    let children = |value: u32| format!("(i32.store offset=44 (local.get $output) (i32.const {value}))");
    let child =
        |value: u32| format!("(i32.store (i32.load offset=44 (local.get $output)) (i32.const {value}))");
    let cases: Vec<(&str, ArrayRef, String, &str)> = vec![
        (
            "list: its child is itself",
            lists(),
            parent.into(),
            "the guest broke the ABI: `y.item`: n_children is 1, 0 is required",
        ),
        (
            "list: its table of children is in itself",
            lists(),
            own_table.into(),
            "the guest broke the ABI: `y.item`: offset is 30064771072, it must be 0",
        ),
        (
            "list: its child is the input's table of columns",
            lists(),
            shared.into(),
            "the guest broke the ABI: `y.item`: offset is 566798244118528, it must be 0",
        ),
        ("list: no child", lists(), count(0), "the guest broke the ABI: `y`: n_children is 0, 1 is required"),
        (
            "list: two children",
            lists(),
            count(2),
            "the guest broke the ABI: `y`: n_children is 2, 1 is required",
        ),
        (
            "list: greatest number of children",
            lists(),
            count(i64::MAX),
            "the guest broke the ABI: `y`: n_children is 9223372036854775807, 1 is required",
        ),
        (
            "list: children at null",
            lists(),
            children(0),
            "the guest broke the ABI: `y`: table of child pointers is a null pointer, 4 bytes are needed \
            there",
        ),
        (
            "list: children at the end",
            lists(),
            children(262_141),
            "the guest broke the ABI: `y`: table of child pointers at 0x3fffd with 4 bytes ends outside \
            the guest's memory of 262144 bytes",
        ),
        (
            "list: child at null",
            lists(),
            child(0),
            "the guest broke the ABI: `y.item`: ArrowArray is a null pointer, 64 bytes are needed there",
        ),
        (
            "list: child at the last byte",
            lists(),
            child(262_143),
            "the guest broke the ABI: `y.item`: ArrowArray at 0x3ffff with 64 bytes ends outside the \
            guest's memory of 262144 bytes",
        ),
        (
            "list: child wraps",
            lists(),
            child(u32::MAX),
            "the guest broke the ABI: `y.item`: ArrowArray at 0xffffffff with 64 bytes ends outside the \
            guest's memory of 262144 bytes",
        ),
        (
            "30 structs: the outermost is its own child",
            nested(30),
            parent.into(),
            "the guest broke the ABI: `y.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s.s`: \
            n_buffers is 1, 0 is required",
        ),
        (
            "30 structs: the table is in the struct",
            nested(30),
            own_table.into(),
            "the guest broke the ABI: `y.s`: offset is 30064771072, it must be 0",
        ),
        (
            "30 structs: a child at the greatest address",
            nested(30),
            child(u32::MAX),
            "the guest broke the ABI: `y.s`: ArrowArray at 0xffffffff with 64 bytes ends outside the \
            guest's memory of 262144 bytes",
        ),
    ];
    let case = |(what, column, changes, expected): (_, _, String, _)| {
        hostile_column(what, column, &changed(&changes), expected)
    };
    run(cases.into_iter().map(case).collect());
}

impl Case {
    /// The guest's `vivarium_free` can be called by itself, and fills what it is given.
    fn with_free(mut self) -> Self {
        self.guest.extra += "(func $free (param $pointer i32)
            (memory.fill (local.get $pointer) (i32.const 0xff) (i32.const 64)))";
        self
    }
}
