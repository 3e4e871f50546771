//! One fetch: requests and redirects, each checked, and a bounded answer.
//!
//! The client is `ureq`: blocking, as image builders are, with rustls, a replaceable resolver, and
//! time limits for every phase. It follows no redirects, uses no proxy, decodes nothing, and keeps
//! no connections.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HOST, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED, LOCATION,
};
use ureq::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::resolver::Resolver;
use ureq::unversioned::transport::{Connector as _, RustlsConnector, TcpConnector};
use ureq::{Agent, Body};

use super::config::ImportsConfig;
use super::error::{ImportProblem, ImportsError};
use super::failure;
use super::network::AddressPolicy;
use super::resolver::CheckedResolver;
use super::target::{Target, UrlPolicy};

/// Largest sum of a response's headers, in bytes.
const MAX_RESPONSE_HEADER_BYTES: usize = 32 << 10;
/// Longest value of `ETag` and `Last-Modified` that is kept, in bytes.
const MAX_VALIDATOR_BYTES: usize = 1024;
const PIECE_BYTES: usize = 64 << 10;

/// Headers that are the client's own, or mean something to proxies on the way.
const OWN_HEADERS: [&str; 16] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

/// What a server said of a file, to ask it later whether the file changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Validators {
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

impl Validators {
    pub(super) fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// The answer to a fetch.
#[derive(Debug)]
pub(super) enum Answer {
    /// The file did not change since it had the validators that were given.
    NotModified,
    /// The file.
    File { content: Vec<u8>, validators: Validators },
}

/// Fetches files.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    urls: UrlPolicy,
    limits: ClientLimits,
}

/// The limits that errors name.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientLimits {
    pub(super) connect_s: u64,
    pub(super) idle_s: u64,
    pub(super) total_s: u64,
    redirects: u32,
}

impl Client {
    pub(super) fn new(config: &ImportsConfig, lookup: Arc<dyn Resolver>) -> Result<Self, ImportsError> {
        let addresses = AddressPolicy {
            allow_private: config.allow_private_addresses,
            allowed_networks: config.allowed_networks.clone(),
        };
        let limits = ClientLimits {
            connect_s: config.connect_timeout_s.get(),
            idle_s: config.idle_timeout_s.get(),
            total_s: config.total_timeout_s.get(),
            redirects: config.max_redirects,
        };
        let connect = Some(Duration::from_secs(limits.connect_s));
        let idle = Some(Duration::from_secs(limits.idle_s));
        let settings = Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(roots(config)?).build())
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .user_agent(concat!("vivarium/", env!("CARGO_PKG_VERSION")))
            .max_response_header_size(MAX_RESPONSE_HEADER_BYTES)
            .max_idle_connections(0)
            .timeout_resolve(connect)
            .timeout_connect(connect)
            .timeout_per_read(idle)
            .timeout_per_write(idle)
            .build();
        let connector = ().chain(TcpConnector::default()).chain(RustlsConnector::default());
        let agent = Agent::with_parts(settings, connector, CheckedResolver::new(lookup, addresses));
        Ok(Self { agent, urls: UrlPolicy::new(config), limits })
    }

    /// Reads and checks a URL.
    pub(super) fn target(&self, url: &str) -> Result<Target, ImportProblem> {
        Ok(Target::parse(url, &self.urls)?)
    }

    /// Fetches a file of at most `limit` bytes.
    pub(super) fn fetch(
        &self,
        first: &Target,
        headers: &HeaderMap,
        known: &Validators,
        limit: u64,
    ) -> Result<Answer, ImportProblem> {
        let deadline = Instant::now() + Duration::from_secs(self.limits.total_s);
        let mut target = first.clone();
        for _ in 0..=self.limits.redirects {
            // What the engine signed is for the host that it named.
            let own = (target.origin() == first.origin()).then_some(headers);
            let response = self.request(&target, own, known, deadline)?;
            let status = response.status();
            let host = || target.host().to_owned();
            match status {
                StatusCode::OK => return self.file(&target, response, limit),
                StatusCode::NOT_MODIFIED if !known.is_empty() => return Ok(Answer::NotModified),
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {
                    let place = text_header(&response, &LOCATION);
                    let place = place.ok_or_else(|| ImportProblem::NoLocation { host: host() })?;
                    target = target
                        .follow(place, &self.urls)
                        .map_err(|problem| ImportProblem::Redirect { host: host(), problem })?;
                }
                _ => return Err(ImportProblem::Status { host: host(), status: status.as_u16() }),
            }
        }
        Err(ImportProblem::Redirects { limit: self.limits.redirects })
    }

    fn request(
        &self,
        target: &Target,
        headers: Option<&HeaderMap>,
        known: &Validators,
        deadline: Instant,
    ) -> Result<Response<Body>, ImportProblem> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut request = self.agent.get(target.uri().clone());
        for (name, value) in headers.into_iter().flatten() {
            request = request.header(name, value);
        }
        if let Some(etag) = &known.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(date) = &known.last_modified {
            request = request.header(IF_MODIFIED_SINCE, date);
        }
        request
            .header(ACCEPT_ENCODING, "identity")
            .config()
            .timeout_global(Some(left))
            .build()
            .call()
            .map_err(|error| failure::problem(error, target, &self.limits, 0))
    }

    /// Reads a file, never more than `limit` bytes of it, whatever the server announces.
    fn file(&self, target: &Target, response: Response<Body>, limit: u64) -> Result<Answer, ImportProblem> {
        let encoding = response.headers().get(CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(ImportProblem::ContentEncoding { host: target.host().to_owned() });
        }
        let announced = text_header(&response, &CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        if let Some(requested) = announced.filter(|announced| *announced > limit) {
            return Err(ImportProblem::TooLarge { limit, requested });
        }
        let validators = Validators {
            etag: text_header(&response, &ETAG).filter(is_short).map(str::to_owned),
            last_modified: text_header(&response, &LAST_MODIFIED).filter(is_short).map(str::to_owned),
        };
        let mut reader = response.into_body().into_reader();
        let mut content = Vec::new();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let received = u64::try_from(content.len()).unwrap_or(u64::MAX);
            let read = reader
                .read(&mut piece)
                .map_err(|error| failure::problem(error.into(), target, &self.limits, received))?;
            if read == 0 {
                return Ok(Answer::File { content, validators });
            }
            content.extend_from_slice(&piece[..read]);
            let requested = u64::try_from(content.len()).unwrap_or(u64::MAX);
            if requested > limit {
                return Err(ImportProblem::TooLarge { limit, requested });
            }
        }
    }
}

/// Checks the headers that come with an import. `Host` may repeat the URL's, and is left to the
/// client.
pub(super) fn checked_headers(
    headers: &BTreeMap<String, String>,
    target: &Target,
) -> Result<HeaderMap, ImportProblem> {
    let mut checked = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let refused = |problem| {
            let name = name.chars().take(80).flat_map(char::escape_debug).collect();
            Err(ImportProblem::Header { name, problem })
        };
        let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
            return refused("is no header name");
        };
        if parsed == HOST {
            if target.is_host_header(value) {
                continue;
            }
            return refused("names another host than the URL");
        }
        if OWN_HEADERS.contains(&parsed.as_str()) || parsed.as_str().starts_with("proxy-") {
            return refused("cannot be set by an import");
        }
        let Ok(mut value) = HeaderValue::from_str(value) else {
            return refused("has a value that cannot be sent");
        };
        value.set_sensitive(true);
        checked.append(parsed, value);
    }
    Ok(checked)
}

fn text_header<'a>(response: &'a Response<Body>, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn is_short(value: &&str) -> bool {
    value.len() <= MAX_VALIDATOR_BYTES
}

/// The certificates that servers are verified with.
fn roots(config: &ImportsConfig) -> Result<RootCerts, ImportsError> {
    let Some(path) = &config.ca_file else {
        return Ok(RootCerts::WebPki);
    };
    let failed = |problem: String| ImportsError::Certificates { path: path.clone(), problem };
    let bytes = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&bytes) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| failed(error.to_string()))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(failed("it contains no certificate".to_owned()));
    }
    Ok(RootCerts::from(certificates))
}
