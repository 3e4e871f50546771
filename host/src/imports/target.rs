//! A URL that imports may be fetched from.

use std::net::{Ipv4Addr, Ipv6Addr};

use ureq::http::Uri;

use super::config::{ImportsConfig, Scheme};
use super::error::UrlProblem;
use super::hosts::HostRule;

/// Longest URL, in bytes. Signed ones are long.
const MAX_URL_BYTES: usize = 16 << 10;

/// Which URLs the operator allows.
#[derive(Clone, Debug)]
pub(super) struct UrlPolicy {
    schemes: Vec<Scheme>,
    hosts: Vec<HostRule>,
    ports: Vec<u16>,
}

impl UrlPolicy {
    pub(super) fn new(config: &ImportsConfig) -> Self {
        Self {
            schemes: config.schemes.clone(),
            hosts: config.allowed_hosts.clone(),
            ports: config.ports.clone(),
        }
    }

    fn scheme(&self, text: &str) -> Result<Scheme, UrlProblem> {
        let known =
            [Scheme::Http, Scheme::Https].into_iter().find(|scheme| scheme.text().eq_ignore_ascii_case(text));
        known.filter(|scheme| self.schemes.contains(scheme)).ok_or_else(|| UrlProblem::Scheme {
            scheme: shown_scheme(text),
            allowed: self.schemes.iter().map(|scheme| scheme.text()).collect::<Vec<_>>().join(", "),
        })
    }

    fn check_host(&self, host: &str, port: u16) -> Result<(), UrlProblem> {
        let named = self.hosts.iter().filter(|rule| rule.matches_host(host));
        let mut is_named = self.hosts.is_empty();
        for rule in named {
            if rule.port() == Some(port) {
                return Ok(());
            }
            is_named |= rule.port().is_none();
        }
        if !is_named {
            return Err(UrlProblem::Host { host: host.to_owned(), port });
        }
        if self.ports.contains(&port) { Ok(()) } else { Err(UrlProblem::Port { port }) }
    }
}

/// A URL that was checked. Printing it shows neither path nor query.
#[derive(Clone)]
pub(super) struct Target {
    uri: Uri,
    scheme: Scheme,
    /// In lower case; without brackets or a trailing dot.
    host: String,
    port: u16,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.origin())
    }
}

impl Target {
    /// Reads and checks a URL.
    pub(super) fn parse(text: &str, policy: &UrlPolicy) -> Result<Target, UrlProblem> {
        if text.is_empty() {
            return Err(UrlProblem::Missing);
        }
        if text.len() > MAX_URL_BYTES {
            return Err(UrlProblem::TooLong { limit: MAX_URL_BYTES, requested: text.len() });
        }
        let malformed = |problem| Err(UrlProblem::Malformed { problem });
        // Readers of URLs disagree about these characters, so none may occur.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('\\') {
            return malformed("contains a character that must be percent-encoded");
        }
        let Some((scheme, rest)) = text.split_once(':') else {
            return malformed("has no scheme");
        };
        let scheme = policy.scheme(scheme)?;
        let Some(rest) = rest.strip_prefix("//") else {
            return malformed("has no host");
        };
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        if authority.contains('@') {
            return Err(UrlProblem::UserInfo);
        }
        let (host, port) = split_authority(authority)?;
        let port = match port {
            None => scheme.default_port(),
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return malformed("has a port that is none"),
                Ok(port) => port,
            },
        };
        let Ok(uri) = format!("{}://{rest}", scheme.text()).parse::<Uri>() else {
            return malformed("cannot be read");
        };
        // The client connects to what its own reader understands; it must have understood the same.
        let same_host = uri.host().map(|host| host.trim_start_matches('[').trim_end_matches(']'));
        if same_host != Some(host) || uri.port_u16().unwrap_or(scheme.default_port()) != port {
            return malformed("is ambiguous");
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        policy.check_host(&host, port)?;
        Ok(Target { uri, scheme, host, port })
    }

    /// Where a redirect leads: the same checks, and never from HTTPS to HTTP.
    pub(super) fn follow(&self, location: &str, policy: &UrlPolicy) -> Result<Target, UrlProblem> {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        let scheme = self.scheme.text();
        let has_scheme = location.split(['/', '?', '#']).next().is_some_and(|first| first.contains(':'));
        let absolute = if has_scheme {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{authority}{location}")
        } else {
            let path = self.uri.path();
            let directory = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
            format!("{scheme}://{authority}{directory}{location}")
        };
        let target = Target::parse(&absolute, policy)?;
        if (self.scheme, target.scheme) == (Scheme::Https, Scheme::Http) {
            return Err(UrlProblem::Downgrade);
        }
        Ok(target)
    }

    /// For the client.
    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Whether the server must prove who it is.
    pub(super) fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// The name or address of the server.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> String {
        match self.host.contains(':') {
            true => format!("{}://[{}]:{}", self.scheme.text(), self.host, self.port),
            false => format!("{}://{}:{}", self.scheme.text(), self.host, self.port),
        }
    }

    /// The URL without its query, which is a signature that changes with every request.
    pub(super) fn without_query(&self) -> String {
        self.origin() + self.uri.path()
    }

    /// Whether a value of the header `Host` says what the URL says.
    pub(super) fn is_host_header(&self, value: &str) -> bool {
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        value.eq_ignore_ascii_case(authority) || value.eq_ignore_ascii_case(&self.host)
    }
}

/// Host, without brackets, and port as text.
fn split_authority(authority: &str) -> Result<(&str, Option<&str>), UrlProblem> {
    let malformed = |problem| Err(UrlProblem::Malformed { problem });
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() => (host, port),
            _ => return malformed("has an IPv6 address that is none"),
        },
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => Some(port),
        None if port.is_empty() => None,
        None => return malformed("cannot be read"),
    };
    if host.is_empty() {
        return malformed("has no host");
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if !host.contains(':') && !host.bytes().all(is_name) {
        return malformed("has a host that is none");
    }
    // `127.1`, `0x7f.1` and `2130706433` are addresses to some and names to others.
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    let is_numeric = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
    if !host.contains(':') && is_numeric && host.parse::<Ipv4Addr>().is_err() {
        return malformed("has an IPv4 address in an unusual form");
    }
    Ok((host, port))
}

/// A scheme for messages: what stands there is a stranger's.
fn shown_scheme(text: &str) -> String {
    let is_scheme =
        text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if is_scheme { text.to_owned() } else { "unknown".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(hosts: &[&str]) -> UrlPolicy {
        let hosts = hosts.iter().map(|host| HostRule::try_from((*host).to_owned()).unwrap()).collect();
        UrlPolicy { schemes: vec![Scheme::Https, Scheme::Http], hosts, ports: vec![80, 443] }
    }

    #[test]
    fn attack_35_urls_that_lead_elsewhere_are_refused() {
        let ftp = "the URL's scheme `ftp` is not allowed (imports.schemes: https, http)";
        let encoded = "the URL contains a character that must be percent-encoded";
        let unusual = "the URL has an IPv4 address in an unusual form";
        let cases = [
            ("", "there is no URL"),
            ("file:///etc/passwd", "the URL's scheme `file` is not allowed (imports.schemes: https, http)"),
            ("FILE:///etc/passwd", "the URL's scheme `FILE` is not allowed (imports.schemes: https, http)"),
            ("ftp://host/a", ftp),
            ("gopher://host/a", "the URL's scheme `gopher` is not allowed (imports.schemes: https, http)"),
            ("data:text/plain,hi", "the URL's scheme `data` is not allowed (imports.schemes: https, http)"),
            (
                "unix:/run/docker.sock",
                "the URL's scheme `unix` is not allowed (imports.schemes: https, http)",
            ),
            ("se cret:x", encoded),
            ("se%cret:x", "the URL's scheme `unknown` is not allowed (imports.schemes: https, http)"),
            ("/etc/passwd", "the URL has no scheme"),
            ("https:/host/a", "the URL has no host"),
            ("https:///a", "the URL has no host"),
            ("https://:443/a", "the URL has no host"),
            ("https://user:secret@host/a", "the URL contains a user name or password"),
            ("https://allowed.example@evil.example/", "the URL contains a user name or password"),
            ("https://host\\@evil.example/", encoded),
            ("https://host/a b", encoded),
            ("https://host/a\r\nX-Evil: 1", encoded),
            ("https://höst/a", encoded),
            ("https://ho%73t/a", "the URL has a host that is none"),
            ("https://host:0/a", "the URL has a port that is none"),
            ("https://host:70000/a", "the URL has a port that is none"),
            ("https://host:/a", "the URL has a port that is none"),
            ("https://[fe80::1%25eth0]/a", "the URL has an IPv6 address that is none"),
            ("https://[::1/a", "the URL has an IPv6 address that is none"),
            ("https://[::1]x/a", "the URL cannot be read"),
            ("http://127.1/a", unusual),
            ("http://2130706433/a", unusual),
            ("http://0x7f000001/a", unusual),
            ("http://0177.0.0.1/a", unusual),
            ("http://1.2.3.4.5/a", unusual),
            ("https://host:8080/a", "port 8080 is not allowed (imports.ports, imports.allowed_hosts)"),
        ];
        for (url, expected) in cases {
            let found = Target::parse(url, &policy(&[])).map(|target| target.without_query());
            assert_eq!(found.map_err(|error| error.to_string()), Err(expected.to_owned()), "{url}");
        }
        let long = format!("https://host/{}", "a".repeat(MAX_URL_BYTES));
        let found = Target::parse(&long, &policy(&[])).unwrap_err().to_string();
        assert_eq!(found, "the URL is 16397 bytes long; 16384 are allowed");
    }

    #[test]
    fn the_allow_list_names_hosts_and_ports() {
        let cases = [
            ("https://store.example.com/a", true),
            ("https://STORE.example.com./a", true),
            ("https://store.example.com:8080/a", false),
            ("https://a.cdn.example.com:9000/a", true),
            ("https://a.cdn.example.com/a", false),
            ("https://cdn.example.com:9000/a", false),
            ("https://evil.com/store.example.com", false),
            ("https://store.example.com.evil.com/", false),
            ("https://[2001:db8::1]/", true),
        ];
        for (url, expected) in cases {
            let rules = policy(&["store.example.com", "*.cdn.example.com:9000", "[2001:db8::1]"]);
            let found = Target::parse(url, &rules);
            assert_eq!(found.is_ok(), expected, "{url}: {found:?}");
        }
        let error = Target::parse("https://evil.com/a?X-Signature=5", &policy(&["store"])).unwrap_err();
        assert_eq!(error.to_string(), "host evil.com:443 is not allowed (imports.allowed_hosts)");
    }

    #[test]
    fn redirects_are_resolved_and_checked() {
        let cases = [
            ("https://other/b", Ok("https://other:443/b")),
            ("//other/b", Ok("https://other:443/b")),
            ("/b?c=d", Ok("https://host:443/b")),
            ("b", Ok("https://host:443/dir/b")),
            ("?x", Ok("https://host:443/dir/")),
            ("http://host/b", Err("the redirect leads from https to http")),
            (
                "file:///etc/passwd",
                Err("the URL's scheme `file` is not allowed (imports.schemes: https, http)"),
            ),
            ("https://user@host/", Err("the URL contains a user name or password")),
            ("https://host:22/", Err("port 22 is not allowed (imports.ports, imports.allowed_hosts)")),
        ];
        let target = Target::parse("https://host/dir/a?signature", &policy(&[])).unwrap();
        for (location, expected) in cases {
            let found = target.follow(location, &policy(&[])).map(|target| target.without_query());
            assert_eq!(
                found.map_err(|error| error.to_string()),
                expected.map(str::to_owned).map_err(str::to_owned)
            );
        }
    }

    #[test]
    fn a_target_is_printed_without_its_query() {
        let target = Target::parse("https://host/path?X-Amz-Signature=secret", &policy(&[])).unwrap();
        assert_eq!(
            format!("{target:?} {}", target.without_query()),
            "https://host:443 https://host:443/path"
        );
    }
}
