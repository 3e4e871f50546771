//! Files of the state directory: for their owner only, and whole or not there.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::SystemTime;

use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, OpenOptions, OpenOptionsExt};

/// Beginning of the names of files of an interrupted write; whoever reads a directory removes them.
pub(crate) const TEMPORARY_PREFIX: &str = ".writing-";

/// Writes a file at most one directory below `root`, which is created: under another name, flushed to
/// disk, then renamed.
pub(crate) fn write(root: &Dir, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    put(root, path, &[bytes], None)
}

/// Writes a file of several parts likewise, which may be lost, empty or damaged after a failure of the
/// machine: for what can be made again, and is checked when it is read. Flushing some hundred KiB takes as
/// long as making them. The file is as old as its content, made at the time `made`.
pub(crate) fn write_unflushed(
    root: &Dir,
    path: &Path,
    parts: &[&[u8]],
    made: SystemTime,
) -> std::io::Result<()> {
    put(root, path, parts, Some(made))
}

/// Writes a file and flushes it, unless it is told when its content was made.
fn put(root: &Dir, path: &Path, parts: &[&[u8]], unflushed: Option<SystemTime>) -> std::io::Result<()> {
    let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    if parent != Path::new(".") {
        create_directory(root, parent)?;
    }
    let directory = root.open_dir(parent)?;
    let temporary = format!("{TEMPORARY_PREFIX}{}", name.to_string_lossy());
    let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone();
    let mut file = directory.open_with(&temporary, &options)?;
    let written = parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| match unflushed {
        None => file.sync_all(),
        Some(made) => file.into_std().set_modified(made),
    });
    if let Err(error) = written.and_then(|()| directory.rename(&temporary, &directory, name)) {
        // Best effort: the write has failed already, and the next start removes it as well.
        let _ = directory.remove_file(&temporary);
        return Err(error);
    }
    if unflushed.is_none() { directory.open(".")?.sync_all() } else { Ok(()) }
}

/// Creates a directory for its owner only, unless it is there.
pub(crate) fn create_directory(root: &Dir, path: impl AsRef<Path>) -> std::io::Result<()> {
    match root.create_dir_with(path, DirBuilder::new().mode(0o700)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}
