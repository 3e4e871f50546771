//! The cross compiler.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use vivarium_guest_recipe::{options, pins};

use super::context::Context;
use super::{download, unpack};

/// zig, unpacked from its wheel.
pub(crate) struct Zig {
    program: PathBuf,
    cache: PathBuf,
}

impl Zig {
    /// Fetches and unpacks it if it is not in the cache.
    pub(crate) fn new(context: &Context) -> anyhow::Result<Self> {
        let folder = context.cache.folder().join(format!("zig-{}", pins::ZIG.version));
        if !folder.exists() {
            let wheel = download::wheel(context, &pins::ZIG)?;
            context.stage(&folder, "unpacking the compiler", |work| {
                unpack::zip(&wheel, &work.result, &context.logs().join("unpack.log"))?;
                make_executable(&work.result.join("ziglang/zig"))
            })?;
        }
        Ok(Self { program: folder.join("ziglang/zig"), cache: context.cache.folder().join("zig-cache") })
    }

    /// A call of zig's `tool`: `cc` (for the guest's target), `ar`, `ranlib`.
    pub(crate) fn tool(&self, tool: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(tool);
        if is_compiler(tool) {
            command.args(options::TARGET);
        }
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        command
    }

    /// A shell script that is `tool` as one word, for builds that cannot handle more.
    pub(crate) fn script(&self, tool: &str) -> anyhow::Result<String> {
        let program = self.program.to_str().context("the cache's path is not UTF-8")?;
        let target = if is_compiler(tool) { options::TARGET.join(" ") } else { String::new() };
        Ok(format!("#!/bin/sh\nexec '{program}' {tool} {target} \"$@\"\n"))
    }

    /// Where zig keeps the C library that it compiles on first use, and the objects of later links.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 3] {
        [
            ("ZIG_GLOBAL_CACHE_DIR", self.cache.clone()),
            ("ZIG_LOCAL_CACHE_DIR", self.cache.clone()),
            ("SOURCE_DATE_EPOCH", options::SOURCE_DATE_EPOCH.into()),
        ]
    }
}

fn is_compiler(tool: &str) -> bool {
    matches!(tool, "cc" | "c++")
}

/// Zip archives of Python wheels do not carry the permission along.
pub(crate) fn make_executable(file: &std::path::Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", file.display()))
}
