//! The report as text.

use std::fmt::Write as _;

use vivarium_runtime::{Capabilities, Clock, Random};

use super::{FunctionReport, HostFunction, Limit, Reach, Report, Setting};

/// Renders `report` in sections of aligned columns.
pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{} of vivarium {}", report.schema, report.version);
    surroundings(&mut out, &report.reach, &report.host_functions);

    section(&mut out, "Clock, random numbers, environment, isolation");
    let names = report.environment.names.join(", ");
    let names = if names.is_empty() { "none" } else { &names };
    columns(
        &mut out,
        &[
            ("clock", clock(&report.capabilities)),
            ("random", random(&report.capabilities).to_owned()),
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

    limits(&mut out, &report.limits);
    section(&mut out, "Settings");
    let shown = |setting: &Setting| match &setting.value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let settings: Vec<(&str, String)> =
        report.settings.iter().map(|setting| (setting.name.as_str(), shown(setting))).collect();
    columns(&mut out, &settings);

    section(&mut out, "Engine");
    let engine: Vec<(&str, String)> =
        report.engine.iter().map(|(name, value)| (*name, value.clone())).collect();
    columns(&mut out, &engine);
    out
}

/// Renders the report of one function, with what is its own first.
pub(super) fn render_function(report: &FunctionReport) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{} of vivarium {}", report.schema, report.version);
    let known =
        |value: &Option<String>| value.clone().unwrap_or_else(|| "not known before it is built".into());

    let function = &report.function;
    section(&mut out, &format!("{}/{}", printable(&function.tenant), printable(&function.name)));
    let parameters: Vec<String> = report
        .signature
        .parameters
        .iter()
        .map(|parameter| format!("{} {}", printable(&parameter.name), parameter.data_type))
        .collect();
    let code = match &report.code.location {
        Some(location) => format!("{}, from {}", known(&report.code.sha256), printable(location)),
        None => known(&report.code.sha256),
    };
    let interpreter = report.interpreter.name.unwrap_or("known when it is built");
    let mut rows = vec![
        ("version", function.version.clone()),
        ("kind", format!("{}, handler {}", function.kind, printable(&function.handler))),
        ("parameters", parameters.join(", ")),
        ("result", report.signature.result.clone()),
        ("code sha256", code),
        ("interpreter", format!("{interpreter}, CPython {}", report.interpreter.python)),
        ("module sha256", known(&report.interpreter.module_sha256)),
        ("image", report.image.state.to_owned()),
    ];
    rows.extend(report.signature.state.iter().map(|state| ("state", state.clone())));
    rows.extend(report.image.because.iter().map(|because| ("", because.clone())));
    rows.extend(report.image.sha256.iter().map(|digest| ("image sha256", digest.clone())));
    rows.push(("class", report.class.as_deref().map_or("none".to_owned(), printable)));
    rows.extend(report.problems.iter().map(|problem| ("PROBLEM", problem.clone())));
    columns(&mut out, &rows);

    section(&mut out, "What it brings along");
    let mut rows: Vec<(&str, String)> = Vec::new();
    rows.extend(report.packages.requirements.iter().map(|text| ("requirement", printable(text))));
    for package in report.packages.installed.iter().flatten() {
        rows.push(("package", format!("{} {} sha256 {}", package.name, package.version, package.sha256)));
    }
    for import in &report.imports.declared {
        rows.push(("import", format!("{} from {}", printable(&import.location), printable(&import.url))));
    }
    for file in report.imports.fetched.iter().flatten() {
        rows.push(("file", format!("{} sha256 {}", printable(&file.name), file.sha256)));
    }
    let names = report.environment.names.join(", ");
    rows.push(("environment", if names.is_empty() { "none".to_owned() } else { names }));
    columns(&mut out, &rows);

    surroundings(&mut out, &report.reach, &report.host_functions);
    section(&mut out, "Clock, random numbers, isolation");
    columns(
        &mut out,
        &[
            ("clock", clock(&report.capabilities)),
            ("random", random(&report.capabilities).to_owned()),
            ("isolation", format!("{}: {}", report.isolation.level, report.isolation.meaning)),
        ],
    );
    limits(&mut out, &report.limits);
    section(&mut out, "Engine");
    let engine: Vec<(&str, String)> =
        report.engine.iter().map(|(name, value)| (*name, value.clone())).collect();
    columns(&mut out, &engine);
    out
}

/// Text of strangers, for a terminal: control characters and the like are escaped.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// What is within reach, and the imports from which that follows.
pub(super) fn surroundings(out: &mut String, reach: &[Reach], functions: &[HostFunction]) {
    section(out, "What a function can reach");
    for reach in reach {
        let verdict = if reach.reachable { "YES" } else { "no" };
        let _ = writeln!(out, "  {verdict:<4} {}\n       {}", reach.what, reach.because);
    }
    section(out, "Functions of the host that the guest imports");
    for function in functions {
        let _ = writeln!(
            out,
            "  {}.{} {}\n       {}\n       {}",
            function.module, function.name, function.signature, function.does, function.bounds
        );
    }
}

pub(super) fn clock(capabilities: &Capabilities) -> String {
    match capabilities.clock {
        Clock::System { step_ms } => format!("system time in steps of {} ms", step_ms.max(1)),
        Clock::Frozen { unix_ns } => format!("frozen at {unix_ns} ns after 1970-01-01 UTC"),
    }
}

pub(super) fn random(capabilities: &Capabilities) -> &'static str {
    match capabilities.random {
        Random::System => "the operating system's generator",
        Random::Denied => "denied",
    }
}

pub(super) fn limits(out: &mut String, limits: &[Limit]) {
    section(out, "Limits");
    let limits: Vec<(&str, String)> =
        limits.iter().map(|limit| (limit.name.as_str(), quantity(limit.value, limit.unit))).collect();
    columns(out, &limits);
}

pub(super) fn section(out: &mut String, title: &str) {
    let _ = writeln!(out, "\n{title}");
}

pub(super) fn columns(out: &mut String, rows: &[(&str, String)]) {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in rows {
        let _ = writeln!(out, "  {name:<width$}  {value}");
    }
}

/// A number with its unit, and in a larger unit where that is exact.
pub(super) fn quantity(value: u64, unit: &str) -> String {
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
