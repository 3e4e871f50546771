//! `vivarium serve --check`: what a start would find, without serving.

use std::fmt::Display;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use vivarium_host::config::Config;
use vivarium_host::environment::Environments;
use vivarium_host::hardening::{Hardened, State};
use vivarium_host::packages;
use vivarium_host::tls::Tls;
use vivarium_host::token::key_file;

/// A finding's place in the first column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    /// A start would work, with less than it could.
    Weak,
    /// A start would fail.
    Bad,
}

/// Collects findings and prints them as they come.
struct Findings {
    failed: bool,
}

impl Findings {
    fn tell(&mut self, verdict: Verdict, what: &str, detail: impl Display) {
        let mark = match verdict {
            Verdict::Good => "ok  ",
            Verdict::Weak => "warn",
            Verdict::Bad => "FAIL",
        };
        println!("{mark}  {what:<32}  {detail}");
        self.failed |= verdict == Verdict::Bad;
    }

    fn result<E: Display>(&mut self, what: &str, result: Result<impl Display, E>) {
        match result {
            Ok(detail) => self.tell(Verdict::Good, what, detail),
            Err(error) => self.tell(Verdict::Bad, what, error),
        }
    }
}

/// Checks addresses, files and hardening, and prints a line for each.
pub(crate) fn check(config: &Config, file: Option<&Path>) -> ExitCode {
    let mut findings = Findings { failed: false };
    let from = file.map_or("the defaults".to_owned(), |file| file.display().to_string());
    findings.tell(Verdict::Good, "configuration", format!("{from}: valid"));
    addresses(config, &mut findings);
    // Whether files can be used depends on the user that the server becomes, so this comes first.
    match Hardened::enter(config).and_then(|mut hardened| hardened.seal().map(|()| hardened)) {
        Ok(hardened) => {
            for outcome in hardened.outcomes() {
                let verdict = match outcome.state {
                    State::InForce | State::Off => Verdict::Good,
                    State::Partly | State::Unavailable => Verdict::Weak,
                };
                let what = format!("hardening.{}", outcome.mechanism);
                findings.tell(verdict, &what, format!("{}: {}", outcome.state, outcome.detail));
            }
        }
        Err(error) => findings.tell(Verdict::Bad, "hardening", error),
    }
    files(config, &mut findings);
    if findings.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn addresses(config: &Config, findings: &mut Findings) {
    let server = &config.server;
    let mut addresses = vec![("server.flight_address", server.flight_address)];
    if server.provisioning_address != server.flight_address {
        addresses.push(("server.provisioning_address", server.provisioning_address));
    }
    addresses.extend(server.status_address.0.map(|address| ("server.status_address", address)));
    for (key, address) in addresses {
        let bound = TcpListener::bind(address).map(|_| format!("{address}: can be listened on"));
        findings.result(key, bound.map_err(|error| format!("{address}: {error}")));
    }
}

fn files(config: &Config, findings: &mut Findings) {
    for (key, path) in
        [("server.state_dir", config.server.state_dir.clone()), ("server.cache_dir", config.cache_dir())]
    {
        findings.result(key, directory(&path, key == "server.cache_dir"));
    }
    let (keys, lifetime) = (config.key_file(), Duration::from_secs(config.tokens.lifetime_s));
    if keys.exists() {
        let listed = key_file::list(&keys, SystemTime::now(), lifetime);
        let told = listed.map(|listed| format!("{}: {} keys", keys.display(), listed.len()));
        findings.result("tokens.key_file", told);
    } else {
        findings.tell(Verdict::Good, "tokens.key_file", format!("{}: will be created", keys.display()));
    }
    match Tls::open(&config.tls) {
        Ok(Some(tls)) => {
            findings.tell(Verdict::Good, "tls", format!("the certificate ends at {}", tls.ends()));
        }
        Ok(None) if config.server.flight_address.ip().is_loopback() => {
            findings.tell(Verdict::Good, "tls", "none; Flight is for this machine only");
        }
        Ok(None) => findings.tell(Verdict::Weak, "tls", "none; tokens and rows travel in the clear"),
        Err(error) => findings.tell(Verdict::Bad, "tls", error),
    }
    if let Some(file) = &config.environment.file {
        let told = Environments::open(&config.environment).map(|_| format!("{}: valid", file.display()));
        findings.result("environment.file", told);
    }
    for file in &config.functions.files {
        let read = std::fs::read(file).map(|_| format!("{}: readable", file.display()));
        findings.result("functions.files", read.map_err(|error| format!("{}: {error}", file.display())));
    }
    if config.packages.enabled {
        match packages::find_program(&config.packages.resolver) {
            Some(program) => findings.tell(Verdict::Good, "packages.resolver", program.display()),
            None => findings.tell(
                Verdict::Weak,
                "packages.resolver",
                format!(
                    "there is no program `{}`: packages cannot be resolved",
                    config.packages.resolver.display()
                ),
            ),
        }
    }
}

/// As the stores of the server want their directories.
fn directory(path: &Path, private: bool) -> Result<String, String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    let told = format!("{}: owner {owner}, mode {mode:04o}", path.display());
    let closed = mode & if private { 0o077 } else { 0o022 } == 0;
    if owner == rustix::process::geteuid().as_raw() && closed {
        Ok(told)
    } else {
        Err(format!("{told}; it must belong to the server's user and be closed to others"))
    }
}
