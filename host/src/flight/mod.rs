//! Arrow Flight: the data plane.
//!
//! `DoExchange` runs a function: its descriptor's path names it, its batches are the arguments by
//! position, and the answer depends on the function's kind.
//!
//! | kind | answer |
//! |---|---|
//! | scalar, vectorised | for each batch one, of one column of the declared type and as many rows |
//! | table | for each batch any number, of the columns `row` (int32, the index of the input row) and the value; then one without rows whose `app_metadata` says `"last": true` |
//! | aggregate | one for the whole stream: path `[name]` from rows to results, `[name, "accumulate"]` from rows to states, `[name, "merge"]` from states to states, `[name, "finish"]` from states to results |
//! | map | whenever the function gives one; input and answers flow at the same time |
//!
//! The input of an aggregate may begin with the columns `$group` (int64 without nulls) and, if it is
//! rows, `$retract` (boolean without nulls): each group is folded by itself, and the answer has the
//! columns `$group` and the value, one row for each group in the order of first appearance. Without
//! `$group` the answer is one row, also if nothing came. Of one batch, rows that are retracted are
//! folded after the others.
//!
//! Messages carry a JSON object as `app_metadata`: what the exchange has used so far (`fuel`,
//! `batches`, `rows`, `peak_memory_bytes`), for a table function the number of the input batch that
//! the rows belong to (`input`, from 0) and whether it was the `last` answer to it, and for requests
//! with the header `x-vivarium-logs: 1` what the function wrote meanwhile (`logs` with `stdout`,
//! `stderr` and `dropped_bytes`), bounded by `limits.log_bytes`; before an error, and at the end of a
//! map function, in an answer without rows.
//!
//! `GetFlightInfo` describes a function, `ListFlights` lists the public ones.
//!
//! Functions declared by `databend_udf` or `arrow_udf` are served as those projects' servers do:
//! numbers of another width are converted to the declared type, a table function has no answer that
//! says which was the last, and in the first dialect no column `row`; `GetFlightInfo` and, for
//! `arrow_udf`, the action `protocol_version` answer as theirs.
//!
//! Calls need the headers that provisioning returned, unless the function is public. The response
//! stream of an exchange opens at once and every error, a refused token too, is delivered inside it:
//! Databend shows its users the message of an error in the stream, and not that of a call that never
//! opened one.

mod aggregate;
mod batches;
mod ends;
mod exchange;
mod failures;
#[doc(hidden)]
pub mod fuzzing;
mod info;
mod input;
mod output;
mod relabel;
mod request;
mod signature;
mod stream;
mod wide;

use std::sync::Arc;

use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::stream::{BoxStream, StreamExt as _};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::config::{Config, HeaderConfig};
use crate::functions::Functions;
use crate::metrics::Metrics;
use crate::sql_types::Dialect;
use crate::status::status;

use self::exchange::ExchangeSettings;
use self::request::Caller;

/// The action by which callers of `arrow_udf` ask for the version of its protocol.
const PROTOCOL_VERSION: &str = "protocol_version";

/// The version that is spoken here.
const ARROW_UDF_PROTOCOL: u8 = 2;

/// The Flight service over the functions of this server.
#[derive(Debug)]
pub struct Flight {
    functions: Arc<Functions>,
    metrics: Arc<Metrics>,
    headers: HeaderConfig,
    settings: ExchangeSettings,
}

impl Flight {
    /// The gRPC service, with the message limit of `config`. Exchanges that still run when `cut`
    /// becomes true end with an error that says so.
    pub fn service(
        functions: Arc<Functions>,
        metrics: Arc<Metrics>,
        config: &Config,
        cut: watch::Receiver<bool>,
    ) -> FlightServiceServer<Flight> {
        let settings = ExchangeSettings::new(config, cut);
        let flight = Flight { functions, metrics, headers: config.headers.clone(), settings };
        FlightServiceServer::new(flight)
            .max_decoding_message_size(config.server.max_message_bytes)
            .max_encoding_message_size(usize::MAX)
    }
}

fn unimplemented<T>(call: &str) -> Result<T, Status> {
    Err(Status::unimplemented(format!("{call} is not implemented; this server runs functions by DoExchange")))
}

#[tonic::async_trait]
impl FlightService for Flight {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoExchangeStream = ReceiverStream<Result<FlightData, Status>>;
    type DoActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        let caller = Caller::read(&request, &self.headers);
        let (sender, receiver) = mpsc::channel(self.settings.output_queue);
        tokio::spawn(exchange::serve(
            Arc::clone(&self.functions),
            Arc::clone(&self.metrics),
            self.settings.clone(),
            caller,
            request.into_inner(),
            sender,
        ));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        let caller = Caller::read(&request, &self.headers);
        match info::describe(&self.functions, &self.settings.clients, &caller, request.into_inner()) {
            Ok(info) => Ok(Response::new(info)),
            Err(error) => Err(status(&error)),
        }
    }

    async fn handshake(
        &self,
        _request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        unimplemented("Handshake")
    }

    async fn list_flights(
        &self,
        _request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        // The servers of databend_udf have no such list.
        if self.functions.public().all(|version| version.dialect == Dialect::DatabendUdf) {
            return unimplemented("ListFlights");
        }
        match info::list(&self.functions) {
            Ok(infos) => Ok(Response::new(futures::stream::iter(infos.into_iter().map(Ok)).boxed())),
            Err(error) => Err(status(&error)),
        }
    }

    async fn poll_flight_info(
        &self,
        _request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        unimplemented("PollFlightInfo")
    }

    async fn get_schema(
        &self,
        _request: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        unimplemented("GetSchema")
    }

    async fn do_get(&self, _request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        unimplemented("DoGet")
    }

    async fn do_put(
        &self,
        _request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        unimplemented("DoPut")
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let of_arrow_udf = self.functions.public().any(|version| version.dialect == Dialect::ArrowUdf);
        if of_arrow_udf && request.get_ref().r#type == PROTOCOL_VERSION {
            let version = arrow_flight::Result { body: vec![ARROW_UDF_PROTOCOL].into() };
            return Ok(Response::new(futures::stream::iter([Ok(version)]).boxed()));
        }
        unimplemented("DoAction")
    }

    async fn list_actions(
        &self,
        _request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        unimplemented("ListActions")
    }
}
