//! The whole server over loopback: rows a second through one exchange, and what one row costs.
//!
//! Server and client share the machine's cores, as they do for whoever tries it at home.

#![expect(clippy::expect_used, reason = "a benchmark has no callers")]

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{FlightData, FlightDescriptor};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::runtime::Runtime;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataKey};
use tonic::transport::Channel;
use vivarium_benches::{BATCH_ROWS, engine, integers};
use vivarium_host::config::Config;
use vivarium_host::server::{Listeners, Server};
use vivarium_proto::udfproto::ApplyUdfResourceRequest;
use vivarium_proto::udfproto::udf_service_client::UdfServiceClient;

/// A million rows.
const BATCHES: usize = 16;

fn flight(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("an async runtime");
    let state = tempfile::tempdir().expect("a folder for the server's state");
    let function = runtime.block_on(Function::provision(state.path()));
    let million = function.messages(&vec![integers(2, BATCH_ROWS); BATCHES]);
    let row = function.messages(&[integers(2, 1)]);

    let mut group = criterion.benchmark_group("flight");
    group.sample_size(20);
    group.throughput(Throughput::Elements((BATCHES * BATCH_ROWS) as u64));
    group.bench_function("int64 a + b, one exchange", |bencher| {
        bencher.iter(|| runtime.block_on(function.call(million.clone(), BATCHES * BATCH_ROWS)));
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("one row, open connection", |bencher| {
        bencher.iter(|| runtime.block_on(function.call(row.clone(), 1)));
    });
    group.bench_function("one row, new connection", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let function = Function { channel: connect(&function.endpoint).await, ..function.clone() };
                function.call(row.clone(), 1).await;
            });
        });
    });
    group.finish();
}

#[derive(Clone)]
struct Function {
    endpoint: String,
    channel: Channel,
    headers: Vec<(String, String)>,
}

impl Function {
    /// Starts a server and provisions `add`.
    async fn provision(state: &std::path::Path) -> Self {
        let mut config = Config::default();
        config.server.flight_address = "127.0.0.1:0".parse().expect("an address");
        config.server.provisioning_address = config.server.flight_address;
        config.server.state_dir = state.to_owned();
        let listeners = Listeners::bind(&config).await.expect("free ports");
        let server = Server::with_engine(config, listeners, engine()).expect("the server starts");
        let endpoint = format!("http://{}", server.addresses().flight);
        tokio::spawn(server.run(std::future::pending(), std::future::pending()));

        let spec = r#"{"version": 1, "kind": "udf", "language": "python", "handler": "add",
            "input_types": ["BIGINT", "BIGINT"], "result_type": "BIGINT", "imports": [], "packages": [],
            "runtime_version": "3.13", "code": "def add(a, b): return a + b"}"#;
        let mut request = Request::new(ApplyUdfResourceRequest { spec: spec.into(), imports: Vec::new() });
        request.metadata_mut().insert("x-databend-tenant", "bench".parse().expect("a tenant"));
        let channel = connect(&endpoint).await;
        let mut client = UdfServiceClient::new(channel.clone());
        let answer = client.apply_udf_resource(request).await.expect("it is provisioned").into_inner();
        Self { endpoint, channel, headers: answer.headers.into_iter().collect() }
    }

    /// Encoded once: the client's own encoding is not what is measured.
    fn messages(&self, batches: &[RecordBatch]) -> Arc<Vec<FlightData>> {
        let batches = batches.to_vec();
        let encoder = FlightDataEncoderBuilder::new()
            .with_flight_descriptor(Some(FlightDescriptor::new_path(vec!["add".into()])))
            .with_max_flight_data_size(16 << 20)
            .build(futures::stream::iter(batches.into_iter().map(Ok)));
        let messages: Result<Vec<_>, FlightError> = futures::executor::block_on(encoder.try_collect());
        Arc::new(messages.expect("batches can be encoded"))
    }

    async fn call(&self, messages: Arc<Vec<FlightData>>, rows: usize) {
        let stream = futures::stream::iter(0..messages.len()).map(move |index| messages[index].clone());
        let mut request = Request::new(stream);
        for (name, value) in &self.headers {
            let name = MetadataKey::<Ascii>::from_bytes(name.as_bytes()).expect("a header name");
            request.metadata_mut().insert(name, value.parse().expect("a header value"));
        }
        let mut client = FlightServiceClient::new(self.channel.clone()).max_decoding_message_size(1 << 30);
        let answer = client.do_exchange(request).await.expect("the exchange opens").into_inner();
        let results = FlightRecordBatchStream::new_from_flight_data(answer.map_err(FlightError::from));
        let results: Vec<RecordBatch> = results.try_collect().await.expect("every batch is answered");
        assert_eq!(results.iter().map(RecordBatch::num_rows).sum::<usize>(), rows);
    }
}

async fn connect(endpoint: &str) -> Channel {
    Channel::from_shared(endpoint.to_owned())
        .expect("an endpoint")
        .tcp_nodelay(true)
        .connect()
        .await
        .expect("the server listens")
}

criterion_group!(benches, flight);
criterion_main!(benches);
