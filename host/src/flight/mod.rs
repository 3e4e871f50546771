//! Arrow Flight: the data plane.
//!
//! `DoExchange` runs a function: its descriptor's path names the handler, its batches are the
//! arguments by position, and each of them is answered with one batch of one column named `result`
//! (engines read it by position), of the declared type and as many rows. Every result message
//! carries, as `app_metadata`, what the exchange has used so far: a JSON object with `fuel`,
//! `batches`, `rows` and `peak_memory_bytes`. `GetFlightInfo` describes a function. Nothing else of
//! Flight is implemented.
//!
//! Both calls need the headers that provisioning returned. The response stream of an exchange opens
//! at once and every error, a refused token too, is delivered inside it: Databend shows its users
//! the message of an error in the stream, and not that of a call that never opened one.

mod exchange;
mod info;
mod input;
mod output;
mod request;

use std::sync::Arc;

use arrow_flight::flight_service_server::{FlightService, FlightServiceServer};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::config::{Config, HeaderConfig};
use crate::functions::Functions;
use crate::status::status;

use self::exchange::ExchangeSettings;
use self::request::Caller;

/// The Flight service over the functions of this server.
#[derive(Debug)]
pub struct Flight {
    functions: Arc<Functions>,
    headers: HeaderConfig,
    settings: ExchangeSettings,
}

impl Flight {
    /// The gRPC service, with the message limit of `config`.
    pub fn service(functions: Arc<Functions>, config: &Config) -> FlightServiceServer<Flight> {
        let flight =
            Flight { functions, headers: config.headers.clone(), settings: ExchangeSettings::new(config) };
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
        let caller = Caller::read(request.metadata(), &self.headers);
        let (sender, receiver) = mpsc::channel(self.settings.output_queue);
        tokio::spawn(exchange::serve(
            Arc::clone(&self.functions),
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
        let caller = Caller::read(request.metadata(), &self.headers);
        match info::describe(&self.functions, &caller, request.into_inner()) {
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
        unimplemented("ListFlights")
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

    async fn do_action(&self, _request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        unimplemented("DoAction")
    }

    async fn list_actions(
        &self,
        _request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        unimplemented("ListActions")
    }
}
