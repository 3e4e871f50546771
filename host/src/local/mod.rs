//! Functions over local files, without a server: what `vivarium run` does.
//!
//! [`describe`] lists the functions of a source file from inside the sandbox; [`choose`] and
//! [`bind`] settle which one runs over which columns; [`Input`] and [`Output`] are files as
//! streams of batches; [`run`] puts the batches through forks of the function's image, several at a
//! time, and hands them on in the order of the file.

mod annotation;
mod describe;
mod format;
mod input;
mod job;
mod ordered;
mod output;
mod pieces;
mod sequential;
mod signature;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use describe::{Annotation, DescribeError, Function, Parameter, ParameterKind, SyntaxError, describe};
pub use format::{Format, UnknownFormat};
pub use input::{DEFAULT_INFER_ROWS, Input, InputError};
pub use job::{Batch, Failure, Job, JobError, Totals, result_schema, run};
pub use output::{Output, OutputError};
pub use signature::{Rows, Signature, SignatureError, bind, bind_declared, choose};

/// Where the command line keeps the compiled sandbox between runs: `vivarium` in the user's cache
/// directory, if there is one.
pub fn default_cache_dir() -> Option<PathBuf> {
    let directory = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = directory("XDG_CACHE_HOME").or_else(|| directory("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("vivarium/sandbox"))
}
