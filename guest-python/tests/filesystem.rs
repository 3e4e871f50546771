//! Compiles the guest's file system for this machine and runs its test program.

use std::path::Path;
use std::process::Command;

#[test]
fn answers_as_expected_and_survives_random_calls() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("filesystem");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("filesystem_test");
    let sources =
        ["archive.c", "attributes.c", "calls_fd.c", "calls_path.c", "calls_readdir.c", "descriptor.c"];
    let sources = sources.iter().chain(&["mount.c", "node.c", "path.c", "tests/filesystem_test.c"]);
    let compiled = Command::new("cc")
        .args(["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"])
        .args(["-fno-sanitize-recover=all", "-DVIVARIUM_SOURCE_DATE_EPOCH=1749600000"])
        .arg("-I")
        .arg(&folder)
        .args(sources.map(|source| folder.join(source)))
        .arg("-o")
        .arg(&program)
        .status()
        .unwrap();
    assert!(compiled.success());
    // What is still in the tree at the end is not a leak.
    let output = Command::new(&program).env("ASAN_OPTIONS", "detect_leaks=0").output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
}
