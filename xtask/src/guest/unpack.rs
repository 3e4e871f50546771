//! Archives, unpacked by python3: it reads every format that is needed, also without xz.

use std::path::Path;
use std::process::Command;

use super::command;

const TAR_SCRIPT: &str = "import sys, tarfile
with tarfile.open(sys.argv[1]) as archive:
    archive.extractall(sys.argv[2])";

/// Unpacks a tar archive. Its hash was compared before.
pub(crate) fn tar(archive: &Path, folder: &Path, log: &Path) -> anyhow::Result<()> {
    command::run(
        Command::new("python3").args(["-W", "ignore", "-c", TAR_SCRIPT]).arg(archive).arg(folder),
        log,
    )
}

/// Unpacks a zip archive. Its hash was compared before.
pub(crate) fn zip(archive: &Path, folder: &Path, log: &Path) -> anyhow::Result<()> {
    command::run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(archive).arg(folder), log)
}
