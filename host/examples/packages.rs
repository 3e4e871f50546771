//! Runs what `host/packages/popular.toml` lists inside the sandbox, and prints the table that is
//! `host/packages/packages.md`. Needs the network and uv.
//!
//! `cargo run --release --workspace --example packages -- [UV [NAME...]] > host/packages/packages.md`

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use serde::Deserialize;
use vivarium_host::packages::{Collected, Packages, PackagesConfig, parse_requirements};
use vivarium_runtime::{
    BuildLimits, Capabilities, Engine, EngineConfig, FunctionFiles, FunctionSpec, GuestFile, Interpreter,
    Limits, worker_thread,
};

#[derive(Deserialize)]
struct Document {
    package: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    #[serde(default)]
    import: String,
    #[serde(default)]
    run: String,
    #[serde(default)]
    expect: String,
    /// Whether it cannot be had, because it needs native code.
    #[serde(default)]
    refused: bool,
}

const INTRODUCTION: &str = "\
# Packages in the sandbox

Packages that authors of functions reach for first. Each row was run: the package was resolved, downloaded,
checked and unpacked by `vivarium_host::packages`, imported while an image was built, and called in a fork
of the image; *gave* is what the call returned. Versions are the newest that have a pure-Python wheel.
*files* is everything with dependencies, *image* the time to build the image once, imports included, and
*fuel* what that burned, in billions of units (`build_limits.fuel`); calls pay none of it.

`cargo run --release --workspace --example packages -- PATH-OF-UV > host/packages/packages.md` makes this page.

| package | version | with dependencies | files | image | fuel | call | gave |
|---|---|---|--:|--:|--:|---|---|
";

fn main() -> Result<(), Box<dyn Error>> {
    let worker = worker_thread("packages").spawn(|| table().map_err(|error| error.to_string()))?;
    worker.join().map_err(|_| "the thread panicked")??;
    Ok(())
}

fn table() -> Result<(), Box<dyn Error>> {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("packages/popular.toml");
    let document: Document = toml::from_str(&std::fs::read_to_string(list)?)?;
    let wanted: Vec<String> = std::env::args().skip(2).collect();
    let uv = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("uv"), PathBuf::from);
    let cache = std::env::temp_dir().join(format!("vivarium-packages-{}", std::process::id()));
    std::fs::create_dir(&cache)?;
    let packages = Packages::new(&PackagesConfig { resolver: uv, ..PackagesConfig::default() }, &cache)?;
    let engine =
        Engine::new(EngineConfig { cache_dir: Some(cache.join("engine")), ..EngineConfig::default() })?;

    print!("{INTRODUCTION}");
    let (mut failures, mut refused) = (Vec::new(), Vec::new());
    let is_wanted = |entry: &Entry| wanted.is_empty() || wanted.contains(&entry.name);
    for entry in document.package.into_iter().filter(is_wanted) {
        let collected = parse_requirements(std::slice::from_ref(&entry.name))
            .and_then(|parsed| packages.collect(&parsed));
        match collected {
            Err(error) if entry.refused => {
                let text = error.to_string();
                refused
                    .push((entry.name, text.split("; the sandbox loads").next().unwrap_or(&text).to_owned()));
            }
            Err(error) => failures.push(format!("{}: {error}", entry.name)),
            Ok(collected) if entry.refused => {
                failures
                    .push(format!("{}: expected to be refused, got {:?}", entry.name, collected.packages));
            }
            Ok(collected) => match call(&engine, &entry, &collected) {
                Ok((answer, row)) if answer == entry.expect => println!("{row}"),
                Ok((answer, _)) => failures.push(format!("{}: gave {answer:?}", entry.name)),
                Err(error) => failures.push(format!("{}: {error}", entry.name)),
            },
        }
    }
    println!("\n## What needs native code\n\n| package | answer |\n|---|---|");
    for (name, answer) in refused {
        println!("| {name} | {answer} |");
    }
    std::fs::remove_dir_all(cache)?;
    if failures.is_empty() {
        return Ok(());
    }
    Err(failures.join("\n").into())
}

/// Builds the image of a function that makes the call, runs it in a fork, and describes it as a row.
fn call(engine: &Engine, entry: &Entry, collected: &Collected) -> Result<(String, String), Box<dyn Error>> {
    let spec = FunctionSpec {
        name: "call".to_owned(),
        handler: "call".to_owned(),
        filename: "call.py".to_owned(),
        code: format!("{}\ndef call(x):\n    return str({})\n", entry.import, entry.run),
        parameters: vec![Field::new("x", DataType::Int64, true)],
        result: Field::new("result", DataType::Utf8, true),
        kind: Default::default(),
        null_handling: Default::default(),
        on_error: Default::default(),
        environment: Default::default(),
        interpreter: Interpreter::default(),
        files_digest: None,
    };
    let file = |(path, content): &(String, Arc<[u8]>)| GuestFile {
        path: format!("/packages/{path}"),
        content: Arc::clone(content),
    };
    let files = FunctionFiles {
        files: collected.files.iter().map(file).collect(),
        search_path: vec!["/packages".to_owned()],
        ..FunctionFiles::default()
    };
    // Room for the largest of them.
    let limits = BuildLimits { fuel: 1_000_000_000_000, deadline_ms: 300_000, ..BuildLimits::default() };
    let began = Instant::now();
    let image = engine.build_image(&spec, &files, &limits)?;
    let built = began.elapsed();

    let column: ArrayRef = Arc::new(Int64Array::from_iter_values([1]));
    let schema = Schema::new(vec![Field::new("x", DataType::Int64, true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![column])?;
    let mut fork = image.fork(&Limits::default(), &Capabilities::default())?;
    let result = fork.invoke(&batch)?;
    let result = result.as_any().downcast_ref::<StringArray>().ok_or("the result is not text")?;
    let answer = result.value(0).to_owned();

    let (mut version, mut others) = (String::new(), Vec::new());
    let name = entry.name.replace('.', "-");
    for package in &collected.packages {
        if package.name == name {
            version.clone_from(&package.version);
        } else {
            others.push(format!("{} {}", package.name, package.version));
        }
    }
    let bytes: usize = collected.files.iter().map(|(_, content)| content.len()).sum();
    let code = |text: &str| format!("`{}`", text.replace('|', "\\|").replace('\n', " "));
    let row = format!(
        "| {} | {version} | {} | {:.1} MB | {} ms | {:.1} | {} | {} |",
        entry.name,
        others.join(", "),
        bytes as f64 / 1e6,
        built.as_millis(),
        image.build_usage().fuel as f64 / 1e9,
        code(&entry.run),
        code(&answer),
    );
    Ok((answer, row))
}
