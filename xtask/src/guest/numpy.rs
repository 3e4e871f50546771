//! NumPy for WASI: one object with its extension modules, and its Python files as bytecode.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use vivarium_guest_recipe::{Recipe, options, pins};

use super::context::{Context, Work};
use super::cross::Cross;
use super::zig::{Zig, make_executable};
use super::{command, download, native, python, source, unpack};

/// NumPy, ready to be linked.
pub(crate) struct Numpy {
    folder: PathBuf,
}

impl Numpy {
    /// Builds it if it is not in the cache.
    pub(crate) fn build(context: &Context, cross: &Cross) -> anyhow::Result<Self> {
        let backend = context.recipe.toolchain("numpy");
        let build = Build {
            context,
            interpreter: native::python(context)?,
            headers: source::python(context)?.join("Include"),
            configuration: cross.include(),
            zig: Zig::new(context)?,
            source: download::sdist(context, &pins::NUMPY, &backend)?,
            cython: download::wheel(context, &pins::CYTHON)?,
            ninja: download::wheel(context, &pins::NINJA)?,
            log: context.logs().join("numpy.log"),
        };
        let folder =
            context.digested_stage("numpy", Recipe::numpy, "building NumPy", |work| build.run(work))?;
        Ok(Self { folder })
    }

    /// What to link.
    pub(crate) fn object(&self) -> PathBuf {
        self.folder.join(OBJECT)
    }

    /// The tree of files below the guest's root.
    pub(crate) fn tree(&self) -> PathBuf {
        self.folder.join(TREE)
    }
}

const OBJECT: &str = "numpy.o";
const TREE: &str = "tree";

struct Build<'a> {
    context: &'a Context,
    interpreter: PathBuf,
    headers: PathBuf,
    configuration: PathBuf,
    zig: Zig,
    source: PathBuf,
    cython: PathBuf,
    ninja: PathBuf,
    log: PathBuf,
}

impl Build<'_> {
    fn run(&self, work: &Work) -> anyhow::Result<()> {
        let scratch = &work.scratch;
        unpack::tar(&self.source, scratch, &self.log)?;
        let source = scratch.join(pins::NUMPY_FOLDER);
        command::run(
            python::script(self.context, &self.interpreter, "adjust_numpy.py").arg(&source),
            &self.log,
        )?;
        self.write_tools(scratch)?;
        fs::write(scratch.join("cross.ini"), self.cross_file()?)?;

        let build = scratch.join("build");
        let mut setup = self.tool(&self.interpreter, scratch, scratch)?;
        setup
            .arg("-B")
            .arg(source.join("vendored-meson/meson/meson.py"))
            .arg("setup")
            .args(["--cross-file", "cross.ini"])
            .args(options::NUMPY_SETUP)
            .args([pins::NUMPY_FOLDER, "build"]);
        command::run(&mut setup, &self.log)?;

        let modules = self.modules()?;
        let mut ninja = self.tool(Path::new("ninja"), scratch, &build)?;
        ninja.args(["-j", &self.context.jobs.to_string()]).args(&modules);
        command::run(&mut ninja, &self.log)?;
        self.link(&build, &modules, &work.result.join(OBJECT))?;

        let mut compile = python::script(self.context, &self.interpreter, "numpy_tree.py");
        compile.arg(&source).arg(&build).arg(work.result.join(TREE));
        command::run(&mut compile, &self.log)
    }

    /// The build's tools, in a folder that goes onto the PATH, and CPython's headers for the guest.
    fn write_tools(&self, scratch: &Path) -> anyhow::Result<()> {
        let (bin, include) = (scratch.join("bin"), scratch.join("include"));
        command::run(Command::new("cp").arg("-R").arg(&self.headers).arg(&include), &self.log)?;
        fs::copy(self.configuration.join("pyconfig.h"), include.join("pyconfig.h"))?;
        unpack::zip(&self.cython, &scratch.join("cython"), &self.log)?;
        unpack::zip(&self.ninja, &scratch.join("ninja"), &self.log)?;
        fs::create_dir(&bin)?;
        let data = format!("ninja/ninja-{}.data/scripts/ninja", pins::NINJA.version);
        fs::copy(scratch.join(data), bin.join("ninja"))?;

        let driver = self.context.recipe.toolchain("numpy/compiler.sh");
        for (tool, flags) in [("cc", &[][..]), ("c++", options::NUMPY_CXXFLAGS)] {
            fs::write(bin.join(format!("zig-{tool}")), self.zig.script(tool)?)?;
            let flags: Vec<&str> = [options::CROSS_CFLAGS, options::NUMPY_CFLAGS, flags]
                .into_iter()
                .flatten()
                .copied()
                .collect();
            let script = format!(
                "#!/bin/sh\nexec sh '{}' '{}' zig-{tool} {} \"$@\"\n",
                driver.display(),
                include.display(),
                flags.join(" ")
            );
            fs::write(bin.join(format!("wasm32-wasip1-{tool}")), script)?;
        }
        fs::write(bin.join("wasm32-wasip1-ar"), self.zig.script("ar")?)?;
        let cython = format!(
            "#!/bin/sh\nPYTHONPATH='{}' exec '{}' -B -m cython \"$@\"\n",
            scratch.join("cython").display(),
            self.interpreter.display()
        );
        fs::write(bin.join("cython"), cython)?;
        for tool in fs::read_dir(&bin)? {
            make_executable(&tool?.path())?;
        }
        Ok(())
    }

    /// What NumPy's build has to know about the guest. Its tools are found on the PATH.
    fn cross_file(&self) -> anyhow::Result<String> {
        let mut text = String::from("[binaries]\n");
        for (name, tool) in [("c", "cc"), ("cpp", "c++"), ("ar", "ar")] {
            writeln!(text, "{name} = 'wasm32-wasip1-{tool}'")?;
        }
        writeln!(text, "python = '{}'", self.interpreter.display())?;
        // Nothing of this machine may be found.
        text.push_str("pkg-config = 'false'\nstrip = 'true'\n");
        text.push_str("[properties]\nneeds_exe_wrapper = true\nskip_sanity_check = true\n");
        text.push_str("longdouble_format = 'IEEE_QUAD_LE'\n");
        text.push_str(
            "[host_machine]\nsystem = 'wasi'\ncpu_family = 'wasm32'\ncpu = 'wasm32'\nendian = 'little'\n",
        );
        Ok(text)
    }

    /// The modules' files, which are named for this machine's Python.
    fn modules(&self) -> anyhow::Result<Vec<String>> {
        let mut suffix = Command::new(&self.interpreter);
        suffix.args(["-I", "-c", "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))"]);
        let suffix = command::output(&mut suffix)?;
        Ok(options::NUMPY_MODULES.iter().map(|module| format!("{module}{}", suffix.trim())).collect())
    }

    /// Makes one object of what the modules consist of: objects, and libraries that several share.
    fn link(&self, build: &Path, modules: &[String], object: &Path) -> anyhow::Result<()> {
        let (mut objects, mut libraries) = (BTreeSet::new(), BTreeSet::new());
        for module in modules {
            let arguments = fs::read_to_string(build.join(module))
                .with_context(|| format!("{module} is not the list of its objects"))?;
            for argument in arguments.lines().map(str::to_owned) {
                match Path::new(&argument).extension().and_then(std::ffi::OsStr::to_str) {
                    Some("o") => objects.insert(argument),
                    Some("a") => libraries.insert(argument),
                    _ => false,
                };
            }
        }
        let mut link = self.zig.tool("wasm-ld");
        link.args(options::NUMPY_LINK).args(objects).args(libraries).arg("-o").arg(object);
        command::run(link.current_dir(build), &self.log)
    }

    /// A command in `folder` that finds the tools and zig's cache.
    fn tool(&self, program: &Path, scratch: &Path, folder: &Path) -> anyhow::Result<Command> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path =
            std::env::join_paths(std::iter::once(scratch.join("bin")).chain(std::env::split_paths(&path)))
                .context("the cache's path contains a colon")?;
        let mut command = Command::new(program);
        command.env("PATH", path).envs(self.zig.environment()).env_remove("PYTHONPATH").current_dir(folder);
        // The build follows these if they are set.
        for variable in ["CC", "CXX", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "CYTHON", "NINJA"] {
            command.env_remove(variable);
        }
        Ok(command)
    }
}
