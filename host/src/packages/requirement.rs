//! Requirements as PEP 508 writes them.
//!
//! What must be known before the resolver is asked is read here: the name, and that nothing but a name
//! is given, no place. The rest is checked by its characters, and the versions by `pep440_rs`; markers
//! are the resolver's to judge. (The crate for the whole grammar brings an URL parser and Unicode tables.)

use std::fmt;
use std::str::FromStr as _;

use pep440_rs::{Version, VersionSpecifiers};

use super::error::PackageError;
use super::name::normalise;

/// Longest text of one requirement, in bytes.
pub const MAX_REQUIREMENT_BYTES: usize = 1024;

/// How much of a requirement an error shows.
const MAX_SHOWN_CHARACTERS: usize = 120;

/// A package by name, with extras, versions and an environment marker; never by URL.
#[derive(Clone, PartialEq, Eq)]
pub struct Requirement {
    name: String,
    extras: Vec<String>,
    versions: Option<VersionSpecifiers>,
    marker: Option<String>,
}

impl Requirement {
    /// Normalised name of the package.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it holds in some environments only.
    pub(super) fn has_marker(&self) -> bool {
        self.marker.is_some()
    }

    /// Whether it accepts a version.
    pub(super) fn accepts(&self, version: &Version) -> bool {
        self.versions.as_ref().is_none_or(|versions| versions.contains(version))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)?;
        if !self.extras.is_empty() {
            write!(formatter, "[{}]", self.extras.join(","))?;
        }
        if let Some(versions) = &self.versions {
            let texts: Vec<String> = versions.iter().map(ToString::to_string).collect();
            formatter.write_str(&texts.join(","))?;
        }
        match &self.marker {
            Some(marker) => write!(formatter, "; {marker}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Requirement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Requirement({self})")
    }
}

/// Reads requirements, without asking anybody.
///
/// # Errors
/// [`PackageError::Requirement`] or [`PackageError::Source`] for the first that cannot be used.
pub fn parse_requirements(texts: &[String]) -> Result<Vec<Requirement>, PackageError> {
    texts.iter().map(|text| parse(text)).collect()
}

fn parse(text: &str) -> Result<Requirement, PackageError> {
    let malformed = |problem: String| PackageError::Requirement { requirement: shown(text), problem };
    let text = text.trim();
    if text.is_empty() {
        return Err(malformed("it is empty".to_owned()));
    }
    if text.len() > MAX_REQUIREMENT_BYTES {
        let problem =
            format!("it is {} bytes long; at most {MAX_REQUIREMENT_BYTES} are possible", text.len());
        return Err(malformed(problem));
    }
    if text.contains(char::is_control) {
        return Err(malformed("it contains a control character".to_owned()));
    }
    if let Some(kind) = other_source(text) {
        return Err(PackageError::Source { requirement: shown(text), kind });
    }
    read(text).map_err(malformed)
}

/// `NAME [EXTRA, …] VERSIONS ; MARKER`
fn read(text: &str) -> Result<Requirement, String> {
    let (front, marker) = match text.split_once(';') {
        Some((front, marker)) => (front, Some(marker.trim())),
        None => (text, None),
    };
    let end = front.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(front.len());
    let (name, rest) = front.split_at_checked(end).unwrap_or((front, ""));
    let name = normalise(name).ok_or("it does not begin with the name of a package")?;

    let mut rest = rest.trim();
    let mut extras = Vec::new();
    if let Some(behind) = rest.strip_prefix('[') {
        let (inside, behind) = behind.split_once(']').ok_or("its extras have no end: `]`")?;
        for extra in inside.split(',').map(str::trim).filter(|extra| !extra.is_empty()) {
            extras.push(normalise(extra).ok_or_else(|| format!("`{extra}` is not the name of an extra"))?);
        }
        rest = behind.trim();
    }
    let in_brackets = rest.strip_prefix('(').and_then(|inside| inside.strip_suffix(')'));
    let versions = in_brackets.unwrap_or(rest).trim();
    let versions = match versions {
        "" => None,
        text if !text.starts_with(['=', '<', '>', '!', '~']) => {
            return Err(format!(
                "expected a comparison of versions such as `==1.0`, found `{}`",
                shown(text)
            ));
        }
        text => Some(VersionSpecifiers::from_str(text).map_err(|_| {
            format!("`{}` is not a list of comparisons of versions such as `>=1.0,<2`", shown(text))
        })?),
    };
    let marker = marker.map(read_marker).transpose()?;
    Ok(Requirement { name, extras, versions, marker })
}

/// A marker, which only has to look like one: the resolver reads it.
fn read_marker(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " _.'\"<>=!~()*+-".contains(c);
    if text.is_empty() {
        return Err("nothing follows `;`".to_owned());
    }
    if let Some(character) = text.chars().find(|c| !allowed(*c)) {
        return Err(format!("its marker contains `{character}`"));
    }
    Ok(text.to_owned())
}

/// The beginning of a text, for a message.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(MAX_SHOWN_CHARACTERS) {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// What pip would take the text for, if it is something else than a requirement.
fn other_source(text: &str) -> Option<&'static str> {
    if text.starts_with('-') {
        return Some("an option");
    }
    let front = text.split_once(';').map_or(text, |(front, _)| front);
    if front.contains('@') || front.contains("://") {
        return Some("a URL");
    }
    let is_path = front.starts_with(['.', '~']) || front.contains(['/', '\\']);
    let is_file = [".whl", ".zip", ".tar.gz"].iter().any(|suffix| front.ends_with(suffix));
    (is_path || is_file).then_some("a local path")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Result<String, String> {
        let parsed = parse_requirements(&[text.to_owned()]).map_err(|error| error.to_string())?;
        Ok(parsed[0].to_string())
    }

    #[test]
    fn what_pep_508_allows() {
        let cases = [
            ("humanize", "humanize"),
            ("humanize==4.9.0", "humanize==4.9.0"),
            (" Ruamel_YAML >= 0.17 , < 1 ", "ruamel-yaml>=0.17,<1"),
            ("humanize (>=4)", "humanize>=4"),
            ("requests [socks,security]", "requests[socks,security]"),
            ("tomli; python_version < '3.11'", "tomli; python_version < '3.11'"),
        ];
        for (text, expected) in cases {
            assert_eq!(one(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn attack_other_sources_are_refused_by_name() {
        let cases = [
            ("-e .", "an option"),
            ("--index-url=https://example.org/simple", "an option"),
            ("-r /etc/passwd", "an option"),
            ("humanize @ https://example.org/humanize-4.9.0-py3-none-any.whl", "a URL"),
            ("humanize@file:///etc/passwd", "a URL"),
            ("git+https://example.org/humanize", "a URL"),
            ("https://example.org/humanize-4.9.0-py3-none-any.whl", "a URL"),
            ("./humanize", "a local path"),
            ("/humanize", "a local path"),
            ("../humanize-4.9.0-py3-none-any.whl", "a local path"),
            ("humanize/setup.py", "a local path"),
            ("humanize-4.9.0-py3-none-any.whl", "a local path"),
        ];
        for (text, kind) in cases {
            assert_eq!(
                one(text),
                Err(format!(
                    "the requirement `{text}` is {kind}: packages are asked for by name, and come from the \
                     server's own indexes"
                )),
            );
        }
    }

    #[test]
    fn attack_malformed_requirements_are_named() {
        for text in ["", " ", "humanize ==", "humanize\n--index-url x", "a b", "é", "humanize;", "==1", "[x]"]
        {
            let error = one(text).unwrap_err();
            let shown = text.replace('\n', "\\n");
            assert!(error.starts_with(&format!("`{shown}` is not a requirement (PEP 508): ")), "{error}");
        }
        let long = format!("humanize=={}", "1".repeat(MAX_REQUIREMENT_BYTES));
        assert!(
            one(&long).unwrap_err().contains("1034 bytes long; at most 1024"),
            "{}",
            one(&long).unwrap_err()
        );
    }
}
