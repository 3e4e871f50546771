//! The report as the tables of SECURITY.md.

use std::fmt::Write as _;

use super::Report;
use super::text::quantity;

/// Renders what is the same for every build of one source and one configuration.
pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "| function of the host | what it does | what bounds it |\n|---|---|---|");
    for function in &report.host_functions {
        let (module, name, signature) = (&function.module, &function.name, &function.signature);
        let (does, bounds) = (cell(function.does), cell(function.bounds));
        let _ = writeln!(out, "| `{module}.{name}` `{}` | {does} | {bounds} |", cell(signature));
    }
    let _ = writeln!(out, "\n| reachable? | what | because |\n|---|---|---|");
    for reach in &report.reach {
        let verdict = if reach.reachable { "**yes**" } else { "no" };
        let _ = writeln!(out, "| {verdict} | {} | {} |", reach.what, literal(&reach.because));
    }
    let _ = writeln!(out, "\n| limit of one sandbox | default |\n|---|---|");
    for limit in report.limits.iter().filter(|limit| limit.name.starts_with("limits.")) {
        let _ = writeln!(out, "| `{}` | {} |", limit.name, quantity(limit.value, limit.unit));
    }
    let _ = writeln!(out, "\nIsolation level `{}`: {}.", report.isolation.level, report.isolation.meaning);
    out
}

/// A text that cannot end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A text that cannot end its cell, and in which `*` and `_` are themselves.
fn literal(text: &str) -> String {
    cell(text).replace('*', "\\*").replace('_', "\\_")
}
