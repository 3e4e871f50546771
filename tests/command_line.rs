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
fn run_follows_declarations_of_every_kind() {
    let folder = folder();
    let source = "
import vivarium
from typing import Iterator

@vivarium.udf(result='DECIMAL(10, 2)')
def half(price: int):
    from decimal import Decimal
    return Decimal(price) / 2

@vivarium.udtf
def up_to(id: int) -> Iterator[int]:
    yield from range(min(id, 3))

@vivarium.udaf
class Total:
    def create_state(self) -> int: return 0
    def accumulate(self, state, price: int): return state + price
    def merge(self, state, other): return state + other
    def finish(self, state) -> int: return state

@vivarium.map_batches(result={'id': 'BIGINT', 'next': 'BIGINT'})
def following(batches):
    for batch in batches:
        ids = batch['id'].to_list()
        yield {'id': ids, 'next': [i + 1 for i in ids]}
";
    function(folder.path(), source);
    for (name, rows, last) in [
        ("half", 1000, "999,1998,name 999,999.00"),
        ("up_to", 1 + 2 + 3 * 997, "999,1998,name 999,2"),
        ("Total", 1, "999000"),
        ("following", 1000, "999,1000"),
    ] {
        let source = format!("work.py:{name}");
        let arguments = ["run", &source, "--input", "data.csv", "--output", "out.csv"];
        let (code, _, stderr) = vivarium(folder.path(), &arguments);
        assert_eq!(code, Some(0), "{name}: {stderr}");
        let text = std::fs::read_to_string(folder.path().join("out.csv")).expect("the result");
        assert_eq!(text.lines().count(), rows + 1, "{name}: {text}");
        assert_eq!(text.lines().last(), Some(last), "{name}");
    }
    let arguments = ["run", "work.py:half", "--input", "data.csv", "--result", "INT"];
    let (code, _, stderr) = vivarium(folder.path(), &arguments);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("--result") && stderr.contains("decorator"), "{stderr}");
}

#[test]
fn files_that_cannot_be_served_say_why() {
    let folder = folder();
    let udf = |parameters: &str, result: &str| {
        format!(
            "from databend_udf import udf\n@udf(input_types={parameters}, result_type={result})\ndef f(x):\n    return x\n"
        )
    };
    let cases = [
        ("missing.py", None, "cannot read missing.py"),
        ("empty.py", Some("def f(x): return x\n".to_owned()), "empty.py declares no functions"),
        ("syntax.py", Some("retrun 1\n".to_owned()), "SyntaxError"),
        ("raises.py", Some("1 / 0\n".to_owned()), "File \"raises.py\", line 1"),
        (
            "types.py",
            Some(udf("['INTT']", "'INT'")),
            "types.py: function `f`: parameter `x` has the type `INTT`: unknown type `INTT` at character 1; did you mean INT?",
        ),
        (
            "result.py",
            Some(udf("['INT']", "'ARRAY(INT'")),
            "result.py: function `f`: the result has the type `ARRAY(INT`: expected `)`, found the end of the text at character 10",
        ),
        (
            "arity.py",
            Some(udf("['INT', 'INT']", "'INT'")),
            "expects 1 data argument(s) but 2 input type(s) were provided",
        ),
    ];
    for (name, content, expected) in cases {
        if let Some(content) = content {
            std::fs::write(folder.path().join(name), content).expect("a source file");
        }
        let arguments = ["serve", "--flight", "127.0.0.1:0", "--state-dir", "state", "--functions", name];
        let (code, _, stderr) = vivarium(folder.path(), &arguments);
        assert_eq!(code, Some(1), "{name}: {stderr}");
        assert!(stderr.contains(expected), "{name}: {stderr}");
    }
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
