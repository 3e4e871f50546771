//! What an import's tag says of its content: engines put an ETag or a length there.

use super::error::ImportProblem;

/// What kind of tag it is, by its look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag<'a> {
    /// The content's length in bytes.
    Length(u64),
    /// An entity tag, without quotes and weakness.
    Entity(&'a str),
    /// Something that only its maker understands.
    Opaque,
}

/// Digits of the greatest length that can be meant; an entity tag of digits only is longer.
const MAX_LENGTH_DIGITS: usize = 15;
/// Digits of an MD5 sum, the entity tag of many object stores.
const MD5_DIGITS: usize = 32;

impl Tag<'_> {
    fn of(text: &str) -> Tag<'_> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number(text) && text.len() <= MAX_LENGTH_DIGITS {
            return text.parse().map_or(Tag::Opaque, Tag::Length);
        }
        if text.len() >= 2 && text.ends_with('"') && (text.starts_with('"') || text.starts_with("W/\"")) {
            return Tag::Entity(entity(text));
        }
        // An MD5 sum, behind which the number of parts may stand.
        let (sum, parts) = text.split_once('-').map_or((text, None), |(sum, parts)| (sum, Some(parts)));
        let is_sum = sum.len() == MD5_DIGITS && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_sum && parts.is_none_or(is_number) { Tag::Entity(text) } else { Tag::Opaque }
    }
}

/// An entity tag without its quotes, and without the mark of a weak one.
fn entity(text: &str) -> &str {
    text.strip_prefix("W/").unwrap_or(text).trim_matches('"')
}

/// Refuses content that is not what the tag says. A server that names no entity tag cannot
/// contradict one.
pub(super) fn check(tag: &str, response_etag: Option<&str>, length: u64) -> Result<(), ImportProblem> {
    let mismatch = |what, expected: String, found: String| Err(ImportProblem::Tag { what, expected, found });
    match (Tag::of(tag), response_etag) {
        (Tag::Length(expected), _) if expected != length => {
            mismatch("length", format!("{expected} bytes"), format!("{length} bytes"))
        }
        (Tag::Entity(expected), Some(found)) if expected != entity(found) => {
            mismatch("ETag", shown(expected), shown(entity(found)))
        }
        _ => Ok(()),
    }
}

fn shown(text: &str) -> String {
    const MOST_CHARS: usize = 80;
    text.chars().take(MOST_CHARS).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_35_content_that_contradicts_its_tag_is_refused() {
        const MD5: &str = "0123456789abcdef0123456789abcdef";
        let parts = format!("{MD5}-12");
        let quoted = format!("\"{MD5}\"");
        let cases = [
            ("5", None, None),
            ("6", None, Some("it changed: its tag says length 6 bytes, the server sent 5 bytes")),
            ("\"a\"", Some("\"a\""), None),
            ("\"a\"", Some("W/\"a\""), None),
            ("W/\"a\"", Some("\"a\""), None),
            ("\"a\"", None, None),
            ("\"a\"", Some("\"b\""), Some("it changed: its tag says ETag a, the server sent b")),
            (MD5, Some(&*quoted), None),
            (
                MD5,
                Some("\"x\""),
                Some("it changed: its tag says ETag 0123456789abcdef0123456789abcdef, the server sent x"),
            ),
            (
                &parts,
                Some(&*quoted),
                Some(
                    "it changed: its tag says ETag 0123456789abcdef0123456789abcdef-12, the server sent 0123456789abcdef0123456789abcdef",
                ),
            ),
            ("version 7", Some("\"x\""), None),
            ("12345678901234567890123456789012", Some("\"12345678901234567890123456789012\""), None),
            ("", Some("\"x\""), None),
        ];
        for (tag, etag, expected) in cases {
            let found = check(tag, etag, 5).err().map(|problem| problem.to_string());
            assert_eq!(found.as_deref(), expected, "{tag:?} {etag:?}");
        }
    }
}
