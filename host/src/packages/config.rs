//! `[packages]` of the configuration.

use std::num::NonZeroU64;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use ureq::http::Uri;

use super::error::PackagesError;
use super::policy::Names;

/// Where packages come from, which ones may be used, and how much of them. Functions ask for
/// packages by `packages` of their definition or by metadata in their code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PackagesConfig {
    /// Whether functions may ask for packages at all. NumPy, which the sandbox has itself, needs no
    /// permission. Default: true.
    pub enabled: bool,
    /// The program that resolves requirements: `uv`, found on the `PATH` unless this is a path.
    /// Default: `uv`.
    pub resolver: PathBuf,
    /// The package index, a URL of the simple repository interface; may contain a user and password.
    /// Default: what the machine's own uv configuration says.
    pub index_url: Option<String>,
    /// Further indexes, asked before `index_url`; the first that knows a package is the only one that
    /// is asked for it. Default: none.
    pub extra_index_urls: Vec<String>,
    /// Folders with wheels, used in addition to the indexes. Default: none.
    pub find_links: Vec<PathBuf>,
    /// Never use the network: only wheels in `find_links`, and those that the sandbox provides.
    /// Default: false.
    pub offline: bool,
    /// Variables of the server's own environment that the resolver sees, beside nothing else; those
    /// for proxies hold for downloads too. Default: the usual names for proxies and certificates.
    pub resolver_environment: Vec<String>,
    /// Leave out what was published later: a date, an RFC 3339 time, or an age such as `7 days`, as
    /// the resolver's `--exclude-newer` understands it. Default: none.
    pub exclude_newer: Option<String>,

    /// Names of the packages that may be used, dependencies included; `*` stands for any characters.
    /// Default: `["*"]`.
    pub allow: Vec<String>,
    /// Names of packages that may not be used even though `allow` has them. Default: none.
    pub deny: Vec<String>,

    /// How long the versions that were chosen for a list of requirements are chosen again without
    /// asking, in seconds. Default: 86 400 (a day).
    pub lock_lifetime_s: u64,
    /// When the index cannot be asked, choose the versions of last time, however old. Default: false.
    pub stale_if_error: bool,

    /// Requirements of one function. Default: 64.
    pub max_requirements: u64,
    /// Packages of one function, dependencies included. Default: 128.
    pub max_packages: u64,
    /// Wheels of one function, in bytes. Default: 64 MiB.
    pub max_wheel_bytes: u64,
    /// Files of one function's packages, in bytes. Default: 192 MiB.
    pub max_unpacked_bytes: u64,
    /// Files of one function's packages. Default: 15 000.
    pub max_files: u64,
    /// Longest run of the resolver, in seconds. Default: 30.
    pub resolve_timeout_s: NonZeroU64,
    /// Longest download of one wheel, in seconds. Default: 60.
    pub download_timeout_s: NonZeroU64,
    /// Wheels and choices of versions kept on disk, in bytes; the longest unused is removed. Default: 4 GiB.
    pub max_cache_bytes: u64,
    /// What the resolver keeps on disk for itself, in bytes. It is emptied when a run of the resolver has left
    /// it beyond that. Default: 1 GiB.
    pub max_resolver_cache_bytes: u64,
    /// Unpacked packages kept in memory, in bytes. Default: 128 MiB.
    pub max_memory_bytes: u64,
}

/// What proxies and certificates are usually configured by.
const ENVIRONMENT: [&str; 10] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

impl Default for PackagesConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            resolver: PathBuf::from("uv"),
            index_url: None,
            extra_index_urls: Vec::new(),
            find_links: Vec::new(),
            offline: false,
            resolver_environment: ENVIRONMENT.map(str::to_owned).to_vec(),
            exclude_newer: None,
            allow: vec!["*".to_owned()],
            deny: Vec::new(),
            lock_lifetime_s: 86_400,
            stale_if_error: false,
            max_requirements: 64,
            max_packages: 128,
            max_wheel_bytes: 64 << 20,
            max_unpacked_bytes: 192 << 20,
            max_files: 15_000,
            resolve_timeout_s: nonzero(30),
            download_timeout_s: nonzero(60),
            max_cache_bytes: 4 << 30,
            max_resolver_cache_bytes: 1 << 30,
            max_memory_bytes: 128 << 20,
        }
    }
}

impl PackagesConfig {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`PackagesError::Value`] for the first value that cannot be used.
    pub fn check(&self) -> Result<(), PackagesError> {
        let error = |key, problem: String| Err(PackagesError::Value { key, problem });
        for (key, text) in self.indexes() {
            let usable = text.parse::<Uri>().is_ok_and(|uri| {
                matches!(uri.scheme_str(), Some("https" | "http"))
                    && uri.host().is_some_and(|host| !host.is_empty())
            });
            if !usable {
                return error(key, "must be a URL that begins with https:// or http://".to_owned());
            }
        }
        if self.offline && self.indexes().next().is_some() {
            return error("packages.offline", "contradicts packages.index_url".to_owned());
        }
        for (key, globs) in [("packages.allow", &self.allow), ("packages.deny", &self.deny)] {
            if let Err(problem) = Names::new(globs) {
                return error(key, problem);
            }
        }
        if self.resolver.as_os_str().is_empty() {
            return error("packages.resolver", "is empty".to_owned());
        }
        if let Some(text) = &self.exclude_newer
            && (text.is_empty() || text.starts_with('-') || text.contains(char::is_control))
        {
            return error("packages.exclude_newer", "is not a date, time or age".to_owned());
        }
        Ok(())
    }

    /// All configured indexes, each with its key.
    pub(super) fn indexes(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let own = self.index_url.iter().map(|url| ("packages.index_url", url.as_str()));
        own.chain(self.extra_index_urls.iter().map(|url| ("packages.extra_index_urls", url.as_str())))
    }
}

const fn nonzero(value: u64) -> NonZeroU64 {
    match NonZeroU64::new(value) {
        Some(value) => value,
        None => NonZeroU64::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_survives_a_round_trip() {
        let config = PackagesConfig::default();
        config.check().unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<PackagesConfig>(&text).unwrap(), config);
    }

    #[test]
    fn contradictions_name_the_key() {
        let cases = [
            ("index_url = \"ftp://a/simple\"", "packages.index_url"),
            ("index_url = \"nonsense\"", "packages.index_url"),
            ("extra_index_urls = [\"https://a/ https://b/\"]", "packages.extra_index_urls"),
            ("offline = true\nindex_url = \"https://a/simple\"", "packages.offline"),
            ("allow = [\"requests[security]\"]", "packages.allow"),
            ("deny = [\"\"]", "packages.deny"),
            ("resolver = \"\"", "packages.resolver"),
            ("exclude_newer = \"--help\"", "packages.exclude_newer"),
        ];
        for (text, key) in cases {
            let config: PackagesConfig = toml::from_str(text).unwrap();
            let error = config.check().expect_err(text).to_string();
            assert!(error.contains(key), "{text}: {error}");
        }
        assert!(toml::from_str::<PackagesConfig>("index = 1").is_err());
        assert!(toml::from_str::<PackagesConfig>("resolve_timeout_s = 0").is_err());
    }
}
