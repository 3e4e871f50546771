//! Errors as the servers of databend-udf and arrow-udf give them.
//!
//! Those servers are pyarrow's. It turns an exception of the function into a code of Arrow's by the
//! exception's class, that into a code of gRPC, and tells the former in the trailer `x-arrow-status`, from
//! which clients that use Arrow's C++ library (pyarrow among them) make the exception that they raise.
//! Observed with databend-udf 0.2.20 and pyarrow 26.0.1.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use vivarium_runtime::{CallError, FunctionError, FunctionErrorKind};

use super::exchange::ExchangeError;
use crate::functions::SandboxError;
use crate::sql_types::Dialect;

const TRAILER: &str = "x-arrow-status";

/// Gives a status the code and the trailer that clients of these servers know, if it is about an error
/// that both have.
pub(super) fn adjust(status: &mut Status, error: &ExchangeError, dialect: Dialect) {
    let ExchangeError::Sandbox(SandboxError::Call(CallError::Function(error))) = error else { return };
    if !matches!(dialect, Dialect::DatabendUdf | Dialect::ArrowUdf) {
        return;
    }
    let Some((code, arrow)) = codes(error) else { return };
    let mut metadata = std::mem::take(status.metadata_mut());
    metadata.insert(TRAILER, MetadataValue::from_static(arrow));
    // A limit of ours stays one.
    let code = if status.code() == Code::ResourceExhausted { status.code() } else { code };
    *status = Status::with_metadata(code, status.message(), metadata);
}

/// The code of gRPC, and the number of Arrow's `StatusCode`.
fn codes(error: &FunctionError) -> Option<(Code, &'static str)> {
    match error.kind {
        FunctionErrorKind::Argument | FunctionErrorKind::Result => Some((Code::InvalidArgument, "4")),
        FunctionErrorKind::Exception | FunctionErrorKind::Memory => Some(match error.base {
            Some("MemoryError") => (Code::Unknown, "1"),
            Some("KeyError") => (Code::NotFound, "2"),
            Some("TypeError") => (Code::Unknown, "3"),
            Some("ValueError" | "OverflowError") => (Code::InvalidArgument, "4"),
            Some("OSError") => (Code::Unknown, "5"),
            Some("IndexError") => (Code::Unknown, "7"),
            Some("NotImplementedError") => (Code::Unimplemented, "10"),
            _ => (Code::Unknown, "9"),
        }),
        _ => None,
    }
}
