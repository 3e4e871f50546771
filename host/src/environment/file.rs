//! The file of environments. Errors name lines and keys, never a value.

use std::collections::{BTreeMap, HashMap};

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::{Zeroize as _, Zeroizing};

use super::EnvironmentLimits;

/// Variables by name.
pub(super) type Variables = BTreeMap<String, Zeroizing<String>>;

/// Variables by tenant and function.
pub(super) type Functions = HashMap<(String, String), Variables>;

/// Tables of functions, keyed by `<tenant>.<function>`.
const JOINED: &str = "udf_env";
/// Tables of tenants, which hold tables of functions: for names with dots.
const NESTED: &str = "tenant_env";

/// Variables that the reference control plane sets itself.
const RESERVED: [&str; 2] = ["RESOURCE_STATUS_ADDR", "UDF_SERVER_ADDR"];

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct FileError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: String,
}

/// Reads a file's text.
pub(super) fn parse(text: &str, limits: &EnvironmentLimits) -> Result<Functions, FileError> {
    // The error's own text would show the line.
    let document = DeTable::parse(text).map_err(|error| FileError {
        line: line_of(text, error.span().map_or(text.len(), |span| span.start)),
        problem: format!("it is not TOML: {}", error.message()),
    })?;
    let reader = Reader { text, limits };
    let mut functions = Functions::new();
    for (key, value) in document.get_ref() {
        match &**key.get_ref() {
            JOINED => reader.joined(value, &mut functions)?,
            NESTED => reader.nested(value, &mut functions)?,
            other => {
                let problem = format!("`{}` is unknown; expected `{JOINED}` or `{NESTED}`", shown(other));
                return Err(reader.error(key, problem));
            }
        }
    }
    Ok(functions)
}

struct Reader<'a> {
    text: &'a str,
    limits: &'a EnvironmentLimits,
}

impl<'a> Reader<'a> {
    fn error<T>(&self, at: &Spanned<T>, problem: String) -> FileError {
        FileError { line: line_of(self.text, at.span().start), problem }
    }

    fn table<'v>(&self, value: &'v Spanned<DeValue<'a>>, what: &str) -> Result<&'v DeTable<'a>, FileError> {
        let problem = || self.error(value, format!("{what} must be a table"));
        value.get_ref().as_table().ok_or_else(problem)
    }

    fn joined(&self, value: &Spanned<DeValue<'a>>, functions: &mut Functions) -> Result<(), FileError> {
        for (key, value) in self.table(value, JOINED)? {
            let name = key.get_ref();
            // With two dots, it could be one tenant's function as well as another's.
            let (tenant, function) = match name.split_once('.') {
                Some((tenant, function))
                    if !tenant.is_empty() && !function.is_empty() && !function.contains('.') =>
                {
                    (tenant, function)
                }
                Some((_, function)) if function.contains('.') => {
                    let problem = format!(
                        "`{}` is ambiguous; names with dots belong into [{NESTED}.\"tenant\".\"function\"]",
                        shown(name)
                    );
                    return Err(self.error(key, problem));
                }
                _ => {
                    let problem = format!("`{}` is not `<tenant>.<function>`", shown(name));
                    return Err(self.error(key, problem));
                }
            };
            self.function(key, tenant, function, value, functions)?;
        }
        Ok(())
    }

    fn nested(&self, value: &Spanned<DeValue<'a>>, functions: &mut Functions) -> Result<(), FileError> {
        for (tenant, value) in self.table(value, NESTED)? {
            for (key, value) in self.table(value, "a tenant")? {
                self.function(key, tenant.get_ref(), key.get_ref(), value, functions)?;
            }
        }
        Ok(())
    }

    fn function<T>(
        &self,
        key: &Spanned<T>,
        tenant: &str,
        function: &str,
        value: &Spanned<DeValue<'a>>,
        functions: &mut Functions,
    ) -> Result<(), FileError> {
        let name = (tenant.to_owned(), function.to_owned());
        if functions.contains_key(&name) {
            let problem =
                format!("function `{}` of tenant `{}` occurs twice", shown(function), shown(tenant));
            return Err(self.error(key, problem));
        }
        let table = self.table(value, "a function's environment")?;
        let mut variables = Variables::new();
        let mut bytes = 0;
        for (key, value) in table {
            let name = key.get_ref();
            if !is_variable(name) {
                let problem = format!(
                    "`{}` is no variable name: capital letters, `_`, and digits behind them",
                    shown(name)
                );
                return Err(self.error(key, problem));
            }
            if RESERVED.contains(&&**name) {
                return Err(self.error(key, format!("`{name}` is reserved")));
            }
            let text = self.value(name, value)?;
            bytes += name.len() + text.len();
            variables.insert(name.clone().into_owned(), text);
        }
        let limit = self.limits.function_bytes;
        if bytes > limit {
            let problem =
                format!("the environment has {bytes} bytes; limit environment.function_bytes is {limit}");
            return Err(self.error(key, problem));
        }
        functions.insert(name, variables);
        Ok(())
    }

    /// The text of a variable: of strings as they are, everything else as JSON.
    fn value(&self, name: &str, value: &Spanned<DeValue<'a>>) -> Result<Zeroizing<String>, FileError> {
        let text = match value.get_ref() {
            DeValue::String(text) => Zeroizing::new(text.clone().into_owned()),
            other => {
                let mut text = Zeroizing::new(String::new());
                write_json(other, &mut text)
                    .map_err(|problem| self.error(value, format!("`{name}` {problem}")))?;
                text
            }
        };
        if text.contains('\0') {
            return Err(self.error(value, format!("`{name}` contains a NUL character")));
        }
        Ok(text)
    }
}

/// Writes a value as JSON. Tables are ordered by their keys.
fn write_json(value: &DeValue<'_>, text: &mut String) -> Result<(), &'static str> {
    match value {
        DeValue::String(string) => write_json_string(string, text),
        DeValue::Boolean(value) => text.push_str(if *value { "true" } else { "false" }),
        DeValue::Integer(number) => {
            let number =
                i64::from_str_radix(number.as_str(), number.radix()).map_err(|_| "is too large a number")?;
            text.push_str(&number.to_string());
        }
        DeValue::Float(number) => {
            let number: f64 = number.as_str().parse().map_err(|_| "is not a number")?;
            text.push_str(&serde_json::Number::from_f64(number).ok_or("is not a finite number")?.to_string());
        }
        DeValue::Datetime(_) => return Err("is a date or time; write it as a string"),
        DeValue::Array(values) => {
            text.push('[');
            for (index, value) in values.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                write_json(value.get_ref(), text)?;
            }
            text.push(']');
        }
        DeValue::Table(table) => {
            text.push('{');
            for (index, (key, value)) in table.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { "," });
                write_json_string(key.get_ref(), text);
                text.push(':');
                write_json(value.get_ref(), text)?;
            }
            text.push('}');
        }
    }
    Ok(())
}

fn write_json_string(string: &str, text: &mut String) {
    let mut quoted = serde_json::Value::from(string).to_string();
    text.push_str(&quoted);
    quoted.zeroize();
}

fn is_variable(name: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    name.bytes().next().is_some_and(is_first)
        && name.bytes().all(|byte| is_first(byte) || byte.is_ascii_digit())
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = &text.as_bytes()[..offset.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// A name as it appears in messages. What stands on the left of `=` by mistake could be a secret
/// too, so not much of it is shown.
fn shown(name: &str) -> String {
    const MOST_CHARS: usize = 60;
    name.chars().take(MOST_CHARS).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Functions, String> {
        parse(text, &EnvironmentLimits { function_bytes: 1000 }).map_err(|error| error.to_string())
    }

    #[test]
    fn compat_values_become_text_as_in_the_reference() {
        let text = r#"
            [udf_env]
            "acme.f" = { TEXT = "plain", YES = true, NO = false, INTEGER = -7, HEX = 0x1f, FLOAT = 1.5 }
            [udf_env."acme.g"]
            LIST = [1, "a\"b", [true]]
            TABLE = { b = 1, a = { c = "d" } }
            _UNDER_9 = ""
            [tenant_env."a.b"."c.d"]
            KEY = "dots"
        "#;
        let found = read(text).unwrap();
        let of = |tenant: &str, function: &str| {
            let variables = &found[&(tenant.to_owned(), function.to_owned())];
            variables.iter().map(|(name, value)| format!("{name}={}", value.as_str())).collect::<Vec<_>>()
        };
        assert_eq!(
            of("acme", "f"),
            ["FLOAT=1.5", "HEX=31", "INTEGER=-7", "NO=false", "TEXT=plain", "YES=true"]
        );
        assert_eq!(
            of("acme", "g"),
            [r#"LIST=[1,"a\"b",[true]]"#, r#"TABLE={"a":{"c":"d"},"b":1}"#, "_UNDER_9="]
        );
        assert_eq!(of("a.b", "c.d"), ["KEY=dots"]);
        assert_eq!(found.len(), 3);
        assert!(read("").unwrap().is_empty() && read("[udf_env]").unwrap().is_empty());
    }

    #[test]
    fn attack_53_errors_name_the_line_and_no_value() {
        let large = format!("[udf_env]\n\"a.f\" = {{ KEY = \"{}\" }}", "s3cret".repeat(200));
        let cases = [
            (
                "[udf_env]\n\"a.f\" = { KEY = s3cret }",
                "line 2: it is not TOML: string values must be quoted, expected literal string",
            ),
            (
                "[udf_env]\n\"a.f\" = { KEY = \"s3cret }",
                "line 2: it is not TOML: unclosed inline table, expected `}`",
            ),
            (
                "[udf_env]\n\n\"a.f\" = { key = \"s3cret\" }",
                "line 3: `key` is no variable name: capital letters, `_`, and digits behind them",
            ),
            (
                "[udf_env]\n\"a.f\" = { 9KEY = \"s3cret\" }",
                "line 2: `9KEY` is no variable name: capital letters, `_`, and digits behind them",
            ),
            ("[udf_env]\n\"a.f\" = \"s3cret\"", "line 2: a function's environment must be a table"),
            ("[udf_env]\naf = { KEY = \"s3cret\" }", "line 2: `af` is not `<tenant>.<function>`"),
            ("[udf_env]\n\".f\" = { KEY = \"s3cret\" }", "line 2: `.f` is not `<tenant>.<function>`"),
            (
                "[udf_env]\n\"a.b.c\" = { KEY = \"s3cret\" }",
                "line 2: `a.b.c` is ambiguous; names with dots belong into [tenant_env.\"tenant\".\"function\"]",
            ),
            (
                "[udf_env]\n\"a.f\" = { UDF_SERVER_ADDR = \"s3cret\" }",
                "line 2: `UDF_SERVER_ADDR` is reserved",
            ),
            (
                "[udf_env]\n\"a.f\" = { KEY = 1979-05-27 }",
                "line 2: `KEY` is a date or time; write it as a string",
            ),
            ("[udf_env]\n\"a.f\" = { KEY = nan }", "line 2: `KEY` is not a finite number"),
            ("[udf_env]\n\"a.f\" = { KEY = \"s3cret\\u0000\" }", "line 2: `KEY` contains a NUL character"),
            ("udf_env = \"s3cret\"", "line 1: udf_env must be a table"),
            ("[other]\nKEY = \"s3cret\"", "line 1: `other` is unknown; expected `udf_env` or `tenant_env`"),
            (
                "[udf_env.\"a.f\"]\nK = 1\n[tenant_env.a.f]\nK = \"s3cret\"",
                "line 1: function `f` of tenant `a` occurs twice",
            ),
            (&large, "line 2: the environment has 1203 bytes; limit environment.function_bytes is 1000"),
        ];
        for (text, expected) in cases {
            let error = read(text).expect_err(text);
            assert_eq!(error, expected);
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
