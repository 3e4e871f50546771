//! Accepting connections, a bounded number at a time, with or without TLS.
//!
//! Whoever connects has to come to the point: a TLS handshake has a time limit and a bounded number of
//! them is worked on, and without TLS the client's first bytes, the opening of HTTP/2, have the same limit.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::tls::{Peer, Tls};

/// Pause after a failed accept: running out of file descriptors fails again at once.
const RETRY: Duration = Duration::from_millis(50);

/// Bytes that a client sends before anything else: HTTP/2's preface and the head of its first frame. A
/// request of HTTP/1.1, with the host that it must name, is longer.
const OPENING_BYTES: usize = 24 + 9;

/// The connections that may be open at the same time, over all listeners.
#[derive(Clone, Debug)]
pub(crate) struct Connections {
    places: Arc<Semaphore>,
    /// Longest time until a client has opened HTTP, with TLS behind the handshake.
    opening: Duration,
}

/// An open connection; closing it makes room for another.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Transport,
    peer: Peer,
    opening: Option<Opening>,
    _place: Place,
}

/// A place among the connections.
#[derive(Debug)]
struct Place {
    opening: Duration,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What a client still has to send, and until when.
#[derive(Debug)]
struct Opening {
    bytes: usize,
    until: Pin<Box<Sleep>>,
}

/// What a listener works on.
struct Accepting {
    listener: TcpListener,
    connections: Connections,
    tls: Option<Arc<Tls>>,
    handshakes: JoinSet<Option<Connection>>,
    /// Accepted, but there was no place for it yet.
    accepted: Option<TcpStream>,
}

impl Connections {
    pub(crate) fn new(limit: usize, opening: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))), opening }
    }

    /// Takes connections from a listener while there is room; one waits here and the others in the
    /// operating system's queue. Ends only by being dropped.
    pub(crate) fn accept(
        &self,
        listener: TcpListener,
        tls: Option<Arc<Tls>>,
    ) -> impl Stream<Item = io::Result<Connection>> + use<> {
        let accepting = Accepting {
            listener,
            connections: self.clone(),
            tls,
            handshakes: JoinSet::new(),
            accepted: None,
        };
        futures::stream::unfold(accepting, |mut accepting| async move {
            let connection = accepting.next().await?;
            Some((Ok(connection), accepting))
        })
    }
}

impl Accepting {
    /// The next connection that is ready for HTTP; `None` when there are no places any more.
    async fn next(&mut self) -> Option<Connection> {
        loop {
            let has_room = self.tls.as_ref().is_none_or(|tls| self.handshakes.len() < tls.max_handshakes());
            tokio::select! {
                // Whoever has a connection already comes first.
                biased;
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return Some(connection);
                    }
                }
                accepted = accept(&self.listener, &mut self.accepted, &self.connections), if has_room => {
                    let (stream, place) = accepted?;
                    match &self.tls {
                        None => return Some(Connection::plain(stream, place)),
                        Some(tls) => drop(self.handshakes.spawn(handshake(Arc::clone(tls), stream, place))),
                    }
                }
            }
        }
    }
}

/// Takes a connection and gives it a place once there is one. A listener that has no connection holds no
/// place that another could use. May be dropped at any time: a connection that was taken stays in `accepted`.
async fn accept(
    listener: &TcpListener,
    accepted: &mut Option<TcpStream>,
    connections: &Connections,
) -> Option<(TcpStream, Place)> {
    while accepted.is_none() {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
                }
                *accepted = Some(stream);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    let place = Arc::clone(&connections.places).acquire_owned().await.ok()?;
    let place = Place { opening: connections.opening, _permit: place };
    accepted.take().map(|stream| (stream, place))
}

async fn handshake(tls: Arc<Tls>, stream: TcpStream, place: Place) -> Option<Connection> {
    let address = stream.peer_addr().ok();
    let handshake = TlsAcceptor::from(tls.current()).accept(stream);
    match tokio::time::timeout(tls.handshake_timeout(), handshake).await {
        Ok(Ok(stream)) => {
            let names = tls.names(stream.get_ref().1);
            Some(Connection::new(Transport::Tls(Box::new(stream)), Peer { address, names }, place))
        }
        Ok(Err(error)) => {
            tracing::debug!(?address, %error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(?address, "a TLS handshake took too long (limit tls.handshake_timeout_s)");
            None
        }
    }
}

impl Connection {
    fn plain(stream: TcpStream, place: Place) -> Self {
        let address = stream.peer_addr().ok();
        Self::new(Transport::Plain(stream), Peer { address, names: None }, place)
    }

    fn new(stream: Transport, peer: Peer, place: Place) -> Self {
        let until = Box::pin(sleep_until(Instant::now() + place.opening));
        Self { stream, peer, opening: Some(Opening { bytes: OPENING_BYTES, until }), _place: place }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        if let Some(opening) = &mut self.opening {
            opening.bytes = opening.bytes.saturating_sub(buffer.filled().len() - before);
            if opening.bytes == 0 {
                self.opening = None;
            } else if read.is_pending() && opening.until.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(context),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_listener_without_connections_holds_no_place() {
        let connections = Connections::new(1, Duration::from_secs(60));
        let listen = || TcpListener::bind("127.0.0.1:0");
        let (idle, busy) = (listen().await.unwrap(), listen().await.unwrap());
        let address = busy.local_addr().unwrap();
        let mut idle = Box::pin(connections.accept(idle, None));
        let mut busy = Box::pin(connections.accept(busy, None));
        assert!(futures::poll!(idle.next()).is_pending());
        let mut clients = Vec::new();
        let mut served = None;
        for _ in 0..3 {
            clients.push(TcpStream::connect(address).await.unwrap());
            // The one place is that of the last connection.
            drop(served.take());
            let next = tokio::time::timeout(Duration::from_secs(60), busy.next());
            served = next.await.expect("the idle listener has the place");
            assert!(futures::poll!(idle.next()).is_pending());
        }
        // Nor does a connection without a place get lost when nobody waits for it.
        clients.push(TcpStream::connect(address).await.unwrap());
        let early = tokio::time::timeout(Duration::from_millis(200), busy.next()).await;
        assert!(early.is_err(), "there are more connections than places");
        drop(served);
        let next = tokio::time::timeout(Duration::from_secs(60), busy.next()).await;
        assert!(matches!(next, Ok(Some(Ok(_)))));
    }
}
