//! Counting one exchange.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use super::{Metrics, OfError, OfFunction, OfLimit};

/// Counts an exchange from its begin until it is dropped.
#[derive(Debug)]
pub struct ExchangeMeter {
    function_name: String,
    began: Instant,
    rows: Counter,
    running_requests: Gauge,
    running_rows: Gauge,
    durations: Histogram,
    errors: Family<OfError, Counter>,
    rejected: Counter,
    limits: Family<OfLimit, Counter>,
    /// Rows of the batch that is worked on.
    current: AtomicI64,
}

impl ExchangeMeter {
    pub(super) fn begin(metrics: &Metrics, function_name: String) -> Self {
        let label = OfFunction { function_name: function_name.clone() };
        metrics.requests.get_or_create(&label).inc();
        let running_requests = metrics.running_requests.get_or_create(&label).clone();
        running_requests.inc();
        Self {
            function_name,
            began: Instant::now(),
            rows: metrics.rows.get_or_create(&label).clone(),
            running_requests,
            running_rows: metrics.running_rows.get_or_create(&label).clone(),
            durations: metrics.durations.get_or_create(&label).clone(),
            errors: metrics.errors.clone(),
            rejected: metrics.rejected.get_or_create(&label).clone(),
            limits: metrics.limits.clone(),
            current: AtomicI64::new(0),
        }
    }

    /// A batch of `rows` rows is worked on, and the one before it no more.
    pub fn batch(&self, rows: usize) {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        self.rows.inc_by(rows.unsigned_abs());
        self.running_rows.inc_by(rows - self.current.swap(rows, Ordering::Relaxed));
    }

    /// The exchange fails, for a reason of a few, perhaps by meeting a limit.
    pub fn failed(&self, error_type: &'static str, limit: Option<&'static str>) {
        let label = OfError { function_name: self.function_name.clone(), error_type };
        self.errors.get_or_create(&label).inc();
        if let Some(limit) = limit {
            self.limits.get_or_create(&OfLimit { limit }).inc();
        }
    }

    /// The exchange has no place within the bounds of its tenant or of the server.
    pub fn rejected(&self) {
        self.rejected.inc();
    }
}

impl Drop for ExchangeMeter {
    fn drop(&mut self) {
        self.running_requests.dec();
        self.running_rows.dec_by(*self.current.get_mut());
        self.durations.observe(self.began.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Levels, Metrics};
    use crate::config::MetricsConfig;

    #[test]
    fn compat_calls_are_counted_as_databend_udf_does() {
        let metrics = Metrics::new(&MetricsConfig::default());
        let meter = metrics.exchange("gcd");
        meter.batch(3);
        meter.batch(5);
        meter.failed("ValueError", None);
        let line = |text: &str| {
            let rendered = metrics.render(&Levels::default());
            assert!(rendered.lines().any(|line| line == text), "{text}\n{rendered}");
        };
        line(r#"udf_server_requests_count_total{function_name="gcd"} 1"#);
        line(r#"udf_server_rows_count_total{function_name="gcd"} 8"#);
        line(r#"udf_server_running_requests_count{function_name="gcd"} 1"#);
        line(r#"udf_server_running_rows_count{function_name="gcd"} 5"#);
        line(r#"udf_server_errors_count_total{function_name="gcd",error_type="ValueError"} 1"#);
        line(r#"udf_server_rejected_requests_count_total{function_name="gcd"} 0"#);
        drop(meter);
        line(r#"udf_server_running_requests_count{function_name="gcd"} 0"#);
        line(r#"udf_server_running_rows_count{function_name="gcd"} 0"#);
        line(r#"udf_server_response_duration_seconds_bucket{le="10.0",function_name="gcd"} 1"#);
        line(r#"udf_server_response_duration_seconds_count{function_name="gcd"} 1"#);
        line("# EOF");
    }
}
