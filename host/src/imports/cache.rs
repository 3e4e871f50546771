//! Imports on disk.
//!
//! Below the cache directory, `imports/<key>` holds one import: the SHA-256 digest of what follows,
//! the length of a description, the description as JSON, the content. `<key>` is a hash of tenant,
//! location and what the content depends on, so no name from outside ever becomes a path, and no
//! tenant meets another's content. The digest is checked at every read, and a file that fails is
//! removed and fetched again.

use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt as _, OpenOptions, OpenOptionsExt as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::client::Validators;
use super::error::ImportsError;

const DIRECTORY: &str = "imports";
/// Files of an interrupted write; removed at the next start.
const TEMPORARY_PREFIX: &str = ".writing-";
const FORMAT: u32 = 1;
const DIGEST_BYTES: usize = 32;
const LENGTH_BYTES: usize = 4;
/// What a file takes on a disk at least, so that many small ones are bounded too.
const MIN_FILE_BYTES: u64 = 4096;

/// What names an import in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key([u8; DIGEST_BYTES]);

impl Key {
    /// A hash of the parts, each with its length.
    pub(super) fn of(parts: &[&[u8]]) -> Key {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part);
        }
        Key(hash.finalize().into())
    }

    fn file(&self) -> String {
        hex::encode(self.0)
    }
}

/// One import that was kept.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) content: Vec<u8>,
    pub(super) validators: Validators,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u32,
    key: String,
    validators: Validators,
}

/// The directory, and which of its files was used when.
#[derive(Debug)]
pub(super) struct Cache {
    directory: Dir,
    limit_bytes: u64,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    files: HashMap<Key, File>,
    /// From the longest unused to the latest used.
    order: BTreeMap<u64, Key>,
    uses: u64,
    bytes: u64,
    writes: u64,
}

#[derive(Debug)]
struct File {
    bytes: u64,
    used: u64,
    /// When its server last said that it is up to date.
    checked: Option<Instant>,
}

impl Index {
    fn insert(&mut self, key: Key, bytes: u64, checked: Option<Instant>) {
        self.remove(key);
        self.uses += 1;
        self.files.insert(key, File { bytes, used: self.uses, checked });
        self.order.insert(self.uses, key);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn remove(&mut self, key: Key) {
        if let Some(file) = self.files.remove(&key) {
            self.order.remove(&file.used);
            self.bytes = self.bytes.saturating_sub(file.bytes);
        }
    }

    fn mark_used(&mut self, key: Key) {
        self.uses += 1;
        if let Some(file) = self.files.get_mut(&key) {
            self.order.remove(&file.used);
            file.used = self.uses;
            self.order.insert(self.uses, key);
        }
    }
}

impl Cache {
    /// Opens the cache below `path`, for the owner only.
    pub(super) fn open(path: &Path, limit_bytes: u64) -> Result<Self, ImportsError> {
        let failed = |source| ImportsError::Cache { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        let parent = Dir::open_ambient_dir(path, ambient_authority()).map_err(failed)?;
        match parent.create_dir_with(DIRECTORY, DirBuilder::new().mode(0o700)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            result => result.map_err(failed)?,
        }
        let directory = parent.open_dir(DIRECTORY).map_err(failed)?;
        let index = scan(&directory).map_err(failed)?;
        let cache = Cache { directory, limit_bytes, index: Mutex::new(index) };
        cache.evict(&mut cache.index());
        Ok(cache)
    }

    /// What was kept under a key.
    pub(super) fn get(&self, key: Key) -> Option<Kept> {
        let name = key.file();
        let bytes = match self.directory.read(&name) {
            Ok(bytes) => bytes,
            Err(error) => {
                if error.kind() != ErrorKind::NotFound {
                    tracing::warn!(file = name, %error, "a kept import cannot be read");
                }
                self.index().remove(key);
                return None;
            }
        };
        let Some(kept) = parse(bytes, &name) else {
            tracing::warn!(file = name, "a kept import was damaged, and is fetched again");
            self.index().remove(key);
            self.remove_file(&name);
            return None;
        };
        self.index().mark_used(key);
        // For the order after a restart; nothing depends on it.
        if let Ok(file) = self.directory.open_with(&name, OpenOptions::new().write(true)) {
            let _ = file.into_std().set_modified(SystemTime::now());
        }
        Some(kept)
    }

    /// Keeps content, of which its server said just now that it is up to date. A cache that cannot
    /// be written costs time, not imports, so failures are only reported in the log.
    pub(super) fn put(&self, key: Key, validators: &Validators, content: &[u8]) {
        match self.write(key, validators, content) {
            Ok(bytes) => {
                let mut index = self.index();
                index.insert(key, bytes, Some(Instant::now()));
                self.evict(&mut index);
            }
            Err(error) => tracing::warn!(%error, "an import cannot be kept"),
        }
    }

    /// Notes that a server said just now that the kept content is up to date.
    pub(super) fn confirm(&self, key: Key) {
        if let Some(file) = self.index().files.get_mut(&key) {
            file.checked = Some(Instant::now());
        }
    }

    /// Whether there is content under the key, and if an age is given, whether its server said
    /// within it that it is up to date.
    pub(super) fn is_fresh(&self, key: Key, within: Option<Duration>) -> bool {
        let index = self.index();
        let Some(file) = index.files.get(&key) else {
            return false;
        };
        within.is_none_or(|within| file.checked.is_some_and(|checked| checked.elapsed() < within))
    }

    fn write(&self, key: Key, validators: &Validators, content: &[u8]) -> std::io::Result<u64> {
        let name = key.file();
        let description = Description { format: FORMAT, key: name.clone(), validators: validators.clone() };
        let description = serde_json::to_vec(&description)?;
        let length = u32::try_from(description.len()).map_err(std::io::Error::other)?.to_le_bytes();
        let mut hash = Sha256::new();
        for part in [&length[..], &description, content] {
            hash.update(part);
        }
        let temporary = {
            let mut index = self.index();
            index.writes += 1;
            format!("{TEMPORARY_PREFIX}{}-{}", std::process::id(), index.writes)
        };
        let options = OpenOptions::new().write(true).create_new(true).mode(0o600).clone();
        let mut file = self.directory.open_with(&temporary, &options)?;
        let parts = [&hash.finalize()[..], &length, &description, content];
        let written = parts.iter().try_for_each(|part| file.write_all(part));
        if let Err(error) = written.and_then(|()| self.directory.rename(&temporary, &self.directory, &name)) {
            self.remove_file(&temporary);
            return Err(error);
        }
        Ok(charged(parts.iter().map(|part| u64::try_from(part.len()).unwrap_or(u64::MAX)).sum()))
    }

    /// Removes the longest unused files until the rest is within the limit.
    fn evict(&self, index: &mut Index) {
        while index.bytes > self.limit_bytes {
            let Some(key) = index.order.first_key_value().map(|(_, key)| *key) else {
                return;
            };
            index.remove(key);
            self.remove_file(&key.file());
        }
    }

    fn remove_file(&self, name: &str) {
        if let Err(error) = self.directory.remove_file(name)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(file = name, %error, "a kept import cannot be removed");
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a file counts for.
fn charged(bytes: u64) -> u64 {
    bytes.max(MIN_FILE_BYTES)
}

/// The files that are there, in the order of their last use.
fn scan(directory: &Dir) -> std::io::Result<Index> {
    let mut found = Vec::new();
    for entry in directory.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(TEMPORARY_PREFIX) {
            directory.remove_file(&*name)?;
            continue;
        }
        let mut key = [0; DIGEST_BYTES];
        let metadata = entry.metadata()?;
        if metadata.is_file() && hex::decode_to_slice(&*name, &mut key).is_ok() {
            let used = metadata.modified().map_or(SystemTime::UNIX_EPOCH, |time| time.into_std());
            found.push((used, Key(key), charged(metadata.len())));
        }
    }
    found.sort();
    let mut index = Index::default();
    for (_, key, bytes) in found {
        index.insert(key, bytes, None);
    }
    Ok(index)
}

/// The content of a file whose digest and name are right.
fn parse(mut bytes: Vec<u8>, name: &str) -> Option<Kept> {
    let (digest, rest) = bytes.split_first_chunk::<DIGEST_BYTES>()?;
    if Sha256::digest(rest)[..] != digest[..] {
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let description: Description = serde_json::from_slice(rest.get(..length)?).ok()?;
    if description.format != FORMAT || description.key != name {
        return None;
    }
    bytes.drain(..DIGEST_BYTES + LENGTH_BYTES + length);
    Some(Kept { content: bytes, validators: description.validators })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn key(name: &str) -> Key {
        Key::of(&[name.as_bytes()])
    }

    fn put(cache: &Cache, name: &str, bytes: usize) {
        cache.put(
            key(name),
            &Validators { etag: Some(name.to_owned()), last_modified: None },
            &vec![7; bytes],
        );
    }

    fn kept(cache: &Cache) -> String {
        ["a", "b", "c", "d"].into_iter().filter(|name| cache.get(key(name)).is_some()).collect()
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart_and_must_be_checked_again() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path(), 1 << 20).unwrap();
        put(&cache, "a", 5);
        assert!(cache.is_fresh(key("a"), None) && cache.is_fresh(key("a"), Some(Duration::from_secs(9))));
        assert!(!cache.is_fresh(key("a"), Some(Duration::ZERO)));
        drop(cache);

        let cache = Cache::open(directory.path(), 1 << 20).unwrap();
        assert!(cache.is_fresh(key("a"), None) && !cache.is_fresh(key("a"), Some(Duration::from_secs(9))));
        cache.confirm(key("a"));
        assert!(cache.is_fresh(key("a"), Some(Duration::from_secs(9))));
        let found = cache.get(key("a")).unwrap();
        assert_eq!((found.content, found.validators.etag.as_deref()), (vec![7; 5], Some("a")));
        assert!(cache.get(key("b")).is_none() && !cache.is_fresh(key("b"), None));
    }

    #[test]
    fn the_longest_unused_gives_way() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path(), 30_000).unwrap();
        put(&cache, "a", 9000);
        put(&cache, "b", 9000);
        put(&cache, "c", 9000);
        assert!(cache.get(key("a")).is_some());
        put(&cache, "d", 9000);
        assert_eq!(kept(&cache), "acd");
        put(&cache, "b", 40_000);
        assert_eq!(kept(&cache), "", "what is larger than the limit leaves nothing");
    }

    #[test]
    fn small_files_count_for_what_they_take() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path(), 3 * MIN_FILE_BYTES).unwrap();
        for name in ["a", "b", "c", "d"] {
            put(&cache, name, 1);
        }
        assert_eq!(kept(&cache), "bcd");
        drop(cache);
        let cache = Cache::open(directory.path(), 2 * MIN_FILE_BYTES).unwrap();
        assert_eq!(kept(&cache), "cd", "a smaller limit holds from the start on");
    }

    #[test]
    fn damaged_and_renamed_files_are_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path(), 1 << 20).unwrap();
        let path = |name: &str| directory.path().join(DIRECTORY).join(key(name).file());
        put(&cache, "a", 100);
        std::fs::copy(path("a"), path("b")).unwrap();
        assert!(cache.get(key("b")).is_none(), "another's content");
        let whole = std::fs::read(path("a")).unwrap();
        for position in [0, DIGEST_BYTES, DIGEST_BYTES + LENGTH_BYTES + 3, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[position] ^= 1;
            std::fs::write(path("a"), &bytes).unwrap();
            assert!(cache.get(key("a")).is_none(), "{position}");
            assert!(!path("a").exists() && !cache.is_fresh(key("a"), None));
        }
        for length in [0, 10, DIGEST_BYTES, whole.len() - 1] {
            std::fs::write(path("a"), &whole[..length]).unwrap();
            assert!(cache.get(key("a")).is_none(), "{length}");
        }
    }

    #[test]
    fn files_are_for_their_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path(), 1 << 20).unwrap();
        put(&cache, "a", 5);
        let folder = directory.path().join(DIRECTORY);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join(key("a").file()))), (0o700, 0o600));
        std::fs::write(folder.join(format!("{TEMPORARY_PREFIX}1-1")), b"half").unwrap();
        drop(Cache::open(directory.path(), 1 << 20).unwrap());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "half a file is removed");
    }

    #[test]
    fn keys_depend_on_the_parts_and_where_they_end() {
        assert_ne!(Key::of(&[b"ab", b"c"]), Key::of(&[b"a", b"bc"]));
        assert_ne!(Key::of(&[b"a", b""]), Key::of(&[b"a"]));
    }
}
