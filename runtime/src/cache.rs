//! Compiled code and the base image on disk.
//!
//! Both are trusted input to loaders that cannot check them: whoever can write them can run native
//! code as this user. The directory must therefore belong to this user and be closed to others
//! (mode 0700), the files too (0600). Each file carries the SHA-256 of its content, which is
//! checked on the bytes that are then used, while they are copied to where nobody can change them any
//! more, so that a damaged file is rebuilt, never loaded. Files are replaced by renaming, so that a reader
//! sees an old or a new one and nothing in between.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};

const MAGIC: [u8; 8] = *b"VIVCACHE";
const DIGEST_BYTES: usize = 32;
const HEADER_BYTES: usize = MAGIC.len() + DIGEST_BYTES;

/// The cache could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A file operation failed.
    #[error("{operation} `{}` failed: {source}", .path.display())]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else could have written what would be run as native code.
    #[error("`{}` must belong to this user and be closed to all others (it has owner {owner}, mode {mode:o})", .path.display())]
    Untrusted {
        /// The file or directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
}

/// A directory of cache entries.
#[derive(Debug)]
pub(crate) struct Cache {
    dir: PathBuf,
}

/// Content of a cache entry that is being read. Whether it may be used is known at its end.
pub(crate) struct EntryReader {
    file: File,
    /// Bytes of the content that have not been read.
    left: u64,
    hash: Sha256,
    /// The digest that the content should have.
    digest: [u8; DIGEST_BYTES],
}

impl EntryReader {
    /// Begins to read a file; `None` if it does not begin like an entry.
    fn new(mut file: File, len: u64) -> io::Result<Option<Self>> {
        let mut magic = [0; MAGIC.len()];
        let mut digest = [0; DIGEST_BYTES];
        match file.read_exact(&mut magic).and_then(|()| file.read_exact(&mut digest)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        let left = len.saturating_sub(HEADER_BYTES as u64);
        Ok((magic == MAGIC).then(|| Self { file, left, hash: Sha256::new(), digest }))
    }

    /// Size of what has not been read yet, in bytes.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// SHA-256 that the content should have.
    pub(crate) fn digest(&self) -> [u8; DIGEST_BYTES] {
        self.digest
    }

    /// Reads to the end, and tells whether all that was read is what was stored.
    fn check_digest(mut self) -> io::Result<bool> {
        io::copy(&mut self, &mut io::sink())?;
        let found: [u8; DIGEST_BYTES] = self.hash.finalize().into();
        Ok(self.left == 0 && self.digest == found)
    }
}

impl Read for EntryReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let (buffer, _) = buffer.split_at_mut(most);
        let read = self.file.read(buffer)?;
        self.hash.update(buffer.get(..read).unwrap_or_default());
        self.left -= read as u64;
        Ok(read)
    }
}

/// While it lives, no other process builds entries in the same directory.
pub(crate) struct BuildLock(#[expect(dead_code, reason = "closing the file releases the lock")] File);

impl Cache {
    /// Opens the cache in `dir`, creating the directory if needed.
    pub(crate) fn open(dir: &Path) -> Result<Self, CacheError> {
        let created = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        created.map_err(failed("creating", dir))?;
        check_owner(dir, &fs::metadata(dir).map_err(failed("looking at", dir))?)?;
        Ok(Self { dir: dir.to_owned() })
    }

    /// Waits until no other process builds entries, and keeps others from it.
    pub(crate) fn lock(&self) -> Result<BuildLock, CacheError> {
        let path = self.dir.join("lock");
        let file =
            private_file().create(true).truncate(false).open(&path).map_err(failed("opening", &path))?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)
            .map_err(|errno| failed("locking", &path)(errno.into()))?;
        Ok(BuildLock(file))
    }

    /// What `take` makes of the content of the entry called `name`; `None` if there is none or it is damaged.
    /// Nothing may be done with the content before this returns it: the digest is compared at the end.
    pub(crate) fn load<T, E: From<CacheError>>(
        &self,
        name: &str,
        take: impl FnOnce(&mut EntryReader) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        let path = self.dir.join(name);
        let file = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("opening", &path)(error).into()),
        };
        let metadata = file.metadata().map_err(failed("looking at", &path))?;
        check_owner(&path, &metadata)?;
        let reader = EntryReader::new(file, metadata.len()).map_err(failed("reading", &path))?;
        if let Some(mut reader) = reader {
            let taken = take(&mut reader);
            if reader.check_digest().map_err(failed("reading", &path))? {
                return taken.map(Some);
            }
        }
        tracing::warn!(path = %path.display(), "a cache entry is damaged and will be rebuilt");
        Ok(None)
    }

    /// Writes the entry called `name`.
    pub(crate) fn store(&self, name: &str, content: &[u8]) -> Result<(), CacheError> {
        let path = self.dir.join(name);
        let temporary = self.dir.join(format!("{name}.{}.new", std::process::id()));
        let write = || -> io::Result<()> {
            let mut file = private_file().create(true).truncate(true).open(&temporary)?;
            file.write_all(&MAGIC)?;
            file.write_all(&Sha256::digest(content))?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        write().map_err(failed("writing", &path))
    }
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    options
}

fn check_owner(path: &Path, metadata: &fs::Metadata) -> Result<(), CacheError> {
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if owner == rustix::process::geteuid().as_raw() && mode & 0o077 == 0 {
        return Ok(());
    }
    Err(CacheError::Untrusted { path: path.to_owned(), owner, mode })
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    let path = path.to_owned();
    move |source| CacheError::Io { operation, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn cache() -> (tempfile::TempDir, Cache) {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(&dir.path().join("cache")).unwrap();
        (dir, cache)
    }

    fn load(cache: &Cache, name: &str) -> Result<Option<Vec<u8>>, CacheError> {
        cache.load(name, |reader| {
            let mut content = Vec::new();
            reader.read_to_end(&mut content).map_err(failed("reading", &cache.dir))?;
            Ok(content)
        })
    }

    #[test]
    fn what_was_stored_is_loaded() {
        let (_dir, cache) = cache();
        assert_eq!(load(&cache, "a").unwrap(), None);
        cache.store("a", b"one").unwrap();
        cache.store("a", b"two").unwrap();
        assert_eq!(load(&cache, "a").unwrap(), Some(b"two".to_vec()));
        let mode = fs::metadata(cache.dir.join("a")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&cache.dir).unwrap().count(), 1, "temporary files stayed behind");
    }

    #[test]
    fn a_flipped_bit_or_a_short_file_is_a_miss() {
        let (_dir, cache) = cache();
        let path = cache.dir.join("a");
        cache.store("a", b"content").unwrap();
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, bad).unwrap();
            assert_eq!(load(&cache, "a").unwrap(), None, "bit in byte {at}");
            fs::write(&path, &good[..at]).unwrap();
            assert_eq!(load(&cache, "a").unwrap(), None, "{at} bytes");
        }
        fs::write(&path, [&good, b"x".as_slice()].concat()).unwrap();
        assert_eq!(load(&cache, "a").unwrap(), None, "a byte more");
    }

    #[test]
    fn what_is_made_of_a_damaged_entry_is_not_given_away_however_little_of_it_was_read() {
        let (_dir, cache) = cache();
        let path = cache.dir.join("a");
        cache.store("a", b"content").unwrap();
        let first = |reader: &mut EntryReader| {
            assert_eq!(reader.left(), 7);
            let mut byte = [0];
            reader.read_exact(&mut byte).unwrap();
            Ok::<_, CacheError>(byte)
        };
        assert_eq!(cache.load("a", first).unwrap(), Some(*b"c"));
        let refuse = |_: &mut EntryReader| Err::<(), _>(failed("taking", &path)(io::ErrorKind::Other.into()));
        assert!(cache.load("a", refuse).is_err());
        let mut bad = fs::read(&path).unwrap();
        *bad.last_mut().unwrap() ^= 1;
        fs::write(&path, bad).unwrap();
        assert_eq!(cache.load("a", first).unwrap(), None);
        assert!(
            cache.load("a", refuse).unwrap().is_none(),
            "what is damaged is made again, whatever it seems"
        );
    }

    #[test]
    fn what_others_could_write_is_refused() {
        let (_dir, cache) = cache();
        cache.store("a", b"content").unwrap();
        fs::set_permissions(cache.dir.join("a"), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load(&cache, "a"), Err(CacheError::Untrusted { mode: 0o644, .. })));
        std::os::unix::fs::symlink(cache.dir.join("a"), cache.dir.join("b")).unwrap();
        assert!(matches!(load(&cache, "b"), Err(CacheError::Io { .. })));
        fs::set_permissions(&cache.dir, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(Cache::open(&cache.dir), Err(CacheError::Untrusted { mode: 0o755, .. })));
    }

    #[test]
    fn one_builder_at_a_time() {
        let (_dir, cache) = cache();
        let lock = cache.lock().unwrap();
        let file = File::open(cache.dir.join("lock")).unwrap();
        assert!(rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err());
        drop(lock);
        assert!(rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok());
    }
}
