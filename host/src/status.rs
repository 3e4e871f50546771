//! The single mapping from this program's errors to gRPC statuses.
//!
//! | what happened | code |
//! |---|---|
//! | the function raised, its code does not compile, a value does not fit, the request is malformed, the function is unknown | `INVALID_ARGUMENT` |
//! | a limit was met: fuel, memory, recursion, sizes, quotas, places | `RESOURCE_EXHAUSTED` |
//! | the deadline passed, or something was waited for too long | `DEADLINE_EXCEEDED` |
//! | no token, or one that is malformed, forged, expired, of a key that is gone or for another audience | `UNAUTHENTICATED` |
//! | a good token, for another tenant or function; a client's certificate that is for other tenants; a package or an address that the operator does not allow | `PERMISSION_DENIED` |
//! | the token's version is gone | `NOT_FOUND` |
//! | the function's worker is suspended | `FAILED_PRECONDITION` |
//! | not supported | `UNIMPLEMENTED` |
//! | cancelled | `CANCELLED` |
//! | the guest broke the ABI, or this program failed | `INTERNAL` |
//! | an import's server or the package index cannot be had; shutting down | `UNAVAILABLE` |
//!
//! A status travels in HTTP headers, percent-encoded, and clients accept few kilobytes of those, so
//! messages are cut to [`MAX_ENCODED_BYTES`]. They never contain a phrase by which Databend
//! recognises a fault of the transport, which it would retry or hide: text of a guest could.

use tonic::{Code, Status};
use vivarium_runtime::{BuildError, CallError, ForkError, FunctionErrorKind, InputError, SpecError};

use crate::functions::{
    AdmissionError, CallRefused, ImageError, PrepareError, ProvisionError, SandboxError, SessionError,
};
use crate::imports::{ImportError, ImportProblem, UrlProblem};
use crate::packages::{Fault, PackageError};
use crate::token::{IssueError, TokenError};
use crate::workers::WorkerError;

/// Longest message after percent-encoding, in bytes. gRPC clients accept 8 KiB of headers.
pub const MAX_ENCODED_BYTES: usize = 6 * 1024;

/// Phrases that Databend's engine takes for a fault of the transport.
const TRANSPORT_PHRASES: [&str; 7] = [
    "h2 protocol error",
    "broken pipe",
    "connection reset",
    "error reading a body from connection",
    "connection refused",
    "network is unreachable",
    "no route to host",
];

/// An error that a caller can be told.
pub trait Failure: std::fmt::Display {
    /// Its gRPC code.
    fn code(&self) -> Code;
}

/// The status that tells a caller of an error.
pub fn status(failure: &(impl Failure + ?Sized)) -> Status {
    Status::new(failure.code(), message(&failure.to_string()))
}

/// Makes a text fit for a status message: free of transport phrases, and short.
pub fn message(text: &str) -> String {
    shorten(&without_transport_phrases(text))
}

impl Failure for TokenError {
    fn code(&self) -> Code {
        match self {
            Self::WrongTenant { .. } | Self::WrongFunction { .. } => Code::PermissionDenied,
            _ => Code::Unauthenticated,
        }
    }
}

impl Failure for WorkerError {
    fn code(&self) -> Code {
        match self {
            Self::QueueFull { .. } => Code::ResourceExhausted,
            _ => Code::Internal,
        }
    }
}

impl Failure for ProvisionError {
    fn code(&self) -> Code {
        match self {
            Self::Name { .. } | Self::Token(IssueError::Name(_)) => Code::InvalidArgument,
            Self::CodeTooLarge { .. }
            | Self::TooManyOfTenant { .. }
            | Self::TooManyOfAll { .. }
            | Self::Fuel(_) => Code::ResourceExhausted,
            Self::Packages(error) => error.code(),
            Self::Imports(error) => error.code(),
            Self::Store(_) | Self::Token(_) => Code::Internal,
            Self::Worker(error) => error.code(),
        }
    }
}

impl Failure for CallRefused {
    fn code(&self) -> Code {
        match self {
            Self::Token(error) => error.code(),
            Self::Certificate(error) => error.code(),
            Self::Unknown { .. } => Code::InvalidArgument,
            Self::Suspended { .. } => Code::FailedPrecondition,
            Self::Retired { .. } => Code::NotFound,
        }
    }
}

impl Failure for ImageError {
    fn code(&self) -> Code {
        match self {
            Self::Prepare(error) => error.code(),
            Self::NotReady { .. } => Code::DeadlineExceeded,
            Self::Worker(error) => error.code(),
        }
    }
}

impl Failure for PackageError {
    fn code(&self) -> Code {
        match (self, self.fault()) {
            (Self::Disabled | Self::NotAllowed { .. }, _) => Code::PermissionDenied,
            (Self::ResolveTimeout { .. }, _) => Code::DeadlineExceeded,
            (_, Fault::Limit) => Code::ResourceExhausted,
            (_, Fault::Host) => Code::Unavailable,
            (_, Fault::Request) => Code::InvalidArgument,
        }
    }
}

impl Failure for ImportError {
    fn code(&self) -> Code {
        match self {
            Self::Disabled => Code::PermissionDenied,
            Self::TooMany { .. } | Self::TotalBytes { .. } => Code::ResourceExhausted,
            Self::Import { problem, .. } => match problem {
                ImportProblem::TooLarge { .. } => Code::ResourceExhausted,
                ImportProblem::Timeout { .. } => Code::DeadlineExceeded,
                ImportProblem::Address { .. }
                | ImportProblem::Url(
                    UrlProblem::Scheme { .. } | UrlProblem::Host { .. } | UrlProblem::Port { .. },
                ) => Code::PermissionDenied,
                problem if problem.is_transient() => Code::Unavailable,
                _ => Code::InvalidArgument,
            },
        }
    }
}

impl Failure for PrepareError {
    fn code(&self) -> Code {
        match self {
            Self::Build(error) => error.code(),
            Self::Packages(error) => error.code(),
            Self::Imports(error) => error.code(),
            Self::NoCode { .. } | Self::CodeNotText { .. } => Code::InvalidArgument,
            Self::EnvironmentChanged => Code::NotFound,
        }
    }
}

impl Failure for AdmissionError {
    fn code(&self) -> Code {
        match self {
            Self::NoPlace { .. } | Self::TenantMemory { .. } | Self::TooManyWaiting { .. } => {
                Code::ResourceExhausted
            }
            Self::Closed => Code::Unavailable,
        }
    }
}

impl Failure for SessionError {
    fn code(&self) -> Code {
        match self {
            Self::Image(error) => error.code(),
            Self::Admission(error) => error.code(),
            Self::Fuel(_) => Code::ResourceExhausted,
            Self::Class(_) => Code::NotFound,
            Self::Worker(error) => error.code(),
        }
    }
}

impl Failure for SandboxError {
    fn code(&self) -> Code {
        match self {
            Self::Fuel(_) => Code::ResourceExhausted,
            Self::Fork(error) => error.code(),
            Self::Call(error) => error.code(),
        }
    }
}

impl Failure for ForkError {
    fn code(&self) -> Code {
        match self {
            Self::Admission { .. } | Self::TooSmall { .. } => Code::ResourceExhausted,
            _ => Code::Internal,
        }
    }
}

impl Failure for BuildError {
    fn code(&self) -> Code {
        match self {
            Self::Spec(SpecError::TooLarge { .. }) => Code::ResourceExhausted,
            Self::Spec(_) | Self::Schema(_) => Code::InvalidArgument,
            Self::Fork(error) => error.code(),
            Self::Call { error, .. } => error.code(),
            _ => Code::Internal,
        }
    }
}

impl Failure for CallError {
    fn code(&self) -> Code {
        match self {
            Self::Function(error) => match error.kind {
                FunctionErrorKind::Memory | FunctionErrorKind::Recursion => Code::ResourceExhausted,
                FunctionErrorKind::Internal => Code::Internal,
                _ => Code::InvalidArgument,
            },
            Self::Input(InputError::Limit { .. })
            | Self::SourceBatch { error: InputError::Limit { .. }, .. } => Code::ResourceExhausted,
            Self::Input(_)
            | Self::SourceBatch { .. }
            | Self::Kind { .. }
            | Self::Exit { .. }
            | Self::Layout { .. } => Code::InvalidArgument,
            Self::Fuel { .. }
            | Self::Memory { .. }
            | Self::Recursion { .. }
            | Self::Output(_)
            | Self::Stream { .. } => Code::ResourceExhausted,
            Self::Deadline { .. } => Code::DeadlineExceeded,
            Self::Cancelled => Code::Cancelled,
            _ => Code::Internal,
        }
    }
}

/// Replaces the blanks of each phrase, which keeps it readable.
fn without_transport_phrases(text: &str) -> String {
    let mut cleaned = text.to_owned();
    for phrase in TRANSPORT_PHRASES {
        let mut from = 0;
        // ASCII case folding keeps every byte in its place, so positions agree in both texts.
        while let Some(found) = cleaned.to_ascii_lowercase().get(from..).and_then(|rest| rest.find(phrase)) {
            let (start, end) = (from + found, from + found + phrase.len());
            let joined = cleaned[start..end].replace(' ', "-");
            cleaned.replace_range(start..end, &joined);
            from = end;
        }
    }
    cleaned
}

/// Cuts out the middle of a text that is too long when percent-encoded: the beginning of an error
/// says where it happened and the end of a traceback what happened.
fn shorten(text: &str) -> String {
    const GAP: &str = "\n[...]\n";
    if text.chars().map(encoded_bytes).sum::<usize>() <= MAX_ENCODED_BYTES {
        return text.to_owned();
    }
    let budget = MAX_ENCODED_BYTES - GAP.chars().map(encoded_bytes).sum::<usize>();
    let head = &text[..fitting(text.chars(), budget / 3)];
    let tail = &text[text.len() - fitting(text.chars().rev(), budget - budget / 3)..];
    format!("{head}{GAP}{tail}")
}

/// Size in UTF-8 of as many characters as fit into a budget of encoded bytes.
fn fitting(characters: impl Iterator<Item = char>, budget: usize) -> usize {
    let mut encoded = 0;
    characters
        .take_while(|character| {
            encoded += encoded_bytes(*character);
            encoded <= budget
        })
        .map(char::len_utf8)
        .sum()
}

/// Size of a character in a status message on the wire, at most: everything but letters, digits
/// and some punctuation may be escaped.
fn encoded_bytes(character: char) -> usize {
    if character.is_ascii_alphanumeric() || ".-_/,:;()[]'=+*~!$&@|^\\".contains(character) {
        1
    } else {
        3 * character.len_utf8()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transport_phrases_never_get_out() {
        let text =
            "ConnectionResetError: Connection reset by peer; BROKEN PIPE, broken pipe\nno route to host";
        let cleaned = message(text);
        for phrase in TRANSPORT_PHRASES {
            assert!(!cleaned.to_lowercase().contains(phrase), "{cleaned}");
        }
        assert!(cleaned.contains("Connection-reset by peer; BROKEN-PIPE, broken-pipe"), "{cleaned}");
        assert_eq!(message("ConnectionResetError"), "ConnectionResetError");
    }

    #[test]
    fn long_messages_keep_both_ends_and_fit_into_headers() {
        for filler in ["x", " ", "ü", "\u{1F600}", "\n"] {
            let text = format!("first line\n{}\nValueError: last line", filler.repeat(50_000));
            let status = Status::new(Code::InvalidArgument, message(&text));
            assert!(status.message().starts_with("first line"));
            assert!(status.message().ends_with("ValueError: last line"));
            let headers = status.into_http::<()>().into_parts().0.headers;
            let encoded = headers.get("grpc-message").unwrap().len();
            assert!(encoded <= MAX_ENCODED_BYTES, "{filler:?}: {encoded}");
            assert!(encoded > MAX_ENCODED_BYTES / 4, "{filler:?}: {encoded}");
        }
    }

    #[test]
    fn short_messages_stay_as_they_are() {
        assert_eq!(message("row 3: ValueError: ü < 1"), "row 3: ValueError: ü < 1");
    }

    #[test]
    fn codes_follow_the_table() {
        let wrong = TokenError::WrongTenant { requested: "b".into() };
        assert_eq!(status(&wrong).code(), Code::PermissionDenied);
        assert_eq!(status(&TokenError::Forged).code(), Code::Unauthenticated);
        assert_eq!(status(&CallRefused::Token(wrong)).code(), Code::PermissionDenied);
        let unknown = status(&CallRefused::Unknown { function: "f".into() });
        assert_eq!((unknown.code(), unknown.message()), (Code::InvalidArgument, "Function f does not exist"));
        let fuel = SandboxError::Call(CallError::Fuel { limit: 5 });
        assert_eq!(status(&fuel).code(), Code::ResourceExhausted);
        assert_eq!(status(&CallError::Deadline { limit_ms: 5 }).code(), Code::DeadlineExceeded);
        assert_eq!(status(&CallError::Cancelled).code(), Code::Cancelled);
        assert_eq!(status(&CallError::Poisoned).code(), Code::Internal);
    }
}
