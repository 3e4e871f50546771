//! Files that functions bring along: packages, zip files, data.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod common;

use std::collections::BTreeMap;

use arrow::array::{Array, StringArray};
use arrow::datatypes::{DataType, Field};
use common::wat_guest::WatGuest;
use common::{engine, fork, function_error, int64_batch, int64_spec};
use vivarium_runtime::{
    BuildError, BuildLimits, CallError, Capabilities, FilesError, FunctionErrorKind, FunctionFiles,
    FunctionSpec, GuestFile, Image, Limits, ModuleSource, PathProblem,
};

/// A function without parameters that matter, whose result is text.
fn text_spec(code: &str) -> FunctionSpec {
    FunctionSpec { result: Field::new("y", DataType::Utf8, true), ..int64_spec(code) }
}

fn file(path: &str, content: impl AsRef<[u8]>) -> GuestFile {
    GuestFile { path: path.into(), content: content.as_ref().into() }
}

fn files(search_path: &[&str], files: Vec<GuestFile>) -> FunctionFiles {
    let search_path = search_path.iter().map(|entry| (*entry).to_owned()).collect();
    FunctionFiles { files, search_path, ..FunctionFiles::default() }
}

#[track_caller]
fn image(code: &str, files: &FunctionFiles) -> Image {
    match engine().build_image(&text_spec(code), files, &BuildLimits::default()) {
        Ok(image) => image,
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn answer(image: &Image) -> String {
    let result = fork(image).invoke(&int64_batch([1])).unwrap();
    result.as_any().downcast_ref::<StringArray>().unwrap().value(0).to_owned()
}

/// A zip file of stored (not compressed) entries.
fn zip(entries: &[(&str, &str)]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let (name, content) = (name.as_bytes(), content.as_bytes());
        let at = u32::try_from(bytes.len()).unwrap();
        let len = u32::try_from(content.len()).unwrap().to_le_bytes();
        let name_len = u16::try_from(name.len()).unwrap().to_le_bytes();
        let crc = crc32(content).to_le_bytes();
        // Version, flags, method, time, date (1980-01-01), then what is the same in both headers.
        let common = [&[20, 0, 0, 0, 0, 0, 0, 0, 33, 0][..], &crc, &len, &len, &name_len, &[0, 0]].concat();
        bytes.extend([b"PK\x03\x04", common.as_slice(), name, content].concat());
        let tail = [&[0; 10][..], &at.to_le_bytes()].concat();
        directory.extend([b"PK\x01\x02\x14\x00", common.as_slice(), &tail, name].concat());
    }
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    let (at, len) = (u32::try_from(bytes.len()).unwrap(), u32::try_from(directory.len()).unwrap());
    bytes.extend(directory);
    bytes.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count, &len.to_le_bytes(), &at.to_le_bytes()].concat());
    bytes.extend([0, 0]);
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1)))
    };
    !bytes.iter().fold(!0, step)
}

/// A package with data and with metadata, as a wheel unpacks.
fn package() -> Vec<GuestFile> {
    vec![
        file("/packages/greeting/__init__.py", "from .words import HELLO\n__all__ = ['HELLO']\n"),
        file("/packages/greeting/words.py", "HELLO = 'hello'\n"),
        file("/packages/greeting/late.py", "import colorsys\nWHITE = colorsys.rgb_to_hls(1, 1, 1)[1]\n"),
        file("/packages/greeting/data/names.txt", "ada\nalan\n"),
        file(
            "/packages/greeting-1.5.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: greeting\nVersion: 1.5\nRequires-Dist: other>=2\n",
        ),
        file("/packages/greeting-1.5.dist-info/entry_points.txt", "[tools]\nhi = greeting:HELLO\n"),
    ]
}

#[test]
fn packages_are_imported_with_their_data_and_metadata() {
    let code = "
import greeting
from importlib.metadata import entry_points, requires, version
from importlib.resources import files

def f(x):
    names = files('greeting').joinpath('data/names.txt').read_text().split()
    point, = entry_points(group='tools')
    return f'{greeting.HELLO} {names} {version(\"greeting\")} {requires(\"greeting\")} {point.load()} {greeting.__file__}'
";
    let image = image(code, &files(&["/packages"], package()));
    assert_eq!(answer(&image), "hello ['ada', 'alan'] 1.5 ['other>=2'] hello /packages/greeting/__init__.py");
}

#[test]
fn what_is_imported_in_a_fork_is_still_there() {
    // A module of the package, one of the standard library behind it, and one inside a zip file.
    let code = "
def f(x):
    import greeting.late, zipped.deep, sched, csv
    return f'{greeting.late.WHITE} {zipped.deep.VALUE} {sched.scheduler.__name__} {csv.QUOTE_ALL}'
";
    let mut all = package();
    all.push(file("/imports/z.zip", zip(&[("zipped/__init__.py", ""), ("zipped/deep.py", "VALUE = 7\n")])));
    let image = image(code, &files(&["/imports/z.zip", "/packages"], all));
    for _ in 0..3 {
        assert_eq!(answer(&image), "1.0 7 scheduler 1");
    }
    // Nothing of it is lost when the image is kept on disk.
    let loaded = engine().load_image(image.spec(), &image.to_bytes()).unwrap();
    assert_eq!(answer(&loaded), "1.0 7 scheduler 1");
}

#[test]
fn zip_files_wheels_and_eggs_are_imported_from() {
    for name in ["a.zip", "a-1.0-py3-none-any.whl", "a-1.0-py3.13.egg"] {
        let archive = zip(&[
            ("inner/__init__.py", "from . import part\n"),
            ("inner/part.py", "TEXT = 'inside'\n"),
            ("inner/table.csv", "1,2\n"),
            ("a-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: a\nVersion: 1.0\n"),
        ]);
        let path = format!("/imports/{name}");
        let code = "
import inner
from importlib.metadata import version
from importlib.resources import files
import inspect
def f(x):
    return f'{inner.part.TEXT} {files(inner).joinpath(\"table.csv\").read_text().strip()} {version(\"a\")} {inspect.getsource(inner).strip()}'
";
        let image = image(code, &files(&[&path], vec![file(&path, archive)]));
        assert_eq!(answer(&image), "inside 1,2 1.0 from . import part", "{name}");
    }
}

#[test]
fn archives_are_read_as_files() {
    let code = "
import io, os, sys, tarfile
directory = sys._xoptions['databend_import_directory']
with tarfile.open(f'{directory}/data.tar.gz') as tar:
    at_import = tar.extractfile('a/b.txt').read().decode()
def f(x):
    with tarfile.open(f'{directory}/data.tar.gz') as tar:
        tar.extractall('/tmp/out', filter='data')
    with open('/tmp/out/a/b.txt') as file:
        return f'{at_import} {file.read()} {sorted(os.listdir(directory))} {os.path.getsize(directory + \"/model.bin\")}'
";
    // The archive is made in a sandbox too.
    let make = image(
        "
import base64, io, tarfile
def f(x):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w:gz') as tar:
        info = tarfile.TarInfo('a/b.txt')
        info.size = 5
        tar.addfile(info, io.BytesIO(b'seven'))
    return out.getvalue().hex()
",
        &FunctionFiles::default(),
    );
    let tar = hex::decode(answer(&make)).unwrap();
    let mut all = files(
        &["/imports"],
        vec![file("/imports/data.tar.gz", tar), file("/imports/model.bin", vec![7; 3 << 20])],
    );
    all.x_options = BTreeMap::from([("databend_import_directory".to_owned(), "/imports".to_owned())]);
    assert_eq!(answer(&image(code, &all)), "seven seven ['data.tar.gz', 'model.bin'] 3145728");
}

#[test]
fn the_search_path_comes_before_the_standard_library() {
    let code = "
import sys, colorsys, json, helper
def f(x):
    return f'{sys.path} {colorsys.WHO} {json.__file__.startswith(\"/lib/\")} {helper.WHO} {__name__}'
";
    let all = files(
        &["/imports", "/packages"],
        vec![
            file("/packages/helper.py", "WHO = 'package'\n"),
            file("/imports/helper.py", "WHO = 'import'\n"),
            file("/packages/colorsys.py", "WHO = 'package'\n"),
            // Too late: the interpreter has imported the real one.
            file("/packages/json.py", "raise RuntimeError\n"),
            // The function's own file is called `f.py`, and must not hide this one.
            file("/packages/f.py", "WHO = 'package'\n"),
        ],
    );
    assert_eq!(
        answer(&image(code, &all)),
        "['/imports', '/packages', '/lib/python3.13', '/udf', '/lib/site-packages'] package True import udf"
    );
    assert_eq!(answer(&image("def f(x): return __name__", &FunctionFiles::default())), "f");
}

#[test]
fn attack_files_cannot_be_changed_by_the_program() {
    let code = "
import os
def attempt(function, *arguments):
    try:
        function(*arguments)
        return 'done'
    except OSError as error:
        return os.strerror(error.errno)
def f(x):
    path = '/packages/greeting/words.py'
    return str(sorted({
        attempt(open, path, 'w'), attempt(open, path, 'a'), attempt(os.remove, path),
        attempt(os.rename, path, '/tmp/x'), attempt(os.mkdir, '/packages/new'),
        attempt(open, '/packages/new.py', 'w'), attempt(os.rmdir, '/packages/greeting/data'),
    }))
";
    assert_eq!(answer(&image(code, &files(&["/packages"], package()))), "['Read-only file system']");
}

#[test]
fn attack_paths_and_sizes_are_refused_before_anything_runs() {
    let build = |files: FunctionFiles, limits: BuildLimits| match engine().build_image(
        &text_spec("def f(x): return 'no'"),
        &files,
        &limits,
    ) {
        Err(BuildError::Files(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("built"),
    };
    let long = format!("/packages/{}", "x".repeat(10_000));
    for (path, problem) in [
        ("/packages/../../etc/passwd", PathProblem::Part),
        ("packages/a.py", PathProblem::Relative),
        ("/packages/a\0b", PathProblem::Nul),
        ("/packages/a/", PathProblem::Part),
        ("//packages/a", PathProblem::Part),
        (long.as_str(), PathProblem::Length),
        ("/lib/python3.13/secrets.py", PathProblem::Taken),
        ("/lib/site-packages/vivarium/_loader.py", PathProblem::Taken),
        ("/udf/f.py", PathProblem::Taken),
    ] {
        let error = build(files(&[], vec![file(path, "x")]), BuildLimits::default());
        assert!(
            matches!(error, FilesError::Path { problem: found, .. } if found == problem),
            "{path}: {error}"
        );
        assert!(error.to_string().len() < 400);
    }
    let error = build(files(&[], package()), BuildLimits { files: 5, ..Default::default() });
    assert_eq!(error.to_string(), "files: the function brings 6 files, 5 are allowed");
    let error = build(files(&[], package()), BuildLimits { file_bytes: 100, ..Default::default() });
    assert!(error.to_string().starts_with("file_bytes: the function's files have "), "{error}");
    let module = ModuleSource {
        filename: "a.py".into(),
        files: files(&["relative"], vec![]),
        ..ModuleSource::default()
    };
    let described = engine().describe(&module, &BuildLimits::default());
    assert!(matches!(described, Err(BuildError::Files(FilesError::Path { .. }))));
}

#[test]
fn files_count_towards_the_memory_limit_once() {
    let content = vec![1_u8; 63 << 20];
    let all = || files(&[], vec![file("/imports/big", &content)]);
    let code = "
import os
def f(x):
    with open('/imports/big', 'rb') as file:
        file.seek(-3, 2)
        return file.read().hex()
";
    let small = BuildLimits { memory_bytes: 64 << 20, ..Default::default() };
    match engine().build_image(&text_spec(code), &all(), &small) {
        Err(BuildError::Call { error, .. }) => {
            assert!(
                matches!(*error, CallError::Memory { limit_bytes, .. } if limit_bytes == 64 << 20),
                "{error}"
            )
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("built"),
    }
    let plain = image("def f(x): return ''", &FunctionFiles::default());
    let image = image(code, &all());
    assert_eq!(answer(&image), "010101");
    // One copy in linear memory, one on the host's side of it.
    // (What the guest allocates takes a power of two.)
    let extra = (64 << 20) + (1 << 20);
    assert!(image.memory_bytes() < plain.memory_bytes() + extra, "{}", image.memory_bytes());
    assert!(image.stored_bytes() < plain.stored_bytes() + extra, "{}", image.stored_bytes());
    let limits = Limits { memory_bytes: image.memory_bytes() + (1 << 20), ..Limits::default() };
    let result = image.fork(&limits, &Capabilities::default()).unwrap().invoke(&int64_batch([1])).unwrap();
    assert_eq!(result.as_any().downcast_ref::<StringArray>().unwrap().value(0), "010101");
}

#[test]
fn many_files_are_no_burden() {
    let content: Vec<GuestFile> =
        (0..20_000).map(|i| file(&format!("/packages/p{}/m{i}.py", i % 100), format!("N = {i}\n"))).collect();
    let code = "
import importlib
def f(x):
    return str(importlib.import_module('p7.m19907').N)
";
    assert_eq!(answer(&image(code, &files(&["/packages"], content))), "19907");
}

#[test]
fn errors_in_packages_are_told_with_their_frames() {
    let all = files(
        &["/packages"],
        vec![
            file("/packages/broken/__init__.py", "def fail():\n    raise KeyError('deep')\n"),
            file("/packages/wrong.py", "def f(:\n"),
        ],
    );
    let image = image("import broken\ndef f(x):\n    return broken.fail()\n", &all);
    let error = function_error(fork(&image).invoke(&int64_batch([1])));
    assert_eq!(error.class.as_deref(), Some("KeyError"));
    let traceback = error.traceback.unwrap();
    assert!(traceback.contains("/packages/broken/__init__.py\", line 2, in fail"), "{traceback}");
    assert!(traceback.contains("raise KeyError('deep')"), "{traceback}");
    match engine().build_image(&text_spec("import wrong"), &all, &BuildLimits::default()) {
        Err(BuildError::Call { error, .. }) => {
            let error = function_error::<()>(Err(*error));
            assert_eq!(
                (error.kind, error.class.as_deref()),
                (FunctionErrorKind::Import, Some("SyntaxError"))
            );
        }
        _ => panic!("built"),
    }
}

#[test]
fn attack_the_guest_answers_nonsense_to_its_files() {
    let some = files(&[], vec![file("/a", "x")]);
    for (answer, is_memory) in [("48", true), ("-1", false), ("28", false), ("2147483647", false)] {
        let guest = WatGuest { mount: format!("(i32.const {answer})"), ..WatGuest::default() };
        match guest.engine().build_image(&int64_spec(""), &some, &BuildLimits::default()) {
            Err(BuildError::Call { error, .. }) => match *error {
                CallError::Memory { .. } => assert!(is_memory, "{answer}"),
                CallError::Protocol(_) => assert!(!is_memory, "{answer}"),
                other => panic!("{answer}: {other}"),
            },
            _ => panic!("{answer}: built"),
        }
        // Without files it is not asked.
        assert!(
            guest
                .engine()
                .build_image(&int64_spec(""), &FunctionFiles::default(), &BuildLimits::default())
                .is_ok()
        );
    }
    // The archive is written where there is room for it, or not at all.
    let guest = WatGuest { alloc: "(i32.const 0xffffffc0)".into(), ..WatGuest::default() };
    let built = guest.engine().build_image(&int64_spec(""), &some, &BuildLimits::default());
    assert!(matches!(built, Err(BuildError::Call { error, .. }) if matches!(*error, CallError::Protocol(_))));
}

/// A C library that measures the whole file for each of its lines made this grow with the square.
#[test]
fn compiling_takes_fuel_in_proportion_to_the_size_of_a_file() {
    let fuel = |lines: usize| {
        let files =
            files(&["/packages"], vec![file("/packages/large.py", "# Nothing but this.\n".repeat(lines))]);
        image("import large\ndef f(x): return ''\n", &files).build_usage().fuel
    };
    let (none, few, many) = (fuel(0), fuel(2_000), fuel(16_000));
    assert!(many - none < 10 * (few - none), "{none} {few} {many}");
}
