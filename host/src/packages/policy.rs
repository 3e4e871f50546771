//! Which packages an operator lets functions use.

use super::config::PackagesConfig;
use super::error::PackageError;
use super::name::normalise;

/// Patterns of names: exact, or with `*` for any characters.
#[derive(Clone, Debug)]
pub(super) struct Names(Vec<String>);

/// Stands for `*` while a pattern is treated as a name; no real name has it.
const STAR: &str = "0star0";

impl Names {
    /// Reads patterns; what stands between their `*` is normalised as names are.
    pub(super) fn new(patterns: &[String]) -> Result<Self, String> {
        let read = |pattern: &String| {
            // A `*` may stand wherever a letter may.
            let normalised = normalise(&pattern.replace('*', STAR)).map(|name| name.replace(STAR, "*"));
            normalised.ok_or_else(|| format!("has `{pattern}`, which is not the name of a package"))
        };
        patterns.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    fn have(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| matches(pattern, name))
    }
}

/// Whether `name` is `pattern`, in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    true
}

/// The operator's choice of names.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    allow: Names,
    deny: Names,
}

impl Policy {
    pub(super) fn new(config: &PackagesConfig) -> Result<Self, String> {
        Ok(Self { allow: Names::new(&config.allow)?, deny: Names::new(&config.deny)? })
    }

    /// Whether the package called `name` may be used. `needed_by_another` says that no requirement
    /// of the function names it itself.
    pub(super) fn check(&self, name: &str, needed_by_another: bool) -> Result<(), PackageError> {
        let key = if self.deny.have(name) {
            "packages.deny"
        } else if self.allow.have(name) {
            return Ok(());
        } else {
            "packages.allow"
        };
        Err(PackageError::NotAllowed { name: name.to_owned(), key, needed_by_another })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            ("*", "anything", true),
            ("humanize", "humanize", true),
            ("humanize", "humanize2", false),
            ("google-*", "google-api-core", true),
            ("google-*", "notgoogle-api", false),
            ("*-stubs", "types-stubs", true),
            ("*-stubs", "stubs-x", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("a*b*b", "ab", false),
            ("*a*", "bab", true),
            ("**", "x", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn deny_comes_before_allow_and_spelling_does_not_matter() {
        let config = PackagesConfig {
            allow: vec!["Jinja2".to_owned(), "ruamel_.*".to_owned()],
            deny: vec!["ruamel__yaml".to_owned()],
            ..PackagesConfig::default()
        };
        let policy = Policy::new(&config).unwrap();
        let error = |name, needed| policy.check(name, needed).map_err(|error| error.to_string());
        assert_eq!(error("jinja2", false), Ok(()));
        assert_eq!(error("ruamel-base", false), Ok(()));
        assert_eq!(
            error("ruamel-yaml", false).unwrap_err(),
            "the package ruamel-yaml is not allowed here (packages.deny of the server)"
        );
        assert_eq!(
            error("markupsafe", true).unwrap_err(),
            "the package markupsafe, which another one needs, is not allowed here (packages.allow of the server)"
        );
    }
}
