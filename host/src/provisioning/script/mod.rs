//! The shell script that defines a function in Databend's provisioning of today: read, never run.
//!
//! The engine fills one template, and what it fills in comes from a stranger. So the script is not
//! understood as a shell would understand it; it is compared with the template, and whatever differs
//! is refused with its line.
//!
//! | part | carries | how it is read |
//! |---|---|---|
//! | five lines of preparation | nothing | each as the template has it |
//! | `python -m pip install --no-cache-dir ..` | packages; absent without | the words that a shell would make of it; everything by which a shell would do more than that is refused |
//! | `/app/imports.json` | imports; absent without | a here-document of one line, JSON, without unknown keys |
//! | `python - <<'..'` behind it | nothing: the downloader | only where it ends |
//! | `/app/udf.py` | the code | a here-document, byte for byte |
//! | `/app/server.py` | handler and types | two places: `udf_decorator(name="..", input_types=[..], result_type="..")`, there once, and `getattr(udf, "..")`, which must agree; the rest of the program differs between versions and does not matter |
//! | `exec python /app/server.py` | nothing | as the template has it, and the last line |
//!
//! Blank lines may stand between the parts. A here-document ends where its marker stands alone on a
//! line. The engine chooses markers that the text does not contain, so a text that does contain its
//! marker is refused. Only `\n` ends a line: no other character that anybody takes for a line end
//! moves a part's border.

mod lines;
mod server;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;

use serde::Deserialize;
use tonic::Code;

use self::lines::{Lines, excerpt};
use crate::status::Failure;

const PREPARATION: [&str; 5] =
    ["#!/usr/bin/env bash", "set -euo pipefail", "WORKDIR=/app", "mkdir -p \"$WORKDIR\"", "cd \"$WORKDIR\""];
const INSTALL: &str = "python -m pip install --no-cache-dir ";
const MAKE_IMPORTS: &str = "mkdir -p /app/imports";
const START: &str = "exec python /app/server.py";

/// What a script says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// The Python code.
    pub code: String,
    /// Name of the function inside the code.
    pub handler: String,
    /// Types of the parameters, as the engine writes them.
    pub input_types: Vec<String>,
    /// Type of the result.
    pub result_type: String,
    /// Packages to install, in the order in which they are named.
    pub packages: Vec<String>,
    /// Files to fetch, in order.
    pub imports: Vec<ScriptImport>,
}

/// A file that a script fetches.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptImport {
    /// Where the file lives in the engine's terms.
    pub location: String,
    /// Signed address of its content.
    pub url: String,
    /// Headers to send for it.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// Address and headers are secrets.
impl std::fmt::Debug for ScriptImport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ScriptImport").field("location", &self.location).finish_non_exhaustive()
    }
}

/// Why a script was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// It is too long.
    #[error("the script is {requested} bytes long, {limit} are allowed")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
        /// Bytes given.
        requested: usize,
    },
    /// A line is not what the template has there.
    #[error("line {line} of the script {problem}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

impl Failure for ScriptError {
    fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::ResourceExhausted,
            Self::Line { .. } => Code::InvalidArgument,
        }
    }
}

fn refuse<T>(line: usize, problem: impl Into<String>) -> Result<T, ScriptError> {
    Err(ScriptError::Line { line, problem: problem.into() })
}

/// Reads a script of at most `max_bytes` bytes.
///
/// # Errors
/// [`ScriptError`]: the first line that is not as the template would have it.
pub fn parse(text: &str, max_bytes: usize) -> Result<Script, ScriptError> {
    if text.len() > max_bytes {
        return Err(ScriptError::TooLarge { limit: max_bytes, requested: text.len() });
    }
    let mut lines = Lines::new(text);
    for expected in PREPARATION {
        lines.expect(expected)?;
    }
    lines.skip_blank();
    let packages = match lines.take_prefix(INSTALL) {
        Some(line) => words::split(&mut lines, line)?,
        None => Vec::new(),
    };
    lines.skip_blank();
    let imports = if lines.peek() == Some(MAKE_IMPORTS) { imports(&mut lines)? } else { Vec::new() };
    lines.skip_blank();
    let code = document(&mut lines, "UDF_CODE", "/app/udf.py")?;
    lines.skip_blank();
    let server = document(&mut lines, "UDF_SERVER", "/app/server.py")?;
    let server = server::read(server.text, server.line)?;
    lines.skip_blank();
    lines.expect(START)?;
    lines.skip_blank();
    if let Some(rest) = lines.peek() {
        let problem = format!("should be the end of the script, it is `{}`", excerpt(rest));
        return refuse(lines.number(), problem);
    }
    Ok(Script {
        code: code.text.to_owned(),
        handler: server.handler,
        input_types: server.input_types,
        result_type: server.result_type,
        packages,
        imports,
    })
}

/// The part that fetches imports.
fn imports(lines: &mut Lines<'_>) -> Result<Vec<ScriptImport>, ScriptError> {
    lines.expect(MAKE_IMPORTS)?;
    let list = document(lines, "UDF_IMPORTS", "/app/imports.json")?;
    if list.text.contains('\n') {
        return refuse(list.line, "begins a list of imports of more than one line");
    }
    let imports = match serde_json::from_str(list.text) {
        Ok(imports) => imports,
        // The library's message may repeat a part of the text, which holds signed addresses.
        Err(error) => {
            let what = if error.is_data() {
                "is no list of objects with the keys `location`, `url` and `headers`"
            } else {
                "is not JSON"
            };
            return refuse(list.line, format!("{what} (at byte {})", error.column()));
        }
    };
    lines.skip_blank();
    let line = lines.number();
    let opening = lines.next().unwrap_or_default();
    match opening.strip_prefix("python - <<'").and_then(|rest| rest.strip_suffix('\'')) {
        Some(marker) if is_marker(marker) => {
            lines.until(marker, line)?;
            Ok(imports)
        }
        _ => refuse(line, format!("should start the download of imports, it is `{}`", excerpt(opening))),
    }
}

/// A here-document's text and the line on which it begins.
struct Document<'a> {
    text: &'a str,
    line: usize,
}

/// A here-document into `path`, under the marker `base` or `base_1`, `base_2` and so on.
fn document<'a>(lines: &mut Lines<'a>, base: &str, path: &str) -> Result<Document<'a>, ScriptError> {
    let line = lines.number();
    let opening = lines.next().unwrap_or_default();
    let marker = opening
        .strip_prefix("cat <<'")
        .and_then(|rest| rest.strip_suffix(path))
        .and_then(|rest| rest.strip_suffix("' > "))
        .filter(|marker| is_numbered(marker, base));
    let Some(marker) = marker else {
        let problem =
            format!("should begin {path} with `cat <<'{base}' > {path}`, it is `{}`", excerpt(opening));
        return refuse(line, problem);
    };
    let text = lines.until(marker, line)?;
    if let Some(at) = text.find(marker) {
        let inside = line + 1 + text[..at].matches('\n').count();
        return refuse(inside, format!("contains `{marker}`, which ends the text of {path}"));
    }
    Ok(Document { text, line: line + 1 })
}

fn is_numbered(marker: &str, base: &str) -> bool {
    match marker.strip_prefix(base) {
        Some("") => true,
        Some(suffix) => suffix.strip_prefix('_').is_some_and(|number| {
            (1..=9).contains(&number.len()) && number.bytes().all(|digit| digit.is_ascii_digit())
        }),
        None => false,
    }
}

fn is_marker(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphanumeric())
}
