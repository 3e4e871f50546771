//! The benchmarks that `cargo xtask bench` runs one at a time: `house NAME --output FILE`.
//!
//! Each starts the real server as a process of its own, or uses the runtime as a library, and writes what it
//! found as one [`vivarium_benches::report::Report`].

mod contestants;
mod cores;
mod curves;
mod functions;
mod meters;
mod provisioning;
mod runtimes;
mod scale;
mod stops;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail};
use vivarium_benches::client::{Client, Definition, Messages};
use vivarium_benches::integers;
use vivarium_benches::server::{Setting, folder};

fn main() -> anyhow::Result<()> {
    // Behind the arguments that cargo adds.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let name = words.next().context("which benchmark?")?;
    let mut output = None;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--output" => output = words.next().map(PathBuf::from),
            other => bail!("`{other}` is no argument of a benchmark"),
        }
    }
    let output = output.context("--output FILE is missing")?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(compile())?;
    let began = Instant::now();
    let report = match name.as_str() {
        "scale" => runtime.block_on(scale::run()),
        "provisioning" => runtime.block_on(provisioning::run()),
        "cores" => runtime.block_on(cores::run()),
        "curves" => runtime.block_on(curves::run()),
        "meters" => meters::run(),
        "runtimes" => runtimes::run(),
        other => bail!("there is no benchmark `{other}`"),
    }?;
    println!("{name} took {:.0} s", began.elapsed().as_secs_f64());
    report.write(&output)
}

/// Has everything compiled that is compiled once for a machine: a server would do it in the background.
async fn compile() -> anyhow::Result<()> {
    let folder = folder()?;
    let server = Setting::of_environment()?.start(folder.path())?;
    let client = Client::connect(&server.endpoint).await?;
    let code = "import numpy\n\ndef f(a):\n    return int(numpy.add(a, 1))\n";
    let function = client.provision("bench", &Definition::of_integers(code, 1)).await?;
    client.exchange(&function, &Messages::new(&integers(1, 1))?, 1).await
}
