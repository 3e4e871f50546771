//! The JSON definition of a function, as Databend's engine writes it.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tonic::Code;

use super::signature::{self, SignatureError};
use crate::functions::Definition;
use crate::imports::Import;
use crate::status::Failure;

/// The only version of the format there is.
const VERSION: u64 = 1;

/// Python that runs in the sandbox.
const PYTHON: (u32, u32) = (3, 13);

/// Why a definition was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// It is too long.
    #[error("the spec is {requested} bytes long, {limit} are allowed")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
        /// Bytes given.
        requested: usize,
    },
    /// It is not a JSON object.
    #[error("the spec is not a JSON object: {0}")]
    Json(#[from] serde_json::Error),
    /// It has a key that does not exist.
    #[error("`{key}` in the spec is unknown")]
    UnknownKey {
        /// The beginning of the key.
        key: String,
    },
    /// A key is missing, or has a value that cannot be.
    #[error("`{key}` in the spec {problem}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// Handler or types cannot be used.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The spec names other files than those that came with it.
    #[error("`imports` in the spec has {named} entries, {sent} came with the request")]
    Imports {
        /// Entries of the spec.
        named: usize,
        /// Files that came with the request.
        sent: usize,
    },
    /// The code is in a file that did not come with the request.
    #[error("`code` in the spec is in `{location}`, which is not among the imports")]
    NoCode {
        /// The beginning of the location.
        location: String,
    },
}

impl Failure for SpecError {
    fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::ResourceExhausted,
            _ => Code::InvalidArgument,
        }
    }
}

/// The members of the definition. Each is taken out by its key, so that what is wrong with one can
/// be said of its key, and what is left at the end has no business there.
struct Members(Map<String, Value>);

impl Members {
    fn optional<T: DeserializeOwned>(&mut self, key: &'static str) -> Result<Option<T>, SpecError> {
        let Some(member) = self.0.remove(key) else {
            return Ok(None);
        };
        serde_json::from_value(member)
            .map(Some)
            .map_err(|error| value(key, format!("cannot be used: {error}")))
    }

    fn required<T: DeserializeOwned>(&mut self, key: &'static str) -> Result<T, SpecError> {
        self.optional(key)?.ok_or_else(|| value(key, "is missing".to_owned()))
    }
}

/// Reads a definition. `files` are the files that came with it, in the order of its `imports`.
///
/// The definition has no name of its own: the function is called by its handler, and several definitions
/// with the same handler are told apart by their tokens. `runtime_version` is the Python version
/// that the user asked for: any version of Python 3 up to the sandbox's is accepted, because code
/// for an older Python 3 runs on a newer one, and a newer one is refused.
///
/// # Errors
/// [`SpecError`], naming the key.
pub fn parse(text: &str, files: Vec<Import>, max_bytes: usize) -> Result<Definition, SpecError> {
    if text.len() > max_bytes {
        return Err(SpecError::TooLarge { limit: max_bytes, requested: text.len() });
    }
    let mut members = Members(serde_json::from_str(text)?);
    let expect = |key, expected: &str, found: &str| {
        if found == expected {
            return Ok(());
        }
        Err(value(key, format!("must be `{expected}`, it is `{}`", excerpt(found))))
    };
    expect("version", &VERSION.to_string(), &members.required::<u64>("version")?.to_string())?;
    expect("kind", "udf", &members.required::<String>("kind")?)?;
    expect("language", "python", &members.required::<String>("language")?)?;
    let handler: String = members.required("handler")?;
    let input_types: Vec<String> = members.required("input_types")?;
    let result_type: String = members.required("result_type")?;
    let code: String = members.required("code")?;
    check_runtime_version(&members.optional::<String>("runtime_version")?.unwrap_or_default())?;
    let packages: Vec<String> = members.optional("packages")?.unwrap_or_default();
    let named = members.optional::<Vec<String>>("imports")?.unwrap_or_default();
    if named.len() != files.len() {
        return Err(SpecError::Imports { named: named.len(), sent: files.len() });
    }
    let code_location = is_location(&code).then(|| code.trim().to_owned());
    if let Some(location) = &code_location
        && !files.iter().any(|import| import.location == *location)
    {
        return Err(SpecError::NoCode { location: excerpt(location) });
    }
    if let Some(key) = members.0.keys().next() {
        return Err(SpecError::UnknownKey { key: excerpt(key) });
    }
    let spec = signature::function_spec(&handler, &input_types, &result_type, code)?;
    Ok(Definition { packages, imports: files, code_location, ..Definition::of(spec) })
}

/// Whether the code is one line that says where the code is, such as `@stage/function.py`. A decorator
/// alone is no module, so that no code looks like this.
fn is_location(code: &str) -> bool {
    let code = code.trim();
    code.starts_with('@') && code.ends_with(".py") && !code.contains(char::is_whitespace)
}

fn value(key: &'static str, problem: String) -> SpecError {
    SpecError::Value { key, problem }
}

/// The beginning of a text from outside, for an error.
fn excerpt(text: &str) -> String {
    text.chars().take(60).collect()
}

fn check_runtime_version(text: &str) -> Result<(), SpecError> {
    if text.is_empty() {
        return Ok(());
    }
    let numbers: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
    let Some([major, rest @ ..]) = numbers.as_deref() else {
        return Err(value("runtime_version", format!("is not a version: `{}`", excerpt(text))));
    };
    let asked = (*major, rest.first().copied().unwrap_or_default());
    if asked.0 != PYTHON.0 || asked.1 > PYTHON.1 {
        let problem = format!("is {}; this server runs Python {}.{}", excerpt(text), PYTHON.0, PYTHON.1);
        return Err(value("runtime_version", problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::DataType;
    use serde_json::json;

    fn full() -> Value {
        json!({
            "version": 1, "kind": "udf", "language": "python", "handler": "gcd",
            "input_types": ["INT NULL", "BIGINT"], "result_type": "BIGINT NULL",
            "imports": [], "packages": [], "runtime_version": "3.12.2",
            "code": "def gcd(a, b): ..."
        })
    }

    fn with(key: &str, new: Value) -> Value {
        let mut spec = full();
        spec[key] = new;
        spec
    }

    fn read(spec: &Value) -> Result<Definition, SpecError> {
        parse(&spec.to_string(), Vec::new(), 1 << 20)
    }

    fn import(location: &str) -> Import {
        Import {
            location: location.to_owned(),
            url: "https://bucket.example/file?signature=1".to_owned(),
            tag: None,
            headers: Default::default(),
        }
    }

    #[test]
    fn what_the_engine_sends_is_read() {
        let definition = read(&full()).unwrap();
        assert_eq!((definition.environment_name.as_str(), &definition.code_location), ("gcd", &None));
        let spec = definition.spec;
        assert_eq!((spec.name.as_str(), spec.handler.as_str()), ("gcd", "gcd"));
        let signature: Vec<_> = spec
            .parameters
            .iter()
            .chain([&spec.result])
            .map(|field| (field.name().as_str(), field.data_type().clone(), field.is_nullable()))
            .collect();
        assert_eq!(
            signature,
            [
                ("arg1", DataType::Int32, true),
                ("arg2", DataType::Int64, false),
                ("result", DataType::Int64, true)
            ]
        );
    }

    #[test]
    fn values_that_are_accepted() {
        for (key, new) in [
            ("handler", json!("Outer.inner_2")),
            ("handler", json!("größe")),
            ("input_types", json!([])),
            ("runtime_version", json!("")),
            ("runtime_version", json!("3")),
            ("runtime_version", json!("3.13.9")),
        ] {
            assert!(read(&with(key, new.clone())).is_ok(), "{key} = {new}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("version", json!(2), "`version`", Code::InvalidArgument),
            ("kind", json!("udaf"), "`kind`", Code::InvalidArgument),
            ("language", json!("javascript"), "`language`", Code::InvalidArgument),
            ("handler", json!(""), "`handler`", Code::InvalidArgument),
            ("handler", json!("a..b"), "`handler`", Code::InvalidArgument),
            ("handler", json!("os; import x"), "`handler`", Code::InvalidArgument),
            ("handler", json!("x".repeat(300)), "`handler`", Code::InvalidArgument),
            ("input_types", json!(["INT", "NOPE"]), "`input_types[1]`", Code::InvalidArgument),
            ("input_types", json!(vec!["INT"; 2000]), "`input_types`", Code::InvalidArgument),
            ("result_type", json!(""), "`result_type`", Code::InvalidArgument),
            ("runtime_version", json!("3.14"), "`runtime_version`", Code::InvalidArgument),
            ("runtime_version", json!("2.7.18"), "`runtime_version`", Code::InvalidArgument),
            ("runtime_version", json!("latest"), "`runtime_version`", Code::InvalidArgument),
            ("packages", json!("numpy"), "`packages`", Code::InvalidArgument),
            ("imports", json!(["@s/a.py"]), "`imports`", Code::InvalidArgument),
            ("code", json!("@s/a.py"), "`@s/a.py`", Code::InvalidArgument),
            ("code", json!(5), "`code`", Code::InvalidArgument),
            ("input_types", json!("INT"), "`input_types`", Code::InvalidArgument),
            ("bonus", json!(5), "`bonus`", Code::InvalidArgument),
        ];
        for (key, new, expected, code) in cases {
            let error = read(&with(key, new)).expect_err(key);
            assert!(error.to_string().contains(expected), "{key}: {error}");
            assert_eq!(error.code(), code, "{key}: {error}");
        }
    }

    #[test]
    fn missing_keys_are_named() {
        for key in ["version", "kind", "language", "handler", "input_types", "result_type", "code"] {
            let mut spec = full();
            spec.as_object_mut().unwrap().remove(key);
            let error = read(&spec).expect_err(key).to_string();
            assert!(error.contains(&format!("`{key}` in the spec is missing")), "{error}");
        }
    }

    #[test]
    fn size_and_form_are_checked_first() {
        let text = full().to_string();
        assert!(matches!(parse(&text, Vec::new(), 10), Err(SpecError::TooLarge { limit: 10, .. })));
        assert!(matches!(parse("[", Vec::new(), 10), Err(SpecError::Json(_))));
    }

    #[test]
    fn files_and_packages_become_part_of_the_definition() {
        let mut spec = with("imports", json!(["@s/a.py", "@s/data.zip"]));
        spec["packages"] = json!(["humanize==4.9.0", "numpy"]);
        let files = vec![import("@s/a.py"), import("@s/data.zip")];
        let definition = parse(&spec.to_string(), files.clone(), 1 << 20).unwrap();
        assert_eq!((&definition.imports, definition.packages.len()), (&files, 2));
        assert_eq!(definition.code_location, None);

        spec["code"] = json!("@s/a.py\n");
        let definition = parse(&spec.to_string(), files.clone(), 1 << 20).unwrap();
        assert_eq!(definition.code_location.as_deref(), Some("@s/a.py"));
        let decorated = json!("@udf.py\ndef f(): ...");
        spec["code"] = decorated;
        assert_eq!(parse(&spec.to_string(), files, 1 << 20).unwrap().code_location, None);

        let error = parse(&spec.to_string(), vec![import("@s/a.py")], 1 << 20).unwrap_err();
        assert_eq!(error.to_string(), "`imports` in the spec has 2 entries, 1 came with the request");
    }
}
