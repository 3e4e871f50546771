//! Pure-Python programs in the guest beside a native interpreter of the same version, in turns.
//!
//! The limit is the native interpreter, `$VIVARIUM_NATIVE_PYTHON`: `cargo xtask bench programs` gives the
//! recipe's own, built with CPython's defaults. Each program's answers are compared before its times are. Takes
//! names of programs as arguments; without any, all run.

#![expect(clippy::panic, reason = "a benchmark that cannot run has nobody to report to but its caller")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use vivarium_benches::{engine, image, on_guest_thread};
use vivarium_runtime::{Capabilities, Image, Limits};

/// Times that each program runs on each side; the quickest counts.
const TURNS: usize = 7;

/// The native interpreter, waiting for names of programs.
struct Native {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Native {
    fn start(script: &Path) -> Self {
        let python = std::env::var_os("VIVARIUM_NATIVE_PYTHON").unwrap_or_else(|| "python3".into());
        let mut child = Command::new(&python)
            .arg("-B")
            .arg(script)
            .env("PYTHONHASHSEED", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", python.display()));
        match (child.stdin.take(), child.stdout.take()) {
            (Some(input), Some(output)) => Self { child, input, output: BufReader::new(output) },
            _ => panic!("the native interpreter has no pipes"),
        }
    }

    fn ask(&mut self, name: &str, rounds: i64) -> String {
        let mut line = String::new();
        let sent = writeln!(self.input, "{name} {rounds}");
        let read = sent.and_then(|()| self.output.read_line(&mut line));
        match read {
            Ok(1..) => line.trim_end().to_owned(),
            Ok(0) => panic!("the native interpreter ended at `{name}`"),
            Err(error) => panic!("the native interpreter: {error}"),
        }
    }

    /// The programs and how many rounds each takes.
    fn programs(&mut self) -> Vec<(String, i64)> {
        let list = self.ask("list", 0);
        let entry = |entry: &str| {
            let (name, rounds) = entry.split_once(':')?;
            Some((name.to_owned(), rounds.parse().ok()?))
        };
        list.split(' ').map(|text| entry(text).unwrap_or_else(|| panic!("`{text}`"))).collect()
    }

    fn run(&mut self, name: &str, rounds: i64) -> (Duration, String) {
        let answer = self.ask(name, rounds);
        let parsed = answer.split_once(' ').and_then(|(seconds, text)| {
            Some((Duration::from_secs_f64(seconds.parse().ok()?), text.to_owned()))
        });
        parsed.unwrap_or_else(|| panic!("`{answer}`"))
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            eprintln!("the native interpreter does not end: {error}");
        }
    }
}

/// The programs as a function of a name and a number of rounds.
fn programs(script: &Path) -> Image {
    let code =
        std::fs::read_to_string(script).unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    image(&engine(), &format!("{code}\nf = run\n"), &[DataType::Utf8, DataType::Int64], DataType::Utf8)
}

/// Runs a program in a fork of its own; its time, its fuel and its answer.
fn run_in_guest(image: &Image, name: &str, rounds: i64) -> (Duration, u64, String) {
    let limits = Limits { fuel_per_batch: u64::MAX / 4, deadline_ms: 600_000, ..Limits::default() };
    let names: ArrayRef = Arc::new(StringArray::from(vec![name]));
    let counts: ArrayRef = Arc::new(Int64Array::from(vec![rounds]));
    let columns = [("name", names, false), ("rounds", counts, false)];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap_or_else(|error| panic!("{error}"));
    on_guest_thread(|| {
        let forked = image.fork(&limits, &Capabilities::default());
        let mut instance = forked.unwrap_or_else(|error| panic!("{error}"));
        let start = Instant::now();
        let result = instance.invoke(&batch).unwrap_or_else(|error| panic!("{name}: {error}"));
        let elapsed = start.elapsed();
        let text = result.as_any().downcast_ref::<StringArray>().map(|text| text.value(0).to_owned());
        (elapsed, instance.usage().fuel, text.unwrap_or_default())
    })
}

fn main() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/programs.py");
    let asked: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let mut native = Native::start(&script);
    let image = programs(&script);
    println!("| program | native, ms | guest, ms | ratio | fuel |\n|---|---|---|---|---|");
    let mut logarithms = Vec::new();
    for (name, rounds) in native.programs() {
        if !asked.is_empty() && !asked.contains(&name) {
            continue;
        }
        let (mut least_native, mut least_guest, mut fuel) = (Duration::MAX, Duration::MAX, 0);
        for _ in 0..TURNS {
            let (native_time, expected) = native.run(&name, rounds);
            let (guest_time, used, got) = run_in_guest(&image, &name, rounds);
            assert_eq!(got, expected, "{name}");
            (least_native, least_guest) = (least_native.min(native_time), least_guest.min(guest_time));
            fuel = used;
        }
        let (native_ms, guest_ms) = (least_native.as_secs_f64() * 1e3, least_guest.as_secs_f64() * 1e3);
        let ratio = guest_ms / native_ms;
        logarithms.push(ratio.ln());
        println!("| {name} | {native_ms:.1} | {guest_ms:.1} | {ratio:.2} | {:.0} M |", fuel as f64 / 1e6);
    }
    let mean = (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp();
    println!("\nGeometric mean of {} programs: {mean:.2} times native, metering on", logarithms.len());
}
