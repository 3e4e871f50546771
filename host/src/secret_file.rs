//! Files that hold secrets: closed to others, or refused.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

/// Why a file that holds a secret is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// It is a directory, a device, or the like.
    #[error("it is not a file")]
    NotAFile,
    /// It is larger than such a file is.
    #[error("it is larger than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: u64,
    },
    /// Others could read or replace the secret.
    #[error(
        "others can reach it (owner {owner}, mode {mode:04o}); it must belong to the server's user with mode \
         0600 or less, or to root with mode 0640 or less"
    )]
    Open {
        /// Its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
}

/// Reads a whole file that only its owner, or root, controls. Checked is the file that is read.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(SecretFileError::NotAFile);
    }
    check_permissions(&metadata)?;
    if metadata.len() > limit {
        return Err(SecretFileError::TooLarge { limit });
    }
    // Room for all of it at once, so that no shorter copy stays behind in memory.
    let room = usize::try_from(metadata.len()).unwrap_or(0).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn check_permissions(metadata: &Metadata) -> Result<(), SecretFileError> {
    const ROOT: u32 = 0;
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    let is_closed = (owner == rustix::process::geteuid().as_raw() && mode & 0o077 == 0)
        // As orchestrators hand secrets to a server that is not root.
        || (owner == ROOT && mode & 0o037 == 0);
    if is_closed { Ok(()) } else { Err(SecretFileError::Open { owner, mode }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn attack_secrets_that_others_reach_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "s3cret").unwrap();
        let owner = std::fs::metadata(&path).unwrap().uid();
        for mode in [0o600, 0o400, 0o604, 0o620, 0o644, 0o660, 0o666, 0o601] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = read(&path, 100);
            if mode & 0o077 == 0 {
                assert_eq!(**read.unwrap(), *b"s3cret");
            } else {
                assert_eq!(
                    read.unwrap_err().to_string(),
                    format!(
                        "others can reach it (owner {owner}, mode {mode:04o}); it must belong to the server's \
                         user with mode 0600 or less, or to root with mode 0640 or less"
                    )
                );
            }
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(&path, 5).unwrap_err().to_string(), "it is larger than 5 bytes");
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert!(matches!(read(directory.path(), 5), Err(SecretFileError::NotAFile)));
        let missing = read(&directory.path().join("missing"), 5).unwrap_err();
        assert!(missing.to_string().starts_with("it cannot be read: No such file"), "{missing}");
    }
}
