//! Which inputs make which stage.

use std::path::{Path, PathBuf};

use crate::digest::{Digest, Hasher};
use crate::{options, pins};

/// Folders of `guest-python/` whose files go into both modules, with the file name endings that count.
const GUEST_FOLDERS: &[(&str, &[&str])] =
    &[("bridge", &["c", "h"]), ("filesystem", &["c", "h"]), ("package", &[]), ("toolchain", &["py"])];

/// The folder whose files go into the module with NumPy only.
const NUMPY_FOLDER: &str = "numpy";

/// Files of `toolchain/` that only NumPy is built with.
const NUMPY_TOOLCHAIN: &[&str] =
    &["adjust_numpy.py", "numpy/compiler.sh", "numpy/mesonpy.py", "numpy_tree.py"];

/// The profile, relative to `guest-python/`.
const PROFILE: &str = "profile/cpython.profdata";

/// What makes the wheels that a server brings itself, relative to `guest-python/`.
const WHEELS_SCRIPT: &str = "wheels/build.py";

/// Folders that never go into the guest, wherever they are.
const LEFT_OUT: &[&str] = &["tests", "__pycache__"];

/// One of the two modules that are linked from the same parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// CPython and its standard library.
    Plain,
    /// The same with NumPy.
    NumPy,
}

impl Variant {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Plain, Self::NumPy];

    /// The stage that makes it.
    pub fn stage(self) -> &'static str {
        match self {
            Self::Plain => "guest",
            Self::NumPy => "guest-numpy",
        }
    }

    /// Its file name inside its stage.
    pub fn file(self) -> &'static str {
        match self {
            Self::Plain => "vivarium-guest.wasm",
            Self::NumPy => "vivarium-guest-numpy.wasm",
        }
    }
}

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

    /// The script that makes the wheels.
    pub fn wheels_script(&self) -> PathBuf {
        self.folder.join(WHEELS_SCRIPT)
    }

    /// Names the wheels that a server brings itself: the same on every machine.
    ///
    /// # Errors
    /// If the script that makes them cannot be read.
    pub fn wheels(&self) -> Result<Digest, InputError> {
        let mut hasher = Hasher::new("wheels");
        for pin in &pins::PURE_PARTS {
            hasher.add_list(pin.name, pin.sha256);
        }
        self.add_file(&mut hasher, Path::new(WHEELS_SCRIPT))?;
        Ok(hasher.finish())
    }

    /// The files and folders to watch for changes.
    pub fn watched(&self) -> impl Iterator<Item = PathBuf> + '_ {
        let folders =
            GUEST_FOLDERS.iter().map(|(name, _)| *name).chain([NUMPY_FOLDER, PROFILE, WHEELS_SCRIPT]);
        folders.map(|name| self.folder.join(name))
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

    /// Names NumPy's object and Python files. Of CPython it needs the headers, whose `pyconfig.h` its
    /// options and `config.site` decide.
    ///
    /// # Errors
    /// If a file of `toolchain/` cannot be read.
    pub fn numpy(&self) -> Result<Digest, InputError> {
        let mut hasher = Hasher::new("numpy");
        for pin in [&pins::PYTHON, &pins::NUMPY, &pins::CYTHON] {
            hasher.add_list(pin.name, pin.sha256);
        }
        hasher.add("zig", pins::ZIG.version.as_bytes());
        for (name, values) in [
            ("target", options::TARGET),
            ("cflags", options::CROSS_CFLAGS),
            ("configure", options::CROSS_CONFIGURE),
            ("numpy cflags", options::NUMPY_CFLAGS),
            ("numpy cxxflags", options::NUMPY_CXXFLAGS),
            ("setup", options::NUMPY_SETUP),
            ("modules", options::NUMPY_MODULES),
            ("link", options::NUMPY_LINK),
        ] {
            hasher.add_list(name, values);
        }
        hasher.add("epoch", options::SOURCE_DATE_EPOCH.as_bytes());
        for file in ["adjust_numpy.py", "compile.py", "config.site", "numpy/compiler.sh", "numpy_tree.py"] {
            self.add_file(&mut hasher, &Path::new("toolchain").join(file))?;
        }
        Ok(hasher.finish())
    }

    /// Names a final module: the same on every machine. Nothing of NumPy's counts for the plain one.
    ///
    /// # Errors
    /// If one of the guest's sources cannot be read.
    pub fn guest(&self, variant: Variant) -> Result<Digest, InputError> {
        let mut hasher = Hasher::new(variant.stage());
        hasher.add("stdlib", self.stdlib()?.as_str().as_bytes());
        hasher.add_list("cflags", options::GUEST_CFLAGS);
        hasher.add_list("link", options::LINK);
        for (folder, endings) in GUEST_FOLDERS {
            for file in self.files(folder, endings)? {
                let tool = file.strip_prefix("toolchain").ok();
                if !tool.is_some_and(|tool| NUMPY_TOOLCHAIN.iter().any(|name| tool == Path::new(name))) {
                    self.add_file(&mut hasher, &file)?;
                }
            }
        }
        if variant == Variant::NumPy {
            hasher.add("numpy", self.numpy()?.as_str().as_bytes());
            hasher.add_list("link of numpy", options::LINK_NUMPY);
            for file in self.files(NUMPY_FOLDER, &["c", "h", "py"])? {
                self.add_file(&mut hasher, &file)?;
            }
        }
        Ok(hasher.finish())
    }

    /// The C files that are compiled into a module, relative to [`Self::folder`], in the order in which
    /// they are linked: what takes the place of the C library's own comes before what calls it.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn c_files(&self, variant: Variant) -> Result<Vec<PathBuf>, InputError> {
        let mut files = match variant {
            Variant::Plain => vec![],
            Variant::NumPy => self.files(NUMPY_FOLDER, &["c"])?,
        };
        files.extend(self.files("filesystem", &["c"])?);
        files.extend(self.files("bridge", &["c"])?);
        Ok(files)
    }

    /// The folders of Python packages that go into a module.
    pub fn packages(&self, variant: Variant) -> Vec<PathBuf> {
        let folders: &[&str] = match variant {
            Variant::Plain => &["package"],
            Variant::NumPy => &["package", "numpy/package"],
        };
        folders.iter().map(|name| self.folder.join(name)).collect()
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
            ("numpy/modules.c", "int m;"),
            ("numpy/package/vivarium/n.py", "pass"),
            ("package/vivarium/__init__.py", "pass"),
            ("profile/cpython.profdata", "counts"),
            ("toolchain/adjust.py", "0"),
            ("toolchain/adjust_numpy.py", "5"),
            ("toolchain/compile.py", "1"),
            ("toolchain/config.site", "a=b"),
            ("toolchain/modules/select.py", "4"),
            ("toolchain/numpy/compiler.sh", "6"),
            ("toolchain/numpy_tree.py", "7"),
            ("toolchain/stdlib.py", "2"),
            ("toolchain/sysconfigdata.py", "3"),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        folder
    }

    /// Of CPython, the library, the plain guest, NumPy, and the guest with NumPy.
    fn digests(folder: &tempfile::TempDir) -> [Digest; 5] {
        let recipe = Recipe::open(folder.path()).unwrap();
        let [plain, numpy] = Variant::ALL.map(|variant| recipe.guest(variant).unwrap());
        [recipe.cross().unwrap(), recipe.stdlib().unwrap(), plain, recipe.numpy().unwrap(), numpy]
    }

    /// Which of them differ.
    fn changed(before: &[Digest; 5], after: &[Digest; 5]) -> [bool; 5] {
        std::array::from_fn(|index| before[index] != after[index])
    }

    #[test]
    fn the_place_of_the_folder_does_not_count() {
        assert_eq!(digests(&folder()), digests(&folder()));
    }

    #[test]
    fn a_file_changes_what_is_made_from_it() {
        for (file, [cross, stdlib, plain, numpy, guest]) in [
            ("bridge/src/a.c", [false, false, true, false, true]),
            ("numpy/modules.c", [false, false, false, false, true]),
            ("numpy/package/vivarium/n.py", [false, false, false, false, true]),
            ("package/vivarium/__init__.py", [false, false, true, false, true]),
            ("toolchain/adjust.py", [true, true, true, false, true]),
            ("toolchain/adjust_numpy.py", [false, false, false, true, true]),
            ("toolchain/numpy/compiler.sh", [false, false, false, true, true]),
            ("toolchain/numpy_tree.py", [false, false, false, true, true]),
            ("toolchain/stdlib.py", [false, true, true, false, true]),
        ] {
            let folder = folder();
            let before = digests(&folder);
            fs::write(folder.path().join(file), "something else").unwrap();
            assert_eq!(changed(&before, &digests(&folder)), [cross, stdlib, plain, numpy, guest], "{file}");
        }
    }

    #[test]
    fn a_new_or_renamed_file_changes_the_guests() {
        let folder = folder();
        let before = digests(&folder);
        fs::rename(folder.path().join("filesystem/f.c"), folder.path().join("filesystem/g.c")).unwrap();
        let renamed = digests(&folder);
        assert_eq!(changed(&before, &renamed), [false, false, true, false, true]);
        fs::write(folder.path().join("package/vivarium/data.bin"), "").unwrap();
        assert_eq!(changed(&renamed, &digests(&folder)), [false, false, true, false, true]);
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
    fn c_files_are_sources_in_the_order_of_linking() {
        let folder = folder();
        let recipe = Recipe::open(folder.path()).unwrap();
        let [plain, numpy] = Variant::ALL.map(|variant| recipe.c_files(variant).unwrap());
        assert_eq!(plain, [Path::new("filesystem/f.c"), Path::new("bridge/src/a.c")]);
        let expected = ["numpy/modules.c", "filesystem/f.c", "bridge/src/a.c"].map(Path::new);
        assert_eq!(numpy, expected);
    }
}
