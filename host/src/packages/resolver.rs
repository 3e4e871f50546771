//! uv as a child process: requirements in, a lock out.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::child::{self, ChildError};
use super::config::PackagesConfig;
use super::error::{PackageError, PackageStoreError};
use super::lock::{self, Lock};
use super::provided::PROVIDED;
use super::requirement::Requirement;
use super::resolver_cache::ResolverCache;
use super::store::Store;
use super::{report, target};

/// Most that the resolver may write, in bytes.
const MAX_OUTPUT_BYTES: u64 = 8 << 20;

/// What of uv's output goes to the log, in bytes.
const MAX_LOG_BYTES: usize = 4096;

#[derive(Debug)]
pub(super) struct Resolver {
    program: PathBuf,
    time: Duration,
    /// Everything behind the program's name.
    arguments: Vec<OsString>,
    cache: ResolverCache,
    /// Its whole environment. Addresses of indexes are here, because anybody can read arguments.
    environment: Vec<(OsString, OsString)>,
}

impl Resolver {
    /// Writes what the resolver needs into the store, and composes its command.
    pub(super) fn new(config: &PackagesConfig, store: &Store) -> Result<Self, PackageStoreError> {
        let folder = store.resolver();
        let cache = ResolverCache::new(folder.join("cache"), config.max_resolver_cache_bytes);
        let python = folder.join(format!("python{}", target::minor_version()));
        store.ensure(&python, target::interpreter_script(&python.display().to_string()).as_bytes(), 0o700)?;
        let overrides = folder.join("overrides.txt");
        store.ensure(&overrides, overrides_text().as_bytes(), 0o600)?;
        for provided in &PROVIDED {
            store.ensure(&store.provided().join(provided.file_name), provided.bytes, 0o600)?;
        }

        let mut arguments: Vec<OsString> = [
            "pip",
            "compile",
            "-",
            "--quiet",
            "--no-progress",
            "--no-header",
            "--no-annotate",
            "--color",
            "never",
            "--format",
            "pylock.toml",
            "--only-binary",
            ":all:",
            "--no-sources",
            "--no-python-downloads",
            "--keyring-provider",
            "disabled",
        ]
        .map(OsString::from)
        .to_vec();
        let mut option = |name: &str, value: &Path| arguments.extend([name.into(), value.into()]);
        option("--python", &python);
        option("--cache-dir", cache.folder());
        option("--overrides", &overrides);
        option("--find-links", &store.provided());
        for links in &config.find_links {
            option("--find-links", &absolute(links));
        }
        if let Some(time) = &config.exclude_newer {
            option("--exclude-newer", Path::new(time));
        }
        if config.offline {
            arguments.extend(["--no-index".into(), "--offline".into()]);
        }
        if config.offline || config.indexes().next().is_some() {
            arguments.push("--no-config".into());
        }
        Ok(Self {
            program: config.resolver.clone(),
            time: Duration::from_secs(config.resolve_timeout_s.get()),
            arguments,
            cache,
            environment: environment(config),
        })
    }

    /// Chooses versions.
    pub(super) fn resolve(&self, requirements: &[Requirement]) -> Result<Lock, PackageError> {
        let program = find_program(&self.program)
            .ok_or_else(|| PackageError::NoResolver { program: self.program.clone() })?;
        let mut command = Command::new(&program);
        // Files of configuration are looked for in the working directory and above it.
        command.args(&self.arguments).env_clear().envs(self.environment.iter().cloned()).current_dir("/");
        let input = requirements.iter().fold(String::new(), |text, one| text + &one.to_string() + "\n");
        let requested = join(requirements);
        let run = || child::run(command, input.as_bytes(), MAX_OUTPUT_BYTES, self.time);
        let finished = self.cache.using(run);
        // Whatever became of it: it may have kept something.
        self.cache.bound(&program, self.time);
        let finished = finished.map_err(|error| match error {
            ChildError::Timeout => {
                PackageError::ResolveTimeout { requested: requested.clone(), limit_s: self.time.as_secs() }
            }
            other => PackageError::Resolver { problem: other.to_string() },
        })?;
        if !finished.status.success() {
            let text = String::from_utf8_lossy(&finished.stderr);
            let output = text.get(..text.floor_char_boundary(MAX_LOG_BYTES)).unwrap_or_default();
            tracing::info!(requirements = requested, status = %finished.status, output, "packages were not resolved");
            return Err(report::error(&text, &requested));
        }
        let text = String::from_utf8_lossy(&finished.stdout);
        lock::read(&text).map_err(|problem| PackageError::Resolver { problem })
    }
}

/// Requirements for a message.
pub(super) fn join(requirements: &[Requirement]) -> String {
    requirements.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Whatever depends on a stand-in is content with it.
fn overrides_text() -> String {
    let stand_ins = PROVIDED.iter().filter(|provided| provided.is_stand_in());
    stand_ins.fold(String::new(), |text, one| text + one.name + "==" + one.version + "\n")
}

fn environment(config: &PackagesConfig) -> Vec<(OsString, OsString)> {
    let mut environment: Vec<(OsString, OsString)> = Vec::new();
    // Certificates of the machine, as for everything else on it; the variable's older name too.
    for name in ["UV_SYSTEM_CERTS", "UV_NATIVE_TLS"] {
        environment.push((name.into(), "true".into()));
    }
    for name in &config.resolver_environment {
        if let Some(value) = std::env::var_os(name) {
            environment.push((name.into(), value));
        }
    }
    if let Some(url) = &config.index_url {
        environment.push(("UV_DEFAULT_INDEX".into(), url.into()));
    }
    if !config.extra_index_urls.is_empty() {
        environment.push(("UV_INDEX".into(), config.extra_index_urls.join(" ").into()));
    }
    environment
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A program by path, or by name on the `PATH`.
pub fn find_program(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| absolute(program));
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| absolute(&folder).join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::parse_requirements;
    use std::os::unix::fs::PermissionsExt as _;

    /// A program in the resolver's place that tells what it was given.
    fn tell(script: &str, config: PackagesConfig) -> Result<Lock, PackageError> {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("uv");
        std::fs::write(&program, format!("#!/bin/sh\n{script}")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let config = PackagesConfig { resolver: program, ..config };
        let store = Store::open(&folder.path().join("packages"), 0).unwrap();
        let requirements = parse_requirements(&["b>1".to_owned(), "a; os_name == 'nt'".to_owned()]).unwrap();
        Resolver::new(&config, &store).unwrap().resolve(&requirements)
    }

    fn problem(script: &str, config: PackagesConfig) -> String {
        tell(script, config).unwrap_err().to_string()
    }

    #[test]
    fn attack_the_resolver_inherits_nothing_and_arguments_hold_no_secret() {
        let config = || PackagesConfig {
            index_url: Some("https://user:secret@example.org/simple".to_owned()),
            resolver_environment: vec!["VIVARIUM_ABSENT".to_owned()],
            ..PackagesConfig::default()
        };
        let script = "case \"$*\" in *secret*) echo 'a secret among the arguments' >&2; exit 1;; esac
            echo \"$HOME|$USER|$VIVARIUM_ABSENT|$UV_DEFAULT_INDEX\" | tr ':/' '__' >&2; exit 1";
        assert_eq!(
            problem(script, config()),
            "the resolver (packages.resolver) failed: |||https___user_secret@example.org_simple; the server's log \
             has its output"
        );
        let script = "pwd >&2; exit 1";
        assert!(problem(script, config()).contains("failed: /;"));
    }

    #[test]
    fn requirements_are_lines_of_its_input() {
        let problem = problem(
            "while read line; do printf '<%s>' \"$line\"; done >&2; exit 1",
            PackagesConfig::default(),
        );
        assert!(problem.contains("failed: <b>1><a; os_name == 'nt'>;"), "{problem}");
    }

    #[test]
    fn a_lock_is_read() {
        let script = "cat >/dev/null; echo 'lock-version = \"1.0\"'";
        assert_eq!(tell(script, PackagesConfig::default()).unwrap(), Lock::default());
        assert_eq!(
            problem("echo nonsense", PackagesConfig::default()),
            "the resolver (packages.resolver) failed: key with no value, expected `=`; the server's log has its output"
        );
    }

    #[test]
    fn a_resolver_that_takes_too_long() {
        let config =
            PackagesConfig { resolve_timeout_s: std::num::NonZeroU64::MIN, ..PackagesConfig::default() };
        assert_eq!(
            problem("sleep 600", config),
            "resolving b>1, a; os_name == 'nt' took longer than packages.resolve_timeout_s, 1 s"
        );
    }

    #[test]
    fn a_resolver_that_is_not_there_is_named_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("packages"), 0).unwrap();
        for program in ["vivarium-no-such-program", "/nonexistent/uv"] {
            let config = PackagesConfig { resolver: PathBuf::from(program), ..PackagesConfig::default() };
            let error = Resolver::new(&config, &store).unwrap().resolve(&[]).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "packages cannot be resolved: the server has no program `{program}` (packages.resolver)"
                )
            );
        }
    }
}
