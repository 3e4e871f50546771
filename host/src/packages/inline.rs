//! Metadata inside a script (PEP 723): a TOML document in comments.

use std::str::FromStr as _;

use pep440_rs::{Version, VersionSpecifiers};
use serde::Deserialize;

use super::error::PackageError;
use super::target::PYTHON_VERSION;

/// What a script says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InlineMetadata {
    /// Requirements, as they are written.
    pub dependencies: Vec<String>,
    /// Versions of Python that the script is for. The sandbox's is among them.
    pub requires_python: Option<String>,
}

/// The document. `tool` and what later editions add is for others.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(rename = "requires-python")]
    requires_python: Option<String>,
}

const OPENING: &str = "# /// ";
const CLOSING: &str = "# ///";
const KIND: &str = "script";

/// Reads the metadata of a script; the default if it has none.
///
/// # Errors
/// [`PackageError::InlineMetadata`] when there are two blocks, a block has no end or is not TOML of
/// the right types, and [`PackageError::RequiresPython`] when it excludes the sandbox's Python.
pub fn inline_metadata(code: &str) -> Result<InlineMetadata, PackageError> {
    let Some(block) = find_block(code)? else { return Ok(InlineMetadata::default()) };
    let document: Document = toml::from_str(&block.text).map_err(|error| {
        let before = error.span().and_then(|span| block.text.get(..span.start)).unwrap_or_default();
        let line = block.line.saturating_add(1).saturating_add(before.matches('\n').count());
        PackageError::InlineMetadata { line, problem: error.message().to_owned() }
    })?;
    if let Some(text) = &document.requires_python {
        let problem = |problem: String| PackageError::InlineMetadata { line: block.line, problem };
        let specifiers = VersionSpecifiers::from_str(text)
            .map_err(|error| problem(format!("requires-python = \"{text}\": {error}")))?;
        let version = Version::from_str(PYTHON_VERSION).map_err(|error| problem(error.to_string()))?;
        if !specifiers.contains(&version) {
            return Err(PackageError::RequiresPython {
                requested: text.clone(),
                available: PYTHON_VERSION.to_owned(),
            });
        }
    }
    Ok(InlineMetadata { dependencies: document.dependencies, requires_python: document.requires_python })
}

struct Block {
    /// Line of its opening, from 1.
    line: usize,
    text: String,
}

fn find_block(code: &str) -> Result<Option<Block>, PackageError> {
    let lines: Vec<&str> = code.lines().map(str::trim_end).collect();
    let mut found: Option<Block> = None;
    let mut at = 0_usize;
    while let Some(line) = lines.get(at) {
        at = at.saturating_add(1);
        let Some(kind) = line.strip_prefix(OPENING) else { continue };
        let rest = lines.get(at..).unwrap_or_default();
        let comments = rest.iter().take_while(|line| **line == "#" || line.starts_with("# ")).count();
        let body = rest.get(..comments).unwrap_or_default();
        // The last closing of the comment counts, so that a document may contain such a line.
        let Some(end) = body.iter().rposition(|line| *line == CLOSING) else {
            if kind == KIND {
                let problem = format!("the block has no end: a line `{CLOSING}`");
                return Err(PackageError::InlineMetadata { line: at, problem });
            }
            continue;
        };
        if kind == KIND {
            if let Some(first) = &found {
                let problem = format!("there is another block of this kind in line {}", first.line);
                return Err(PackageError::InlineMetadata { line: at, problem });
            }
            let document = body.get(..end).unwrap_or_default();
            let text = document.iter().fold(String::new(), |text, line| {
                text + line.strip_prefix("# ").or(line.strip_prefix('#')).unwrap_or(line) + "\n"
            });
            found = Some(Block { line: at, text });
        }
        at = at.saturating_add(end).saturating_add(1);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(code: &str) -> Result<InlineMetadata, String> {
        inline_metadata(code).map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_of_the_standard() {
        let code = "\
# /// script
# requires-python = \">=3.11\"
# dependencies = [
#   \"requests<3\",
#   \"rich\",
# ]
#
# [tool.other]
# key = 1
# ///

import requests
";
        let expected = InlineMetadata {
            dependencies: vec!["requests<3".to_owned(), "rich".to_owned()],
            requires_python: Some(">=3.11".to_owned()),
        };
        assert_eq!(read(code), Ok(expected.clone()));
        assert_eq!(read(&code.replace('\n', "\r\n")), Ok(expected));
    }

    #[test]
    fn no_block() {
        for code in
            ["", "import x\n", "# /// other\n# x\n# ///\n", " # /// script\n", "#/// script\n", "# ///\n"]
        {
            assert_eq!(read(code), Ok(InlineMetadata::default()), "{code:?}");
        }
    }

    #[test]
    fn the_last_end_of_a_comment_counts() {
        let code = "# /// script\n# dependencies = ['''\n# ///\n# ''']\n# ///\n";
        assert_eq!(read(code).unwrap().dependencies, ["///\n"]);
    }

    #[test]
    fn attack_malformed_metadata_is_named_with_its_line() {
        let cases = [
            (
                "x = 1\n# /// script\n# dependencies = []\nimport x\n",
                "the script metadata in line 2 cannot be used: the block has no end: a line `# ///`",
            ),
            (
                "# /// script\n# ///\n\n# /// script\n# ///\n",
                "the script metadata in line 4 cannot be used: there is another block of this kind in line 1",
            ),
            (
                "# /// script\n# requires-python = \">=\"\n# ///\n",
                "the script metadata in line 1 cannot be used: requires-python = \">=\":",
            ),
            (
                "# /// script\n#\n# dependencies = 5\n# ///\n",
                "the script metadata in line 3 cannot be used: invalid type: integer `5`, expected a sequence",
            ),
            ("# /// script\n# dependencies = [\n# ///\n", "the script metadata in line 2 cannot be used:"),
            (
                "# /// script\n# requires-python = \"<3.13\"\n# ///\n",
                "the script needs Python <3.13; the sandbox has Python 3.13.5",
            ),
        ];
        for (code, expected) in cases {
            let error = read(code).expect_err(code);
            assert!(error.starts_with(expected), "{code}: {error}");
        }
    }
}
