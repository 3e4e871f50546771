//! Case 35 of the attack catalogue, and hostile archives as imports.

use std::net::TcpListener;
use std::num::NonZeroU64;
use std::time::Instant;

use super::*;

/// The text of a refusal by a server that answers with these bytes.
fn refused_by(answer: impl Into<Vec<u8>>) -> String {
    let server = Server::with(answer);
    Fixture::for_server(&server).refusal(import("a", &server.url("a")))
}

#[test]
fn attack_35_answers_that_are_not_the_file_are_refused() {
    let encoded =
        "import a: host store.test sends the file in an encoding (Content-Encoding), which is not accepted";
    let cases = [
        (
            response("404 Not Found", "", b"no X-Signature=s3cret"),
            "import a: host store.test answered with status 404",
        ),
        (response("403 Forbidden", "", b""), "import a: host store.test answered with status 403"),
        (response("500 Oops", "", b""), "import a: host store.test answered with status 500"),
        (
            response("206 Partial Content", "Content-Range: bytes 0-0/9\r\n", b"x"),
            "import a: host store.test answered with status 206",
        ),
        (response("204 No Content", "", b""), "import a: host store.test answered with status 204"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec(), "import a: host store.test answered with status 304"),
        (response("200 OK", "Content-Encoding: gzip\r\n", b"x"), encoded),
        (response("200 OK", "Content-Encoding: identity, br\r\n", b"x"), encoded),
        (b"SSH-2.0-OpenSSH_9\r\n".to_vec(), "import a: host store.test: its answer is not HTTP"),
        (
            b"".to_vec(),
            "import a: host store.test closed the connection after 0 bytes, before the end of the file",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec(),
            "import a: host store.test closed the connection after 4 bytes, before the end of the file",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n".to_vec(),
            "import a: host store.test closed the connection after 4 bytes, before the end of the file",
        ),
        (
            response("200 OK", &format!("X: {}\r\n", "x".repeat(40_000)), b""),
            "import a: host store.test: its answer has too many headers",
        ),
    ];
    for (answer, expected) in cases {
        assert_eq!(refused_by(answer), expected);
    }
}

#[test]
fn attack_35_the_size_is_bounded_whatever_is_announced() {
    let limited =
        |server: &Server| Fixture::new(&ImportsConfig { import_bytes: 100_000, ..config(&[server.port()]) });
    let announced = Server::start(|_, stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"));
        std::thread::sleep(Duration::from_secs(5));
    });
    let refusal = limited(&announced).refusal(import("a", &announced.url("a")));
    assert_eq!(refusal, "import a: it is 99999999999 bytes or more; limit imports.import_bytes is 100000");

    for head in ["Transfer-Encoding: chunked\r\n", ""] {
        let endless = Server::start(move |_, stream| {
            drop(write!(stream, "HTTP/1.1 200 OK\r\n{head}\r\n"));
            let piece = [if head.is_empty() { "" } else { "400\r\n" }, &"x".repeat(1024), "\r\n"].concat();
            while stream.write_all(piece.as_bytes()).is_ok() {}
        });
        let refusal = limited(&endless).refusal(import("a", &endless.url("a")));
        assert!(refusal.ends_with("bytes or more; limit imports.import_bytes is 100000"), "{refusal}");
    }

    // What follows the announced length is not the file's.
    let short = Server::with(&b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef"[..]);
    assert_eq!(contents(&limited(&short).fetch(&[import("a", &short.url("a"))]).unwrap()), [("a", "abc")]);
}

#[test]
fn attack_35_slow_servers_cost_bounded_time() {
    let started = Instant::now();
    let silent = Server::start(|_, _| std::thread::sleep(Duration::from_secs(20)));
    let headers = Server::start(|_, stream| {
        for byte in b"HTTP/1.1 200 OK\r\nX: ".iter().chain(&[b'x'; 500]) {
            drop(stream.write_all(&[*byte]));
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let drip = Server::start(|_, stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"));
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let stalls = Server::start(|_, stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nx"));
        std::thread::sleep(Duration::from_secs(20));
    });
    let redirects = Server::start(|head, stream| {
        std::thread::sleep(Duration::from_millis(500));
        let headers = format!("Location: /x{}\r\n", head.len());
        drop(stream.write_all(&response("302 Found", &headers, b"")));
    });
    let idle =
        "import a: host store.test: waiting for data took more than 3 s (limit imports.idle_timeout_s)";
    let total = "import a: host store.test: the import took more than 8 s (limit imports.total_timeout_s)";
    let cases = [(&silent, idle), (&headers, total), (&drip, total), (&stalls, idle), (&redirects, total)];
    std::thread::scope(|scope| {
        for (server, expected) in cases {
            scope.spawn(move || {
                let config = ImportsConfig {
                    max_redirects: 100,
                    idle_timeout_s: NonZeroU64::new(3).unwrap(),
                    total_timeout_s: NonZeroU64::new(8).unwrap(),
                    ..config(&[server.port()])
                };
                assert_eq!(Fixture::new(&config).refusal(import("a", &server.url("a"))), expected);
            });
        }
    });
    assert!(started.elapsed() < Duration::from_secs(18), "{:?}", started.elapsed());
}

#[test]
fn attack_35_redirects_are_held_to_the_same_policy() {
    let redirect = |place: &str| response("302 Found", &format!("Location: {place}\r\n"), b"");
    let elsewhere = "import a: host store.test redirects to a place that cannot be used: ";
    let allowed = "is not allowed (imports.schemes: http, https)";
    let scheme = |name| format!("{elsewhere}the URL's scheme `{name}` {allowed}");
    let cases = [
        ("file:///etc/passwd", scheme("file")),
        ("gopher://other.test/", scheme("gopher")),
        (
            "http://evil.example/?s3cret",
            format!("{elsewhere}host evil.example:80 is not allowed (imports.allowed_hosts)"),
        ),
        (
            "http://other.test:22/",
            format!("{elsewhere}port 22 is not allowed (imports.ports, imports.allowed_hosts)"),
        ),
        ("http://user:s3cret@other.test/", format!("{elsewhere}the URL contains a user name or password")),
        ("http://private.test:PORT/", unreachable("private.test", "a private address")),
        ("http://127.0.0.2:PORT/", unreachable("127.0.0.2", "a loopback address")),
        ("/again", "import a: more than 3 redirects (limit imports.max_redirects)".to_owned()),
    ];
    for (place, expected) in cases {
        let server = Server::start(move |head, stream| {
            let port = head.split("store.test:").nth(1).unwrap().split('\r').next().unwrap();
            drop(stream.write_all(&redirect(&place.replace("PORT", port))));
        });
        let fixture = Fixture::for_server(&server);
        fixture.names.answer("private.test", &[&["10.0.0.1"]]);
        assert_eq!(fixture.refusal(import("a", &server.url("a"))), expected);
    }
    assert_eq!(
        refused_by(response("302 Found", "", b"")),
        "import a: host store.test redirects without saying where to"
    );
}

#[test]
fn attack_35_a_name_that_changes_its_mind_gains_nothing() {
    // The address that was checked is the one that is connected to: there is one lookup.
    let server = Server::with(response("200 OK", "", b"good"));
    let fixture = Fixture::for_server(&server);
    fixture.names.answer("store.test", &[&["127.0.0.1"], &["127.0.0.2"]]);
    assert_eq!(contents(&fixture.fetch(&[import("a", &server.url("a"))]).unwrap()), [("a", "good")]);
    assert_eq!(fixture.names.lookups(), ["store.test"]);
    // At its next lookup the name leads inside.
    let loopback = unreachable("store.test", "a loopback address");
    assert_eq!(fixture.refusal(import("a", &server.url("a"))), loopback);

    // A redirect to the same name is another lookup.
    let inside =
        Server::at("127.0.0.2", |_, stream| drop(stream.write_all(&response("200 OK", "", b"inside"))));
    let place = format!("Location: http://store.test:{}/\r\n", inside.port());
    let server = Server::with(response("302 Found", &place, b""));
    let fixture = Fixture::new(&config(&[server.port(), inside.port()]));
    fixture.names.answer("store.test", &[&["127.0.0.1"], &["127.0.0.2"]]);
    assert_eq!(fixture.refusal(import("a", &server.url("a"))), loopback);
    assert_eq!((fixture.names.lookups().len(), inside.requests().len()), (2, 0));

    // Of several addresses only the allowed ones are tried.
    let server = Server::with(response("200 OK", "", b"good"));
    let fixture = Fixture::for_server(&server);
    fixture.names.answer("store.test", &[&["127.0.0.2", "10.0.0.1", "::1", "127.0.0.1"]]);
    assert_eq!(contents(&fixture.fetch(&[import("a", &server.url("a"))]).unwrap()), [("a", "good")]);
    fixture.names.answer("none.test", &[&[]]);
    let nowhere = format!("http://none.test:{}/", server.port());
    assert_eq!(fixture.refusal(import("a", &nowhere)), "import a: host none.test cannot be resolved");
}

#[test]
fn attack_35_connections_that_fail_are_named() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let fixture = Fixture::new(&config(&[closed]));
    let url = |scheme: &str, port| format!("{scheme}://store.test:{port}/a?X-Signature=s3cret");
    assert_eq!(
        fixture.refusal(import("a", &url("http", closed))),
        "import a: host store.test: it does not accept connections"
    );
    let plain = Server::with(response("400 Bad Request", "", b""));
    let fixture = Fixture::for_server(&plain);
    let refusal = fixture.refusal(import("a", &url("https", plain.port())));
    assert!(refusal.starts_with("import a: host store.test: the TLS connection failed: "), "{refusal}");
}

#[test]
fn attack_35_content_that_changed_is_refused() {
    let server = Server::with(response("200 OK", "ETag: \"v2\"\r\n", b"12345"));
    let fixture = Fixture::for_server(&server);
    let refusal = |tag| fixture.refusal(tagged("a", &server.url("a"), tag));
    assert_eq!(refusal("\"v1\""), "import a: it changed: its tag says ETag v1, the server sent v2");
    assert_eq!(refusal("6"), "import a: it changed: its tag says length 6 bytes, the server sent 5 bytes");
    assert!(!fixture.imports.is_fresh("tenant", &[tagged("a", &server.url("a"), "6")]), "it is not kept");
}

#[test]
fn attack_27_names_and_headers_that_cannot_be_used_are_refused() {
    let server = Server::with(response("200 OK", "", b"x"));
    let fixture = Fixture::for_server(&server);
    let url = server.url("a");
    let long = format!("@s/{}", "n".repeat(256));
    let cases = [
        ("@s/..", "import @s/..: its file name leads out of its directory by `..`"),
        ("@s/.", "import @s/.: its file name contains a part `.`"),
        ("@s/a\0.py", "import @s/a\\0.py: its file name contains a NUL byte"),
        ("@s/a\nb", "import @s/a\\nb: its file name contains a control character"),
        ("@s/a\\b", "import @s/a\\\\b: its file name contains a backslash"),
        ("@s/a\u{202e}b", "import @s/a\\u{202e}b: its file name contains an invisible character"),
        (
            &long,
            "import @s/nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…: its file name has a part of 256 bytes; 255 are allowed",
        ),
    ];
    for (location, expected) in cases {
        assert_eq!(fixture.refusal(import(location, &url)), expected);
    }
    let cases = [
        ("Host", "evil.test", "names another host than the URL"),
        ("Content-Length", "5", "cannot be set by an import"),
        ("Proxy-Authorization", "s3cret", "cannot be set by an import"),
        ("if-none-match", "*", "cannot be set by an import"),
        ("x-a", "s3cret\r\nx-b: c", "has a value that cannot be sent"),
        ("x a", "s3cret", "is no header name"),
    ];
    for (name, value, expected) in cases {
        let headers = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let refusal = fixture.refusal(Import { headers, ..import("a", &url) });
        assert_eq!(refusal, format!("import a: its header `{name}` {expected}"));
    }
    assert_eq!(fixture.refusal(import("a", "")), "import a: there is no URL");
    assert!(server.requests().is_empty());
}

#[test]
fn attack_31_hostile_archives_are_refused_by_the_name_of_the_import() {
    let server = Server::with(response("200 OK", "", b"PK\x03\x04 not an archive"));
    let fixture = Fixture::for_server(&server);
    for name in ["lib.zip", "lib.WHL", "lib.egg"] {
        assert_eq!(
            fixture.refusal(import(&format!("@s/{name}"), &server.url("a"))),
            format!(
                "import @s/{name}: the archive was refused: it is not a ZIP archive: it has no end record"
            )
        );
    }
    for name in ["lib.tar.gz", "lib.py", ".zip"] {
        assert!(fixture.fetch(&[import(name, &server.url("a"))]).is_ok(), "{name}");
    }
}

#[test]
fn limits_of_all_imports_are_named() {
    let server = Server::with(response("200 OK", "", b"12345"));
    let open = config(&[server.port()]);
    let cases = [
        (
            ImportsConfig { enabled: false, ..open.clone() },
            "imports are switched off on this server (imports.enabled)",
        ),
        (
            ImportsConfig { max_imports: 2, ..open.clone() },
            "the function has 3 imports; limit imports.max_imports is 2",
        ),
        (
            ImportsConfig { total_bytes: 14, ..open.clone() },
            "the imports are 15 bytes or more together; limit imports.total_bytes is 14",
        ),
        (
            ImportsConfig { import_bytes: 4, ..open },
            "import a: it is 5 bytes or more; limit imports.import_bytes is 4",
        ),
    ];
    for (config, expected) in cases {
        let wanted = ["a", "b", "c"].map(|name| import(name, &server.url(name)));
        assert_eq!(Fixture::new(&config).fetch(&wanted).unwrap_err().to_string(), expected);
    }
}

#[test]
fn certificates_that_cannot_be_used_are_named_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    let open = || {
        let config = ImportsConfig { ca_file: Some(path.clone()), ..ImportsConfig::default() };
        let error = Imports::new(&config, directory.path()).unwrap_err().to_string();
        error.replace(&directory.path().display().to_string(), "DIR")
    };
    assert_eq!(open(), "cannot use imports.ca_file DIR/ca.pem: No such file or directory (os error 2)");
    std::fs::write(&path, "nothing").unwrap();
    assert_eq!(open(), "cannot use imports.ca_file DIR/ca.pem: it contains no certificate");
}
