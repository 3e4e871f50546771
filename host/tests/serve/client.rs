//! A server inside the test's process, and a client of it over the wire.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::utils::batches_to_flight_data;
use arrow_flight::{FlightData, FlightDescriptor};
use futures::{Stream, TryStreamExt as _};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::metadata::{Ascii, MetadataKey};
use tonic::transport::Channel;
use tonic::{Request, Status};
use vivarium_host::config::Config;
use vivarium_host::server::{Ended, Listeners, Reload, Server, ServerError};
use vivarium_proto::udfproto::udf_service_client::UdfServiceClient;
use vivarium_proto::udfproto::{ApplyUdfResourceRequest, ApplyUdfResourceResponse};
use vivarium_runtime::{Engine, EngineConfig};

/// A running server. Dropping it cuts everything off.
pub(crate) struct TestServer {
    pub(crate) state: tempfile::TempDir,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) reload: Reload,
    pub(crate) status: Option<std::net::SocketAddr>,
    shutdown: Option<oneshot::Sender<()>>,
    running: JoinHandle<Ended>,
}

/// The engine of all tests of this binary: compiled once, kept between runs.
fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let make = || {
        let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("vivarium-cache");
        let config = EngineConfig { cache_dir: Some(cache), ..EngineConfig::default() };
        Engine::new(config).expect("the sandbox starts")
    };
    ENGINE.get_or_init(make).clone()
}

fn configuration(state: &tempfile::TempDir, change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    config.server.flight_address = "127.0.0.1:0".parse().unwrap();
    config.server.provisioning_address = config.server.flight_address;
    config.server.state_dir = state.path().to_owned();
    config.server.host_memory_bytes = 8 << 30;
    config.limits.memory_bytes = 128 << 20;
    change(&mut config);
    config.check().unwrap();
    config
}

impl TestServer {
    pub(crate) async fn start(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change).await
    }

    pub(crate) async fn start_in(state: tempfile::TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let config = configuration(&state, change);
        let listeners = Listeners::bind(&config).await.unwrap();
        let server = Server::with_engine(config, listeners, engine()).unwrap();
        let (address, status) = (server.addresses().flight, server.addresses().status);
        let reload = server.reload();
        let (shutdown, on_shutdown) = oneshot::channel::<()>();
        let running = tokio::spawn(async move {
            server.run(async { drop(on_shutdown.await) }, std::future::pending()).await.unwrap()
        });
        Self { state, address, reload, status, shutdown: Some(shutdown), running }
    }

    /// Why a server does not start.
    pub(crate) async fn refused(change: impl FnOnce(&mut Config)) -> ServerError {
        let state = tempfile::tempdir().unwrap();
        let config = configuration(&state, change);
        match Listeners::bind(&config).await {
            Ok(listeners) => Server::with_engine(config, listeners, engine()).expect_err("it starts"),
            Err(error) => error,
        }
    }

    /// Stops the server gracefully; its state directory stays.
    pub(crate) async fn stop(mut self) -> (Ended, tempfile::TempDir) {
        self.begin_stop();
        (self.running.await.unwrap(), self.state)
    }

    pub(crate) fn begin_stop(&mut self) {
        self.shutdown.take();
    }

    pub(crate) async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    /// Provisions a function and returns how to call it.
    pub(crate) async fn function(&self, tenant: &str, handler: &str, code: &str) -> Function {
        let spec = specification(handler, code);
        let response = self.apply(tenant, &spec.to_string()).await.unwrap();
        assert_eq!(response.endpoint, format!("http://{}", self.address));
        let headers = response.headers.into_iter().collect();
        Function { channel: self.channel().await, handler: handler.to_owned(), headers }
    }

    pub(crate) async fn apply(&self, tenant: &str, spec: &str) -> Result<ApplyUdfResourceResponse, Status> {
        apply(self.channel().await, tenant, spec).await
    }
}

/// Provisions a function over any channel.
pub(crate) async fn apply(
    channel: Channel,
    tenant: &str,
    spec: &str,
) -> Result<ApplyUdfResourceResponse, Status> {
    let mut request = Request::new(ApplyUdfResourceRequest { spec: spec.to_owned(), imports: Vec::new() });
    request.metadata_mut().insert("x-databend-tenant", tenant.parse().unwrap());
    let mut client = UdfServiceClient::new(channel);
    client.apply_udf_resource(request).await.map(tonic::Response::into_inner)
}

/// A definition of two nullable 64-bit integers to one.
pub(crate) fn specification(handler: &str, code: &str) -> serde_json::Value {
    json!({
        "version": 1, "kind": "udf", "language": "python", "handler": handler,
        "input_types": ["BIGINT NULL", "BIGINT NULL"], "result_type": "BIGINT NULL",
        "imports": [], "packages": [], "runtime_version": "3.12.2", "code": code
    })
}

/// A provisioned function: what a client needs to call it.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) channel: Channel,
    pub(crate) handler: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Function {
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        for (name, value) in &self.headers {
            let name = MetadataKey::<Ascii>::from_bytes(name.as_bytes()).unwrap();
            request.metadata_mut().insert(name, value.parse().unwrap());
        }
        request
    }

    pub(crate) fn descriptor(&self) -> FlightDescriptor {
        FlightDescriptor::new_path(vec![self.handler.clone()])
    }

    /// Opens an exchange over ready-made messages. The response stream must open, whatever happens
    /// later.
    pub(crate) async fn exchange(
        &self,
        messages: impl Stream<Item = FlightData> + Send + 'static,
    ) -> tonic::Streaming<FlightData> {
        let mut client = FlightServiceClient::new(self.channel.clone());
        let response = client.do_exchange(self.request(messages)).await;
        response.expect("the response stream opens before anything can fail").into_inner()
    }

    /// The messages of some batches, the descriptor in the first.
    pub(crate) fn messages(
        &self,
        batches: Vec<RecordBatch>,
    ) -> impl Stream<Item = FlightData> + Send + use<> {
        let mut messages = batches_to_flight_data(&schema(), batches).unwrap();
        messages[0].flight_descriptor = Some(self.descriptor());
        futures::stream::iter(messages)
    }

    /// Runs some batches and returns the results.
    pub(crate) async fn call(&self, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>, Status> {
        let answers = self.exchange(self.messages(batches)).await;
        FlightRecordBatchStream::new_from_flight_data(answers.map_err(FlightError::from))
            .try_collect()
            .await
            .map_err(|error| match error {
                FlightError::Tonic(status) => *status,
                other => panic!("not a status: {other}"),
            })
    }

    /// Runs one batch of one row.
    pub(crate) async fn call_one(&self, left: i64, right: i64) -> Result<Option<i64>, Status> {
        let results = self.call(vec![batch(&[left], &[right])]).await?;
        Ok(values(&results[0])[0])
    }
}

fn schema() -> Schema {
    let field = |name| Field::new(name, DataType::Int64, true);
    Schema::new(vec![field("arg1"), field("arg2")])
}

pub(crate) fn batch(left: &[i64], right: &[i64]) -> RecordBatch {
    let column = |values: &[i64]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
    RecordBatch::try_new(Arc::new(schema()), vec![column(left), column(right)]).unwrap()
}

pub(crate) fn values(result: &RecordBatch) -> Vec<Option<i64>> {
    let column = result.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
    column.iter().collect()
}
