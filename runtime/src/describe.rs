//! Asking a module what it declares.

use serde::Deserialize;

use crate::build::{BuildError, fork_bare, mount, write_text};
use crate::call::{CallError, ProtocolViolation};
use crate::declaration::{Declaration, DeclaredKind, Dialect, ModuleSource};
use crate::engine::Engine;
use crate::function::{NullHandling, OnError, check_module};
use crate::guest::Guest;
use crate::limits::BuildLimits;
use crate::stack::with_guest_stack;

/// Functions that a module may declare, parameters that one of them may have.
const COUNT_MAX: usize = 1000;

/// Longest name of a function or parameter, in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// Executes `module` in a fork of the bare interpreter and lists its declarations.
pub(crate) fn describe(
    engine: &Engine,
    module: &ModuleSource,
    limits: &BuildLimits,
) -> Result<Vec<Declaration>, BuildError> {
    check_module(&module.filename, &module.code, &module.environment, limits.code_bytes)?;
    module.files.check(limits)?;
    let interpreter = engine.0.interpreter(module.interpreter).map_err(Box::new)?;
    with_guest_stack(|| {
        // As when an image is built: a module must not behave differently here and there.
        let (_admitted, mut guest) = fork_bare(engine, &interpreter, limits)?;
        let described = guest.begin().and_then(|()| ask(&mut guest, module));
        guest.end();
        described.map_err(|error| BuildError::Call {
            error: Box::new(error),
            logs: Box::new(guest.state_mut().logs.take()),
        })
    })?
}

fn ask(guest: &mut Guest, module: &ModuleSource) -> Result<Vec<Declaration>, CallError> {
    mount(guest, &module.files)?;
    let json = serde_json::json!({
        "filename": module.filename,
        "code": module.code,
        "environment": module.environment,
        "search_path": module.files.search_path,
        "x_options": module.files.x_options,
    });
    let (spec, spec_len) = write_text(guest, &json.to_string())?;
    let described = guest.describe(spec, spec_len)?;
    read(&described).map_err(|reason| ProtocolViolation::Description { reason }.into())
}

/// The guest's answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    functions: Vec<Described>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    name: String,
    handler: String,
    kind: DeclaredKind,
    parameters: Vec<Typed>,
    result: Typed,
    state: Option<String>,
    null_handling: DescribedNulls,
    on_error: OnError,
    dialect: Dialect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum DescribedNulls {
    Call,
    Skip,
    Annotations,
}

/// Reads the list. The guest may have written anything; the depth of what it wrote is bounded by the
/// parser.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Declaration>, String> {
    let description: Description = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let functions = description.functions;
    if functions.len() > COUNT_MAX {
        return Err(format!("{} functions are declared, {COUNT_MAX} are allowed", functions.len()));
    }
    functions.into_iter().map(declaration).collect()
}

fn declaration(described: Described) -> Result<Declaration, String> {
    let Described { name, handler, kind, parameters, result, state, null_handling, on_error, dialect } =
        described;
    if parameters.len() > COUNT_MAX {
        return Err(format!("{} parameters are declared, {COUNT_MAX} are allowed", parameters.len()));
    }
    if (kind == DeclaredKind::Aggregate) != state.is_some() {
        return Err("aggregates have a type of state, and nothing else has".to_owned());
    }
    let pair = |typed: Typed| Ok::<_, String>((checked(typed.name)?, plain(typed.data_type)?));
    let named =
        |text: String| if text.is_empty() { Err("a name is empty".to_owned()) } else { checked(text) };
    Ok(Declaration {
        name: named(name)?,
        handler: named(handler)?,
        kind,
        parameters: parameters.into_iter().map(pair).collect::<Result<_, _>>()?,
        result: pair(result)?,
        state: state.map(plain).transpose()?,
        null_handling: match null_handling {
            DescribedNulls::Call => NullHandling::CallOnNull,
            DescribedNulls::Skip => NullHandling::SkipNull,
            DescribedNulls::Annotations => NullHandling::ByAnnotation,
        },
        on_error,
        dialect,
    })
}

/// A name that can be shown and logged.
fn checked(name: String) -> Result<String, String> {
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("a name has {} bytes, {NAME_BYTES_MAX} are allowed", name.len()));
    }
    if name.contains(['\n', '\r', '\t']) {
        return Err(format!("a line break or tab in the name {name:.60?}"));
    }
    plain(name)
}

/// Text without control characters; types may have line breaks.
fn plain(text: String) -> Result<String, String> {
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(format!("control characters in {text:.60?}"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"{"functions": [{"name": "f", "handler": "C.f", "kind": "aggregate",
        "parameters": [{"name": "a", "type": "BIGINT NULL"}, {"name": "b", "type": "int"}],
        "result": {"name": "r", "type": "DOUBLE NULL"}, "state": "BINARY NOT NULL",
        "null_handling": "annotations", "on_error": "raise", "dialect": "databend_udf"}]}"#;

    #[test]
    fn a_declaration_is_read() {
        let read = read(FULL.as_bytes()).unwrap();
        let text = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            read,
            [Declaration {
                name: "f".into(),
                handler: "C.f".into(),
                kind: DeclaredKind::Aggregate,
                parameters: vec![text("a", "BIGINT NULL"), text("b", "int")],
                result: text("r", "DOUBLE NULL"),
                state: Some("BINARY NOT NULL".into()),
                null_handling: NullHandling::ByAnnotation,
                on_error: OnError::Raise,
                dialect: Dialect::DatabendUdf,
            }]
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for (from, to) in [
            ("\"aggregate\"", "\"wizard\""),
            ("\"aggregate\"", "\"scalar\""),
            ("\"BINARY NOT NULL\"", "null"),
            ("\"annotations\"", "\"sometimes\""),
            ("\"raise\"", "7"),
            ("\"databend_udf\"", "\"udf\""),
            ("\"dialect\"", "\"accent\""),
            ("\"f\"", "\"\""),
            ("\"C.f\"", "\"a\\u001b[2J\""),
            ("\"r\"", "\"a\\nb\""),
            ("{\"functions\"", "{\"more\": 1, \"functions\""),
            ("\"int\"", "\"a\\u0000b\""),
        ] {
            assert!(FULL.contains(from), "{from}");
            assert!(read(FULL.replace(from, to).as_bytes()).is_err(), "{from} {to}");
        }
        let deep = "[".repeat(100_000);
        for text in ["", "{}", "[]", "null", "{\"functions\": 3}", deep.as_str(), FULL.split_at(300).0] {
            assert!(read(text.as_bytes()).is_err(), "{text:.50}");
        }
        assert!(read(&FULL.as_bytes().iter().map(|byte| byte | 0x80).collect::<Vec<_>>()).is_err());
        let one = FULL.strip_prefix("{\"functions\": [").unwrap().strip_suffix("]}").unwrap();
        let many = format!("{{\"functions\": [{}]}}", vec![one; COUNT_MAX + 1].join(","));
        assert!(read(many.as_bytes()).unwrap_err().starts_with("1001 functions"));
        let parameter = r#"{"name": "a", "type": "BIGINT NULL"}"#;
        let wide = FULL.replace(parameter, &vec![parameter; COUNT_MAX].join(","));
        assert!(read(wide.as_bytes()).unwrap_err().starts_with("1001 parameters"));
    }
}
