//! What every stage needs: the recipe, the cache and the lock on it.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use vivarium_guest_recipe::{Cache, Digest, InputError, Recipe};

use super::progress::Step;

/// The surroundings of a build. While it lives, no other build uses the same cache.
pub(crate) struct Context {
    pub(crate) workspace: PathBuf,
    pub(crate) recipe: Recipe,
    pub(crate) cache: Cache,
    pub(crate) offline: bool,
    /// How many compilers run at once.
    pub(crate) jobs: usize,
    _lock: File,
}

impl Context {
    /// Creates the cache folder and waits until no other build uses it.
    pub(crate) fn new(
        workspace: PathBuf,
        recipe: Recipe,
        cache: Cache,
        offline: bool,
    ) -> anyhow::Result<Self> {
        let folder = cache.folder();
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create the cache {}", folder.display()))?;
        let lock = File::create(folder.join("lock")).context("cannot create the cache's lock file")?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let step = Step::start("waiting for another build of the guest");
                lock.lock().context("cannot lock the cache")?;
                step.finish();
            }
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the cache"),
        }
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let context = Self { workspace, recipe, cache, offline, jobs, _lock: lock };
        context.remove_leftovers()?;
        Ok(context)
    }

    /// The folder for the logs of the builds.
    pub(crate) fn logs(&self) -> PathBuf {
        self.cache.folder().join("logs")
    }

    /// Makes a stage unless it is there: `build` fills a new folder, which then takes its place as a
    /// whole. Stages do not nest: what `build` needs was made before. An interrupted build leaves nothing that could be mistaken for a stage.
    pub(crate) fn stage(
        &self,
        destination: &Path,
        title: &str,
        build: impl FnOnce(&Work) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if destination.exists() {
            return Ok(());
        }
        let step = Step::start(title);
        let work = Work { scratch: self.scratch().join("build"), result: self.scratch().join("result") };
        for folder in [&work.scratch, &work.result] {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        build(&work).with_context(|| format!("{title}: failed"))?;
        if let Some(parent) = destination.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        fs::rename(&work.result, destination)
            .with_context(|| format!("cannot put {} in place", destination.display()))?;
        self.remove_leftovers()?;
        step.finish();
        Ok(())
    }

    /// Makes a stage that is named by the digest of files in the repository, and returns its folder.
    /// If those files change meanwhile, nobody knows which of them were read, so nothing is kept.
    pub(crate) fn digested_stage(
        &self,
        name: &str,
        digest: impl Fn(&Recipe) -> Result<Digest, InputError>,
        title: &str,
        build: impl FnOnce(&Work) -> anyhow::Result<()>,
    ) -> anyhow::Result<PathBuf> {
        let before = digest(&self.recipe)?;
        let folder = self.cache.stage(name, &before);
        self.stage(&folder, title, |work| {
            build(work)?;
            ensure!(digest(&self.recipe)? == before, "the guest's sources changed meanwhile, run it again");
            Ok(())
        })?;
        Ok(folder)
    }

    fn scratch(&self) -> PathBuf {
        self.cache.folder().join("scratch")
    }

    /// Removes what an interrupted build left behind.
    fn remove_leftovers(&self) -> anyhow::Result<()> {
        match fs::remove_dir_all(self.scratch()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.scratch().display()))
            }
            _ => Ok(()),
        }
    }
}

/// The folders of a stage that is being built.
pub(crate) struct Work {
    /// For everything that is thrown away.
    pub(crate) scratch: PathBuf,
    /// What becomes the stage.
    pub(crate) result: PathBuf,
}
