//! How the cost of one exchange grows: with its rows, its columns, the size of its batches, the length of text.

use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use vivarium_benches::client::{Client, Definition, Messages};
use vivarium_benches::report::{Chart, Report, Table};
use vivarium_benches::samples::short;
use vivarium_benches::server::{Server, Setting, folder};
use vivarium_benches::{integers, texts};

/// Times that a point is measured: at least so often, and for so long.
const ROUNDS: usize = 5;
const LONG_ENOUGH: Duration = Duration::from_millis(400);

/// A point that loses more than this share against the one before it is called out.
const CLIFF: f64 = 0.25;

/// Rows of a batch where its size is not what varies.
const ROWS: usize = 62_500;

const UNBOXED: &str = "def f(a, b):\n    return a + b\n";
const INTERPRETED: &str = "def f(a, b):\n    return max([a, b])\n";

/// One exchange of a curve.
struct Point {
    x: usize,
    batch: RecordBatch,
    batches: usize,
    /// What one exchange is worth in the unit of the curve.
    worth: f64,
}

struct Curve<'a> {
    title: &'a str,
    x: &'a str,
    unit: &'a str,
    /// What the unit counts millions of.
    one: &'a str,
    series: Vec<(&'a str, Vec<(Definition, Point)>)>,
}

pub(crate) async fn run() -> anyhow::Result<Report> {
    let mut report = Report::new("curves", "How the cost of an exchange grows");
    report.method = vec![format!(
        "One exchange through Flight on an open connection to a server with its default settings, from the \
         request to the last answer; client in Rust on the same machine, its batches encoded before. The quickest \
         of at least {ROUNDS} exchanges, so that other work on the machine does not look like a cliff; the \
         processor time is that of all of them. A point whose rate is more than {:.0} % below that of the point before it \
         is called out: as a cliff if the server's processor time rose by as much, else as one of waiting, which \
         may be other work on the machine.",
        CLIFF * 100.0
    )];
    let folder = folder()?;
    let server = Setting::of_environment()?.start(folder.path())?;
    let client = Client::connect(&server.endpoint).await?;
    for curve in [rows(), columns(), batch_sizes(), lengths()] {
        measure(&mut report, &server, &client, curve).await?;
    }
    Ok(report)
}

async fn measure(
    report: &mut Report,
    server: &Server,
    client: &Client,
    curve: Curve<'_>,
) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for (name, points) in curve.series {
        let heads = [
            curve.x,
            "ms an exchange",
            "µs a batch",
            curve.unit,
            "against the point before",
            &format!("server's processor time, ns a {}", curve.one),
        ];
        let mut table = Table::new(format!("{}: {name}", curve.title), &heads);
        let mut line: Vec<(f64, f64)> = Vec::new();
        let mut cost_before = f64::MAX;
        for (definition, point) in points {
            let function = client.provision("bench", &definition).await?;
            let sent = Messages::new(&point.batch)?;
            client.exchange(&function, &sent, point.batches).await?;
            let (began, mut times, before) = (Instant::now(), Vec::new(), server.held()?.processor);
            while times.len() < ROUNDS || began.elapsed() < LONG_ENOUGH {
                let began = Instant::now();
                client.exchange(&function, &sent, point.batches).await?;
                times.push(began.elapsed().as_secs_f64());
            }
            let processor = (server.held()?.processor - before).as_secs_f64();
            let cost = processor * 1e3 / (point.worth * times.len() as f64);
            let seconds = times.iter().copied().fold(f64::MAX, f64::min);
            let rate = point.worth / seconds;
            let told = line.last().map_or_else(
                || "–".to_owned(),
                |(_, before)| {
                    let ratio = rate / before;
                    let is_slower = ratio < 1.0 - CLIFF;
                    let is_dearer = cost > cost_before * (1.0 + CLIFF);
                    let name = match (is_slower, is_dearer) {
                        (true, true) => ", a cliff",
                        (true, false) => ", a cliff of waiting",
                        _ => "",
                    };
                    format!("{ratio:.2}{name}")
                },
            );
            cost_before = cost;
            let of_batch = seconds * 1e6 / point.batches as f64;
            table.row([
                point.x.to_string(),
                short(seconds * 1e3),
                short(of_batch),
                short(rate),
                told,
                short(cost),
            ]);
            line.push((point.x as f64, rate));
        }
        report.tables.push(table);
        lines.push((name.to_owned(), line));
    }
    report.charts.push(Chart::Lines {
        title: curve.title.to_owned(),
        x: curve.x.to_owned(),
        y: curve.unit.to_owned(),
        series: lines,
    });
    Ok(())
}

fn of(code: &str) -> Definition {
    Definition::of_integers(code, 2)
}

/// Rows of an exchange, in batches as engines send them.
fn rows() -> Curve<'static> {
    let points = |code: &'static str, most: usize| {
        let sizes = (0..8).map(|power| 10_usize.pow(power)).filter(move |rows| *rows <= most);
        let point = move |rows: usize| {
            let batch = rows.min(if rows == 100_000 { 50_000 } else { ROWS });
            let worth = rows as f64 / 1e6;
            (of(code), Point { x: rows, batch: integers(2, batch), batches: rows / batch, worth })
        };
        sizes.map(point).collect()
    };
    Curve {
        title: "Rows of an exchange",
        x: "rows",
        unit: "million rows/s",
        one: "row",
        series: vec![
            ("int64 a + b", points(UNBOXED, 10_000_000)),
            ("int64 max([a, b])", points(INTERPRETED, 1_000_000)),
        ],
    }
}

/// Columns of a function, all of which it adds up.
fn columns() -> Curve<'static> {
    const BATCHES: usize = 16;
    let rows = 8_192;
    let points = |row: fn(&str, &str) -> String| {
        let point = move |columns: usize| {
            let names: Vec<String> = (0..columns).map(|number| format!("a{number}")).collect();
            let code = format!(
                "def f({}):\n    return {}\n",
                names.join(", "),
                row(&names.join(" + "), &names.join(", "))
            );
            let worth = (columns * rows * BATCHES) as f64 / 1e6;
            let definition = Definition::of_integers(code, columns);
            (definition, Point { x: columns, batch: integers(columns, rows), batches: BATCHES, worth })
        };
        [1, 2, 4, 8, 16, 32, 64].map(point).into()
    };
    Curve {
        title: "Columns of a batch of 8,192 rows",
        x: "columns",
        unit: "million values/s",
        one: "value",
        series: vec![
            ("a0 + a1 + ...", points(|sum, _| sum.to_owned())),
            ("max([0, a0, a1, ...])", points(|_, list| format!("max([0, {list}])"))),
        ],
    }
}

/// Rows of a batch, of which an exchange has as many as make a million rows, two thousand at most.
fn batch_sizes() -> Curve<'static> {
    let points = |code: &'static str| {
        let sizes = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576];
        let point = move |rows: usize| {
            let batches = ((1 << 20) / rows).clamp(1, 2_000);
            let worth = (rows * batches) as f64 / 1e6;
            (of(code), Point { x: rows, batch: integers(2, rows), batches, worth })
        };
        sizes.map(point).into()
    };
    Curve {
        title: "Rows of a batch",
        x: "rows of a batch",
        unit: "million rows/s",
        one: "row",
        series: vec![("int64 a + b", points(UNBOXED)), ("int64 max([a, b])", points(INTERPRETED))],
    }
}

/// Length of text, in batches of a megabyte.
fn lengths() -> Curve<'static> {
    const BATCHES: usize = 16;
    let points = |code: &'static str| {
        let lengths = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576];
        let point = move |length: usize| {
            let rows = ((1 << 20) / length).clamp(1, 65_536);
            let worth = (length * rows * BATCHES) as f64 / 1e6;
            let definition = Definition { code: code.to_owned(), inputs: vec!["VARCHAR"], result: "VARCHAR" };
            (definition, Point { x: length, batch: texts(rows, length), batches: BATCHES, worth })
        };
        lengths.map(point).into()
    };
    Curve {
        title: "Length of text",
        x: "bytes of a text",
        unit: "MB/s",
        one: "byte",
        series: vec![
            ("str.upper", points("def f(s):\n    return s.upper()\n")),
            ("max([s, ''])", points("def f(s):\n    return max([s, ''])\n")),
        ],
    }
}
