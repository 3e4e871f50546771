//! Environment variables that the operator gives to functions, from a TOML file that is read again
//! when it changes. The server's own environment never reaches a function.
//!
//! ```toml
//! [udf_env]
//! "acme.geocode" = { API_KEY = "…", RETRIES = 3 }
//!
//! [tenant_env."tenant.with.dots"."function.with.dots"]
//! API_KEY = "…"
//! ```
//!
//! Values are secrets: they are wiped from memory when they are no longer needed, and no error, log
//! line or debug output contains one.

mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use self::file::FileError;
use self::file::Variables;
use crate::watched::{Fingerprint, LOOK_INTERVAL};

/// `[environment]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnvironmentConfig {
    /// The file of the functions' environments. It is read at the start, and again within a second
    /// of a call when it changed; a change that cannot be used is reported in the log, and the
    /// functions keep what they had. Default: none.
    pub file: Option<PathBuf>,
    /// Largest file, in bytes. Default: 1 MiB.
    pub file_bytes: u64,
    /// Largest sum of one function's names and values, in bytes. Default: 64 KiB.
    pub function_bytes: usize,
}

impl Default for EnvironmentConfig {
    fn default() -> Self {
        Self { file: None, file_bytes: 1 << 20, function_bytes: 64 << 10 }
    }
}

#[derive(Clone, Copy, Debug)]
struct EnvironmentLimits {
    function_bytes: usize,
}

/// One function's variables.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: Variables,
}

impl Environment {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.variables.is_empty()
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A copy for the definition of a function that is about to be loaded. Who holds it answers
    /// for its secrets.
    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

#[cfg(test)]
impl FromIterator<(&'static str, &'static str)> for Environment {
    fn from_iter<T: IntoIterator<Item = (&'static str, &'static str)>>(variables: T) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), Zeroizing::new(value.to_owned()));
        Self { variables: variables.into_iter().map(owned).collect() }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.variables.keys()).finish()
    }
}

/// Why the file of environments cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// It cannot be read.
    #[error("cannot read the environments in {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is too large.
    #[error("{} is larger than limit environment.file_bytes, {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes allowed.
        limit: u64,
    },
    /// Its content cannot be used.
    #[error("{}, {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: FileError,
    },
}

/// The environments of all functions.
#[derive(Debug)]
pub struct Environments {
    config: EnvironmentConfig,
    empty: Arc<Environment>,
    state: Mutex<State>,
}

type Loaded = std::collections::HashMap<(String, String), Arc<Environment>>;

#[derive(Debug)]
struct State {
    functions: Loaded,
    looked: Instant,
    /// The file as it was when it was read, or when it could not be used.
    seen: Option<Fingerprint>,
}

impl Environments {
    /// Reads the file, if one is configured.
    ///
    /// # Errors
    /// [`EnvironmentError`].
    pub fn open(config: &EnvironmentConfig) -> Result<Self, EnvironmentError> {
        let mut state = State { functions: Loaded::new(), looked: Instant::now(), seen: None };
        if let Some(path) = &config.file {
            state.seen = Fingerprint::of(path);
            state.functions = load(path, config, &Loaded::new())?;
        }
        Ok(Self { config: config.clone(), empty: Arc::default(), state: Mutex::new(state) })
    }

    /// The variables of a function.
    pub fn of(&self, tenant: &str, function: &str) -> Arc<Environment> {
        let Some(path) = &self.config.file else {
            return Arc::clone(&self.empty);
        };
        let mut state = self.state();
        if state.looked.elapsed() >= LOOK_INTERVAL {
            self.look(path, &mut state);
        }
        let found = state.functions.get(&(tenant.to_owned(), function.to_owned()));
        Arc::clone(found.unwrap_or(&self.empty))
    }

    /// Reads the file again if it changed. What cannot be used is reported once.
    fn look(&self, path: &Path, state: &mut State) {
        state.looked = Instant::now();
        let now = Fingerprint::of(path);
        if now == state.seen {
            return;
        }
        state.seen = now;
        match load(path, &self.config, &state.functions) {
            Ok(functions) => {
                let count = functions.len();
                tracing::info!(path = %path.display(), functions = count, "the environments were read again");
                state.functions = functions;
            }
            Err(error) => tracing::error!(%error, "the functions keep the environments that they had"),
        }
    }

    /// Looks at the file now, whenever it was looked at last.
    pub(crate) fn reload(&self) {
        if let Some(path) = &self.config.file {
            self.look(path, &mut self.state());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the file. Environments that did not change stay the same object.
fn load(path: &Path, config: &EnvironmentConfig, before: &Loaded) -> Result<Loaded, EnvironmentError> {
    let text = read(path, config.file_bytes)?;
    let limits = EnvironmentLimits { function_bytes: config.function_bytes };
    let functions = file::parse(&text, &limits)
        .map_err(|source| EnvironmentError::Content { path: path.to_owned(), source })?;
    let keep = |(name, variables): (_, Variables)| {
        let same = before.get(&name).filter(|environment| environment.variables == variables);
        let environment = same.cloned().unwrap_or_else(|| Arc::new(Environment { variables }));
        (name, environment)
    };
    Ok(functions.into_iter().map(keep).collect())
}

fn read(path: &Path, limit: u64) -> Result<Zeroizing<String>, EnvironmentError> {
    let failed = |source| EnvironmentError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(std::io::Error::other("it is not a file")));
    }
    if metadata.len() > limit {
        return Err(EnvironmentError::TooLarge { path: path.to_owned(), limit });
    }
    if metadata.mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others than its owner can read the environments; chmod 600");
    }
    // Room for all of it at once, so that no shorter copy stays behind in memory.
    let room = usize::try_from(metadata.len()).unwrap_or(0).saturating_add(1);
    let mut text = Zeroizing::new(String::with_capacity(room));
    file.take(limit).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture {
        directory: tempfile::TempDir,
        environments: Environments,
    }

    impl Fixture {
        fn new(text: &str) -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("env.toml");
            std::fs::write(&path, text).unwrap();
            let config = EnvironmentConfig { file: Some(path), ..EnvironmentConfig::default() };
            Self { environments: Environments::open(&config).unwrap(), directory }
        }

        fn path(&self) -> PathBuf {
            self.directory.path().join("env.toml")
        }

        /// What `a.f` has, after the file was looked at.
        fn now(&self) -> String {
            self.environments.state().looked = Instant::now().checked_sub(2 * LOOK_INTERVAL).unwrap();
            self.unlooked()
        }

        fn unlooked(&self) -> String {
            let of = self.environments.of("a", "f");
            of.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
        }
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let fixture = Fixture::new("[udf_env]\n\"a.f\" = { K = \"1\" }");
        assert_eq!(fixture.now(), "K=1");
        std::fs::write(fixture.path(), "[udf_env]\n\"a.f\" = { K = \"2\" }").unwrap();
        assert_eq!(fixture.unlooked(), "K=1", "it is looked at once a second");
        assert_eq!(fixture.now(), "K=2");
        // As an orchestrator replaces secrets: another file of the same length under the same name.
        let other = fixture.directory.path().join("other");
        std::fs::write(&other, "[udf_env]\n\"a.f\" = { K = \"3\" }").unwrap();
        std::fs::rename(&other, fixture.path()).unwrap();
        assert_eq!(fixture.now(), "K=3");
    }

    #[test]
    fn a_file_that_cannot_be_used_changes_nothing() {
        let fixture = Fixture::new("[udf_env]\n\"a.f\" = { K = \"1\" }");
        std::fs::write(fixture.path(), "[udf_env]\n\"a.f\" = { K = \"2\" ").unwrap();
        assert_eq!(fixture.now(), "K=1");
        std::fs::remove_file(fixture.path()).unwrap();
        assert_eq!(fixture.now(), "K=1");
        std::fs::write(fixture.path(), b"\xff").unwrap();
        assert_eq!(fixture.now(), "K=1");
        std::fs::write(fixture.path(), "[udf_env]\n\"a.f\" = { K = \"4\" }").unwrap();
        assert_eq!(fixture.now(), "K=4");
        std::fs::write(fixture.path(), "").unwrap();
        assert_eq!(fixture.now(), "", "an empty file takes everything away");
    }

    #[test]
    fn attack_53_environments_belong_to_one_tenant_and_never_show() {
        let fixture =
            Fixture::new("[udf_env]\n\"a.f\" = { K = \"s3cret\" }\n[tenant_env.\"a.b\".c]\nK = \"s3cret\"");
        for (tenant, function, expected) in
            [("a", "f", 1), ("b", "f", 0), ("a", "g", 0), ("", "a.f", 0), ("a.b", "c", 1), ("a", "b.c", 0)]
        {
            let found = fixture.environments.of(tenant, function);
            assert_eq!(found.iter().count(), expected, "{tenant} {function}");
            assert_eq!(found.to_map().len(), expected);
        }
        let shown = format!("{:?} {:?}", fixture.environments, fixture.environments.of("a", "f"));
        assert!(shown.contains("\"K\"") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn what_cannot_be_opened_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let open = |name: &str, file_bytes| {
            let file = Some(directory.path().join(name));
            let config = EnvironmentConfig { file, file_bytes, ..EnvironmentConfig::default() };
            let error = Environments::open(&config).unwrap_err().to_string();
            error.replace(&directory.path().display().to_string(), "DIR")
        };
        std::fs::write(directory.path().join("large"), "# 10 bytes").unwrap();
        std::fs::write(directory.path().join("wrong"), "\nwrong").unwrap();
        assert_eq!(
            open("missing", 9),
            "cannot read the environments in DIR/missing: No such file or directory (os error 2)"
        );
        assert_eq!(open("", 9), "cannot read the environments in DIR/: it is not a file");
        assert_eq!(open("large", 9), "DIR/large is larger than limit environment.file_bytes, 9 bytes");
        assert_eq!(open("wrong", 99), "DIR/wrong, line 2: it is not TOML: key with no value, expected `=`");
        let none = Environments::open(&EnvironmentConfig::default()).unwrap();
        assert!(none.of("a", "f").is_empty());
    }
}
