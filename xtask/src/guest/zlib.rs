//! zlib as a static library, for the native Python and for the guest's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use vivarium_guest_recipe::{options, pins};

use super::context::Context;
use super::{command, download};

/// A compiled zlib.
pub(crate) struct Zlib {
    /// The folder of `zlib.h`.
    pub(crate) include: PathBuf,
    /// The archive `libz.a`.
    pub(crate) library: PathBuf,
}

impl Zlib {
    /// Compiles zlib into `folder`. `cc` and `ar` start the tools.
    pub(crate) fn build(
        context: &Context,
        folder: &Path,
        cc: impl Fn() -> Command,
        ar: impl Fn() -> Command,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let source = download::crate_sources(context, &pins::ZLIB)?.join("src/zlib");
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let mut objects = Vec::new();
        for file in options::ZLIB_FILES {
            let object = folder.join(file).with_extension("o");
            let mut cc = cc();
            cc.args(options::ZLIB_CFLAGS).arg("-c").arg(source.join(file)).arg("-o").arg(&object);
            command::run(&mut cc, log)?;
            objects.push(object);
        }
        for header in ["zlib.h", "zconf.h"] {
            fs::copy(source.join(header), folder.join(header))
                .with_context(|| format!("cannot copy {header}"))?;
        }
        let library = folder.join("libz.a");
        command::run(ar().arg("rcs").arg(&library).args(&objects), log)?;
        Ok(Self { include: folder.to_owned(), library })
    }

    /// The variables by which CPython's configure finds it.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("ZLIB_CFLAGS", format!("-I{}", self.include.display())),
            ("ZLIB_LIBS", self.library.display().to_string()),
        ]
    }
}
