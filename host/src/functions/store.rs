//! Persistence: what was provisioned survives a restart, and so do the images.
//!
//! Below the state directory, `functions/<tenant>/<version>.json` holds a tenant's name and the
//! function's definition, and `images/<tenant>/<version>.image` its image. `<tenant>` is a hash of
//! the tenant's name and `<version>` the definition's digest, so no name from outside ever becomes
//! a path. Files appear whole or not at all: they are written under another name, flushed to disk
//! and renamed. All access goes through one directory handle that cannot be left.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, OpenOptions, OpenOptionsExt};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use vivarium_runtime::FunctionSpec;

use super::error::StoreError;
use super::registry::VersionId;

const FUNCTIONS: &str = "functions";
const IMAGES: &str = "images";
/// Files of an interrupted write; removed at the next start.
const TEMPORARY_PREFIX: &str = ".writing-";
const FORMAT: u32 = 1;

/// The state directory.
#[derive(Debug)]
pub(super) struct Store {
    root: Dir,
    path: PathBuf,
}

/// One file below `functions`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    tenant: String,
    spec: FunctionSpec,
}

impl Store {
    /// Opens the directory and creates what is missing in it, for the owner only.
    pub(super) fn open(path: &Path) -> Result<Store, StoreError> {
        let failed = |source| StoreError::Directory { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        let root = Dir::open_ambient_dir(path, ambient_authority()).map_err(failed)?;
        for name in [FUNCTIONS, IMAGES] {
            create_directory(&root, name).map_err(failed)?;
        }
        let store = Store { root, path: path.to_owned() };
        // Finds out now rather than at the first provisioning whether the directory is writable.
        store.write(Path::new(".probe"), b"").map_err(failed)?;
        store.root.remove_file(".probe").map_err(failed)?;
        Ok(store)
    }

    /// All functions. A file that cannot be used is left alone and reported in the log: one broken
    /// file must not keep the other functions from being served.
    pub(super) fn load_all(&self) -> Result<Vec<(VersionId, FunctionSpec)>, StoreError> {
        let failed = |source| StoreError::Directory { path: self.path.join(FUNCTIONS), source };
        let mut found = Vec::new();
        for tenant in self.root.read_dir(FUNCTIONS).map_err(failed)? {
            let tenant = tenant.map_err(failed)?;
            if !tenant.file_type().map_err(failed)?.is_dir() {
                continue;
            }
            let directory = tenant.open_dir().map_err(failed)?;
            for file in directory.entries().map_err(failed)? {
                let name = file.map_err(failed)?.file_name();
                let name = name.to_string_lossy();
                if name.starts_with(TEMPORARY_PREFIX) {
                    directory.remove_file(&*name).map_err(failed)?;
                    continue;
                }
                match read_record(&directory, &name) {
                    Ok(record) => found.push(record),
                    Err(error) => tracing::warn!(file = &*name, error, "a stored function is unusable"),
                }
            }
        }
        Ok(found)
    }

    /// Keeps a function.
    pub(super) fn put_spec(&self, id: &VersionId, spec: &FunctionSpec) -> Result<(), StoreError> {
        let record = Record { format: FORMAT, tenant: id.tenant.clone(), spec: spec.clone() };
        let path = file_of(FUNCTIONS, id, "json");
        let failed = |source| StoreError::Write { path: self.path.join(&path), source };
        let bytes = serde_json::to_vec(&record).map_err(|error| failed(error.into()))?;
        self.write(&path, &bytes).map_err(failed)
    }

    /// Keeps a function's image.
    pub(super) fn put_image(&self, id: &VersionId, bytes: &[u8]) -> Result<(), StoreError> {
        let path = file_of(IMAGES, id, "image");
        self.write(&path, bytes).map_err(|source| StoreError::Write { path: self.path.join(&path), source })
    }

    /// A function's image, if one was kept.
    pub(super) fn image(&self, id: &VersionId) -> Result<Option<Vec<u8>>, StoreError> {
        let path = file_of(IMAGES, id, "image");
        match self.root.read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Read { path: self.path.join(&path), source }),
        }
    }

    /// Forgets a function and its image.
    pub(super) fn remove(&self, id: &VersionId) -> Result<(), StoreError> {
        for path in [file_of(FUNCTIONS, id, "json"), file_of(IMAGES, id, "image")] {
            match self.root.remove_file(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                result => {
                    result.map_err(|source| StoreError::Write { path: self.path.join(&path), source })?;
                }
            }
        }
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        if parent != Path::new(".") {
            create_directory(&self.root, parent)?;
        }
        let directory = self.root.open_dir(parent)?;
        let temporary = format!("{TEMPORARY_PREFIX}{}", name.to_string_lossy());
        let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone();
        let mut file = directory.open_with(&temporary, &options)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(error) = written.and_then(|()| directory.rename(&temporary, &directory, name)) {
            // Best effort: the write has failed already, and the next start removes it as well.
            let _ = directory.remove_file(&temporary);
            return Err(error);
        }
        directory.open(".")?.sync_all()
    }
}

fn create_directory(root: &Dir, path: impl AsRef<Path>) -> std::io::Result<()> {
    match root.create_dir_with(path, DirBuilder::new().mode(0o700)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

fn file_of(kind: &str, id: &VersionId, extension: &str) -> PathBuf {
    let hash = Sha256::new().chain_update(b"tenant\0").chain_update(&id.tenant).finalize();
    let tenant = hex::encode(&hash[..16]);
    PathBuf::from(kind).join(tenant).join(format!("{}.{extension}", hex::encode(id.digest)))
}

fn read_record(directory: &Dir, name: &str) -> Result<(VersionId, FunctionSpec), String> {
    let bytes = directory.read(name).map_err(|error| error.to_string())?;
    let record: Record = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if record.format != FORMAT {
        return Err(format!("it has format {}, this program reads format {FORMAT}", record.format));
    }
    let digest = record.spec.digest();
    if name != format!("{}.json", hex::encode(digest)) {
        return Err("its content does not match its name".to_owned());
    }
    Ok((VersionId { tenant: record.tenant, digest }, record.spec))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::functions::registry::tests::spec;

    fn id(tenant: &str, code: &str) -> VersionId {
        VersionId { tenant: tenant.to_owned(), digest: spec("f", code).digest() }
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        for (tenant, code) in [("a", "1"), ("a", "2"), ("../../b", "1")] {
            store.put_spec(&id(tenant, code), &spec("f", code)).unwrap();
        }
        store.put_image(&id("a", "1"), b"image").unwrap();
        store.remove(&id("a", "2")).unwrap();
        drop(store);

        let store = Store::open(directory.path()).unwrap();
        let mut found: Vec<_> = store.load_all().unwrap();
        found.sort_by(|left, right| left.0.tenant.cmp(&right.0.tenant));
        assert_eq!(found, [(id("../../b", "1"), spec("f", "1")), (id("a", "1"), spec("f", "1"))]);
        assert_eq!(store.image(&id("a", "1")).unwrap().as_deref(), Some(&b"image"[..]));
        assert_eq!(store.image(&id("../../b", "1")).unwrap(), None, "images are not shared by tenants");
    }

    #[test]
    fn broken_and_renamed_files_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.put_spec(&id("a", "1"), &spec("f", "1")).unwrap();
        let tenant =
            std::fs::read_dir(directory.path().join(FUNCTIONS)).unwrap().next().unwrap().unwrap().path();
        let file = std::fs::read_dir(&tenant).unwrap().next().unwrap().unwrap().path();
        std::fs::copy(&file, tenant.join("other.json")).unwrap();
        std::fs::write(tenant.join("half.json"), b"{\"format\":1,").unwrap();
        std::fs::write(tenant.join(format!("{TEMPORARY_PREFIX}x")), b"{").unwrap();
        assert_eq!(store.load_all().unwrap().len(), 1);
        assert!(!tenant.join(format!("{TEMPORARY_PREFIX}x")).exists());
    }

    #[test]
    fn files_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.put_image(&id("a", "1"), b"image").unwrap();
        let path = directory.path().join(file_of(IMAGES, &id("a", "1"), "image"));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Store::open(&file.path().join("state")).unwrap_err().to_string();
        assert!(error.contains("state"), "{error}");
    }
}
