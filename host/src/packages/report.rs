//! What the resolver says when it fails, as an error for whoever asked for the packages.
//!
//! Its text is for the operator: it may name indexes and folders. A caller gets names of packages,
//! versions and the reasoning, no more.

use super::error::PackageError;
use super::provided;

/// Longest part of the resolver's reasoning that a caller gets, in bytes.
const MAX_REASON_BYTES: usize = 1200;

const NO_SOLUTION: &str = "No solution found when resolving dependencies";
/// What stands before the name of a package of which only wheels for other platforms, or none, exist.
const NO_WHEEL: [&str; 3] =
    ["Wheels are required for `", "Wheels are available for `", "we only found wheels for `"];
/// What uv says when an index does not answer as it should.
const INDEX: [&str; 4] =
    ["Failed to fetch", "error sending request", "Network connectivity is disabled", "Request failed"];

/// The error that the resolver's text describes. `requested` is all requirements, for the message.
pub(super) fn error(text: &str, requested: &str) -> PackageError {
    let text = plain(text);
    if let Some((_, reasons)) = text.split_once(NO_SOLUTION) {
        let mut names = native_names(reasons);
        if !names.is_empty() {
            names.sort();
            names.dedup();
            return native(names, requested);
        }
        return PackageError::NoSolution { requested: requested.to_owned(), report: reasoning(reasons) };
    }
    if INDEX.iter().any(|phrase| text.contains(phrase)) {
        return PackageError::Index;
    }
    let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it says nothing");
    let problem = if first.contains("://") { "it did not understand us" } else { first };
    PackageError::Resolver { problem: cut(problem, 200) }
}

fn native(names: Vec<String>, requested: &str) -> PackageError {
    match names.as_slice() {
        [name] if name == "numpy" => {
            let available = provided::find(name).map_or("none", |provided| provided.version);
            PackageError::BuiltInVersion { name: name.clone(), available, requested: requested.to_owned() }
        }
        _ => PackageError::NativeCode { names, requested: requested.to_owned() },
    }
}

/// The text without what draws it as a tree.
fn plain(text: &str) -> String {
    let drawn = |character: char| matches!(character, '×' | '╰' | '─' | '▶' | '│' | '├');
    text.lines().map(|line| line.trim_start_matches(|c: char| c.is_whitespace() || drawn(c))).fold(
        String::with_capacity(text.len()),
        |text, line| {
            let line = line.trim_end();
            text + line + "\n"
        },
    )
}

/// Packages of which the resolver says that they lack wheels.
fn native_names(text: &str) -> Vec<String> {
    let behind = NO_WHEEL.iter().flat_map(|phrase| text.split(phrase).skip(1));
    behind.filter_map(|rest| rest.split_once('`')).map(|(name, _)| name.to_owned()).collect()
}

fn reasoning(text: &str) -> String {
    let reasons = text.split("\nhint:").next().unwrap_or_default();
    let words = reasons.lines().filter(|line| !line.contains("://")).flat_map(str::split_whitespace);
    let joined = words.collect::<Vec<_>>().join(" ");
    let joined = joined.trim_start_matches([':', ' ']);
    cut(joined.strip_prefix("cause: ").unwrap_or(joined), MAX_REASON_BYTES)
}

fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    format!("{}…", text.get(..text.floor_char_boundary(bytes)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_code_is_named() {
        let text = "\
error: No solution found when resolving dependencies
  cause: Because all versions of pandas have no usable wheels and you require pandas, we can conclude that your requirements are unsatisfiable.

hint: Wheels are required for `pandas` because building from source is disabled for all packages (i.e., with `--no-build`)
";
        assert_eq!(
            error(text, "pandas").to_string(),
            "pandas cannot be used: no version that pandas allows has a pure-Python wheel (py3-none-any) for \
             Python 3.13; the sandbox loads no native code, and nothing is built from source; the sandbox \
             itself provides arrow-udf 0.3.2, databend-udf 0.2.20, markupsafe 3.0.3, msgpack 1.2.4, \
             numpy 2.4.6, pyyaml 6.0.3"
        );
        let text = text.replace("pandas", "pyarrow");
        assert!(
            error(&text, "pyarrow")
                .to_string()
                .ends_with("its type functions, for declarations, need no package")
        );
        let text = text.replace("pyarrow", "numpy");
        assert_eq!(
            error(&text, "seaborn").to_string(),
            "the sandbox has numpy 2.4.6; `seaborn` is not available"
        );
    }

    #[test]
    fn no_solution_keeps_the_reasoning_and_no_address() {
        let text = "  × No solution found when resolving dependencies:
  ╰─▶ Because there is no version of humanize==99 and you require
      humanize==99, we can conclude that your requirements are unsatisfiable.
      see https://user:password@example.org/simple

hint: An index URL (https://example.org/simple) returned a 403
";
        assert_eq!(
            error(text, "humanize==99").to_string(),
            "no versions of packages meet the requirements humanize==99: Because there is no version of \
             humanize==99 and you require humanize==99, we can conclude that your requirements are unsatisfiable."
        );
    }

    #[test]
    fn attack_addresses_of_the_index_stay_with_the_operator() {
        let text =
            "error: Failed to fetch: https://user:password@example.org/simple/humanize/\n  cause: timeout\n";
        let shown = error(text, "humanize").to_string();
        assert_eq!(shown, "the server's package index cannot be asked now; the server's log says why");
        let shown = error("error: https://example.org is odd", "x").to_string();
        assert!(!shown.contains("example"), "{shown}");
    }
}
