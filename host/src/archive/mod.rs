//! Strict reading of ZIP archives that strangers made: wheels, and `.zip`, `.whl` and `.egg` imports.
//!
//! ZIP says everything twice (in a header before each entry and in the directory at the end), finds
//! its beginning from its end, and lets bytes lie around that belong to nothing; readers choose
//! differently what they believe, so that one archive can be two. This reader accepts an archive
//! only when there is nothing to choose: every byte belongs to exactly one record, both
//! descriptions of every entry agree, and every name is one that a file can have everywhere.
//! What is left is the same to every reader, Python's `zipimport` in the sandbox included.
//!
//! The structure is read here, because ready-made readers are tolerant on purpose and do not show
//! the local headers; decompression is `flate2`'s. Nothing is unpacked before the whole structure
//! was checked, and nothing is allocated by a number that the archive merely claims.

mod bytes;
mod central;
mod end;
mod error;
mod extra;
mod inflate;
mod layout;
mod names;
#[cfg(test)]
mod tests;
mod tree;

use serde::{Deserialize, Serialize};

pub use self::error::ArchiveError;
use self::inflate::Inflater;
use self::layout::Entry;
pub use self::names::{MAX_NAME_BYTES, NameProblem, check_name};

/// What an archive may contain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArchiveLimits {
    /// Most entries, directories included. Default: 20 000.
    pub entries: u64,
    /// Largest unpacked entry, in bytes. Default: 64 MiB.
    pub entry_bytes: u64,
    /// Largest sum of all unpacked entries, in bytes. Default: 256 MiB.
    pub total_bytes: u64,
    /// How many times as large as its packed data an entry may be that unpacks to more than
    /// 1 MiB. Default: 200.
    pub ratio: u64,
    /// Longest path of an entry, in bytes. Default: 1024.
    pub path_bytes: u64,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self { entries: 20_000, entry_bytes: 64 << 20, total_bytes: 256 << 20, ratio: 200, path_bytes: 1024 }
    }
}

/// One file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveEntry {
    /// Its path: relative, parts separated by `/`, none of them `.`, `..` or empty.
    pub path: String,
    /// Its content, of the declared size and checksum.
    pub content: Vec<u8>,
}

/// Unpacks an archive's files, in the order of its directory. Directories are checked and left out.
///
/// # Errors
/// [`ArchiveError`]; nothing is handed out then.
pub fn read_zip(bytes: &[u8], limits: &ArchiveLimits) -> Result<Vec<ArchiveEntry>, ArchiveError> {
    let mut files = Vec::new();
    unpack_all(bytes, limits, |entry, content| {
        if !entry.is_directory {
            files.push(ArchiveEntry { path: entry.path.to_owned(), content });
        }
    })?;
    Ok(files)
}

/// Checks an archive as [`read_zip`] does, entry after entry, without keeping what it unpacks.
///
/// # Errors
/// [`ArchiveError`].
pub fn check_zip(bytes: &[u8], limits: &ArchiveLimits) -> Result<(), ArchiveError> {
    unpack_all(bytes, limits, |_, _| ())
}

fn unpack_all(
    bytes: &[u8],
    limits: &ArchiveLimits,
    mut keep: impl FnMut(&Entry<'_>, Vec<u8>),
) -> Result<(), ArchiveError> {
    let entries = layout::read(bytes, limits)?;
    let mut inflater = Inflater::new();
    for entry in &entries {
        let content = inflater.unpack(entry)?;
        keep(entry, content);
    }
    Ok(())
}
