//! The last stage: our C sources, the archive of files, CPython and perhaps NumPy become a module.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use vivarium_guest_recipe::{Variant, options};

use super::context::{Context, Work};
use super::cross::Cross;
use super::numpy::Numpy;
use super::zig::Zig;
use super::{command, native, python, source, stdlib};

/// Builds a module if it is not in the cache, and returns where it is.
pub(crate) fn guest(context: &Context, variant: Variant) -> anyhow::Result<PathBuf> {
    let artefact = context.cache.artefact(&context.recipe, variant)?;
    if artefact.exists() {
        return Ok(artefact);
    }
    let interpreter = native::python(context)?;
    let (cross, zig) = (Cross::build(context)?, Zig::new(context)?);
    let mut trees = vec![stdlib::tree(context, &cross)?];
    let mut libraries: Vec<PathBuf> = cross.libraries().collect();
    let mut options = options::LINK.to_vec();
    if variant == Variant::NumPy {
        let numpy = Numpy::build(context, &cross)?;
        trees.push(numpy.tree());
        libraries.push(numpy.object());
        options.extend(options::LINK_NUMPY);
    }
    let headers = source::python(context)?.join("Include");
    let title = match variant {
        Variant::Plain => "linking the guest",
        Variant::NumPy => "linking the guest with NumPy",
    };
    let folder = context.digested_stage(
        variant.stage(),
        |recipe| recipe.guest(variant),
        title,
        |work| {
            let log = context.logs().join("link.log");
            let archive = work.scratch.join("archive");
            let mut pack = python::script(context, &interpreter, "pack.py");
            pack.arg(&archive);
            context.recipe.packages(variant).iter().for_each(|folder| {
                pack.arg("--packages").arg(folder);
            });
            trees.iter().for_each(|tree| {
                pack.arg("--tree").arg(tree);
            });
            command::run(&mut pack, &log)?;

            let compiler = Compiler { context, variant, zig: &zig, work, headers, cross: &cross, archive };
            let objects = compiler.objects(&log)?;
            let linked = work.scratch.join("linked.wasm");
            let mut link = zig.tool("cc");
            link.args(&objects).args(&libraries).args(&options).arg("-o").arg(&linked);
            command::run(&mut link, &log)?;
            let mut strip = python::script(context, &interpreter, "strip.py");
            strip.arg(&linked).arg(work.result.join(variant.file()));
            command::run(&mut strip, &log)
        },
    )?;
    Ok(folder.join(variant.file()))
}

struct Compiler<'a> {
    context: &'a Context,
    variant: Variant,
    zig: &'a Zig,
    work: &'a Work,
    headers: PathBuf,
    cross: &'a Cross,
    archive: PathBuf,
}

impl Compiler<'_> {
    /// Compiles all C files, as many at once as there are processors. Objects come back in the
    /// order of the files.
    fn objects(&self, log: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let files = self.context.recipe.c_files(self.variant)?;
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        let object = |index: usize| self.work.scratch.join(format!("{index}.o"));
        let compile_all = || {
            while let Some((index, file)) = {
                let index = next.fetch_add(1, Ordering::Relaxed);
                files.get(index).map(|file| (index, file))
            } {
                if let Err(error) = command::run(&mut self.command(file, &object(index)), log) {
                    next.store(files.len(), Ordering::Relaxed);
                    *failure.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) =
                        Some(error.context(format!("cannot compile {}", file.display())));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.context.jobs {
                scope.spawn(compile_all);
            }
        });
        match failure.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            Some(error) => Err(error),
            None => Ok((0..files.len()).map(object).collect()),
        }
    }

    fn command(&self, file: &Path, object: &Path) -> Command {
        let folder = self.context.recipe.folder();
        let mut cc = self.zig.tool("cc");
        cc.args(options::GUEST_CFLAGS)
            // File names in messages are those inside of the repository.
            .arg(format!("-ffile-prefix-map={}/=", folder.display()))
            .arg(format!("-DVIVARIUM_SOURCE_DATE_EPOCH={}", options::SOURCE_DATE_EPOCH))
            .arg(format!("-DVIVARIUM_ARCHIVE=\"{}\"", self.archive.display()));
        for include in [folder.join("filesystem"), self.cross.include(), self.headers.clone()] {
            cc.arg("-I").arg(include);
        }
        cc.arg("-c").arg(folder.join(file)).arg("-o").arg(object);
        cc
    }
}
