//! Why imports were refused. No text here contains a URL's path or query, or a header's value.

use super::network::AddressKind;
use crate::archive::{ArchiveError, NameProblem};

/// Why imports cannot be fetched at all: found at the start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportsError {
    /// The cache directory cannot be used.
    #[error("cannot use the cache of imports in {}: {source}", path.display())]
    Cache {
        /// The directory.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of certificates cannot be read.
    #[error("cannot use imports.ca_file {}: {problem}", path.display())]
    Certificates {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        problem: String,
    },
}

/// Why a function's imports were not fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The operator does not want imports.
    #[error("imports are switched off on this server (imports.enabled)")]
    Disabled,
    /// There are too many.
    #[error("the function has {requested} imports; limit imports.max_imports is {limit}")]
    TooMany {
        /// Imports allowed.
        limit: usize,
        /// Imports of the function.
        requested: usize,
    },
    /// Together they are too large.
    #[error("the imports are {requested} bytes or more together; limit imports.total_bytes is {limit}")]
    TotalBytes {
        /// Bytes allowed.
        limit: u64,
        /// Bytes found so far.
        requested: u64,
    },
    /// One of them was refused.
    #[error("import {location}: {problem}")]
    Import {
        /// Where the user put it, escaped and shortened.
        location: String,
        /// Why it was refused.
        problem: ImportProblem,
    },
}

/// Why one import was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportProblem {
    /// Its file name cannot be used.
    #[error("its file name {0}")]
    Name(NameProblem),
    /// Its URL cannot be used.
    #[error(transparent)]
    Url(#[from] UrlProblem),
    /// A header cannot be sent.
    #[error("its header `{name}` {problem}")]
    Header {
        /// The header.
        name: String,
        /// Why.
        problem: &'static str,
    },
    /// The host has no address.
    #[error("host {host} cannot be resolved")]
    Unresolved {
        /// The host.
        host: String,
    },
    /// The host's addresses must not be reached.
    #[error("host {host} has {kind}, which imports must not reach (imports.allowed_networks)")]
    Address {
        /// The host.
        host: String,
        /// What its address is.
        kind: AddressKind,
    },
    /// The connection could not be used.
    #[error("host {host}: {problem}")]
    Connection {
        /// The host.
        host: String,
        /// What went wrong.
        problem: &'static str,
    },
    /// The server could not prove who it is, or does not speak TLS.
    #[error("host {host}: the TLS connection failed: {problem}")]
    Tls {
        /// The host.
        host: String,
        /// Why.
        problem: String,
    },
    /// Something took too long.
    #[error("host {host}: {what} took more than {limit_s} s (limit imports.{limit})")]
    Timeout {
        /// The host.
        host: String,
        /// What was waited for.
        what: &'static str,
        /// The limit.
        limit: &'static str,
        /// Its value, in seconds.
        limit_s: u64,
    },
    /// The server answered something else than the file.
    #[error("host {host} answered with status {status}")]
    Status {
        /// The host.
        host: String,
        /// The HTTP status code.
        status: u16,
    },
    /// Too many redirects.
    #[error("more than {limit} redirects (limit imports.max_redirects)")]
    Redirects {
        /// Redirects allowed.
        limit: u32,
    },
    /// A redirect leads nowhere.
    #[error("host {host} redirects without saying where to")]
    NoLocation {
        /// The host.
        host: String,
    },
    /// A redirect leads to where imports must not be fetched from.
    #[error("host {host} redirects to a place that cannot be used: {problem}")]
    Redirect {
        /// The host that redirects.
        host: String,
        /// What is wrong with the place.
        problem: UrlProblem,
    },
    /// The content is encoded, although nobody asked for it.
    #[error("host {host} sends the file in an encoding (Content-Encoding), which is not accepted")]
    ContentEncoding {
        /// The host.
        host: String,
    },
    /// The file is too large.
    #[error("it is {requested} bytes or more; limit imports.import_bytes is {limit}")]
    TooLarge {
        /// Bytes allowed.
        limit: u64,
        /// Bytes announced, or received so far.
        requested: u64,
    },
    /// The connection ended before the file did.
    #[error("host {host} closed the connection after {received} bytes, before the end of the file")]
    Truncated {
        /// The host.
        host: String,
        /// Bytes received.
        received: u64,
    },
    /// The file is another one than the function was made with.
    #[error("it changed: its tag says {what} {expected}, the server sent {found}")]
    Tag {
        /// What the tag is about: `ETag` or `length`.
        what: &'static str,
        /// What the tag says.
        expected: String,
        /// What the server said or sent.
        found: String,
    },
    /// It is named like an archive and cannot be used as one.
    #[error("the archive was refused: {0}")]
    Archive(#[from] ArchiveError),
}

impl ImportProblem {
    /// Whether the server is to blame and may recover, so that kept content can take its place.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unresolved { .. }
            | Self::Connection { .. }
            | Self::Timeout { .. }
            | Self::Truncated { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }
}

/// Why a URL cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlProblem {
    /// Nothing there.
    #[error("there is no URL")]
    Missing,
    /// Too long.
    #[error("the URL is {requested} bytes long; {limit} are allowed")]
    TooLong {
        /// Bytes allowed.
        limit: usize,
        /// Bytes given.
        requested: usize,
    },
    /// Not a URL, or one that readers would understand differently.
    #[error("the URL {problem}")]
    Malformed {
        /// Why.
        problem: &'static str,
    },
    /// Another protocol.
    #[error("the URL's scheme `{scheme}` is not allowed (imports.schemes: {allowed})")]
    Scheme {
        /// The scheme.
        scheme: String,
        /// The allowed ones.
        allowed: String,
    },
    /// A secret in the URL, and a way to disguise its host.
    #[error("the URL contains a user name or password")]
    UserInfo,
    /// Not in the allow-list.
    #[error("host {host}:{port} is not allowed (imports.allowed_hosts)")]
    Host {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A port that nothing allows.
    #[error("port {port} is not allowed (imports.ports, imports.allowed_hosts)")]
    Port {
        /// The port.
        port: u16,
    },
    /// A redirect that gives up TLS.
    #[error("the redirect leads from https to http")]
    Downgrade,
}
