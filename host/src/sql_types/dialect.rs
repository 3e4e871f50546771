//! Whose words a type is written in, and what its words mean there.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

/// Key of a field's metadata by which Arrow names an extension type.
pub const EXTENSION_NAME: &str = "ARROW:extension:name";

/// Key of a field's metadata by which Databend names an extension type.
pub const DATABEND_EXTENSION: &str = "Extension";

/// Key beside [`DATABEND_EXTENSION`] that `databend_udf` gives a vector's length in.
const VECTOR_SIZE: &str = "vector_size";

/// Any value that JSON can say, as text: Arrow's canonical name.
pub const JSON: &str = "arrow.json";
/// A UUID in 16 bytes: Arrow's canonical name.
pub const UUID: &str = "arrow.uuid";
/// JSON as `arrow_udf` calls it.
pub const ARROW_UDF_JSON: &str = "arrowudf.json";
/// A decimal of any precision as text, as `arrow_udf` calls it.
pub const ARROW_UDF_DECIMAL: &str = "arrowudf.decimal";

/// Databend's name of a moment with an offset.
const TIMESTAMP_TZ: &str = "TimestampTz";
/// Databend's name of months, days and microseconds.
const INTERVAL: &str = "Interval";
/// What Databend's engine sends both as.
const WIDE: DataType = DataType::Decimal128(38, 0);

/// A type of Databend's that its engine sends as 128-bit numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wide {
    /// `TIMESTAMP_TZ`: microseconds in the lower 64 bits, the offset in seconds above them.
    TimestampTz,
    /// `INTERVAL`: microseconds in the lower 64 bits, days in 32 bits above them, months above those.
    Interval,
}

impl Wide {
    /// Which of them a field is, if it is one.
    pub fn of(field: &Field) -> Option<Self> {
        match (field.metadata().get(DATABEND_EXTENSION)?.as_str(), field.data_type()) {
            (TIMESTAMP_TZ, &WIDE) => Some(Self::TimestampTz),
            (INTERVAL, &WIDE) => Some(Self::Interval),
            _ => None,
        }
    }

    /// The type by which the sandbox knows its values.
    pub fn guest_type(self) -> DataType {
        match self {
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        }
    }
}

/// Metadata of a field.
pub(super) type Metadata = HashMap<String, String>;

/// Whose words a type is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Our own: SQL and Arrow spellings together, extension types by Arrow's canonical names.
    #[default]
    Vivarium,
    /// What Databend's engine writes when it provisions a function.
    Databend,
    /// What the decorators of `databend_udf` take: a type without a mark is nullable at the top,
    /// and text and bytes have 64-bit offsets.
    DatabendUdf,
    /// What the decorators of `arrow_udf` take: every type without a mark is nullable.
    ArrowUdf,
}

/// A type with the metadata that makes it more than its storage.
pub(super) type Extended = (DataType, Metadata);

impl Dialect {
    /// Every dialect.
    #[cfg(test)]
    pub(super) const ALL: [Dialect; 4] =
        [Dialect::Vivarium, Dialect::Databend, Dialect::DatabendUdf, Dialect::ArrowUdf];

    fn is_databend(self) -> bool {
        matches!(self, Self::Databend | Self::DatabendUdf)
    }

    /// Whether a type at the top is nullable when nothing is said about it.
    pub(super) fn nullable_at_top(self) -> bool {
        matches!(self, Self::DatabendUdf | Self::ArrowUdf)
    }

    /// The same inside of Databend's containers: `ARRAY(..)`, `MAP(..)`, `TUPLE(..)`.
    pub(super) fn nullable_inside(self) -> bool {
        self == Self::ArrowUdf
    }

    /// `VARCHAR` and its like.
    pub(super) fn text(self) -> DataType {
        if self == Self::DatabendUdf { DataType::LargeUtf8 } else { DataType::Utf8 }
    }

    /// `BINARY` and its like.
    pub(super) fn bytes(self) -> DataType {
        if self == Self::DatabendUdf { DataType::LargeBinary } else { DataType::Binary }
    }

    /// Most digits of a `DECIMAL(p, s)` of 128 bits.
    pub(super) fn narrow_decimal_digits(self) -> u8 {
        if self == Self::DatabendUdf { 37 } else { 38 }
    }

    /// `JSON`, `VARIANT`.
    pub(super) fn json(self) -> Extended {
        match self {
            Self::Vivarium => (DataType::Utf8, arrow(JSON)),
            Self::Databend | Self::DatabendUdf => (DataType::LargeBinary, databend("Variant")),
            Self::ArrowUdf => (DataType::Utf8, arrow(ARROW_UDF_JSON)),
        }
    }

    /// `UUID`.
    pub(super) fn uuid(self) -> Extended {
        (DataType::FixedSizeBinary(16), arrow(UUID))
    }

    /// `DECIMAL` without a precision, where there is such a type.
    pub(super) fn text_decimal(self) -> Option<Extended> {
        (self == Self::ArrowUdf).then(|| (DataType::Utf8, arrow(ARROW_UDF_DECIMAL)))
    }

    /// `VECTOR(n)`.
    pub(super) fn vector(self, length: i32) -> Extended {
        let item = Field::new_list_field(DataType::Float32, self == Self::DatabendUdf);
        let mut metadata = Metadata::new();
        if self.is_databend() {
            metadata = databend("Vector");
        }
        if self == Self::DatabendUdf {
            metadata.insert(VECTOR_SIZE.to_owned(), length.to_string());
        }
        (DataType::FixedSizeList(item.into(), length), metadata)
    }

    /// `TIMESTAMP_TZ`: the engine's own form, where types are the engine's.
    pub(super) fn timestamp_tz(self) -> Extended {
        match self {
            Self::Databend => (WIDE, databend(TIMESTAMP_TZ)),
            _ => (DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), Metadata::new()),
        }
    }

    /// `INTERVAL`, in the same way.
    pub(super) fn interval(self) -> Extended {
        match self {
            Self::Databend => (WIDE, databend(INTERVAL)),
            _ => (DataType::Interval(IntervalUnit::MonthDayNano), Metadata::new()),
        }
    }

    /// A type of Databend's that only its name tells from bytes.
    pub(super) fn databend_bytes(self, name: &str) -> Option<Extended> {
        self.is_databend().then(|| (DataType::LargeBinary, databend(name)))
    }
}

impl From<vivarium_runtime::Dialect> for Dialect {
    fn from(declared: vivarium_runtime::Dialect) -> Self {
        match declared {
            vivarium_runtime::Dialect::Vivarium => Self::Vivarium,
            vivarium_runtime::Dialect::DatabendUdf => Self::DatabendUdf,
            vivarium_runtime::Dialect::ArrowUdf => Self::ArrowUdf,
        }
    }
}

/// The name that a field's metadata gives its type, as every dialect writes it.
pub(super) fn extension_name(field: &Field) -> Option<&'static str> {
    let metadata = field.metadata();
    match (metadata.get(EXTENSION_NAME).map(String::as_str), field.data_type()) {
        (Some(JSON | ARROW_UDF_JSON), DataType::Utf8) => return Some("JSON"),
        (Some(UUID), DataType::FixedSizeBinary(16)) => return Some("UUID"),
        (Some(ARROW_UDF_DECIMAL), DataType::Utf8) => return Some("DECIMAL"),
        _ => {}
    }
    match (metadata.get(DATABEND_EXTENSION)?.as_str(), field.data_type()) {
        ("Variant", DataType::LargeBinary) => Some("VARIANT"),
        ("Bitmap", DataType::LargeBinary) => Some("BITMAP"),
        ("Geometry", DataType::LargeBinary) => Some("GEOMETRY"),
        ("Geography", DataType::LargeBinary) => Some("GEOGRAPHY"),
        ("Vector", DataType::FixedSizeList(..)) => Some("VECTOR"),
        (TIMESTAMP_TZ, &WIDE) => Some("TIMESTAMP_TZ"),
        (INTERVAL, &WIDE) => Some("INTERVAL"),
        _ => None,
    }
}

fn arrow(name: &str) -> Metadata {
    [(EXTENSION_NAME.to_owned(), name.to_owned())].into()
}

fn databend(name: &str) -> Metadata {
    [(DATABEND_EXTENSION.to_owned(), name.to_owned())].into()
}
