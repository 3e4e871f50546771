//! `[classes.<name>]`: sizes that an engine can ask for.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};
use vivarium_runtime::Limits;

/// Longest name of a class, in bytes.
const MAX_NAME_BYTES: usize = 64;

/// The resource classes, by name. A name consists of lower-case letters, digits, `-` and `_`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Classes(BTreeMap<String, Class>);

/// One resource class: what it says replaces what `[limits]` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Class {
    /// Linear memory of a sandbox, in bytes. Default: `limits.memory_bytes`.
    pub memory_bytes: Option<u64>,
    /// Fuel for each batch. Default: `limits.fuel_per_batch`.
    pub fuel_per_batch: Option<u64>,
    /// Wall-clock time for each batch, in milliseconds. Default: `limits.deadline_ms`.
    pub deadline_ms: Option<u64>,
    /// Exchanges of one function that run at the same time; further ones wait. Default: as many as its
    /// tenant may have, `tenants.max_concurrent_exchanges`.
    pub max_concurrent_exchanges: Option<NonZeroUsize>,
}

/// A class that is not configured was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no resource class `{requested}`; {}", self.choice())]
pub struct UnknownClass {
    /// The beginning of the name that was asked for.
    pub requested: String,
    /// The names that there are.
    pub known: Vec<String>,
}

impl UnknownClass {
    fn choice(&self) -> String {
        match self.known.as_slice() {
            [] => "this server has none (`[classes.<name>]` in its configuration)".to_owned(),
            [one] => format!("there is {one}"),
            many => format!("there are {}", many.join(", ")),
        }
    }
}

impl Class {
    /// The limits of a sandbox of this class.
    pub fn limits(&self, defaults: &Limits) -> Limits {
        Limits {
            memory_bytes: self.memory_bytes.unwrap_or(defaults.memory_bytes),
            fuel_per_batch: self.fuel_per_batch.unwrap_or(defaults.fuel_per_batch),
            deadline_ms: self.deadline_ms.unwrap_or(defaults.deadline_ms),
            ..defaults.clone()
        }
    }
}

impl Classes {
    /// The class of a name, in lower-case or upper-case letters.
    ///
    /// # Errors
    /// [`UnknownClass`].
    pub fn find(&self, requested: &str) -> Result<(&str, &Class), UnknownClass> {
        let name = requested.to_ascii_lowercase();
        self.0.get_key_value(&name).map(|(name, class)| (name.as_str(), class)).ok_or_else(|| UnknownClass {
            requested: requested.chars().take(60).flat_map(char::escape_debug).collect(),
            known: self.0.keys().cloned().collect(),
        })
    }

    /// The classes, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Class)> {
        self.0.iter().map(|(name, class)| (name.as_str(), class))
    }

    /// What is wrong with the first class that cannot be used.
    pub(super) fn check(&self, room_bytes: u64) -> Result<(), String> {
        for (name, class) in &self.0 {
            let allowed =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
            if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !name.bytes().all(allowed) {
                return Err(format!(
                    "has the class `{name}`: {}",
                    "lower-case letters, digits, `-` and `_` only"
                ));
            }
            if class.memory_bytes.is_some_and(|bytes| bytes > room_bytes) {
                return Err(format!(
                    "has the class `{name}`, whose memory_bytes has no room in server.host_memory_bytes"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_replaces_what_it_names() {
        let classes: Classes =
            toml::from_str("[small]\nmemory_bytes = 5\n[large]\ndeadline_ms = 7\n").unwrap();
        let (name, small) = classes.find("SMALL").unwrap();
        let limits = small.limits(&Limits::default());
        assert_eq!((name, limits.clone()), ("small", Limits { memory_bytes: 5, ..Limits::default() }));
        assert!(toml::from_str::<Classes>("[small]\nmemory = 5\n").is_err());
        let error = classes.find("huge\n").unwrap_err().to_string();
        assert_eq!(error, "there is no resource class `huge\\n`; there are large, small");
        let error = Classes::default().find("x").unwrap_err().to_string();
        let none =
            "there is no resource class `x`; this server has none (`[classes.<name>]` in its configuration)";
        assert_eq!(error, none);
    }

    #[test]
    fn classes_that_cannot_be_are_named() {
        for (text, expected) in [("[Small]", "class `Small`"), ("[a]\nmemory_bytes = 11", "class `a`")] {
            let error = toml::from_str::<Classes>(text).unwrap().check(10).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
