//! Work on a stream of items by several threads, with the results in the order of the items.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use thiserror::Error;

/// Items in flight for each worker: one it works on, and one that is ready when it has finished.
const WINDOW_PER_WORKER: usize = 2;

/// How many threads work, and on what stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Workers {
    /// Number of threads, at least 1.
    pub(super) count: usize,
    /// Native stack of each, in bytes.
    pub(super) stack_bytes: usize,
}

/// Why the work stopped before the last item.
#[derive(Debug, Error)]
pub(super) enum OrderedError<E> {
    /// An item could not be produced, worked on or consumed.
    #[error(transparent)]
    Work(E),
    /// The system gave no thread.
    #[error("cannot start a worker thread")]
    Thread(#[source] io::Error),
}

/// Takes `items`, lets `workers` turn each into a result, and hands the results to `consume` in the
/// order of the items, on the calling thread.
///
/// `start` makes one working function for each thread, on that thread. At most two items for each
/// worker are in flight, from the moment they are produced until they are consumed: memory is
/// bounded however slow the slowest item is. After the first error in item order nothing more is
/// produced, and `stop` is called so that work that is under way can be cut short.
///
/// # Errors
/// The first error in the order of the items, whichever thread met it.
pub(super) fn for_each<T, R, E, W>(
    workers: Workers,
    items: impl Iterator<Item = Result<T, E>> + Send,
    start: impl Fn() -> Result<W, E> + Sync,
    stop: impl Fn(),
    mut consume: impl FnMut(R) -> Result<(), E>,
) -> Result<(), OrderedError<E>>
where
    T: Send,
    R: Send,
    E: Send,
    W: FnMut(T) -> Result<R, E>,
{
    let count = workers.count.max(1);
    let (ticket_sender, tickets) = mpsc::channel();
    let (item_sender, item_receiver) = mpsc::channel();
    let (result_sender, results) = mpsc::channel();
    for _ in 0..count * WINDOW_PER_WORKER {
        // The receiver is in scope.
        let _ = ticket_sender.send(());
    }
    let queue = Mutex::new(item_receiver);
    thread::scope(|scope| {
        let producer_results = result_sender.clone();
        thread::Builder::new()
            .name("reader".to_owned())
            .spawn_scoped(scope, move || produce(items, &tickets, &item_sender, &producer_results))
            .map_err(OrderedError::Thread)?;
        for index in 0..count {
            let results = result_sender.clone();
            let (queue, start) = (&queue, &start);
            thread::Builder::new()
                .name(format!("worker-{index}"))
                .stack_size(workers.stack_bytes)
                .spawn_scoped(scope, move || work(start, queue, &results))
                .map_err(OrderedError::Thread)?;
        }
        drop(result_sender);
        let outcome = in_order(&results, &ticket_sender, &mut consume);
        if outcome.is_err() {
            stop();
        }
        // Without tickets, and with nobody to take results, the threads end.
        drop(results);
        drop(ticket_sender);
        outcome.map_err(OrderedError::Work)
    })
}

type Numbered<R, E> = (u64, Result<R, E>);

fn produce<T, R, E>(
    items: impl Iterator<Item = Result<T, E>>,
    tickets: &Receiver<()>,
    queue: &Sender<(u64, T)>,
    results: &Sender<Numbered<R, E>>,
) {
    for (number, item) in (0..).zip(items) {
        if tickets.recv().is_err() {
            return;
        }
        // A failed send means that the other side has stopped, which ends this one.
        let sent = match item {
            Ok(item) => queue.send((number, item)).is_ok(),
            Err(error) => {
                let _ = results.send((number, Err(error)));
                false
            }
        };
        if !sent {
            return;
        }
    }
}

fn work<T, R, E, W>(
    start: &impl Fn() -> Result<W, E>,
    queue: &Mutex<Receiver<(u64, T)>>,
    results: &Sender<Numbered<R, E>>,
) where
    W: FnMut(T) -> Result<R, E>,
{
    let mut started: Option<W> = None;
    while let Some((number, item)) = take(queue) {
        // Only a worker that has something to do is started.
        let result = match &mut started {
            Some(work) => work(item),
            None => start().and_then(|work| started.insert(work)(item)),
        };
        let failed = result.is_err();
        if results.send((number, result)).is_err() || failed {
            return;
        }
    }
}

fn take<T>(queue: &Mutex<Receiver<T>>) -> Option<T> {
    // A poisoned lock means that another worker panicked, which the scope reports.
    queue.lock().ok()?.recv().ok()
}

fn in_order<R, E>(
    results: &Receiver<Numbered<R, E>>,
    tickets: &Sender<()>,
    consume: &mut impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    while let Ok((number, result)) = results.recv() {
        waiting.insert(number, result);
        while let Some(result) = waiting.remove(&next) {
            consume(result?)?;
            next += 1;
            // The reader may have reached the end.
            let _ = tickets.send(());
        }
    }
    // All threads have ended: what is left lies behind an item whose worker never answered.
    waiting.into_values().find_map(Result::err).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    const WORKERS: Workers = Workers { count: 4, stack_bytes: 1 << 20 };

    fn doubling(item: u64) -> Result<u64, String> {
        // Later items finish earlier.
        thread::sleep(Duration::from_micros(200 * (7 - item % 8)));
        if item == 500 { Err(format!("item {item}")) } else { Ok(item * 2) }
    }

    #[test]
    fn results_come_in_order() {
        let mut seen = Vec::new();
        let items = (0..300).map(Ok);
        for_each(
            WORKERS,
            items,
            || Ok(doubling),
            || {},
            |result| {
                seen.push(result);
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(seen, (0..300).map(|item| item * 2).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_error_in_item_order_wins_and_stops_the_reader() {
        let produced = AtomicUsize::new(0);
        let stopped = AtomicUsize::new(0);
        let mut seen = 0;
        let items = (0..).map(|item| {
            produced.fetch_add(1, Ordering::Relaxed);
            Ok(item)
        });
        let error = for_each(
            WORKERS,
            items,
            || Ok(doubling),
            || {
                stopped.fetch_add(1, Ordering::Relaxed);
            },
            |_| {
                seen += 1;
                Ok(())
            },
        )
        .unwrap_err();
        assert_eq!(error.to_string(), "item 500");
        assert_eq!(seen, 500);
        assert_eq!(stopped.into_inner(), 1);
        assert!(produced.into_inner() <= 501 + WORKERS.count * WINDOW_PER_WORKER);
    }

    #[test]
    fn errors_of_reader_worker_start_and_consumer_are_reported() {
        let nothing = |_: u64| Ok(());
        let from_reader = for_each(
            WORKERS,
            (0..9).map(|i| if i == 5 { Err("read".to_owned()) } else { Ok(i) }),
            || Ok(doubling),
            || {},
            nothing,
        );
        assert_eq!(from_reader.unwrap_err().to_string(), "read");

        type Doubling = fn(u64) -> Result<u64, String>;
        fn refuse() -> Result<Doubling, String> {
            Err("no memory".to_owned())
        }
        let from_start = for_each(WORKERS, (0..9).map(Ok), refuse, || {}, nothing);
        assert_eq!(from_start.unwrap_err().to_string(), "no memory");

        let from_consumer = for_each(
            WORKERS,
            (0..9).map(Ok),
            || Ok(doubling),
            || {},
            |result| {
                if result == 8 { Err("disk full".to_owned()) } else { Ok(()) }
            },
        );
        assert_eq!(from_consumer.unwrap_err().to_string(), "disk full");
    }

    #[test]
    fn one_slow_item_does_not_pile_up_the_others() {
        let produced = AtomicUsize::new(0);
        let items = (0..1000_u64).map(|item| {
            produced.fetch_add(1, Ordering::Relaxed);
            Ok::<_, String>(item)
        });
        let slow_first = |item: u64| {
            if item == 0 {
                thread::sleep(Duration::from_millis(200));
            }
            Ok(item)
        };
        let mut seen_at_first = 0;
        for_each(
            WORKERS,
            items,
            || Ok(slow_first),
            || {},
            |item| {
                if item == 0 {
                    seen_at_first = produced.load(Ordering::Relaxed);
                }
                Ok(())
            },
        )
        .unwrap();
        assert!(seen_at_first <= WORKERS.count * WINDOW_PER_WORKER + 1, "{seen_at_first}");
    }
}
