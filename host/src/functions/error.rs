//! What can go wrong in the service. [`crate::status`] maps these to gRPC codes.

use std::path::PathBuf;
use std::sync::Arc;

use vivarium_runtime::{BuildError, CallError, ForkError};

use crate::config::UnknownClass;
use crate::environment::EnvironmentError;
use crate::imports::{ImportError, ImportsError};
use crate::packages::{PackageError, PackagesError};
use crate::tls::TenantRefused;
use crate::token::key_file::KeyFileError;
use crate::token::{IssueError, TokenError};
use crate::workers::WorkerError;

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The state directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file of the token keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// Packages cannot be served as configured.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// Imports cannot be served as configured.
    #[error(transparent)]
    Imports(#[from] ImportsError),
    /// The file of environments cannot be used.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// The operating system refused a thread.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// Why something could not be read from or written to the state directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory cannot be used.
    #[error("cannot use the state directory {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written or removed.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others could have written it.
    #[error("{} is not used: {problem}", path.display())]
    Untrusted {
        /// The file or directory.
        path: PathBuf,
        /// Whose it is.
        problem: Untrusted,
    },
    /// The work was given up because the server is shutting down.
    #[error("the server is shutting down")]
    Interrupted,
}

/// A file or directory of the state directory is open to others, or another user's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("others can reach it (owner {owner}, mode {mode:04o})")]
pub struct Untrusted {
    /// Its owner.
    pub owner: u32,
    /// Its permission bits.
    pub mode: u32,
}

/// Why a function was not provisioned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// A name cannot be used.
    #[error("the {what} name cannot be used: {problem} (1 to {limit} bytes without control characters)")]
    Name {
        /// Whose name: `tenant` or `function`.
        what: &'static str,
        /// What is wrong with it.
        problem: &'static str,
        /// Longest name, in bytes.
        limit: usize,
    },
    /// There is no token for it: a name does not fit into one.
    #[error(transparent)]
    Token(#[from] IssueError),
    /// The code and its environment are too large.
    #[error("the code and its environment are {requested} bytes; limit build_limits.code_bytes is {limit}")]
    CodeTooLarge {
        /// Bytes allowed.
        limit: u64,
        /// Bytes given.
        requested: u64,
    },
    /// A requirement cannot be read, or packages are not allowed.
    #[error(transparent)]
    Packages(#[from] PackageError),
    /// An import cannot be fetched, whatever its server says.
    #[error(transparent)]
    Imports(#[from] ImportError),
    /// The tenant has as many versions of functions as it may.
    #[error(
        "the tenant has {limit} versions of functions whose tokens are alive, and asks for one more; limit \
         tenants.max_functions is {limit}; retry in {retry_s} s, when the first token has expired"
    )]
    TooManyOfTenant {
        /// Versions allowed.
        limit: usize,
        /// Seconds until one of them may give way.
        retry_s: u64,
    },
    /// The tenant has used its fuel.
    #[error(transparent)]
    Fuel(#[from] FuelUsedUp),
    /// All tenants together have as many versions of functions as they may.
    #[error(
        "the server holds {limit} versions of functions, and is asked for one more; limit \
         tenants.max_functions_of_all is {limit}; retry when another tenant has dropped some"
    )]
    TooManyOfAll {
        /// Versions allowed.
        limit: usize,
    },
    /// The function could not be kept. Where and why is for the server's log, not for callers.
    #[error("the function could not be kept; the server's log says why")]
    Store(#[source] StoreError),
    /// Its image cannot be built now.
    #[error("the image cannot be built now: {0}")]
    Worker(#[from] WorkerError),
}

/// Why a call was refused before it reached a sandbox.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallRefused {
    /// The token does not permit it.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The client's certificate does not permit it.
    #[error(transparent)]
    Certificate(#[from] TenantRefused),
    /// The tenant has no such function. The wording is what engines expect.
    #[error("Function {function} does not exist")]
    Unknown {
        /// The function that was named.
        function: String,
    },
    /// The function's worker is suspended.
    #[error("worker {worker} is suspended; resume it to call its function")]
    Suspended {
        /// The worker.
        worker: String,
    },
    /// The version that the token permits is gone.
    #[error("the version of function {function} that the token permits is gone; provision it again")]
    Retired {
        /// The function.
        function: String,
    },
}

/// Why an image could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// The code failed, or met a limit.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A package is not to be had.
    #[error(transparent)]
    Packages(#[from] PackageError),
    /// An imported file is not to be had.
    #[error(transparent)]
    Imports(#[from] ImportError),
    /// The code is not among the imports.
    #[error("the code is `{location}`, which is not among the imports")]
    NoCode {
        /// Where the code was said to be.
        location: String,
    },
    /// The code is not text.
    #[error("the code in `{location}` is not UTF-8 at byte {at}")]
    CodeNotText {
        /// Where the code is.
        location: String,
        /// The first byte that is not UTF-8.
        at: usize,
    },
    /// The environment of an older version is gone: it is never written to disk.
    #[error("the environment of this function has changed since it was provisioned; provision it again")]
    EnvironmentChanged,
}

/// Why there is no image.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// It could not be built.
    #[error("{0}")]
    Prepare(Arc<PrepareError>),
    /// It takes longer than a call may wait.
    #[error("the function's image was not ready within {waited_s} s (limit server.image_wait_s)")]
    NotReady {
        /// Seconds waited.
        waited_s: u64,
    },
    /// It cannot be built now.
    #[error("the image cannot be built now: {0}")]
    Worker(#[from] WorkerError),
}

/// Why there is no place for a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// None became free in time.
    #[error(
        "no sandbox became free within {waited_s} s (limit server.exchange_wait_s): {name} is {limit}, {used} in use, \
         {requested} requested; retry when another exchange has ended"
    )]
    NoPlace {
        /// Seconds waited.
        waited_s: u64,
        /// What was waited for last: the name of its limit.
        name: &'static str,
        /// The limit: exchanges, or bytes of memory.
        limit: u64,
        /// What is used of it.
        used: u64,
        /// What the exchange needs of it.
        requested: u64,
    },
    /// The sandbox alone needs more than the tenant may use.
    #[error("the sandbox needs {requested} bytes of memory; limit tenants.max_memory_bytes is {limit}")]
    TenantMemory {
        /// Bytes allowed.
        limit: u64,
        /// Memory limit of the sandbox, in bytes.
        requested: u64,
    },
    /// Too many of the tenant's wait already.
    #[error(
        "{limit} exchanges of the tenant wait for a sandbox already; limit tenants.max_waiting_exchanges is \
         {limit}; retry when one has ended"
    )]
    TooManyWaiting {
        /// Exchanges that may wait.
        limit: usize,
    },
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Closed,
}

impl AdmissionError {
    /// The name of the limit that was met, if it was one.
    pub fn limit(&self) -> Option<&'static str> {
        match self {
            Self::NoPlace { name, .. } => Some(name),
            Self::TenantMemory { .. } => Some("tenants.max_memory_bytes"),
            Self::TooManyWaiting { .. } => Some("tenants.max_waiting_exchanges"),
            Self::Closed => None,
        }
    }
}

/// The tenant has used more fuel than it may, and nothing of it begins for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the tenant has used {used} units of fuel; limit tenants.fuel_per_minute is {limit}; retry in {retry_s} s"
)]
pub struct FuelUsedUp {
    /// Units allowed in a minute.
    pub limit: u64,
    /// Units used, without those that have come in again.
    pub used: u64,
    /// Seconds until there is fuel again.
    pub retry_s: u64,
}

/// Why a session could not be opened, or could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// There is no image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// There is no place.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// There is no fuel.
    #[error(transparent)]
    Fuel(#[from] FuelUsedUp),
    /// The function's resource class was taken out of the configuration.
    #[error("{0} any more; provision the function again")]
    Class(#[from] UnknownClass),
    /// The work was not done.
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

/// Why a batch has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The tenant has used its fuel.
    #[error(transparent)]
    Fuel(#[from] FuelUsedUp),
    /// There is no room for another sandbox.
    #[error(transparent)]
    Fork(#[from] ForkError),
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
}
