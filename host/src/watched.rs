//! Files of the operator's that may change while the server runs.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

/// Such a file is looked at at most once in this time.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What changes when a file does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint([i64; 5], u64);

impl Fingerprint {
    /// Of a file as it is now; `None` when it cannot be looked at.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().map(|metadata| Self::new(&metadata))
    }

    fn new(metadata: &Metadata) -> Self {
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        let [mtime, mtime_nsec, ctime, ctime_nsec] = times;
        Self([mtime, mtime_nsec, ctime, ctime_nsec, metadata.ino().cast_signed()], metadata.len())
    }
}
