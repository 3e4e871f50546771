//! The whole server over loopback: rows a second through one exchange, and what one row costs.
//!
//! Server and client share the machine's cores, as they do for whoever tries it at home.

#![expect(clippy::expect_used, reason = "a benchmark has no callers")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use vivarium_benches::client::{Client, Definition, Function, Messages};
use vivarium_benches::{BATCH_ROWS, engine, integers};
use vivarium_host::config::Config;
use vivarium_host::server::{Listeners, Server};

/// A million rows.
const BATCHES: usize = 16;

fn flight(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("an async runtime");
    let state = tempfile::tempdir().expect("a folder for the server's state");
    let (client, function) = runtime.block_on(provision(state.path()));
    let million = Messages::new(&integers(2, BATCH_ROWS)).expect("batches can be encoded");
    let row = Messages::new(&integers(2, 1)).expect("batches can be encoded");
    let call = async |client: &Client, sent: &Messages, times| {
        client.exchange(&function, sent, times).await.expect("every batch is answered");
    };

    let mut group = criterion.benchmark_group("flight");
    group.sample_size(20);
    group.throughput(Throughput::Elements((BATCHES * BATCH_ROWS) as u64));
    group.bench_function("int64 a + b, one exchange", |bencher| {
        bencher.iter(|| runtime.block_on(call(&client, &million, BATCHES)));
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("one row, open connection", |bencher| {
        bencher.iter(|| runtime.block_on(call(&client, &row, 1)));
    });
    group.bench_function("one row, new connection", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let client = client.again().await.expect("the server listens");
                call(&client, &row, 1).await;
            });
        });
    });
    group.finish();
}

/// Starts a server in this process and provisions a sum.
async fn provision(state: &std::path::Path) -> (Client, Function) {
    let mut config = Config::default();
    config.server.flight_address = "127.0.0.1:0".parse().expect("an address");
    config.server.provisioning_address = config.server.flight_address;
    config.server.state_dir = state.to_owned();
    let listeners = Listeners::bind(&config).await.expect("free ports");
    let server = Server::with_engine(config, listeners, engine()).expect("the server starts");
    let endpoint = format!("http://{}", server.addresses().flight);
    tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    let client = Client::connect(&endpoint).await.expect("the server listens");
    let sum = Definition::of_integers("def f(a, b): return a + b", 2);
    let function = client.provision("bench", &sum).await.expect("it is provisioned");
    (client, function)
}

criterion_group!(benches, flight);
criterion_main!(benches);
