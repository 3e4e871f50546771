//! What can go wrong with packages.

use std::io;
use std::path::PathBuf;

use crate::archive::ArchiveError;

use super::{provided, target};

/// Why packages cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackagesError {
    /// A value of the configuration cannot be used.
    #[error("in the configuration, `{key}` {problem}")]
    Value {
        /// Dotted name of the key.
        key: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// The cache directory cannot be used.
    #[error(transparent)]
    Store(#[from] PackageStoreError),
}

/// Why the directory of wheels cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageStoreError {
    /// A file operation failed.
    #[error("{operation} `{}` failed: {source}", path.display())]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else could change what functions import.
    #[error("`{}` must belong to this user and be closed to all others (it has owner {owner}, mode {mode:o})", path.display())]
    Untrusted {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
}

/// Whose fault a failure is: whether the same request can succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request asks for what cannot be had.
    Request,
    /// The request is beyond a limit.
    Limit,
    /// The server, its index or the network fails.
    Host,
}

/// Why a function does not get the packages it asks for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// Packages are switched off.
    #[error(
        "this server gives functions no packages (packages.enabled is false); the sandbox has, without any: {}",
        provided::list()
    )]
    Disabled,
    /// A requirement cannot be read.
    #[error("`{requirement}` is not a requirement (PEP 508): {problem}")]
    Requirement {
        /// Its text, cut.
        requirement: String,
        /// What is wrong.
        problem: String,
    },
    /// A requirement names a place instead of a package.
    #[error(
        "the requirement `{requirement}` is {kind}: packages are asked for by name, and come from the server's \
         own indexes"
    )]
    Source {
        /// Its text, cut.
        requirement: String,
        /// What it names.
        kind: &'static str,
    },
    /// The metadata in a script cannot be used.
    #[error("the script metadata in line {line} cannot be used: {problem}")]
    InlineMetadata {
        /// Where, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A script excludes the sandbox's Python.
    #[error("the script needs Python {requested}; the sandbox has Python {available}")]
    RequiresPython {
        /// What it needs.
        requested: String,
        /// What there is.
        available: String,
    },
    /// The operator does not allow a package.
    #[error(
        "the package {name}{} is not allowed here ({key} of the server)",
        if *.needed_by_another { ", which another one needs," } else { "" }
    )]
    NotAllowed {
        /// Its name.
        name: String,
        /// The key of the configuration that decides.
        key: &'static str,
        /// Whether no requirement names it.
        needed_by_another: bool,
    },
    /// Something in the interpreter is asked for in a version that it does not have.
    #[error("the sandbox has {name} {available}; `{requested}` is not available")]
    BuiltInVersion {
        /// The package.
        name: String,
        /// The version there is.
        available: &'static str,
        /// What was asked for.
        requested: String,
    },
    /// Packages exist only with native code.
    #[error("{}", native(.names, .requested))]
    NativeCode {
        /// Their names.
        names: Vec<String>,
        /// All requirements of the function.
        requested: String,
    },
    /// No choice of versions meets all requirements.
    #[error("no versions of packages meet the requirements {requested}: {report}")]
    NoSolution {
        /// All requirements of the function.
        requested: String,
        /// The resolver's reasoning, cut.
        report: String,
    },
    /// A limit of the configuration was met.
    #[error("{what} {requested}; limit {limit_name} is {limit}")]
    Limit {
        /// What is too much, such as `the function's packages are`.
        what: String,
        /// Dotted name of the limit.
        limit_name: &'static str,
        /// What is allowed.
        limit: u64,
        /// What was met, with its unit.
        requested: String,
    },
    /// The resolver is not installed.
    #[error("packages cannot be resolved: the server has no program `{}` (packages.resolver)", program.display())]
    NoResolver {
        /// What was looked for.
        program: PathBuf,
    },
    /// The resolver took too long.
    #[error("resolving {requested} took longer than packages.resolve_timeout_s, {limit_s} s")]
    ResolveTimeout {
        /// All requirements of the function.
        requested: String,
        /// Seconds allowed.
        limit_s: u64,
    },
    /// The index did not answer.
    #[error("the server's package index cannot be asked now; the server's log says why")]
    Index,
    /// The resolver failed or answered what we cannot read.
    #[error("the resolver (packages.resolver) failed: {problem}; the server's log has its output")]
    Resolver {
        /// What happened.
        problem: String,
    },
    /// There is nothing to compare a wheel with.
    #[error("the resolver (packages.resolver) knows no SHA-256 of {package}")]
    NoHash {
        /// Name and version.
        package: String,
    },
    /// A wheel cannot be downloaded.
    #[error("the wheel of {package} cannot be downloaded: {problem}")]
    Download {
        /// Name and version.
        package: String,
        /// Why, without addresses.
        problem: String,
    },
    /// A wheel is not the one that the index described.
    #[error("the wheel of {package} has the SHA-256 {actual}; {expected} was published")]
    Hash {
        /// Name and version.
        package: String,
        /// What was published.
        expected: String,
        /// What was received.
        actual: String,
    },
    /// A wheel cannot be used.
    #[error("the wheel of {package} cannot be used: {problem}")]
    Wheel {
        /// Name and version.
        package: String,
        /// Why.
        problem: WheelProblem,
    },
    /// Two packages contradict each other.
    #[error(
        "the packages {first} and {second} cannot be used together: `{path}` is a file of one and a folder of the other"
    )]
    Conflict {
        /// The one with the file.
        first: String,
        /// The one with the folder.
        second: String,
        /// The path.
        path: String,
    },
    /// The cache directory failed.
    #[error("the server's cache of packages cannot be used: {0}")]
    Store(#[from] PackageStoreError),
}

/// What is wrong with a wheel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WheelProblem {
    /// The archive itself.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Not exactly one `.dist-info` folder, or one for something else.
    #[error("expected one folder `{expected}`, found {found}")]
    Metadata {
        /// The folder that names and version ask for.
        expected: String,
        /// What there is.
        found: String,
    },
    /// A file that every wheel has is missing, or is not text.
    #[error("`{path}` is missing or is not text")]
    Missing {
        /// The file.
        path: String,
    },
    /// The `WHEEL` file excludes the sandbox.
    #[error("its WHEEL file says `{field}: {value}`, which the sandbox cannot use")]
    Tag {
        /// The header.
        field: String,
        /// Its value.
        value: String,
    },
    /// A file with machine code.
    #[error("`{path}` is native code, which the sandbox cannot load")]
    NativeCode {
        /// The file.
        path: String,
    },
    /// A module that would take the place of one of the sandbox.
    #[error("`{path}` would take the place of the sandbox's own module `{module}`")]
    Shadows {
        /// The file or folder.
        path: String,
        /// The module.
        module: String,
    },
    /// `RECORD` cannot be read.
    #[error("line {line} of its RECORD cannot be read")]
    Record {
        /// Where, from 1.
        line: usize,
    },
    /// A file is not what `RECORD` says.
    #[error("`{path}` {problem}")]
    File {
        /// The file.
        path: String,
        /// How it differs.
        problem: &'static str,
    },
    /// Files of the wheel take each other's place once installed.
    #[error("`{path}` is there twice once it is installed")]
    Twice {
        /// The path.
        path: String,
    },
}

impl PackageError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Limit { .. } => Fault::Limit,
            Self::NoResolver { .. }
            | Self::ResolveTimeout { .. }
            | Self::Index
            | Self::Resolver { .. }
            | Self::Download { .. }
            | Self::Hash { .. }
            | Self::Store(_) => Fault::Host,
            _ => Fault::Request,
        }
    }
}

fn native(names: &[String], requested: &str) -> String {
    let pyarrow = if names.iter().any(|name| name == "pyarrow") {
        "; its type functions, for declarations, need no package"
    } else {
        ""
    };
    format!(
        "{} cannot be used: no version that {requested} allows has a pure-Python wheel (py3-none-any) for \
         Python {}; the sandbox loads no native code, and nothing is built from source; the sandbox itself \
         provides {}{pyarrow}",
        names.join(", "),
        target::minor_version(),
        provided::list()
    )
}
