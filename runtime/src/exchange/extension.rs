//! Extension types: fields whose metadata gives their values another meaning than their type.
//!
//! The guest knows three, by the names below. Other systems' names for the same are translated; any
//! other extension crosses as what it is stored as. Results come back as their storage, and the declared
//! field, with its metadata, says what they are.

use arrow::datatypes::{DataType, Field};

use super::types::value_type;

/// Metadata key of Arrow's extension names.
pub(super) const NAME_KEY: &str = "ARROW:extension:name";

/// Metadata key of Databend's.
const DATABEND_KEY: &str = "Extension";

/// JSON text.
const JSON: &str = "arrow.json";
/// 16 bytes.
const UUID: &str = "arrow.uuid";
/// A decimal number of any precision, as text.
const DECIMAL: &str = "arrowudf.decimal";

/// The guest's name for the extension of `field`, if the guest has to know it; an error with the name that
/// the field gives if its type cannot store the extension.
pub(super) fn guest_name(field: &Field) -> Result<Option<&'static str>, String> {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary, LargeUtf8, Utf8, Utf8View};
    let metadata = field.metadata();
    let (given, known) = match (metadata.get(NAME_KEY), metadata.get(DATABEND_KEY)) {
        (Some(name), _) => match name.as_str() {
            "arrow.json" | "arrowudf.json" => (name, JSON),
            "arrow.uuid" => (name, UUID),
            "arrowudf.decimal" => (name, DECIMAL),
            _ => return Ok(None),
        },
        (None, Some(name)) if name == "Variant" => (name, JSON),
        _ => return Ok(None),
    };
    let storage = value_type(field.data_type());
    let text = matches!(storage, Utf8 | LargeUtf8 | Utf8View);
    let stores = match known {
        JSON => text || matches!(storage, Binary | LargeBinary | BinaryView),
        UUID => matches!(storage, FixedSizeBinary(16)),
        _ => text,
    };
    if stores { Ok(Some(known)) } else { Err(given.clone()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(data_type: DataType, key: &str, value: &str) -> Result<Option<&'static str>, String> {
        let metadata = [(key.to_owned(), value.to_owned())].into_iter().collect();
        guest_name(&Field::new("x", data_type, true).with_metadata(metadata))
    }

    #[test]
    fn dialects_become_the_names_that_the_guest_knows() {
        for (data_type, key, value, expected) in [
            (DataType::Utf8, NAME_KEY, "arrow.json", Some(JSON)),
            (DataType::LargeUtf8, NAME_KEY, "arrowudf.json", Some(JSON)),
            (DataType::LargeBinary, DATABEND_KEY, "Variant", Some(JSON)),
            (DataType::FixedSizeBinary(16), NAME_KEY, "arrow.uuid", Some(UUID)),
            (DataType::Utf8View, NAME_KEY, "arrowudf.decimal", Some(DECIMAL)),
            (DataType::Int64, NAME_KEY, "arrow.opaque", None),
            (DataType::LargeBinary, DATABEND_KEY, "Bitmap", None),
            (DataType::Utf8, "key", "arrow.json", None),
        ] {
            assert_eq!(name(data_type, key, value), Ok(expected), "{key} {value}");
        }
    }

    #[test]
    fn an_extension_needs_its_storage() {
        for (data_type, key, value) in [
            (DataType::Int64, NAME_KEY, "arrow.json"),
            (DataType::FixedSizeBinary(15), NAME_KEY, "arrow.uuid"),
            (DataType::Binary, NAME_KEY, "arrowudf.decimal"),
            (DataType::Float64, DATABEND_KEY, "Variant"),
        ] {
            assert_eq!(name(data_type, key, value), Err(value.to_owned()));
        }
    }
}
