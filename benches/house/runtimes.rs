//! The runtime in process, beside others that run the same functions over the same rows in process.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use vivarium_benches::report::{Chart, Report, Table};
use vivarium_benches::samples::{median, short};
use vivarium_benches::server::folder;
use vivarium_benches::{BATCH_ROWS, batch, engine, integers, on_guest_thread, strings};

use crate::contestants::{Case, Contestant, Copying, Process, Sandbox};
use crate::functions::HEAVY;

/// Rounds in which every contestant runs, and how long each of them runs in one.
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(150);

/// Pairs of which the greatest common divisors are sought: as many as arrow-udf's own benchmark has.
const PAIRS: i32 = 1024;

pub(crate) fn run() -> anyhow::Result<Report> {
    let mut report = Report::new("runtimes", "The runtime in process, beside runtimes without a sandbox");
    report.method = vec![
        format!(
            "The same functions over the same batches, without a server: {ROUNDS} rounds in turns, a process for \
             each but Vivarium and memcpy, each {} ms long in every round after as long a warm-up, one \
             thread. The first answer of each to each function is compared with the right one. Medians, in \
             million rows a second; in parentheses how many times as quick Vivarium was, the median of the \
             rounds' ratios.",
            ROUND.as_millis()
        ),
        "`Vivarium`: one instance, sandboxed and metered; rows are copied in and answers out. `Reset`: the \
         instance is put back before each batch, so that nothing of one is left in the next. `Bridge`: the guest's \
         C code compiled for native CPython, whose rows are in place already. `arrow-udf-runtime` 0.10.0 from \
         crates.io, built by cargo with its defaults for releases: its `python` embeds the same native CPython, \
         its `javascript` is QuickJS, which runs the same function in JavaScript (64-bit integers are BigInts \
         there). Its `wasm` is not measured: it runs functions that were compiled from Rust for wasm32-wasip1. \
         `to_pylist`: pyarrow's to_pylist, the calls, pa.array in native CPython, as Python's servers do it. \
         Native CPython is the recipe's, with -O3 and without a profile. `memcpy` copies the rows once and the \
         answers once, which is the limit."
            .to_owned(),
        "Vivarium and the bridge evaluate functions of numbers and short text without the interpreter \
         (`guest-python/README.md`, \"Unboxed evaluation\"). The two whose names say so need the interpreter: \
         their containers are not evaluated like that."
            .to_owned(),
    ];
    let folder = folder()?;
    on_guest_thread(|| measure(&mut report, folder.path()))?;
    Ok(report)
}

fn measure(report: &mut Report, folder: &Path) -> anyhow::Result<()> {
    let mut contestants = contestants(folder)?;
    let mut columns = vec!["million rows a second"];
    columns.extend(contestants.iter().map(|(name, _)| *name));
    let mut table = Table::new("Figures", &columns);
    let mut groups = Vec::new();
    for case in cases() {
        let rates = rates(&mut contestants, &case)?;
        let mut cells = vec![case.name.to_owned()];
        for (at, of_one) in rates.iter().enumerate() {
            let ratios: Vec<f64> = rates[0].iter().zip(of_one).map(|(ours, other)| ours / other).collect();
            let rate = short(median(of_one) / 1e6);
            cells.push(if at == 0 { rate } else { format!("{rate} ({})", short(median(&ratios))) });
        }
        println!("{}", cells.join(" | "));
        table.rows.push(cells);
        groups.push((case.name.to_owned(), rates.iter().map(|of_one| median(of_one) / 1e6).collect()));
    }
    report.tables.push(table);
    report.charts.push(Chart::Bars {
        title: "Million rows a second in process (log scale)".to_owned(),
        names: contestants.iter().map(|(name, _)| (*name).to_owned()).collect(),
        groups,
    });
    Ok(())
}

/// Rows a second of each contestant in each round, in turns.
fn rates(contestants: &mut [(&str, Box<dyn Contestant>)], case: &Case) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut calls = Vec::new();
    for (name, contestant) in contestants.iter_mut() {
        let answer = contestant.load(case).with_context(|| format!("{name}: {}", case.name))?;
        ensure!(answer.is_none_or(|answer| *answer == *case.right), "{name}: {}: a wrong answer", case.name);
        // Warm when it has run for a round in one go; so many calls are a round then.
        let mut so_many: u64 = 1;
        calls.push(loop {
            let took = contestant.run(so_many)?;
            if took >= ROUND {
                break (so_many as f64 * ROUND.as_secs_f64() / took.as_secs_f64()).ceil() as u64;
            }
            so_many *= 2;
        });
    }
    let mut found = vec![Vec::new(); contestants.len()];
    for _ in 0..ROUNDS {
        for (at, (_, contestant)) in contestants.iter_mut().enumerate() {
            let took = contestant.run(calls[at])?;
            found[at].push((case.batch.num_rows() as u64 * calls[at]) as f64 / took.as_secs_f64());
        }
    }
    Ok(found)
}

fn contestants(folder: &Path) -> anyhow::Result<Vec<(&'static str, Box<dyn Contestant>)>> {
    let variable = |name: &str| {
        std::env::var_os(name).with_context(|| format!("{name} is not set: run `cargo xtask bench runtimes`"))
    };
    let peer = |language: &str| -> anyhow::Result<Box<dyn Contestant>> {
        let mut command = Command::new(variable("VIVARIUM_RUNTIME_PEER")?);
        Ok(Box::new(Process::start(command.arg(language), folder)?))
    };
    let native = |kind: &str| -> anyhow::Result<Box<dyn Contestant>> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/native_runtime.py");
        let mut command = Command::new(variable("VIVARIUM_NATIVE_PYTHON")?);
        command.arg("-B").arg(script).arg(kind).env("PYTHONPATH", variable("VIVARIUM_NATIVE_PACKAGES")?);
        Ok(Box::new(Process::start(&mut command, folder)?))
    };
    let engine = engine();
    Ok(vec![
        ("Vivarium", Box::new(Sandbox::new(&engine, false))),
        ("Vivarium, reset before each batch", Box::new(Sandbox::new(&engine, true))),
        ("bridge, native", native("bridge")?),
        ("to_pylist, native", native("to_pylist")?),
        ("arrow-udf-runtime, Python", peer("python")?),
        ("arrow-udf-runtime, JavaScript", peer("javascript")?),
        ("memcpy", Box::new(Copying::default())),
    ])
}

const GCD: &str = "\
def f(a, b):
    while b:
        a, b = b, a % b
    return a
";
const GCD_JAVASCRIPT: &str = "\
export function f(a, b) {
    while (b) {
        const rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}
";
const ADD: &str = "def f(a, b):\n    return a + b\n";
const ADD_JAVASCRIPT: &str = "export function f(a, b) { return a + b; }\n";
const STEPS: &str = "\
def f(n):
    total = 0
    for step in range(30):
        total += (n ^ step) % 7
    return total
";
const STEPS_JAVASCRIPT: &str = "\
export function f(n) {
    let total = 0;
    for (let step = 0; step < 30; step++) {
        total += (n ^ step) % 7;
    }
    return total;
}
";
const HEAVY_JAVASCRIPT: &str = "\
export function f(n) {
    const seen = new Map();
    for (let step = 0; step < 200; step++) {
        const word = String((n * 7 + step) % 61);
        seen.set(word, (seen.get(word) ?? 0) + word.length);
    }
    let sum = 0;
    for (const length of seen.values()) {
        sum += length;
    }
    return sum;
}
";

fn cases() -> Vec<Case> {
    let few = Int32Array::from_iter_values(0..PAIRS);
    let doubled = Int32Array::from_iter_values((0..PAIRS).map(|row| row * 2));
    let many = [(7_919, 12_345, 999_983), (104_729, 1, 1_000_003)].map(|(times, plus, modulus)| {
        Int64Array::from_iter_values((0..i64::from(PAIRS)).map(|row| (row * times + plus) % modulus))
    });
    let texts = strings(BATCH_ROWS);
    let upper = (0..BATCH_ROWS).map(|row| format!("CUSTOMER {row}"));
    let mut cases =
        vec![
            Case {
                name: "gcd as arrow-udf measures it: int32, 1,024 rows",
                python: GCD,
                javascript: GCD_JAVASCRIPT,
                batch: columns([few.clone(), doubled]),
                // Of a number and twice the number: the number.
                right: Arc::new(few),
            },
            Case {
                name: "gcd of larger numbers: int64, 1,024 rows",
                python: GCD,
                javascript: GCD_JAVASCRIPT,
                right: Arc::new(Int64Array::from_iter_values(
                    many[0].values().iter().zip(many[1].values()).map(|(&a, &b)| gcd(a, b)),
                )),
                batch: columns(many),
            },
            Case {
                name: "str.upper: 65,536 rows",
                python: "def f(s):\n    return s.upper()\n",
                javascript: "export function f(s) { return s.toUpperCase(); }\n",
                batch: texts,
                right: Arc::new(StringArray::from_iter_values(upper)),
            },
            Case {
                name: "a loop of 30 steps: int32, 8,192 rows",
                python: STEPS,
                javascript: STEPS_JAVASCRIPT,
                batch: columns([Int32Array::from_iter_values(0..8192)]),
                right: Arc::new(Int32Array::from_iter_values(
                    (0..8192).map(|row: i32| (0..30).map(|step| (row ^ step) % 7).sum()),
                )),
            },
            Case {
                name: "sum((a, b)), by the interpreter: int64, 65,536 rows",
                python: "def f(a, b):\n    return sum((a, b))\n",
                javascript: "export function f(a, b) { return [a, b].reduce((x, y) => x + y); }\n",
                batch: integers(2, BATCH_ROWS),
                right: sums(BATCH_ROWS),
            },
            Case {
                name: "a dictionary and text, by the interpreter: int32, 256 rows",
                python: HEAVY,
                javascript: HEAVY_JAVASCRIPT,
                batch: columns([Int32Array::from_iter_values(0..256)]),
                right: Arc::new(Int32Array::from_iter_values((0..256).map(|row: i32| {
                    (0..200).map(|step| if (row * 7 + step) % 61 < 10 { 1 } else { 2 }).sum()
                }))),
            },
        ];
    let additions = [
        ("a + b: int64, 1 row", 1),
        ("a + b: int64, 1,024 rows", 1024),
        ("a + b: int64, 65,536 rows", BATCH_ROWS),
    ];
    cases.extend(additions.map(|(name, rows)| Case {
        name,
        python: ADD,
        javascript: ADD_JAVASCRIPT,
        batch: integers(2, rows),
        right: sums(rows),
    }));
    cases
}

/// What the two columns of [`integers`] add up to.
fn sums(rows: usize) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((0..rows as i64).map(|row| row * 14 + 1)))
}

fn columns<A: Array + 'static>(arrays: impl IntoIterator<Item = A>) -> RecordBatch {
    batch(arrays.into_iter().map(|array| Arc::new(array) as ArrayRef).collect())
}

fn gcd(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
