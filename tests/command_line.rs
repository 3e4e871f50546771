//! The command line as a person uses it.

#![expect(clippy::expect_used, reason = "a failed expectation is a failed test")]

use std::path::Path;
use std::process::{Command, Output};

use vivarium_tests::{Server, binary};

fn vivarium(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(binary()).args(arguments).current_dir(folder).output().expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
    (status.code(), text(stdout), text(stderr))
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows: String = (0..1000).map(|row| format!("{row},{},name {row}\n", row * 2)).collect();
    std::fs::write(folder.path().join("data.csv"), format!("id,price,name\n{rows}")).expect("a data file");
    folder
}

fn function(folder: &Path, code: &str) {
    std::fs::write(folder.join("work.py"), code).expect("a source file");
}

#[test]
fn run_fills_parameters_by_name_and_previews() {
    let folder = folder();
    function(folder.path(), "def total(price: int, id: int) -> int:\n    return price + id\n");
    let (code, stdout, stderr) = vivarium(folder.path(), &["run", "work.py", "--input", "data.csv"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("total") && stdout.contains("name 3"), "{stdout}");
    let row = stdout.lines().find(|line| line.contains("name 3 ")).expect("row 3 is shown");
    assert!(row.contains(" 9 "), "{row}");
}

#[test]
fn run_writes_and_reads_back() {
    let folder = folder();
    function(folder.path(), "def double(price: int) -> int:\n    return price * 2\n");
    for name in ["out.parquet", "out.arrow", "out.ndjson", "out.csv"] {
        let (code, _, stderr) =
            vivarium(folder.path(), &["run", "work.py:double", "--input", "data.csv", "--output", name]);
        assert_eq!(code, Some(0), "{name}: {stderr}");
        let (code, stdout, stderr) = vivarium(
            folder.path(),
            &["run", "work.py:double", "--input", name, "--column", "again", "--preview", "2"],
        );
        assert_eq!(code, Some(0), "{name}: {stderr}");
        assert!(stdout.contains("double") && stdout.contains("again"), "{name}: {stdout}");
    }
}

#[test]
fn run_says_what_is_wrong() {
    let folder = folder();
    let run = &["run", "work.py", "--input", "data.csv"];
    for (source, expected_code, expected) in [
        (
            "def f(price: int) -> int:\n    return 1 // (price - 20)\n",
            1,
            &["ZeroDivisionError", "line 2", "row 11"][..],
        ),
        ("def f(prise: int) -> int:\n    return 1\n", 2, &["prise", "price"]),
        ("def f(price: int):\n    return 1\n", 2, &["--result"]),
        ("def f(price: int) -> int:\n    retrun 1\n", 1, &["SyntaxError", "line 2"]),
        ("def f(price: int) -> str:\n    return 1\n", 1, &["utf8", "int"]),
    ] {
        function(folder.path(), source);
        let (code, _, stderr) = vivarium(folder.path(), run);
        assert_eq!(code, Some(expected_code), "{stderr}");
        for part in expected {
            assert!(stderr.to_lowercase().contains(&part.to_lowercase()), "{part}: {stderr}");
        }
    }
    function(folder.path(), "def f(price: int) -> int:\n    while True: pass\n");
    let (code, _, stderr) = vivarium(folder.path(), &[run as &[_], &["--deadline", "200ms"]].concat());
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("deadline"), "{stderr}");
    let (code, _, stderr) = vivarium(folder.path(), &["run", "work.py", "--input", "nothing.csv"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("nothing.csv"), "{stderr}");
}

#[test]
fn audit_lists_exactly_the_capability_set() {
    let folder = folder();
    let (code, stdout, stderr) = vivarium(folder.path(), &["audit", "--format", "json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    let names: Vec<String> = report["host_functions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|function| {
            format!(
                "{}.{}",
                function["module"].as_str().unwrap_or("?"),
                function["name"].as_str().unwrap_or("?")
            )
        })
        .collect();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "vivarium.pull",
            "vivarium.refill",
            "wasi_snapshot_preview1.clock_time_get",
            "wasi_snapshot_preview1.fd_write",
            "wasi_snapshot_preview1.poll_oneoff",
            "wasi_snapshot_preview1.proc_exit",
            "wasi_snapshot_preview1.random_get",
        ]
    );
    let (code, table, _) = vivarium(folder.path(), &["audit"]);
    assert_eq!(code, Some(0));
    assert!(names.iter().all(|name| table.contains(name.rsplit('.').next().unwrap_or(name))), "{table}");
}

#[test]
fn configuration_refuses_unknown_keys_with_their_line() {
    let folder = folder();
    std::fs::write(folder.path().join("bad.toml"), "[limits]\nfuel = 5\n").expect("a file");
    let (code, _, stderr) = vivarium(folder.path(), &["serve", "--config", "bad.toml"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("line 2") && stderr.contains("fuel"), "{stderr}");
}

#[test]
fn a_taken_address_is_named() {
    let folder = folder();
    let server = Server::start(folder.path(), "");
    let other = folder.path().join("other");
    let (code, _, stderr) = vivarium(
        folder.path(),
        &["serve", "--flight", server.address(), "--state-dir", other.to_str().expect("UTF-8")],
    );
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains(server.address()), "{stderr}");
}

#[test]
fn help_tells_what_there_is() {
    let folder = folder();
    let (code, stdout, _) = vivarium(folder.path(), &["--help"]);
    assert_eq!(code, Some(0));
    for command in ["serve", "run", "audit"] {
        assert!(stdout.contains(command), "{stdout}");
    }
}
