//! What changed between two reports, and whether functions may do more than before.
//!
//! Every change has an [`Effect`]. Numbers that bound something are compared; what cannot be ranked (the
//! words of a bound, a list of hosts whose empty form means all) counts as [`Effect::Wider`]: who lets a
//! pipeline decide should have to look at it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

/// Version of the comparison's JSON form.
pub const DIFF_SCHEMA: &str = "vivarium.audit.diff/1";

/// What changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// [`DIFF_SCHEMA`].
    pub schema: &'static str,
    /// Schema of both reports.
    pub of: String,
    /// Whether a change has the effect [`Effect::Wider`].
    pub wider: bool,
    /// The changes, by path.
    pub changes: Vec<Change>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Where: `limits[limits.memory_bytes]`, `reach[the network].reachable`.
    pub path: String,
    /// What it was; absent for what is new.
    pub before: Option<Value>,
    /// What it is; absent for what is gone.
    pub after: Option<Value>,
    /// What it means.
    pub effect: Effect,
}

/// What a change means for what functions may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// They may do more, or it cannot be told that they may not.
    Wider,
    /// They may do less.
    Narrower,
    /// Something else is different: digests, versions, code.
    Other,
}

/// Why two texts cannot be compared.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// A text is not a report.
    #[error("the {which} report has no `schema`: it is not the JSON of `vivarium audit`")]
    NoSchema {
        /// `first` or `second`.
        which: &'static str,
    },
    /// The reports are about different things.
    #[error("the reports are of different kinds: {first} and {second}")]
    Kinds {
        /// Schema of the first.
        first: String,
        /// Schema of the second.
        second: String,
    },
}

/// Compares two reports, given as JSON.
///
/// # Errors
/// [`DiffError`].
pub fn compare(before: &Value, after: &Value) -> Result<Diff, DiffError> {
    let schema = |report: &Value, which| {
        report["schema"].as_str().map(str::to_owned).ok_or(DiffError::NoSchema { which })
    };
    let (first, second) = (schema(before, "first")?, schema(after, "second")?);
    if first != second {
        return Err(DiffError::Kinds { first, second });
    }
    let mut changes = Vec::new();
    walk(String::new(), Some(before), Some(after), &mut changes);
    let wider = changes.iter().any(|change| change.effect == Effect::Wider);
    Ok(Diff { schema: DIFF_SCHEMA, of: first, wider, changes })
}

impl Diff {
    /// The comparison for people, widening changes first.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        if self.changes.is_empty() {
            out.push_str("nothing changed\n");
        }
        let show = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
        for (effect, word) in
            [(Effect::Wider, "WIDER   "), (Effect::Narrower, "narrower"), (Effect::Other, "changed ")]
        {
            for change in self.changes.iter().filter(|change| change.effect == effect) {
                // Writing to a String cannot fail.
                let _ = writeln!(
                    out,
                    "{word}  {}: {} -> {}",
                    change.path.escape_debug(),
                    show(&change.before),
                    show(&change.after)
                );
            }
        }
        out
    }
}

fn walk(path: String, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    if before == after {
        return;
    }
    if let (Some(before), Some(after)) = (before.and_then(Members::of), after.and_then(Members::of)) {
        let names: BTreeSet<&String> = before.by_name.keys().chain(after.by_name.keys()).collect();
        for name in names {
            let path = match path.as_str() {
                "" => name.clone(),
                path if before.in_list => format!("{path}[{name}]"),
                path => format!("{path}.{name}"),
            };
            let of = |members: &Members<'_>| members.by_name.get(name).copied().cloned();
            walk(path, of(&before).as_ref(), of(&after).as_ref(), changes);
        }
        return;
    }
    let effect = effect(&path, before, after);
    changes.push(Change { path, before: before.cloned(), after: after.cloned(), effect });
}

/// The members of an object, or the items of a list that have names.
struct Members<'a> {
    by_name: BTreeMap<String, &'a Value>,
    in_list: bool,
}

impl<'a> Members<'a> {
    /// `None` for plain values and lists of them, which are compared as a whole.
    fn of(value: &'a Value) -> Option<Self> {
        match value {
            Value::Object(object) => {
                let by_name = object.iter().map(|(name, value)| (name.clone(), value)).collect();
                Some(Self { by_name, in_list: false })
            }
            Value::Array(items) => {
                let by_name = items.iter().map(named).collect::<Option<BTreeMap<_, _>>>()?;
                // Names that come twice do not tell items apart.
                (!items.is_empty() && by_name.len() == items.len()).then_some(Self { by_name, in_list: true })
            }
            _ => None,
        }
    }
}

/// An item of a list and its name; of a number or setting only its value, as its unit is in the name.
fn named(item: &Value) -> Option<(String, &Value)> {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    let name = text("name").or_else(|| text("what")).or_else(|| text("location"))?;
    let name = text("module").map_or(name.to_owned(), |module| format!("{module}.{name}"));
    Some((name, item.get("value").unwrap_or(item)))
}

fn effect(path: &str, before: Option<&Value>, after: Option<&Value>) -> Effect {
    let section = path.split(['.', '[']).next().unwrap_or_default();
    match section {
        "limits" => number(before, after),
        "reach" => match (reachable(path, before), reachable(path, after)) {
            (_, Some(true)) | (None, None) | (Some(_), None) => Effect::Wider,
            (Some(true), Some(false)) => Effect::Narrower,
            // The words of the reason.
            (Some(false) | None, Some(false)) => Effect::Other,
        },
        "host_functions" if after.is_none() && path.ends_with(']') => Effect::Narrower,
        "capabilities" if path.ends_with(".step_ms") => match number(before, after) {
            // A coarser clock tells less.
            Effect::Wider => Effect::Narrower,
            _ => Effect::Wider,
        },
        "access" | "environment" => list(before, after),
        "host_functions" | "capabilities" | "isolation" | "settings" => Effect::Wider,
        _ => Effect::Other,
    }
}

/// Whether a subject is reachable, from itself or from its member of that name.
fn reachable(path: &str, value: Option<&Value>) -> Option<bool> {
    match value? {
        Value::Bool(reachable) => Some(*reachable),
        Value::Object(subject) => subject.get("reachable")?.as_bool(),
        // `because`, while `reachable` is the same.
        _ if path.ends_with(".because") => Some(false),
        _ => None,
    }
}

/// A rising number is wider, and so is a limit that is gone. In some limits 0 stands for `automatic`.
fn number(before: Option<&Value>, after: Option<&Value>) -> Effect {
    match (before.and_then(Value::as_u64), after.and_then(Value::as_u64)) {
        (None, Some(_)) => Effect::Narrower,
        (Some(before), Some(after)) if after < before && after != 0 => Effect::Narrower,
        _ => Effect::Wider,
    }
}

/// A list that lost items only is narrower.
fn list(before: Option<&Value>, after: Option<&Value>) -> Effect {
    match (before.and_then(Value::as_array), after.and_then(Value::as_array)) {
        (Some(before), Some(after)) if after.iter().all(|item| before.contains(item)) => Effect::Narrower,
        _ => Effect::Wider,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report() -> Value {
        json!({
            "schema": "vivarium.audit/1",
            "access": {"public_files": ["a.py", "b.py"]},
            "capabilities": {"clock": {"system": {"step_ms": 2}}, "random": "system"},
            "engine": {"python": "3.13.5"},
            "host_functions": [
                {"module": "w", "name": "a", "bounds": "x"},
                {"module": "w", "name": "b", "bounds": "x"},
            ],
            "limits": [{"name": "limits.memory_bytes", "value": 10, "unit": "bytes"}],
            "reach": [{"what": "the network", "reachable": false, "because": "no import"}],
            "settings": [{"name": "imports.schemes", "value": ["https"]}],
        })
    }

    #[test]
    fn every_change_has_its_effect() {
        use Effect::{Narrower, Other, Wider};
        let cases: [(&str, Value, Effect, &str); 16] = [
            ("/limits/0/value", json!(11), Wider, "limits[limits.memory_bytes]"),
            ("/limits/0/value", json!(9), Narrower, "limits[limits.memory_bytes]"),
            ("/limits/0/value", json!(0), Wider, "limits[limits.memory_bytes]"),
            ("/limits", json!([]), Wider, "limits"),
            ("/reach/0/reachable", json!(true), Wider, "reach[the network].reachable"),
            ("/reach/0/because", json!("other words"), Other, "reach[the network].because"),
            ("/reach", json!([]), Wider, "reach"),
            ("/host_functions/0/bounds", json!("y"), Wider, "host_functions[w.a].bounds"),
            ("/host_functions/0/name", json!("c"), Wider, "host_functions[w.a]"),
            ("/capabilities/clock/system/step_ms", json!(1), Wider, "capabilities.clock.system.step_ms"),
            ("/capabilities/clock/system/step_ms", json!(9), Narrower, "capabilities.clock.system.step_ms"),
            ("/capabilities/random", json!("denied"), Wider, "capabilities.random"),
            ("/access/public_files", json!(["a.py"]), Narrower, "access.public_files"),
            ("/access/public_files", json!(["a.py", "c.py"]), Wider, "access.public_files"),
            ("/settings/0/value", json!([]), Wider, "settings[imports.schemes]"),
            ("/engine/python", json!("3.13.6"), Other, "engine.python"),
        ];
        for (pointer, value, effect, path) in cases {
            let mut changed = report();
            *changed.pointer_mut(pointer).unwrap() = value.clone();
            let diff = compare(&report(), &changed).unwrap();
            let worst = diff.changes.iter().find(|change| change.effect == Wider).unwrap_or(&diff.changes[0]);
            assert_eq!(worst.effect, effect, "{pointer} {value}: {:?}", diff.changes);
            assert_eq!(diff.changes[0].path, path, "{pointer} {value}");
            assert_eq!(diff.wider, effect == Wider);
        }
        assert_eq!(compare(&report(), &report()).unwrap().changes, []);
    }

    #[test]
    fn a_function_of_the_host_that_is_gone_is_narrower() {
        let mut fewer = report();
        fewer["host_functions"].as_array_mut().unwrap().pop();
        let diff = compare(&report(), &fewer).unwrap();
        assert_eq!(diff.changes.len(), 1, "{diff:?}");
        assert_eq!((diff.changes[0].path.as_str(), diff.wider), ("host_functions[w.b]", false));
        assert!(diff.to_text().starts_with("narrower  host_functions[w.b]: {"), "{}", diff.to_text());
        let back = compare(&fewer, &report()).unwrap();
        assert!(back.wider);
        assert!(
            back.to_text().starts_with("WIDER     host_functions[w.b]: nothing -> {"),
            "{}",
            back.to_text()
        );
    }

    #[test]
    fn only_reports_of_one_kind_are_compared() {
        let function = json!({"schema": "vivarium.audit.function/1"});
        assert_eq!(compare(&json!([]), &function), Err(DiffError::NoSchema { which: "first" }));
        assert!(matches!(compare(&report(), &function), Err(DiffError::Kinds { .. })));
    }
}
