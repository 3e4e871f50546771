//! Workers on disk: `workers/<tenant>/<worker>.json` below the state directory, both hashes of names.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Worker;
use crate::functions::StoreError;
use crate::state_dir::{TEMPORARY_PREFIX, create_directory, write};

const WORKERS: &str = "workers";
const FORMAT: u32 = 1;

/// The directory of the workers.
#[derive(Debug)]
pub(super) struct Store {
    root: Dir,
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    tenant: String,
    worker: Worker,
}

impl Store {
    /// Opens the directory below `state_dir`, and creates it for the owner only.
    pub(super) fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let path = state_dir.join(WORKERS);
        let failed = |source| StoreError::Directory { path: path.clone(), source };
        std::fs::create_dir_all(state_dir).map_err(failed)?;
        let state = Dir::open_ambient_dir(state_dir, ambient_authority()).map_err(failed)?;
        create_directory(&state, WORKERS).map_err(failed)?;
        let root = state.open_dir(WORKERS).map_err(failed)?;
        Ok(Self { root, path })
    }

    /// All workers with their tenants. A file that cannot be used is left alone and reported in the log.
    pub(super) fn load_all(&self) -> Result<Vec<(String, Worker)>, StoreError> {
        let failed = |source| StoreError::Directory { path: self.path.clone(), source };
        let mut found = Vec::new();
        for tenant in self.root.entries().map_err(failed)? {
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
                let path = Path::new(&tenant.file_name()).join(&*name);
                match read(&directory, &name, &path) {
                    Ok(record) => found.push(record),
                    Err(error) => tracing::warn!(file = &*name, error, "a stored worker is unusable"),
                }
            }
        }
        Ok(found)
    }

    /// Keeps a worker.
    pub(super) fn put(&self, tenant: &str, worker: &Worker) -> Result<(), StoreError> {
        let path = file_of(tenant, &worker.name);
        let record = Record { format: FORMAT, tenant: tenant.to_owned(), worker: worker.clone() };
        let failed = |source| StoreError::Write { path: self.path.join(&path), source };
        let bytes = serde_json::to_vec(&record).map_err(|error| failed(error.into()))?;
        write(&self.root, &path, &bytes).map_err(failed)
    }

    /// Forgets a worker.
    pub(super) fn remove(&self, tenant: &str, name: &str) -> Result<(), StoreError> {
        let path = file_of(tenant, name);
        match self.root.remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            result => result.map_err(|source| StoreError::Write { path: self.path.join(&path), source }),
        }
    }
}

fn file_of(tenant: &str, name: &str) -> PathBuf {
    let hash = |label: &[u8], text: &str| {
        let hash = Sha256::new().chain_update(label).chain_update(text).finalize();
        hex::encode(&hash[..16])
    };
    PathBuf::from(hash(b"tenant\0", tenant)).join(format!("{}.json", hash(b"worker\0", name)))
}

fn read(directory: &Dir, name: &str, path: &Path) -> Result<(String, Worker), String> {
    let bytes = directory.read(name).map_err(|error| error.to_string())?;
    let record: Record = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if record.format != FORMAT {
        return Err(format!("it has format {}, this program reads format {FORMAT}", record.format));
    }
    if path != file_of(&record.tenant, &record.worker.name) {
        return Err("its content does not match its name".to_owned());
    }
    Ok((record.tenant, record.worker))
}

#[cfg(test)]
mod tests {
    use super::super::Timestamp;
    use super::*;

    #[test]
    fn broken_and_renamed_files_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.put("t", &Worker::new("w", Timestamp::now())).unwrap();
        let tenant = std::fs::read_dir(&store.path).unwrap().next().unwrap().unwrap().path();
        let file = std::fs::read_dir(&tenant).unwrap().next().unwrap().unwrap().path();
        std::fs::copy(&file, tenant.join("other.json")).unwrap();
        std::fs::write(tenant.join("half.json"), b"{\"format\":1,").unwrap();
        std::fs::write(tenant.join(format!("{TEMPORARY_PREFIX}x")), b"{").unwrap();
        let found = Store::open(directory.path()).unwrap().load_all().unwrap();
        assert_eq!(found.len(), 1);
        assert!(!tenant.join(format!("{TEMPORARY_PREFIX}x")).exists());
        store.remove("t", "w").unwrap();
        store.remove("t", "w").unwrap();
        assert!(store.load_all().unwrap().is_empty());
    }
}
