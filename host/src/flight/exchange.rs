//! One `DoExchange`, from its first message to its last.
//!
//! Three parties work at the same time, coupled by bounded queues: a task that reads messages
//! ahead, a worker that decodes, runs and encodes one batch after the other, and the connection
//! that takes the results. A client that does not read stops the worker, a worker that is busy
//! stops the reader, and the reader stops the client. A client that goes away ends all three: its
//! running call is interrupted and its sandbox given back.

use std::sync::Arc;
use std::time::Duration;

use arrow::error::ArrowError;
use arrow_flight::FlightData;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::{Code, Status, Streaming};
use tracing::Instrument;

use super::input::{InputDecoder, InputError, InputLimits};
use super::output::ResultEncoder;
use super::request::{self, Caller, RequestError};
use crate::config::Config;
use crate::functions::{CallRefused, Functions, Sandbox, SandboxError, SessionError};
use crate::status::{Failure, status};

type Results = mpsc::Sender<Result<FlightData, Status>>;

/// What all exchanges have in common.
#[derive(Clone, Debug)]
pub(super) struct ExchangeSettings {
    pub(super) output_queue: usize,
    input_queue: usize,
    idle: Duration,
    limits: InputLimits,
}

impl ExchangeSettings {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            output_queue: config.server.output_queue_messages.get(),
            input_queue: config.server.input_queue_messages.get(),
            idle: Duration::from_secs(config.server.idle_timeout_s),
            limits: InputLimits {
                batch_rows: config.server.max_batch_rows,
                dictionary_bytes: config.server.max_dictionary_bytes,
            },
        }
    }
}

/// Why an exchange ended before its time.
#[derive(Debug, thiserror::Error)]
enum ExchangeError {
    #[error(transparent)]
    Refused(#[from] CallRefused),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("the result cannot be encoded: {0}")]
    Encode(#[from] ArrowError),
    #[error(
        "the client neither sent a message nor took a result for {limit_s} s (limit server.idle_timeout_s)"
    )]
    Idle { limit_s: u64 },
    #[error("{}", .0.message())]
    Client(Status),
    #[error("the client went away")]
    Gone,
}

impl Failure for ExchangeError {
    fn code(&self) -> Code {
        match self {
            Self::Refused(error) => error.code(),
            Self::Request(error) => error.code(),
            Self::Input(error) => error.code(),
            Self::Session(error) => error.code(),
            Self::Sandbox(error) => error.code(),
            Self::Encode(_) => Code::Internal,
            Self::Idle { .. } => Code::DeadlineExceeded,
            Self::Client(status) => status.code(),
            Self::Gone => Code::Cancelled,
        }
    }
}

/// Serves an exchange until it ends or the client goes away.
pub(super) async fn serve(
    functions: Arc<Functions>,
    settings: ExchangeSettings,
    caller: Caller,
    messages: Streaming<FlightData>,
    results: Results,
) {
    let span = tracing::info_span!(
        "exchange",
        tenant = caller.tenant,
        handler = caller.handler,
        query = caller.query
    );
    async {
        let exchange = Exchange { functions, settings, caller, results: results.clone() };
        let outcome = tokio::select! {
            outcome = exchange.run(messages) => outcome,
            () = results.closed() => Err(ExchangeError::Gone),
        };
        if let Err(error) = outcome {
            tracing::info!(code = ?error.code(), error = error.to_string(), "exchange failed");
            // Fails when the client is gone, and then nobody is left to tell.
            let _ = results.send(Err(status(&error))).await;
        }
    }
    .instrument(span)
    .await;
}

struct Exchange {
    functions: Arc<Functions>,
    settings: ExchangeSettings,
    caller: Caller,
    results: Results,
}

/// What travels to the worker and back with every message.
struct Codec {
    decoder: InputDecoder,
    encoder: ResultEncoder,
}

impl Exchange {
    async fn run(self, messages: Streaming<FlightData>) -> Result<(), ExchangeError> {
        let grant = self
            .functions
            .authorize(self.caller.token.as_deref(), self.caller.tenant.as_deref())
            .map_err(CallRefused::from)?;

        // The reader is aborted when this future ends or is dropped.
        let mut reader = JoinSet::new();
        let (sender, mut messages_read) = mpsc::channel(self.settings.input_queue);
        reader.spawn(read_ahead(messages, sender));

        let mut first = self.receive(&mut messages_read).await?.ok_or(RequestError::NoDescriptor)?;
        let handler = request::handler(first.flight_descriptor.take(), &self.caller)?;
        let version = self.functions.find(&grant, &handler)?;

        let mut codec = Codec {
            decoder: InputDecoder::new(self.settings.limits, version.spec.parameters.is_empty()),
            encoder: ResultEncoder::new(&version.spec.result),
        };
        self.send(codec.encoder.schema()).await?;

        let mut session = self.functions.open(&version).await?;
        let mut next = Some(first);
        while let Some(message) = next {
            let (returned, result) = session
                .run(move |sandbox| {
                    let result = answer(&mut codec, sandbox, &message);
                    (codec, result)
                })
                .await?;
            codec = returned;
            if let Some(result) = result? {
                self.send(result).await?;
            }
            next = self.receive(&mut messages_read).await?;
        }
        Ok(())
    }

    async fn receive(
        &self,
        messages: &mut mpsc::Receiver<Result<FlightData, Status>>,
    ) -> Result<Option<FlightData>, ExchangeError> {
        match tokio::time::timeout(self.settings.idle, messages.recv()).await {
            Ok(message) => message.transpose().map_err(ExchangeError::Client),
            Err(_) => Err(self.idle()),
        }
    }

    async fn send(&self, message: FlightData) -> Result<(), ExchangeError> {
        match tokio::time::timeout(self.settings.idle, self.results.send(Ok(message))).await {
            Ok(sent) => sent.map_err(|_| ExchangeError::Gone),
            Err(_) => Err(self.idle()),
        }
    }

    fn idle(&self) -> ExchangeError {
        ExchangeError::Idle { limit_s: self.settings.idle.as_secs() }
    }
}

/// Reads messages until the client ends the stream, an error comes, or nobody wants them any more.
async fn read_ahead(mut messages: Streaming<FlightData>, sender: mpsc::Sender<Result<FlightData, Status>>) {
    while let Some(message) = messages.message().await.transpose() {
        let last = message.is_err();
        if sender.send(message).await.is_err() || last {
            return;
        }
    }
}

/// On a worker: decodes a message, runs the function if it holds a batch, and encodes the result.
fn answer(
    codec: &mut Codec,
    sandbox: &mut Sandbox,
    message: &FlightData,
) -> Result<Option<FlightData>, ExchangeError> {
    let Some(batch) = codec.decoder.decode(message)? else {
        return Ok(None);
    };
    let column = sandbox.invoke(&batch)?;
    Ok(Some(codec.encoder.batch(column, sandbox.usage())?))
}
