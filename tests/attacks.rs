//! The attack catalogue through the public surface. `attacks.md` says which case is tested where.

#![expect(clippy::expect_used, reason = "a failed expectation is a failed test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use vivarium_tests::{Server, workspace};

/// Limits that are met within a second of work, on a slow machine too.
fn config(fuel_per_batch: u64, deadline_ms: u64) -> String {
    format!(
        "
[limits]
fuel_per_batch = {fuel_per_batch}
deadline_ms = {deadline_ms}
memory_bytes = 100_663_296
input_bytes = 4_194_304
log_bytes = 4_096
[build_limits]
fuel = 1_000_000_000
deadline_ms = 120_000
memory_bytes = 100_663_296
"
    )
}

fn attack(script: &str, config: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), config);
    let (id, path) = (server.id().to_string(), folder.path().to_str().expect("a path in UTF-8"));
    let arguments: &[&str] = if script == "attack_server.py" { &[&id, path] } else { &[] };
    server.check(script, arguments);
    assert_eq!(server.terminate(), Some(0), "a graceful end");
}

#[test]
fn attack_cpu() {
    attack("attack_cpu.py", &config(150_000_000, 120_000));
}

#[test]
fn attack_memory() {
    attack("attack_memory.py", &config(3_000_000_000, 120_000));
}

#[test]
fn attack_isolation() {
    attack("attack_isolation.py", &config(500_000_000, 120_000));
}

#[test]
fn attack_time() {
    attack("attack_time.py", &config(1_000_000_000_000, 1_500));
}

#[test]
fn attack_wire() {
    let server =
        "max_message_bytes = 16_777_216\nmax_batch_rows = 1_000_000\nmax_dictionary_bytes = 4_194_304\n";
    attack("attack_wire.py", &format!("{}[server]\n{server}", config(3_000_000_000, 120_000)));
}

#[test]
fn attack_server() {
    let server = "host_memory_bytes = 805_306_368\nexchange_wait_s = 1\nidle_timeout_s = 3\n\
                  keepalive_interval_s = 1\nkeepalive_timeout_s = 2\n";
    attack("attack_server.py", &format!("{}[server]\n{server}", config(3_000_000_000, 120_000)));
}

fn images_below(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| {
        let entries = folder.read_dir().expect("a directory");
        entries.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
    };
    entries(&folder.join("state/images")).iter().flat_map(|tenant| entries(tenant)).collect()
}

/// Case 51: an image that is not what was kept is not used; the function is built again and right.
#[test]
fn attack_images_that_were_changed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let headers = folder.path().join("headers.json");
    let headers = headers.to_str().expect("a path in UTF-8");
    let config = config(3_000_000_000, 120_000);
    let server = Server::start(folder.path(), &config);
    server.check("check_restart.py", &["provision", headers]);
    assert_eq!(server.terminate(), Some(0));

    let images = images_below(folder.path());
    assert_eq!(images.len(), 2, "one of each tenant: {images:?}");
    let kept: Vec<Vec<u8>> = images.iter().map(|path| std::fs::read(path).expect("an image")).collect();
    let header =
        |bytes: &[u8]| bytes.iter().position(|byte| *byte == b'\n').expect("a line of materials") + 1;
    type Change = fn(&mut Vec<u8>, usize);
    let changes: [(&str, Change); 5] = [
        ("a flipped bit", |bytes, _| *bytes.last_mut().expect("bytes") ^= 1),
        ("a flipped bit of the digest", |bytes, start| bytes[start + 20] ^= 1),
        ("another format", |bytes, start| bytes[start + 8] ^= 0x40),
        ("half of it", |bytes, _| bytes.truncate(bytes.len() / 2)),
        ("nothing", |bytes, _| bytes.clear()),
    ];
    let check = |name: &str| {
        let server = Server::start(folder.path(), &config);
        server.check("check_restart.py", &["call", headers]);
        let log = server.log(folder.path());
        assert!(
            log.contains("a stored image does not fit and is built again")
                || log.contains("a stored image is unreadable and is built again"),
            "{name}: {log}"
        );
        assert_eq!(server.terminate(), Some(0), "{name}");
    };
    for (name, change) in changes {
        for (path, kept) in images.iter().zip(&kept) {
            let mut bytes = kept.clone();
            change(&mut bytes, header(kept));
            std::fs::write(path, bytes).expect("an image");
        }
        check(name);
    }
    std::fs::write(&images[0], &kept[1]).expect("an image");
    std::fs::write(&images[1], &kept[0]).expect("an image");
    check("another tenant's");
}

/// Every test that the tables name exists, and every case of the catalogue has a row.
#[test]
fn the_table_of_attacks_is_true() {
    let root = workspace();
    let table = std::fs::read_to_string(root.join("tests/attacks.md")).expect("the table");
    let security = std::fs::read_to_string(root.join("SECURITY.md")).expect("SECURITY.md");
    let mut named = 0;
    for token in table.split('`').skip(1).step_by(2).chain(security.split('`').skip(1).step_by(2)) {
        let Some((file, test)) = token.split_once("::").filter(|(file, _)| file.contains('/')) else {
            continue;
        };
        let source = std::fs::read_to_string(root.join(file));
        let source = source.unwrap_or_else(|error| format!("{error}"));
        let is_there = |word: &str| source.contains(&format!("{word} {test}("));
        assert!(is_there("fn") || is_there("def"), "`{token}` is named and does not exist");
        named += 1;
    }
    assert!(named > 66, "{named} tests are named");

    let rows =
        table.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse::<u8>().ok());
    let rows: BTreeSet<u8> = rows.collect();
    assert_eq!(rows, (1..=66).collect(), "one row for each case");
}
