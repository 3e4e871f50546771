//! Batches of one exchange in several sandboxes.

use futures::TryStreamExt as _;
use serde_json::Value;
use tonic::Code;

use crate::client::{TestServer, batch, values};

/// Tells how many batches its own sandbox has had; a row of 13 fails.
const COUNT: &str = "
before = 0

def count(a, b):
    global before
    before += 1
    if a == 13:
        raise ValueError('unlucky')
    return before
";

/// The first values of the answers, the last report, and how the exchange ended.
async fn count(server: &TestServer, rows: &[i64]) -> (Vec<i64>, Value, Result<(), tonic::Status>) {
    let function = server.function("acme", "count", COUNT).await;
    let batches = rows.iter().map(|row| batch(&[*row], &[0])).collect();
    let mut messages = function.exchange(function.messages(batches)).await;
    let mut decoded = Vec::new();
    let mut report = Value::Null;
    let ended = loop {
        match messages.message().await {
            Ok(Some(message)) => {
                if !message.app_metadata.is_empty() {
                    report = serde_json::from_slice(&message.app_metadata).unwrap();
                }
                decoded.push(Ok(message));
            }
            Ok(None) => break Ok(()),
            Err(status) => break Err(status),
        }
    };
    let decoded = futures::stream::iter(decoded);
    let results: Vec<_> = arrow_flight::decode::FlightRecordBatchStream::new_from_flight_data(decoded)
        .try_collect()
        .await
        .unwrap();
    let firsts = results.iter().map(|result| values(result)[0].unwrap()).collect();
    (firsts, report, ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn sandboxes_of_an_exchange_take_batches_in_turns_and_answer_in_order() {
    let cases = [(1, [1, 2, 3, 4, 5, 6, 7]), (2, [1, 1, 2, 2, 3, 3, 4]), (3, [1, 1, 1, 2, 2, 2, 3])];
    for (sandboxes, expected) in cases {
        let server = TestServer::start(|config| config.server.sandboxes_per_exchange = sandboxes).await;
        let (counts, report, ended) = count(&server, &[0; 7]).await;
        assert_eq!(counts, expected, "{sandboxes}");
        assert!(ended.is_ok());
        assert_eq!((&report["batches"], &report["rows"]), (&Value::from(7), &Value::from(7)), "{report}");
        // The same every time, whoever was faster.
        let (_, again, _) = count(&server, &[0; 7]).await;
        assert_eq!(again, report);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_before_a_failed_batch_arrive_and_none_after_it() {
    let server = TestServer::start(|config| config.server.sandboxes_per_exchange = 3).await;
    let (counts, report, ended) = count(&server, &[0, 0, 0, 0, 13, 0, 0]).await;
    assert_eq!(counts, [1, 1, 1, 2]);
    assert_eq!(report["batches"], 4);
    let status = ended.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(status.message().contains("ValueError: unlucky"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_places_to_spare_one_sandbox_takes_all_batches() {
    let server = TestServer::start(|config| {
        config.server.sandboxes_per_exchange = 4;
        config.tenants.max_concurrent_exchanges = std::num::NonZeroUsize::MIN;
    })
    .await;
    let (counts, _, ended) = count(&server, &[0; 5]).await;
    assert_eq!(counts, [1, 2, 3, 4, 5]);
    assert!(ended.is_ok());
}
