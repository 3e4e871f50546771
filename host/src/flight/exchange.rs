//! One `DoExchange`, from its first message to its last.
//!
//! Four parties work at the same time, coupled by bounded queues: a task that reads and decodes
//! ahead, workers that run batches, a task that encodes results, and the
//! connection that takes them. A client that does not read stops the worker, a worker that is busy
//! stops the reader, and the reader stops the client. A client that goes away ends all of them: its
//! running call is interrupted and its sandbox given back.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow_flight::FlightData;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::{Code, Status, Streaming};
use tracing::Instrument;
use vivarium_runtime::FunctionKind;

use super::aggregate::{AggregateError, Aggregation};
use super::ends;
use super::failures::{Failed, Failures};
use super::foreign;
use super::input::{Conversion, InputDecoder, InputError, InputLimits};
use super::output::{Answer, Report, ResultEncoder};
use super::request::{self, Caller, RequestError};
use super::signature::{self, Phase};
use super::stream::{self, TableForm};
use super::wide;
use crate::config::Config;
use crate::functions::{CallRefused, Functions, SandboxError, Session, SessionError, Version};
use crate::metrics::{self, ExchangeMeter, Metrics};
use crate::sql_types::Dialect;
use crate::status::{Failure, status};
use crate::tls::{ClientTenants, TlsService};

/// Where messages for the client go.
pub(super) type Results = mpsc::Sender<Result<FlightData, Status>>;

/// Where answers go that are to be encoded.
pub(super) type Answers = mpsc::Sender<Answer>;

/// Where decoded input comes from.
pub(super) type Inputs = mpsc::Receiver<Result<Input, ExchangeError>>;

/// What the client sends, decoded.
#[derive(Debug)]
pub(super) enum Input {
    /// Before the first batch.
    Schema(SchemaRef),
    Batch(RecordBatch),
    /// The client has ended its stream.
    End,
}

/// What all exchanges have in common.
#[derive(Clone, Debug)]
pub(super) struct ExchangeSettings {
    pub(super) output_queue: usize,
    input_queue: usize,
    idle: Duration,
    limits: InputLimits,
    pub(super) clients: ClientTenants,
    pub(super) failures: Arc<Failures>,
    /// Most sandboxes of one exchange.
    pub(super) sandboxes: usize,
    /// Whether the server waits for exchanges no longer.
    cut: watch::Receiver<bool>,
}

impl ExchangeSettings {
    pub(super) fn new(config: &Config, cut: watch::Receiver<bool>) -> Self {
        Self {
            cut,
            output_queue: config.server.output_queue_messages.get(),
            input_queue: config.server.input_queue_messages.get(),
            idle: Duration::from_secs(config.server.idle_timeout_s),
            sandboxes: config.sandboxes_per_exchange(),
            clients: ClientTenants::new(&config.tls, TlsService::Flight),
            failures: Arc::new(Failures::new(Duration::from_secs(config.server.failure_memory_s))),
            limits: InputLimits {
                batch_rows: config.server.max_batch_rows,
                dictionary_bytes: config.server.max_dictionary_bytes,
            },
        }
    }
}

/// Why an exchange ended before its time.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
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
    #[error(transparent)]
    Aggregate(#[from] AggregateError),
    #[error("{}", .0.message)]
    Repeated(Arc<Failed>),
    #[error("the result cannot be encoded: {0}")]
    Encode(#[from] ArrowError),
    #[error(
        "the client neither sent a message nor took a result for {limit_s} s (limit server.idle_timeout_s)"
    )]
    Idle { limit_s: u64 },
    #[error("{}", .0.message())]
    Client(Status),
    #[error("the server is shutting down and waits for this exchange no longer (limit server.drain_s)")]
    Cut,
    #[error("the client went away")]
    Gone,
    #[error("a part of the exchange gave up")]
    Lost,
}

impl ExchangeError {
    fn count(&self, meter: &ExchangeMeter) {
        let (error_type, limit) = match self {
            Self::Sandbox(SandboxError::Call(error)) => (metrics::error_type(error), metrics::limit(error)),
            Self::Repeated(failed) => (failed.error_type, None),
            Self::Sandbox(SandboxError::Fork(_)) => ("NoSandbox", Some("host_memory_bytes")),
            Self::Session(SessionError::Admission(error)) => {
                meter.rejected();
                ("ConcurrencyLimitExceeded", error.limit())
            }
            Self::Session(SessionError::Fuel(_)) | Self::Sandbox(SandboxError::Fuel(_)) => {
                meter.rejected();
                ("FuelQuotaExceeded", Some("tenants.fuel_per_minute"))
            }
            Self::Session(SessionError::Image(_)) => ("ImageFailed", None),
            Self::Input(InputError::Contradiction) => ("ContradictoryArrow", None),
            Self::Request(_) | Self::Input(_) | Self::Aggregate(_) => ("InvalidInput", None),
            Self::Idle { .. } => ("Idle", Some("idle_timeout_s")),
            Self::Gone | Self::Client(_) => ("Cancelled", None),
            Self::Cut => ("Shutdown", None),
            Self::Refused(_) | Self::Session(_) | Self::Encode(_) | Self::Lost => ("Internal", None),
        };
        meter.failed(error_type, limit);
    }
}

impl Failure for ExchangeError {
    fn code(&self) -> Code {
        match self {
            Self::Refused(error) => error.code(),
            Self::Request(error) => error.code(),
            Self::Input(error) => error.code(),
            Self::Session(error) => error.code(),
            Self::Sandbox(error) => error.code(),
            Self::Aggregate(error) => error.code(),
            Self::Repeated(failed) => failed.code,
            Self::Encode(_) | Self::Lost => Code::Internal,
            Self::Idle { .. } => Code::DeadlineExceeded,
            Self::Client(status) => status.code(),
            Self::Cut => Code::Unavailable,
            Self::Gone => Code::Cancelled,
        }
    }
}

/// Serves an exchange until it ends or the client goes away.
pub(super) async fn serve(
    functions: Arc<Functions>,
    metrics: Arc<Metrics>,
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
        let mut cut = settings.cut.clone();
        let called = OnceLock::new();
        let exchange = Exchange { functions, metrics, settings, caller, results: results.clone() };
        let outcome = tokio::select! {
            outcome = exchange.run(messages, &called) => outcome,
            () = results.closed() => Err(ExchangeError::Gone),
            Ok(_) = cut.wait_for(|cut| *cut) => Err(ExchangeError::Cut),
        };
        if let Err(error) = outcome {
            let mut told = status(&error);
            if let Some(called) = called.get() {
                error.count(&called.meter);
                foreign::adjust(&mut told, &error, called.dialect);
            }
            tracing::info!(code = ?error.code(), error = error.to_string(), "exchange failed");
            // Fails when the client is gone, and then nobody is left to tell.
            let _ = results.send(Err(told)).await;
        }
    }
    .instrument(span)
    .await;
}

/// What is known of an exchange from the moment on in which its function is known.
struct Called {
    meter: Arc<ExchangeMeter>,
    dialect: Dialect,
}

pub(super) struct Exchange {
    pub(super) functions: Arc<Functions>,
    metrics: Arc<Metrics>,
    pub(super) settings: ExchangeSettings,
    pub(super) caller: Caller,
    results: Results,
}

impl Exchange {
    async fn run(
        self,
        mut messages: Streaming<FlightData>,
        called: &OnceLock<Called>,
    ) -> Result<(), ExchangeError> {
        let (token, tenant) = (self.caller.token.as_deref(), self.caller.tenant.as_deref());
        if self.functions.public().next().is_none() {
            // Whoever has no token gets no further than this.
            self.functions.authorize(token, tenant).map_err(CallRefused::from)?;
        }
        let first = tokio::time::timeout(self.settings.idle, messages.message());
        let first = first.await.map_err(|_| self.idle())?.map_err(ExchangeError::Client)?;
        let mut first = first.ok_or(RequestError::NoDescriptor)?;
        let target = request::target(first.flight_descriptor.take(), &self.caller)?;
        let version = self.functions.resolve(token, tenant, &target.function)?;
        self.caller.check_certificate(&self.settings.clients, &version)?;
        let known =
            || Called { meter: self.metrics.exchange(version.name()).into(), dialect: version.dialect };
        let meter = &called.get_or_init(known).meter;
        let phase = target.phase(&version)?;

        // Both tasks are aborted when this future ends or is dropped.
        let (mut reader, mut writer) = (JoinSet::new(), JoinSet::new());
        let (sender, mut inputs) = mpsc::channel(self.settings.input_queue);
        reader.spawn(ends::read(first, messages, self.decoder(&version, phase), sender));

        let aggregation = match version.spec().kind {
            // Whether its answer names groups is known from the schema only.
            FunctionKind::Aggregate { .. } => Some(self.aggregation(phase, &mut inputs).await?),
            _ => None,
        };
        let grouped = aggregation.as_ref().is_some_and(Aggregation::is_grouped);
        let mut encoder = ResultEncoder::new(signature::outputs(&version, phase, grouped));
        ends::send(&self.results, encoder.schema(), self.settings.idle).await?;
        let (answers, queue) = mpsc::channel(1);
        writer.spawn(ends::write(queue, encoder, self.results.clone(), self.settings.idle));

        let mut session = self.functions.open(&version).await?;
        if self.caller.logs {
            session.keep_logs();
        }
        let outcome = match (&version.spec().kind, aggregation) {
            (FunctionKind::Scalar | FunctionKind::Vectorized, _) => {
                self.batches(&version, session, &mut inputs, &answers, meter).await
            }
            (kind, aggregation) => {
                let outcome = match aggregation {
                    Some(aggregation) => {
                        self.aggregate(&mut session, aggregation, &mut inputs, &answers, meter).await
                    }
                    None if *kind == FunctionKind::Map => {
                        self.map(&mut session, inputs, &answers, meter).await
                    }
                    None => self.table(&version, &mut session, &mut inputs, &answers, meter).await,
                };
                if outcome.is_err() && self.caller.logs {
                    self.last_logs(&mut session, &answers).await;
                }
                outcome
            }
        };
        drop(answers);
        // What was computed reaches the client before an error does.
        match writer.join_next().await {
            Some(Ok(written)) => written?,
            _ => return Err(ExchangeError::Lost),
        }
        outcome
    }

    fn decoder(&self, version: &Version, phase: Phase) -> InputDecoder {
        let spec = version.spec();
        let takes_rows = !matches!(spec.kind, FunctionKind::Aggregate { .. } | FunctionKind::Map);
        let inputs = signature::inputs(spec, phase);
        let conversion = match version.dialect {
            Dialect::DatabendUdf | Dialect::ArrowUdf => Conversion::Conform(inputs),
            Dialect::Databend if inputs.iter().any(wide::is_wide) => Conversion::Wide(inputs),
            _ => Conversion::None,
        };
        InputDecoder::new(self.settings.limits, takes_rows && spec.parameters.is_empty(), conversion)
    }

    /// Any number of answers for each batch, and one without rows that says which was the last.
    async fn table(
        &self,
        version: &Version,
        session: &mut Session,
        inputs: &mut Inputs,
        answers: &Answers,
        meter: &Arc<ExchangeMeter>,
    ) -> Result<(), ExchangeError> {
        let foreign = matches!(version.dialect, Dialect::DatabendUdf | Dialect::ArrowUdf);
        let form = match version.dialect {
            Dialect::DatabendUdf => TableForm::Columns,
            _ => TableForm::RowAndValue,
        };
        let mut number = 0;
        while let Some(batch) = self.batch(inputs, meter).await? {
            let sender = answers.clone();
            let report = session.run(move |sandbox| {
                stream::expand(sandbox, &batch, number, form, &sender)?;
                let report = Report::default().usage(sandbox.usage()).logs(sandbox.take_logs());
                Ok::<_, ExchangeError>(report.input(number, true))
            });
            let report = report.await??;
            // Callers of other projects' servers do not know such an answer.
            if !foreign || self.caller.logs {
                let answer = Answer { columns: None, report };
                answers.send(answer).await.map_err(|_| ExchangeError::Gone)?;
            }
            number += 1;
        }
        Ok(())
    }

    /// Answers as they come, from one call of the function.
    async fn map(
        &self,
        session: &mut Session,
        inputs: Inputs,
        answers: &Answers,
        meter: &Arc<ExchangeMeter>,
    ) -> Result<(), ExchangeError> {
        let (sender, network, idle) = (answers.clone(), Handle::current(), self.settings.idle);
        let (metrics, meter) = (Arc::clone(&self.metrics), Arc::clone(meter));
        let count = move |rows| {
            meter.batch(rows);
            metrics.stats().batch();
        };
        let report = session.run(move |sandbox| {
            stream::map(sandbox, inputs, &sender, &network, idle, &count)?;
            let report = Report::default().usage(sandbox.usage()).logs(sandbox.take_logs());
            Ok::<_, ExchangeError>(report)
        });
        let report = report.await??;
        if self.caller.logs {
            let answer = Answer { columns: None, report };
            answers.send(answer).await.map_err(|_| ExchangeError::Gone)?;
        }
        Ok(())
    }

    async fn aggregation(&self, phase: Phase, inputs: &mut Inputs) -> Result<Aggregation, ExchangeError> {
        Ok(match self.input(inputs).await? {
            Input::Schema(schema) => Aggregation::new(phase, Some(&schema)),
            _ => Aggregation::new(phase, None),
        })
    }

    /// One answer for the whole stream.
    async fn aggregate(
        &self,
        session: &mut Session,
        mut aggregation: Aggregation,
        inputs: &mut Inputs,
        answers: &Answers,
        meter: &Arc<ExchangeMeter>,
    ) -> Result<(), ExchangeError> {
        while let Some(batch) = self.batch(inputs, meter).await? {
            let fold = session.run(move |sandbox| {
                let folded = aggregation.fold(sandbox, &batch);
                (aggregation, folded)
            });
            let folded;
            (aggregation, folded) = fold.await?;
            folded?;
        }
        let answer = session.run(move |sandbox| {
            let columns = Some(aggregation.end(sandbox)?);
            let report = Report::default().usage(sandbox.usage()).logs(sandbox.take_logs());
            Ok::<_, ExchangeError>(Answer { columns, report })
        });
        answers.send(answer.await??).await.map_err(|_| ExchangeError::Gone)
    }

    /// What a failed call wrote, for a caller who asked for it.
    pub(super) async fn last_logs(&self, session: &mut Session, answers: &Answers) {
        let logs = session.run(|sandbox| sandbox.take_logs()).await;
        if let Ok(Some(logs)) = logs {
            let answer = Answer { columns: None, report: Report::default().logs(Some(logs)) };
            // Fails when the client is gone.
            let _ = answers.send(answer).await;
        }
    }

    async fn input(&self, inputs: &mut Inputs) -> Result<Input, ExchangeError> {
        match tokio::time::timeout(self.settings.idle, inputs.recv()).await {
            Ok(input) => input.ok_or(ExchangeError::Lost)?,
            Err(_) => Err(self.idle()),
        }
    }

    /// The next batch, until the stream has ended. Nothing is lost when the future is dropped.
    pub(super) async fn batch(
        &self,
        inputs: &mut Inputs,
        meter: &ExchangeMeter,
    ) -> Result<Option<RecordBatch>, ExchangeError> {
        loop {
            match self.input(inputs).await? {
                Input::Batch(batch) => {
                    self.count(meter, &batch);
                    return Ok(Some(batch));
                }
                Input::End => return Ok(None),
                Input::Schema(_) => {}
            }
        }
    }

    fn count(&self, meter: &ExchangeMeter, batch: &RecordBatch) {
        meter.batch(batch.num_rows());
        self.metrics.stats().batch();
    }

    fn idle(&self) -> ExchangeError {
        ExchangeError::Idle { limit_s: self.settings.idle.as_secs() }
    }
}
