//! Connections: bounded, and their places come back.

use std::num::NonZeroUsize;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::TestServer;

/// HTTP/2's preface, and settings that change nothing.
const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn open(server: &TestServer) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(OPENING).await.unwrap();
    stream
}

/// Waits for the server's first byte: it says nothing to connections without a place.
async fn served(stream: &mut TcpStream) {
    let first = tokio::time::timeout(Duration::from_secs(60), stream.read_u8());
    first.await.expect("it has no place").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_60_connections_are_bounded_and_their_places_come_back() {
    const PLACES: usize = 3;
    let server = TestServer::start(|config| {
        config.server.max_connections = NonZeroUsize::new(PLACES).unwrap();
    })
    .await;
    let mut connections = Vec::new();
    for _ in 0..PLACES {
        let mut connection = open(&server).await;
        served(&mut connection).await;
        connections.push(connection);
    }
    let mut waiting = open(&server).await;
    let early = tokio::time::timeout(Duration::from_millis(500), waiting.read_u8()).await;
    assert!(early.is_err(), "there are more connections than places");
    for turn in 0..3 * PLACES {
        connections.remove(turn % PLACES);
        served(&mut waiting).await;
        connections.push(std::mem::replace(&mut waiting, open(&server).await));
    }
}
