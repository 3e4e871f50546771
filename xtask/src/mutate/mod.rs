//! `cargo xtask mutate`: takes one defence after the other out of a copy of the sources, and demands that the
//! test that is named for it fails. A test that cannot fail says nothing.

mod results;
mod table;
mod tree;
mod trial;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;

use self::results::Results;
use self::table::{Mutation, Table};
use self::tree::Tree;
use self::trial::{Bench, Outcome};
use crate::clients::Clients;
use crate::guest;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only these: names of mutations, or numbers of cases. Without any: all.
    names: Vec<String>,
    /// Take nothing out; tell what there is, and write the results anew in the order of the tables.
    #[arg(long)]
    list: bool,
    /// Where the copy of the sources, and what is compiled of it, are kept.
    #[arg(long, default_value = "target/mutations")]
    folder: PathBuf,
    /// Seconds after which a test counts as failed.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
}

/// Takes defences out, and writes what happened to `tests/mutations/results.md`.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let context = guest::context()?;
    let workspace = context.workspace.clone();
    let mut table = Table::read(&workspace)?;
    for name in &arguments.names {
        ensure!(
            table.mutations.iter().any(|mutation| is_named(mutation, name)),
            "there is no mutation `{name}`"
        );
    }
    let is_asked_for = |mutation: &Mutation| {
        arguments.names.is_empty() || arguments.names.iter().any(|name| is_named(mutation, name))
    };
    table.mutations.retain(is_asked_for);
    if arguments.list {
        for Mutation { name, cases, without, .. } in &table.mutations {
            println!("{name} {cases:?}: {without}");
        }
        return Results::read(&workspace)?.write(&workspace);
    }
    guest::build(&context)?;
    let clients = Clients::install(&context)?;
    drop(context);

    let folder = workspace.join(&arguments.folder);
    let tree = Tree::like(&workspace, &folder.join("tree"))?;
    let bench = Bench {
        tree: tree.root().to_owned(),
        target: folder.join("build"),
        python: clients.python().to_owned(),
        packages: clients.packages().to_owned(),
    };
    let patience = Duration::from_secs(arguments.seconds);
    let mut results = Results::read(&workspace)?;
    // All of it before anything is changed: each change, and each change back, is compiled.
    let mut sound = BTreeMap::new();
    for mutation in &table.mutations {
        sound.entry((&mutation.suite, &mutation.test)).or_insert_with(|| {
            let outcome = bench.build(mutation).and_then(|program| bench.start(mutation, &program, patience));
            outcome.map_err(|error| format!("{error:#}")).and_then(|outcome| match outcome {
                Outcome::Passed => Ok(()),
                Outcome::Failed(said) => Err(format!("{} fails with it: {said}", mutation.test)),
            })
        });
    }
    let mut wrong = Vec::new();
    for mutation in &table.mutations {
        let outcome = match &sound[&(&mutation.suite, &mutation.test)] {
            Ok(()) => trial(&bench, &tree, mutation, patience).map_err(|error| format!("{error:#}")),
            Err(problem) => Err(problem.clone()),
        };
        let line = match outcome {
            Ok(Outcome::Failed(said)) => {
                // The results are for every machine.
                let said = said.replace(&*tree.root().to_string_lossy(), "DIR");
                results.note(mutation, &said);
                results.write(&workspace).context("cannot write the results")?;
                said
            }
            Ok(Outcome::Passed) => {
                wrong.push(mutation.name.as_str());
                results.forget(mutation);
                results.write(&workspace)?;
                format!("NOT SEEN: {} passes without it", mutation.test)
            }
            Err(problem) => {
                wrong.push(mutation.name.as_str());
                format!("NOT TRIED: {problem}")
            }
        };
        println!("{}: {line}", mutation.name);
    }
    ensure!(wrong.is_empty(), "{} of {}: {}", wrong.len(), table.mutations.len(), wrong.join(", "));
    println!("{} defences taken out, each seen by its test", table.mutations.len());
    Ok(())
}

/// Takes a defence out, runs the test, and puts it back.
fn trial(bench: &Bench, tree: &Tree, mutation: &Mutation, patience: Duration) -> anyhow::Result<Outcome> {
    let patience = mutation.seconds.map_or(patience, Duration::from_secs);
    // C is compiled by its tests: what is built of it around them must be built before.
    let before = mutation.is_of_c().then(|| bench.build(mutation)).transpose()?;
    let _changed = tree.without(mutation)?;
    let program = before.map_or_else(|| bench.build(mutation), Ok)?;
    bench.start(mutation, &program, patience)
}

/// Whether the command line's word means this mutation.
fn is_named(mutation: &Mutation, word: &str) -> bool {
    mutation.name == word || word.parse().is_ok_and(|case: u8| mutation.cases.contains(&case))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    fn workspace() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    /// Whether a file of Rust below `folder` has this function.
    fn has_function(folder: &Path, name: &str) -> bool {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.into_iter().any(|path| match path.extension() {
            _ if path.is_dir() => has_function(&path, name),
            Some(extension) if extension == "rs" => {
                fs::read_to_string(&path).unwrap().contains(&format!("fn {name}("))
            }
            _ => false,
        })
    }

    #[test]
    fn every_mutation_fits_the_sources_and_names_a_test() {
        for mutation in Table::read(&workspace()).unwrap().mutations {
            let mut texts = BTreeMap::new();
            for edit in &mutation.edits {
                let path = workspace().join(&edit.file);
                let text = texts.remove(&path).unwrap_or_else(|| fs::read_to_string(&path).unwrap());
                let changed =
                    edit.applied(&text).unwrap_or_else(|error| panic!("{}: {error}", mutation.name));
                assert_ne!(changed, text, "{} changes nothing", mutation.name);
                texts.insert(path, changed);
            }
            let (folder, _) = mutation.suite().unwrap();
            let test = mutation.test.rsplit("::").next().unwrap();
            assert!(has_function(&workspace().join(folder), test), "{}: there is no {test}", mutation.name);
        }
    }

    #[test]
    fn every_case_has_a_mutation_or_a_reason_and_every_result_a_mutation() {
        let table = Table::read(&workspace()).unwrap();
        let taken: BTreeSet<u8> =
            table.mutations.iter().flat_map(|mutation| mutation.cases.clone()).collect();
        let untaken: BTreeSet<u8> = table.untaken.iter().flat_map(|entry| entry.cases.clone()).collect();
        assert_eq!(taken.intersection(&untaken).next(), None, "a case has both");
        let catalogue = fs::read_to_string(workspace().join("tests/attacks.md")).unwrap();
        let row = |line: &str| line.strip_prefix("| ")?.split(' ').next()?.parse::<u8>().ok();
        let cases: BTreeSet<u8> = catalogue.lines().filter_map(row).collect();
        assert!(cases.len() > 60);
        assert_eq!(taken.union(&untaken).copied().collect::<BTreeSet<u8>>(), cases);
        let results = Results::read(&workspace()).unwrap();
        let names: BTreeSet<&String> = table.mutations.iter().map(|mutation| &mutation.name).collect();
        assert_eq!(results.names().find(|name| !names.contains(name)), None, "a result of nothing");
    }
}
