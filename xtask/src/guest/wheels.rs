//! The wheels that a server brings itself, made from pinned source distributions.

use std::path::PathBuf;
use std::process::Command;

use vivarium_guest_recipe::{Recipe, pins};

use super::context::Context;
use super::{command, download, native, unpack};

/// Makes the wheels if they are not in the cache, and returns their folder.
pub(crate) fn build(context: &Context) -> anyhow::Result<PathBuf> {
    let folder = context.cache.wheels(&context.recipe)?;
    if folder.exists() {
        return Ok(folder);
    }
    let interpreter = native::python(context)?;
    let log = context.logs().join("wheels.log");
    let setuptools = download::wheel(context, &pins::SETUPTOOLS)?;
    let backend = context.cache.folder().join(format!("setuptools-{}", pins::SETUPTOOLS.version));
    context.stage(&backend, "unpacking setuptools", |work| unpack::zip(&setuptools, &work.result, &log))?;
    let mut sources = Vec::new();
    for pin in &pins::PURE_PARTS {
        sources.push(download::sdist(context, pin, &backend)?);
    }
    context.digested_stage("wheels", Recipe::wheels, "making the wheels", |work| {
        let mut build = Command::new(&interpreter);
        build.arg(context.recipe.wheels_script()).arg(&work.result).args(&sources);
        command::run(&mut build, &log)
    })
}
