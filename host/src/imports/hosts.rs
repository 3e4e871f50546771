//! The allow-list of hosts.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// One line of `imports.allowed_hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostRule {
    /// In lower case; without brackets, a leading `*.` or a trailing dot.
    host: String,
    /// All names below `host` are meant, and not itself.
    is_suffix: bool,
    port: Option<u16>,
}

impl HostRule {
    /// Whether the rule is about a host (in lower case, without brackets or a trailing dot).
    pub(super) fn matches_host(&self, host: &str) -> bool {
        if !self.is_suffix {
            return self.host == host;
        }
        let label = host.strip_suffix(&self.host).and_then(|rest| rest.strip_suffix('.'));
        label.is_some_and(|label| !label.is_empty())
    }

    /// The port that the rule names.
    pub(super) fn port(&self) -> Option<u16> {
        self.port
    }
}

/// Why a line of `imports.allowed_hosts` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{rule}` is not a host, `*.` and a domain, or an IP address, with or without `:` and a port")]
pub struct HostRuleError {
    rule: String,
}

impl TryFrom<String> for HostRule {
    type Error = HostRuleError;

    fn try_from(rule: String) -> Result<Self, HostRuleError> {
        let parsed = parse(&rule.to_ascii_lowercase());
        parsed.ok_or(HostRuleError { rule })
    }
}

fn parse(rule: &str) -> Option<HostRule> {
    let (is_suffix, rest) = match rule.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, rule),
    };
    // An IPv6 address stands in brackets, as in a URL.
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']').filter(|(host, _)| host.contains(':'))?,
        None => rest.split_at(rest.find(':').unwrap_or(rest.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => Some(port.parse().ok().filter(|port| *port != 0)?),
        None if port.is_empty() => None,
        None => return None,
    };
    let is_address = host.parse::<IpAddr>().is_ok();
    if is_suffix && is_address || host.contains(':') && !is_address {
        return None;
    }
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let is_name = host.split('.').all(is_part);
    (is_address || is_name).then(|| HostRule { host: host.to_owned(), is_suffix, port })
}

impl From<HostRule> for String {
    fn from(rule: HostRule) -> String {
        rule.to_string()
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_suffix {
            formatter.write_str("*.")?;
        }
        match self.host.contains(':') {
            true => write!(formatter, "[{}]", self.host)?,
            false => formatter.write_str(&self.host)?,
        }
        match self.port {
            Some(port) => write!(formatter, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_mean_hosts_and_ports() {
        let cases = [
            ("store.example.com", "store.example.com", true),
            ("Store.Example.com", "store.example.com", true),
            ("store.example.com", "x.store.example.com", false),
            ("*.example.com", "store.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "evil-example.com", false),
            ("*.example.com", "example.com.evil.net", false),
            ("*.example.com", ".example.com", false),
            ("10.0.0.1:9000", "10.0.0.1", true),
            ("[::1]:9000", "::1", true),
        ];
        for (rule, host, expected) in cases {
            let rule = HostRule::try_from(rule.to_owned()).unwrap();
            assert_eq!(rule.matches_host(host), expected, "{rule} {host}");
            assert_eq!(HostRule::try_from(String::from(rule.clone())), Ok(rule));
        }
        assert_eq!(HostRule::try_from("a:9000".to_owned()).unwrap().port(), Some(9000));
    }

    #[test]
    fn what_is_not_a_rule_is_refused() {
        for rule in [
            "",
            "*",
            "*.",
            "a..b",
            "a:",
            "a:0",
            "a:70000",
            "http://a",
            "a/b",
            "a b",
            "*.1.2.3.4",
            "*.*.a",
            "::1",
            "[a]",
            "[::1",
        ] {
            let error = HostRule::try_from(rule.to_owned()).expect_err(rule);
            assert_eq!(
                error.to_string(),
                format!(
                    "`{rule}` is not a host, `*.` and a domain, or an IP address, with or without `:` and a port"
                )
            );
        }
    }
}
