//! Measured times, and what is said about them.

use std::time::Duration;

/// Times of the same thing, in seconds.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds a time.
    pub fn push(&mut self, time: Duration) {
        self.0.push(time.as_secs_f64());
    }

    /// Adds all times of others.
    pub fn extend(&mut self, others: &Self) {
        self.0.extend(&others.0);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time that the `share` of all does not exceed, in milliseconds; 0 without any times.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
        sorted.get(at).copied().unwrap_or(0.0) * 1e3
    }

    /// The median, in milliseconds.
    pub fn p50_ms(&self) -> f64 {
        self.quantile_ms(0.50)
    }

    /// The time that one in a hundred exceeds, in milliseconds.
    pub fn p99_ms(&self) -> f64 {
        self.quantile_ms(0.99)
    }

    /// Median, 99th percentile and maximum as text, in milliseconds.
    pub fn told(&self) -> String {
        format!("{} / {} / {}", short(self.p50_ms()), short(self.p99_ms()), short(self.quantile_ms(1.0)))
    }
}

/// The median of some figures; 0 without any.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// A figure with three significant digits.
pub fn short(figure: f64) -> String {
    let digits = if figure == 0.0 { 0.0 } else { figure.abs().log10().floor() };
    let decimals = (2.0 - digits).clamp(0.0, 6.0) as usize;
    format!("{figure:.decimals$}")
}
