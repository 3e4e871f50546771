//! What the configuration allows that is not a number.

use serde::Serialize;
use serde_json::Value;

use super::AuditError;
use crate::config::Config;

/// The sections that decide what is reached on behalf of a function, and what it gets.
const SECTIONS: [&str; 3] = ["environment", "imports", "packages"];

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Dotted name, as in the configuration file.
    pub name: String,
    /// Its value: text, a truth value, or a list. Users and passwords in URLs are left out.
    pub value: Value,
}

/// Lists the settings, in the order of their names. What is listed follows from the configuration's own
/// serialised form; what is not set is not listed.
pub(super) fn list(config: &Config) -> Result<Vec<Setting>, AuditError> {
    let failed = |error: serde_json::Error| AuditError::Configuration { reason: error.to_string() };
    let value = serde_json::to_value(config).map_err(failed)?;
    let mut settings = Vec::new();
    for section in SECTIONS {
        if let Some(value) = value.get(section) {
            collect(section, value, &mut settings);
        }
    }
    settings.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(settings)
}

fn collect(name: &str, value: &Value, settings: &mut Vec<Setting>) {
    let value = match value {
        Value::Object(members) => {
            for (member, value) in members {
                collect(&format!("{name}.{member}"), value, settings);
            }
            return;
        }
        Value::Null | Value::Number(_) => return,
        Value::String(text) => Value::String(without_credentials(text)),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::String(text) => Value::String(without_credentials(text)),
                other => other.clone(),
            })
            .collect(),
        Value::Bool(_) => value.clone(),
    };
    settings.push(Setting { name: name.to_owned(), value });
}

/// A URL without user and password; any other text as it is.
pub(super) fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((credentials, _)) => format!("{scheme}://{}", &rest[credentials.len() + 1..]),
        None => text.to_owned(),
    }
}
