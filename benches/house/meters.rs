//! What metering costs: the module with ours, with wasmtime's fuel, with its epochs, and with none.
//!
//! A small host of this benchmark's own runs the guest, so that the product needs no way to switch its
//! metering off. Everything but the meter is the same for all: compiler settings, host functions, programs.

mod host;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use vivarium_benches::on_guest_thread;
use vivarium_benches::report::{Chart, Report, Table};
use vivarium_benches::samples::short;

use self::host::{Guest, Meter};
use crate::stops;

/// Times that each program runs with each meter; the quickest counts.
const TURNS: usize = 5;

/// How often epochs pass.
const EPOCH: Duration = Duration::from_millis(1);

const METERS: [(Meter, &str); 4] = [
    (Meter::None, "none"),
    (Meter::Ours, "ours"),
    (Meter::Fuel, "wasmtime's fuel"),
    (Meter::Epochs, "wasmtime's epochs"),
];

pub(crate) fn run() -> anyhow::Result<Report> {
    let mut report = Report::new("meters", "What metering costs, and how late calls are stopped");
    report.method = vec![
        format!(
            "The programs of `cargo xtask bench programs` in the plain guest under four meters, in turns, the \
             quickest of {TURNS}; the clock is read inside of the guest. `ours`: fuel in a wasm global, with \
             which deadline and cancellation come. Epochs pass each millisecond, and each looks at a clock. \
             `none` is also what runs until a watcher takes the memory away from a guest (revocation)."
        ),
        stops::METHOD.to_owned(),
    ];
    costs(&mut report)?;
    stops::measure(&mut report)?;
    Ok(report)
}

fn costs(report: &mut Report) -> anyhow::Result<()> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/programs.py");
    let programs =
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let engines: Vec<_> = METERS.iter().map(|(meter, _)| host::engine(*meter)).collect::<Result<_, _>>()?;
    let ended = Arc::new(AtomicBool::new(false));
    let ticker = {
        let (ended, engines) = (ended.clone(), engines.clone());
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(EPOCH);
                engines.iter().for_each(wasmtime::Engine::increment_epoch);
            }
        })
    };
    let measured = on_guest_thread(|| {
        let mut guests = Vec::new();
        for (engine, (meter, name)) in engines.iter().zip(METERS) {
            guests.push(Guest::start(engine, meter).with_context(|| format!("the guest with {name}"))?);
        }
        in_turns(&mut guests, &programs)
    });
    ended.store(true, Ordering::Relaxed);
    drop(ticker.join());

    let columns = ["program", "none, ms", "ours", "wasmtime's fuel", "wasmtime's epochs"];
    let mut table = Table::new("Time against no meter", &columns);
    let mut logarithms = [0.0; METERS.len()];
    let mut groups = Vec::new();
    let measured = measured?;
    for (name, times) in &measured {
        let ratios = times.map(|time| time / times[0]);
        for (sum, ratio) in logarithms.iter_mut().zip(ratios) {
            *sum += ratio.ln();
        }
        let [_, ours, fuel, epochs] = ratios.map(|ratio| format!("{ratio:.2}"));
        table.row([name.clone(), short(times[0] * 1e3), ours, fuel, epochs]);
        groups.push((name.clone(), times.map(|time| time * 1e3).into()));
    }
    let [_, ours, fuel, epochs] =
        logarithms.map(|sum| format!("{:+.1} %", ((sum / measured.len() as f64).exp() - 1.0) * 100.0));
    table.row([
        "geometric mean (target of ours: a few per cent)".to_owned(),
        "–".to_owned(),
        ours,
        fuel,
        epochs,
    ]);
    report.tables.push(table);
    report.charts.push(Chart::Bars {
        title: "Milliseconds (log scale)".to_owned(),
        names: METERS.map(|(_, name)| name.to_owned()).into(),
        groups,
    });
    Ok(())
}

/// The shortest time of each program under each meter, in seconds.
fn in_turns(guests: &mut [Guest], programs: &str) -> anyhow::Result<Vec<(String, [f64; METERS.len()])>> {
    let list = "print(' '.join(f'{name}:{rounds}' for name, (_, rounds) in PROGRAMS.items()), flush=True)\n";
    let first = guests.first_mut().context("there are meters")?;
    let list = first.execute(&format!("{programs}\n{list}"))?;
    let mut measured = Vec::new();
    for entry in list.split_whitespace() {
        let (name, rounds) = entry.split_once(':').with_context(|| format!("`{entry}`"))?;
        let code = format!(
            "{programs}\nbegan = time.perf_counter()\ntext = run('{name}', {rounds})\n\
             print(time.perf_counter() - began, text, flush=True)\n"
        );
        let mut least = [f64::MAX; METERS.len()];
        let mut expected: Option<String> = None;
        for _ in 0..TURNS {
            for (guest, least) in guests.iter_mut().zip(&mut least) {
                let line = guest.execute(&code)?;
                let (seconds, text) = line.split_once(' ').with_context(|| format!("`{line}`"))?;
                let expected = expected.get_or_insert_with(|| text.to_owned());
                ensure!(expected == text, "{name}: `{text}` instead of `{expected}`");
                *least = least.min(seconds.parse()?);
            }
        }
        measured.push((name.to_owned(), least));
    }
    Ok(measured)
}
