//! `[imports]`

use std::num::NonZeroU64;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::hosts::HostRule;
use crate::archive::ArchiveLimits;

/// `[imports]`: the files that come with a function's code, and from where they may be fetched.
///
/// A fetch is a request that the server sends to where a stranger points it, so the defaults reach
/// public addresses by HTTPS only. An object store inside the cluster needs `schemes`,
/// `allowed_hosts` (for its port) and `allowed_networks`:
///
/// ```toml
/// [imports]
/// schemes = ["http"]
/// allowed_hosts = ["minio.storage.svc:9000"]
/// allowed_networks = ["10.96.0.0/12"]
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImportsConfig {
    /// Whether functions may have imports. Default: true.
    pub enabled: bool,
    /// Schemes of URLs, `http` and `https`. A redirect never leads from `https` to `http`.
    /// Default: `["https"]`.
    pub schemes: Vec<Scheme>,
    /// Hosts that may be asked: `store.example.com`, or `*.example.com` for all names below
    /// `example.com`, or an IP address; with `:port` when it is not one of `ports`. Redirects are
    /// held to the same list. Default: empty, every host.
    pub allowed_hosts: Vec<HostRule>,
    /// Ports that may be asked without being named in `allowed_hosts`. Default: `[80, 443]`.
    pub ports: Vec<u16>,
    /// Whether hosts may have private addresses: loopback, RFC 1918, shared (carrier-grade NAT)
    /// and unique local ones. Link-local, cloud metadata and multicast addresses are not meant by
    /// this. Default: false.
    pub allow_private_addresses: bool,
    /// Networks that may be reached although their addresses are not public, such as
    /// `10.96.0.0/12`. The address of a cloud's metadata service must be named as a network of its
    /// own, such as `169.254.169.254/32`. Default: empty.
    pub allowed_networks: Vec<IpNet>,
    /// Most redirects that are followed for one import. Default: 3.
    pub max_redirects: u32,

    /// Longest time in which a connection is set up, TLS included, in seconds. Default: 5.
    pub connect_timeout_s: NonZeroU64,
    /// Longest time in which a server may send nothing, in seconds. Default: 10.
    pub idle_timeout_s: NonZeroU64,
    /// Longest time for one import, redirects included, in seconds. Default: 60.
    pub total_timeout_s: NonZeroU64,

    /// Most imports of one function. Default: 64.
    pub max_imports: usize,
    /// Largest import, in bytes. Default: 64 MiB.
    pub import_bytes: u64,
    /// Largest sum of all imports of one function, in bytes. Default: 256 MiB.
    pub total_bytes: u64,
    /// Limits of what `.zip`, `.whl` and `.egg` imports contain.
    pub archives: ArchiveLimits,

    /// An import without a tag is used for so many seconds before its server is asked whether it
    /// changed. Default: 60.
    pub revalidate_s: u64,
    /// Whether the kept content is used when that question fails because the server cannot be
    /// reached or fails itself. Default: false.
    pub stale_if_error: bool,
    /// Largest sum of kept imports of all tenants, in bytes; the longest unused give way.
    /// Default: 2 GiB.
    pub cache_bytes: u64,
    /// File of PEM certificates that HTTPS servers are verified with, instead of Mozilla's roots
    /// which are compiled in. Default: none.
    pub ca_file: Option<PathBuf>,
}

impl Default for ImportsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            schemes: vec![Scheme::Https],
            allowed_hosts: Vec::new(),
            ports: vec![80, 443],
            allow_private_addresses: false,
            allowed_networks: Vec::new(),
            max_redirects: 3,
            connect_timeout_s: nonzero(5),
            idle_timeout_s: nonzero(10),
            total_timeout_s: nonzero(60),
            max_imports: 64,
            import_bytes: 64 << 20,
            total_bytes: 256 << 20,
            archives: ArchiveLimits::default(),
            revalidate_s: 60,
            stale_if_error: false,
            cache_bytes: 2 << 30,
            ca_file: None,
        }
    }
}

/// How an import is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// HTTP without TLS.
    Http,
    /// HTTP with TLS; the server's certificate is verified.
    Https,
}

impl Scheme {
    /// As in a URL.
    pub(super) fn text(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// The port of a URL that names none.
    pub(super) fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

const fn nonzero(value: u64) -> NonZeroU64 {
    match NonZeroU64::new(value) {
        Some(value) => value,
        None => NonZeroU64::MIN,
    }
}
