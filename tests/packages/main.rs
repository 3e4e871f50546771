//! Packages through the resolver that users have: from a folder, from an index on this machine, and
//! from the machine's own index.

#![expect(clippy::expect_used, reason = "a failed expectation is a failed test")]

mod from_an_index;
mod index;
mod wheels;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use vivarium_host::packages::{Collected, Fault, PackageError, Packages, PackagesConfig, parse_requirements};
use vivarium_tests::uv;

use wheels::Wheel;

/// A folder of wheels and a cache.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(wheels: &[Wheel]) -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        fs::create_dir(place.wheels()).expect("a folder for wheels");
        for wheel in wheels {
            wheel.write(&place.wheels());
        }
        place
    }

    fn wheels(&self) -> PathBuf {
        self.folder.path().join("wheels")
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Wheels of the folder only.
    fn offline(&self) -> PackagesConfig {
        PackagesConfig {
            resolver: uv(),
            find_links: vec![self.wheels()],
            offline: true,
            ..PackagesConfig::default()
        }
    }

    fn packages(&self, config: &PackagesConfig) -> Packages {
        Packages::new(config, &self.cache()).expect("packages")
    }

    fn collect(&self, requirements: &[&str]) -> Result<Collected, String> {
        collect(&self.packages(&self.offline()), requirements).map_err(|error| error.to_string())
    }
}

fn collect(packages: &Packages, requirements: &[&str]) -> Result<Collected, PackageError> {
    let texts: Vec<String> = requirements.iter().map(|text| (*text).to_owned()).collect();
    packages.collect(&parse_requirements(&texts)?)
}

fn chosen(collected: &Collected) -> Vec<String> {
    collected.packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect()
}

/// Paths of what packages brought: without the stand-ins for modules that the sandbox lacks.
fn paths(collected: &Collected) -> Vec<&str> {
    let stand_ins = ["bz2.py", "ctypes.py", "pydoc.py", "ssl.py"];
    let paths = collected.files.iter().map(|(path, _)| path.as_str());
    paths.filter(|path| !stand_ins.contains(path)).collect()
}

/// A program in the resolver's place that counts its calls and then is the resolver.
fn counting(folder: &Path) -> (PathBuf, PathBuf) {
    let (program, log) = (folder.join("uv"), folder.join("calls"));
    let script = format!("#!/bin/sh\necho call >>'{}'\nexec '{}' \"$@\"\n", log.display(), uv().display());
    fs::write(&program, script).expect("a program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).expect("permissions");
    (program, log)
}

fn calls(log: &Path) -> usize {
    fs::read_to_string(log).unwrap_or_default().lines().count()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn dependencies_come_along_and_markers_are_those_of_the_sandbox() {
    let place = Place::new(&[
        Wheel::new("greet", "1.0")
            .module("x = 1")
            .requires("helper>=2; sys_platform == 'wasi' and os_name == 'posix'")
            .requires("absent; sys_platform == 'linux'")
            .requires("absent; platform_machine != 'wasm32'")
            .requires("absent; python_version < '3.13'")
            .requires("absent; sys_platform == 'emscripten'")
            .requires("more; extra == 'loud'"),
        Wheel::new("helper", "1.0").module(""),
        Wheel::new("helper", "2.0").module(""),
        Wheel::new("helper", "2.1").module("y = 2").tag("py2.py3-none-any"),
        Wheel::new("more", "1.0").module(""),
    ]);
    let plain = place.collect(&["greet", "absent; sys_platform == 'win32'"]).expect("packages");
    assert_eq!(chosen(&plain), ["greet 1.0", "helper 2.1"]);
    let expected = [
        "greet-1.0.dist-info/METADATA",
        "greet-1.0.dist-info/RECORD",
        "greet-1.0.dist-info/WHEEL",
        "greet.py",
        "helper-2.1.dist-info/METADATA",
        "helper-2.1.dist-info/RECORD",
        "helper-2.1.dist-info/WHEEL",
        "helper.py",
    ];
    assert_eq!(paths(&plain), expected);
    let bytes = fs::read(place.wheels().join("greet-1.0-py3-none-any.whl")).expect("the wheel");
    assert_eq!(plain.packages[0].sha256, hex(&bytes));

    let loud = place.collect(&["greet[loud]", "helper<2.1"]).expect("packages");
    assert_eq!(chosen(&loud), ["greet 1.0", "helper 2.0", "more 1.0"]);
}

#[test]
fn files_are_laid_out_as_an_installer_would_without_what_nobody_needs() {
    let place = Place::new(&[Wheel::new("a", "1")
        .file("a/__init__.py", "")
        .file("a/data.bin", [0, 255])
        .file("a/__pycache__/__init__.cpython-313.pyc", "x")
        .file("a.pth", "import os; os.abort()")
        .file("a-1.data/purelib/b/__init__.py", "")
        .file("a-1.data/scripts/run", "#!python")
        .file("a-1.data/headers/a.h", "")
        .file("a-1.data/data/share/man/a.1", "")]);
    let collected = place.collect(&["a"]).expect("packages");
    let code: Vec<_> = paths(&collected).into_iter().filter(|path| !path.contains(".dist-info/")).collect();
    assert_eq!(code, ["a/__init__.py", "a/data.bin", "b/__init__.py"]);
    let data = collected.files.iter().find(|(path, _)| path == "a/data.bin").expect("the file");
    assert_eq!(&*data.1, [0, 255]);
}

#[test]
fn attack_wheels() {
    let about = |rest: &str| format!("Wheel-Version: 1.0\n{rest}");
    let cases = [
        (
            Wheel::new("evil", "1").module("").file("../outside.py", ""),
            "the wheel of evil 1 cannot be used: ",
        ),
        (
            Wheel::new("evil", "1").module("").file("/etc/cron.d/x", ""),
            "the wheel of evil 1 cannot be used: ",
        ),
        (
            Wheel::new("evil", "1").file("evil/_fast.cpython-313-x86_64-linux-gnu.so", "\x7fELF"),
            "the wheel of evil 1 cannot be used: `evil/_fast.cpython-313-x86_64-linux-gnu.so` is native code, \
             which the sandbox cannot load",
        ),
        (
            Wheel::new("evil", "1").file("json/__init__.py", ""),
            "the wheel of evil 1 cannot be used: `json/__init__.py` would take the place of the sandbox's own \
             module `json`",
        ),
        (
            Wheel::new("evil", "1").file("evil-1.data/purelib/vivarium/__init__.py", ""),
            "the wheel of evil 1 cannot be used: `evil-1.data/purelib/vivarium/__init__.py` would take the place \
             of the sandbox's own module `vivarium`",
        ),
        (
            Wheel::new("evil", "1").module("").unlisted("evil_more.py", b""),
            "the wheel of evil 1 cannot be used: `evil_more.py` is not in RECORD",
        ),
        (
            Wheel::new("evil", "1").module("x = 1").record(|record| record.replace("sha256=", "sha256=A")),
            "the wheel of evil 1 cannot be used: line 1 of its RECORD cannot be read",
        ),
        (
            Wheel::new("evil", "1").module("x = 1").record(|record| record.replace(",5\n", ",6\n")),
            "the wheel of evil 1 cannot be used: `evil.py` does not have the length in RECORD",
        ),
        (
            Wheel::new("evil", "1").module("x = 1").record(|record| {
                let (head, digest) = record.split_once("sha256=").expect("a digest");
                let other = if digest.starts_with('A') { 'B' } else { 'A' };
                format!("{head}sha256={other}{}", &digest[1..])
            }),
            "the wheel of evil 1 cannot be used: `evil.py` does not have the hash in RECORD",
        ),
        (
            Wheel::new("evil", "1").module("").record(|record| record + "gone.py,,\n"),
            "the wheel of evil 1 cannot be used: `gone.py` is in RECORD but not in the wheel",
        ),
        (
            Wheel::new("evil", "1").module("").about(&about("Root-Is-Purelib: false\nTag: py3-none-any\n")),
            "the wheel of evil 1 cannot be used: its WHEEL file says `Root-Is-Purelib: false`, which the sandbox \
             cannot use",
        ),
        (
            Wheel::new("evil", "1")
                .module("")
                .about(&about("Root-Is-Purelib: true\nTag: cp313-cp313-linux_x86_64\n")),
            "the wheel of evil 1 cannot be used: its WHEEL file says `Tag: cp313-cp313-linux_x86_64`, which the \
             sandbox cannot use",
        ),
        (
            Wheel::new("evil", "1").module("").file("evil-1.data/purelib/evil.py", ""),
            "the wheel of evil 1 cannot be used: `evil.py` is there twice once it is installed",
        ),
    ];
    for (wheel, expected) in cases {
        let error = Place::new(&[wheel]).collect(&["evil"]).expect_err(expected);
        assert!(error.starts_with(expected), "{error}\n{expected}");
    }
}

#[test]
fn attack_bombs_and_floods_meet_named_limits() {
    let limits = |change: fn(&mut PackagesConfig)| {
        let place = Place::new(&[
            Wheel::new("bomb", "1").file("bomb.bin", vec![0; 3_000_000]),
            Wheel::new("many", "1").file("many/a.py", "").file("many/b.py", "").requires("bomb"),
        ]);
        let mut config = place.offline();
        change(&mut config);
        let error = collect(&place.packages(&config), &["many"]).expect_err("a limit");
        assert_eq!(error.fault(), Fault::Limit, "{error}");
        error.to_string()
    };
    assert_eq!(
        limits(|config| config.max_unpacked_bytes = 1_000_000),
        "the wheel of bomb 1 unpacks to 3000000 bytes; limit packages.max_unpacked_bytes is 1000000"
    );
    assert_eq!(
        limits(|config| config.max_unpacked_bytes = 3_000_500),
        "the function's packages are 3000786 bytes unpacked; limit packages.max_unpacked_bytes is 3000500"
    );
    assert_eq!(
        limits(|config| config.max_files = 3),
        "the wheel of bomb 1 unpacks to 4 files; limit packages.max_files is 3"
    );
    assert_eq!(
        limits(|config| config.max_files = 8),
        "the function's packages are 9 files; limit packages.max_files is 8"
    );
    assert_eq!(
        limits(|config| config.max_wheel_bytes = 500),
        "the wheel of bomb 1 has more than 500 bytes; limit packages.max_wheel_bytes is 500"
    );
    assert_eq!(
        limits(|config| config.max_packages = 1),
        "the function needs 2 packages; limit packages.max_packages is 1"
    );
    assert_eq!(
        limits(|config| config.max_requirements = 0),
        "the function has 1 requirements; limit packages.max_requirements is 0"
    );
}

#[test]
fn native_code_is_refused_by_name() {
    let place = Place::new(&[
        Wheel::new("fast", "1").module("").tag("cp313-cp313-manylinux_2_17_x86_64"),
        Wheel::new("web", "1").module("").tag("cp313-cp313-pyodide_2025_0_wasm32"),
        Wheel::new("slow", "1").module("").requires("fast"),
        Wheel::new("older", "2").module("").tag("cp313-cp313-manylinux_2_17_x86_64"),
        Wheel::new("older", "1").module(""),
    ]);
    let rest = "has a pure-Python wheel (py3-none-any) for Python 3.13; the sandbox loads no native code, and \
                nothing is built from source; the sandbox itself provides arrow-udf 0.3.2, databend-udf 0.2.20, markupsafe 3.0.3, msgpack 1.2.4, \
                numpy 2.4.6, pyyaml 6.0.3";
    for (requirement, name) in [("fast", "fast"), ("web", "web"), ("slow", "fast"), ("older>=2", "older")] {
        let error = place.collect(&[requirement]).expect_err(requirement);
        assert_eq!(error, format!("{name} cannot be used: no version that {requirement} allows {rest}"));
    }
    // An older version that is pure will do when the function allows it.
    assert_eq!(chosen(&place.collect(&["older"]).expect("a version")), ["older 1"]);
}

#[test]
fn numpy_is_in_the_sandbox_and_needs_no_resolver() {
    let place = Place::new(&[
        Wheel::new("plot", "1").module("").requires("numpy>=2"),
        Wheel::new("old", "1").module("").requires("numpy<2"),
    ]);
    let interpreter = |requirement: &str| {
        let collected = place.collect(&[requirement])?;
        Ok::<_, String>((format!("{:?}", collected.interpreter), chosen(&collected)))
    };
    assert_eq!(interpreter("plot"), Ok(("NumPy".to_owned(), vec!["plot 1".to_owned()])));
    assert_eq!(interpreter("numpy"), Ok(("NumPy".to_owned(), vec![])));
    assert_eq!(interpreter("numpy==2.4.6"), Ok(("NumPy".to_owned(), vec![])));
    assert_eq!(interpreter("databend-udf"), Ok(("Plain".to_owned(), vec![])));
    assert_eq!(
        interpreter("numpy==1.26.4"),
        Err("the sandbox has numpy 2.4.6; `numpy==1.26.4` is not available".to_owned())
    );
    let error = interpreter("old").expect_err("a contradiction");
    assert!(error.starts_with("no versions of packages meet the requirements old: "), "{error}");
    assert!(error.contains("numpy"), "{error}");

    let config =
        PackagesConfig { enabled: false, resolver: PathBuf::from("/nonexistent"), ..place.offline() };
    let packages = place.packages(&config);
    collect(&packages, &["numpy"]).expect("NumPy without a resolver");
    assert!(matches!(collect(&packages, &["plot"]), Err(PackageError::Disabled)));
}

#[test]
fn what_this_program_provides_needs_no_index() {
    let place = Place::new(&[]);
    let collected = place.collect(&["pyyaml", "MarkupSafe>=2", "msgpack"]).expect("packages");
    assert_eq!(chosen(&collected), ["markupsafe 3.0.3", "msgpack 1.2.4", "pyyaml 6.0.3"]);
    for path in ["yaml/__init__.py", "markupsafe/__init__.py", "msgpack/fallback.py"] {
        assert!(paths(&collected).contains(&path), "{path}");
    }
}

#[test]
fn the_operator_decides_which_packages() {
    let place = Place::new(&[
        Wheel::new("a", "1").module("").requires("b"),
        Wheel::new("b", "1").module(""),
        Wheel::new("c", "1").module(""),
    ]);
    let with = |allow: &[&str], deny: &[&str], requirement: &str| {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let config = PackagesConfig { allow: own(allow), deny: own(deny), ..place.offline() };
        collect(&place.packages(&config), &[requirement]).map(|_| ()).map_err(|error| error.to_string())
    };
    assert_eq!(with(&["a", "b"], &[], "a"), Ok(()));
    assert_eq!(
        with(&["a"], &[], "a"),
        Err("the package b, which another one needs, is not allowed here (packages.allow of the server)"
            .to_owned())
    );
    assert_eq!(
        with(&["*"], &["C"], "c"),
        Err("the package c is not allowed here (packages.deny of the server)".to_owned())
    );
}

#[test]
fn what_was_chosen_once_needs_no_resolver_and_no_index() {
    let place =
        Place::new(&[Wheel::new("a", "1").module("x = 1").requires("b"), Wheel::new("b", "1").module("")]);
    let first = place.collect(&["a"]).expect("packages");
    // Another process, without a resolver and without the files.
    let config = PackagesConfig { resolver: PathBuf::from("/nonexistent"), ..place.offline() };
    let packages = place.packages(&config);
    let began = Instant::now();
    let second = collect(&packages, &["a", "a"]).expect("packages from the cache");
    let from_disk = began.elapsed();
    assert_eq!((paths(&second), chosen(&second)), (paths(&first), chosen(&first)));
    let began = Instant::now();
    collect(&packages, &["a"]).expect("packages from memory");
    println!("warm: {from_disk:?} from disk, {:?} from memory", began.elapsed());
    assert!(from_disk < Duration::from_secs(1));

    let error = collect(&packages, &["b"]).expect_err("nothing was chosen for this");
    assert_eq!(
        error.to_string(),
        "packages cannot be resolved: the server has no program `/nonexistent` (packages.resolver)"
    );
}

#[test]
fn attack_damaged_wheels_and_locks_are_replaced() {
    let place = Place::new(&[Wheel::new("a", "1").module("x = 1")]);
    place.collect(&["a"]).expect("packages");
    for name in ["wheels", "locks"] {
        for entry in fs::read_dir(place.cache().join("packages").join(name)).expect("the cache").flatten() {
            assert_eq!(entry.metadata().expect("its mode").permissions().mode() & 0o777, 0o600);
            let mut bytes = fs::read(entry.path()).expect("an entry");
            bytes[3] ^= 1;
            fs::write(entry.path(), bytes).expect("a flipped bit");
        }
    }
    place.collect(&["a"]).expect("packages again");
}

#[test]
fn concurrent_equal_requests_resolve_once() {
    let place = Place::new(&[Wheel::new("a", "1").module("")]);
    let (program, log) = counting(place.folder.path());
    let packages = place.packages(&PackagesConfig { resolver: program, ..place.offline() });
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| collect(&packages, &["a"]).expect("packages"));
        }
    });
    assert_eq!(calls(&log), 1);
}

#[test]
fn attack_the_resolvers_own_cache_does_not_grow_for_ever() {
    fn bytes(folder: &Path) -> u64 {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let bytes = |path: PathBuf| {
            if path.is_dir() { bytes(&path) } else { fs::metadata(path).map_or(0, |file| file.len()) }
        };
        entries.map(|entry| bytes(entry.path())).sum()
    }
    let names: Vec<String> = (0..6).map(|number| format!("a{number}")).collect();
    let wheels: Vec<Wheel> = names.iter().map(|name| Wheel::new(name, "1").module("")).collect();
    for (limit, is_left) in [(1 << 30, true), (1, false)] {
        let place = Place::new(&wheels);
        let config = PackagesConfig { max_resolver_cache_bytes: limit, ..place.offline() };
        let packages = place.packages(&config);
        // Emptied between and beside others, and no function notices.
        std::thread::scope(|scope| {
            for name in &names {
                let packages = &packages;
                scope.spawn(move || collect(packages, &[name]).expect("packages"));
            }
        });
        assert_eq!(bytes(&place.cache().join("packages/resolver/cache")) > 0, is_left, "{limit}");
    }
}

#[test]
fn choices_live_as_long_as_the_operator_says() {
    let place = Place::new(&[Wheel::new("a", "1").module("")]);
    let (program, log) = counting(place.folder.path());
    let config = PackagesConfig { resolver: program.clone(), lock_lifetime_s: 0, ..place.offline() };
    let packages = place.packages(&config);
    collect(&packages, &["a"]).expect("packages");
    collect(&packages, &["a"]).expect("packages");
    assert_eq!(calls(&log), 2);

    // A new wheel in the folder is seen at once.
    let config = PackagesConfig { resolver: program, ..place.offline() };
    let packages = place.packages(&config);
    assert_eq!(chosen(&collect(&packages, &["a"]).expect("packages")), ["a 1"]);
    Wheel::new("a", "2").module("").write(&place.wheels());
    assert_eq!(chosen(&collect(&packages, &["a"]).expect("packages")), ["a 2"]);

    // Without a resolver: the old choice, if the operator wants it.
    let gone =
        PackagesConfig { resolver: PathBuf::from("/nonexistent"), lock_lifetime_s: 0, ..place.offline() };
    let error = collect(&place.packages(&gone), &["a"]).expect_err("no resolver");
    assert_eq!(error.fault(), Fault::Host);
    let stale = PackagesConfig { stale_if_error: true, ..gone };
    assert_eq!(chosen(&collect(&place.packages(&stale), &["a"]).expect("the old choice")), ["a 2"]);
}

#[test]
fn two_packages_that_exclude_each_other() {
    let place = Place::new(&[
        Wheel::new("a", "1").file("shared", "a file"),
        Wheel::new("b", "1").file("shared/x.py", ""),
        Wheel::new("c", "1").file("tests/__init__.py", "c"),
        Wheel::new("d", "1").file("tests/__init__.py", "d"),
    ]);
    assert_eq!(
        place.collect(&["a", "b"]).expect_err("a conflict"),
        "the packages a 1 and b 1 cannot be used together: `shared` is a file of one and a folder of the other"
    );
    let collected = place.collect(&["c", "d"]).expect("packages");
    let file = collected.files.iter().find(|(path, _)| path == "tests/__init__.py").expect("the file");
    assert_eq!(&*file.1, b"d");
}

#[test]
fn compat_the_machines_own_index() {
    let place = Place::new(&[]);
    let config = PackagesConfig { resolver: uv(), ..PackagesConfig::default() };
    let packages = place.packages(&config);
    let collected = collect(&packages, &["humanize==4.9.0", "jinja2", "numpy"]).expect("packages");
    assert!(collected.files.iter().any(|(path, _)| path == "ssl.py"), "the stand-ins come along");
    let versions: BTreeMap<_, _> =
        collected.packages.iter().map(|package| (package.name.as_str(), package)).collect();
    assert_eq!(
        versions["humanize"].sha256,
        "ce284a76d5b1377fd8836733b983bfb0b76f1aa1c090de2566fcf008d7f6ab16"
    );
    assert_eq!(versions["markupsafe"].version, "3.0.3", "our own");
    assert_eq!(versions.len(), 3, "{versions:?}");
    assert_eq!(format!("{:?}", collected.interpreter), "NumPy");
    let began = Instant::now();
    collect(&packages, &["humanize==4.9.0", "jinja2", "numpy"]).expect("packages");
    println!("warm: {:?}", began.elapsed());

    let error = collect(&packages, &["rapidfuzz"]).expect_err("native code").to_string();
    assert!(error.starts_with("rapidfuzz cannot be used: no version that rapidfuzz allows has"), "{error}");
}
