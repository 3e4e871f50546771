//! The file of the token keys, and its rotation.
//!
//! Each line is a key of 64 hexadecimal digits and, behind a blank, the moment from which it signs (ISO
//! 8601). The youngest key whose moment has come signs; all verify, until the tokens that they signed
//! have expired. Keys without a moment are from the beginning of time, and of those the first signs.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use rustix::fs::FlockOperation;
use zeroize::Zeroizing;

use super::generate_key;
use super::key_ring::{self, DatedKey, KEY_BYTES, KeyId, KeyState};
use crate::secret_file::{self, SecretFileError};
use crate::watched::{Fingerprint, LOOK_INTERVAL};

/// Largest file, in bytes.
const FILE_BYTES: u64 = 64 << 10;

/// A token with an unknown key makes the file be looked at again, at most once in this time.
const LOOK_INTERVAL_UNKNOWN: Duration = Duration::from_millis(100);

/// Why the file of the token keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read, or others can.
    #[error("the token key file {} is not used: {source}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SecretFileError,
    },
    /// It cannot be written.
    #[error("cannot write the token key file {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not a key.
    #[error(
        "{}:{line}: expected a key of 64 hexadecimal digits and, if it is not the first of all, the moment \
         from which it signs, such as 2026-01-31T12:00:00Z",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// There is no such key.
    #[error("there is no key {id} in {}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        id: String,
    },
    /// The only key cannot be removed.
    #[error("{id} is the only key in {}; rotate first", path.display())]
    Only {
        /// The file.
        path: PathBuf,
        /// The key.
        id: KeyId,
    },
}

/// A key as `vivarium keys list` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// Its id, as in tokens.
    pub id: KeyId,
    /// From when on it signs.
    pub from: SystemTime,
    /// What it is for now.
    pub state: KeyState,
}

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The new key.
    pub added: KeyId,
    /// Keys whose tokens had all expired, and which are gone.
    pub removed: Vec<KeyId>,
}

/// The file as a server sees it.
#[derive(Debug)]
pub(crate) struct KeyFile {
    path: PathBuf,
    state: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    looked: Instant,
    file: Option<Fingerprint>,
}

impl KeyFile {
    /// Reads the file, which is created with one fresh key when it does not exist.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<DatedKey>), KeyFileError> {
        let file = Fingerprint::of(path);
        let keys = read_or_create(path)?;
        let state = Mutex::new(Seen { looked: Instant::now(), file });
        Ok((Self { path: path.to_owned(), state }, keys))
    }

    /// Hands the keys to `apply` if the file has changed since they were read. When this returns, whoever
    /// called it at the same time has done so too.
    pub(crate) fn look(&self, look: Look, apply: impl FnOnce(&[DatedKey])) {
        let mut seen = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let interval = match look {
            Look::Now => Duration::ZERO,
            Look::UnknownKey => LOOK_INTERVAL_UNKNOWN,
            Look::Regular => LOOK_INTERVAL,
        };
        if seen.looked.elapsed() < interval {
            return;
        }
        seen.looked = Instant::now();
        let now = Fingerprint::of(&self.path);
        if now == seen.file {
            return;
        }
        seen.file = now;
        match read(&self.path) {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "the token keys were read again");
                apply(&keys);
            }
            Err(error) => tracing::error!(%error, "the server keeps the token keys that it had"),
        }
    }
}

/// Why the file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Something is to be signed or verified.
    Regular,
    /// A token names a key that is not known.
    UnknownKey,
    /// The operator asks.
    Now,
}

/// The keys in a file, the youngest first, and what they are for. Tokens live for `lifetime`.
///
/// # Errors
/// [`KeyFileError`].
pub fn list(path: &Path, now: SystemTime, lifetime: Duration) -> Result<Vec<ListedKey>, KeyFileError> {
    Ok(listed(&sorted(read(path)?), now, lifetime))
}

/// Adds a fresh key, which signs from the moment `from` on, and takes out those whose tokens have all
/// expired. The file is created if it does not exist. Servers read it again by themselves.
///
/// # Errors
/// [`KeyFileError`]; the file is then as it was.
pub fn rotate(
    path: &Path,
    from: SystemTime,
    now: SystemTime,
    lifetime: Duration,
) -> Result<Rotated, KeyFileError> {
    let failed = |source| KeyFileError::Write { path: path.to_owned(), source };
    let _lock = lock(path).map_err(failed)?;
    let keys = match read(path) {
        Ok(keys) => keys,
        Err(KeyFileError::Secret { source: SecretFileError::Read(error), .. })
            if error.kind() == ErrorKind::NotFound =>
        {
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    let mut keys = sorted(keys);
    let retired: Vec<bool> =
        listed(&keys, now, lifetime).iter().map(|key| key.state == KeyState::Retired).collect();
    let mut index = 0;
    let removed = keys.extract_if(.., |_| {
        index += 1;
        retired.get(index - 1) == Some(&true)
    });
    let removed = removed.map(|key| KeyId::of(&key.secret)).collect();
    let secret = generate_key().map_err(|error| failed(std::io::Error::other(error)))?;
    let added = KeyId::of(&secret);
    keys.insert(0, DatedKey { secret, from });
    write(path, &sorted(keys)).map_err(failed)?;
    Ok(Rotated { added, removed })
}

/// Takes a key out: its tokens are refused as soon as servers have read the file again.
///
/// # Errors
/// [`KeyFileError`]; the file is then as it was.
pub fn remove(path: &Path, id: &str) -> Result<KeyId, KeyFileError> {
    let failed = |source| KeyFileError::Write { path: path.to_owned(), source };
    let _lock = lock(path).map_err(failed)?;
    let mut keys = read(path)?;
    let at = keys.iter().position(|key| KeyId::of(&key.secret).to_string() == id);
    let Some(at) = at else {
        let id = id.chars().take(40).flat_map(char::escape_debug).collect();
        return Err(KeyFileError::Unknown { path: path.to_owned(), id });
    };
    let id = KeyId::of(&keys.remove(at).secret);
    if keys.is_empty() {
        return Err(KeyFileError::Only { path: path.to_owned(), id });
    }
    write(path, &keys).map_err(failed)?;
    Ok(id)
}

fn sorted(mut keys: Vec<DatedKey>) -> Vec<DatedKey> {
    keys.sort_by_key(|key| std::cmp::Reverse(key.from));
    keys
}

fn listed(keys: &[DatedKey], now: SystemTime, lifetime: Duration) -> Vec<ListedKey> {
    let moments: Vec<SystemTime> = keys.iter().map(|key| key.from).collect();
    let listed = |(at, key): (usize, &DatedKey)| ListedKey {
        id: KeyId::of(&key.secret),
        from: key.from,
        state: key_ring::state(&moments, at, now, lifetime),
    };
    keys.iter().enumerate().map(listed).collect()
}

/// Of several servers that start at the same time on a shared file, one creates it and the others read it.
fn read_or_create(path: &Path) -> Result<Vec<DatedKey>, KeyFileError> {
    match read(path) {
        Err(KeyFileError::Secret { source: SecretFileError::Read(error), .. })
            if error.kind() == ErrorKind::NotFound =>
        {
            create(path).map_err(|source| KeyFileError::Write { path: path.to_owned(), source })?;
            read(path)
        }
        keys => keys,
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<DatedKey>, KeyFileError> {
    let bytes = secret_file::read(path, FILE_BYTES)
        .map_err(|source| KeyFileError::Secret { path: path.to_owned(), source })?;
    let wrong = |line| KeyFileError::Line { path: path.to_owned(), line };
    let mut keys = Vec::new();
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if !line.is_empty() {
            keys.push(parse(line).ok_or_else(|| wrong(index + 1))?);
        }
    }
    if keys.is_empty() { Err(wrong(1)) } else { Ok(keys) }
}

fn parse(line: &[u8]) -> Option<DatedKey> {
    let (digits, moment) = line.split_at_checked(2 * KEY_BYTES)?;
    let mut secret = Zeroizing::new([0; KEY_BYTES]);
    hex::decode_to_slice(digits, secret.as_mut_slice()).ok()?;
    let from = match moment {
        [] => UNIX_EPOCH,
        [b' ' | b'\t', moment @ ..] => {
            let moment = std::str::from_utf8(moment).ok()?.trim();
            DateTime::parse_from_rfc3339(moment).ok()?.into()
        }
        _ => return None,
    };
    Some(DatedKey { secret, from })
}

fn text(keys: &[DatedKey]) -> Zeroizing<String> {
    // Room for all of it at once, so that no shorter copy stays behind in memory.
    let mut text = Zeroizing::new(String::with_capacity(keys.len().saturating_mul(128)));
    for key in keys {
        text.push_str(Zeroizing::new(hex::encode(key.secret.as_slice())).as_str());
        if key.from > UNIX_EPOCH {
            text.push(' ');
            text.push_str(&moment(key.from));
        }
        text.push('\n');
    }
    text
}

/// A moment in ISO 8601, UTC.
pub fn moment(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Keeps other rotations of files in the same directory away while it is held.
fn lock(path: &Path) -> std::io::Result<File> {
    let directory = directory(path);
    std::fs::create_dir_all(directory)?;
    let file = File::open(directory)?;
    rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// Replaces the file.
fn write(path: &Path, keys: &[DatedKey]) -> std::io::Result<()> {
    let temporary = write_beside(path, keys)?;
    let renamed = std::fs::rename(&temporary, path);
    if renamed.is_err() {
        // Best effort: what is told is why it could not be renamed.
        let _ = std::fs::remove_file(&temporary);
    }
    renamed?;
    File::open(directory(path))?.sync_all()
}

/// Writes a fresh key beside `path` and links it there, so that the file is whole from the moment
/// it exists and an existing one is never replaced.
fn create(path: &Path) -> std::io::Result<()> {
    let secret = generate_key().map_err(std::io::Error::other)?;
    std::fs::create_dir_all(directory(path))?;
    let temporary = write_beside(path, &[DatedKey { secret, from: SystemTime::now() }])?;
    let linked = match std::fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    };
    std::fs::remove_file(&temporary)?;
    linked?;
    File::open(directory(path))?.sync_all()
}

fn write_beside(path: &Path, keys: &[DatedKey]) -> std::io::Result<PathBuf> {
    let temporary = directory(path).join(format!(".token-key-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text(keys).as_bytes())?;
    file.sync_all()?;
    Ok(temporary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn file_with(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn the_file_is_created_once_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys/token.key");
        let first = KeyFile::open(&path).unwrap().1;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(KeyFile::open(&path).unwrap().1[0].secret, first[0].secret);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no file is left over");
    }

    #[test]
    fn keys_with_and_without_a_moment_are_read() {
        let (one, two) = ("01".repeat(32), "02".repeat(32));
        let file = file_with(&format!("{one}\n\n{two} 1970-01-02T00:00:00Z\n"));
        let keys = read(file.path()).unwrap();
        assert_eq!((keys[0].secret[0], keys[0].from), (1, UNIX_EPOCH));
        assert_eq!((keys[1].secret[31], keys[1].from), (2, at(86_400)));
    }

    #[test]
    fn a_broken_line_is_named() {
        let good = "01".repeat(32);
        for (text, line) in [
            ("", 1),
            ("zz", 1),
            (&*format!("{good}\nabcd"), 2),
            (&format!("{good} yesterday"), 1),
            (&format!("{good}x"), 1),
        ] {
            let error = read(file_with(text).path()).unwrap_err();
            assert!(matches!(error, KeyFileError::Line { line: found, .. } if found == line), "{text:?}");
            assert!(!error.to_string().contains("0101"), "{error}");
        }
    }

    #[test]
    fn attack_keys_that_others_can_read_are_refused() {
        let file = file_with(&"01".repeat(32));
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = KeyFile::open(file.path()).unwrap_err().to_string();
        assert!(error.starts_with("the token key file "), "{error}");
        assert!(error.contains("others can reach it") && error.contains("mode 0644"), "{error}");
    }

    #[test]
    fn rotation_adds_a_key_and_takes_out_what_has_expired() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.key");
        let first = rotate(&path, at(1000), at(1000), DAY).unwrap().added;
        let second = rotate(&path, at(2000), at(2000), DAY).unwrap();
        assert_eq!(second.removed, []);
        let states = |now| {
            let listed = list(&path, now, DAY).unwrap();
            listed.into_iter().map(|key| (key.id, key.state)).collect::<Vec<_>>()
        };
        let until = at(2000) + DAY;
        assert_eq!(
            states(at(3000)),
            [(second.added, KeyState::Signing), (first, KeyState::Accepted { until })]
        );
        let third = rotate(&path, until + DAY, until, DAY).unwrap();
        assert_eq!(third.removed, [first], "its last token has expired");
        assert_eq!(states(until), [(third.added, KeyState::Coming), (second.added, KeyState::Signing)]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no file is left over");

        assert_eq!(remove(&path, &second.added.to_string()).unwrap(), second.added);
        let only = remove(&path, &third.added.to_string()).unwrap_err().to_string();
        assert!(only.contains("is the only key"), "{only}");
        assert!(matches!(remove(&path, "00000000"), Err(KeyFileError::Unknown { .. })));
        assert_eq!(read(&path).unwrap().len(), 1);
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_broken_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token.key");
        let (file, _) = KeyFile::open(&path).unwrap();
        let look = || {
            let mut found = None;
            file.look(Look::Now, |keys| found = Some(keys.len()));
            found
        };
        // The file came to be after it was looked at first.
        assert!(look().is_none_or(|keys| keys == 1));
        rotate(&path, SystemTime::now(), SystemTime::now(), DAY).unwrap();
        assert_eq!(look(), Some(2));
        assert_eq!(look(), None, "nothing has changed since");
        std::fs::write(&path, "broken").unwrap();
        assert_eq!(look(), None);
    }
}
