//! The standard library and the time zones, as the guest carries them.

use std::path::PathBuf;

use vivarium_guest_recipe::{Recipe, pins};

use super::context::Context;
use super::cross::Cross;
use super::{command, download, native, python, source};

/// The tree of files below the guest's root, built if it is not in the cache.
pub(crate) fn tree(context: &Context, cross: &Cross) -> anyhow::Result<PathBuf> {
    let (interpreter, source) = (native::python(context)?, source::python(context)?);
    let tzdata = download::wheel(context, &pins::TZDATA)?;
    context.digested_stage("stdlib", Recipe::stdlib, "compiling the standard library", |work| {
        let mut compile = python::script(context, &interpreter, "stdlib.py");
        compile.arg(source.join("Lib")).arg(cross.sysconfigdata()).arg(&tzdata).arg(&work.result);
        command::run(&mut compile, &context.logs().join("stdlib.log"))
    })
}
