//! Configuration of `vivarium serve`: one TOML file.
//!
//! Every key has a default, so an empty file is a valid configuration; a key that does not exist
//! is an error that names line and key. Sizes are bytes, times carry their unit in the name.

mod classes;
mod metrics;
mod provisioning;
mod tenants;

use std::net::SocketAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vivarium_runtime::{BuildLimits, Limits, WORKER_STACK_BYTES};

pub use self::classes::{Class, Classes, UnknownClass};
pub use self::metrics::{MetricsConfig, StatusAddress};
pub use self::provisioning::ProvisioningConfig;
pub use self::tenants::{TenantConfig, TenantOverride, TenantQuota};
use crate::environment::EnvironmentConfig;
use crate::hardening::HardeningConfig;
use crate::imports::ImportsConfig;
use crate::packages::PackagesConfig;
use crate::tls::{TlsConfig, TlsService};
use crate::token::{MAX_FUNCTION_BYTES, MAX_TENANT_BYTES};
use crate::workers::PoolSize;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Addresses, directories and the server's own bounds.
    pub server: ServerConfig,
    /// TLS of both services, and certificates of clients.
    pub tls: TlsConfig,
    /// Call tokens.
    pub tokens: TokenConfig,
    /// Names of the request headers that carry who calls what.
    pub headers: HeaderConfig,
    /// What one tenant may have.
    pub tenants: TenantConfig,
    /// Functions that anybody may call.
    pub functions: FunctionsConfig,
    /// Files that come with functions' code.
    pub imports: ImportsConfig,
    /// Environment variables of functions.
    pub environment: EnvironmentConfig,
    /// Limits of one exchange's sandbox.
    pub limits: Limits,
    /// Sizes of sandboxes that an engine can ask for instead (Databend: `CREATE WORKER .. size = ..`).
    /// Default: none.
    pub classes: Classes,
    /// Limits of importing a function's code, once for each version of a function.
    pub build_limits: BuildLimits,
    /// Bounds of what provisioning keeps.
    pub provisioning: ProvisioningConfig,
    /// How much metrics tell apart.
    pub metrics: MetricsConfig,
    /// Packages that functions may ask for.
    pub packages: PackagesConfig,
    /// What the server's process gives up before it serves.
    pub hardening: HardeningConfig,
    /// The server's own log.
    pub logging: LoggingConfig,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Where Arrow Flight is served (HTTP/2; with TLS if there is a `[tls]` section). Default: `127.0.0.1:50051`.
    pub flight_address: SocketAddr,
    /// Where functions are provisioned. The same address as `flight_address` is allowed: one port
    /// then serves both. Default: `127.0.0.1:50051`.
    pub provisioning_address: SocketAddr,
    /// Where `/health`, `/stats` and `/metrics` are served (HTTP/1.1, without TLS or a token), or `off`. Metrics
    /// tell names of functions and tenants to everybody who reaches this address. Port 0 stands for any
    /// free port, and the log says which it is. Default: `127.0.0.1:0`.
    pub status_address: StatusAddress,
    /// URL of the Flight service as engines reach it; provisioning returns it. Default: `http://`, with
    /// TLS `https://`, and the Flight address. Required when that address is a wildcard.
    pub advertised_endpoint: Option<String>,
    /// The user that a server started by root becomes before anything else, as `name`, `name:group` or the
    /// numbers of both. The state and cache directories, and all files of the configuration, must be its.
    /// Default: none, the user that starts it.
    pub user: Option<String>,
    /// Provisioned functions, their images and the token keys. Default: `vivarium-state`.
    pub state_dir: PathBuf,
    /// The compiled sandbox module and the base image, which can be rebuilt at any time.
    /// Default: `cache` inside `state_dir`.
    pub cache_dir: Option<PathBuf>,

    /// Whether the interpreter with NumPy is made ready at the start, in the background (some ten seconds
    /// the first time, when it is compiled), instead of when a function first needs it. Default: true.
    pub numpy_at_start: bool,

    /// Threads that run guest code, besides those whose calls have run for long (`long_call_ms`), and as
    /// many more for calls of tenants that have used less than their share of them lately; one tenant holds
    /// at most `tenants.max_workers` of all. Default: 0, one for each core.
    pub workers: usize,
    /// Threads that build images, apart from the workers so that builds never delay calls. One
    /// tenant holds at most half of them, rounded up. Default: 4.
    pub build_workers: NonZeroUsize,
    /// A call that has run for so long, in ms, lets others in its place: it counts against the threads of
    /// its tenant only, and goes on at a lower priority. Default: 5.
    pub long_call_ms: u64,
    /// The priority of long calls: niceness, 0 (like all others) to 19 (behind all others). Threads that
    /// build images have half of it. Without effect where threads have no priorities (anywhere but
    /// Linux). Default: 5, a third of the share of others.
    pub long_call_nice: u8,
    /// Threads that serve connections; each connection stays on one of them. Default: 0, one for two
    /// cores, and two where there are two: what one client sends then keeps half of the others waiting.
    pub network_threads: usize,
    /// Batches, and images to build, that may wait for a thread; more are refused. Default: 4096.
    pub max_queued_jobs: usize,

    /// Exchanges that run at the same time; each holds one sandbox. Fewer run when
    /// `host_memory_bytes` has no room for so many. Default: 64.
    pub max_concurrent_exchanges: NonZeroUsize,
    /// Sandboxes in which the batches of one exchange of a scalar or vectorised function run side by
    /// side. Those beyond the first count like further exchanges, and exist only while more than half
    /// of the places are free. 1: one batch after the other, all in one sandbox. Default: 0, one for
    /// each thread that one tenant may hold, at most 4.
    pub sandboxes_per_exchange: usize,
    /// Longest wait of an exchange for a place, in seconds. Default: 30.
    pub exchange_wait_s: u64,
    /// Longest wait of an exchange for its function's image, in seconds. Default: 120.
    pub image_wait_s: u64,
    /// Longest time in which a client may neither send its next message nor take the next result,
    /// in seconds. Default: 300.
    pub idle_timeout_s: u64,
    /// A batch of a query that failed is answered with the same error, without a call, when it comes
    /// again within so many seconds: Databend sends it up to nine times. 0: never. Default: 60.
    pub failure_memory_s: u64,
    /// Sum of the memory limits of all sandboxes and builds that run at the same time, in bytes.
    /// Default: 20 GiB.
    pub host_memory_bytes: u64,
    /// Images that stay in memory; the longest unused is loaded from disk again when it is called. Each takes some
    /// 2 MiB and up to two descriptors: fewer stay where half of the process's limit on descriptors is not
    /// enough. Default: 1000.
    pub max_resident_images: NonZeroUsize,
    /// Images that are loaded from disk at the start, in the background: those that were last built or
    /// loaded, with their interpreters. All others are loaded when they are called. Default: 32.
    pub images_at_start: usize,

    /// Largest gRPC message that is accepted, in bytes. Default: 64 MiB.
    pub max_message_bytes: usize,
    /// Most rows of one input batch. Default: 16 777 216.
    pub max_batch_rows: usize,
    /// Largest sum of dictionaries that one exchange may send, in bytes. Default: 64 MiB.
    pub max_dictionary_bytes: usize,
    /// Messages of one exchange that are read ahead. Default: 2.
    pub input_queue_messages: NonZeroUsize,
    /// Results of one exchange that wait for the client. Default: 2.
    pub output_queue_messages: NonZeroUsize,

    /// Connections that are open at the same time; further ones wait. Default: 4096.
    pub max_connections: NonZeroUsize,
    /// Longest time until a new connection, with TLS behind the handshake, has opened HTTP, in seconds.
    /// Default: 10.
    pub opening_timeout_s: NonZeroU64,
    /// Calls that are open at the same time on one connection. Default: 256.
    pub max_streams_per_connection: u32,
    /// Largest sum of a request's headers, in bytes. Default: 16 KiB.
    pub max_header_bytes: u32,
    /// HTTP/2 flow-control window of one call, in bytes; bounds what is buffered for a call that
    /// is not read. Default: 4 MiB.
    pub stream_window_bytes: u32,
    /// HTTP/2 flow-control window of one connection, in bytes. Default: 16 MiB.
    pub connection_window_bytes: u32,
    /// Interval of HTTP/2 pings on a connection, in seconds. Default: 30.
    pub keepalive_interval_s: u64,
    /// A connection that leaves a ping unanswered for so many seconds is closed. Default: 20.
    pub keepalive_timeout_s: u64,
    /// After SIGTERM or SIGINT, running exchanges have so many seconds to end. Default: 30.
    pub drain_s: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 50051));
        Self {
            flight_address: address,
            provisioning_address: address,
            status_address: StatusAddress::default(),
            advertised_endpoint: None,
            user: None,
            state_dir: PathBuf::from("vivarium-state"),
            cache_dir: None,
            numpy_at_start: true,
            workers: 0,
            build_workers: nonzero(4),
            long_call_ms: 5,
            long_call_nice: 5,
            network_threads: 0,
            max_queued_jobs: 4096,
            max_concurrent_exchanges: nonzero(64),
            sandboxes_per_exchange: 0,
            exchange_wait_s: 30,
            image_wait_s: 120,
            idle_timeout_s: 300,
            failure_memory_s: 60,
            host_memory_bytes: 20 << 30,
            max_resident_images: nonzero(1000),
            images_at_start: 32,
            max_message_bytes: 64 << 20,
            max_batch_rows: 1 << 24,
            max_dictionary_bytes: 64 << 20,
            input_queue_messages: nonzero(2),
            output_queue_messages: nonzero(2),
            max_connections: nonzero(4096),
            opening_timeout_s: NonZeroU64::MIN.saturating_add(9),
            max_streams_per_connection: 256,
            max_header_bytes: 16 << 10,
            stream_window_bytes: 4 << 20,
            connection_window_bytes: 16 << 20,
            keepalive_interval_s: 30,
            keepalive_timeout_s: 20,
            drain_s: 30,
        }
    }
}

/// `[tokens]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenConfig {
    /// How long a token permits calls, in seconds. Default: 86 400 (a day).
    pub lifetime_s: u64,
    /// File with the signing keys, as `vivarium keys` writes it: on each line one key of 32 bytes in
    /// hexadecimal digits, and the moment from which it signs. The youngest that may signs, all are
    /// accepted until their tokens have expired. It is created, for its owner only, when it does not
    /// exist; read again within a second of a call when it changed; and refused when others can read it.
    /// Default: `token.key` inside `server.state_dir`. Servers that shall accept each other's tokens
    /// share it.
    pub key_file: Option<PathBuf>,
    /// Group of servers that tokens are for. Default: `vivarium`.
    pub audience: String,
}

impl Default for TokenConfig {
    fn default() -> Self {
        Self { lifetime_s: 86_400, key_file: None, audience: "vivarium".to_owned() }
    }
}

/// `[headers]`: lower-case header names. The defaults are Databend's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderConfig {
    /// Carries the token, behind the word `Bearer`. Default: `authorization`.
    pub token: String,
    /// Names the tenant. Default: `x-databend-tenant`.
    pub tenant: String,
    /// Names the handler that an exchange calls; optional, and checked when it is there.
    /// Default: `x-databend-function-handler`.
    pub handler: String,
    /// Identifies the query, for the log only. Default: `x-databend-query-id`.
    pub query: String,
}

impl Default for HeaderConfig {
    fn default() -> Self {
        Self {
            token: "authorization".to_owned(),
            tenant: "x-databend-tenant".to_owned(),
            handler: "x-databend-function-handler".to_owned(),
            query: "x-databend-query-id".to_owned(),
        }
    }
}

/// `[functions]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FunctionsConfig {
    /// Python files whose declared functions are served to everybody who reaches the Flight address,
    /// without a token. They are read at the start. Default: none.
    pub files: Vec<PathBuf>,
}

/// `[logging]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoggingConfig {
    /// `human` or `json` (one object on each line). Default: `human`.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives such as `info,vivarium::guest=off`.
    /// Default: `info`.
    pub level: String,
}

impl Default for LoggingConfig {
    fn default() -> Self {
        Self { format: LogFormat::default(), level: "info".to_owned() }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// For machines: one JSON object on each line.
    Json,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key or value that does not exist.
    #[error("in the configuration {}:\n{source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, key and reason.
        source: Box<toml::de::Error>,
    },
    /// A value is out of its range, or two values contradict each other.
    #[error("in the configuration, `{key}` {problem}")]
    Value {
        /// Dotted name of the key.
        key: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let config: Config = toml::from_str(&text)
            .map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) })?;
        config.check()?;
        Ok(config)
    }

    /// Checks what types cannot say. To be called again after values were changed.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first value that cannot be used.
    pub fn check(&self) -> Result<(), ConfigError> {
        let error = |key, problem: &str| Err(ConfigError::Value { key, problem: problem.to_owned() });
        let server = &self.server;
        if server.advertised_endpoint.is_none() && server.flight_address.ip().is_unspecified() {
            return error(
                "server.advertised_endpoint",
                "is required because server.flight_address is a wildcard: engines need an address to call",
            );
        }
        if server.flight_address != server.provisioning_address
            && server.flight_address.port() == server.provisioning_address.port()
            && server.flight_address.port() != 0
            && (server.flight_address.ip().is_unspecified()
                || server.provisioning_address.ip().is_unspecified())
        {
            return error("server.provisioning_address", "overlaps server.flight_address; make them equal");
        }
        let one_address = server.flight_address == server.provisioning_address;
        if let Err((key, problem)) = self.tls.check(one_address) {
            return error(key, &problem);
        }
        if self.tls.covers(TlsService::Flight)
            && server.advertised_endpoint.as_ref().is_some_and(|url| url.starts_with("http://"))
        {
            return error(
                "server.advertised_endpoint",
                "must begin with https:// because Flight is behind TLS",
            );
        }
        if server.host_memory_bytes < self.build_memory_bytes().saturating_add(self.limits.memory_bytes) {
            return error(
                "server.host_memory_bytes",
                "has no room for limits.memory_bytes beside server.build_workers times build_limits.memory_bytes",
            );
        }
        let room = server.host_memory_bytes.saturating_sub(self.build_memory_bytes());
        if let Err(problem) = self.classes.check(room) {
            return error("classes", &problem);
        }
        if server.long_call_nice > 19 {
            return error("server.long_call_nice", "must lie between 0 and 19");
        }
        if !(16 << 10..=1 << 31).contains(&server.max_message_bytes) {
            return error("server.max_message_bytes", "must lie between 16384 and 2147483648");
        }
        for (key, bytes) in [
            ("server.stream_window_bytes", server.stream_window_bytes),
            ("server.connection_window_bytes", server.connection_window_bytes),
        ] {
            if !(65_535..1 << 31).contains(&bytes) {
                return error(key, "must lie between 65535 and 2147483647");
            }
        }
        if !(1..=10 * 365 * 86_400).contains(&self.tokens.lifetime_s) {
            return error("tokens.lifetime_s", "must lie between 1 and 315360000 (ten years)");
        }
        if self.tokens.audience.len() > MAX_TENANT_BYTES {
            return error("tokens.audience", "must be at most 128 bytes long");
        }
        if let Err((key, problem)) = self.tenants.check() {
            return error(key, &problem);
        }
        for (key, name) in [
            ("headers.token", &self.headers.token),
            ("headers.tenant", &self.headers.tenant),
            ("headers.handler", &self.headers.handler),
            ("headers.query", &self.headers.query),
        ] {
            if !is_header_name(name) {
                return error(key, "must be a header name: lower-case letters, digits, `-`, `_` and `.`");
            }
        }
        Ok(())
    }

    /// Directory of the compiled module and the base image.
    pub fn cache_dir(&self) -> PathBuf {
        self.server.cache_dir.clone().unwrap_or_else(|| self.server.state_dir.join("cache"))
    }

    /// File of the token keys.
    pub fn key_file(&self) -> PathBuf {
        self.tokens.key_file.clone().unwrap_or_else(|| self.server.state_dir.join("token.key"))
    }

    /// The pool that runs guest code.
    pub fn worker_pool(&self) -> PoolSize {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let or = |configured: usize, default: usize| if configured == 0 { default } else { configured };
        PoolSize {
            threads: or(self.server.workers, cores),
            threads_of_tenant: or(self.tenants.max_workers, cores),
            express: or(self.server.workers, cores),
            stack_bytes: WORKER_STACK_BYTES,
            max_queued: self.server.max_queued_jobs,
            nice: 0,
            long_job_nice: self.server.long_call_nice,
        }
    }

    /// Threads that serve connections.
    pub fn network_threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        match self.server.network_threads {
            0 => cores.div_ceil(2).max(cores.min(2)),
            configured => configured,
        }
    }

    /// Most sandboxes of one exchange.
    pub fn sandboxes_per_exchange(&self) -> usize {
        match self.server.sandboxes_per_exchange {
            0 => self.worker_pool().threads_of_tenant.min(4),
            configured => configured,
        }
    }

    /// The pool that builds images.
    pub fn build_pool(&self) -> PoolSize {
        let threads = self.server.build_workers.get();
        let nice = self.server.long_call_nice / 2;
        PoolSize { threads, threads_of_tenant: threads.div_ceil(2), express: 0, nice, ..self.worker_pool() }
    }

    /// Memory that exchanges may be promised at the same time, in bytes: what builds leave of
    /// `server.host_memory_bytes`.
    pub fn exchange_memory_bytes(&self) -> u64 {
        self.server.host_memory_bytes.saturating_sub(self.build_memory_bytes())
    }

    /// Exchanges with the default limits that may run at the same time: what is configured, or what
    /// fits into the memory if that is less.
    pub fn concurrent_exchanges(&self) -> usize {
        let fit = self.exchange_memory_bytes() / self.limits.memory_bytes.max(1);
        let fit = usize::try_from(fit).unwrap_or(usize::MAX).max(1);
        self.server.max_concurrent_exchanges.get().min(fit)
    }

    /// Memory that all builds may use at the same time, in bytes.
    fn build_memory_bytes(&self) -> u64 {
        let builders = u64::try_from(self.server.build_workers.get()).unwrap_or(u64::MAX);
        builders.saturating_mul(self.build_limits.memory_bytes)
    }
}

/// gRPC reserves the suffix `-bin` for binary values.
fn is_header_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    (1..=MAX_FUNCTION_BYTES).contains(&name.len()) && name.bytes().all(allowed) && !name.ends_with("-bin")
}

const fn nonzero(value: usize) -> NonZeroUsize {
    match NonZeroUsize::new(value) {
        Some(value) => value,
        None => NonZeroUsize::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::load(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(parse(""), Ok(Config::default()));
    }

    #[test]
    fn the_default_survives_a_round_trip() {
        let text = toml::to_string(&Config::default()).unwrap();
        assert_eq!(parse(&text), Ok(Config::default()));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = parse("[server]\nworkers = 2\nworkerz = 3\n").unwrap_err();
        assert!(error.contains("line 3") && error.contains("workerz"), "{error}");
        let error = parse("[limits]\nfuel = 3\n").unwrap_err();
        assert!(error.contains("line 2") && error.contains("`fuel`"), "{error}");
    }

    #[test]
    fn contradictions_name_the_key() {
        let cases = [
            ("[server]\nflight_address = \"0.0.0.0:1\"", "server.advertised_endpoint"),
            ("[server]\nprovisioning_address = \"0.0.0.0:50051\"", "server.provisioning_address"),
            ("[server]\nhost_memory_bytes = 5", "server.host_memory_bytes"),
            ("[server]\nmax_message_bytes = 5", "server.max_message_bytes"),
            ("[tokens]\nlifetime_s = 0", "tokens.lifetime_s"),
            ("[tls]\ncertificate = \"c\"", "`tls.key` is required because tls.certificate"),
            ("[tls]\nkey = \"k\"", "`tls.certificate` is required because tls.key"),
            ("[tls]\nclient_ca = \"ca\"", "`tls.certificate` is required because tls.client_ca"),
            (
                "[tls]\ncertificate = \"c\"\nkey = \"k\"\nservices = [\"flight\"]",
                "`tls.services` must name both services because they share an address",
            ),
            ("[tls]\ncertificate = \"c\"\nkey = \"k\"\nservices = []", "`tls.services` is empty"),
            ("[tls.tenants]\n\"dns:a\" = [\"acme\"]", "`tls.client_ca` is required"),
            (
                "[tls]\ncertificate = \"c\"\nkey = \"k\"\nclient_ca = \"ca\"\n[tls.tenants]\n\"cn:a\" = []",
                "`tls.tenants` has the client `cn:a`; expected `dns:<name>`",
            ),
            (
                "[server]\nadvertised_endpoint = \"http://a\"\n[tls]\ncertificate = \"c\"\nkey = \"k\"",
                "`server.advertised_endpoint` must begin with https://",
            ),
            ("[classes.Big]", "classes"),
            ("[headers]\ntoken = \"X-Token\"", "headers.token"),
            ("[headers]\ntoken = \"x-token-bin\"", "headers.token"),
            ("[tenants]\ndefault_tenant = \"\"", "tenants.default_tenant"),
            ("[tenants.overrides.\"\"]", "`tenants.overrides` has a tenant whose name is not 1 to 128 bytes"),
        ];
        for (text, key) in cases {
            let error = parse(text).expect_err(text);
            assert!(error.contains(key), "{text}: {error}");
        }
    }

    #[test]
    fn memory_bounds_the_number_of_exchanges() {
        let config = parse("[server]\nhost_memory_bytes = 1073741824\nbuild_workers = 1").unwrap();
        assert_eq!(config.concurrent_exchanges(), 3, "one place in four is for the build");
        assert_eq!(Config::default().concurrent_exchanges(), 64);
    }
}
