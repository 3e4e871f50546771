//! The words that name a type, in every spelling that is understood.

use arrow::datatypes::{DataType, IntervalUnit};

/// What a word means once it has been looked up.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Named {
    /// A complete type.
    Plain(DataType),
    /// A signed integer, which `UNSIGNED` may follow.
    Integer(DataType),
    /// Text whose declared length, `(n)`, does not change the type; `VARYING` may follow.
    Text,
    /// Bytes, the same way.
    Bytes,
    /// `JSON`, `VARIANT`.
    Json,
    /// `UUID`.
    Uuid,
    /// `VECTOR(n)`.
    Vector,
    /// Bytes that Databend tells apart by a name.
    DatabendBytes {
        /// The type's usual spelling.
        name: &'static str,
        /// Databend's name.
        extension: &'static str,
        /// What to do instead in other dialects.
        hint: &'static str,
    },
    /// `DOUBLE [PRECISION]`.
    Double,
    /// `TIMESTAMP ..`.
    Timestamp,
    /// `TIMESTAMP_TZ`.
    TimestampTz,
    /// `TIME ..`.
    Time,
    /// `DATE32[day]`, `DATE64[ms]`.
    Date(DataType),
    /// `TIME32[unit]`: 32-bit or 64-bit.
    SizedTime(TimeWidth),
    /// `DURATION[unit]`.
    Duration,
    /// `INTERVAL[(unit)]`.
    Interval,
    /// `DECIMAL(p, s)`, stored in the given width or in the smallest of 128 and 256 bits.
    Decimal(Option<DecimalWidth>),
    /// `FIXED_SIZE_BINARY[n]`.
    FixedSizeBinary,
    /// `ARRAY(T)`: Databend's container.
    Array,
    /// `LIST<T>`: Arrow's container.
    List,
    /// `LARGE_LIST<T>`.
    LargeList,
    /// `FIXED_SIZE_LIST<T>[n]`.
    FixedSizeList,
    /// `MAP(K, V)`.
    Map,
    /// `TUPLE(T, ..)`: Databend's container.
    Tuple,
    /// `STRUCT<name T, ..>`.
    Struct,
    /// `NULLABLE(T)`.
    Nullable,
    /// Known to a dialect, without a Python value yet.
    NotSupported {
        /// The type's usual spelling.
        name: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
}

/// Bits of a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeWidth {
    /// Seconds or milliseconds.
    Bits32,
    /// Microseconds or nanoseconds.
    Bits64,
}

/// Bits of a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DecimalWidth {
    /// Up to 9 digits.
    Bits32,
    /// Up to 18 digits.
    Bits64,
    /// Up to 38 digits.
    Bits128,
    /// Up to 76 digits.
    Bits256,
}

impl DecimalWidth {
    /// Digits that always fit.
    pub(super) fn max_precision(self) -> u8 {
        match self {
            Self::Bits32 => 9,
            Self::Bits64 => 18,
            Self::Bits128 => 38,
            Self::Bits256 => 76,
        }
    }
}

/// Spellings offered when a word is close to one of them.
const COMMON: &[&str] = &[
    "ARRAY",
    "BIGINT",
    "BINARY",
    "BOOLEAN",
    "DATE",
    "DATETIME",
    "DECIMAL",
    "DOUBLE",
    "DURATION",
    "FLOAT",
    "FLOAT32",
    "FLOAT64",
    "INT",
    "INTEGER",
    "INTERVAL",
    "JSON",
    "MAP",
    "NUMERIC",
    "SMALLINT",
    "STRING",
    "STRUCT",
    "TEXT",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_TZ",
    "TINYINT",
    "TUPLE",
    "UINT32",
    "UINT64",
    "UUID",
    "VARBINARY",
    "VARCHAR",
    "VARIANT",
    "VECTOR",
];

const AS_TEXT: &str = "pass it as well-known text, VARCHAR";

fn databend_bytes(name: &'static str, extension: &'static str, hint: &'static str) -> Named {
    Named::DatabendBytes { name, extension, hint }
}

/// Looks a word up; case and underscores do not matter.
pub(super) fn lookup(word: &str) -> Option<Named> {
    let key: String = word.chars().filter(|c| *c != '_').map(|c| c.to_ascii_uppercase()).collect();
    let named = match key.as_str() {
        "NULL" => Named::Plain(DataType::Null),
        "BOOLEAN" | "BOOL" => Named::Plain(DataType::Boolean),
        "TINYINT" | "INT8" => Named::Integer(DataType::Int8),
        "SMALLINT" | "INT16" | "INT2" => Named::Integer(DataType::Int16),
        "INT" | "INTEGER" | "INT32" | "INT4" => Named::Integer(DataType::Int32),
        "BIGINT" | "INT64" => Named::Integer(DataType::Int64),
        "UINT8" => Named::Plain(DataType::UInt8),
        "UINT16" => Named::Plain(DataType::UInt16),
        "UINT32" => Named::Plain(DataType::UInt32),
        "UINT64" => Named::Plain(DataType::UInt64),
        "FLOAT16" | "HALFFLOAT" | "HALF" => Named::Plain(DataType::Float16),
        "FLOAT" | "REAL" | "FLOAT32" | "FLOAT4" => Named::Plain(DataType::Float32),
        "FLOAT64" | "FLOAT8" => Named::Plain(DataType::Float64),
        "DOUBLE" => Named::Double,
        "VARCHAR" | "STRING" | "TEXT" | "UTF8" | "CHAR" | "CHARACTER" | "STR" => Named::Text,
        "LARGEUTF8" | "LARGESTRING" => Named::Plain(DataType::LargeUtf8),
        "UTF8VIEW" | "STRINGVIEW" => Named::Plain(DataType::Utf8View),
        "BINARY" | "VARBINARY" | "BYTEA" | "BYTES" => Named::Bytes,
        "LARGEBINARY" => Named::Plain(DataType::LargeBinary),
        "BINARYVIEW" => Named::Plain(DataType::BinaryView),
        "FIXEDSIZEBINARY" => Named::FixedSizeBinary,
        "DECIMAL" | "NUMERIC" => Named::Decimal(None),
        "DECIMAL32" => Named::Decimal(Some(DecimalWidth::Bits32)),
        "DECIMAL64" => Named::Decimal(Some(DecimalWidth::Bits64)),
        "DECIMAL128" => Named::Decimal(Some(DecimalWidth::Bits128)),
        "DECIMAL256" => Named::Decimal(Some(DecimalWidth::Bits256)),
        "DATE" | "DATE32" => Named::Date(DataType::Date32),
        "DATE64" => Named::Date(DataType::Date64),
        "TIMESTAMP" | "DATETIME" => Named::Timestamp,
        "TIMESTAMPTZ" => Named::TimestampTz,
        "TIME" => Named::Time,
        "TIME32" => Named::SizedTime(TimeWidth::Bits32),
        "TIME64" => Named::SizedTime(TimeWidth::Bits64),
        "DURATION" => Named::Duration,
        "INTERVAL" => Named::Interval,
        "MONTHDAYNANOINTERVAL" => Named::Plain(DataType::Interval(IntervalUnit::MonthDayNano)),
        "ARRAY" => Named::Array,
        "LIST" => Named::List,
        "LARGELIST" => Named::LargeList,
        "FIXEDSIZELIST" => Named::FixedSizeList,
        "MAP" => Named::Map,
        "TUPLE" => Named::Tuple,
        "STRUCT" => Named::Struct,
        "NULLABLE" => Named::Nullable,
        "JSON" | "JSONB" | "VARIANT" => Named::Json,
        "UUID" => Named::Uuid,
        "VECTOR" => Named::Vector,
        "BITMAP" => databend_bytes("BITMAP", "Bitmap", "use ARRAY(UINT64)"),
        "GEOMETRY" => databend_bytes("GEOMETRY", "Geometry", AS_TEXT),
        "GEOGRAPHY" => databend_bytes("GEOGRAPHY", "Geography", AS_TEXT),
        "DICTIONARY" => Named::NotSupported { name: "DICTIONARY", hint: "use the type of its values" },
        "RUNENDENCODED" => {
            Named::NotSupported { name: "RUN_END_ENCODED", hint: "use the type of its values" }
        }
        "UNION" | "DENSEUNION" | "SPARSEUNION" => {
            Named::NotSupported { name: "UNION", hint: "use one nullable parameter for each variant" }
        }
        "LISTVIEW" | "LARGELISTVIEW" => Named::NotSupported { name: "LIST_VIEW", hint: "use LIST" },
        _ => return None,
    };
    Some(named)
}

/// The common spelling that `word` most resembles, if it resembles one.
pub(super) fn suggestion(word: &str) -> Option<&'static str> {
    const MAX_COMPARED_BYTES: usize = 32;
    if word.len() > MAX_COMPARED_BYTES {
        return None;
    }
    let word = word.to_ascii_uppercase();
    COMMON
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&word, name), *name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= 2 && *distance * 2 < name.len())
        .map(|(_, name)| name)
}

/// Whether `word` may follow a type rather than start one: then the word before it is a type and
/// not the name of a tuple's field.
pub(super) fn follows_a_type(word: &str) -> bool {
    ["NULL", "NOT", "UNSIGNED", "PRECISION", "VARYING", "WITH", "WITHOUT"]
        .iter()
        .any(|keyword| word.eq_ignore_ascii_case(keyword))
}
