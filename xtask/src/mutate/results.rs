//! `tests/mutations/results.md`: how each test was seen to fail.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::table::{FOLDER, Mutation, Table};

const FILE: &str = "results.md";

const HEAD: &str = "# Each was seen to fail

A test that cannot fail says nothing. `just mutate` takes each defence below out of a copy of the sources, one at a
time, runs the test that is named for it, which passed before, and writes here how it failed. What is taken out how
is in the tables beside this file. A test of `xtask` fails when one of them no longer fits the sources, or when a
case of [the catalogue](../attacks.md) has neither an entry nor a reason to have none.

| defence | cases | taken out | test | how it failed |
|---|---|---|---|---|
";

/// Stands where no test has failed yet.
const UNTRIED: &str = "not tried yet";

/// Lines by the names of the mutations.
#[derive(Debug)]
pub(crate) struct Results(BTreeMap<String, String>);

impl Results {
    /// Reads what earlier runs noted.
    pub(crate) fn read(workspace: &Path) -> anyhow::Result<Self> {
        let path = workspace.join(FOLDER).join(FILE);
        let text = if path.exists() { fs::read_to_string(path)? } else { String::new() };
        let name = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
        let tried = text.lines().filter(|line| !line.ends_with(&format!("| {UNTRIED} |")));
        Ok(Self(tried.filter_map(|line| Some((name(line)?, line.to_owned()))).collect()))
    }

    /// Notes how a test failed.
    pub(crate) fn note(&mut self, mutation: &Mutation, said: &str) {
        self.0.insert(mutation.name.clone(), line(mutation, said));
    }

    /// Forgets a failure that is none any more.
    pub(crate) fn forget(&mut self, mutation: &Mutation) {
        self.0.remove(&mutation.name);
    }

    /// Names of what has a line.
    #[cfg(test)]
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Writes the lines in the order of the tables, and the reasons behind them.
    pub(crate) fn write(&self, workspace: &Path) -> anyhow::Result<()> {
        let Table { mutations, untaken } = Table::read(workspace)?;
        let mut text = HEAD.to_owned();
        for mutation in &mutations {
            let known = self.0.get(&mutation.name).cloned();
            text += &known.unwrap_or_else(|| line(mutation, UNTRIED));
            text.push('\n');
        }
        text += "\nNothing is taken out for:\n\n";
        for entry in untaken {
            let cases: Vec<String> = entry.cases.iter().map(u8::to_string).collect();
            text += &format!("- {}: {}\n", cases.join(", "), entry.because);
        }
        Ok(fs::write(workspace.join(FOLDER).join(FILE), text)?)
    }
}

fn line(mutation: &Mutation, said: &str) -> String {
    let Mutation { name, cases, without, suite, test, .. } = mutation;
    let cases: Vec<String> = cases.iter().map(u8::to_string).collect();
    let said = said.replace('|', "\\|").replace('`', "'");
    format!("| `{name}` | {} | {without} | `{test}` of {suite} | {said} |", cases.join(", "))
}
