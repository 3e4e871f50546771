//! Wheels from where the lock says they are.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};

use super::config::PackagesConfig;
use super::error::PackageError;
use super::lock::{Locked, Source};
use super::provided;

/// Redirects that are followed for one wheel.
const MAX_REDIRECTS: u32 = 5;

/// Name of this client.
const USER_AGENT: &str = concat!("vivarium/", env!("CARGO_PKG_VERSION"));

pub(super) struct Downloader {
    agent: Agent,
    indexes: Vec<Uri>,
    folders: Vec<PathBuf>,
    limit: u64,
    time_s: u64,
}

impl Downloader {
    pub(super) fn new(config: &PackagesConfig) -> Self {
        let certificates = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let uses_proxy =
            config.resolver_environment.iter().any(|name| name.to_ascii_lowercase().ends_with("_proxy"));
        let agent = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(config.download_timeout_s.get())))
            .max_redirects(MAX_REDIRECTS)
            .user_agent(USER_AGENT)
            .tls_config(certificates)
            .proxy(if uses_proxy { ureq::Proxy::try_from_env() } else { None })
            .build()
            .into();
        Self {
            agent,
            indexes: config.indexes().filter_map(|(_, url)| url.parse().ok()).collect(),
            folders: config.find_links.iter().filter_map(|folder| folder.canonicalize().ok()).collect(),
            limit: config.max_wheel_bytes,
            time_s: config.download_timeout_s.get(),
        }
    }

    /// The bytes of a wheel, not compared with anything yet.
    pub(super) fn get(&self, locked: &Locked) -> Result<Vec<u8>, PackageError> {
        if let Some(size) = locked.size
            && size > self.limit
        {
            return Err(self.too_large(locked, size.to_string()));
        }
        match &locked.source {
            Source::Provided => provided::find(&locked.name)
                .map(|provided| provided.bytes.to_vec())
                .ok_or_else(|| failed(locked, "the server does not provide it any more")),
            Source::File(path) => self.read(locked, path),
            Source::Url(url) => self.fetch(locked, url),
        }
    }

    fn read(&self, locked: &Locked, path: &Path) -> Result<Vec<u8>, PackageError> {
        let unreadable = |error: std::io::Error| {
            tracing::warn!(path = %path.display(), error = %error, "a wheel was not read");
            failed(locked, "it cannot be read from its folder (packages.find_links)")
        };
        let path = path.canonicalize().map_err(unreadable)?;
        if !self.folders.iter().any(|folder| path.starts_with(folder)) {
            return Err(failed(locked, "it is in no folder of packages.find_links"));
        }
        let file = File::open(&path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(self.limit.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > self.limit {
            return Err(self.too_large(locked, format!("more than {}", self.limit)));
        }
        Ok(bytes)
    }

    fn fetch(&self, locked: &Locked, url: &str) -> Result<Vec<u8>, PackageError> {
        tracing::debug!(package = locked.title(), "downloading a wheel");
        let request = self.agent.get(url).config().https_only(url.starts_with("https://")).build();
        let request = match self.authorization(url) {
            Some(value) => request.header("authorization", value),
            None => request,
        };
        let mut response = request.call().map_err(|error| self.problem(locked, &error))?;
        if let Some(announced) = response.body().content_length().filter(|bytes| *bytes > self.limit) {
            return Err(self.too_large(locked, announced.to_string()));
        }
        let body = response.body_mut().with_config().limit(self.limit.saturating_add(1));
        let bytes = body.read_to_vec().map_err(|error| self.problem(locked, &error))?;
        if bytes.len() as u64 > self.limit {
            return Err(self.too_large(locked, format!("more than {}", self.limit)));
        }
        Ok(bytes)
    }

    /// User and password of the index that the address belongs to.
    fn authorization(&self, url: &str) -> Option<String> {
        let url: Uri = url.parse().ok()?;
        let place = |uri: &Uri| (uri.scheme().cloned(), uri.host().map(str::to_owned), uri.port_u16());
        let index = self.indexes.iter().find(|index| place(index) == place(&url))?;
        let (credentials, _host) = index.authority()?.as_str().rsplit_once('@')?;
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let decode = |text| percent_decode_str(text).collect::<Vec<u8>>();
        let both = [decode(user), b":".to_vec(), decode(password)].concat();
        Some(format!("Basic {}", STANDARD.encode(both)))
    }

    fn problem(&self, locked: &Locked, error: &ureq::Error) -> PackageError {
        let problem = match error {
            ureq::Error::BodyExceedsLimit(_) => {
                return self.too_large(locked, format!("more than {}", self.limit));
            }
            ureq::Error::StatusCode(code) => format!("the index answered with the HTTP status {code}"),
            ureq::Error::Timeout(_) => {
                format!("it took longer than packages.download_timeout_s, {} s", self.time_s)
            }
            ureq::Error::TooManyRedirects => format!("more than {MAX_REDIRECTS} redirects"),
            _ => "the index cannot be reached now; the server's log says why".to_owned(),
        };
        tracing::warn!(package = locked.title(), error = %error, "a wheel was not downloaded");
        failed(locked, &problem)
    }

    fn too_large(&self, locked: &Locked, requested: String) -> PackageError {
        PackageError::Limit {
            what: format!("the wheel of {} has", locked.title()),
            limit_name: "packages.max_wheel_bytes",
            limit: self.limit,
            requested: format!("{requested} bytes"),
        }
    }
}

impl std::fmt::Debug for Downloader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Downloader").finish_non_exhaustive()
    }
}

fn failed(locked: &Locked, problem: &str) -> PackageError {
    PackageError::Download { package: locked.title(), problem: problem.to_owned() }
}
