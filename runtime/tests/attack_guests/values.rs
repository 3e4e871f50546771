//! Results whose values are none (39), or are too many (41).

use arrow::array::ArrayRef;

use crate::harness::{hostile_column, lists, run, text};
use crate::results::{LENGTH, NULL_COUNT, OFFSET, changed};

#[test]
fn attack_39_values_that_are_none() {
    // Offsets of the lists: 0 0 1 3 3 4 6 6; of the text: 0 0 2 6 12 20 30 42.
    let offset = |index: u32, value: i32| {
        changed(&format!(
            "(i32.store offset={} (i32.load offset=4 (i32.load offset=40 (local.get $output)))
                (i32.const {value}))",
            4 * index
        ))
    };
    let byte = |index: u32, value: u32| {
        changed(&format!(
            "(i32.store8 offset={index} (i32.load offset=8 (i32.load offset=40 (local.get $output)))
                (i32.const {value}))"
        ))
    };
    let child = |offset: u32, value: i64| {
        changed(&format!(
            "(i64.store offset={offset} (i32.load (i32.load offset=44 (local.get $output)))
                (i64.const {value}))"
        ))
    };
    let cases: Vec<(&str, ArrayRef, String, &str)> = vec![
        (
            "list: last offset negative",
            lists(),
            offset(7, -1),
            "the guest broke the ABI: `y`: the last offset is -1",
        ),
        (
            "list: last offset greatest",
            lists(),
            offset(7, i32::MAX),
            "the guest broke the ABI: `y.item`: length is 6, at least 2147483647 is required",
        ),
        (
            "list: last offset beyond the child",
            lists(),
            offset(7, 7),
            "the guest broke the ABI: `y.item`: length is 6, at least 7 is required",
        ),
        (
            "list: offsets decrease",
            lists(),
            offset(3, 1000),
            "the guest broke the ABI: `y`: Invalid argument error: Offset invariant failure: offset at \
            position 3 out of bounds: 1000 > 6",
        ),
        (
            "list: first offset negative",
            lists(),
            offset(0, -5),
            "the guest broke the ABI: `y`: Invalid argument error: Error converting offset[0] (-5) to \
            usize for List(Int64)",
        ),
        (
            "list: child's length is negative",
            lists(),
            child(LENGTH, -1),
            "the guest broke the ABI: `y.item`: length is -1, at least 6 is required",
        ),
        ("list: child's length is greatest", lists(), child(LENGTH, i64::MAX), "ok: 7 rows of List(Int64)"),
        (
            "list: child's offset",
            lists(),
            child(OFFSET, 1),
            "the guest broke the ABI: `y.item`: offset is 1, it must be 0",
        ),
        (
            "list: child's null_count",
            lists(),
            child(NULL_COUNT, i64::MAX),
            "the guest broke the ABI: `y.item`: null_count is 9223372036854775807, it must be -1 or 0 to 6",
        ),
        (
            "text: last offset negative",
            text(),
            offset(7, i32::MIN),
            "the guest broke the ABI: `y`: the last offset is -2147483648",
        ),
        (
            "text: last offset beyond memory",
            text(),
            offset(7, i32::MAX),
            "the guest broke the ABI: `y`: data buffer at 0x202c0 with 2147483647 bytes ends outside the \
            guest's memory of 262144 bytes",
        ),
        (
            "text: offsets decrease",
            text(),
            offset(4, 2),
            "the guest broke the ABI: `y`: Invalid argument error: Offset invariant failure: non-monotonic \
            offset at slot 3: 6 > 2",
        ),
        (
            "text: an offset inside a character",
            text(),
            offset(2, 1),
            "the guest broke the ABI: `y`: Invalid argument error: incomplete utf-8 byte sequence from \
            index 1",
        ),
        (
            "text: a byte that is never UTF-8",
            text(),
            byte(0, 0xff),
            "the guest broke the ABI: `y`: Invalid argument error: Invalid UTF8 sequence at string index 1 \
            (0..2): invalid utf-8 sequence of 1 bytes from index 0",
        ),
        (
            "text: half a character at the end",
            text(),
            byte(41, 0xc3),
            "the guest broke the ABI: `y`: Invalid argument error: Invalid UTF8 sequence at string index 6 \
            (30..42): invalid utf-8 sequence of 1 bytes from index 10",
        ),
        (
            "text: a surrogate",
            text(),
            byte(0, 0xed),
            "the guest broke the ABI: `y`: Invalid argument error: Invalid UTF8 sequence at string index 1 \
            (0..2): incomplete utf-8 byte sequence from index 0",
        ),
    ];
    let case =
        |(what, column, body, expected): (_, _, String, _)| hostile_column(what, column, &body, expected);
    run(cases.into_iter().map(case).collect());
}

#[test]
fn attack_41_results_beyond_the_limits() {
    let last = |value: i32| {
        changed(&format!(
            "(i32.store offset=28 (i32.load offset=4 (i32.load offset=40 (local.get $output)))
                (i32.const {value}))"
        ))
    };
    let everywhere = changed(
        "(i32.store offset=8 (i32.load offset=40 (local.get $output)) (i32.const 64))
        (i32.store offset=28 (i32.load offset=4 (i32.load offset=40 (local.get $output)))
            (i32.const 262000))",
    );
    run(vec![
        hostile_column(
            "text as large as memory",
            text(),
            &everywhere,
            "output_bytes: the result needs 262032 bytes, 65536 are allowed",
        ),
        hostile_column(
            "text one byte too large",
            text(),
            &last((64 << 10) - 31),
            "output_bytes: the result needs 65537 bytes, 65536 are allowed",
        ),
        hostile_column("text within the limit", text(), &last(42), "ok: 7 rows of Utf8"),
        hostile_column(
            "a list of more values than memory has bytes",
            lists(),
            &last(0x1000_0000),
            "the guest broke the ABI: `y.item`: length is 6, at least 268435456 is required",
        ),
    ]);
}
