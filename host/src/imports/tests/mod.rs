//! Imports from a server in the same process, good ones and bad ones.

mod attacks;
mod keeping;
mod server;
mod tls;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use server::{Names, Server, response};

/// Imports with their own cache and names.
struct Fixture {
    imports: Imports,
    names: Arc<Names>,
    directory: tempfile::TempDir,
}

/// What tests need: plain HTTP, any port of hosts below `test`, and this computer.
fn config(ports: &[u16]) -> ImportsConfig {
    let rule = |host: &str| HostRule::try_from(host.to_owned()).unwrap();
    ImportsConfig {
        schemes: vec![Scheme::Http, Scheme::Https],
        allowed_hosts: vec![rule("*.test"), rule("127.0.0.1"), rule("127.0.0.2")],
        ports: ports.to_vec(),
        allowed_networks: vec!["127.0.0.1/32".parse().unwrap()],
        revalidate_s: 0,
        ..ImportsConfig::default()
    }
}

impl Fixture {
    fn new(config: &ImportsConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let names = Arc::new(Names::default());
        let imports = Imports::with_lookup(config, directory.path(), Arc::<Names>::clone(&names)).unwrap();
        Self { imports, names, directory }
    }

    fn for_server(server: &Server) -> Self {
        Self::new(&config(&[server.port()]))
    }

    /// The same after a restart.
    fn restart(self, config: &ImportsConfig) -> Self {
        let imports =
            Imports::with_lookup(config, self.directory.path(), Arc::<Names>::clone(&self.names)).unwrap();
        Self { imports, ..self }
    }

    fn fetch(&self, imports: &[Import]) -> Result<Vec<ImportedFile>, ImportError> {
        self.imports.fetch("tenant", imports)
    }

    /// The text of the refusal, in which no secret may be.
    fn refusal(&self, import: Import) -> String {
        match self.fetch(&[import]) {
            Ok(files) => panic!("accepted: {files:?}"),
            Err(error) => {
                let text = error.to_string();
                assert!(!text.contains("s3cret") && !format!("{error:?}").contains("s3cret"), "{text}");
                text
            }
        }
    }
}

/// The refusal of an import `a` whose host has such an address.
fn unreachable(host: &str, kind: &str) -> String {
    format!("import a: host {host} has {kind}, which imports must not reach (imports.allowed_networks)")
}

fn import(location: &str, url: &str) -> Import {
    Import { location: location.to_owned(), url: url.to_owned(), tag: None, headers: BTreeMap::new() }
}

fn tagged(location: &str, url: &str, tag: &str) -> Import {
    Import { tag: Some(tag.to_owned()), ..import(location, url) }
}

fn contents(files: &[ImportedFile]) -> Vec<(&str, &str)> {
    files.iter().map(|file| (file.name.as_str(), str::from_utf8(&file.content).unwrap())).collect()
}

#[test]
fn files_are_fetched_with_their_headers() {
    let server = Server::with(response("200 OK", "", b"VALUE = 1\n"));
    let fixture = Fixture::for_server(&server);
    let mut wanted = import("@stage/lib/helper.py", &server.url("bucket/helper.py"));
    wanted.headers.insert("x-amz-security-token".to_owned(), "s3cret token".to_owned());
    wanted.headers.insert("Host".to_owned(), format!("store.test:{}", server.port()));
    let found = fixture.fetch(&[wanted.clone()]).unwrap();
    assert_eq!(contents(&found), [("helper.py", "VALUE = 1\n")]);
    assert_eq!(found[0].sha256[..], Sha256::digest(b"VALUE = 1\n")[..]);
    let head = server.requests().remove(0);
    let mut lines: Vec<_> = head.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    let host = format!("host: store.test:{}", server.port());
    assert_eq!(
        lines.iter().map(|line| line.replace(&format!("{}", server.port()), "PORT")).collect::<Vec<_>>(),
        [
            "GET /bucket/helper.py?X-Signature=s3cret HTTP/1.1",
            "accept-encoding: identity",
            "accept: */*",
            &host.replace(&server.port().to_string(), "PORT"),
            "user-agent: vivarium/0.1.0",
            "x-amz-security-token: s3cret token",
        ]
    );
    let debug = format!("{wanted:?} {:?}", fixture.imports);
    assert!(debug.contains("bucket/helper.py") && !debug.contains("s3cret"), "{debug}");
}

#[test]
fn compat_names_are_flattened_and_the_later_wins() {
    let server = Server::start(|head, stream| {
        let path = head.split(['/', '?']).nth(1).unwrap();
        drop(stream.write_all(&response("200 OK", "", path.as_bytes())));
    });
    let fixture = Fixture::for_server(&server);
    let wanted = [
        import("@a/one/x.py", &server.url("1")),
        import("@a/data.csv", &server.url("2")),
        import("@b/two/x.py", &server.url("3")),
        import(" @b/dir/ ", &server.url("4")),
        import("/", &server.url("5")),
    ];
    let found = fixture.fetch(&wanted).unwrap();
    assert_eq!(contents(&found), [("data.csv", "2"), ("x.py", "3"), ("dir", "4"), ("import_4", "5")]);
    assert_eq!(server.requests().len(), 4, "what is replaced is not fetched");
    assert_eq!(fixture.fetch(&[]), Ok(Vec::new()));
}

#[test]
fn redirects_are_followed_without_the_headers_for_another_origin() {
    let other = Server::with(response("200 OK", "", b"found"));
    let place = format!("http://other.test:{}/b", other.port());
    let server = Server::start(move |head, stream| {
        let place = if head.starts_with("GET /a") { "/second" } else { &place };
        let headers = format!("Location: {place}\r\n");
        drop(stream.write_all(&response("307 Temporary Redirect", &headers, b"")));
    });
    let fixture = Fixture::new(&config(&[server.port(), other.port()]));
    let mut wanted = import("a.py", &server.url("a"));
    wanted.headers.insert("x-token".to_owned(), "s3cret".to_owned());
    assert_eq!(contents(&fixture.fetch(&[wanted]).unwrap()), [("a.py", "found")]);
    let sent = server.requests();
    assert!(sent.len() == 2 && sent.iter().all(|head| head.contains("x-token: s3cret")), "{sent:?}");
    assert!(!other.requests()[0].contains("s3cret"), "{:?}", other.requests());
}

#[test]
fn several_that_want_the_same_ask_once() {
    let server = Server::start(|_, stream| {
        std::thread::sleep(Duration::from_millis(300));
        drop(stream.write_all(&response("200 OK", "", b"x")));
    });
    let fixture = Fixture::for_server(&server);
    let wanted = tagged("a.py", &server.url("a"), "v1");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(fixture.fetch(std::slice::from_ref(&wanted)).is_ok()));
        }
    });
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn defaults_are_safe() {
    let config = ImportsConfig::default();
    assert_eq!((&config.schemes[..], config.allow_private_addresses), (&[Scheme::Https][..], false));
    assert!(config.allowed_networks.is_empty());
    let text = toml::to_string(&config).unwrap();
    assert_eq!(toml::from_str::<ImportsConfig>(&text).unwrap(), config);
    let directory = tempfile::tempdir().unwrap();
    let imports = Imports::new(&config, directory.path()).unwrap();
    for (url, expected) in [
        ("http://example.com/a", "import a: the URL's scheme `http` is not allowed (imports.schemes: https)"),
        ("https://localhost/a", &unreachable("localhost", "a loopback address")),
        ("https://127.0.0.1/a", &unreachable("127.0.0.1", "a loopback address")),
        (
            "https://169.254.169.254/latest/meta-data",
            &unreachable("169.254.169.254", "the address of a cloud's metadata service"),
        ),
        ("https://[::1]/a", &unreachable("::1", "a loopback address")),
        (
            "https://[::ffff:10.0.0.1]/a",
            &unreachable("::ffff:10.0.0.1", "an IPv4 address embedded in an IPv6 one"),
        ),
        ("https://10.1.2.3/a", &unreachable("10.1.2.3", "a private address")),
    ] {
        assert_eq!(imports.fetch("t", &[import("a", url)]).unwrap_err().to_string(), expected);
    }
}
