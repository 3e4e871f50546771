//! `cargo xtask bench`: the benchmarks, and what bounds them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::clients::{self, Clients};
use crate::guest;
use crate::product;

const CRITERION: [&str; 8] =
    ["bench", "--workspace", "--bench", "fork", "--bench", "rows", "--bench", "flight"];

/// What is measured; each beside its peers or its limit, in the same run.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Our own parts with criterion (fork, rows by type, the server), then the same rows natively
    Parts {
        /// Arguments for the criterion benchmarks, such as a benchmark's name.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Pure-Python programs in the guest beside the native interpreter of the same version
    Programs {
        /// Names of programs; without any, all run.
        names: Vec<String>,
    },
    /// From nothing to the first row: new functions, known functions, the server's start
    Provisioning(House),
    /// Ten thousand functions on one host, and many tenants at once
    Scale(House),
    /// How the cost of an exchange grows with rows, columns, the size of batches, the length of text
    Curves(House),
    /// One exchange on one core and on two
    Cores(House),
    /// Metering beside wasmtime's own and none, and how late calls are stopped
    Meters(House),
    /// The runtime in process beside arrow-udf-runtime, the bridge built natively, native CPython and memcpy
    Runtimes(House),
    /// The server beside databend-udf's and arrow-udf's, through one client; a table and a plot in `benches/results`
    Peers {
        /// Arguments for `benches/peers/compare.py`, such as `--rounds 9`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// Where the results of a benchmark go.
#[derive(Debug, Args)]
pub(crate) struct House {
    /// Folder for the table, the plot and the figures; `benches/results` by default.
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Builds what a benchmark needs and runs it.
pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Parts { arguments } => parts(arguments),
        Bench::Programs { names } => programs(names),
        Bench::Provisioning(to) => house("provisioning", to),
        Bench::Scale(to) => house("scale", to),
        Bench::Curves(to) => house("curves", to),
        Bench::Cores(to) => house("cores", to),
        Bench::Meters(to) => house("meters", to),
        Bench::Runtimes(to) => house("runtimes", to),
        Bench::Peers { arguments } => peers(arguments),
    }
}

fn parts(arguments: &[String]) -> anyhow::Result<()> {
    let context = guest::context()?;
    guest::build(&context)?;
    let clients = Clients::install(&context)?;
    let workspace = context.workspace.clone();
    drop(context);

    product::succeed(product::cargo(&workspace, &CRITERION).args(arguments))?;
    let mut native = Command::new(clients.python());
    native.arg("-B").arg(workspace.join("benches/native_rows.py")).env("PYTHONPATH", clients.packages());
    product::succeed(&mut native)
}

fn programs(names: &[String]) -> anyhow::Result<()> {
    let context = guest::context()?;
    guest::build(&context)?;
    let clients = Clients::install(&context)?;
    let workspace = context.workspace.clone();
    drop(context);

    let mut bench = product::cargo(&workspace, &["bench", "--workspace", "--bench", "programs", "--"]);
    product::succeed(bench.args(names).env("VIVARIUM_NATIVE_PYTHON", clients.python()))
}

/// A benchmark of `benches/house`, and the page and the plot of what it found.
fn house(name: &str, to: &House) -> anyhow::Result<()> {
    let context = guest::context()?;
    guest::build(&context)?;
    let clients = Clients::install(&context)?;
    let workspace = context.workspace.clone();
    drop(context);

    let binary = product::build(&workspace)?;
    let peer = (name == "runtimes").then(|| runtime_peer(&workspace, &clients)).transpose()?;
    let folder = tempfile::tempdir()?;
    let found = folder.path().join("found.json");
    let mut bench = product::cargo(&workspace, &["bench", "--workspace", "--bench", "house", "--", name]);
    bench
        .arg("--output")
        .arg(&found)
        .env("VIVARIUM_BINARY", &binary)
        .env("VIVARIUM_CACHE_DIR", binary.with_file_name("vivarium-bench-cache"))
        .env("VIVARIUM_NATIVE_PYTHON", clients.python())
        .env("VIVARIUM_NATIVE_PACKAGES", clients.packages())
        .envs(peer.map(|peer| ("VIVARIUM_RUNTIME_PEER", peer)));
    product::succeed(&mut bench)?;
    let mut render = Command::new(clients.python());
    render
        .arg("-B")
        .arg(workspace.join("benches/report/render.py"))
        .arg(&found)
        .arg(to.output.clone().unwrap_or_else(|| workspace.join("benches/results")))
        .env("PYTHONPATH", clients.packages());
    product::succeed(&mut render)
}

/// Builds arrow-udf-runtime, which embeds the recipe's native CPython, beside the product's own files.
fn runtime_peer(workspace: &Path, clients: &Clients) -> anyhow::Result<PathBuf> {
    let target = product::target(workspace).join("arrow-udf-runtime");
    let python = clients.python();
    let library = python.ancestors().nth(2).context("the interpreter is in no folder")?.join("lib");
    // The recipe makes a static library only, which PyO3 does not link by itself.
    let link = format!(
        "implementation=CPython\nversion=3.13\nshared=true\npointer_width=64\nexecutable={}\n\
         suppress_build_script_link_lines=true\n\
         extra_build_script_line=cargo:rustc-link-search=native={}\n\
         extra_build_script_line=cargo:rustc-link-lib=static:+whole-archive=python3.13\n",
        python.display(),
        library.display()
    );
    let config = target.join("pyo3.txt");
    // Written anew, it would be a reason to build again.
    if fs::read_to_string(&config).ok().as_deref() != Some(&link) {
        fs::create_dir_all(&target).with_context(|| format!("cannot create {}", target.display()))?;
        fs::write(&config, link).with_context(|| format!("cannot write {}", config.display()))?;
    }
    let mut build = product::cargo(workspace, &["build", "--release", "--locked", "--manifest-path"]);
    build
        .arg(workspace.join("benches/peers/arrow-udf-runtime/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env("PYO3_CONFIG_FILE", &config);
    product::succeed(&mut build)?;
    Ok(target.join("release/arrow-udf-runtime-peer"))
}

fn peers(arguments: &[String]) -> anyhow::Result<()> {
    let context = guest::context()?;
    guest::build(&context)?;
    let clients = Clients::install(&context)?;
    let workspace = context.workspace.clone();
    let folder = workspace.join("benches/peers");
    let title = "installing the servers to compare with";
    let peer = clients::packages(&context, &folder.join("requirements.txt"), title)?;
    let old_peer = clients::packages(&context, &folder.join("requirements-0.2.17.txt"), title)?;
    let arrow_udf = clients::packages(&context, &folder.join("requirements-arrow-udf.txt"), title)?;
    drop(context);

    let binary = product::build(&workspace)?;
    let mut compare = Command::new(clients.python());
    compare
        .arg("-B")
        .arg(folder.join("compare.py"))
        .args(arguments)
        .env("PYTHONPATH", clients.packages())
        .env("VIVARIUM_BINARY", &binary)
        .env("VIVARIUM_CACHE_DIR", binary.with_file_name("vivarium-bench-cache"))
        .env("VIVARIUM_PROTO", workspace.join("proto/proto/udfproto.proto"))
        .env("VIVARIUM_PEER_PACKAGES", &peer)
        .env("VIVARIUM_OLD_PEER_PACKAGES", &old_peer)
        .env("VIVARIUM_ARROW_UDF_PACKAGES", &arrow_udf);
    product::succeed(&mut compare)
}
