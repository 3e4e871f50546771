//! `GetFlightInfo`: what a function takes and returns.

use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use arrow_flight::{FlightDescriptor, FlightInfo};
use tonic::Code;

use super::request::{self, Caller, RequestError};
use crate::functions::{CallRefused, Functions};
use crate::status::Failure;

/// Tells Databend how many of the schema's fields are parameters.
const INPUT_COUNT: &str = "x-databend-udf-input-count";

/// Why a function was not described.
#[derive(Debug, thiserror::Error)]
pub(super) enum InfoError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Refused(#[from] CallRefused),
    #[error("the signature cannot be encoded: {0}")]
    Encode(#[from] ArrowError),
}

impl Failure for InfoError {
    fn code(&self) -> Code {
        match self {
            Self::Request(error) => error.code(),
            Self::Refused(error) => error.code(),
            Self::Encode(_) => Code::Internal,
        }
    }
}

/// Schema of the parameters followed by the result, as Databend's own function servers give it.
pub(super) fn describe(
    functions: &Functions,
    caller: &Caller,
    descriptor: FlightDescriptor,
) -> Result<FlightInfo, InfoError> {
    let grant =
        functions.authorize(caller.token.as_deref(), caller.tenant.as_deref()).map_err(CallRefused::from)?;
    let handler = request::handler(Some(descriptor.clone()), caller)?;
    let version = functions.find(&grant, &handler)?;
    let inputs = version.spec.parameters.len();
    let fields: Vec<Field> = version.spec.parameters.iter().chain([&version.spec.result]).cloned().collect();
    let records = i64::try_from(fields.len()).unwrap_or(i64::MAX);
    let metadata = [(INPUT_COUNT.to_owned(), inputs.to_string())].into();
    Ok(FlightInfo::new()
        .try_with_schema(&Schema::new(fields).with_metadata(metadata))?
        .with_descriptor(descriptor)
        .with_total_records(records))
}
