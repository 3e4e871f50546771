//! What the resolver keeps for itself: pages of indexes and metadata of wheels. Strangers choose what it asks
//! for, so it is emptied when it has grown too large.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use super::child;

/// Most that emptying may write, in bytes.
const MAX_OUTPUT_BYTES: u64 = 64 << 10;

/// The folder of the resolver's own cache.
#[derive(Debug)]
pub(super) struct ResolverCache {
    folder: PathBuf,
    limit: u64,
    /// Shared by resolvers that run; emptying is alone. Other processes are kept off by the resolver's own
    /// lock, but that one would let those of this process go first for ever.
    turns: RwLock<()>,
}

impl ResolverCache {
    pub(super) fn new(folder: PathBuf, limit: u64) -> Self {
        Self { folder, limit, turns: RwLock::new(()) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a resolver that uses the cache.
    pub(super) fn using<R>(&self, work: impl FnOnce() -> R) -> R {
        let _turn = self.turns.read().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    /// Lets the resolver empty its cache if that is beyond the limit. Waits for resolvers that run, and takes
    /// at most `time` itself. That it fails is no failure of the function that came along.
    pub(super) fn bound(&self, program: &Path, time: Duration) {
        if !self.is_beyond_limit() {
            return;
        }
        let _turn = self.turns.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have done it meanwhile.
        if !self.is_beyond_limit() {
            return;
        }
        let folder = self.folder.display().to_string();
        match self.empty(program, time) {
            Ok(()) => tracing::info!(folder, limit = self.limit, "the resolver's cache was emptied"),
            Err(problem) => tracing::warn!(
                folder,
                limit = self.limit,
                problem,
                "the resolver's cache is beyond packages.max_resolver_cache_bytes and cannot be emptied"
            ),
        }
    }

    fn is_beyond_limit(&self) -> bool {
        let mut room = self.limit;
        !fits(&self.folder, &mut room)
    }

    fn empty(&self, program: &Path, time: Duration) -> Result<(), String> {
        let mut command = Command::new(program);
        let option = |name: &str, value: &Path| [OsString::from(name), value.into()];
        command
            .args(["cache", "clean", "--quiet", "--no-config"])
            .args(option("--cache-dir", &self.folder))
            .env_clear()
            .current_dir("/");
        let finished = child::run(command, b"", MAX_OUTPUT_BYTES, time).map_err(|error| error.to_string())?;
        if finished.status.success() {
            return Ok(());
        }
        Err(format!("{}: {}", finished.status, String::from_utf8_lossy(&finished.stderr).trim()))
    }
}

/// Whether what is in a folder takes at most `room` bytes of the disk, which it is taken off. What cannot be
/// looked at is not counted: it may be gone by now.
fn fits(folder: &Path, room: &mut u64) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return true };
    entries.flatten().all(|entry| {
        let Ok(metadata) = entry.metadata() else { return true };
        let Some(left) = room.checked_sub(metadata.blocks().saturating_mul(512)) else { return false };
        *room = left;
        !metadata.is_dir() || fits(&entry.path(), room)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A cache with a file of `bytes`, and a program in the resolver's place.
    fn place(bytes: usize, limit: u64, script: &str) -> (tempfile::TempDir, ResolverCache, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (inner, program) = (folder.path().join("cache/inner"), folder.path().join("uv"));
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("file"), vec![1; bytes]).unwrap();
        fs::write(&program, format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        let cache = ResolverCache::new(folder.path().join("cache"), limit);
        (folder, cache, program)
    }

    #[test]
    fn the_resolver_is_told_to_empty_its_cache_only_beyond_the_limit() {
        let script = "test \"$1 $2 $6\" = \"cache clean $(dirname $0)/cache\" && /bin/rm -r \"$6\"";
        for (limit, is_left) in [(1 << 20, true), (50_000, false)] {
            let (_folder, cache, program) = place(100_000, limit, script);
            cache.bound(&program, Duration::from_secs(60));
            assert_eq!(cache.folder().exists(), is_left, "{limit}");
            assert_eq!(cache.is_beyond_limit(), false);
        }
    }

    #[test]
    fn a_cache_that_cannot_be_emptied_harms_nobody() {
        for script in ["exit 1", "exec /bin/sleep 600"] {
            let (_folder, cache, program) = place(100_000, 50_000, script);
            cache.bound(&program, Duration::from_millis(50));
            assert!(cache.is_beyond_limit());
            assert_eq!(cache.using(|| 1), 1);
        }
    }
}
