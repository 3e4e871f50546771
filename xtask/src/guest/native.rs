//! CPython for this machine: the cross build needs exactly its version, the standard library is
//! compiled by it, and benchmarks and tests use it as a peer and as a client.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, ensure};
use vivarium_guest_recipe::options;

use super::context::Context;
use super::zlib::Zlib;
use super::{command, download, source};

/// The interpreter, built if it is not in the cache.
pub(crate) fn python(context: &Context) -> anyhow::Result<PathBuf> {
    let destination = context.cache.native(&context.recipe);
    let interpreter = destination.join("bin/python3.13");
    if interpreter.exists() {
        return Ok(interpreter);
    }
    let source = source::python(context)?;
    context.stage(&destination, "building Python for this machine", |work| {
        for tool in ["cc", "ar", "make"] {
            ensure!(
                download::is_installed(tool),
                "`{tool}` is not installed: a C compiler and make are needed"
            );
        }
        let log = context.logs().join("native.log");
        let cc = || {
            let mut cc = Command::new("cc");
            cc.arg("-fPIC");
            cc
        };
        let zlib = Zlib::build(context, &work.scratch.join("zlib"), cc, || Command::new("ar"), &log)?;
        let build = work.scratch.join("build");
        std::fs::create_dir(&build)?;
        let mut configure = Command::new(source.join("configure"));
        configure
            .arg(format!("--prefix={}", destination.display()))
            .args(options::NATIVE_CONFIGURE)
            .envs(zlib.environment())
            .current_dir(&build);
        command::run(&mut configure, &log)?;
        command::run(
            Command::new("make").args(["-s", "-j", &context.jobs.to_string()]).current_dir(&build),
            &log,
        )?;
        // Installed into a folder of its own first: the prefix inside it becomes the stage.
        let staged = work.scratch.join("staged");
        let mut install = Command::new("make");
        install.args(["-s", "install"]).arg(format!("DESTDIR={}", staged.display())).current_dir(&build);
        command::run(&mut install, &log)?;
        let installed =
            staged.join(destination.strip_prefix("/").context("the cache's path is not absolute")?);
        std::fs::remove_dir(&work.result)?;
        std::fs::rename(&installed, &work.result).context("cannot collect the installed files")
    })?;
    Ok(interpreter)
}
