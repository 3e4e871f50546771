//! Names of packages, as the packaging standards normalise them.

/// The normalised form: lower case, runs of `-`, `_` and `.` as one `-`. `None` for what is no name:
/// letters, digits and those three, beginning and ending with a letter or digit.
pub(super) fn normalise(name: &str) -> Option<String> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric();
    let ends = [name.bytes().next()?, name.bytes().next_back()?];
    let allowed = |byte: u8| is_part(byte) || b"-_.".contains(&byte);
    if !ends.into_iter().all(is_part) || !name.bytes().all(allowed) {
        return None;
    }
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    Some(parts.collect::<Vec<_>>().join("-").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, expected) in [
            ("humanize", Some("humanize")),
            ("Ruamel.Yaml__clib", Some("ruamel-yaml-clib")),
            ("a", Some("a")),
            ("7z", Some("7z")),
            ("", None),
            ("-a", None),
            ("a.", None),
            ("a b", None),
            ("é", None),
        ] {
            assert_eq!(normalise(name).as_deref(), expected, "{name}");
        }
    }
}
