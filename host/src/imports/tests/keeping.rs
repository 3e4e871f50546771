//! What is kept, for how long, and for whom.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Answers with a version and its ETag, or says that it did not change.
fn versions(version: &'static AtomicUsize) -> Server {
    Server::start(move |head, stream| {
        let etag = format!("\"{}\"", version.load(Ordering::SeqCst));
        let headers = format!("ETag: {etag}\r\nLast-Modified: Sat, 21 Nov 2026 10:00:00 GMT\r\n");
        let bytes = if head.contains(&format!("if-none-match: {etag}")) {
            format!("HTTP/1.1 304 Not Modified\r\n{headers}\r\n").into_bytes()
        } else {
            response("200 OK", &headers, format!("version {etag}").as_bytes())
        };
        drop(stream.write_all(&bytes));
    })
}

#[test]
fn with_a_tag_content_is_fetched_once() {
    let server = Server::with(response("200 OK", "ETag: \"v\"\r\n", b"12345"));
    let fixture = Fixture::for_server(&server);
    for tag in ["5", "\"v\"", "opaque"] {
        let wanted = |query: &str| [tagged("@s/a.py", &format!("{}&t={query}", server.url("a.py")), tag)];
        let before = server.requests().len();
        assert!(!fixture.imports.is_fresh("tenant", &wanted("1")));
        fixture.fetch(&wanted("1")).unwrap();
        assert!(fixture.imports.is_fresh("tenant", &wanted("2")));
        let found = fixture.fetch(&wanted("2")).unwrap();
        assert_eq!((contents(&found), found[0].revalidated), (vec![("a.py", "12345")], false));
        assert_eq!(server.requests().len(), before + 1, "{tag}");
    }
    let fixture = fixture.restart(&config(&[server.port()]));
    let wanted = [tagged("@s/a.py", &server.url("a.py"), "5")];
    assert!(fixture.imports.is_fresh("tenant", &wanted) && !fixture.imports.is_fresh("other", &wanted));
    fixture.fetch(&wanted).unwrap();
    assert_eq!(server.requests().len(), 3);
    fixture.imports.fetch("other", &wanted).unwrap();
    assert_eq!(server.requests().len(), 4, "nobody gets what another tenant fetched");
}

#[test]
fn without_a_tag_the_server_is_asked_whether_it_changed() {
    static VERSION: AtomicUsize = AtomicUsize::new(1);
    let server = versions(&VERSION);
    let fixture = Fixture::for_server(&server);
    let wanted = [import("@s/a.py", &server.url("a.py"))];
    let now = || {
        let found = fixture.fetch(&wanted).unwrap();
        (str::from_utf8(&found[0].content).unwrap().to_owned(), found[0].revalidated)
    };
    assert_eq!(now(), ("version \"1\"".to_owned(), false));
    assert!(!fixture.imports.is_fresh("tenant", &wanted));
    assert_eq!(now(), ("version \"1\"".to_owned(), true));
    VERSION.store(2, Ordering::SeqCst);
    assert_eq!(now(), ("version \"2\"".to_owned(), false));
    assert_eq!(now(), ("version \"2\"".to_owned(), true));
    let sent = server.requests();
    assert!(!sent[0].contains("if-none-match") && !sent[0].contains("if-modified-since"), "{}", sent[0]);
    assert!(
        sent[1].contains("if-none-match: \"1\"\r\nif-modified-since: Sat, 21 Nov 2026 10:00:00 GMT"),
        "{}",
        sent[1]
    );
    assert!(sent[3].contains("if-none-match: \"2\""), "{}", sent[3]);
    fixture.fetch(&[import("@s/a.py", &server.url("other"))]).unwrap();
    assert!(!server.requests()[4].contains("if-none-match"), "another path is another file");
}

#[test]
fn fresh_content_is_used_without_asking() {
    static VERSION: AtomicUsize = AtomicUsize::new(1);
    let server = versions(&VERSION);
    let fixture = Fixture::new(&ImportsConfig { revalidate_s: 60, ..config(&[server.port()]) });
    let wanted = [import("@s/a.py", &server.url("a.py"))];
    fixture.fetch(&wanted).unwrap();
    assert!(fixture.imports.is_fresh("tenant", &wanted));
    assert!(!fixture.fetch(&wanted).unwrap()[0].revalidated);
    assert_eq!(server.requests().len(), 1);
    let fixture = fixture.restart(&ImportsConfig { revalidate_s: 60, ..config(&[server.port()]) });
    assert!(!fixture.imports.is_fresh("tenant", &wanted), "nobody knows how long the restart took");
    assert!(fixture.fetch(&wanted).unwrap()[0].revalidated);
    assert!(fixture.imports.is_fresh("tenant", &wanted));
}

#[test]
fn a_server_that_fails_later_is_an_error_unless_old_content_is_wanted() {
    static STATUS: AtomicUsize = AtomicUsize::new(200);
    let server = Server::start(|_, stream| {
        let status = STATUS.load(Ordering::SeqCst);
        drop(stream.write_all(&response(&format!("{status} X"), "ETag: \"1\"\r\n", b"old")));
    });
    let strict = config(&[server.port()]);
    let lenient = ImportsConfig { stale_if_error: true, ..strict.clone() };
    let wanted = import("@s/a.py", &server.url("a.py"));
    let fixture = Fixture::new(&strict);
    fixture.fetch(std::slice::from_ref(&wanted)).unwrap();
    STATUS.store(503, Ordering::SeqCst);
    assert_eq!(fixture.refusal(wanted.clone()), "import @s/a.py: host store.test answered with status 503");
    let fixture = fixture.restart(&lenient);
    let found = fixture.fetch(std::slice::from_ref(&wanted)).unwrap();
    assert_eq!((contents(&found), found[0].revalidated), (vec![("a.py", "old")], false));
    // Gone, or forbidden now: the server did not fail, it answered.
    STATUS.store(403, Ordering::SeqCst);
    assert_eq!(fixture.refusal(wanted), "import @s/a.py: host store.test answered with status 403");
    let never = import("@s/b.py", &server.url("b.py"));
    STATUS.store(503, Ordering::SeqCst);
    assert_eq!(fixture.refusal(never), "import @s/b.py: host store.test answered with status 503");
}

#[test]
fn policy_holds_for_kept_content_too() {
    let server = Server::with(response("200 OK", "", b"12345"));
    let open = config(&[server.port()]);
    let wanted = tagged("@s/a.py", &server.url("a.py"), "5");
    let fixture = Fixture::new(&open);
    fixture.fetch(std::slice::from_ref(&wanted)).unwrap();
    let fixture = fixture.restart(&ImportsConfig { import_bytes: 4, ..open.clone() });
    assert_eq!(
        fixture.refusal(wanted.clone()),
        "import @s/a.py: it is 5 bytes or more; limit imports.import_bytes is 4"
    );
    let fixture = fixture.restart(&ImportsConfig {
        allowed_hosts: vec![HostRule::try_from("b.test".to_owned()).unwrap()],
        ..open
    });
    let refusal = fixture.refusal(wanted).replace(&server.port().to_string(), "PORT");
    assert_eq!(refusal, "import @s/a.py: host store.test:PORT is not allowed (imports.allowed_hosts)");
}
