//! The server as its users drive it: provisioned by a generated gRPC stub, called by pyarrow.flight.

#![expect(clippy::expect_used, reason = "a failed expectation is a failed test")]

use std::fs::Permissions;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

use vivarium_tests::{Server, binary, free_port, package_file, python, uv, workspace};

/// Limits that a test can wait for, also when the machine is busy with other things.
const CONFIG: &str = "
[limits]
fuel_per_batch = 1_000_000_000_000
deadline_ms = 6_000
memory_bytes = 134_217_728
[build_limits]
fuel = 1_000_000_000_000
deadline_ms = 6_000
memory_bytes = 134_217_728
[tenants]
max_functions = 5_000
";

fn check(script: &str) {
    check_with(script, CONFIG);
}

fn check_with(script: &str, config: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), config);
    server.check(script, &[]);
    assert_eq!(server.terminate(), Some(0), "a graceful end");
}

#[test]
fn compat_types() {
    check("check_types.py");
}

#[test]
fn compat_matrix() {
    check("check_matrix.py");
}

#[test]
fn compat_random() {
    check("check_random.py");
}

fn check_files(script: &str, files: &[PathBuf]) {
    let files: Vec<String> = files.iter().map(|file| format!("{:?}", file.display().to_string())).collect();
    check_with(script, &format!("{CONFIG}[functions]\nfiles = [{}]\n", files.join(", ")));
}

fn server_file(name: &str) -> PathBuf {
    workspace().join("tests/python/servers").join(name)
}

/// Sizes that an engine can ask for.
const CLASSES: &str = "
[classes.small]
memory_bytes = 67_108_864
[classes.large]
memory_bytes = 268_435_456
";

#[test]
fn compat_databend_workers() {
    check_with("check_workers.py", &format!("{CONFIG}{CLASSES}"));
}

#[test]
fn compat_databend_engine() {
    check_with("check_databend_engine.py", &format!("{CONFIG}{CLASSES}"));
}

#[test]
fn a_fleet_of_functions_survives_replacement_and_a_kill() {
    let output = python("check_fleet.py").env("VIVARIUM_BINARY", binary()).output();
    let output = output.expect("the client's Python starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn compat_databend_udf() {
    check_files("check_databend_udf.py", &[server_file("databend_server.py")]);
}

#[test]
fn compat_databend_udf_errors() {
    check_files("check_databend_udf_errors.py", &[server_file("errors_server.py")]);
}

#[test]
fn compat_arrow_udf() {
    let files = [server_file("arrow_server.py"), package_file("arrow_udf/test_udf.py")];
    check_files("check_arrow_udf.py", &files);
}

#[test]
fn every_kind_of_function() {
    check_files("check_kinds.py", &[server_file("kinds_server.py")]);
}

#[test]
fn attack_errors() {
    check("check_errors.py");
}

#[test]
fn attack_fuel() {
    check_with("check_fuel.py", "[limits]\nfuel_per_batch = 100_000_000\n");
}

#[test]
fn attack_isolation() {
    check("check_isolation.py");
}

#[test]
fn provisioned_functions_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let headers = folder.path().join("headers.json");
    let headers = headers.to_str().expect("a path in UTF-8");
    let server = Server::start(folder.path(), CONFIG);
    server.check("check_restart.py", &["provision", headers]);
    // No time to tidy up: what was answered must be on disk.
    drop(server);
    let server = Server::start(folder.path(), CONFIG);
    server.check("check_restart.py", &["call", headers]);
}

#[test]
fn images_are_in_memory_again_after_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let headers = folder.path().join("headers.json");
    let headers = headers.to_str().expect("a path in UTF-8");
    let start = |images: &str| {
        let config = format!("[server]\nnumpy_at_start = false\nimages_at_start = {images}\n{CONFIG}");
        Server::start(folder.path(), &config)
    };
    let server = start("32");
    server.check("check_restart.py", &["provision", headers]);
    assert_eq!(server.terminate(), Some(0), "a graceful end");
    // Of the two the one that is not called here was built last; then the called one is used last.
    for (at_start, with_the_called_one) in [("1", "2"), ("1", "1"), ("0", "1"), ("2", "2")] {
        let server = start(at_start);
        server.check("check_restart.py", &["images", headers, at_start]);
        server.check("check_restart.py", &["call", headers]);
        server.check("check_restart.py", &["images", headers, with_the_called_one]);
        assert_eq!(server.terminate(), Some(0), "a graceful end");
    }
}

/// A file for the server or its clients.
fn keep(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file");
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode");
}

/// A certificate of `issuer`'s for a name and this machine, with its key, in files.
fn keep_identity(folder: &Path, name: &str, host: &str, issuer: &Issuer<'_, KeyPair>) {
    let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
    params.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
    let key = KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, issuer).expect("a certificate");
    keep(folder, &format!("{name}.pem"), &certificate.pem());
    keep(folder, &format!("{name}.key"), &key.serialize_pem());
}

fn authority() -> (Issuer<'static, KeyPair>, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Another than that of what it signs, which would look like signed by itself.
    params.distinguished_name.push(DnType::CommonName, "authority");
    let key = KeyPair::generate().expect("a key");
    let pem = params.self_signed(&key).expect("an authority").pem();
    (Issuer::new(params, key), pem)
}

#[test]
fn tls_and_certificates_of_clients() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (issuer, pem) = authority();
    keep(folder.path(), "ca.pem", &pem);
    for (name, host) in
        [("server", "server.internal"), ("next", "server.internal"), ("engine", "engine.internal")]
    {
        keep_identity(folder.path(), name, host, &issuer);
    }
    keep_identity(folder.path(), "stranger", "engine.internal", &authority().0);
    let path = |name: &str| folder.path().join(name);
    let config = format!(
        "{CONFIG}
[tls]
certificate = {:?}
key = {:?}
client_ca = {:?}
[tls.tenants]
\"dns:engine.internal\" = [\"acme\"]
",
        path("server.pem"),
        path("server.key"),
        path("ca.pem")
    );
    let server = Server::start(folder.path(), &config);
    let folder = folder.path().to_str().expect("a path in UTF-8");
    server.check("check_tls.py", &[folder, "engine", "stranger"]);
    assert_eq!(server.terminate(), Some(0), "a graceful end");
}

#[test]
fn token_keys_rotate_while_the_server_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), CONFIG);
    let path = |name: &str| folder.path().join(name).display().to_string();
    server.check("check_keys.py", &[&path("vivarium.toml"), &path("state")]);
    assert_eq!(server.terminate(), Some(0), "a graceful end");
}

#[test]
fn functions_bring_packages_files_and_an_environment() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let environment = folder.path().join("environment.toml");
    std::fs::write(
        &environment,
        "[udf_env]\n\"tests.secret\" = { API_KEY = \"hidden-1\", MODE = \"fast\" }\n",
    )
    .expect("a file of environments");
    let port = free_port();
    let config = format!(
        "{CONFIG}
[packages]
resolver = {:?}
[imports]
schemes = [\"http\"]
allowed_hosts = [\"127.0.0.1:{port}\"]
allow_private_addresses = true
revalidate_s = 1
[environment]
file = {environment:?}
",
        uv()
    );
    let path = folder.path().to_str().expect("a path in UTF-8");
    let port = port.to_string();
    for phase in ["first", "again"] {
        let server = Server::start_with_cache(folder.path(), &config, &folder.path().join("cache"));
        server.check("check_dependencies.py", &[phase, path, &port]);
        assert_eq!(server.terminate(), Some(0), "a graceful end");
    }
}

/// Some of `host/packages/popular.toml`: with dependencies, with data files, in our own pure-Python build, without
/// a module of the standard library that the sandbox lacks, and without a pure-Python wheel.
#[test]
fn compat_packages_that_authors_reach_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = format!("{CONFIG}\n[packages]\nresolver = {:?}\n", uv());
    let server = Server::start(folder.path(), &config);
    let packages = [
        "certifi==2026.10.18",
        "jinja2==3.1.6",
        "lxml==6.0.0",
        "msgpack",
        "phonenumbers==9.0.43",
        "python-slugify==9.2.0",
        "pytz==2026.6",
        "pyyaml",
        "simpleeval==1.0.7",
        "sortedcontainers==2.4.0",
    ];
    server.check("check_packages.py", &packages);
    assert_eq!(server.terminate(), Some(0), "a graceful end");
}
