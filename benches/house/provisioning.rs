//! From nothing to the first row: new functions, known functions, and the server itself.

use std::io::Write as _;
use std::time::{Duration, Instant};

use arrow::datatypes::DataType;
use vivarium_benches::client::{Client, Messages};
use vivarium_benches::report::{Chart, Report, Table};
use vivarium_benches::samples::{Samples, short};
use vivarium_benches::server::{Setting, folder};
use vivarium_benches::{engine, image, integers, on_guest_thread};
use vivarium_runtime::{Capabilities, Limits};

use crate::functions::numbered;

const NEW: usize = 500;
const WARM: usize = 5_000;
const STARTS: usize = 20;
const IMAGES: usize = 300;

pub(crate) async fn run() -> anyhow::Result<Report> {
    let mut report = Report::new("provisioning", "From nothing to the first row");
    report.method = vec![
        format!(
            "The real server, its compiled sandbox in the cache; a client in Rust on one open connection, same \
             machine. {STARTS} starts, {NEW} new functions without packages, {WARM} repeated requests. Images \
             in the runtime alone, without server or disk: {IMAGES}."
        ),
        "`Flushed file` is what the disk below the state directory takes to keep a file and its name: the \
         server does that with the definition before it answers for a new function, and with the image."
            .to_owned(),
    ];
    let mut table = Table::new("Figures", &["what", "target", "p50 / p99 / most, ms", "within the target"]);
    let mut bars = Vec::new();
    let mut tell = |name: &str, target: &str, ok: Option<bool>, times: &Samples| {
        let verdict = ok.map_or("–", |ok| if ok { "yes" } else { "no" });
        table.row([name.to_owned(), target.to_owned(), times.told(), verdict.to_owned()]);
        bars.push((name.to_owned(), vec![times.p50_ms(), times.p99_ms()]));
    };

    let folder = folder()?;
    let setting = Setting::of_environment()?;
    let mut starts = Samples::default();
    for _ in 0..STARTS {
        starts.push(setting.start(folder.path())?.started_in);
    }
    tell("server ready after its start", "≤ 100 ms", Some(starts.p99_ms() <= 100.0), &starts);

    let server = setting.start(folder.path())?;
    let client = Client::connect(&server.endpoint).await?;
    let row = Messages::new(&integers(2, 1))?;
    // The first of all finds cold caches; it is not one of many.
    let first = client.provision("bench", &numbered(0)).await?;
    client.exchange(&first, &row, 1).await?;
    // The interpreter with NumPy is made ready in the background meanwhile.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut asked, mut called, mut both) = (Samples::default(), Samples::default(), Samples::default());
    let before = server.held()?.processor;
    for number in 1..=NEW {
        let tenant = if number > NEW / 2 { "bench" } else { "other" };
        let began = Instant::now();
        let function = client.provision(tenant, &numbered(number)).await?;
        asked.push(began.elapsed());
        let between = Instant::now();
        client.exchange(&function, &row, 1).await?;
        called.push(between.elapsed());
        both.push(began.elapsed());
    }
    let processor = (server.held()?.processor - before).as_secs_f64() * 1e3 / NEW as f64;
    let ok = both.p50_ms() <= 10.0 && both.p99_ms() <= 30.0;
    tell("new function, from the request to the first row", "p50 ≤ 10 ms, p99 ≤ 30 ms", Some(ok), &both);
    tell("– its `ApplyUdfResource`", "–", None, &asked);
    tell("– its first row: image built, sandbox forked, called", "–", None, &called);

    let (mut warm, mut again) = (Samples::default(), Samples::default());
    for _ in 0..WARM {
        let began = Instant::now();
        client.provision("bench", &numbered(NEW)).await?;
        warm.push(began.elapsed());
    }
    tell("warm `ApplyUdfResource`", "p99 ≤ 1 ms", Some(warm.p99_ms() <= 1.0), &warm);
    for _ in 0..NEW {
        let began = Instant::now();
        client.exchange(&first, &row, 1).await?;
        again.push(began.elapsed());
    }
    tell("one row of a known function", "–", None, &again);
    drop(server);

    tell("flushed file: 300 bytes", "–", None, &flushed(folder.path(), 300)?);
    tell("flushed file: 800,000 bytes, as an image", "–", None, &flushed(folder.path(), 800_000)?);
    let [built, loaded] = images()?;
    tell("image built, runtime alone", "–", None, &built);
    tell("image loaded, runtime alone", "–", None, &loaded);
    report.tables.push(table);
    report.method.push(format!(
        "The server used {} ms of processor time for each new function, on all of its threads; the rest of the \
         time is the client's, the kernel's and the disk's.",
        short(processor)
    ));
    report.charts.push(Chart::Bars {
        title: "Milliseconds (log scale)".to_owned(),
        names: vec!["p50".to_owned(), "p99".to_owned()],
        groups: bars,
    });
    Ok(report)
}

/// Times of writing small files, each flushed, renamed and its folder flushed.
fn flushed(folder: &std::path::Path, bytes: usize) -> anyhow::Result<Samples> {
    let (mut times, content) = (Samples::default(), vec![1; bytes]);
    for number in 0..100 {
        let began = Instant::now();
        let temporary = folder.join("writing");
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(&content)?;
        file.sync_all()?;
        std::fs::rename(&temporary, folder.join(format!("file-{number}")))?;
        std::fs::File::open(folder)?.sync_all()?;
        times.push(began.elapsed());
    }
    Ok(times)
}

/// Times of building and of loading images in this process.
fn images() -> anyhow::Result<[Samples; 2]> {
    let engine = engine();
    on_guest_thread(|| {
        let (mut built, mut loaded) = (Samples::default(), Samples::default());
        for number in 0..IMAGES {
            let types = [DataType::Int64, DataType::Int64];
            let began = Instant::now();
            let made = image(&engine, &numbered(number).code, &types, DataType::Int64);
            built.push(began.elapsed());
            let bytes = made.to_bytes();
            let began = Instant::now();
            let again = engine.load_image(made.spec(), &bytes)?;
            loaded.push(began.elapsed());
            again.fork(&Limits::default(), &Capabilities::default())?.invoke(&integers(2, 1))?;
        }
        Ok([built, loaded])
    })
}
