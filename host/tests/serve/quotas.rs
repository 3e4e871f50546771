//! Quotas of tenants: refused before any work, with figures, and visible.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Status};
use vivarium_host::config::{Config, TenantOverride};

use crate::client::{Function, TestServer, batch, specification};

const ADD: &str = "def add(a, b): return a + b";

/// What the server tells whoever watches it.
async fn watch(server: &TestServer, path: &str) -> String {
    let mut stream = TcpStream::connect(server.status.unwrap()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

fn of_acme(config: &mut Config, quota: TenantOverride) {
    config.tenants.overrides.insert("acme".to_owned(), quota);
}

fn exhausted(status: &Status, beginning: &str) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().starts_with(beginning), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_has_used_its_fuel_is_refused_before_it_begins() {
    // A call takes hours of this quota.
    let quota = TenantOverride { fuel_per_minute: Some(1), ..TenantOverride::default() };
    let server = TestServer::start(|config| of_acme(config, quota)).await;
    let other = server.function("other", "add", ADD).await;
    let add = server.function("acme", "add", ADD).await;
    // Its image may be ready by now, and was paid for.
    let refused = loop {
        match add.call_one(1, 2).await {
            Ok(answer) => assert_eq!(answer, Some(3)),
            Err(status) => break status,
        }
    };
    exhausted(&refused, "the tenant has used ");
    let text = refused.message();
    assert!(text.contains(" units of fuel; limit tenants.fuel_per_minute is 1; retry in "), "{text}");
    assert_eq!(other.call_one(1, 2).await.unwrap(), Some(3), "another tenant");

    // Known functions are provisioned still, others would need work.
    let known = server.apply("acme", &specification("add", ADD).to_string()).await;
    assert!(known.is_ok(), "{known:?}");
    let new = specification("add", "def add(a, b): return a - b").to_string();
    exhausted(&server.apply("acme", &new).await.unwrap_err(), "the tenant has used ");

    let metrics = watch(&server, "/metrics").await;
    let line = "vivarium_quota_refusals_total{tenant=\"acme\",limit=\"tenants.fuel_per_minute\"} ";
    assert!(metrics.contains(line), "{metrics}");
    assert!(metrics.contains("vivarium_tenant_fuel_left_units{tenant=\"acme\"} -"), "{metrics}");
    assert!(!metrics.contains("vivarium_tenant_fuel_left_units{tenant=\"other\"}"), "{metrics}");
    let stats: serde_json::Value = serde_json::from_str(&watch(&server, "/stats").await).unwrap();
    assert!(stats["tenants"]["acme"]["fuel"].as_i64().unwrap() < 0, "{stats}");
    assert_eq!(stats["tenants"]["acme"]["functions"], 1, "{stats}");
    assert!(stats["request_count"].as_u64().unwrap() > 0, "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_goes_on_for_ever_pays_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("public.py");
    let source = "import vivarium\n\
        @vivarium.map_batches(parameters={\"a\": \"BIGINT\", \"b\": \"BIGINT\"}, result={\"c\": \"BIGINT\"})\n\
        def sums(batches):\n    for batch in batches:\n        yield {\"c\": batch[\"a\"].to_list()}\n";
    std::fs::write(&file, source).unwrap();
    // Public functions count for a tenant without a name.
    let server = TestServer::start(|config| {
        config.functions.files = vec![file];
        config.tenants.fuel_per_minute = 1;
    })
    .await;
    let sums = Function { channel: server.channel().await, handler: "sums".to_owned(), headers: Vec::new() };
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let mut answers = sums.exchange(tokio_stream::wrappers::ReceiverStream::new(receiver)).await;
    let messages: Vec<_> = sums.messages(vec![batch(&[1], &[2]); 3]).collect().await;
    let sending = tokio::spawn(async move {
        for message in messages {
            if sender.send(message).await.is_err() {
                break;
            }
        }
        // The stream stays open for as long as the server listens.
        sender.closed().await;
    });
    let refused = loop {
        match answers.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it goes on for ever"),
            Err(status) => break status,
        }
    };
    exhausted(&refused, "the tenant has used ");
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_and_memory_of_a_tenant_are_bounded() {
    let quota = TenantOverride {
        max_functions: NonZeroUsize::new(1),
        max_memory_bytes: Some(64 << 20),
        ..TenantOverride::default()
    };
    let server = TestServer::start(|config| of_acme(config, quota)).await;
    let add = server.function("acme", "add", ADD).await;
    let new = specification("add", "def add(a, b): return a - b").to_string();
    exhausted(
        &server.apply("acme", &new).await.unwrap_err(),
        "the tenant has 1 versions of functions whose tokens are alive, and asks for one more; limit \
         tenants.max_functions is 1; retry in ",
    );
    assert!(server.apply("other", &new).await.is_ok());
    exhausted(
        &add.call_one(1, 2).await.unwrap_err(),
        "the sandbox needs 134217728 bytes of memory; limit tenants.max_memory_bytes is 67108864",
    );
    let metrics = watch(&server, "/metrics").await;
    for limit in ["tenants.max_functions", "tenants.max_memory_bytes"] {
        let line = format!("vivarium_quota_refusals_total{{tenant=\"acme\",limit=\"{limit}\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_of_a_tenant_are_bounded() {
    let quota =
        TenantOverride { max_concurrent_exchanges: NonZeroUsize::new(1), ..TenantOverride::default() };
    let server = TestServer::start(|config| {
        of_acme(config, quota);
        config.server.exchange_wait_s = 0;
    })
    .await;
    let add = server.function("acme", "add", ADD).await;
    let other = server.function("other", "add", ADD).await;
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let mut held = add.exchange(tokio_stream::wrappers::ReceiverStream::new(receiver)).await;
    let messages: Vec<_> = add.messages(vec![batch(&[1], &[2])]).collect().await;
    for message in messages {
        sender.send(message).await.unwrap();
    }
    for _ in 0..2 {
        held.message().await.unwrap().expect("the schema, then a result: it has its place");
    }
    assert_eq!(
        add.call_one(1, 2).await.unwrap_err().message(),
        "no sandbox became free within 0 s (limit server.exchange_wait_s): tenants.max_concurrent_exchanges is 1, 1 in use, \
         1 requested; retry when another exchange has ended"
    );
    let stats: serde_json::Value = serde_json::from_str(&watch(&server, "/stats").await).unwrap();
    assert_eq!(stats["tenants"]["acme"]["sandboxes"], 1, "{stats}");
    assert_eq!(stats["tenants"]["acme"]["memory_bytes"], 128 << 20, "{stats}");
    assert_eq!(other.call_one(1, 2).await.unwrap(), Some(3));
    drop(sender);
    while held.message().await.unwrap().is_some() {}
    // The place comes back when the exchange's end has gone all the way.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while let Err(status) = add.call_one(1, 2).await {
        assert!(tokio::time::Instant::now() < deadline, "{status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
