//! Compiles the guest's file system for this machine, and runs its test program and its fuzzer.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The sources that this machine can compile; `cargo xtask fuzz` reads the same list.
const SOURCES: &str = include_str!("filesystem_sources.txt");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("filesystem")
}

/// Runs the C compiler with the sanitizers; the result is a file of this name.
fn compile(name: &str, arguments: impl IntoIterator<Item = OsString>) -> PathBuf {
    let result = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let compiled = Command::new("cc")
        .args(["-std=c11", "-D_DEFAULT_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror"])
        .args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"])
        .args(["-DVIVARIUM_SOURCE_DATE_EPOCH=1749600000", "-I"])
        .arg(folder())
        .args(arguments)
        .arg("-o")
        .arg(&result)
        .status()
        .unwrap();
    assert!(compiled.success());
    result
}

fn sources() -> impl Iterator<Item = OsString> {
    SOURCES.lines().map(|source| folder().join(source).into())
}

fn run(program: &mut Command) {
    // What is still in the tree at the end is not a leak.
    let output = program.env("ASAN_OPTIONS", "detect_leaks=0").output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
}

#[test]
fn answers_as_expected_and_survives_random_calls() {
    let program =
        compile("filesystem_test", sources().chain([folder().join("tests/filesystem_test.c").into()]));
    run(&mut Command::new(program));
}

#[test]
fn attack_28_survives_programs_of_calls() {
    // The fuzzer itself does not count what it covers.
    let fuzzer = folder().join("tests/filesystem_fuzz.c").into();
    let object = compile("filesystem_fuzz.o", ["-c".into(), fuzzer]);
    let counted = sources().chain(["-fsanitize-coverage=trace-pc".into(), object.into()]);
    let program = compile("filesystem_fuzz", counted);
    let folder = env!("CARGO_TARGET_TMPDIR");
    run(Command::new(program).arg("3").env("VIVARIUM_FUZZ_SEED", "1").current_dir(folder));
}
