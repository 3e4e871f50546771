//! How late a call is stopped: from its deadline, or from the moment that it is cancelled, to its error.

use std::time::{Duration, Instant};

use anyhow::bail;
use arrow::datatypes::DataType;
use vivarium_benches::client::{Client, Definition, Messages};
use vivarium_benches::report::{Chart, Report, Table};
use vivarium_benches::samples::{Samples, short};
use vivarium_benches::server::{Setting, folder};
use vivarium_benches::{engine, image, integers, on_guest_thread};
use vivarium_runtime::{CallError, Capabilities, Image, Limits};

/// Times that each kind of work is stopped in each way.
const STOPS: usize = 100;

/// Stops through the server are fewer: each takes the deadline and a call.
const STOPS_OF_CLIENT: usize = 50;

/// When the work is stopped.
const AFTER: Duration = Duration::from_millis(30);

const TARGET_MS: f64 = 20.0;

pub(crate) const METHOD: &str = "Stops: functions that never end by themselves, each in a new fork, stopped by a \
    deadline of 30 ms or cancelled after as long; the time from then to the error. `Client`: the same deadline \
    in the server, seen by a client on an open connection, the whole call included.";

/// Work that goes on for longer than anybody waits.
const WORK: [(&str, &str); 7] = [
    ("a tight loop", "    while True: pass\n"),
    ("filling memory: bytes * 100 million", "    while True: b'x' * 100_000_000\n"),
    ("copying memory: 30 MB at a time", "    block = bytearray(30_000_000)\n    while True: bytes(block)\n"),
    (
        "a regular expression that backtracks",
        "    import re\n    return len(re.match('(a+)+$', 'a' * 64 + 'b'))\n",
    ),
    ("multiplying long integers", "    n = 3 ** 2_000_000\n    while True: n * n\n"),
    ("sorting a million objects", "    while True: sorted(range(1_000_000, 0, -1), key=str)\n"),
    ("sleeping", "    import time\n    time.sleep(600)\n"),
];

pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let engine = engine();
    let columns = [
        "work",
        "deadline, p50 / p99 / most, ms late",
        "cancelled, p50 / p99 / most, ms late",
        "deadline, client, p50 / p99 / most, ms late",
        "p99 ≤ 20 ms",
    ];
    let mut table = Table::new("Stops", &columns);
    let mut bars = Vec::new();
    let mut all = [Samples::default(), Samples::default(), Samples::default()];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (name, work) in WORK {
        let code = format!("def f(a):\n{work}");
        let image = image(&engine, &code, &[DataType::Int64], DataType::Int64);
        let (mut deadline, mut cancelled) = (Samples::default(), Samples::default());
        on_guest_thread(|| -> anyhow::Result<()> {
            for _ in 0..STOPS {
                deadline.push(until_deadline(&image)?);
                cancelled.push(until_cancelled(&image)?);
            }
            Ok(())
        })?;
        let client = runtime.block_on(seen_by_client(&code))?;
        let found = [deadline, cancelled, client];
        let told = found.each_ref().map(Samples::told);
        let is_met = found.iter().all(|times| times.p99_ms() <= TARGET_MS);
        let [deadline, cancelled, client] = told;
        table.row([name.to_owned(), deadline, cancelled, client, yes(is_met)]);
        bars.push((name.to_owned(), found.each_ref().map(|times| times.p99_ms().max(0.01)).into()));
        for (all, times) in all.iter_mut().zip(&found) {
            all.extend(times);
        }
    }
    let is_met = all.iter().all(|times| times.p99_ms() <= TARGET_MS);
    let [deadline, cancelled, client] = all.each_ref().map(Samples::told);
    table.row(["all of them".to_owned(), deadline, cancelled, client, yes(is_met)]);
    report.tables.push(table);
    report.charts.push(Chart::Bars {
        title: format!("Milliseconds late, p99 (log scale); target {}", short(TARGET_MS)),
        names: vec!["deadline".into(), "cancelled".into(), "deadline, client".into()],
        groups: bars,
    });
    Ok(())
}

fn yes(is_met: bool) -> String {
    if is_met { "yes" } else { "no" }.to_owned()
}

fn limits(deadline: Duration) -> Limits {
    let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    Limits { deadline_ms, fuel_per_batch: u64::MAX / 4, ..Limits::default() }
}

fn until_deadline(image: &Image) -> anyhow::Result<Duration> {
    let mut instance = image.fork(&limits(AFTER), &Capabilities::default())?;
    let began = Instant::now();
    match instance.invoke(&integers(1, 1)) {
        Err(CallError::Deadline { .. }) => Ok(began.elapsed().saturating_sub(AFTER)),
        other => bail!("instead of being stopped by its deadline: {other:?}"),
    }
}

fn until_cancelled(image: &Image) -> anyhow::Result<Duration> {
    let mut instance = image.fork(&limits(Duration::from_secs(600)), &Capabilities::default())?;
    let canceller = instance.canceller();
    std::thread::scope(|scope| {
        let cancelling = scope.spawn(move || {
            std::thread::sleep(AFTER);
            let now = Instant::now();
            canceller.cancel();
            now
        });
        let result = instance.invoke(&integers(1, 1));
        let ended = Instant::now();
        let cancelled = cancelling.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match result {
            Err(CallError::Cancelled) => Ok(ended.saturating_duration_since(cancelled)),
            other => bail!("instead of being cancelled: {other:?}"),
        }
    })
}

async fn seen_by_client(code: &str) -> anyhow::Result<Samples> {
    let folder = folder()?;
    let mut setting = Setting::of_environment()?;
    // Without memory of failures: each call is to run.
    setting.server.push_str("failure_memory_s = 0\n");
    let limits =
        format!("[limits]\ndeadline_ms = {}\nfuel_per_batch = {}\n", AFTER.as_millis(), i64::MAX / 4);
    setting.sections.push_str(&limits);
    let server = setting.start(folder.path())?;
    let client = Client::connect(&server.endpoint).await?;
    let function = client.provision("bench", &Definition::of_integers(code, 1)).await?;
    let row = Messages::new(&integers(1, 1))?;
    let mut times = Samples::default();
    for number in 0..=STOPS_OF_CLIENT {
        let began = Instant::now();
        let Err(error) = client.exchange(&function, &row, 1).await else {
            bail!("it came to an end");
        };
        let late = began.elapsed().saturating_sub(AFTER);
        if !format!("{error:#}").contains("deadline_ms") {
            return Err(error.context("instead of being stopped by its deadline"));
        }
        // The first one waits for its image.
        if number > 0 {
            times.push(late);
        }
    }
    Ok(times)
}
