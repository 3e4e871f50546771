//! `cargo xtask fuzz`: the fuzz targets under libFuzzer, and the guest's file system under the sanitizers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::guest;
use crate::product;

/// Name of the target that is not Rust.
const FILESYSTEM: &str = "filesystem";

/// Its sources, in the guest's folder, without the fuzzer.
const FILESYSTEM_SOURCES: &str = include_str!("../../guest-python/tests/filesystem_sources.txt");

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Only this target. Without it: all of them, one after the other.
    #[arg(long)]
    target: Option<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Further arguments for libFuzzer, behind `--`: a file to reproduce a crash with, say.
    #[arg(last = true)]
    libfuzzer: Vec<String>,
}

/// Builds the targets and runs them.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let context = guest::context()?;
    guest::build(&context)?;
    let workspace = context.workspace.clone();
    drop(context);

    let mut targets: Vec<String> = fs::read_to_string(workspace.join("fuzz/src/lib.rs"))?
        .lines()
        .filter_map(|line| line.trim().strip_prefix("targets::")?.strip_suffix("::TARGET,"))
        .map(str::to_owned)
        .collect();
    targets.push(FILESYSTEM.to_owned());
    if let Some(only) = &arguments.target {
        ensure!(targets.contains(only), "there is no target `{only}`; there are {}", targets.join(", "));
        targets.retain(|target| target == only);
    }
    let work = target_folder(&workspace).join("fuzz");
    fs::create_dir_all(&work)?;
    if targets.iter().any(|target| target != FILESYSTEM) {
        build(&workspace)?;
    }
    let mut failed = Vec::new();
    for target in &targets {
        println!("== {target}");
        let run = if target == FILESYSTEM {
            filesystem(&workspace, &work, arguments)
        } else {
            libfuzzer(&workspace, &work, target, arguments)
        };
        if let Err(error) = run {
            eprintln!("{target}: {error:#}");
            failed.push(target.as_str());
        }
    }
    ensure!(failed.is_empty(), "crashes in {}; the inputs are in {}", failed.join(", "), work.display());
    Ok(())
}

fn target_folder(workspace: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from)
}

/// Builds the driver with counters of covered code in the workspace's crates.
fn build(workspace: &Path) -> anyhow::Result<()> {
    let arguments = [
        "build",
        "--release",
        "--locked",
        "--workspace",
        "--example",
        "fuzz",
        "--features",
        "vivarium-fuzz/libfuzzer",
    ];
    let mut cargo = product::cargo(workspace, &arguments);
    product::succeed(cargo.env("RUSTC_WORKSPACE_WRAPPER", workspace.join("fuzz/instrument.sh")))
}

/// Runs one target. What it finds interesting stays in the target folder and is where the next run starts.
fn libfuzzer(workspace: &Path, work: &Path, target: &str, arguments: &Arguments) -> anyhow::Result<()> {
    let program = target_folder(workspace).join("release/examples/fuzz");
    let (seeds, found) = (work.join(format!("{target}-seeds")), work.join(format!("{target}-corpus")));
    let artifacts = work.join(format!("{target}-crashes"));
    for folder in [&seeds, &found, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let call = || {
        let mut command = Command::new(&program);
        command.env("VIVARIUM_FUZZ_TARGET", target).env("RUST_BACKTRACE", "1");
        command
    };
    product::succeed(call().env("VIVARIUM_FUZZ_SEEDS", &seeds))?;
    let mut command = call();
    if arguments.libfuzzer.is_empty() {
        command.arg(&found).arg(&seeds);
        let kept = workspace.join("fuzz/corpus").join(target);
        if kept.exists() {
            command.arg(kept);
        }
    }
    command
        .arg(format!("-max_total_time={}", arguments.seconds))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-print_final_stats=1", "-timeout=20", "-rss_limit_mb=4096", "-max_len=65536"])
        .args(&arguments.libfuzzer);
    product::succeed(&mut command)
}

/// Compiles the guest's file system for this machine, with sanitizers and counters, and runs its fuzzer.
fn filesystem(workspace: &Path, work: &Path, arguments: &Arguments) -> anyhow::Result<()> {
    let folder = workspace.join("guest-python/filesystem");
    let program = work.join("filesystem_fuzz");
    // The fuzzer itself must not count what it covers.
    let object = work.join("filesystem_fuzz.o");
    let flags =
        ["-std=c11", "-D_DEFAULT_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-fsanitize=address,undefined"];
    let mut compile = Command::new("cc");
    compile.args(flags).arg("-I").arg(&folder).arg("-c");
    compile.arg(folder.join("tests/filesystem_fuzz.c")).arg("-o").arg(&object);
    product::succeed(&mut compile)?;
    let mut link = Command::new("cc");
    link.args(flags)
        .args(["-fno-sanitize-recover=all", "-fsanitize-coverage=trace-pc"])
        .arg("-DVIVARIUM_SOURCE_DATE_EPOCH=1749600000")
        .arg("-I")
        .arg(&folder)
        .args(FILESYSTEM_SOURCES.lines().map(|source| folder.join(source)))
        .arg(&object)
        .arg("-o")
        .arg(&program);
    product::succeed(&mut link)?;
    let mut command = Command::new(&program);
    command.current_dir(work).env("ASAN_OPTIONS", "detect_leaks=0").arg(arguments.seconds.to_string());
    product::succeed(&mut command)
}
