//! Names that a file can have in the sandbox and mean the same to everybody.

use unicode_normalization::UnicodeNormalization as _;

/// Longest name of a file or directory, in bytes: that of the sandbox's file system.
pub const MAX_NAME_BYTES: usize = 255;

/// Why a name cannot be used. Reads on from "the name … ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameProblem {
    /// Nothing at all.
    #[error("is empty")]
    Empty,
    /// Contains the byte 0.
    #[error("contains a NUL byte")]
    Nul,
    /// Contains a control character.
    #[error("contains a control character")]
    Control,
    /// Contains a character that does not show, or that changes the direction of what follows.
    #[error("contains an invisible character")]
    Invisible,
    /// Contains a character that looks like a slash or backslash, or a part that looks like `..`.
    #[error("contains a look-alike of a path separator or of `..`")]
    SeparatorLookAlike,
    /// Contains a backslash, which separates parts on some systems.
    #[error("contains a backslash")]
    Backslash,
    /// Contains a slash where one file's name is expected.
    #[error("contains a slash")]
    Slash,
    /// Begins with a slash.
    #[error("is an absolute path")]
    Absolute,
    /// Begins with a letter and a colon.
    #[error("begins with a drive letter")]
    Drive,
    /// Has a part `..`.
    #[error("leads out of its directory by `..`")]
    Parent,
    /// Has a part `.`.
    #[error("contains a part `.`")]
    Current,
    /// Has an empty part: `//`.
    #[error("contains an empty part")]
    EmptyPart,
    /// Not text.
    #[error("is not UTF-8")]
    NotUtf8,
    /// Not ASCII, and the archive does not say in which encoding.
    #[error("is not ASCII and not marked as UTF-8")]
    Unmarked,
    /// One part is too long.
    #[error("has a part of {requested} bytes; {limit} are allowed")]
    LongName {
        /// Bytes allowed.
        limit: u64,
        /// Bytes given.
        requested: u64,
    },
    /// The path is too long.
    #[error("is {requested} bytes long; limit archives.path_bytes is {limit}")]
    LongPath {
        /// Bytes allowed.
        limit: u64,
        /// Bytes given.
        requested: u64,
    },
}

/// Checks the name of one file, without directories.
///
/// # Errors
/// [`NameProblem`].
pub fn check_name(name: &str) -> Result<(), NameProblem> {
    if name.contains('/') {
        return Err(NameProblem::Slash);
    }
    check_characters(name)?;
    check_part(name).map_err(|problem| match problem {
        NameProblem::EmptyPart => NameProblem::Empty,
        other => other,
    })
}

/// Checks the path of an entry, and returns it without the trailing slash of a directory.
/// `marked` says whether the archive declares it as UTF-8.
pub(super) fn check_path(
    name: &[u8],
    marked: bool,
    is_directory: bool,
    path_bytes: u64,
) -> Result<&str, NameProblem> {
    if name.is_empty() {
        return Err(NameProblem::Empty);
    }
    let requested = u64::try_from(name.len()).unwrap_or(u64::MAX);
    if requested > path_bytes {
        return Err(NameProblem::LongPath { limit: path_bytes, requested });
    }
    let path = str::from_utf8(name).map_err(|_| NameProblem::NotUtf8)?;
    if !marked && !path.is_ascii() {
        return Err(NameProblem::Unmarked);
    }
    check_characters(path)?;
    if path.starts_with('/') {
        return Err(NameProblem::Absolute);
    }
    if matches!(path.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic()) {
        return Err(NameProblem::Drive);
    }
    let path = if is_directory { &path[..path.len() - 1] } else { path };
    path.split('/').try_for_each(check_part)?;
    Ok(path)
}

fn check_characters(text: &str) -> Result<(), NameProblem> {
    for character in text.chars() {
        match character {
            '\0' => return Err(NameProblem::Nul),
            '\\' => return Err(NameProblem::Backslash),
            _ if character.is_control() => return Err(NameProblem::Control),
            _ if is_invisible(character) => return Err(NameProblem::Invisible),
            _ if is_like_separator(character) => return Err(NameProblem::SeparatorLookAlike),
            _ => {}
        }
    }
    Ok(())
}

fn check_part(part: &str) -> Result<(), NameProblem> {
    match part {
        "" => Err(NameProblem::EmptyPart),
        "." => Err(NameProblem::Current),
        ".." => Err(NameProblem::Parent),
        _ if part.len() > MAX_NAME_BYTES => Err(NameProblem::LongName {
            limit: u64::try_from(MAX_NAME_BYTES).unwrap_or(u64::MAX),
            requested: u64::try_from(part.len()).unwrap_or(u64::MAX),
        }),
        _ if !part.is_ascii() && matches!(&*part.nfkc().collect::<String>(), "." | "..") => {
            Err(NameProblem::SeparatorLookAlike)
        }
        _ => Ok(()),
    }
}

/// The fraction, division, big and full-width slashes, and their mirror images.
fn is_like_separator(character: char) -> bool {
    matches!(
        character,
        '\u{2044}'
            | '\u{2215}'
            | '\u{2216}'
            | '\u{29f5}'
            | '\u{29f8}'
            | '\u{29f9}'
            | '\u{fe68}'
            | '\u{ff0f}'
            | '\u{ff3c}'
    )
}

/// Characters that most programs do not draw, and those that reorder what is drawn.
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_one_visible_part() {
        let long = "n".repeat(256);
        let cases = [
            ("a.py", None),
            (".hidden", None),
            ("ünïcödé 数据.csv", None),
            ("", Some("is empty")),
            (".", Some("contains a part `.`")),
            ("..", Some("leads out of its directory by `..`")),
            ("a/b", Some("contains a slash")),
            ("a\\b", Some("contains a backslash")),
            ("a\0", Some("contains a NUL byte")),
            ("a\n", Some("contains a control character")),
            ("a\u{9b}", Some("contains a control character")),
            ("a\u{202e}yp.b", Some("contains an invisible character")),
            ("a\u{200b}", Some("contains an invisible character")),
            ("a\u{2044}b", Some("contains a look-alike of a path separator or of `..`")),
            ("\u{ff0e}\u{ff0e}", Some("contains a look-alike of a path separator or of `..`")),
            (&long, Some("has a part of 256 bytes; 255 are allowed")),
        ];
        for (name, expected) in cases {
            let found = check_name(name).err().map(|problem| problem.to_string());
            assert_eq!(found.as_deref(), expected, "{name:?}");
        }
    }
}
