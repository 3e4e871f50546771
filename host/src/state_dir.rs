//! Files of the state directory: for their owner only, and whole or not there.

use std::io::{ErrorKind, Write};
use std::path::Path;

use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, OpenOptions, OpenOptionsExt};

/// Beginning of the names of files of an interrupted write; whoever reads a directory removes them.
pub(crate) const TEMPORARY_PREFIX: &str = ".writing-";

/// Writes a file at most one directory below `root`, which is created: under another name, flushed to
/// disk, then renamed.
pub(crate) fn write(root: &Dir, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    put(root, path, bytes, true)
}

/// Writes a file likewise, which may be lost, empty or damaged after a failure of the machine: for what can be
/// made again, and is checked when it is read. Flushing some hundred KiB takes as long as making them.
pub(crate) fn write_unflushed(root: &Dir, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    put(root, path, bytes, false)
}

fn put(root: &Dir, path: &Path, bytes: &[u8], flush: bool) -> std::io::Result<()> {
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
    let flushed = |file: &cap_std::fs::File| if flush { file.sync_all() } else { Ok(()) };
    let written = file.write_all(bytes).and_then(|()| flushed(&file));
    if let Err(error) = written.and_then(|()| directory.rename(&temporary, &directory, name)) {
        // Best effort: the write has failed already, and the next start removes it as well.
        let _ = directory.remove_file(&temporary);
        return Err(error);
    }
    if flush { directory.open(".")?.sync_all() } else { Ok(()) }
}

/// Creates a directory for its owner only, unless it is there.
pub(crate) fn create_directory(root: &Dir, path: impl AsRef<Path>) -> std::io::Result<()> {
    match root.create_dir_with(path, DirBuilder::new().mode(0o700)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}
