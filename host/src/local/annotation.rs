//! Python annotations and Arrow types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};

use super::describe::Annotation;

/// The Arrow type of values that a function annotated with `annotation` returns, and whether None
/// is among them. Nothing where the annotation does not settle the type.
pub(super) fn result_type(annotation: &Annotation) -> Option<(DataType, bool)> {
    let data_type = match (annotation.name.as_deref()?, annotation.arguments.as_slice()) {
        ("Optional", [inner]) => return result_type(inner).map(|(data_type, _)| (data_type, true)),
        ("Union", members) => return union_type(members),
        ("Annotated", [inner, ..]) => return result_type(inner),
        ("None", []) => return Some((DataType::Null, true)),
        ("bool", []) => DataType::Boolean,
        ("int", []) => DataType::Int64,
        ("float", []) => DataType::Float64,
        ("str", []) => DataType::Utf8,
        ("bytes" | "bytearray", []) => DataType::Binary,
        ("date", []) => DataType::Date32,
        ("datetime", []) => DataType::Timestamp(TimeUnit::Microsecond, None),
        ("time", []) => DataType::Time64(TimeUnit::Microsecond),
        ("timedelta", []) => DataType::Duration(TimeUnit::Microsecond),
        ("list" | "List" | "Sequence", [item]) => {
            let (item, nullable) = result_type(item)?;
            DataType::List(Arc::new(Field::new_list_field(item, nullable)))
        }
        ("dict" | "Dict" | "Mapping", [key, value]) => {
            let (key, key_nullable) = result_type(key)?;
            let (value, nullable) = result_type(value)?;
            if key_nullable {
                return None;
            }
            let fields = vec![Field::new("key", key, false), Field::new("value", value, nullable)];
            let entries = Field::new("entries", DataType::Struct(Fields::from(fields)), false);
            DataType::Map(Arc::new(entries), false)
        }
        _ => return None,
    };
    Some((data_type, false))
}

/// `X | None`, nested as Python's parser nests it: `(X | None) | Y` is not one type.
fn union_type(members: &[Annotation]) -> Option<(DataType, bool)> {
    let mut known: Option<(DataType, bool)> = None;
    for member in members {
        let (data_type, nullable) = result_type(member)?;
        known = Some(match known {
            None => (data_type, nullable),
            Some((known, known_nullable)) if data_type == DataType::Null || data_type == known => {
                (known, known_nullable || nullable)
            }
            Some((DataType::Null, _)) => (data_type, true),
            Some(_) => return None,
        });
    }
    known
}

/// Whether a value of an Arrow type can be meant by a parameter annotated with `annotation`.
/// Annotations that are not understood accept everything.
pub(super) fn accepts(annotation: &Annotation, data_type: &DataType) -> bool {
    let Some(name) = annotation.name.as_deref() else {
        return true;
    };
    match data_type {
        DataType::Dictionary(_, value) => return accepts(annotation, value),
        DataType::RunEndEncoded(_, values) => return accepts(annotation, values.data_type()),
        DataType::Null => return true,
        _ => {}
    }
    let is_decimal = matches!(
        data_type,
        DataType::Decimal32(..)
            | DataType::Decimal64(..)
            | DataType::Decimal128(..)
            | DataType::Decimal256(..)
    );
    match name {
        "Optional" | "Union" | "Annotated" => annotation
            .arguments
            .iter()
            .filter(|argument| argument.name.as_deref() != Some("None"))
            .any(|argument| accepts(argument, data_type)),
        "bool" => *data_type == DataType::Boolean,
        "int" => data_type.is_integer() || matches!(data_type, DataType::Interval(_) | DataType::Boolean),
        "float" => data_type.is_integer() || data_type.is_floating(),
        "Decimal" => is_decimal,
        "str" => matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
        "bytes" => matches!(
            data_type,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)
        ),
        "date" => matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)),
        "datetime" => matches!(data_type, DataType::Timestamp(..)),
        "time" => matches!(data_type, DataType::Time32(_) | DataType::Time64(_)),
        "timedelta" => matches!(data_type, DataType::Duration(_)),
        "list" | "List" => matches!(
            data_type,
            DataType::List(_)
                | DataType::LargeList(_)
                | DataType::ListView(_)
                | DataType::LargeListView(_)
                | DataType::FixedSizeList(..)
        ),
        "dict" | "Dict" => matches!(data_type, DataType::Map(..) | DataType::Struct(_)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(name: &str) -> Annotation {
        generic(name, &[])
    }

    fn generic(name: &str, arguments: &[Annotation]) -> Annotation {
        Annotation { text: name.to_owned(), name: Some(name.to_owned()), arguments: arguments.to_vec() }
    }

    #[test]
    fn results_follow_the_annotation() {
        let optional_int = generic("Union", &[plain("int"), plain("None")]);
        assert_eq!(result_type(&plain("int")), Some((DataType::Int64, false)));
        assert_eq!(result_type(&optional_int), Some((DataType::Int64, true)));
        assert_eq!(
            result_type(&generic("Union", &[plain("None"), plain("str")])),
            Some((DataType::Utf8, true))
        );
        assert_eq!(result_type(&generic("Optional", &[plain("date")])), Some((DataType::Date32, true)));
        assert_eq!(result_type(&generic("Union", &[plain("int"), plain("str")])), None);
        assert_eq!(
            result_type(&generic("list", std::slice::from_ref(&optional_int))),
            Some((DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true))), false))
        );
        assert_eq!(result_type(&generic("dict", &[optional_int, plain("int")])), None);
        for open in ["Decimal", "Any", "object", "list", "ndarray"] {
            assert_eq!(result_type(&plain(open)), None, "{open}");
        }
    }

    #[test]
    fn parameters_accept_what_they_can_mean() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let words = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        assert!(accepts(&plain("int"), &DataType::UInt8));
        assert!(!accepts(&plain("int"), &DataType::Utf8));
        assert!(!accepts(&plain("int"), &DataType::Float64));
        assert!(accepts(&plain("float"), &DataType::Int64));
        assert!(accepts(&plain("str"), &words));
        assert!(!accepts(&plain("bytes"), &words));
        assert!(accepts(&plain("datetime"), &utc));
        assert!(accepts(&generic("Union", &[plain("int"), plain("None")]), &DataType::Int8));
        assert!(!accepts(&generic("Optional", &[plain("int")]), &DataType::Utf8));
        assert!(accepts(&plain("Whatever"), &DataType::Utf8));
        assert!(accepts(&plain("int"), &DataType::Null));
    }
}
