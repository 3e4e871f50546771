//! Packages: from requirements of a function to files of its sandbox.
//!
//! [`parse_requirements`] and [`inline_metadata`] read what a function asks for, without asking anybody.
//! [`Packages::collect`] turns it into files, under the operator's policy:
//!
//! 1. *Resolve*: [uv](https://docs.astral.sh/uv/) as a child process chooses versions that have
//!    pure-Python wheels for the sandbox's Python, which we describe to it; nothing is ever built. The
//!    choice is kept for `packages.lock_lifetime_s`.
//! 2. *Download*: exactly the chosen wheels, each compared with the SHA-256 that the index publishes (if
//!    it publishes none: that of what the resolver saw), and kept by it.
//! 3. *Unpack*: strictly, see [`crate::archive`] and the checks of `wheel`.
//!
//! Packages find a few modules of the standard library that the sandbox has not, without function, so that
//! those that import them in any case work: `bz2`, `ctypes`, `pydoc` and `ssl`.
//!
//! What needs native code is not there. NumPy is: it is compiled into an interpreter of its own, which
//! [`Collected::interpreter`] then names. Pure-Python parts of a few packages that are published with
//! native code only come with this program (`host/packages`).

mod child;
mod config;
mod download;
mod error;
mod inline;
mod lock;
mod memory;
mod name;
mod policy;
mod provided;
mod record;
mod report;
mod requirement;
mod resolver;
mod resolver_cache;
mod store;
mod target;
mod wheel;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use vivarium_runtime::Interpreter;

pub use self::config::PackagesConfig;
pub use self::error::{Fault, PackageError, PackageStoreError, PackagesError, WheelProblem};
pub use self::inline::{InlineMetadata, inline_metadata};
pub use self::requirement::{MAX_REQUIREMENT_BYTES, Requirement, parse_requirements};

pub use self::resolver::find_program;

use self::download::Downloader;
use self::lock::{Lock, Locked};
use self::memory::Memory;
use self::policy::Policy;
use self::provided::Kind;
use self::resolver::Resolver;
use self::store::{Hash, Store, hash};
use self::wheel::{Files, Identity};
use crate::archive::{ArchiveError, ArchiveLimits};

/// Policy and caches. Share it behind an [`Arc`].
pub struct Packages {
    config: PackagesConfig,
    policy: Policy,
    store: Store,
    resolver: Resolver,
    downloader: Downloader,
    locks: Memory<Arc<Kept>>,
    unpacked: Memory<Arc<Unpacked>>,
}

/// What the packages of a function are made of.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// Files by path below the folder of packages, in order.
    pub files: Vec<(String, Arc<[u8]>)>,
    /// What was chosen, by name; what the interpreter brings itself is not among them.
    pub packages: Vec<ResolvedPackage>,
    /// The interpreter that the packages need.
    pub interpreter: Interpreter,
}

/// One chosen package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolvedPackage {
    /// Its normalised name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its wheel, in hexadecimal.
    pub sha256: String,
}

/// A lock and when it was made.
struct Kept {
    lock: Lock,
    made: SystemTime,
}

/// A wheel's files.
struct Unpacked {
    files: Files,
    file_bytes: u64,
    wheel_bytes: u64,
}

/// Locks that stay in memory.
const LOCKS_IN_MEMORY: u64 = 1000;

/// Wheels that are downloaded for one function at the same time.
const DOWNLOADS: usize = 4;

/// Where packages are kept inside the cache directory.
pub(crate) fn folder(cache_dir: &Path) -> PathBuf {
    cache_dir.join("packages")
}

impl Packages {
    /// Reads the policy and opens the cache, a folder of its own inside `cache_dir`. The network and the
    /// resolver are not needed for it.
    ///
    /// # Errors
    /// [`PackagesError`]: a value of the configuration, or the cache, cannot be used.
    pub fn new(config: &PackagesConfig, cache_dir: &Path) -> Result<Self, PackagesError> {
        config.check()?;
        for folder in &config.find_links {
            if !folder.is_dir() {
                let problem = format!("has {}, which is not a folder", folder.display());
                return Err(PackagesError::Value { key: "packages.find_links", problem });
            }
        }
        let invalid = |problem| PackagesError::Value { key: "packages.allow", problem };
        let folder = std::path::absolute(folder(cache_dir)).map_err(|source| PackageStoreError::Io {
            operation: "finding",
            path: cache_dir.to_owned(),
            source,
        })?;
        let store = Store::open(&folder, config.max_cache_bytes)?;
        Ok(Self {
            policy: Policy::new(config).map_err(invalid)?,
            resolver: Resolver::new(config, &store)?,
            downloader: Downloader::new(config),
            locks: Memory::new(LOCKS_IN_MEMORY),
            unpacked: Memory::new(config.max_memory_bytes),
            config: config.clone(),
            store,
        })
    }

    /// Resolves, downloads, checks and unpacks. Blocks: for milliseconds when it has been asked for the
    /// same before, else as long as the network takes. Threads that ask for the same wait for the first.
    ///
    /// # Errors
    /// [`PackageError`].
    pub fn collect(&self, requirements: &[Requirement]) -> Result<Collected, PackageError> {
        self.within(
            "the function has",
            requirements.len() as u64,
            "requirements",
            "packages.max_requirements",
        )?;
        let mut collected = Collected::default();
        let mut wanted = Vec::new();
        for requirement in requirements {
            // Whether a marker holds is for the resolver to say.
            let provided = provided::find(requirement.name()).filter(|_| !requirement.has_marker());
            match provided.filter(|provided| provided.is_built_in()) {
                None => wanted.push(requirement.clone()),
                Some(provided) if provided.satisfies(requirement) => collected.note(provided.kind),
                Some(provided) => {
                    return Err(PackageError::BuiltInVersion {
                        name: provided.name.to_owned(),
                        available: provided.version,
                        requested: requirement.to_string(),
                    });
                }
            }
        }
        if wanted.is_empty() {
            return Ok(collected);
        }
        if !self.config.enabled {
            return Err(PackageError::Disabled);
        }
        for requirement in &wanted {
            self.policy.check(requirement.name(), false)?;
        }
        let kept = self.lock(&wanted)?;
        let mut packages = Vec::new();
        for locked in &kept.lock.packages {
            match provided::find(&locked.name).filter(|provided| provided.is_built_in()) {
                Some(provided) => collected.note(provided.kind),
                None => {
                    self.policy.check(&locked.name, true)?;
                    packages.push(locked);
                }
            }
        }
        self.within("the function needs", packages.len() as u64, "packages", "packages.max_packages")?;
        let unpacked = self.unpack_all(&packages)?;
        self.merge(&packages, &unpacked, &mut collected)?;
        Ok(collected)
    }

    /// The lock for these requirements: the last one while it is young enough, else a new one.
    fn lock(&self, requirements: &[Requirement]) -> Result<Arc<Kept>, PackageError> {
        let mut texts: Vec<String> = requirements.iter().map(ToString::to_string).collect();
        texts.sort_unstable();
        texts.dedup();
        let key = self.key(&texts);
        let is_fresh = |kept: &Arc<Kept>| self.is_fresh(kept.made);
        self.locks.get_or_make(&key, is_fresh, || Ok((self.load_or_resolve(&key, requirements)?, 1)))
    }

    /// Everything that versions are chosen by.
    fn key(&self, requirements: &[String]) -> Hash {
        let config = &self.config;
        let changed = |folder: &std::path::PathBuf| {
            let modified = folder.metadata().and_then(|metadata| metadata.modified()).ok()?;
            modified.duration_since(SystemTime::UNIX_EPOCH).ok().map(|age| age.as_nanos().to_string())
        };
        let folders: Vec<_> = config.find_links.iter().map(|folder| (folder, changed(folder))).collect();
        let text = serde_json::json!([
            "1",
            target::PYTHON_VERSION,
            provided::list(),
            requirements,
            config.index_url,
            config.extra_index_urls,
            folders,
            config.offline,
            config.exclude_newer,
        ]);
        hash(text.to_string().as_bytes())
    }

    fn is_fresh(&self, made: SystemTime) -> bool {
        made.elapsed().is_ok_and(|age| age < Duration::from_secs(self.config.lock_lifetime_s))
    }

    fn load_or_resolve(&self, key: &Hash, requirements: &[Requirement]) -> Result<Arc<Kept>, PackageError> {
        let name = format!("{}.json", hex::encode(key));
        // One that cannot be read, perhaps of another version, is made again.
        let known = self.store.lock(&name)?.and_then(|(bytes, made)| {
            let lock = serde_json::from_slice::<Lock>(&bytes).ok()?;
            Some(Arc::new(Kept { lock, made }))
        });
        if let Some(kept) = known.as_ref().filter(|kept| self.is_fresh(kept.made)) {
            return Ok(Arc::clone(kept));
        }
        match self.resolve(requirements) {
            Ok(lock) => {
                let bytes = serde_json::to_vec(&lock).unwrap_or_default();
                self.store.put_lock(&name, &bytes)?;
                Ok(Arc::new(Kept { lock, made: SystemTime::now() }))
            }
            Err(error) if self.config.stale_if_error && error.fault() == Fault::Host => {
                let kept = known.ok_or(error)?;
                tracing::warn!(
                    requirements = resolver::join(requirements),
                    "old versions of packages are used"
                );
                Ok(kept)
            }
            Err(error) => Err(error),
        }
    }

    fn resolve(&self, requirements: &[Requirement]) -> Result<Lock, PackageError> {
        let lock = self.resolver.resolve(requirements)?;
        let versions = lock.packages.iter().map(Locked::title).collect::<Vec<_>>().join(", ");
        tracing::info!(requirements = resolver::join(requirements), versions, "packages were resolved");
        Ok(lock)
    }

    fn unpack_all(&self, packages: &[&Locked]) -> Result<Vec<Arc<Unpacked>>, PackageError> {
        let is_here =
            |locked: &&Locked| locked.sha256.is_some_and(|hash| self.unpacked.get(&hash, |_| true).is_some());
        let missing = packages.iter().filter(|locked| !is_here(locked)).count();
        if missing <= 1 {
            return packages.iter().map(|locked| self.unpacked(locked)).collect();
        }
        let next = AtomicUsize::new(0);
        let failed = AtomicBool::new(false);
        let work = || {
            let mut done = Vec::new();
            while !failed.load(Ordering::Relaxed) {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(locked) = packages.get(at) else { break };
                let unpacked = self.unpacked(locked);
                failed.fetch_or(unpacked.is_err(), Ordering::Relaxed);
                done.push((at, unpacked));
            }
            done
        };
        let mut done = thread::scope(|scope| {
            let threads: Vec<_> = (0..missing.min(DOWNLOADS)).map(|_| scope.spawn(work)).collect();
            let mut all = Vec::with_capacity(packages.len());
            for thread in threads {
                let failed = |_| PackageError::Resolver { problem: "a thread of it failed".to_owned() };
                all.extend(thread.join().map_err(failed)?);
            }
            Ok::<_, PackageError>(all)
        })?;
        // In the order of the packages, and so of several failures the first package's is told: those
        // before it were taken before it, and are here.
        done.sort_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, unpacked)| unpacked).collect()
    }

    /// A wheel's files, from memory, disk or the index, whichever has them first.
    fn unpacked(&self, locked: &Locked) -> Result<Arc<Unpacked>, PackageError> {
        let Some(expected) = locked.sha256 else {
            return Err(PackageError::NoHash { package: locked.title() });
        };
        self.unpacked.get_or_make(
            &expected,
            |_| true,
            || {
                let bytes = match self.store.wheel(&expected)? {
                    Some(bytes) => bytes,
                    None => self.download(locked, &expected)?,
                };
                let identity = Identity { name: &locked.name, version: &locked.version };
                let files = wheel::unpack(&bytes, &identity, &self.archive_limits());
                let files = files.map_err(|problem| self.wheel_error(locked, problem))?;
                let file_bytes =
                    files.iter().fold(0_u64, |sum, (_, content)| sum.saturating_add(content.len() as u64));
                let unpacked = Unpacked { files, file_bytes, wheel_bytes: bytes.len() as u64 };
                Ok((Arc::new(unpacked), file_bytes))
            },
        )
    }

    fn download(&self, locked: &Locked, expected: &Hash) -> Result<Vec<u8>, PackageError> {
        let bytes = self.downloader.get(locked)?;
        let actual = hash(&bytes);
        if actual != *expected {
            return Err(PackageError::Hash {
                package: locked.title(),
                expected: hex::encode(expected),
                actual: hex::encode(actual),
            });
        }
        self.store.put_wheel(expected, &bytes)?;
        Ok(bytes)
    }

    fn archive_limits(&self) -> ArchiveLimits {
        ArchiveLimits {
            entries: self.config.max_files,
            entry_bytes: self.config.max_unpacked_bytes,
            total_bytes: self.config.max_unpacked_bytes,
            ..ArchiveLimits::default()
        }
    }

    /// Limits of an archive are ours under other names.
    fn wheel_error(&self, locked: &Locked, problem: WheelProblem) -> PackageError {
        let package = locked.title();
        let what = format!("the wheel of {package} unpacks to");
        match problem {
            WheelProblem::Archive(ArchiveError::Limit { name: "entries", limit, requested, .. }) => {
                let requested = format!("{requested} files");
                PackageError::Limit { what, limit_name: "packages.max_files", limit, requested }
            }
            WheelProblem::Archive(ArchiveError::Limit {
                name: "entry_bytes" | "total_bytes",
                limit,
                requested,
                ..
            }) => {
                let requested = format!("{requested} bytes");
                PackageError::Limit { what, limit_name: "packages.max_unpacked_bytes", limit, requested }
            }
            problem => PackageError::Wheel { package, problem },
        }
    }

    /// Puts the packages into one folder. Where two have the same file, the later by name has it, as
    /// with any installer.
    fn merge(
        &self,
        packages: &[&Locked],
        unpacked: &[Arc<Unpacked>],
        collected: &mut Collected,
    ) -> Result<(), PackageError> {
        let sum = |part: fn(&Unpacked) -> u64| {
            unpacked.iter().fold(0_u64, |sum, one| sum.saturating_add(part(one)))
        };
        let what = "the function's packages are";
        self.within(what, sum(|one| one.wheel_bytes), "bytes of wheels", "packages.max_wheel_bytes")?;
        self.within(what, sum(|one| one.files.len() as u64), "files", "packages.max_files")?;
        self.within(what, sum(|one| one.file_bytes), "bytes unpacked", "packages.max_unpacked_bytes")?;

        let mut files: BTreeMap<&str, (&Locked, &Arc<[u8]>)> = BTreeMap::new();
        for (locked, unpacked) in packages.iter().zip(unpacked) {
            for (path, content) in &unpacked.files {
                files.insert(path, (locked, content));
            }
        }
        for (path, (second, _)) in &files {
            let mut folder = *path;
            while let Some((parent, _)) = folder.rsplit_once('/') {
                folder = parent;
                if let Some((first, _)) = files.get(folder) {
                    return Err(PackageError::Conflict {
                        first: first.title(),
                        second: second.title(),
                        path: folder.to_owned(),
                    });
                }
            }
        }
        collected.files =
            files.into_iter().map(|(path, (_, content))| (path.to_owned(), Arc::clone(content))).collect();
        let stand_ins = provided::STAND_IN_MODULES.iter();
        collected.files.extend(stand_ins.map(|(path, content)| ((*path).to_owned(), Arc::from(*content))));
        collected.files.sort();
        collected.packages = packages.iter().map(|locked| resolved(locked)).collect();
        Ok(())
    }

    /// Refuses what is beyond a limit of the configuration.
    fn within(
        &self,
        what: &str,
        requested: u64,
        unit: &str,
        limit_name: &'static str,
    ) -> Result<(), PackageError> {
        let limit = match limit_name {
            "packages.max_requirements" => self.config.max_requirements,
            "packages.max_packages" => self.config.max_packages,
            "packages.max_wheel_bytes" => self.config.max_wheel_bytes,
            "packages.max_files" => self.config.max_files,
            _ => self.config.max_unpacked_bytes,
        };
        if requested <= limit {
            return Ok(());
        }
        let requested = format!("{requested} {unit}");
        Err(PackageError::Limit { what: what.to_owned(), limit_name, limit, requested })
    }
}

impl Collected {
    fn note(&mut self, kind: Kind) {
        if kind == Kind::NumPy {
            self.interpreter = Interpreter::NumPy;
        }
    }
}

impl std::fmt::Debug for Packages {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Packages").finish_non_exhaustive()
    }
}

fn resolved(locked: &Locked) -> ResolvedPackage {
    ResolvedPackage {
        name: locked.name.clone(),
        version: locked.version.clone(),
        sha256: locked.sha256.map(hex::encode).unwrap_or_default(),
    }
}
