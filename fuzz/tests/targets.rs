//! Every target over its seeds, the corpus, and a fixed number of changes of both: the same ones every time.
//! `VIVARIUM_FUZZ_CHANGES` asks for more, `VIVARIUM_FUZZ_SEED` for others.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use vivarium_fuzz::mutate::{Numbers, mutate};
use vivarium_fuzz::target;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |value| value.parse().unwrap())
}

/// Runs one target, and says which input it was if it fails.
fn run(name: &str, changes: u64) {
    let target = target(name).unwrap();
    let mut inputs = (target.seeds)();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = folder
        .read_dir()
        .map_or_else(|_| Vec::new(), |files| files.map(|file| file.unwrap().path()).collect());
    files.sort();
    inputs.extend(files.iter().map(|file| std::fs::read(file).unwrap()));
    inputs.push(Vec::new());
    let check = |input: &[u8]| {
        if let Err(panic) = std::panic::catch_unwind(|| (target.run)(input)) {
            let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("{name}: this input, in hexadecimal: {hex}");
            std::panic::resume_unwind(panic);
        }
    };
    inputs.iter().for_each(|input| check(input));
    let mut numbers = Numbers::new(number("VIVARIUM_FUZZ_SEED", 1));
    for _ in 0..number("VIVARIUM_FUZZ_CHANGES", changes) {
        let mut input = inputs[numbers.below(inputs.len())].clone();
        let other = &inputs[numbers.below(inputs.len())];
        mutate(&mut input, other, &mut numbers);
        check(&input);
    }
}

#[test]
fn attack_37_results() {
    run("results", 4000);
}

#[test]
fn attack_37_calls() {
    vivarium_runtime::worker_thread("fuzz").spawn(|| run("calls", 1000)).unwrap().join().unwrap();
}

#[test]
fn attack_43_errors() {
    run("errors", 5000);
}

#[test]
fn attack_51_image() {
    vivarium_runtime::worker_thread("fuzz").spawn(|| run("image", 300)).unwrap().join().unwrap();
}

#[test]
fn attack_54_module() {
    run("module", 3000);
}

#[test]
fn attack_39_flight() {
    run("flight", 3000);
}

#[test]
fn attack_32_archive() {
    run("archive", 5000);
}

#[test]
fn attack_36_script() {
    run("script", 1000);
}

#[test]
fn attack_36_spec() {
    run("spec", 3000);
}

#[test]
fn attack_36_sql_type() {
    run("sql_type", 5000);
}

#[test]
fn attack_55_token() {
    run("token", 3000);
}
