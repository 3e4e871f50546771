//! The client's errors in our words. Its own may contain the URL, whose query is a secret.

use std::io::ErrorKind;

use ureq::{Error, Timeout};

use super::client::ClientLimits;
use super::error::ImportProblem;
use super::resolver::AddressRefused;
use super::target::Target;

/// What went wrong with a request to `target`, of whose answer `received` bytes had arrived.
pub(super) fn problem(error: Error, target: &Target, limits: &ClientLimits, received: u64) -> ImportProblem {
    let host = target.host().to_owned();
    let connection = |host, problem| ImportProblem::Connection { host, problem };
    match error {
        Error::Timeout(timeout) => {
            let (what, limit, limit_s) = match timeout {
                Timeout::Resolve => ("finding its address", "connect_timeout_s", limits.connect_s),
                Timeout::Connect => ("connecting", "connect_timeout_s", limits.connect_s),
                Timeout::PerRead | Timeout::PerWrite => ("waiting for data", "idle_timeout_s", limits.idle_s),
                _ => ("the import", "total_timeout_s", limits.total_s),
            };
            ImportProblem::Timeout { host, what, limit, limit_s }
        }
        Error::HostNotFound => ImportProblem::Unresolved { host },
        Error::Other(other) => match other.downcast_ref::<AddressRefused>() {
            Some(refused) => ImportProblem::Address { host, kind: refused.kind },
            None => connection(host, "the request failed"),
        },
        // rustls reports a failed handshake, and data that fails its checksum, as invalid data.
        Error::Io(error) if error.kind() == ErrorKind::InvalidData && target.is_https() => {
            ImportProblem::Tls { host, problem: error.to_string() }
        }
        Error::Io(error) => io_problem(error.kind(), host, received),
        Error::Rustls(error) => ImportProblem::Tls { host, problem: error.to_string() },
        Error::Tls(problem) => ImportProblem::Tls { host, problem: problem.to_owned() },
        Error::Protocol(_) => connection(host, "its answer is not HTTP"),
        Error::LargeResponseHeader(..) => connection(host, "its answer has too many headers"),
        Error::ConnectionFailed => connection(host, "it cannot be reached"),
        _ => connection(host, "the request failed"),
    }
}

fn io_problem(kind: ErrorKind, host: String, received: u64) -> ImportProblem {
    let problem = match kind {
        ErrorKind::UnexpectedEof
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe => {
            return ImportProblem::Truncated { host, received };
        }
        ErrorKind::ConnectionRefused => "it does not accept connections",
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => "it cannot be reached",
        _ => "the connection failed",
    };
    ImportProblem::Connection { host, problem }
}
