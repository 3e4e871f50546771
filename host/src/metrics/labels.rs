//! Names of strangers as labels: few, short, and free of everything that could end a label.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Stands for all names beyond the bound.
pub const OTHER: &str = "_other";

/// Longest label, in characters.
const MAX_CHARACTERS: usize = 128;

/// A bounded set of labels: the first names that come are told apart, all others are [`OTHER`].
#[derive(Debug)]
pub(super) struct BoundedLabels {
    known: Mutex<HashSet<String>>,
    limit: usize,
}

impl BoundedLabels {
    pub(super) fn new(limit: usize) -> Self {
        Self { known: Mutex::default(), limit }
    }

    /// The label of a name.
    pub(super) fn of(&self, name: &str) -> String {
        let label = clean(name);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&label) {
            return label;
        }
        if known.len() >= self.limit {
            return OTHER.to_owned();
        }
        known.insert(label.clone());
        label
    }
}

/// Letters, digits and a few signs stay; everything else becomes `_`. What a label must not contain
/// (quotes, backslashes, line ends) is gone whatever the encoder does.
fn clean(name: &str) -> String {
    let allowed = |character: char| character.is_alphanumeric() || "_-.:@/ ".contains(character);
    name.chars().take(MAX_CHARACTERS).map(|c| if allowed(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_names_become_few_harmless_labels() {
        let labels = BoundedLabels::new(2);
        assert_eq!(labels.of("größe.f"), "größe.f");
        assert_eq!(labels.of("a\"} 1\nevil{x=\"\\"), "a__ 1_evil_x___");
        assert_eq!(labels.of("third"), OTHER);
        assert_eq!(labels.of("größe.f"), "größe.f");
        assert_eq!(BoundedLabels::new(1).of(&"ü".repeat(1000)).chars().count(), MAX_CHARACTERS);
    }
}
