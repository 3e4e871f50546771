//! The cache of compiled code and base image.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use common::wat_guest::WatGuest;
use common::{fork, int64_batch, int64_spec, int64_values};
use vivarium_runtime::{
    BuildLimits, CacheError, Engine, EngineConfig, EngineError, FunctionFiles, LoadError,
};

fn config(dir: &Path) -> EngineConfig {
    EngineConfig { cache_dir: Some(dir.join("cache")), ..EngineConfig::default() }
}

fn works(engine: &Engine) {
    let image =
        engine.build_image(&int64_spec(""), &FunctionFiles::default(), &BuildLimits::default()).unwrap();
    assert_eq!(int64_values(&fork(&image).invoke(&int64_batch([1, 2])).unwrap()), [1, 2]);
}

/// The cache's entry of a kind, of which there is one.
fn entry(dir: &Path, kind: &str) -> PathBuf {
    fs::read_dir(dir.join("cache"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == kind))
        .unwrap()
}

#[test]
fn a_second_engine_finds_what_the_first_built() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = WatGuest::default().wasm();
    let first = Engine::with_guest(&config(dir.path()), &wasm).unwrap();
    let second = Engine::with_guest(&config(dir.path()), &wasm).unwrap();
    assert_eq!(first.identity(), second.identity());
    works(&second);
    // Images go from one to the other, but not to an engine over another guest.
    let spec = int64_spec("");
    let bytes =
        first.build_image(&spec, &FunctionFiles::default(), &BuildLimits::default()).unwrap().to_bytes();
    assert!(second.load_image(&spec, &bytes).is_ok());
    let other = WatGuest { invoke: "(i32.const -1)".into(), ..WatGuest::default() }.wasm();
    let other = Engine::with_guest(&config(dir.path()), &other).unwrap();
    assert!(matches!(other.load_image(&spec, &bytes), Err(LoadError::OtherEngine)));
    // It runs its own code, which fails, and not what the first has left in the cache.
    let image = other.build_image(&spec, &FunctionFiles::default(), &BuildLimits::default()).unwrap();
    assert!(fork(&image).invoke(&int64_batch([1, 2])).is_err());
    works(&Engine::with_guest(&config(dir.path()), &wasm).unwrap());
}

#[test]
fn damaged_entries_are_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = WatGuest::default().wasm();
    drop(Engine::with_guest(&config(dir.path()), &wasm).unwrap());
    let mut damaged = Vec::new();
    for entry in fs::read_dir(dir.path().join("cache")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        if let Some(byte) = bytes.last_mut() {
            *byte ^= 1;
            fs::write(&path, &bytes).unwrap();
            damaged.push((path, bytes));
        }
    }
    assert_eq!(damaged.len(), 2, "a module and a base");
    works(&Engine::with_guest(&config(dir.path()), &wasm).unwrap());
    // A byte that nobody reads is no excuse: nothing damaged is left.
    for (path, bytes) in damaged {
        assert!(fs::read(&path).unwrap() != bytes, "{} was used", path.display());
    }
}

#[test]
fn entries_that_others_can_write_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = WatGuest::default().wasm();
    drop(Engine::with_guest(&config(dir.path()), &wasm).unwrap());
    let entries: Vec<_> = ["module", "base"].map(|kind| entry(dir.path(), kind)).into();
    for entry in &entries {
        fs::set_permissions(entry, fs::Permissions::from_mode(0o666)).unwrap();
        let refused = Engine::with_guest(&config(dir.path()), &wasm);
        assert!(
            matches!(&refused, Err(EngineError::Cache(CacheError::Untrusted { path, .. })) if path == entry),
            "{}: {:?}",
            entry.display(),
            refused.err()
        );
        fs::set_permissions(entry, fs::Permissions::from_mode(0o600)).unwrap();
    }
    works(&Engine::with_guest(&config(dir.path()), &wasm).unwrap());
}

#[test]
fn one_entry_that_is_missing_is_made_again_and_the_other_one_used() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = WatGuest::default().wasm();
    drop(Engine::with_guest(&config(dir.path()), &wasm).unwrap());
    for (missing, other) in [("module", "base"), ("base", "module")] {
        let (missing, other) = (entry(dir.path(), missing), entry(dir.path(), other));
        let inode = |path: &Path| fs::metadata(path).unwrap().ino();
        let before = inode(&other);
        fs::remove_file(&missing).unwrap();
        works(&Engine::with_guest(&config(dir.path()), &wasm).unwrap());
        assert!(missing.exists());
        assert_eq!(inode(&other), before, "{} was made again", other.display());
    }
}

#[test]
fn a_directory_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = WatGuest::default().wasm();
    drop(Engine::with_guest(&config(dir.path()), &wasm).unwrap());
    fs::set_permissions(dir.path().join("cache"), fs::Permissions::from_mode(0o770)).unwrap();
    let refused = Engine::with_guest(&config(dir.path()), &wasm);
    assert!(matches!(refused, Err(EngineError::Cache(CacheError::Untrusted { mode: 0o770, .. }))));
}

#[test]
fn engines_that_start_together_build_once() {
    let dir = tempfile::tempdir().unwrap();
    let wasm = WatGuest::default().wasm();
    let identities: Vec<_> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| Engine::with_guest(&config(dir.path()), &wasm).unwrap().identity().clone())
            })
            .collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    // The base image is made with a random seed: equal digests mean that it was made once.
    assert!(identities.iter().all(|identity| identity.base_digest == identities[0].base_digest));
}
