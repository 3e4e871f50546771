//! What a host holds: ten thousand functions one after the other, and many tenants at once.

use std::time::{Duration, Instant};

use anyhow::ensure;
use vivarium_benches::client::{Client, Definition, Function, Messages};
use vivarium_benches::integers;
use vivarium_benches::report::{Chart, Report, Table};
use vivarium_benches::samples::{Samples, median, short};
use vivarium_benches::server::{Held, Server, Setting, folder, stored};

use crate::functions::{HEAVY, numbered};

/// Functions that are provisioned on one host, and how many of them are told together.
const FUNCTIONS: usize = 10_000;
const SLICE: usize = 1_000;

/// Functions of one tenant; fewer than `tenants.max_functions`.
const OF_TENANT: usize = 500;

/// Calls afterwards of each kind.
const CALLS: usize = 500;

/// Limits on open descriptors under which servers are watched, and the functions that each gets: more than
/// the images that stay in memory.
const DESCRIPTORS: [(u64, usize); 2] = [(1024, 2_000), (4096, FUNCTIONS)];

/// Tenants that have an exchange each at the same time.
const TENANTS: [usize; 6] = [1, 2, 4, 8, 16, 64];

/// Batches that all of them send together, and times that everything runs.
const BATCHES: usize = 512;
const ROUNDS: usize = 3;

const MIB: f64 = (1 << 20) as f64;

pub(crate) async fn run() -> anyhow::Result<Report> {
    let mut report = Report::new("scale", "Ten thousand functions, and many tenants");
    report.method = vec![
        format!(
            "A server with its default settings (so 1,000 images stay in memory) and a limit on open \
             descriptors gets functions one after the other: `ApplyUdfResource`, then its first row. Client in \
             Rust, one open connection, same machine. Each {SLICE} are a line, so that a cliff would show. \
             Afterwards {CALLS} calls of functions whose images are in memory, and of functions whose images \
             are not: the server takes the longest unused out."
        ),
        "What 1,000 idle instances hold is told by `cargo xtask bench parts fork`.".to_owned(),
        format!(
            "Tenants: {BATCHES} batches in all, divided evenly among the tenants, each with a connection and an \
             exchange of its own, all at once; the median of {ROUNDS} rounds. `First to last` is how \
             much earlier the first tenant had all its answers than the last, as a share of the whole time: whoever is \
             served in turns is done within one of his last batches, an eighth of the time for 64 tenants."
        ),
    ];
    for (limit, functions) in DESCRIPTORS {
        many_functions(&mut report, limit, functions).await?;
    }
    many_tenants(&mut report).await?;
    Ok(report)
}

async fn many_functions(report: &mut Report, descriptors: u64, count: usize) -> anyhow::Result<()> {
    let folder = folder()?;
    let mut setting = Setting::of_environment()?;
    setting.descriptors = Some(descriptors);
    let server = setting.start(folder.path())?;
    let client = Client::connect(&server.endpoint).await?;
    let row = Messages::new(&integers(2, 1))?;
    let mut table = Table::new(
        format!("{count} functions, at most {descriptors} open descriptors"),
        &[
            "functions",
            "provisioned, p50 / p99 / most, ms",
            "first row after it, p50 / p99 / most, ms",
            "both, p99, ms",
            "server's processor time each, ms",
            "resident, MiB",
            "descriptors",
            "mappings",
        ],
    );
    let empty = server.held()?;
    table.row([
        "0".into(),
        "–".into(),
        "–".into(),
        "–".into(),
        "–".into(),
        mib(&empty),
        held(&empty),
        maps(&empty),
    ]);
    let mut functions = Vec::with_capacity(count);
    let mut lines = [("provisioned and called, p50".to_owned(), vec![]), ("p99".to_owned(), vec![])];
    let (mut all, mut before) = (Samples::default(), empty);
    while functions.len() < count {
        let (mut provisioned, mut first, mut both) =
            (Samples::default(), Samples::default(), Samples::default());
        for number in functions.len()..(functions.len() + SLICE).min(count) {
            let [asked, called] = new_function(&client, number, &row, &mut functions).await?;
            provisioned.push(asked);
            first.push(called);
            both.push(asked + called);
        }
        let now = server.held()?;
        let each = (now.processor - before.processor).as_secs_f64() * 1e3 / both.len() as f64;
        before = now;
        let at = functions.len();
        table.row([
            at.to_string(),
            provisioned.told(),
            first.told(),
            short(both.p99_ms()),
            short(each),
            mib(&now),
            held(&now),
            maps(&now),
        ]);
        lines[0].1.push((at as f64, both.p50_ms()));
        lines[1].1.push((at as f64, both.p99_ms()));
        all.extend(&both);
    }
    report.tables.push(table);
    if count == FUNCTIONS {
        report.charts.push(Chart::Lines {
            title: "Provision a function and call it, after so many others".to_owned(),
            x: "functions".to_owned(),
            y: "milliseconds".to_owned(),
            series: lines.into(),
        });
        afterwards(report, &client, &functions, &row).await?;
        restart(report, setting, server, folder.path(), count)?;
    }
    Ok(())
}

/// Provisions a function and calls it; the time of each.
async fn new_function(
    client: &Client,
    number: usize,
    row: &Messages,
    functions: &mut Vec<Function>,
) -> anyhow::Result<[Duration; 2]> {
    let tenant = format!("tenant-{}", number / OF_TENANT);
    let began = Instant::now();
    let function = client.provision(&tenant, &numbered(number)).await?;
    let asked = began.elapsed();
    client.exchange(&function, row, 1).await?;
    functions.push(function);
    Ok([asked, began.elapsed() - asked])
}

async fn afterwards(
    report: &mut Report,
    client: &Client,
    functions: &[Function],
    row: &Messages,
) -> anyhow::Result<()> {
    ensure!(functions.len() > 4 * SLICE, "too few functions to have any that are out of memory");
    // Spread over all, in no order of age: a multiplicative walk.
    let chosen = |from: usize, among: usize| (0..CALLS).map(move |at| from + at * 7_919 % among);
    let mut table = Table::new("Calls afterwards", &["one row of a function", "p50 / p99 / most, ms"]);
    let recent = functions.len() - SLICE / 2;
    for (name, from, among) in [
        ("image in memory", recent, SLICE / 2),
        ("image not in memory: loaded from disk", 0, functions.len() / 2),
        ("image in memory, again", recent, SLICE / 2),
    ] {
        let mut times = Samples::default();
        for at in chosen(from, among) {
            let began = Instant::now();
            client.exchange(&functions[at], row, 1).await?;
            times.push(began.elapsed());
        }
        table.row([name.to_owned(), times.told()]);
    }
    report.tables.push(table);
    Ok(())
}

/// What is on disk, and how long a server takes that finds it there.
fn restart(
    report: &mut Report,
    setting: Setting,
    server: Server,
    folder: &std::path::Path,
    count: usize,
) -> anyhow::Result<()> {
    drop(server);
    let mut table = Table::new("On disk", &["what", "target", "measured"]);
    let (images, files) = stored(&folder.join("state/images"))?;
    let (records, _) = stored(&folder.join("state/functions"))?;
    ensure!(files == count, "{files} of {count} images were stored");
    let each = (images + records) as f64 / count as f64 / MIB;
    table.row(["stored for each function".into(), "≤ 1 MiB".into(), format!("{each:.2} MiB")]);
    let mut starts = Samples::default();
    for _ in 0..ROUNDS {
        starts.push(setting.start(folder)?.started_in);
    }
    let what = format!("server ready, {count} functions on disk, p50 / p99 / most");
    table.row([what, "≤ 100 ms".into(), format!("{} ms", starts.told())]);
    report.tables.push(table);
    Ok(())
}

async fn many_tenants(report: &mut Report) -> anyhow::Result<()> {
    let folder = folder()?;
    let server = Setting::of_environment()?.start(folder.path())?;
    let client = Client::connect(&server.endpoint).await?;
    let cases = [
        ("int64 a + b", Definition::of_integers("def f(a, b):\n    return a + b\n", 2), 16_384),
        ("dictionaries and text", Definition::of_integers(HEAVY, 1), 20),
    ];
    let mut series = Vec::new();
    for (name, definition, rows) in cases {
        let batch = Messages::new(&integers(definition.inputs.len(), rows))?;
        let mut table = Table::new(
            format!("Tenants: {name}, batches of {rows} rows"),
            &["tenants", "thousand rows/s", "first to last"],
        );
        let mut callers = Vec::new();
        for number in 0..TENANTS[TENANTS.len() - 1] {
            let function = client.provision(&format!("tenant-{number}"), &definition).await?;
            let own = client.again().await?;
            own.exchange(&function, &batch, 1).await?;
            callers.push((own, function));
        }
        let mut points = Vec::new();
        for tenants in TENANTS {
            let (mut rates, mut spreads) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let times = at_once(&callers[..tenants], &batch, BATCHES / tenants).await?;
                let last = times.iter().max().copied().unwrap_or_default().as_secs_f64();
                let first = times.iter().min().copied().unwrap_or_default().as_secs_f64();
                rates.push((rows * BATCHES) as f64 / last / 1e3);
                spreads.push((last - first) / last);
            }
            let rate = median(&rates);
            let spread = format!("{:.0} %", median(&spreads) * 100.0);
            table.row([tenants.to_string(), short(rate), spread]);
            points.push((tenants as f64, rate));
        }
        report.tables.push(table);
        series.push((name.to_owned(), points));
    }
    report.charts.push(Chart::Lines {
        title: "All tenants together, the same work divided among them".to_owned(),
        x: "tenants with an exchange each".to_owned(),
        y: "thousand rows a second".to_owned(),
        series,
    });
    Ok(())
}

/// Exchanges of all callers at the same time; how long after the common beginning each was answered.
async fn at_once(
    callers: &[(Client, Function)],
    batch: &Messages,
    times: usize,
) -> anyhow::Result<Vec<Duration>> {
    let began = Instant::now();
    let exchanges = callers.iter().map(|(client, function)| async move {
        client.exchange(function, batch, times).await?;
        Ok::<_, anyhow::Error>(began.elapsed())
    });
    futures::future::try_join_all(exchanges).await
}

fn mib(held: &Held) -> String {
    format!("{:.0}", held.resident as f64 / MIB)
}

fn held(held: &Held) -> String {
    held.descriptors.to_string()
}

fn maps(held: &Held) -> String {
    held.mappings.to_string()
}
