//! A copy of the workspace's sources, in which defences are taken out.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::table::{Edit, Mutation};

/// The copy. Only what differs is written, so that cargo compiles little after the first time.
#[derive(Debug)]
pub(crate) struct Tree(PathBuf);

impl Tree {
    /// Makes `copy` like the sources in `workspace` that git knows or would add.
    pub(crate) fn like(workspace: &Path, copy: &Path) -> anyhow::Result<Self> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(workspace)
            .output()
            .context("cannot start git")?;
        ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
        let mut there = HashSet::new();
        for name in String::from_utf8(output.stdout)?.split_terminator('\0') {
            let (from, to) = (workspace.join(name), copy.join(name));
            if from.is_file() {
                refresh(&from, &to).with_context(|| format!("cannot copy {name}"))?;
                there.insert(to);
            }
        }
        remove_others(copy, &there)?;
        Ok(Self(copy.to_owned()))
    }

    /// The copy's root.
    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// Takes a defence out until the result is dropped.
    pub(crate) fn without(&self, mutation: &Mutation) -> anyhow::Result<Changed> {
        let mut changed = Changed(Vec::new());
        for Edit { file, .. } in &mutation.edits {
            let path = self.0.join(file);
            if changed.0.iter().all(|(known, _)| *known != path) {
                let text = fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
                changed.0.push((path, text));
            }
        }
        for edit in &mutation.edits {
            let path = self.0.join(&edit.file);
            fs::write(&path, edit.applied(&fs::read_to_string(&path)?)?)?;
        }
        Ok(changed)
    }
}

/// Files as they were, which they become again when this is dropped.
#[derive(Debug)]
pub(crate) struct Changed(Vec<(PathBuf, String)>);

impl Drop for Changed {
    fn drop(&mut self) {
        for (path, text) in &self.0 {
            // Whoever comes next compares the whole copy with the sources.
            let _ = fs::write(path, text);
        }
    }
}

/// Removes files that the workspace does not have any more, which cargo might take for targets.
fn remove_others(folder: &Path, there: &HashSet<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_others(&entry.path(), there)?;
        } else if !there.contains(&entry.path()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Copies a file unless it is the same already. A file that was not there keeps its time, for cargo's sake; one
/// that differs gets a new one.
fn refresh(from: &Path, to: &Path) -> anyhow::Result<()> {
    let content = fs::read(from)?;
    match fs::read(to) {
        Ok(there) if there == content => return Ok(()),
        Ok(_) => fs::write(to, content)?,
        Err(_) => {
            fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
            fs::copy(from, to)?;
            File::options().write(true).open(to)?.set_modified(fs::metadata(from)?.modified()?)?;
        }
    }
    Ok(())
}
