//! What a function is: its code, its signature, its environment.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::files::FunctionFiles;
use crate::interpreter::Interpreter;

/// Everything that an image is made from, but for files. Two equal specs make the same image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionSpec {
    /// Name under which the function is known to its callers.
    pub name: String,
    /// Dotted name of the callable inside the module, such as `add` or `Class.method`.
    pub handler: String,
    /// File name of the code, without a directory; shown in tracebacks.
    pub filename: String,
    /// Python source of the module.
    pub code: String,
    /// Parameters in order; for a map function the columns of its input. Nullability is part of the
    /// signature.
    pub parameters: Vec<Field>,
    /// Result: one value for scalar and aggregate functions, the value of one output row for table
    /// functions, a struct of the output's columns for map functions.
    pub result: Field,
    /// What the function is called with, and what it gives back.
    #[serde(default)]
    pub kind: FunctionKind,
    /// What happens to rows with a null argument.
    #[serde(default)]
    pub null_handling: NullHandling,
    /// What happens to rows whose call raises.
    #[serde(default)]
    pub on_error: OnError,
    /// Environment variables that the code sees.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The interpreter that runs it.
    #[serde(default)]
    pub interpreter: Interpreter,
    /// The owner's digest of whatever else the image is made from, such as
    /// [`FunctionFiles`]; the engine does not interpret it.
    #[serde(default)]
    pub files_digest: Option<String>,
}

/// What a function is called with, and what it gives back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FunctionKind {
    /// Called with one row, gives one value.
    #[default]
    Scalar,
    /// Called with one column for each parameter, gives a column of as many values.
    Vectorized,
    /// Called with one row, gives any number of rows: a generator, an iterable or None.
    Table,
    /// Folds the rows of a group into a state, and a state into one value.
    Aggregate {
        /// Type of the state, as it travels between instances.
        state: Field,
    },
    /// Called once, with an iterator of batches; gives an iterator of batches.
    Map,
}

impl FunctionKind {
    /// The kind's name, as in declarations.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vectorized => "vectorized",
            Self::Table => "table",
            Self::Aggregate { .. } => "aggregate",
            Self::Map => "map",
        }
    }
}

/// What happens to rows with a null argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NullHandling {
    /// The function is called with `None`.
    #[default]
    CallOnNull,
    /// The function is not called: the result is null, a table function gives no rows, an aggregate
    /// does not see the row.
    SkipNull,
    /// As [`NullHandling::SkipNull`] where an argument is null whose type hint excludes `None` (`int`),
    /// else as [`NullHandling::CallOnNull`] (no hint, `int | None`).
    ByAnnotation,
}

/// What happens to a row of a scalar function whose call raises an ordinary exception.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The batch fails.
    #[default]
    Raise,
    /// The result is null, and stderr says how many rows failed and why the first did.
    Null,
}

/// A spec that cannot be a function, whatever its code does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Code and environment are too large.
    #[error("code_bytes: code and environment have {requested} bytes, {limit} are allowed")]
    TooLarge {
        /// Bytes allowed.
        limit: u64,
        /// Bytes of code and environment together.
        requested: u64,
    },
    /// The file name is not the name of a file.
    #[error("filename `{filename}`: must be 1 to 255 bytes without `/` and NUL, and not `.` or `..`")]
    Filename {
        /// The name given.
        filename: String,
    },
    /// An environment variable cannot be set.
    #[error(
        "environment variable `{name}`: the name must not be empty or contain `=`, and neither name nor value may contain NUL"
    )]
    Environment {
        /// The variable's name.
        name: String,
    },
    /// The result of a map function is not a batch.
    #[error(
        "a map function gives batches: its result must be a struct that is not nullable, not {data_type}"
    )]
    MapResult {
        /// The declared result.
        data_type: DataType,
    },
    /// Rows that fail cannot become null.
    #[error("on_error `null` is for scalar functions, not for those of kind `{kind}`")]
    OnError {
        /// The function's kind.
        kind: &'static str,
    },
}

impl FunctionSpec {
    /// The columns that the function gives: `row` (int32, the index of the input row) and the result for
    /// a table function, the result's fields for a map function, else the result alone.
    pub fn output_schema(&self) -> SchemaRef {
        let fields: Fields = match (&self.kind, self.result.data_type()) {
            (FunctionKind::Table, _) => [row_field(), Arc::new(self.result.clone())].into_iter().collect(),
            (FunctionKind::Map, DataType::Struct(columns)) => columns.clone(),
            _ => [self.result.clone()].into_iter().collect(),
        };
        Arc::new(Schema::new(fields))
    }

    /// What the guest writes: a struct where [`FunctionSpec::output_schema`] has other columns than the
    /// result.
    pub(crate) fn guest_output(&self) -> Cow<'_, Field> {
        match self.kind {
            FunctionKind::Table => {
                Cow::Owned(Field::new_struct("", self.output_schema().fields().clone(), false))
            }
            _ => Cow::Borrowed(&self.result),
        }
    }

    /// Type of the state, if the function is an aggregate.
    pub(crate) fn state(&self) -> Option<&Field> {
        match &self.kind {
            FunctionKind::Aggregate { state } => Some(state),
            _ => None,
        }
    }

    /// Content address: SHA-256 over every field of the spec in a canonical form.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"vivarium function spec 3\0");
        for text in [&self.name, &self.handler, &self.filename, &self.code] {
            hash_bytes(&mut hash, text.as_bytes());
        }
        hash.update((self.parameters.len() as u64).to_le_bytes());
        hash_bytes(&mut hash, self.kind.name().as_bytes());
        for field in self.parameters.iter().chain([&self.result]).chain(self.state()) {
            // Fields hold hash maps (their metadata), whose order differs from run to run.
            match serde_json::to_value(field) {
                Ok(value) => hash_json(&mut hash, &value),
                Err(_) => hash_bytes(&mut hash, format!("{field:?}").as_bytes()),
            }
        }
        hash.update([match self.null_handling {
            NullHandling::CallOnNull => 0,
            NullHandling::SkipNull => 1,
            NullHandling::ByAnnotation => 2,
        }]);
        hash.update([match self.on_error {
            OnError::Raise => 0,
            OnError::Null => 1,
        }]);
        hash.update((self.environment.len() as u64).to_le_bytes());
        for (name, value) in &self.environment {
            hash_bytes(&mut hash, name.as_bytes());
            hash_bytes(&mut hash, value.as_bytes());
        }
        hash_bytes(&mut hash, self.interpreter.name().as_bytes());
        hash.update([u8::from(self.files_digest.is_some())]);
        hash_bytes(&mut hash, self.files_digest.as_deref().unwrap_or_default().as_bytes());
        hash.finalize().into()
    }

    /// Checks what can be checked without running the code.
    pub(crate) fn check(&self, code_bytes: u64) -> Result<(), SpecError> {
        check_module(&self.filename, &self.code, &self.environment, code_bytes)?;
        let is_batch = matches!(self.result.data_type(), DataType::Struct(_)) && !self.result.is_nullable();
        match (&self.kind, self.on_error) {
            (FunctionKind::Map, _) if !is_batch => {
                Err(SpecError::MapResult { data_type: self.result.data_type().clone() })
            }
            (FunctionKind::Scalar, _) | (_, OnError::Raise) => Ok(()),
            (kind, OnError::Null) => Err(SpecError::OnError { kind: kind.name() }),
        }
    }

    /// The spec as `vivarium_load` takes it.
    pub(crate) fn guest_json(&self, files: &FunctionFiles) -> String {
        serde_json::json!({
            "name": self.name,
            "handler": self.handler,
            "filename": self.filename,
            "code": self.code,
            "environment": self.environment,
            "search_path": files.search_path,
            "x_options": files.x_options,
            "kind": self.kind.name(),
            "null_handling": match self.null_handling {
                NullHandling::CallOnNull => "call",
                NullHandling::SkipNull => "skip",
                NullHandling::ByAnnotation => "annotations",
            },
            "on_error": match self.on_error {
                OnError::Raise => "raise",
                OnError::Null => "null",
            },
        })
        .to_string()
    }
}

/// Checks a module's file name, size and environment.
pub(crate) fn check_module(
    filename: &str,
    code: &str,
    environment: &BTreeMap<String, String>,
    code_bytes: u64,
) -> Result<(), SpecError> {
    let variables: usize = environment.iter().map(|(name, value)| name.len() + value.len()).sum();
    let requested = (code.len() + variables) as u64;
    if requested > code_bytes {
        return Err(SpecError::TooLarge { limit: code_bytes, requested });
    }
    let special = filename.is_empty() || filename == "." || filename == "..";
    if special || filename.len() > 255 || filename.contains(['/', '\0']) {
        return Err(SpecError::Filename { filename: filename.to_owned() });
    }
    for (name, value) in environment {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(SpecError::Environment { name: name.clone() });
        }
    }
    Ok(())
}

/// The column of a table function's output that says which input row an output row belongs to.
fn row_field() -> FieldRef {
    Arc::new(Field::new("row", DataType::Int32, false))
}

fn hash_bytes(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// Hashes a JSON value independently of the order of its objects' members.
fn hash_json(hash: &mut Sha256, value: &serde_json::Value) {
    match value {
        serde_json::Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            hash.update(b"{");
            hash.update((sorted.len() as u64).to_le_bytes());
            for (name, value) in sorted {
                hash_bytes(hash, name.as_bytes());
                hash_json(hash, value);
            }
        }
        serde_json::Value::Array(items) => {
            hash.update(b"[");
            hash.update((items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| hash_json(hash, item));
        }
        scalar => {
            hash.update(b"=");
            hash_bytes(hash, scalar.to_string().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::DataType;

    fn spec() -> FunctionSpec {
        FunctionSpec {
            name: "f".into(),
            handler: "f".into(),
            filename: "f.py".into(),
            code: "def f(x): return x".into(),
            parameters: vec![Field::new("x", DataType::Int64, true)],
            result: Field::new("y", DataType::Int64, true),
            kind: FunctionKind::Scalar,
            null_handling: NullHandling::CallOnNull,
            on_error: OnError::Raise,
            environment: BTreeMap::new(),
            interpreter: Interpreter::Plain,
            files_digest: None,
        }
    }

    #[test]
    fn every_field_changes_the_digest() {
        let original = spec();
        let changes: [fn(&mut FunctionSpec); 17] = [
            |s| s.name.push('x'),
            |s| s.handler.push('x'),
            |s| s.filename.push('x'),
            |s| s.code.push('x'),
            |s| s.parameters[0] = Field::new("x", DataType::Int64, false),
            |s| s.parameters.push(s.result.clone()),
            |s| s.result = Field::new("y", DataType::Int32, true),
            |s| s.kind = FunctionKind::Vectorized,
            |s| s.kind = FunctionKind::Aggregate { state: s.result.clone() },
            |s| s.kind = FunctionKind::Aggregate { state: Field::new("y", DataType::Int32, true) },
            |s| s.null_handling = NullHandling::SkipNull,
            |s| s.null_handling = NullHandling::ByAnnotation,
            |s| s.on_error = OnError::Null,
            |s| drop(s.environment.insert("A".into(), "b".into())),
            |s| s.interpreter = Interpreter::NumPy,
            |s| s.files_digest = Some(String::new()),
            |s| s.files_digest = Some("x".into()),
        ];
        let mut digests = vec![original.digest()];
        for change in changes {
            let mut spec = original.clone();
            change(&mut spec);
            digests.push(spec.digest());
        }
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), changes.len() + 1);
    }

    #[test]
    fn the_digest_does_not_depend_on_the_order_of_metadata() {
        let metadata: Vec<(String, String)> = (0..20).map(|i| (format!("k{i}"), "v".into())).collect();
        let with = |metadata: Vec<(String, String)>| FunctionSpec {
            result: spec().result.with_metadata(metadata.into_iter().collect()),
            ..spec()
        };
        let reversed = metadata.iter().rev().cloned().collect();
        assert_eq!(with(metadata).digest(), with(reversed).digest());
    }

    #[test]
    fn the_spec_survives_json() {
        let text = serde_json::to_string(&spec()).unwrap();
        assert_eq!(serde_json::from_str::<FunctionSpec>(&text).unwrap(), spec());
        // Specs without the newer fields are those of plain functions without files.
        let mut old: serde_json::Value = serde_json::from_str(&text).unwrap();
        for field in ["interpreter", "files_digest", "environment", "on_error", "null_handling", "kind"] {
            old.as_object_mut().unwrap().remove(field).unwrap();
        }
        assert_eq!(serde_json::from_value::<FunctionSpec>(old).unwrap(), spec());
    }

    #[test]
    fn impossible_specs_are_refused() {
        for filename in ["", "..", "a/b.py", "a\0.py"] {
            let spec = FunctionSpec { filename: filename.into(), ..spec() };
            assert!(matches!(spec.check(1000), Err(SpecError::Filename { .. })), "{filename:?}");
        }
        assert_eq!(spec().check(5), Err(SpecError::TooLarge { limit: 5, requested: 18 }));
        let environment = BTreeMap::from([("A=B".to_owned(), String::new())]);
        assert!(FunctionSpec { environment, ..spec() }.check(1000).is_err());
        let map = FunctionSpec { kind: FunctionKind::Map, ..spec() };
        assert_eq!(map.check(1000), Err(SpecError::MapResult { data_type: DataType::Int64 }));
        let table = FunctionSpec { kind: FunctionKind::Table, on_error: OnError::Null, ..spec() };
        assert_eq!(table.check(1000), Err(SpecError::OnError { kind: "table" }));
    }

    #[test]
    fn the_output_has_the_columns_of_its_kind() {
        let names = |spec: &FunctionSpec| {
            spec.output_schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&spec()), ["y"]);
        assert_eq!(names(&FunctionSpec { kind: FunctionKind::Table, ..spec() }), ["row", "y"]);
        let columns = vec![spec().result, Field::new("z", DataType::Utf8, false)];
        let result = Field::new_struct("batch", columns, false);
        let map = FunctionSpec { kind: FunctionKind::Map, result, ..spec() };
        assert_eq!(names(&map), ["y", "z"]);
        assert!(map.check(1000).is_ok());
    }
}
