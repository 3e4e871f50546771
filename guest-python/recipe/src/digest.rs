//! Digests over build inputs.

use sha2::{Digest as _, Sha256};

/// A SHA-256 over named inputs, which names a stage in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest(String);

impl Digest {
    /// The digest in hexadecimal, 64 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its first 16 characters, for folder names.
    pub fn short(&self) -> &str {
        &self.0[..16]
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Collects inputs. Every part is preceded by its length, so that two different lists never give
/// the same bytes.
pub(crate) struct Hasher(Sha256);

impl Hasher {
    /// A hasher for the stage of that name. What xtask does with the inputs is not an input: when it
    /// comes to build a stage in another way, give the stage another name here ("cross 2").
    pub(crate) fn new(stage: &str) -> Self {
        let mut hasher = Self(Sha256::new());
        hasher.add("stage", stage.as_bytes());
        hasher
    }

    pub(crate) fn add(&mut self, name: &str, bytes: &[u8]) {
        for part in [name.as_bytes(), bytes] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    pub(crate) fn add_list(&mut self, name: &str, values: &[&str]) {
        self.add(name, &(values.len() as u64).to_le_bytes());
        for value in values {
            self.add(name, value.as_bytes());
        }
    }

    pub(crate) fn finish(self) -> Digest {
        Digest(hex::encode(self.0.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(parts: &[(&str, &str)]) -> Digest {
        let mut hasher = Hasher::new("test");
        for (name, bytes) in parts {
            hasher.add(name, bytes.as_bytes());
        }
        hasher.finish()
    }

    #[test]
    fn is_stable() {
        assert_eq!(digest(&[("a", "b")]), digest(&[("a", "b")]));
        assert_eq!(digest(&[]).as_str().len(), 64);
    }

    #[test]
    fn boundaries_count() {
        assert_ne!(digest(&[("a", "bc")]), digest(&[("ab", "c")]));
        assert_ne!(digest(&[("a", "b"), ("c", "d")]), digest(&[("a", "bc"), ("", "d")]));
        assert_ne!(Hasher::new("x").finish(), Hasher::new("y").finish());
    }
}
