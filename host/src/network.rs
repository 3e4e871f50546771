//! The threads that serve connections.
//!
//! Each has an async runtime of its own, and a connection stays on the thread that took it: what is done
//! for a call there, reading, decoding, waiting for workers, encoding, wakes no other network thread.
//! On a small machine such a wake costs more than the rest of a short call. Threads accept from the same
//! listener, so that a new connection goes to one that has time.

use std::future::Future;
use std::net::TcpListener;
use std::thread;

use tokio::runtime;
use tokio::sync::{mpsc, watch};

use crate::priority;

/// Why the network threads ended before they should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The operating system refused a thread, or what its runtime needs.
    #[error("cannot start a network thread")]
    Thread(#[source] std::io::Error),
    /// The listener cannot be used by a further thread.
    #[error("a network thread cannot use the listening socket")]
    Listener(#[source] std::io::Error),
    /// A connection could not be served for a reason that concerns all.
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
    /// A thread panicked.
    #[error("a network thread gave up")]
    Lost,
}

/// Does each piece of work on a thread of its own, until all have ended or one has failed. Dropping the
/// future drops the work on its threads.
pub(crate) async fn on_threads<W, F>(works: Vec<W>) -> Result<(), NetworkError>
where
    W: FnOnce() -> F + Send + 'static,
    F: Future<Output = Result<(), NetworkError>>,
{
    let (_wanted, is_wanted) = watch::channel(());
    let threads = works.len();
    let (outcomes, mut ended) = mpsc::channel(threads.max(1));
    for (index, work) in works.into_iter().enumerate() {
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(NetworkError::Thread)?;
        let (outcomes, mut is_wanted) = (outcomes.clone(), is_wanted.clone());
        let serve = move || {
            priority::react_quickly();
            runtime.block_on(async {
                tokio::select! {
                    outcome = work() => drop(outcomes.send(outcome).await),
                    // Nothing is ever sent: the other end is gone.
                    _ = is_wanted.changed() => {}
                }
            });
            // What blocks is not waited for.
            runtime.shutdown_background();
        };
        thread::Builder::new().name(format!("network-{index}")).spawn(serve).map_err(NetworkError::Thread)?;
    }
    drop(outcomes);
    for _ in 0..threads {
        ended.recv().await.ok_or(NetworkError::Lost)??;
    }
    Ok(())
}

/// One more owner of a listening socket, which is closed with the last of them.
pub(crate) fn share(socket: &TcpListener) -> Result<TcpListener, NetworkError> {
    socket.try_clone().map_err(NetworkError::Listener)
}

/// A listener of the calling thread's runtime.
pub(crate) fn listener(socket: TcpListener) -> Result<tokio::net::TcpListener, NetworkError> {
    tokio::net::TcpListener::from_std(socket).map_err(NetworkError::Listener)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn work_is_done_on_each_thread() {
        let done = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&done);
        let work = move || {
            let count = Arc::clone(&count);
            async move {
                count.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        };
        on_threads(vec![work.clone(), work.clone(), work]).await.unwrap();
        assert_eq!(done.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn the_first_failure_ends_all() {
        let (dropped, mut is_dropped) = mpsc::channel::<()>(1);
        let count = Arc::new(AtomicUsize::new(0));
        let work = move || {
            let (dropped, number) = (dropped.clone(), count.fetch_add(1, Ordering::Relaxed));
            async move {
                let _dropped = dropped;
                if number == 0 { Err(NetworkError::Lost) } else { std::future::pending().await }
            }
        };
        assert!(matches!(on_threads(vec![work.clone(), work.clone(), work]).await, Err(NetworkError::Lost)));
        assert!(is_dropped.recv().await.is_none(), "the other threads' work is dropped");
    }

    #[tokio::test]
    async fn a_panic_is_a_failure() {
        let work = || async { panic!("on purpose") };
        assert!(matches!(on_threads(vec![work]).await, Err(NetworkError::Lost)));
    }
}
