//! `GetFlightInfo`: what a function takes and returns.

use std::sync::Arc;

use arrow::datatypes::{Fields, Schema};
use arrow::error::ArrowError;
use arrow_flight::{FlightDescriptor, FlightInfo};
use tonic::Code;

use super::request::{self, Caller, RequestError};
use super::signature::{self, Phase};
use crate::functions::{CallRefused, Functions, Version};
use crate::sql_types::Dialect;
use crate::status::Failure;
use crate::tls::ClientTenants;

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

/// Schema of the inputs followed by the outputs, as the function's dialect gives it.
pub(super) fn describe(
    functions: &Functions,
    clients: &ClientTenants,
    caller: &Caller,
    descriptor: FlightDescriptor,
) -> Result<FlightInfo, InfoError> {
    if functions.public().next().is_none() {
        functions.authorize(caller.token.as_deref(), caller.tenant.as_deref()).map_err(CallRefused::from)?;
    }
    let target = request::target(Some(descriptor.clone()), caller)?;
    let version = functions.resolve(caller.token.as_deref(), caller.tenant.as_deref(), &target.function)?;
    caller.check_certificate(clients, &version)?;
    Ok(info(&version, target.phase(&version)?, descriptor)?)
}

/// All public functions, each as [`describe`] gives it.
pub(super) fn list(functions: &Functions) -> Result<Vec<FlightInfo>, InfoError> {
    functions
        .public()
        .map(|version| {
            let descriptor = FlightDescriptor::new_path(vec![version.name().to_owned()]);
            Ok(info(version, Phase::Whole, descriptor)?)
        })
        .collect()
}

fn info(version: &Version, phase: Phase, descriptor: FlightDescriptor) -> Result<FlightInfo, ArrowError> {
    let inputs = signature::inputs(version.spec(), phase);
    let outputs = signature::outputs(version, phase, false);
    let count = inputs.len();
    let fields: Fields = inputs.into_iter().map(Arc::new).chain(outputs.fields().iter().cloned()).collect();
    let (schema, records) = if version.dialect == Dialect::ArrowUdf {
        (Schema::new(fields), count)
    } else {
        let records = fields.len();
        let metadata = [(INPUT_COUNT.to_owned(), count.to_string())].into();
        (Schema::new(fields).with_metadata(metadata), records)
    };
    let info = FlightInfo::new().try_with_schema(&schema)?.with_descriptor(descriptor);
    Ok(info.with_total_records(i64::try_from(records).unwrap_or(i64::MAX)).with_total_bytes(0))
}
