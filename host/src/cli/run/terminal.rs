//! What `vivarium run` shows while it works and when it has finished.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::pretty::pretty_format_batches;
use indicatif::{ProgressBar, ProgressStyle};
use vivarium_host::local::{Input, Totals};
use vivarium_runtime::Logs;

use super::quantity::{grouped, mebibytes, short};

/// A bar on the standard error stream, drawn only where that is a terminal.
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    rows: u64,
    /// For formats that do not say how many rows they have.
    bytes_read: Option<Arc<AtomicU64>>,
}

impl Progress {
    /// A spinner with a message, until it is dropped.
    pub(super) fn spinner(message: &'static str) -> ProgressBar {
        let bar = ProgressBar::new_spinner().with_message(message);
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }

    /// A bar over the rows of `input`, or over its bytes where the rows are not known up front.
    pub(super) fn over(input: &Input, max_rows: Option<u64>) -> Self {
        let (bytes, bytes_read) = input.bytes();
        let rows = input.total_rows().map(|rows| rows.min(max_rows.unwrap_or(u64::MAX)));
        let bar = ProgressBar::new(rows.unwrap_or(bytes));
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {eta} left") {
            bar.set_style(style);
        }
        Self { bar, started: Instant::now(), rows: 0, bytes_read: rows.is_none().then_some(bytes_read) }
    }

    /// Moves on by `rows`.
    pub(super) fn advance(&mut self, rows: usize) {
        self.rows += rows as u64;
        let position = match &self.bytes_read {
            Some(bytes) => bytes.load(Ordering::Relaxed),
            None => self.rows,
        };
        let rate = self.rows as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        self.bar.set_message(format!("{} rows, {} rows/s", grouped(self.rows), short(rate)));
        self.bar.set_position(position);
    }

    /// Shows what the function printed, on the standard error stream: standard output is for data.
    pub(super) fn print_logs(&self, logs: &Logs) {
        if *logs != Logs::default() {
            self.bar.suspend(|| print_logs(logs));
        }
    }

    /// Removes the bar and returns the time since it began.
    pub(super) fn finish(self) -> Duration {
        self.bar.finish_and_clear();
        self.started.elapsed()
    }
}

/// Shows what a function printed on the standard error stream.
pub(super) fn print_logs(logs: &Logs) {
    let mut error = std::io::stderr().lock();
    for stream in [&logs.stdout, &logs.stderr] {
        let text = printable(&String::from_utf8_lossy(stream));
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        // Nobody is left to tell about a closed stream.
        let _ = write!(error, "{text}{end}");
    }
    if logs.dropped_bytes > 0 {
        let _ = writeln!(error, "({} bytes of output were dropped)", grouped(logs.dropped_bytes));
    }
}

/// The first rows of the result.
pub(super) struct Preview {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    missing: usize,
}

impl Preview {
    /// Will keep `rows` rows of `schema`.
    pub(super) fn new(schema: SchemaRef, rows: usize) -> Self {
        Self { schema, batches: Vec::new(), missing: rows }
    }

    /// Takes what it needs of `batch`.
    pub(super) fn add(&mut self, batch: &RecordBatch) {
        let rows = batch.num_rows().min(self.missing);
        if rows > 0 {
            self.batches.push(batch.slice(0, rows));
            self.missing -= rows;
        }
    }

    /// Prints the table to standard output.
    pub(super) fn print(mut self) -> std::io::Result<()> {
        if self.batches.is_empty() {
            self.batches.push(RecordBatch::new_empty(self.schema));
        }
        let table = pretty_format_batches(&self.batches).map_err(std::io::Error::other)?;
        let table = printable(&table.to_string());
        match writeln!(std::io::stdout().lock(), "{table}") {
            // `vivarium run .. | head`
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            outcome => outcome,
        }
    }
}

/// One line about the whole run.
pub(super) fn summary(totals: &Totals, elapsed: Duration, workers: usize) -> String {
    let seconds = elapsed.as_secs_f64();
    let per = |total: f64, count: f64| short(if count > 0.0 { total / count } else { 0.0 });
    format!(
        "{} {} in {seconds:.3} s: {} rows/s, {workers} {}; fuel {} ({} a row); peak memory {} a worker",
        grouped(totals.rows),
        if totals.rows == 1 { "row" } else { "rows" },
        per(totals.rows as f64, seconds),
        if workers == 1 { "worker" } else { "workers" },
        short(totals.fuel as f64),
        per(totals.fuel as f64, totals.rows as f64),
        mebibytes(totals.peak_memory_bytes),
    )
}

/// Text from a file or a function without what would steer the terminal.
pub(super) fn printable(text: &str) -> String {
    let steers = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_escapes_do_not_pass() {
        assert_eq!(printable("a\u{1b}[31mb\r\n\tc\u{202e}"), "a\u{fffd}[31mb\u{fffd}\n\tc\u{fffd}");
    }

    #[test]
    fn the_summary_survives_nothing() {
        let text = summary(&Totals::default(), Duration::ZERO, 1);
        assert_eq!(
            text,
            "0 rows in 0.000 s: 0 rows/s, 1 worker; fuel 0 (0 a row); peak memory 0.0 MiB a worker"
        );
    }
}
