//! `tests/mutations/*.toml`: which defence is taken out how, and which test must notice.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

/// Where the tables are, in the workspace.
pub(crate) const FOLDER: &str = "tests/mutations";

/// What one file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    #[serde(default, rename = "mutation")]
    pub(crate) mutations: Vec<Mutation>,
    /// Cases of the attack catalogue of which nothing is taken out.
    #[serde(default)]
    pub(crate) untaken: Vec<Untaken>,
}

/// One defence taken out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutation {
    pub(crate) name: String,
    /// Cases of the attack catalogue; none for defences outside of it.
    #[serde(default)]
    pub(crate) cases: Vec<u8>,
    /// What is taken out, in words.
    pub(crate) without: String,
    /// The package's folder and its test target, `lib` for its unit tests: `runtime/metering`.
    pub(crate) suite: String,
    /// The test that must fail, as the suite calls it.
    pub(crate) test: String,
    #[serde(rename = "edit")]
    pub(crate) edits: Vec<Edit>,
    /// Seconds after which the test counts as failed; without the defence it may never end.
    pub(crate) seconds: Option<u64>,
}

/// One change of a source file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Edit {
    pub(crate) file: String,
    /// Text that is there exactly once.
    pub(crate) find: String,
    pub(crate) replace: String,
}

/// Cases without a mutation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Untaken {
    pub(crate) cases: Vec<u8>,
    pub(crate) because: String,
}

impl Table {
    /// Reads all tables of a workspace. Mutations of the same package stay together, so that as little as
    /// possible is compiled between them.
    pub(crate) fn read(workspace: &Path) -> anyhow::Result<Self> {
        let mut files: Vec<_> = fs::read_dir(workspace.join(FOLDER))?
            .map(|entry| Ok(entry?.path()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        files.sort();
        let mut all = Self::default();
        for file in files {
            let text = fs::read_to_string(&file)?;
            let table: Self = toml::from_str(&text).with_context(|| file.display().to_string())?;
            all.mutations.extend(table.mutations);
            all.untaken.extend(table.untaken);
        }
        // A changed time of the guest's sources makes everything be compiled again.
        all.mutations.sort_by_key(Mutation::is_of_c);
        let mut names = BTreeSet::new();
        for Mutation { name, edits, .. } in &all.mutations {
            ensure!(names.insert(name), "two mutations have the name `{name}`");
            ensure!(!edits.is_empty(), "`{name}` changes nothing");
        }
        Ok(all)
    }
}

impl Mutation {
    /// The package's folder, and the name of its test target.
    pub(crate) fn suite(&self) -> anyhow::Result<(&str, &str)> {
        self.suite.rsplit_once('/').with_context(|| format!("`{}`: the suite has no folder", self.name))
    }

    /// Whether only sources of the guest in C are changed.
    pub(crate) fn is_of_c(&self) -> bool {
        self.edits.iter().all(|edit| edit.file.ends_with(".c"))
    }

    /// Whether its tests start our server.
    pub(crate) fn needs_server(&self) -> bool {
        self.suite.starts_with("tests/")
    }
}

impl Edit {
    /// The file's text after the change.
    pub(crate) fn applied(&self, text: &str) -> anyhow::Result<String> {
        match text.matches(&self.find).count() {
            1 => Ok(text.replacen(&self.find, &self.replace, 1)),
            count => bail!("{} has {count} times, not once: {}", self.file, self.find.trim()),
        }
    }
}
