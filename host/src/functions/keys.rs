//! The file of the token keys.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::error::StartError;
use crate::token::{KEY_BYTES, SigningKey, generate_key};

/// The keys in `path`: the one that signs, and older ones that are still accepted. The file is
/// created with one fresh key when it does not exist; of several servers that start at the same
/// time on a shared file, one creates it and the others read it.
pub(super) fn read_or_create(path: &Path) -> Result<(SigningKey, Vec<SigningKey>), StartError> {
    let failed = |source| StartError::KeyFile { path: path.to_owned(), source };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create(path).map_err(failed)?;
            Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?)
        }
        Err(error) => return Err(failed(error)),
    };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others than its owner can read the token keys; chmod 600");
    }
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(line.trim(), key.as_mut_slice())
            .map_err(|_| StartError::Key { path: path.to_owned(), line: index + 1 })?;
        keys.push(key);
    }
    let mut keys = keys.into_iter();
    let signing = keys.next().ok_or_else(|| StartError::Key { path: path.to_owned(), line: 1 })?;
    Ok((signing, keys.collect()))
}

/// Writes a fresh key beside `path` and links it there, so that the file is whole from the moment
/// it exists and an existing one is never replaced.
fn create(path: &Path) -> std::io::Result<()> {
    let key = generate_key().map_err(std::io::Error::other)?;
    let line = Zeroizing::new(format!("{}\n", Zeroizing::new(hex::encode(key.as_slice())).as_str()));
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let temporary = directory.join(format!(".token-key-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match std::fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    std::fs::remove_file(&temporary)?;
    linked?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_created_once_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys/token.key");
        let (first, older) = read_or_create(&path).unwrap();
        assert!(older.is_empty());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_or_create(&path).unwrap().0, first);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no file is left over");
    }

    #[test]
    fn several_keys_are_read_in_order() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{}\n\n{}\n", "01".repeat(32), "02".repeat(32))).unwrap();
        let (signing, older) = read_or_create(file.path()).unwrap();
        assert_eq!((signing[0], older.len(), older[0][31]), (1, 1, 2));
    }

    #[test]
    fn a_broken_line_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, line) in [("", 1), ("zz", 1), (&*format!("{}\nabcd", "01".repeat(32)), 2)] {
            std::fs::write(file.path(), text).unwrap();
            let error = read_or_create(file.path()).unwrap_err();
            assert!(matches!(error, StartError::Key { line: found, .. } if found == line), "{text:?}");
        }
    }
}
