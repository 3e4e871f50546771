//! Runs the Python tests of the packages inside the guest, of the module for editors, and of the bridge
//! as a library of this machine.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test that cannot run has failed")]

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

fn run(folder: &str, arguments: &[&str], packages: OsString) {
    let output = Command::new(variable("VIVARIUM_CLIENT_PYTHON"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // Cargo tells it to tests; the bridge's tests would take it for the thing to test.
        .env_remove("VIVARIUM_GUEST_WASM")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn variable(name: &str) -> OsString {
    std::env::var_os(name)
        .unwrap_or_else(|| panic!("{name} is not set: run the tests with `cargo xtask test`"))
}

#[test]
fn packages() {
    run("package_tests", &["-m", "unittest"], OsString::new());
}

#[test]
fn module_for_editors() {
    run("stubs", &["-m", "unittest", "discover", "-s", "tests"], OsString::new());
}

#[test]
fn bridge() {
    run("bridge/tests", &["run.py"], variable("VIVARIUM_CLIENT_PACKAGES"));
}
