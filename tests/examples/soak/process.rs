//! What the server's process holds, as the kernel tells it.

use std::fmt;
use std::time::Duration;

/// The server's process.
#[derive(Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

/// What it holds.
#[derive(Clone, Copy)]
pub(crate) struct Held {
    /// Bytes that are resident.
    pub(crate) resident: u64,
    pub(crate) descriptors: usize,
    threads: u64,
    mappings: usize,
}

impl Process {
    /// Whether it runs; one that has ended and was not waited for does not.
    pub(crate) fn is_alive(self) -> bool {
        let status = self.file("status");
        !status.is_empty() && !status.contains("State:\tZ")
    }

    pub(crate) fn now(self) -> Held {
        let status = self.file("status");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        Held {
            resident: number("VmRSS:") << 10,
            descriptors: std::fs::read_dir(format!("/proc/{}/fd", self.0)).map_or(0, Iterator::count),
            threads: number("Threads:"),
            mappings: self.file("maps").lines().count(),
        }
    }

    /// Waits until what it holds does not change any more, or is no more than `before`: a minute at most.
    pub(crate) async fn settle(self, before: Option<&Held>) -> Held {
        let mut last = self.now();
        let mut same = 0;
        for _ in 0..60 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let now = self.now();
            same = if now.descriptors == last.descriptors && now.mappings == last.mappings {
                same + 1
            } else {
                0
            };
            last = now;
            let is_back = before.is_none_or(|before| now.descriptors <= before.descriptors);
            if same >= 5 && is_back {
                break;
            }
        }
        last
    }

    fn file(self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.0)).unwrap_or_default()
    }
}

impl fmt::Display for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} MiB resident, {} descriptors, {} threads, {} mappings",
            self.resident >> 20,
            self.descriptors,
            self.threads,
            self.mappings
        )
    }
}
