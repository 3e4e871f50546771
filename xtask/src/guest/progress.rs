//! One line for each step: a spinner on a terminal, plain lines elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A step that is under way. Dropped without [`Step::finish`], it has failed.
pub(crate) struct Step {
    title: String,
    start: Instant,
    spinner: Option<ProgressBar>,
}

impl Step {
    /// Shows that the step begins.
    pub(crate) fn start(title: &str) -> Self {
        let spinner = std::io::stderr().is_terminal().then(|| {
            let spinner = ProgressBar::new_spinner().with_message(title.to_owned());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                spinner.set_style(style);
            }
            spinner.enable_steady_tick(Duration::from_millis(120));
            spinner
        });
        if spinner.is_none() {
            eprintln!("{title} ...");
        }
        Self { title: title.to_owned(), start: Instant::now(), spinner }
    }

    /// Shows that the step is done, and how long it took.
    pub(crate) fn finish(mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
        eprintln!("{}: {:.1} s", self.title, self.start.elapsed().as_secs_f64());
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }
}
