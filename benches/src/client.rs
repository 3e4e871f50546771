//! A client as engines have one: provisions functions and calls them, over one HTTP/2 connection.

use anyhow::{Context as _, ensure};
use arrow::array::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{FlightData, FlightDescriptor};
use futures::TryStreamExt as _;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataKey, MetadataValue};
use tonic::transport::Channel;
use vivarium_proto::udfproto::ApplyUdfResourceRequest;
use vivarium_proto::udfproto::udf_service_client::UdfServiceClient;

/// Name of every function here.
const HANDLER: &str = "f";

/// Largest message of an answer, in bytes.
const MESSAGE_MAX: usize = 1 << 30;

/// A connection to a server.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: String,
    channel: Channel,
}

/// A function `f` as it is provisioned.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Its code.
    pub code: String,
    /// Its parameters, as SQL names types.
    pub inputs: Vec<&'static str>,
    /// Its result likewise.
    pub result: &'static str,
}

/// A function that can be called: the headers that permit it.
#[derive(Clone, Debug)]
pub struct Function(Vec<(MetadataKey<Ascii>, MetadataValue<Ascii>)>);

/// A batch as it is sent, encoded once: the client's encoding is not what is measured.
#[derive(Clone, Debug)]
pub struct Messages {
    head: Vec<FlightData>,
    batch: FlightData,
    rows: usize,
}

impl Definition {
    /// A function of some `BIGINT` that returns one.
    pub fn of_integers(code: impl Into<String>, inputs: usize) -> Self {
        Self { code: code.into(), inputs: vec!["BIGINT"; inputs], result: "BIGINT" }
    }
}

impl Messages {
    /// Encodes a batch.
    ///
    /// # Errors
    /// When it does not fit into one message.
    pub fn new(batch: &RecordBatch) -> anyhow::Result<Self> {
        let rows = batch.num_rows();
        let encoder = FlightDataEncoderBuilder::new()
            .with_flight_descriptor(Some(FlightDescriptor::new_path(vec![HANDLER.into()])))
            .with_max_flight_data_size(MESSAGE_MAX)
            .build(futures::stream::iter([Ok(batch.clone())]));
        let messages: Result<Vec<_>, FlightError> = futures::executor::block_on(encoder.try_collect());
        let mut head = messages?;
        let batch = head.pop().context("a batch is a message")?;
        Ok(Self { head, batch, rows })
    }
}

impl Client {
    /// Opens a connection to `http://host:port`.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn connect(endpoint: &str) -> anyhow::Result<Self> {
        let channel = Channel::from_shared(endpoint.to_owned())?
            .tcp_nodelay(true)
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(16 << 20)
            .connect()
            .await
            .with_context(|| format!("nobody listens at {endpoint}"))?;
        Ok(Self { endpoint: endpoint.to_owned(), channel })
    }

    /// Another connection to the same server.
    ///
    /// # Errors
    /// When it does not listen any more.
    pub async fn again(&self) -> anyhow::Result<Self> {
        Self::connect(&self.endpoint).await
    }

    /// Provisions a function: one `ApplyUdfResource`.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn provision(&self, tenant: &str, definition: &Definition) -> anyhow::Result<Function> {
        let spec = serde_json::json!({
            "version": 1, "kind": "udf", "language": "python", "handler": HANDLER,
            "input_types": definition.inputs, "result_type": definition.result, "imports": [],
            "packages": [], "runtime_version": "3.13", "code": definition.code,
        });
        let mut request = Request::new(ApplyUdfResourceRequest { spec: spec.to_string(), imports: vec![] });
        request.metadata_mut().insert("x-databend-tenant", tenant.parse()?);
        let mut client = UdfServiceClient::new(self.channel.clone());
        let answer = client.apply_udf_resource(request).await?.into_inner();
        let headers = answer.headers.into_iter().map(|(name, value)| {
            Ok((MetadataKey::from_bytes(name.as_bytes())?, value.parse::<MetadataValue<Ascii>>()?))
        });
        Ok(Function(headers.collect::<anyhow::Result<_>>()?))
    }

    /// One exchange of so many of the same batch; returns when the last answer is there.
    ///
    /// # Errors
    /// When the exchange fails, or not every row is answered.
    pub async fn exchange(&self, function: &Function, sent: &Messages, times: usize) -> anyhow::Result<()> {
        let batches = std::iter::repeat_n(sent.batch.clone(), times);
        let messages: Vec<_> = sent.head.iter().cloned().chain(batches).collect();
        let mut request = Request::new(futures::stream::iter(messages));
        for (name, value) in &function.0 {
            request.metadata_mut().insert(name, value.clone());
        }
        let client = FlightServiceClient::new(self.channel.clone());
        let mut client = client.max_decoding_message_size(MESSAGE_MAX).max_encoding_message_size(MESSAGE_MAX);
        let answer = client.do_exchange(request).await?.into_inner();
        let mut results = FlightRecordBatchStream::new_from_flight_data(answer.map_err(FlightError::from));
        let mut rows = 0;
        while let Some(batch) = results.try_next().await? {
            rows += batch.num_rows();
        }
        ensure!(rows == sent.rows * times, "{rows} of {} rows were answered", sent.rows * times);
        Ok(())
    }
}
