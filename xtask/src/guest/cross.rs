//! CPython's libraries for WASI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use vivarium_guest_recipe::{Recipe, options, pins};

use super::context::{Context, Work};
use super::zig::{Zig, make_executable};
use super::zlib::Zlib;
use super::{command, native, source};

/// The libraries, headers and build variables of CPython for WASI.
pub(crate) struct Cross {
    folder: PathBuf,
}

impl Cross {
    /// Builds them if they are not in the cache.
    pub(crate) fn build(context: &Context) -> anyhow::Result<Self> {
        let (python, source, zig) = (native::python(context)?, source::python(context)?, Zig::new(context)?);
        let log = context.logs().join("cross.log");
        let folder = context.digested_stage("cross", Recipe::cross, "building CPython for WASI", |work| {
            Build { context, work, python, source, zig, log }.run()
        })?;
        Ok(Self { folder })
    }

    /// The folder with `pyconfig.h`.
    pub(crate) fn include(&self) -> PathBuf {
        self.folder.join("include")
    }

    /// What to link: CPython as one object, and zlib.
    pub(crate) fn libraries(&self) -> impl Iterator<Item = PathBuf> + '_ {
        [CPYTHON, "libz.a"].iter().map(|library| self.folder.join("lib").join(library))
    }

    /// The guest's `_sysconfigdata` module.
    pub(crate) fn sysconfigdata(&self) -> PathBuf {
        self.folder.join(SYSCONFIGDATA)
    }
}

const CPYTHON: &str = "cpython.o";
const SYSCONFIGDATA: &str = "_sysconfigdata__wasi_wasm32-wasi.py";

struct Build<'a> {
    context: &'a Context,
    work: &'a Work,
    python: PathBuf,
    source: PathBuf,
    zig: Zig,
    log: PathBuf,
}

impl Build<'_> {
    fn run(&self) -> anyhow::Result<()> {
        let zlib = Zlib::build(
            self.context,
            &self.work.scratch.join("zlib"),
            || self.zig.tool("cc"),
            || self.zig.tool("ar"),
            &self.log,
        )?;
        // The paths that CPython compiles in are relative to the build folder, and so always the same.
        let build = self.work.scratch.join("build");
        fs::create_dir(&build)?;
        self.copy_source()?;
        // Found from the build folder by the relative path in the options.
        fs::copy(self.context.recipe.profile(), self.work.scratch.join("cpython.profdata"))?;
        self.write_scripts()?;
        let triple = command::output(Command::new("sh").arg(self.source.join("config.guess")))?;
        let triple = triple.trim();
        self.configure(&build, triple, &zlib)?;

        let mut make = self.tool(Path::new("make"), &build)?;
        make.args(["-s", "-j", &self.context.jobs.to_string()])
            .args(options::CROSS_LIBRARIES)
            .arg("pybuilddir.txt");
        command::run(&mut make, &self.log)?;
        self.collect(&build, triple, &zlib)
    }

    /// The source with the guest's changes.
    fn copy_source(&self) -> anyhow::Result<()> {
        let mut copy = Command::new("cp");
        copy.arg("-R").arg(&self.source).arg(&self.work.scratch);
        command::run(&mut copy, &self.log)?;
        let mut adjust = Command::new(&self.python);
        adjust.args(["-I", "-B"]).arg(self.context.recipe.toolchain("adjust.py"));
        command::run(adjust.arg(self.work.scratch.join(pins::PYTHON_FOLDER)), &self.log)
    }

    /// zig's tools under one-word names, in a folder that goes onto the PATH.
    fn write_scripts(&self) -> anyhow::Result<()> {
        let bin = self.work.scratch.join("bin");
        fs::create_dir(&bin)?;
        for tool in ["cc", "c++", "ar", "ranlib"] {
            let script = bin.join(format!("wasm32-wasip1-{tool}"));
            fs::write(&script, self.zig.script(tool)?)?;
            make_executable(&script)?;
        }
        Ok(())
    }

    fn configure(&self, build: &Path, triple: &str, zlib: &Zlib) -> anyhow::Result<()> {
        let sites = [
            Path::new("..").join(pins::PYTHON_FOLDER).join("Tools/wasm/config.site-wasm32-wasi"),
            self.context.recipe.toolchain("config.site"),
        ];
        let sites = sites.map(|site| site.display().to_string()).join(" ");
        let mut configure = self.tool(&Path::new("..").join(pins::PYTHON_FOLDER).join("configure"), build)?;
        configure
            .args(options::CROSS_CONFIGURE)
            .arg(format!("--build={triple}"))
            .arg(format!("--with-build-python={}", self.python.display()))
            .env("CONFIG_SITE", sites)
            .env("CFLAGS", options::CROSS_CFLAGS.join(" "))
            .env("CFLAGS_NODIST", options::CROSS_OPTIMISATION.join(" "))
            .env("CC", "wasm32-wasip1-cc")
            .env("CXX", "wasm32-wasip1-c++")
            .env("CPP", "wasm32-wasip1-cc -E")
            .env("AR", "wasm32-wasip1-ar")
            .env("RANLIB", "wasm32-wasip1-ranlib")
            // Nothing of this machine may be found.
            .env("PKG_CONFIG", "false")
            .envs(zlib.environment());
        command::run(&mut configure, &self.log)
    }

    /// A command in the build folder that finds the scripts and zig's cache.
    fn tool(&self, program: &Path, build: &Path) -> anyhow::Result<Command> {
        let bin = self.work.scratch.join("bin");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path)))
            .context("the cache's path contains a colon")?;
        let mut command = Command::new(program);
        command.env("PATH", path).envs(self.zig.environment()).env_remove("PYTHONPATH").current_dir(build);
        Ok(command)
    }

    /// Link-time optimisation, which takes a minute: done here, once, so that linking the guest after a
    /// change of the bridge or of a Python file takes a second.
    fn optimise(&self, build: &Path, object: &Path) -> anyhow::Result<()> {
        let mut link = self.zig.tool("wasm-ld");
        link.args(options::CROSS_LINK).args(options::CROSS_LIBRARIES).arg("-o").arg(object);
        command::run(link.current_dir(build), &self.log)
    }

    fn collect(&self, build: &Path, triple: &str, zlib: &Zlib) -> anyhow::Result<()> {
        let (include, lib) = (self.work.result.join("include"), self.work.result.join("lib"));
        fs::create_dir(&include)?;
        fs::create_dir(&lib)?;
        fs::copy(build.join("pyconfig.h"), include.join("pyconfig.h"))?;
        self.optimise(build, &lib.join(CPYTHON))?;
        fs::copy(&zlib.library, lib.join("libz.a"))?;
        let folder = fs::read_to_string(build.join("pybuilddir.txt"))?;
        let mut filter = Command::new(&self.python);
        filter
            .args(["-I", "-B"])
            .arg(self.context.recipe.toolchain("sysconfigdata.py"))
            .arg(build.join(folder.trim()).join(SYSCONFIGDATA))
            .arg(self.work.result.join(SYSCONFIGDATA))
            .arg(self.context.cache.folder())
            .arg(self.context.recipe.folder())
            .arg(triple);
        command::run(&mut filter, &self.log)
    }
}
