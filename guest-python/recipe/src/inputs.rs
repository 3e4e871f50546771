//! Which inputs make which stage.

use std::path::{Path, PathBuf};

use crate::digest::{Digest, Hasher};
use crate::{options, pins};

/// Folders of `guest-python/` whose files go into the guest, with the file name endings that count.
const GUEST_FOLDERS: &[(&str, &[&str])] =
    &[("bridge", &["c", "h"]), ("filesystem", &["c", "h"]), ("package", &[]), ("toolchain", &["py"])];

/// The profile, relative to `guest-python/`.
const PROFILE: &str = "profile/cpython.profdata";

/// Folders that never go into the guest, wherever they are.
const LEFT_OUT: &[&str] = &["tests", "__pycache__"];

/// An input that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the guest's source {path}")]
pub struct InputError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub source: std::io::Error,
}

/// The recipe, bound to the `guest-python/` folder whose files it uses.
#[derive(Debug, Clone)]
pub struct Recipe {
    folder: PathBuf,
}

impl Recipe {
    /// Binds the recipe to a `guest-python/` folder.
    ///
    /// # Errors
    /// If there is no such folder.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, InputError> {
        let folder = folder.as_ref();
        let folder =
            folder.canonicalize().map_err(|source| InputError { path: folder.to_owned(), source })?;
        Ok(Self { folder })
    }

    /// The `guest-python/` folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file of `toolchain/`.
    pub fn toolchain(&self, name: &str) -> PathBuf {
        self.folder.join("toolchain").join(name)
    }

    /// The execution counts that CPython is compiled with (see `profile/README.md`).
    pub fn profile(&self) -> PathBuf {
        self.folder.join(PROFILE)
    }

    /// The files and folders to watch for changes.
    pub fn watched(&self) -> impl Iterator<Item = PathBuf> + '_ {
        GUEST_FOLDERS.iter().map(|(name, _)| self.folder.join(name)).chain([self.profile()])
    }

    /// Names the native Python: depends on this machine's platform.
    pub fn native(&self) -> Digest {
        let mut hasher = Hasher::new("native");
        hasher.add("platform", format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS).as_bytes());
        add_zlib(&mut hasher);
        hasher.add_list("python", pins::PYTHON.sha256);
        hasher.add_list("configure", options::NATIVE_CONFIGURE);
        hasher.finish()
    }

    /// Names CPython's libraries for WASI: the same on every machine.
    ///
    /// # Errors
    /// If a file of `toolchain/` cannot be read.
    pub fn cross(&self) -> Result<Digest, InputError> {
        let mut hasher = Hasher::new("cross");
        add_zlib(&mut hasher);
        hasher.add_list("python", pins::PYTHON.sha256);
        hasher.add("zig", pins::ZIG.version.as_bytes());
        hasher.add_list("target", options::TARGET);
        hasher.add_list("cflags", options::CROSS_CFLAGS);
        hasher.add_list("optimisation", options::CROSS_OPTIMISATION);
        hasher.add_list("configure", options::CROSS_CONFIGURE);
        hasher.add_list("libraries", options::CROSS_LIBRARIES);
        hasher.add_list("link", options::CROSS_LINK);
        hasher.add("epoch", options::SOURCE_DATE_EPOCH.as_bytes());
        self.add_file(&mut hasher, Path::new("toolchain/adjust.py"))?;
        self.add_file(&mut hasher, Path::new("toolchain/config.site"))?;
        self.add_file(&mut hasher, Path::new("toolchain/sysconfigdata.py"))?;
        self.add_file(&mut hasher, Path::new(PROFILE))?;
        Ok(hasher.finish())
    }

    /// Names the compiled standard library with the time zones.
    ///
    /// # Errors
    /// If a file of `toolchain/` cannot be read.
    pub fn stdlib(&self) -> Result<Digest, InputError> {
        let mut hasher = Hasher::new("stdlib");
        hasher.add("cross", self.cross()?.as_str().as_bytes());
        hasher.add_list("tzdata", pins::TZDATA.sha256);
        self.add_file(&mut hasher, Path::new("toolchain/compile.py"))?;
        self.add_file(&mut hasher, Path::new("toolchain/stdlib.py"))?;
        for file in self.files("toolchain/modules", &["py"])? {
            self.add_file(&mut hasher, &file)?;
        }
        Ok(hasher.finish())
    }

    /// Names the final module: the same on every machine.
    ///
    /// # Errors
    /// If one of the guest's sources cannot be read.
    pub fn guest(&self) -> Result<Digest, InputError> {
        let mut hasher = Hasher::new("guest");
        hasher.add("stdlib", self.stdlib()?.as_str().as_bytes());
        hasher.add_list("cflags", options::GUEST_CFLAGS);
        hasher.add_list("link", options::LINK);
        for (folder, endings) in GUEST_FOLDERS {
            for file in self.files(folder, endings)? {
                self.add_file(&mut hasher, &file)?;
            }
        }
        Ok(hasher.finish())
    }

    /// The C files that are compiled into the module, relative to [`Self::folder`], sorted.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn c_files(&self) -> Result<Vec<PathBuf>, InputError> {
        let mut files = self.files("filesystem", &["c"])?;
        files.extend(self.files("bridge", &["c"])?);
        Ok(files)
    }

    fn add_file(&self, hasher: &mut Hasher, file: &Path) -> Result<(), InputError> {
        let path = self.folder.join(file);
        match std::fs::read(&path) {
            Ok(bytes) => hasher.add(&file.to_string_lossy().replace('\\', "/"), &bytes),
            Err(source) => return Err(InputError { path, source }),
        }
        Ok(())
    }

    /// The files below `folder`, relative to [`Self::folder`], sorted. No endings: all files.
    fn files(&self, folder: &str, endings: &[&str]) -> Result<Vec<PathBuf>, InputError> {
        let mut found = Vec::new();
        let mut folders = vec![PathBuf::from(folder)];
        while let Some(folder) = folders.pop() {
            let path = self.folder.join(&folder);
            let failed = |source| InputError { path: path.clone(), source };
            for entry in std::fs::read_dir(&path).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name();
                let relative = folder.join(&name);
                if entry.file_type().map_err(failed)?.is_dir() {
                    if !LEFT_OUT.iter().any(|left_out| name == *left_out) {
                        folders.push(relative);
                    }
                } else if endings.is_empty() || has_ending(&relative, endings) {
                    found.push(relative);
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

fn has_ending(file: &Path, endings: &[&str]) -> bool {
    file.extension().is_some_and(|extension| endings.iter().any(|ending| extension == *ending))
}

fn add_zlib(hasher: &mut Hasher) {
    hasher.add_list("zlib", pins::ZLIB.sha256);
    hasher.add_list("zlib files", options::ZLIB_FILES);
    hasher.add_list("zlib cflags", options::ZLIB_CFLAGS);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A `guest-python/` folder with one file of each kind.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, contents) in [
            ("bridge/src/a.c", "int a;"),
            ("bridge/tests/t.c", "int t;"),
            ("filesystem/f.c", "int f;"),
            ("filesystem/f.h", "extern int f;"),
            ("package/vivarium/__init__.py", "pass"),
            ("profile/cpython.profdata", "counts"),
            ("toolchain/adjust.py", "0"),
            ("toolchain/compile.py", "1"),
            ("toolchain/config.site", "a=b"),
            ("toolchain/modules/select.py", "4"),
            ("toolchain/stdlib.py", "2"),
            ("toolchain/sysconfigdata.py", "3"),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        folder
    }

    fn digests(folder: &tempfile::TempDir) -> [Digest; 3] {
        let recipe = Recipe::open(folder.path()).unwrap();
        [recipe.cross().unwrap(), recipe.stdlib().unwrap(), recipe.guest().unwrap()]
    }

    #[test]
    fn the_place_of_the_folder_does_not_count() {
        assert_eq!(digests(&folder()), digests(&folder()));
    }

    #[test]
    fn a_bridge_file_changes_only_the_guest() {
        let folder = folder();
        let before = digests(&folder);
        fs::write(folder.path().join("bridge/src/a.c"), "int b;").unwrap();
        let after = digests(&folder);
        assert_eq!(before[..2], after[..2]);
        assert_ne!(before[2], after[2]);
    }

    #[test]
    fn a_new_or_renamed_file_changes_the_guest() {
        let folder = folder();
        let before = digests(&folder);
        fs::rename(folder.path().join("filesystem/f.c"), folder.path().join("filesystem/g.c")).unwrap();
        let renamed = digests(&folder);
        assert_ne!(before[2], renamed[2]);
        fs::write(folder.path().join("package/vivarium/data.bin"), "").unwrap();
        assert_ne!(renamed[2], digests(&folder)[2]);
    }

    #[test]
    fn the_configuration_changes_everything_but_the_native_python() {
        let folder = folder();
        let before = digests(&folder);
        let native = Recipe::open(folder.path()).unwrap().native();
        fs::write(folder.path().join("toolchain/config.site"), "a=c").unwrap();
        let after = digests(&folder);
        assert!(before.iter().zip(&after).all(|(before, after)| before != after));
        assert_eq!(native, Recipe::open(folder.path()).unwrap().native());
    }

    #[test]
    fn tests_and_caches_do_not_count() {
        let folder = folder();
        let before = digests(&folder);
        fs::write(folder.path().join("bridge/tests/t.c"), "int u;").unwrap();
        fs::create_dir(folder.path().join("package/vivarium/__pycache__")).unwrap();
        fs::write(folder.path().join("package/vivarium/__pycache__/x.pyc"), "x").unwrap();
        assert_eq!(before, digests(&folder));
    }

    #[test]
    fn c_files_are_sorted_sources_only() {
        let folder = folder();
        let files = Recipe::open(folder.path()).unwrap().c_files().unwrap();
        assert_eq!(files, [Path::new("filesystem/f.c"), Path::new("bridge/src/a.c")]);
    }
}
