//! What we depend on: licences, sources and duplicates are those that `deny.toml` allows. `cargo deny check`
//! says more, and asks for advisories; this needs no network.

#![expect(clippy::expect_used, reason = "a failed expectation is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use vivarium_tests::workspace;

/// One package that is compiled for our systems.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    license: String,
    source: Option<String>,
}

fn packages(deny: &toml::Value) -> BTreeSet<Package> {
    let targets = deny["graph"]["targets"].as_array().expect("targets");
    targets.iter().flat_map(|target| of_target(target.as_str().expect("text"))).collect()
}

fn of_target(target: &str) -> Vec<Package> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", target])
        .current_dir(workspace())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let used: BTreeSet<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| node["id"].as_str().expect("an id"))
        .collect();
    let text = |package: &Value, name: &str| package[name].as_str().map(str::to_owned);
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .filter(|package| package["id"].as_str().is_some_and(|id| used.contains(id)))
        .map(|package| Package {
            name: text(package, "name").expect("a name"),
            version: text(package, "version").expect("a version"),
            license: text(package, "license").unwrap_or_default(),
            source: text(package, "source"),
        })
        .collect()
}

fn deny() -> toml::Value {
    let text = std::fs::read_to_string(workspace().join("deny.toml")).expect("deny.toml");
    toml::from_str(&text).expect("TOML")
}

/// Whether an SPDX expression can be fulfilled by licences that are allowed. `/` is its old form of `OR`.
fn is_allowed(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let expression = expression.replace('/', " OR ");
    let words: Vec<String> =
        expression.replace('(', " ( ").replace(')', " ) ").split_whitespace().map(str::to_owned).collect();
    let mut at = 0;
    let found = either(&words, &mut at, allowed);
    found && at == words.len()
}

fn either(words: &[String], at: &mut usize, allowed: &BTreeSet<&str>) -> bool {
    let mut found = both(words, at, allowed);
    while words.get(*at).is_some_and(|word| word == "OR") {
        *at += 1;
        found |= both(words, at, allowed);
    }
    found
}

fn both(words: &[String], at: &mut usize, allowed: &BTreeSet<&str>) -> bool {
    let mut found = one(words, at, allowed);
    while words.get(*at).is_some_and(|word| word == "AND") {
        *at += 1;
        found &= one(words, at, allowed);
    }
    found
}

fn one(words: &[String], at: &mut usize, allowed: &BTreeSet<&str>) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if word == "(" {
        let found = either(words, at, allowed);
        *at += 1;
        return found;
    }
    let mut license = word.clone();
    if let Some([with, exception]) = words.get(*at..*at + 2)
        && with == "WITH"
    {
        license = format!("{license} WITH {exception}");
        *at += 2;
    }
    allowed.contains(license.as_str())
}

#[test]
fn licences_and_sources_are_allowed() {
    let deny = deny();
    let allowed: BTreeSet<&str> = deny["licenses"]["allow"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(toml::Value::as_str)
        .collect();
    let mut sources = BTreeSet::new();
    for package in packages(&deny) {
        // Our own have no source.
        if let Some(source) = &package.source {
            sources.insert(source.clone());
            assert!(is_allowed(&package.license, &allowed), "{package:?}");
        }
    }
    assert!(
        sources.len() == 1 && sources.iter().all(|source| source.starts_with("registry+")),
        "{sources:?}"
    );
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("MIT WITH LLVM-exception", false),
        ("", false),
        ("MIT MIT", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
    }
}

#[test]
fn every_second_version_is_argued() {
    let deny = deny();
    let skipped: BTreeMap<String, String> = deny["bans"]["skip"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().expect("text").to_owned();
            (text("crate"), text("reason"))
        })
        .collect();
    let is_skipped = |package: &Package| {
        skipped.keys().find(|entry| {
            let (name, version) = entry.split_once('@').expect("a version");
            package.name == *name && (package.version.clone() + ".").starts_with(&format!("{version}."))
        })
    };
    let mut versions: BTreeMap<String, Vec<Package>> = BTreeMap::new();
    for package in packages(&deny) {
        versions.entry(package.name.clone()).or_default().push(package);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let mut needed = BTreeSet::new();
    for (name, versions) in &versions {
        let left: Vec<&Package> = versions.iter().filter(|package| is_skipped(package).is_none()).collect();
        assert!(left.len() <= 1, "{name} is there {} times: {left:?}", left.len());
        needed.extend(versions.iter().filter_map(is_skipped));
    }
    let given: BTreeSet<&String> = skipped.keys().collect();
    assert_eq!(needed, given, "exceptions that nothing needs any more");
}
