//! The good tenant: one function, called again and again, whose every answer is checked.

use std::time::{Duration, Instant};

use tokio::sync::watch::Receiver;
use tonic::transport::Channel;

use crate::client::{self, Headers};

/// Sees whether anything of another call is there, and answers with a sum.
const CODE: &str = "
import builtins, os
seen = 0
def add(a, b):
    global seen
    seen += 1
    if seen != 1 or hasattr(builtins, 'mark') or os.listdir('/tmp'):
        return -1
    return a + b
";

/// Time between two calls: the tenant is no load itself.
const PAUSE: Duration = Duration::from_millis(3);

/// A connection lasts so many calls.
const CALLS_PER_CONNECTION: u64 = 500;

#[derive(Clone)]
pub(crate) struct Good {
    endpoint: String,
    headers: Headers,
}

/// What became of the good tenant's calls.
#[derive(Default)]
pub(crate) struct Served {
    pub(crate) right: u64,
    pub(crate) wrong: u64,
    pub(crate) refused: u64,
    pub(crate) problems: Vec<String>,
    latencies: Vec<Duration>,
}

impl Good {
    pub(crate) async fn provision(endpoint: &str) -> Self {
        let headers = client::provision(endpoint, "good", "add", "BIGINT NULL", CODE).await;
        Self { endpoint: endpoint.to_owned(), headers: headers.expect("the good tenant's function") }
    }

    pub(crate) async fn call_for(&self, time: Duration) -> Served {
        let end = Instant::now() + time;
        self.call_while(|| Instant::now() < end).await
    }

    pub(crate) async fn call_until(&self, stop: Receiver<bool>) -> Served {
        self.call_while(|| !*stop.borrow()).await
    }

    async fn call_while(&self, go_on: impl Fn() -> bool) -> Served {
        let mut served = Served::default();
        let mut number = 0_u64;
        while go_on() {
            let channel = client::connect(&self.endpoint).await;
            for _ in 0..CALLS_PER_CONNECTION {
                number += 1;
                self.call_once(&channel, number.cast_signed(), &mut served).await;
                if !go_on() {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        served.latencies.sort_unstable();
        served
    }

    async fn call_once(&self, channel: &Channel, number: i64, served: &mut Served) {
        let messages = client::messages("add", &[(number, 1 << 40)]);
        let started = Instant::now();
        let answer = client::call(channel, &self.headers, messages).await;
        served.latencies.push(started.elapsed());
        match answer.map(|answers| client::first_value(&answers)) {
            Ok(Some(sum)) if sum == number + (1 << 40) => served.right += 1,
            Ok(other) => {
                served.wrong += 1;
                served.problems.push(format!("{number} gives {other:?}"));
            }
            Err(status) => {
                served.refused += 1;
                served.problems.push(format!("{:?}: {}", status.code(), status.message()));
            }
        }
    }
}

impl Served {
    pub(crate) fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.refused += other.refused;
        self.problems.extend(other.problems);
        self.latencies.extend(other.latencies);
        self.latencies.sort_unstable();
    }

    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        let at = (self.latencies.len() as f64 * percent / 100.0) as usize;
        self.latencies.get(at.min(self.latencies.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// What one sees of it.
    pub(crate) fn latencies(&self) -> String {
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1e3;
        format!(
            "{} right, {} wrong, {} refused; p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, longest {:.2} ms",
            self.right,
            self.wrong,
            self.refused,
            ms(50.0),
            ms(99.0),
            ms(99.9),
            ms(100.0)
        )
    }
}
