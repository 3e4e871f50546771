//! The numbers of the configuration, with units.

use serde::Serialize;
use serde_json::Value;

use super::AuditError;
use crate::config::Config;

/// One number of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// Dotted name, as in the configuration file.
    pub name: String,
    /// Its value.
    pub value: u64,
    /// `bytes`, `ms`, `s`, `fuel`, `rows`, or `count`.
    pub unit: &'static str,
}

/// Lists every number, in the order of its name. What is listed follows from the configuration's
/// own serialised form, so a new limit is here without further work.
pub(super) fn list(config: &Config) -> Result<Vec<Limit>, AuditError> {
    let value = serde_json::to_value(config)
        .map_err(|error| AuditError::Configuration { reason: error.to_string() })?;
    let mut limits = Vec::new();
    collect("", &value, &mut limits);
    limits.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(limits)
}

fn collect(prefix: &str, value: &Value, limits: &mut Vec<Limit>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                collect(&name, value, limits);
            }
        }
        Value::Number(number) => {
            if let Some(value) = number.as_u64() {
                limits.push(Limit { name: prefix.to_owned(), value, unit: unit(prefix) });
            }
        }
        _ => {}
    }
}

/// The unit that the configuration's names carry.
fn unit(name: &str) -> &'static str {
    if name.ends_with("_bytes") {
        "bytes"
    } else if name.ends_with("_ms") {
        "ms"
    } else if name.ends_with("_s") {
        "s"
    } else if name.ends_with("_rows") {
        "rows"
    } else if name.contains("fuel") {
        "fuel"
    } else {
        "count"
    }
}
