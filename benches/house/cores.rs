//! One exchange on both cores: the same work with one thread for guests and with two.

use std::time::Instant;

use arrow::datatypes::DataType;
use vivarium_benches::client::{Client, Definition, Function, Messages};
use vivarium_benches::report::{Chart, Report, Table};
use vivarium_benches::samples::{median, short};
use vivarium_benches::server::{Server, Setting, folder};
use vivarium_benches::{engine, image, integers, on_guest_thread};
use vivarium_runtime::{Capabilities, Limits};

use crate::functions::HEAVY;

/// Rows of a batch, batches of an exchange, times that every case runs.
const ROWS: usize = 100;
const BATCHES: usize = 64;
const ROUNDS: usize = 7;

/// A server and what its `[server]` says about threads.
const SERVERS: [(&str, &str); 3] = [
    ("one thread", "workers = 1\nsandboxes_per_exchange = 1\n"),
    ("two threads", "workers = 2\nsandboxes_per_exchange = 2\n"),
    ("default settings", ""),
];

struct Case {
    name: String,
    server: Option<(Server, Client, Function, tempfile::TempDir)>,
    /// Threads that run the same work in this process, without a server.
    threads: usize,
    rates: Vec<f64>,
    /// Processors that the server kept busy.
    busy: Vec<f64>,
}

pub(crate) async fn run() -> anyhow::Result<Report> {
    let mut report = Report::new("cores", "One exchange on both cores");
    report.method = vec![format!(
        "A function in pure Python (dictionaries and text, some 200 µs a row) over one exchange of {BATCHES} \
         batches of {ROWS} rows, client in Rust on the same machine; servers with one and with two threads for \
         guests, and with the default settings, in turns, {ROUNDS} rounds. The limit is the same work in one \
         process without a server, on one thread and on two: what the machine's two cores give at that time. \
         Medians; the ratio is that of each round. `Processors busy` is the processor time that the server got per \
         second: on a machine that is busy with other things it shows what the server would have used."
    )];
    let definition = Definition::of_integers(HEAVY, 1);
    let batch = Messages::new(&integers(1, ROWS))?;
    let mut cases = Vec::new();
    for (name, threads) in SERVERS {
        let folder = folder()?;
        let mut setting = Setting::of_environment()?;
        setting.server.push_str(threads);
        let server = setting.start(folder.path())?;
        let client = Client::connect(&server.endpoint).await?;
        let function = client.provision("bench", &definition).await?;
        client.exchange(&function, &batch, 4).await?;
        let server = Some((server, client, function, folder));
        cases.push(Case { name: format!("server, {name}"), server, threads: 0, rates: vec![], busy: vec![] });
    }
    for threads in [1, 2] {
        let name = format!("limit: no server, threads: {threads}");
        cases.push(Case { name, server: None, threads, rates: vec![], busy: vec![] });
    }
    let image = image(&engine(), HEAVY, &[DataType::Int64], DataType::Int64);
    for round in 0..ROUNDS {
        for case in &mut cases {
            let processor = |case: &Case| match &case.server {
                Some((server, ..)) => server.held().map(|held| held.processor.as_secs_f64()),
                None => Ok(0.0),
            };
            let before = processor(case)?;
            let began = Instant::now();
            match &case.server {
                Some((_, client, function, _)) => client.exchange(function, &batch, BATCHES).await?,
                None => directly(&image, case.threads)?,
            }
            let seconds = began.elapsed().as_secs_f64();
            let busy = (processor(case)? - before) / seconds;
            let rate = (ROWS * BATCHES) as f64 / seconds / 1e3;
            case.busy.push(busy);
            println!("round {round}: {}: {} thousand rows/s, {busy:.2} processors", case.name, short(rate));
            case.rates.push(rate);
        }
    }

    let mut table =
        Table::new("Figures", &["what", "thousand rows/s", "times one thread", "target", "processors busy"]);
    let mut bars = Vec::new();
    for (at, case) in cases.iter().enumerate() {
        let (one, target) = if at < SERVERS.len() { (0, "≥ 1.8") } else { (SERVERS.len(), "–") };
        let ratios: Vec<f64> =
            case.rates.iter().zip(&cases[one].rates).map(|(rate, of_one)| rate / of_one).collect();
        let is_one = at == one;
        table.row([
            case.name.clone(),
            short(median(&case.rates)),
            if is_one { "1".to_owned() } else { format!("{:.2}", median(&ratios)) },
            if is_one { "–".to_owned() } else { target.to_owned() },
            if at < SERVERS.len() { format!("{:.2}", median(&case.busy)) } else { "–".to_owned() },
        ]);
        bars.push((case.name.clone(), vec![median(&case.rates)]));
    }
    report.tables.push(table);
    report.charts.push(Chart::Bars {
        title: "Thousand rows a second (log scale)".to_owned(),
        names: vec!["one exchange".to_owned()],
        groups: bars,
    });
    Ok(report)
}

/// The exchange's work in this process.
fn directly(image: &vivarium_runtime::Image, threads: usize) -> anyhow::Result<()> {
    let batch = integers(1, ROWS);
    let work = || {
        on_guest_thread(|| -> anyhow::Result<()> {
            let mut instance = image.fork(&Limits::default(), &Capabilities::default())?;
            for _ in 0..BATCHES / threads {
                instance.invoke(&batch)?;
            }
            Ok(())
        })
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
