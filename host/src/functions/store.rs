//! Persistence: what was provisioned survives a restart, and so do the images.
//!
//! Below the state directory, `functions/<tenant>/<version>.json` holds a tenant's name and the
//! function's definition, and `images/<tenant>/<version>.image` its image. `<tenant>` is a hash of
//! the tenant's name and `<version>` the definition's digest, so no name from outside ever becomes
//! a path. Files appear whole or not at all: they are written under another name, flushed to disk
//! and renamed. Images are not flushed: what a failure of the machine makes of one is found out by its digest,
//! and it is built again. All access goes through one directory handle that cannot be left.

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::definition::{Definition, EnvironmentMark};
use super::error::{StoreError, Untrusted};
use super::materials::Materials;
use super::registry::VersionId;
use crate::state_dir::{self, TEMPORARY_PREFIX};
use crate::token::VersionPrefix;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, MetadataExt as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const FUNCTIONS: &str = "functions";
const IMAGES: &str = "images";
const FORMAT: u32 = 2;
/// Key of [`EnvironmentMark`]s.
const ENVIRONMENT_KEY: &str = "environment.key";

/// The state directory.
#[derive(Debug)]
pub(super) struct Store {
    root: Dir,
    path: PathBuf,
    /// Whether nothing may be changed, not even what an interrupted write left behind.
    read_only: bool,
}

/// One file below `functions`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    tenant: String,
    definition: Definition,
    /// Mark of the environment that the version was provisioned with, in hexadecimal.
    environment: Option<String>,
}

/// A function as it was kept.
#[derive(Debug)]
pub(super) struct StoredFunction {
    pub(super) id: VersionId,
    pub(super) definition: Definition,
    pub(super) environment: Option<EnvironmentMark>,
}

/// An image as it was kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StoredImage {
    pub(super) materials: Materials,
    pub(super) bytes: Vec<u8>,
}

impl Store {
    /// Opens the directory and creates what is missing in it, for the owner only.
    pub(super) fn open(path: &Path) -> Result<Store, StoreError> {
        let failed = |source| StoreError::Directory { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        let root = Dir::open_ambient_dir(path, ambient_authority()).map_err(failed)?;
        for name in [FUNCTIONS, IMAGES] {
            state_dir::create_directory(&root, name).map_err(failed)?;
        }
        for (name, closed) in [(".", 0o022), (FUNCTIONS, 0o077), (IMAGES, 0o077)] {
            let metadata = root.metadata(name).map_err(failed)?;
            check_owner(&metadata, closed)
                .map_err(|problem| StoreError::Untrusted { path: path.join(name), problem })?;
        }
        let store = Store { root, path: path.to_owned(), read_only: false };
        // Finds out now rather than at the first provisioning whether the directory is writable.
        store.write(Path::new(".probe"), b"").map_err(failed)?;
        store.root.remove_file(".probe").map_err(failed)?;
        Ok(store)
    }

    /// Opens a directory that is there already, to look at it.
    pub(super) fn open_read_only(path: &Path) -> Result<Store, StoreError> {
        let failed = |source| StoreError::Directory { path: path.to_owned(), source };
        let root = Dir::open_ambient_dir(path, ambient_authority()).map_err(failed)?;
        // What is no state directory is told as such, and not as one without functions.
        root.read_dir(FUNCTIONS)
            .map_err(|source| StoreError::Directory { path: path.join(FUNCTIONS), source })?;
        Ok(Store { root, path: path.to_owned(), read_only: true })
    }

    /// All functions. A file that cannot be used is left alone and reported in the log: one broken
    /// file must not keep the other functions from being served.
    pub(super) fn load_all(&self) -> Result<Vec<StoredFunction>, StoreError> {
        let mut found = Vec::new();
        for tenant in self.tenants()? {
            self.load_tenant(&tenant, |stored| found.push(stored))?;
        }
        Ok(found)
    }

    /// The directories of tenants that have functions.
    pub(super) fn tenants(&self) -> Result<Vec<OsString>, StoreError> {
        let failed = |source| StoreError::Directory { path: self.path.join(FUNCTIONS), source };
        let mut tenants = Vec::new();
        for tenant in self.root.read_dir(FUNCTIONS).map_err(failed)? {
            let tenant = tenant.map_err(failed)?;
            if tenant.file_type().map_err(failed)?.is_dir() {
                tenants.push(tenant.file_name());
            }
        }
        Ok(tenants)
    }

    /// Hands over the functions below one of [`Store::tenants`], as [`Store::load_all`] does, and removes
    /// what an interrupted write left there.
    pub(super) fn load_tenant(
        &self,
        tenant: &OsStr,
        mut found: impl FnMut(StoredFunction),
    ) -> Result<(), StoreError> {
        let path = Path::new(FUNCTIONS).join(tenant);
        let failed = |source| StoreError::Directory { path: self.path.join(&path), source };
        let directory = self.root.open_dir(&path).map_err(failed)?;
        for file in directory.entries().map_err(failed)? {
            let name = file.map_err(failed)?.file_name();
            let name = name.to_string_lossy();
            if !name.starts_with(TEMPORARY_PREFIX) {
                load_record(&directory, &name, &mut found);
            } else if !self.read_only {
                directory.remove_file(&*name).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Hands over a tenant's functions whose versions begin with `prefix`, or all of them; changes nothing.
    pub(super) fn load_versions(
        &self,
        tenant: &str,
        prefix: Option<&VersionPrefix>,
        mut found: impl FnMut(StoredFunction),
    ) -> Result<(), StoreError> {
        let path = directory_of(FUNCTIONS, tenant);
        let failed = |source| StoreError::Directory { path: self.path.join(&path), source };
        let directory = match self.root.open_dir(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            directory => directory.map_err(failed)?,
        };
        let prefix = prefix.map(hex::encode).unwrap_or_default();
        for file in directory.entries().map_err(failed)? {
            let name = file.map_err(failed)?.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&prefix) && !name.starts_with(TEMPORARY_PREFIX) {
                load_record(&directory, &name, &mut found);
            }
        }
        Ok(())
    }

    /// Keeps a function.
    pub(super) fn put_function(
        &self,
        id: &VersionId,
        definition: &Definition,
        environment: Option<EnvironmentMark>,
    ) -> Result<(), StoreError> {
        let record = Record {
            format: FORMAT,
            tenant: id.tenant.clone(),
            definition: definition.to_keep(),
            environment: environment.map(EnvironmentMark::to_hex),
        };
        let path = file_of(FUNCTIONS, id, "json");
        let failed = |source| StoreError::Write { path: self.path.join(&path), source };
        let bytes = serde_json::to_vec(&record).map_err(|error| failed(error.into()))?;
        self.write(&path, &bytes).map_err(failed)
    }

    /// Keeps a function's image, which was made at the time `made`: the materials as one line of JSON, then
    /// the image.
    pub(super) fn put_image(
        &self,
        id: &VersionId,
        materials: &Materials,
        bytes: &[u8],
        made: SystemTime,
    ) -> Result<(), StoreError> {
        let path = file_of(IMAGES, id, "image");
        let failed = |source| StoreError::Write { path: self.path.join(&path), source };
        let mut line = serde_json::to_vec(materials).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        // The image's own digest tells whether all of it came to disk.
        state_dir::write_unflushed(&self.root, &path, &[&line, bytes], made).map_err(failed)
    }

    /// The key of [`EnvironmentMark`]s, made when it does not exist.
    pub(super) fn environment_key(&self) -> Result<[u8; 32], StoreError> {
        let failed = |source| StoreError::Write { path: self.path.join(ENVIRONMENT_KEY), source };
        if let Some(key) = self.existing_environment_key()? {
            return Ok(key);
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| failed(std::io::Error::other(error)))?;
        self.write(Path::new(ENVIRONMENT_KEY), &key).map_err(failed)?;
        Ok(key)
    }

    /// The key of [`EnvironmentMark`]s, if there is one that can be used.
    pub(super) fn existing_environment_key(&self) -> Result<Option<[u8; 32]>, StoreError> {
        match self.root.read(ENVIRONMENT_KEY) {
            Ok(bytes) => Ok(bytes.try_into().ok()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Read { path: self.path.join(ENVIRONMENT_KEY), source }),
        }
    }

    /// A function's image, if one was kept.
    pub(super) fn image(&self, id: &VersionId) -> Result<Option<StoredImage>, StoreError> {
        let path = file_of(IMAGES, id, "image");
        let failed = |source| StoreError::Read { path: self.path.join(&path), source };
        let file = match self.root.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(source)),
        };
        let metadata = file.metadata().map_err(failed)?;
        check_owner(&metadata, 0o077)
            .map_err(|problem| StoreError::Untrusted { path: self.path.join(&path), problem })?;
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        file.read_until(b'\n', &mut line).map_err(failed)?;
        if line.pop() != Some(b'\n') {
            return Err(failed(ErrorKind::InvalidData.into()));
        }
        let materials = serde_json::from_slice(&line).map_err(|error| failed(error.into()))?;
        // Megabytes, on the way to a function's first row: read to where they stay, and once.
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        file.read_to_end(&mut bytes).map_err(failed)?;
        if !self.read_only {
            // For `image_time`. Not to have it is no loss.
            let _ = file.into_inner().into_std().set_modified(SystemTime::now());
        }
        Ok(Some(StoredImage { materials, bytes }))
    }

    /// When a function's image was made or last read, if there is one.
    pub(super) fn image_time(&self, id: &VersionId) -> Option<SystemTime> {
        let metadata = self.root.metadata(file_of(IMAGES, id, "image")).ok()?;
        metadata.modified().ok().map(cap_std::time::SystemTime::into_std)
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
        state_dir::write(&self.root, path, bytes)
    }
}

fn file_of(kind: &str, id: &VersionId, extension: &str) -> PathBuf {
    directory_of(kind, &id.tenant).join(format!("{}.{extension}", hex::encode(id.digest)))
}

fn directory_of(kind: &str, tenant: &str) -> PathBuf {
    let hash = Sha256::new().chain_update(b"tenant\0").chain_update(tenant).finalize();
    PathBuf::from(kind).join(hex::encode(&hash[..16]))
}

/// Refuses what others than this user could have written, or have bits of `closed`.
fn check_owner(metadata: &Metadata, closed: u32) -> Result<(), Untrusted> {
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if owner == rustix::process::geteuid().as_raw() && mode & closed == 0 {
        return Ok(());
    }
    Err(Untrusted { owner, mode })
}

/// Hands a function over, or tells in the log why it cannot be used.
fn load_record(directory: &Dir, name: &str, found: &mut impl FnMut(StoredFunction)) {
    match read_record(directory, name) {
        Ok(record) => found(record),
        Err(error) => tracing::warn!(file = name, error, "a stored function is unusable"),
    }
}

fn read_record(directory: &Dir, name: &str) -> Result<StoredFunction, String> {
    let mut file = directory.open(name).map_err(|error| error.to_string())?;
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    check_owner(&metadata, 0o077).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let record: Record = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if record.format != FORMAT {
        return Err(format!("it has format {}, this program reads format {FORMAT}", record.format));
    }
    let environment = match &record.environment {
        Some(mark) => Some(EnvironmentMark::from_hex(mark).ok_or("its environment's mark is malformed")?),
        None => None,
    };
    let digest = record.definition.digest(environment);
    if name != format!("{}.json", hex::encode(digest)) {
        return Err("its content does not match its name".to_owned());
    }
    let id = VersionId { tenant: record.tenant, digest };
    Ok(StoredFunction { id, definition: record.definition, environment })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::functions::registry::tests::definition;

    fn id(tenant: &str, code: &str) -> VersionId {
        VersionId { tenant: tenant.to_owned(), digest: definition("f", code).digest(None) }
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        for (tenant, code) in [("a", "1"), ("a", "2"), ("../../b", "1")] {
            store.put_function(&id(tenant, code), &definition("f", code), None).unwrap();
        }
        let materials = Materials { files_digest: Some("00".to_owned()), ..Materials::default() };
        let made = SystemTime::now() - Duration::from_secs(5);
        store.put_image(&id("a", "1"), &materials, b"ima\nge", made).unwrap();
        assert_eq!(store.image_time(&id("a", "1")), Some(made), "whenever it came to disk");
        store.remove(&id("a", "2")).unwrap();
        drop(store);

        let store = Store::open(directory.path()).unwrap();
        let mut found: Vec<_> =
            store.load_all().unwrap().into_iter().map(|stored| (stored.id, stored.definition)).collect();
        found.sort_by(|left, right| left.0.tenant.cmp(&right.0.tenant));
        assert_eq!(found, [(id("../../b", "1"), definition("f", "1")), (id("a", "1"), definition("f", "1"))]);
        let image = store.image(&id("a", "1")).unwrap();
        assert_eq!(image, Some(StoredImage { materials, bytes: b"ima\nge".to_vec() }));
        assert_eq!(store.image(&id("../../b", "1")).unwrap(), None, "images are not shared by tenants");
    }

    #[test]
    fn broken_and_renamed_files_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.put_function(&id("a", "1"), &definition("f", "1"), None).unwrap();
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
        store.put_image(&id("a", "1"), &Materials::default(), b"image", SystemTime::now()).unwrap();
        let path = directory.path().join(file_of(IMAGES, &id("a", "1"), "image"));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn attack_51_what_others_could_write_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let store = Store::open(directory.path()).unwrap();
        store.put_function(&id("a", "1"), &definition("f", "1"), None).unwrap();
        store.put_image(&id("a", "1"), &Materials::default(), b"image", SystemTime::now()).unwrap();
        let image = directory.path().join(file_of(IMAGES, &id("a", "1"), "image"));
        let record = directory.path().join(file_of(FUNCTIONS, &id("a", "1"), "json"));
        set(&image, 0o644);
        let error = store.image(&id("a", "1")).unwrap_err().to_string();
        let told = format!("others can reach it (owner {}, mode 0644)", rustix::process::geteuid().as_raw());
        assert!(error.ends_with(&told), "{error}");
        set(&image, 0o600);
        assert!(store.image(&id("a", "1")).unwrap().is_some());
        set(&record, 0o660);
        assert_eq!(store.load_all().unwrap().len(), 0);
        set(&record, 0o600);
        assert_eq!(store.load_all().unwrap().len(), 1);
        drop(store);
        for (name, mode) in [(".", 0o770), (".", 0o777), (FUNCTIONS, 0o750), (IMAGES, 0o711)] {
            let path = directory.path().join(name);
            set(&path, mode);
            let error = Store::open(directory.path()).unwrap_err().to_string();
            assert!(error.contains(&format!("mode {mode:04o}")), "{error}");
            set(&path, 0o700);
        }
        assert!(Store::open(directory.path()).is_ok());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Store::open(&file.path().join("state")).unwrap_err().to_string();
        assert!(error.contains("state"), "{error}");
    }
}
