//! The report as text.

use std::fmt::Write as _;

use vivarium_runtime::{Clock, Random};

use super::Report;

/// Renders `report` in sections of aligned columns.
pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{} of vivarium {}", report.schema, report.version);

    section(&mut out, "What a function can reach");
    for reach in &report.reach {
        let verdict = if reach.reachable { "YES" } else { "no" };
        let _ = writeln!(out, "  {verdict:<4} {}\n       {}", reach.what, reach.because);
    }

    section(&mut out, "Functions of the host that the guest imports");
    for function in &report.host_functions {
        let _ = writeln!(
            out,
            "  {}.{} {}\n       {}\n       {}",
            function.module, function.name, function.signature, function.does, function.bounds
        );
    }

    section(&mut out, "Clock, random numbers, environment, isolation");
    let clock = match report.capabilities.clock {
        Clock::System { step_ms } => format!("system time in steps of {} ms", step_ms.max(1)),
        Clock::Frozen { unix_ns } => format!("frozen at {unix_ns} ns after 1970-01-01 UTC"),
    };
    let random = match report.capabilities.random {
        Random::System => "the operating system's generator",
        Random::Denied => "denied",
    };
    let names = report.environment.names.join(", ");
    let names = if names.is_empty() { "none" } else { &names };
    columns(
        &mut out,
        &[
            ("clock", clock),
            ("random", random.to_owned()),
            ("environment", format!("{names}; {}", report.environment.others)),
            ("isolation", format!("{}: {}", report.isolation.level, report.isolation.meaning)),
        ],
    );

    section(&mut out, "Who may call functions");
    let files = report.access.public_files.join(", ");
    let files = if files.is_empty() {
        "none".to_owned()
    } else {
        format!("those declared in {files}: everybody who reaches the Flight address, without a token")
    };
    columns(&mut out, &[("provisioned", report.access.provisioned.to_owned()), ("public", files)]);

    section(&mut out, "Limits");
    let limits: Vec<(&str, String)> =
        report.limits.iter().map(|limit| (limit.name.as_str(), quantity(limit.value, limit.unit))).collect();
    columns(&mut out, &limits);

    section(&mut out, "Engine");
    let engine: Vec<(&str, String)> =
        report.engine.iter().map(|(name, value)| (*name, value.clone())).collect();
    columns(&mut out, &engine);
    out
}

fn section(out: &mut String, title: &str) {
    let _ = writeln!(out, "\n{title}");
}

fn columns(out: &mut String, rows: &[(&str, String)]) {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in rows {
        let _ = writeln!(out, "  {name:<width$}  {value}");
    }
}

/// A number with its unit, and in a larger unit where that is exact.
fn quantity(value: u64, unit: &str) -> String {
    let larger = match unit {
        "bytes" => [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
            .into_iter()
            .find(|(size, _)| value >= *size && value.is_multiple_of(*size)),
        _ => None,
    };
    match (larger, unit) {
        (Some((size, name)), _) => format!("{} {name}", value / size),
        (None, "count") => value.to_string(),
        (None, unit) => format!("{value} {unit}"),
    }
}
