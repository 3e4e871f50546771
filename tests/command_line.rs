//! The command line as a person uses it.

#![expect(clippy::expect_used, reason = "a failed expectation is a failed test")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use vivarium_tests::{Server, binary, workspace};

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

const BLOCK: [&str; 2] = ["<!-- made by `just security` -->\n", "<!-- end -->"];

/// The tables of SECURITY.md are those of the program. `just security` writes them anew.
#[test]
fn security_md_has_the_tables_of_the_audit() {
    let folder = folder();
    let (code, tables, stderr) = vivarium(folder.path(), &["audit", "--format", "markdown"]);
    assert_eq!(code, Some(0), "{stderr}");
    let path = workspace().join("SECURITY.md");
    let text = std::fs::read_to_string(&path).expect("SECURITY.md");
    let (before, rest) = text.split_once(BLOCK[0]).expect("the beginning of the block");
    let (block, after) = rest.split_once(BLOCK[1]).expect("the end of the block");
    if std::env::var_os("VIVARIUM_WRITE_SECURITY").is_some() {
        let written = [before, BLOCK[0], &tables, BLOCK[1], after].concat();
        std::fs::write(&path, written).expect("SECURITY.md is written");
    } else {
        assert!(
            block == tables,
            "SECURITY.md is behind the program; run `just security`. It should be:\n{tables}"
        );
    }
}

#[test]
fn audit_tells_of_one_function_without_a_server_and_changes_nothing() {
    let folder = folder();
    let headers = folder.path().join("headers.json");
    let config = "[classes.small]\nmemory_bytes = 67_108_864\n";
    let server = Server::start(folder.path(), config);
    server.check("check_restart.py", &["provision", headers.to_str().expect("UTF-8")]);
    // Images come to disk when they are called already.
    let deadline = Instant::now() + Duration::from_secs(120);
    while kept_images(folder.path()) < 2 {
        assert!(Instant::now() < deadline, "both images are kept");
        std::thread::sleep(Duration::from_millis(20));
    }
    // No time to tidy up.
    drop(server);
    let before = tree(&folder.path().join("state"));

    let audit = |arguments: &[&str]| {
        let given = ["audit", "--config", "vivarium.toml", "--state-dir", "state"];
        vivarium(folder.path(), &[&given, arguments].concat())
    };
    let (code, stdout, stderr) = audit(&["--function", "tests/f", "--format", "json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    let code_of_f = "def f(x): return x * 3";
    assert_eq!(report["schema"], "vivarium.audit.function/1");
    assert_eq!(report["code"]["sha256"], hex(code_of_f.as_bytes()));
    assert_eq!(report["signature"]["parameters"][0]["type"], "BIGINT NULL");
    assert_eq!(report["signature"]["result"], "BIGINT NULL");
    assert_eq!(report["interpreter"]["name"], "plain");
    assert_eq!(report["image"]["state"], "kept");
    assert_eq!(report["environment"]["names"], serde_json::json!([]));
    assert_eq!(report["problems"], serde_json::json!([]));
    assert_eq!(report["host_functions"].as_array().map(Vec::len), Some(7));
    assert!(report["reach"].as_array().expect("a list").iter().all(|reach| reach["reachable"] == false));
    let images = std::fs::read_dir(folder.path().join("state/images")).expect("images");
    let image = images
        .flat_map(|tenant| std::fs::read_dir(tenant.expect("an entry").path()).expect("a directory"))
        .map(|image| std::fs::read(image.expect("an entry").path()).expect("an image"))
        .any(|image| {
            let start = image.iter().position(|byte| *byte == b'\n').expect("materials") + 1;
            report["image"]["sha256"] == hex(&image[start..])
        });
    assert!(image, "the digest is that of an image");
    let version = report["function"]["version"].as_str().expect("a version");
    let (code, table, _) = audit(&["--function", &format!("tests/f@{}", &version[..8])]);
    assert_eq!(code, Some(0));
    assert!(table.contains("\ntests/f\n") && table.contains(version), "{table}");
    assert_eq!(tree(&folder.path().join("state")), before, "nothing was changed");

    for (name, expected) in [
        ("tests/g", "no function `tests/g` is provisioned; there are other/f@"),
        ("f", "no function `f` is provisioned"),
        ("tests/f@ffffffffffffffff", "is provisioned; there are"),
    ] {
        let (code, _, stderr) = audit(&["--function", name]);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(expected), "{name}: {stderr}");
    }
    let (code, _, stderr) = audit(&["--state-dir", "nowhere", "--function", "tests/f"]);
    assert!(code != Some(0) && !folder.path().join("nowhere").exists(), "{stderr}");
    let (code, _, stderr) = vivarium(folder.path(), &["audit", "--state-dir", ".", "--function", "tests/f"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("cannot use the state directory"), "{stderr}");
}

#[test]
fn audit_signs_verifies_and_compares() {
    let folder = folder();
    let run = |arguments: &[&str]| vivarium(folder.path(), &[&["audit"], arguments].concat());
    for key in ["key", "other"] {
        assert_eq!(run(&["--generate-key", key]).0, Some(0));
    }
    let (code, _, stderr) = run(&["--generate-key", "key"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("cannot write the key key"), "{stderr}");

    let (code, statement, stderr) = run(&["--sign", "key"]);
    assert_eq!(code, Some(0), "{stderr}");
    std::fs::write(folder.path().join("statement.json"), &statement).expect("a file");
    let verify =
        |key: &str, more: &[&str]| run(&[&["--verify", "statement.json", "--key", key], more].concat());
    let (code, stdout, stderr) = verify("key.pub", &[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stdout.starts_with("good signature of key ") && stdout.contains("guest module sha256 "),
        "{stdout}"
    );
    let (code, report, _) = verify("key.pub", &["--format", "json"]);
    assert_eq!(code, Some(0));
    let (_, unsigned, _) = run(&["--format", "json"]);
    assert_eq!(report, unsigned, "the report is inside the statement");

    let (code, _, stderr) = verify("other.pub", &[]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("no signature in it is good"), "{stderr}");
    let (code, _, stderr) = verify("key", &[]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("key is not an Ed25519 public key in PEM"), "{stderr}");

    std::fs::write(folder.path().join("before.json"), &report).expect("a file");
    std::fs::write(folder.path().join("more.toml"), "[limits]\nmemory_bytes = 536_870_912\n")
        .expect("a file");
    let (_, more, _) = run(&["--config", "more.toml", "--format", "json"]);
    std::fs::write(folder.path().join("after.json"), more).expect("a file");
    let (code, stdout, stderr) = run(&["--diff", "before.json", "after.json"]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stdout.contains("WIDER     limits[limits.memory_bytes]: 268435456 -> 536870912\n"), "{stdout}");
    let (code, stdout, _) = run(&["--diff", "after.json", "before.json", "--format", "json"]);
    assert_eq!(code, Some(0), "{stdout}");
    let diff: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((&diff["schema"], &diff["wider"]), (&"vivarium.audit.diff/1".into(), &false.into()));
    let (code, stdout, _) = run(&["--diff", "before.json", "before.json"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "nothing changed\n"));
}

fn hex(bytes: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every file below a folder, with its content and when it was changed.
/// Images that have come to disk whole.
fn kept_images(folder: &Path) -> usize {
    let tenants = std::fs::read_dir(folder.join("state/images")).expect("images");
    let images = tenants
        .flat_map(|tenant| std::fs::read_dir(tenant.expect("an entry").path()).expect("a directory"))
        .map(|image| image.expect("an entry").file_name());
    images.filter(|name| !name.to_string_lossy().starts_with('.')).count()
}

fn tree(folder: &Path) -> std::collections::BTreeMap<std::path::PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut found = std::collections::BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a directory") {
            let path = entry.expect("an entry").path();
            let metadata = std::fs::metadata(&path).expect("metadata");
            let changed = metadata.modified().expect("a time");
            let content = if metadata.is_dir() { Vec::new() } else { std::fs::read(&path).expect("a file") };
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, (content, changed));
        }
    }
    found
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
