//! Where built things are kept: outside of the checkout, one folder per stage and digest.

use std::env;
use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::inputs::{InputError, Recipe, Variant};

/// The environment variables that decide where the cache is, the first that is set wins:
/// `VIVARIUM_CACHE` is the cache itself, the others are folders above it.
pub const CACHE_VARIABLES: [&str; 3] = ["VIVARIUM_CACHE", "XDG_CACHE_HOME", "HOME"];

/// No place for the cache.
#[derive(Debug, thiserror::Error)]
#[error("no place for the build cache: set VIVARIUM_CACHE to a folder (HOME is not set either)")]
pub struct CacheError;

/// The cache folder.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// `$VIVARIUM_CACHE`, else `$XDG_CACHE_HOME/vivarium`, else `~/.cache/vivarium`.
    ///
    /// # Errors
    /// If none of the variables is set.
    pub fn from_environment() -> Result<Self, CacheError> {
        Self::choose(CACHE_VARIABLES.map(env::var_os).map(|value| value.map(PathBuf::from)))
    }

    fn choose([own, xdg, home]: [Option<PathBuf>; 3]) -> Result<Self, CacheError> {
        let usable = |folder: &PathBuf| folder.is_absolute();
        let folder = own
            .filter(usable)
            .or_else(|| xdg.filter(usable).map(|xdg| xdg.join("vivarium")))
            .or_else(|| home.filter(usable).map(|home| home.join(".cache/vivarium")))
            .ok_or(CacheError)?;
        Ok(Self::at(folder))
    }

    /// A cache in a given folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The cache folder itself.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of a stage.
    pub fn stage(&self, name: &str, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{name}-{}", digest.short()))
    }

    /// The native Python, whose interpreter is `bin/python3.13` inside.
    pub fn native(&self, recipe: &Recipe) -> PathBuf {
        self.stage("python", &recipe.native())
    }

    /// The folder of the wheels that a server brings itself: whether it is there is for the caller to see.
    ///
    /// # Errors
    /// If the script that makes them cannot be read.
    pub fn wheels(&self, recipe: &Recipe) -> Result<PathBuf, InputError> {
        Ok(self.stage("wheels", &recipe.wheels()?))
    }

    /// A module: whether it is there is for the caller to see.
    ///
    /// # Errors
    /// If one of the guest's sources cannot be read.
    pub fn artefact(&self, recipe: &Recipe, variant: Variant) -> Result<PathBuf, InputError> {
        Ok(self.stage(variant.stage(), &recipe.guest(variant)?).join(variant.file()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_variable_wins() {
        let path = |path: &str| Some(PathBuf::from(path));
        let folder = |variables| Cache::choose(variables).map(|cache| cache.folder);
        assert_eq!(folder([path("/own"), path("/xdg"), path("/home")]).unwrap(), Path::new("/own"));
        assert_eq!(folder([None, path("/xdg"), path("/home")]).unwrap(), Path::new("/xdg/vivarium"));
        assert_eq!(folder([None, None, path("/home")]).unwrap(), Path::new("/home/.cache/vivarium"));
        assert!(folder([None, None, None]).is_err());
    }

    #[test]
    fn a_relative_folder_is_not_taken() {
        let folder = Cache::choose([Some("relative".into()), Some("".into()), Some("/home".into())]);
        assert_eq!(folder.unwrap().folder, Path::new("/home/.cache/vivarium"));
    }
}
