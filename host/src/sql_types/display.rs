//! Fields as canonical type text, for messages and for other programs.

use std::fmt::Write as _;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use super::dialect::extension_name;

/// Writes a field's type the way [`parse_field`](super::parse_field) reads it back in the dialect
/// that the field was declared in: SQL names where there are any, Arrow's otherwise, with `NULL` or
/// `NOT NULL` at every level.
///
/// Types that cannot be declared (unions, dictionaries and the like) are written as arrow-rs does.
pub fn display(field: &Field) -> String {
    let mut text = String::new();
    write_field(&mut text, field);
    text
}

/// Like [`display`], without the mark at the top: for messages about a type alone.
pub fn display_type(field: &Field) -> String {
    let mut text = String::new();
    write_type(&mut text, field);
    text
}

fn write_field(text: &mut String, field: &Field) {
    write_type(text, field);
    if *field.data_type() != DataType::Null {
        text.push_str(if field.is_nullable() { " NULL" } else { " NOT NULL" });
    }
}

fn write_type(text: &mut String, field: &Field) {
    match (extension_name(field), field.data_type()) {
        // Writing to a String cannot fail.
        (Some(name), DataType::FixedSizeList(_, length)) => drop(write!(text, "{name}({length})")),
        (Some(name), _) => text.push_str(name),
        (None, data_type) => write_storage(text, data_type),
    }
}

fn write_storage(text: &mut String, data_type: &DataType) {
    let plain = match data_type {
        DataType::Null => "NULL",
        DataType::Boolean => "BOOLEAN",
        DataType::Int8 => "TINYINT",
        DataType::Int16 => "SMALLINT",
        DataType::Int32 => "INT",
        DataType::Int64 => "BIGINT",
        DataType::UInt8 => "UINT8",
        DataType::UInt16 => "UINT16",
        DataType::UInt32 => "UINT32",
        DataType::UInt64 => "UINT64",
        DataType::Float16 => "FLOAT16",
        DataType::Float32 => "FLOAT",
        DataType::Float64 => "DOUBLE",
        DataType::Utf8 => "VARCHAR",
        DataType::LargeUtf8 => "LARGE_STRING",
        DataType::Utf8View => "STRING_VIEW",
        DataType::Binary => "BINARY",
        DataType::LargeBinary => "LARGE_BINARY",
        DataType::BinaryView => "BINARY_VIEW",
        DataType::Date32 => "DATE",
        DataType::Date64 => "DATE64",
        DataType::Timestamp(TimeUnit::Microsecond, None) => "TIMESTAMP",
        // `TIMESTAMP_TZ` is a type of the engine's own where types are the engine's.
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => {
            "TIMESTAMP WITH TIME ZONE"
        }
        DataType::Time64(TimeUnit::Microsecond) => "TIME",
        DataType::Interval(IntervalUnit::MonthDayNano) => "INTERVAL",
        _ => return write_parameterised(text, data_type),
    };
    text.push_str(plain);
}

fn write_parameterised(text: &mut String, data_type: &DataType) {
    // Writing to a String cannot fail.
    let _ = match data_type {
        DataType::Decimal32(precision, scale) => write!(text, "DECIMAL32({precision}, {scale})"),
        DataType::Decimal64(precision, scale) => write!(text, "DECIMAL64({precision}, {scale})"),
        // Which of them `DECIMAL` means depends on the dialect at 38 digits.
        DataType::Decimal128(precision, scale) if *scale < 0 || *precision == 38 => {
            write!(text, "DECIMAL128({precision}, {scale})")
        }
        DataType::Decimal256(precision, scale) if *scale < 0 || *precision <= 38 => {
            write!(text, "DECIMAL256({precision}, {scale})")
        }
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            write!(text, "DECIMAL({precision}, {scale})")
        }
        DataType::FixedSizeBinary(width) => write!(text, "FIXED_SIZE_BINARY({width})"),
        DataType::Timestamp(unit, None) => write!(text, "TIMESTAMP({})", unit_name(*unit)),
        DataType::Timestamp(unit, Some(zone)) => {
            write!(text, "TIMESTAMP({}, {})", unit_name(*unit), quoted(zone))
        }
        DataType::Time32(unit) => write!(text, "TIME32({})", unit_name(*unit)),
        DataType::Time64(unit) => write!(text, "TIME64({})", unit_name(*unit)),
        DataType::Duration(unit) => write!(text, "DURATION({})", unit_name(*unit)),
        DataType::Interval(unit) => write!(text, "INTERVAL({unit:?})"),
        DataType::List(item) => write_list(text, "LIST", item),
        DataType::LargeList(item) => write_list(text, "LARGE_LIST", item),
        DataType::FixedSizeList(item, length) => {
            let _ = write_list(text, "FIXED_SIZE_LIST", item);
            write!(text, "[{length}]")
        }
        DataType::Map(entries, _) => {
            text.push_str("MAP<");
            if let DataType::Struct(fields) = entries.data_type() {
                write_separated(text, fields.iter().map(|field| (None, &**field)));
            }
            text.write_char('>')
        }
        DataType::Struct(fields) => {
            text.push_str("STRUCT<");
            write_separated(text, fields.iter().map(|field| (Some(field.name().as_str()), &**field)));
            text.write_char('>')
        }
        other => write!(text, "{other}"),
    };
}

fn write_list(text: &mut String, name: &str, item: &Field) -> std::fmt::Result {
    text.push_str(name);
    text.push('<');
    if item.name() != Field::LIST_FIELD_DEFAULT_NAME {
        let _ = write!(text, "{}: ", name_of(item.name(), true));
    }
    write_field(text, item);
    text.write_char('>')
}

fn write_separated<'a>(text: &mut String, fields: impl Iterator<Item = (Option<&'a str>, &'a Field)>) {
    for (index, (name, field)) in fields.enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        if let Some(name) = name {
            // `a NULL` would read as a nullable type called `a` where there is one.
            let _ = write!(text, "{} ", name_of(name, *field.data_type() != DataType::Null));
        }
        write_field(text, field);
    }
}

/// A field's name, in quotes where the parser would not read it back without.
fn name_of(name: &str, plain_allowed: bool) -> String {
    if plain_allowed && is_plain(name) { name.to_owned() } else { quoted(name) }
}

/// Whether the parser reads `name` back as a name without quotes.
fn is_plain(name: &str) -> bool {
    let number = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
    let word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.eq_ignore_ascii_case("nullable");
    number || word
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}
