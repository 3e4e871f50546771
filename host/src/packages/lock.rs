//! Which versions were chosen, and where their wheels are: the resolver's answer (`pylock.toml`,
//! PEP 751), reduced to what we use, and kept as JSON.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::provided;
use super::store::Hash;
use super::target::is_usable_python_tag;

/// Packages of one list of requirements, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lock {
    pub(super) packages: Vec<Locked>,
}

/// One package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Locked {
    pub(super) name: String,
    pub(super) version: String,
    #[serde(with = "optional_hash")]
    pub(super) sha256: Option<Hash>,
    /// Bytes of the wheel, if the index says it.
    pub(super) size: Option<u64>,
    pub(super) source: Source,
}

/// Where a wheel is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Source {
    /// Inside this program, under the package's name.
    Provided,
    /// On this machine.
    File(PathBuf),
    /// On an index.
    Url(String),
}

impl Locked {
    /// Name and version, for messages.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }
}

mod optional_hash {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::packages::store::Hash;

    pub(super) fn serialize<S: Serializer>(hash: &Option<Hash>, serializer: S) -> Result<S::Ok, S::Error> {
        match hash {
            Some(hash) => serializer.serialize_str(&hex::encode(hash)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Hash>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        super::parse_hash(&text).map(Some).ok_or_else(|| D::Error::custom("expected a SHA-256"))
    }
}

fn parse_hash(text: &str) -> Option<Hash> {
    hex::decode(text).ok()?.try_into().ok()
}

/// The parts of `pylock.toml` that matter here; the standard adds more at any time.
#[derive(Deserialize)]
struct Document {
    #[serde(rename = "lock-version")]
    lock_version: String,
    #[serde(default)]
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: Option<String>,
    #[serde(default)]
    wheels: Vec<Wheel>,
}

#[derive(Deserialize)]
struct Wheel {
    name: Option<String>,
    url: Option<String>,
    path: Option<String>,
    size: Option<u64>,
    #[serde(default)]
    hashes: Hashes,
}

#[derive(Default, Deserialize)]
struct Hashes {
    sha256: Option<String>,
}

/// Reads the resolver's answer.
pub(super) fn read(text: &str) -> Result<Lock, String> {
    let document: Document = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    if !document.lock_version.starts_with("1.") {
        return Err(format!("its lock has the version {}; 1.x is known", document.lock_version));
    }
    let packages = document.packages.into_iter().map(locked).collect::<Result<_, _>>()?;
    Ok(Lock { packages })
}

fn locked(package: Package) -> Result<Locked, String> {
    let name = package.name;
    let version = package.version.ok_or_else(|| format!("its lock has no version of {name}"))?;
    let wheel = package.wheels.into_iter().find(|wheel| wheel.file_name().is_some_and(is_pure));
    let wheel = wheel.ok_or_else(|| format!("its lock has no pure-Python wheel of {name} {version}"))?;
    let source = wheel.source().ok_or_else(|| format!("its lock has no place for {name} {version}"))?;
    let sha256 = match &wheel.hashes.sha256 {
        Some(text) => Some(parse_hash(text).ok_or_else(|| format!("its lock has a wrong hash for {name}"))?),
        None => None,
    };
    // What this program provides is not read from where the resolver saw it.
    let is_ours = provided::find(&name).is_some_and(|provided| {
        provided.version == version && sha256 == Some(super::store::hash(provided.bytes))
    });
    let source = if is_ours { Source::Provided } else { source };
    Ok(Locked { name, version, sha256, size: wheel.size, source })
}

impl Wheel {
    fn file_name(&self) -> Option<&str> {
        let location = self.name.as_deref().or(self.path.as_deref()).or(self.url.as_deref())?;
        let location = location.split(['?', '#']).next()?;
        location.rsplit('/').next()
    }

    fn source(&self) -> Option<Source> {
        if let Some(path) = &self.path {
            return Some(Source::File(PathBuf::from(path)));
        }
        let (url, _fragment) = self.url.as_deref().map(|url| url.split_once('#').unwrap_or((url, "")))?;
        if let Some(path) = url.strip_prefix("file://") {
            let path = OsString::from_vec(percent_decode_str(path).collect());
            return Some(Source::File(PathBuf::from(path)));
        }
        let is_web = url.starts_with("https://") || url.starts_with("http://");
        is_web.then(|| Source::Url(url.to_owned()))
    }
}

/// Whether a wheel's file name has tags that the sandbox can use: `NAME-VERSION(-BUILD)?-PY-none-any.whl`.
fn is_pure(file_name: &str) -> bool {
    let Some(tags) = file_name.strip_suffix("-none-any.whl") else { return false };
    tags.rsplit('-').next().is_some_and(|tags| tags.split('.').any(is_usable_python_tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "ce284a76d5b1377fd8836733b983bfb0b76f1aa1c090de2566fcf008d7f6ab16";

    fn document(wheels: &str) -> String {
        format!("lock-version = \"1.0\"\n[[packages]]\nname = \"a\"\nversion = \"1\"\nwheels = [{wheels}]\n")
    }

    #[test]
    fn the_pure_wheel_is_chosen_among_others() {
        let text = document(&format!(
            "{{ url = \"https://example.org/a-1-cp313-cp313-linux_x86_64.whl\", hashes = {{}} }}, \
             {{ url = \"https://example.org/a-1-py2.py3-none-any.whl#x\", upload-time = 2023-11-21T19:53:26Z, \
             size = 5, hashes = {{ sha256 = \"{HASH}\" }} }}"
        ));
        let lock = read(&text).unwrap();
        let expected = Locked {
            name: "a".to_owned(),
            version: "1".to_owned(),
            sha256: parse_hash(HASH),
            size: Some(5),
            source: Source::Url("https://example.org/a-1-py2.py3-none-any.whl".to_owned()),
        };
        assert_eq!(lock.packages, [expected]);
        let json = serde_json::to_vec(&lock).unwrap();
        assert_eq!(serde_json::from_slice::<Lock>(&json).unwrap(), lock);
    }

    #[test]
    fn files() {
        for wheel in ["url = \"file:///w%20x/a-1-py3-none-any.whl\"", "path = \"/w x/a-1-py3-none-any.whl\""]
        {
            let lock = read(&document(&format!("{{ {wheel} }}"))).unwrap();
            assert_eq!(lock.packages[0].source, Source::File(PathBuf::from("/w x/a-1-py3-none-any.whl")));
            assert_eq!(lock.packages[0].sha256, None);
        }
    }

    #[test]
    fn answers_that_cannot_be_used() {
        let cases = [
            ("", "missing field `lock-version`"),
            ("lock-version = \"2.0\"", "its lock has the version 2.0; 1.x is known"),
            ("lock-version = \"1.0\"\n[[packages]]\nname = \"a\"", "its lock has no version of a"),
            (&document(""), "its lock has no pure-Python wheel of a 1"),
            (
                &document("{ url = \"https://x/a-1-cp313-cp313-any.whl\" }"),
                "its lock has no pure-Python wheel of a 1",
            ),
            (&document("{ url = \"ftp://x/a-1-py3-none-any.whl\" }"), "its lock has no place for a 1"),
            (
                &document("{ url = \"https://x/a-1-py3-none-any.whl\", hashes = { sha256 = \"1\" } }"),
                "its lock has a wrong hash for a",
            ),
        ];
        for (text, expected) in cases {
            let error = read(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
