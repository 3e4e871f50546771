//! SQL and Arrow type spellings, read into Arrow fields.
//!
//! One parser for every place where a person or an engine writes a type as text: Databend's
//! provisioning requests, PostgreSQL-like names as RisingWave uses them, and Arrow's own names as
//! arrow-rs and pyarrow print them. Keywords are case-insensitive, white space does not matter.
//!
//! | written | becomes |
//! |---|---|
//! | `BOOLEAN` | Boolean |
//! | `TINYINT` / `INT8`, `SMALLINT` / `INT16` / `INT2`, `INT` / `INTEGER` / `INT32` / `INT4`, `BIGINT` / `INT64` | Int8 to Int64 |
//! | the same with `UNSIGNED`, or `UINT8` to `UINT64` | UInt8 to UInt64 |
//! | `FLOAT` / `REAL` / `FLOAT32` / `FLOAT4`, `DOUBLE [PRECISION]` / `FLOAT64` / `FLOAT8`, `FLOAT16` | Float32, Float64, Float16 |
//! | `VARCHAR[(n)]`, `STRING`, `TEXT`, `CHAR`, `UTF8`; `LARGE_STRING`; `STRING_VIEW` | Utf8; LargeUtf8; Utf8View |
//! | `BINARY`, `VARBINARY`, `BYTEA`; `LARGE_BINARY`; `FIXED_SIZE_BINARY[n]` | Binary; LargeBinary; FixedSizeBinary |
//! | `DECIMAL(p[, s])`, `NUMERIC(p[, s])`; `DECIMAL64(p, s)` and the like | Decimal128 to 38 digits, Decimal256 to 76; as named |
//! | `DATE`, `DATE64` | Date32, Date64 |
//! | `TIMESTAMP[(0..=6)]`, `DATETIME`; `TIMESTAMP(7..=9)`; `TIMESTAMP[ms, tz=UTC]` | Timestamp(µs); Timestamp(ns); as named |
//! | `TIMESTAMP_TZ`, `TIMESTAMPTZ`, `TIMESTAMP WITH TIME ZONE` | Timestamp(µs, UTC) |
//! | `TIME`, `DURATION[us]`, `INTERVAL` | Time64(µs), Duration(µs), Interval(month, day, nano) |
//! | `JSON`, `JSONB`, `VARIANT` | Utf8 with the extension name `arrow.json`; see the dialects |
//! | `UUID` | FixedSizeBinary(16) with the extension name `arrow.uuid` |
//! | `VECTOR(n)` | FixedSizeList of n Float32 |
//! | `BITMAP`, `GEOMETRY`, `GEOGRAPHY` | LargeBinary, in Databend's dialects only |
//! | `ARRAY(T)`, `T[]`, `LIST<T>`; `LARGE_LIST(T)`; `FIXED_SIZE_LIST(T, n)` | List; LargeList; FixedSizeList |
//! | `MAP(K, V)`, `MAP<K, V>` | Map |
//! | `TUPLE(T, ..)`, `TUPLE(name T, ..)`, `STRUCT<name T, ..>` | Struct; unnamed fields are called `1`, `2`, .. |
//!
//! `INT8` is the 8-bit integer of Databend and Arrow, not PostgreSQL's 8-byte one: write `BIGINT`.
//!
//! **Nullability.** `NULL` after a type makes it nullable, `NOT NULL` does not. Without either, a
//! type at the top and inside Databend's `ARRAY(..)`, `MAP(..)`, `TUPLE(..)` is not nullable, as
//! Databend means it; inside `<..>`, `T[]` and Arrow's `List(..)` and `Struct(..)` it is nullable,
//! as PostgreSQL and Arrow mean it. The keys of a map are never nullable.
//!
//! **Dialects.** The above is [`Dialect::Vivarium`]. What the others read otherwise:
//!
//! | | `Databend` | `DatabendUdf` | `ArrowUdf` |
//! |---|---|---|---|
//! | no mark at the top | not nullable | nullable | nullable |
//! | no mark in `ARRAY(..)`, `MAP(..)`, `TUPLE(..)` | not nullable | not nullable | nullable |
//! | `VARCHAR`, `BINARY` | Utf8, Binary | LargeUtf8, LargeBinary | Utf8, Binary |
//! | `DECIMAL(38, s)` | Decimal128 | Decimal256 | Decimal128 |
//! | `DECIMAL` | refused | refused | Utf8, named `arrowudf.decimal` |
//! | `JSON`, `VARIANT` | LargeBinary, `Extension` = Variant | the same | Utf8, named `arrowudf.json` |
//! | `VECTOR(n)` | `Extension` = Vector | the same; items nullable | as ours |
//! | `TIMESTAMP_TZ`, `INTERVAL` | Decimal128(38, 0), `Extension` = TimestampTz, Interval | as ours | as ours |

mod dialect;
mod display;
mod error;
mod guest;
mod lexer;
mod names;
mod parser;
#[cfg(test)]
mod tests;

pub use dialect::{
    ARROW_UDF_DECIMAL, ARROW_UDF_JSON, DATABEND_EXTENSION, Dialect, EXTENSION_NAME, JSON, UUID, Wide,
};
pub use display::{display, display_type};
pub use error::SqlTypeError;
pub use guest::{guest_field, guest_spec};

use arrow::datatypes::Field;

/// Longest type text that is read, in bytes.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Deepest nesting of containers (arrays, maps, tuples) in one type.
pub const MAX_DEPTH: usize = 32;

/// Reads one type, in the words of `dialect`, and returns it as a field called `name`.
///
/// The text may come from a stranger: it is bounded by [`MAX_TEXT_BYTES`] and [`MAX_DEPTH`], and
/// what an error repeats of it is short and free of control characters.
///
/// # Errors
/// Whatever does not fit the grammar of this module's documentation, with its position.
pub fn parse_field(name: &str, text: &str, dialect: Dialect) -> Result<Field, SqlTypeError> {
    Ok(parser::parse(text, dialect)?.into_field(name))
}
