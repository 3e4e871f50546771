//! The soak: a good tenant is served while others attack, against the real server through real exchanges.
//!
//! What is promised: the server never ends, the good tenant gets every answer and the right one, each attack
//! ends in an error that says why, the good tenant's p99 stays within twice its quiet value (both in turns),
//! and when it is over the server holds as many descriptors, and about as much memory, as before. It prints
//! what was served, refused and left behind, and ends with 1 if a promise was broken. Run it with
//! `cargo xtask soak`.

#![expect(clippy::expect_used, clippy::panic, reason = "a soak that cannot run has nobody to report to")]

mod attackers;
mod client;
mod good;
mod kinds;
mod process;
mod report;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use vivarium_tests::Server;

use self::attackers::Attackers;
use self::good::{Good, Served};
use self::process::Process;
use self::report::{Promise, Tally};

/// Little of everything, so that most attacks end within milliseconds. The deadline is longer: it is the one
/// limit that a busy machine may reach by itself. Nothing is compiled in the background.
const CONFIG: &str = "
[limits]
fuel_per_batch = 5_000_000
deadline_ms = 3_000
memory_bytes = 67_108_864
output_bytes = 1_048_576
log_bytes = 4_096

[build_limits]
fuel = 1_000_000_000

[server]
numpy_at_start = false

[logging]
level = \"error\"
";

/// How long, and how many at once.
struct Arguments {
    calls: u64,
    seconds: u64,
    parallel: usize,
    /// The good tenant's p99 may be so many times its quiet value.
    ratio: f64,
}

impl Arguments {
    fn read() -> Self {
        let mut arguments = Self { calls: u64::MAX, seconds: u64::MAX, parallel: 12, ratio: 2.0 };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().unwrap_or_else(|| panic!("`{word}` needs a value"));
            let number = || value.parse().unwrap_or_else(|_| panic!("`{word} {value}` is no number"));
            match word.as_str() {
                "--calls" => arguments.calls = number(),
                "--seconds" => arguments.seconds = number(),
                "--parallel" => arguments.parallel = number() as usize,
                "--ratio" => arguments.ratio = value.parse().expect("--ratio takes a number"),
                _ => panic!("`{word}` is not --calls N, --seconds N, --parallel N or --ratio X"),
            }
        }
        if arguments.calls == u64::MAX && arguments.seconds == u64::MAX {
            arguments.seconds = 60;
        }
        arguments
    }
}

/// Attacks go on for so long, and then the good tenant is alone for so long: what is quiet is measured on the
/// same machine in the same minutes, and not once before everything.
const ATTACKED: Duration = Duration::from_secs(60);
const ALONE: Duration = Duration::from_secs(6);

/// Niceness of the attackers' own threads: they would be on other machines, and take nothing of the
/// processors for which the good tenant's client and the server compete here.
const ATTACKERS_NICE: i32 = 15;

fn main() -> std::process::ExitCode {
    let arguments = Arguments::read();
    let step_back = || {
        rustix::process::setpriority_process(None, ATTACKERS_NICE).expect("a lower priority");
    };
    let attacking = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .on_thread_start(step_back)
        .enable_all()
        .build()
        .expect("the attackers' threads");
    let watching =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the good tenant's thread");
    watching.block_on(soak(arguments, attacking.handle()))
}

async fn soak(arguments: Arguments, attacking: &tokio::runtime::Handle) -> std::process::ExitCode {
    let folder = tempfile::tempdir().expect("a folder for the server's state");
    let server = Server::start(folder.path(), CONFIG);
    let process = Process(server.id());
    let endpoint = format!("http://{}", server.address());

    let good = Good::provision(&endpoint).await;
    let attackers = Arc::new(Attackers::provision(&endpoint).await);
    println!("{} kinds of attacks, {} at a time", attackers.kinds(), arguments.parallel);

    // Whatever the server makes once and keeps is made before anything is measured.
    let mut warm = attackers.each().await;
    let attack = |calls, end| {
        let (attackers, parallel) = (Arc::clone(&attackers), arguments.parallel);
        attacking.spawn(async move { attackers.run(parallel, calls, end).await })
    };
    let warmed = attack(u64::MAX, Instant::now() + Duration::from_secs(10)).await;
    warm.add(warmed.expect("the attackers' tasks end"));
    good.call_for(Duration::from_secs(2)).await;
    let before = process.settle(None).await;
    println!("before: {before}");
    let mut quiet = good.call_for(ALONE).await;
    println!("quiet: {}", quiet.latencies());

    let end = Instant::now()
        + if arguments.seconds == u64::MAX { far() } else { Duration::from_secs(arguments.seconds) };
    let watching = tokio::sync::watch::Sender::new(false);
    let watched = tokio::spawn(watch(process, attackers.clone(), watching.subscribe()));
    let (mut tally, mut noisy, mut took) = (Tally::default(), Served::default(), Duration::ZERO);
    while tally.calls() < arguments.calls && Instant::now() < end {
        let began = Instant::now();
        let stop = tokio::sync::watch::Sender::new(false);
        let beside = tokio::spawn({
            let (good, stop) = (good.clone(), stop.subscribe());
            async move { good.call_until(stop).await }
        });
        let left = arguments.calls - tally.calls();
        tally.add(attack(left, end.min(began + ATTACKED)).await.expect("the attackers' tasks end"));
        stop.send_replace(true);
        let served = beside.await.expect("the good tenant's calls end");
        took += began.elapsed();
        // What the last attackers left is put away.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let alone = good.call_for(ALONE).await;
        println!("{:>9} attacks, beside them: {}", tally.calls(), served.latencies());
        println!("{:>9}         without: {}", "", alone.latencies());
        noisy.add(served);
        quiet.add(alone);
    }
    watching.send_replace(true);
    let most_bytes = watched.await.expect("the watch ends");

    let after = process.settle(Some(&before)).await;
    let last = good.call_for(Duration::from_secs(1)).await;
    println!("\n{tally}");
    println!(
        "{} attacks in {:.0} s, {:.0} a second; warm-up: {}",
        tally.calls(),
        took.as_secs_f64(),
        tally.calls() as f64 / took.as_secs_f64(),
        warm.calls()
    );
    println!("good tenant, quiet:  {}", quiet.latencies());
    println!("good tenant, soaked: {}", noisy.latencies());
    println!("before: {before}\nafter:  {after}\nmost resident: {} MiB", most_bytes >> 20);

    let promises = [
        Promise::new("the server lives and serves", process.is_alive() && last.wrong == 0 && last.right > 0),
        Promise::new("no wrong answer to the good tenant", quiet.wrong + noisy.wrong == 0),
        Promise::new("no refusal of the good tenant", quiet.refused + noisy.refused == 0),
        Promise::new("every attack ends as it should", tally.unexpected() + warm.unexpected() == 0),
        Promise::new("descriptors are back", after.descriptors <= before.descriptors),
        Promise::new("memory is back within 32 MiB", after.resident <= before.resident + (32 << 20)),
        Promise::new(
            &format!("p99 is at most {} times its quiet value", arguments.ratio),
            noisy.percentile(99.0) <= quiet.percentile(99.0).mul_f64(arguments.ratio),
        ),
    ];
    promises.iter().for_each(|promise| println!("{promise}"));
    for problem in quiet.problems.iter().chain(&noisy.problems).chain(&last.problems).take(10) {
        println!("good tenant: {problem}");
    }
    let log = server.log(folder.path());
    if !log.is_empty() {
        println!("the server's log, {} bytes: {:.2000}", log.len(), log);
    }
    std::process::ExitCode::from(u8::from(promises.iter().any(|promise| !promise.is_kept)))
}

/// Longer than anybody waits.
fn far() -> Duration {
    Duration::from_secs(1_000_000)
}

/// Tells how it goes, and finds out the most memory.
async fn watch(
    process: Process,
    attackers: Arc<Attackers>,
    mut stop: tokio::sync::watch::Receiver<bool>,
) -> u64 {
    let mut most = 0;
    let mut ticks = 0_u64;
    loop {
        tokio::select! {
            _ = stop.changed() => return most,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
        let now = process.now();
        most = most.max(now.resident);
        ticks += 1;
        if ticks.is_multiple_of(60) {
            println!("{:>9} attacks, {now}", attackers.done.load(Ordering::Relaxed));
        }
    }
}

/// Counts calls that are left.
struct Budget(AtomicU64);

impl Budget {
    fn take(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}
