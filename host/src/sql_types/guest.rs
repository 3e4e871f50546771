//! Types as the sandbox knows them: one name for one meaning, whichever dialect declared it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};

use vivarium_runtime::{FunctionKind, FunctionSpec};

use super::dialect::{ARROW_UDF_JSON, DATABEND_EXTENSION, EXTENSION_NAME, JSON, Wide};

/// The field as the sandbox gets it: the same storage, every dialect's JSON under Arrow's canonical
/// name, and nothing else in the metadata than the names that the sandbox gives a meaning to. What
/// Databend packs into 128-bit numbers gets Arrow's own type ([`Wide`]).
pub fn guest_field(field: &Field) -> Field {
    if let Some(wide) = Wide::of(field) {
        return Field::new(field.name(), wide.guest_type(), field.is_nullable());
    }
    let metadata = match (
        field.metadata().get(EXTENSION_NAME).map(String::as_str),
        field.metadata().get(DATABEND_EXTENSION).map(String::as_str),
    ) {
        (Some(ARROW_UDF_JSON), _) | (None, Some("Variant")) => Some(JSON),
        (name, _) => name,
    };
    let metadata = metadata.map(|name| (EXTENSION_NAME.to_owned(), name.to_owned()));
    Field::new(field.name(), guest_type(field.data_type()), field.is_nullable())
        .with_metadata(HashMap::from_iter(metadata))
}

/// The definition of a function as the sandbox gets it: the same, with each type as [`guest_field`]
/// gives it.
pub fn guest_spec(spec: &FunctionSpec) -> FunctionSpec {
    FunctionSpec {
        parameters: spec.parameters.iter().map(guest_field).collect(),
        result: guest_field(&spec.result),
        kind: match &spec.kind {
            FunctionKind::Aggregate { state } => FunctionKind::Aggregate { state: guest_field(state) },
            other => other.clone(),
        },
        ..spec.clone()
    }
}

fn guest_type(data_type: &DataType) -> DataType {
    let inner = |field: &FieldRef| Arc::new(guest_field(field));
    match data_type {
        DataType::List(item) => DataType::List(inner(item)),
        DataType::LargeList(item) => DataType::LargeList(inner(item)),
        DataType::ListView(item) => DataType::ListView(inner(item)),
        DataType::LargeListView(item) => DataType::LargeListView(inner(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(inner(item), *length),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        other => other.clone(),
    }
}
