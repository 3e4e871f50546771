//! The directory of packages: wheels by their hash, locks by what was asked for, and what the
//! resolver is given.
//!
//! Whoever can write here chooses the code of functions, so the directory must belong to this user and
//! be closed to others. A wheel's hash is taken of the bytes that are then used, a damaged one is
//! downloaded again. Files are replaced by renaming, so that a reader sees an old or a new one.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::error::PackageStoreError;

/// SHA-256 of a wheel.
pub(super) type Hash = [u8; 32];

/// The SHA-256 of `bytes`.
pub(super) fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    max_bytes: u64,
}

const WHEELS: &str = "wheels";
const LOCKS: &str = "locks";
const PROVIDED: &str = "provided";
const RESOLVER: &str = "resolver";

/// Tells temporary files of this process apart.
static TEMPORARY: AtomicU64 = AtomicU64::new(0);

impl Store {
    /// Opens the directory, creating what is missing.
    pub(super) fn open(folder: &Path, max_bytes: u64) -> Result<Self, PackageStoreError> {
        for name in ["", WHEELS, LOCKS, PROVIDED, RESOLVER] {
            let path = folder.join(name);
            DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed("creating", &path))?;
            let metadata = fs::symlink_metadata(&path).map_err(failed("looking at", &path))?;
            let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
            if !metadata.is_dir() || owner != rustix::process::geteuid().as_raw() || mode & 0o077 != 0 {
                return Err(PackageStoreError::Untrusted { path, owner, mode });
            }
        }
        Ok(Self { folder: folder.to_owned(), max_bytes })
    }

    /// The folder of the wheels that this program provides.
    pub(super) fn provided(&self) -> PathBuf {
        self.folder.join(PROVIDED)
    }

    /// The folder of the resolver's own files.
    pub(super) fn resolver(&self) -> PathBuf {
        self.folder.join(RESOLVER)
    }

    /// The wheel with this hash, if it is here and undamaged.
    pub(super) fn wheel(&self, expected: &Hash) -> Result<Option<Vec<u8>>, PackageStoreError> {
        let path = self.wheel_path(expected);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        if hash(&bytes) != *expected {
            tracing::warn!(path = %path.display(), "a wheel in the cache is damaged and will be replaced");
            return Ok(None);
        }
        // The time of use, by which the longest unused is found. Not to have it is no loss.
        if let Ok(file) = OpenOptions::new().append(true).open(&path) {
            let _ = file.set_modified(SystemTime::now());
        }
        Ok(Some(bytes))
    }

    /// Keeps a wheel.
    pub(super) fn put_wheel(&self, expected: &Hash, bytes: &[u8]) -> Result<(), PackageStoreError> {
        self.put(&self.wheel_path(expected), bytes)
    }

    /// The lock called `name`: its text and its age.
    pub(super) fn lock(&self, name: &str) -> Result<Option<(Vec<u8>, SystemTime)>, PackageStoreError> {
        let path = self.folder.join(LOCKS).join(name);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let modified = fs::metadata(&path).and_then(|metadata| metadata.modified());
        Ok(Some((bytes, modified.unwrap_or(SystemTime::UNIX_EPOCH))))
    }

    /// Keeps a lock.
    pub(super) fn put_lock(&self, name: &str, bytes: &[u8]) -> Result<(), PackageStoreError> {
        self.put(&self.folder.join(LOCKS).join(name), bytes)
    }

    /// Writes a file that does not change, unless it is there already.
    pub(super) fn ensure(&self, path: &Path, bytes: &[u8], mode: u32) -> Result<(), PackageStoreError> {
        if read(path)?.is_some_and(|present| present == bytes) {
            return Ok(());
        }
        write(path, bytes, mode)
    }

    fn wheel_path(&self, hash: &Hash) -> PathBuf {
        self.folder.join(WHEELS).join(hex::encode(hash))
    }

    /// Writes a file, and removes the longest unused wheels and locks when there are too many bytes.
    fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), PackageStoreError> {
        write(path, bytes, 0o600)?;
        self.evict(path)
    }

    fn evict(&self, keep: &Path) -> Result<(), PackageStoreError> {
        let mut files = Vec::new();
        for folder in [WHEELS, LOCKS].map(|name| self.folder.join(name)) {
            for entry in fs::read_dir(&folder).map_err(failed("listing", &folder))? {
                let entry = entry.map_err(failed("listing", &folder))?;
                // Another process may have removed it meanwhile.
                let Ok(metadata) = entry.metadata() else { continue };
                let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                files.push((modified, metadata.len(), entry.path()));
            }
        }
        let mut bytes = files.iter().fold(0_u64, |sum, (_, len, _)| sum.saturating_add(*len));
        files.sort();
        for (_, len, path) in files {
            if bytes <= self.max_bytes {
                break;
            }
            if path != keep {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(failed("removing", &path)(error));
                    }
                    _ => bytes = bytes.saturating_sub(len),
                }
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, PackageStoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("reading", path)(error)),
    }
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), PackageStoreError> {
    let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}-{number}.new", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        // Whatever is left of it would stay forever.
        let _ = fs::remove_file(&temporary);
        failed("writing", path)(error)
    })
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PackageStoreError {
    let path = path.to_owned();
    move |source| PackageStoreError::Io { operation, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    fn store(max_bytes: u64) -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("packages"), max_bytes).unwrap();
        (folder, store)
    }

    #[test]
    fn wheels_come_back_and_damaged_ones_do_not() {
        let (_folder, store) = store(1000);
        let hash = hash(b"wheel");
        assert_eq!(store.wheel(&hash).unwrap(), None);
        store.put_wheel(&hash, b"wheel").unwrap();
        assert_eq!(store.wheel(&hash).unwrap().unwrap(), b"wheel");
        let path = store.wheel_path(&hash);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, b"whee1").unwrap();
        assert_eq!(store.wheel(&hash).unwrap(), None);
        store.put_wheel(&hash, b"wheel").unwrap();
        assert_eq!(store.wheel(&hash).unwrap().unwrap(), b"wheel");
    }

    #[test]
    fn the_longest_unused_wheel_gives_way() {
        let (_folder, store) = store(10);
        let (old, used, new) = (hash(b"old.."), hash(b"used."), hash(b"new.."));
        for (hash, bytes, age) in [(&old, b"old..", 100), (&used, b"used.", 200)] {
            store.put_wheel(hash, bytes).unwrap();
            let file = OpenOptions::new().append(true).open(store.wheel_path(hash)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        assert!(store.wheel(&used).unwrap().is_some());
        store.put_wheel(&new, b"new..").unwrap();
        assert_eq!(store.wheel(&old).unwrap(), None);
        assert!(store.wheel(&used).unwrap().is_some());
        assert!(store.wheel(&new).unwrap().is_some());
    }

    #[test]
    fn locks_are_bounded_with_the_wheels() {
        let (_folder, store) = store(10);
        for number in 0..5 {
            let name = format!("{number}.json");
            store.put_lock(&name, b"{ }").unwrap();
            let file = OpenOptions::new().append(true).open(store.folder.join(LOCKS).join(&name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(100 - number)).unwrap();
        }
        let left = |number: u64| store.lock(&format!("{number}.json")).unwrap().is_some();
        assert_eq!([0, 1, 2, 3, 4].map(left), [false, false, true, true, true]);
        store.put_wheel(&hash(b"wheel"), b"wheel").unwrap();
        assert_eq!([2, 3, 4].map(left), [false, false, true]);
    }

    #[test]
    fn attack_a_directory_that_others_can_write_is_refused() {
        let (folder, _store) = store(10);
        let path = folder.path().join("packages").join(LOCKS);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o770)).unwrap();
        let error = Store::open(&folder.path().join("packages"), 10).unwrap_err();
        assert!(matches!(error, PackageStoreError::Untrusted { mode: 0o770, .. }), "{error}");
    }
}
