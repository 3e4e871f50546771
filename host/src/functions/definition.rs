//! What a caller provisions: a function, and what has to be brought to it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vivarium_runtime::FunctionSpec;

use crate::environment::Environment;
use crate::imports::Import;

/// Everything that a version of a function is made from, as its caller stated it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// The function itself. Its types are as its dialect names them; its environment is empty, because
    /// environments come from the operator.
    pub spec: FunctionSpec,
    /// Packages that the code needs, as PEP 508 requirements. What the code asks for in a block of
    /// inline metadata (PEP 723) is added to them.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Files that the code imports or reads.
    #[serde(default)]
    pub imports: Vec<Import>,
    /// Location of the import whose content is the code, where the code itself was not sent.
    #[serde(default)]
    pub code_location: Option<String>,
    /// The resource class that bounds its calls; `None` for the server's limits.
    #[serde(default)]
    pub class: Option<String>,
    /// Name by which the operator's environments know the function.
    #[serde(default)]
    pub environment_name: String,
}

impl Definition {
    /// A function that needs nothing but its code.
    pub fn of(spec: FunctionSpec) -> Self {
        let environment_name = spec.name.clone();
        Self {
            spec,
            packages: Vec::new(),
            imports: Vec::new(),
            code_location: None,
            class: None,
            environment_name,
        }
    }

    /// Identity of the version that this definition makes together with an environment.
    ///
    /// Addresses of imports change with every query, because they are signed: what counts of them is
    /// the tag, or else the address without its signature.
    pub(super) fn digest(&self, environment: Option<EnvironmentMark>) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"vivarium definition 1\0");
        hash.update(self.spec.digest());
        let mut text = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        text(&self.packages.len().to_string());
        self.packages.iter().for_each(|package| text(package));
        text(&self.imports.len().to_string());
        for import in &self.imports {
            text(&import.location);
            match &import.tag {
                Some(tag) => ["tag", tag].map(&mut text),
                None => ["url", import.url_without_query()].map(&mut text),
            };
        }
        for optional in [&self.code_location, &self.class] {
            text(if optional.is_some() { "some" } else { "none" });
            text(optional.as_deref().unwrap_or_default());
        }
        text(&self.environment_name);
        hash.update(environment.map_or([0; 32], |mark| mark.0));
        hash.finalize().into()
    }

    /// The definition as it is kept on disk: without signatures and headers of imports, which are
    /// secrets and have expired when they are read again.
    pub(super) fn to_keep(&self) -> Self {
        let without_secrets = |import: &Import| Import {
            url: import.url_without_query().to_owned(),
            headers: Default::default(),
            ..import.clone()
        };
        Self { imports: self.imports.iter().map(without_secrets).collect(), ..self.clone() }
    }
}

/// Stands for the content of an environment without giving it away: tells whether two are equal to
/// whoever has the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct EnvironmentMark([u8; 32]);

impl EnvironmentMark {
    /// `None` for the empty environment.
    pub(super) fn of(environment: &Environment, key: &[u8; 32]) -> Option<Self> {
        if environment.is_empty() {
            return None;
        }
        // HMAC fills its key up to a block with zeros.
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(key);
        let mut mac = Hmac::<Sha256>::new((&block).into());
        for text in environment.iter().flat_map(|(name, value)| [name, value]) {
            mac.update(&(text.len() as u64).to_le_bytes());
            mac.update(text.as_bytes());
        }
        Some(Self(mac.finalize().into_bytes().into()))
    }

    pub(super) fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let mut mark = [0; 32];
        hex::decode_to_slice(text, &mut mark).ok()?;
        Some(Self(mark))
    }
}

impl fmt::Debug for EnvironmentMark {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("EnvironmentMark")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::registry::tests::definition;

    fn import(location: &str, url: &str, tag: Option<&str>) -> Import {
        Import {
            location: location.to_owned(),
            url: url.to_owned(),
            tag: tag.map(str::to_owned),
            headers: Default::default(),
        }
    }

    #[test]
    fn every_part_changes_the_digest() {
        let original = definition("f", "1");
        let changes: [fn(&mut Definition); 7] = [
            |d| d.spec.code.push('2'),
            |d| d.packages.push("humanize".to_owned()),
            |d| d.imports.push(import("@s/a.py", "http://h/a.py", None)),
            |d| d.imports.push(import("@s/a.py", "http://h/a.py", Some("1"))),
            |d| d.code_location = Some("@s/a.py".to_owned()),
            |d| d.class = Some("small".to_owned()),
            |d| d.environment_name.push('x'),
        ];
        let mut digests = vec![original.digest(None)];
        for change in changes {
            let mut changed = original.clone();
            change(&mut changed);
            digests.push(changed.digest(None));
        }
        let key = [1; 32];
        for value in ["1", "2"] {
            let environment = Environment::from_iter([("KEY", value)]);
            digests.push(original.digest(EnvironmentMark::of(&environment, &key)));
        }
        for (index, digest) in digests.iter().enumerate() {
            assert!(!digests[..index].contains(digest), "{index}");
        }
    }

    #[test]
    fn a_new_signature_is_the_same_version() {
        let with = |url: &str, tag| {
            let mut changed = definition("f", "1");
            changed.imports.push(import("@s/a.py", url, tag));
            changed.digest(None)
        };
        assert_eq!(with("http://h/a.py?signature=1", None), with("http://h/a.py?signature=2", None));
        assert_ne!(with("http://h/a.py", None), with("http://h/b.py", None));
        assert_eq!(with("http://h/a.py", Some("t")), with("http://i/b.py", Some("t")));
        assert_ne!(with("http://h/a.py", Some("t")), with("http://h/a.py", Some("u")));
    }

    #[test]
    fn what_is_kept_holds_no_secret() {
        let mut original = definition("f", "1");
        let mut secret = import("@s/a.py", "http://h/a.py?signature=hidden", None);
        secret.headers.insert("authorization".to_owned(), "hidden".to_owned());
        original.imports.push(secret);
        let kept = original.to_keep();
        assert!(!serde_json::to_string(&kept).unwrap().contains("hidden"));
        assert_eq!(kept.digest(None), original.digest(None));
    }
}
