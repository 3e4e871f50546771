//! Packages from an index: a good one, and some that are not.

use std::fs;
use std::num::NonZeroU64;

use vivarium_host::packages::{Collected, PackagesConfig};
use vivarium_tests::uv;

use super::index::{Answer, Index};
use super::wheels::Wheel;
use super::{Place, chosen, collect, hex};

/// A wheel on an index, with the fragment `#sha256=` of `hashed`.
fn published(wheel: &Wheel, hashed: Option<&[u8]>, content: Answer) -> Index {
    let index = Index::start();
    let fragment = hashed.map_or_else(String::new, |bytes| format!("#sha256={}", hex(bytes)));
    index.publish("a", &wheel.file_name(), &fragment, content);
    index
}

fn from_index(place: &Place, index: &Index, change: fn(&mut PackagesConfig)) -> Result<Collected, String> {
    let mut config =
        PackagesConfig { resolver: uv(), index_url: Some(index.url()), ..PackagesConfig::default() };
    config.resolver_environment.clear();
    change(&mut config);
    collect(&place.packages(&config), &["a"]).map_err(|error| error.to_string())
}

#[test]
fn an_index_is_asked_once_and_with_its_password() {
    let place = Place::new(&[]);
    let wheel = Wheel::new("a", "1").module("");
    let index = published(&wheel, Some(&wheel.bytes()), Answer::Bytes(wheel.bytes()));
    let config = PackagesConfig {
        resolver: uv(),
        index_url: Some(index.url().replace("http://", "http://user:p%40ss@")),
        ..PackagesConfig::default()
    };
    let packages = place.packages(&config);
    assert_eq!(chosen(&collect(&packages, &["a"]).expect("packages")), ["a 1"]);
    let requests = index.requests();
    // `user:p@ss`
    assert!(
        requests.iter().any(|line| line == "GET /files/a-1-py3-none-any.whl Basic dXNlcjpwQHNz"),
        "{requests:?}"
    );
    collect(&packages, &["a"]).expect("packages");
    assert_eq!(index.requests(), requests);
}

#[test]
fn attack_an_index_that_serves_something_else() {
    let wheel = Wheel::new("a", "1").module("");
    let other = Wheel::new("a", "1").module("import os").bytes();
    let index = published(&wheel, Some(&wheel.bytes()), Answer::Bytes(other.clone()));
    let error = from_index(&Place::new(&[]), &index, |_| ()).expect_err("another hash");
    let expected =
        format!("the wheel of a 1 has the SHA-256 {}; {} was published", hex(&other), hex(&wheel.bytes()));
    assert_eq!(error, expected);
}

#[test]
fn attack_an_index_without_hashes() {
    let wheel = Wheel::new("a", "1").module("");
    let index = published(&wheel, None, Answer::Bytes(wheel.bytes()));
    // The resolver takes the hash of what it saw, and that one holds.
    let place = Place::new(&[]);
    from_index(&place, &index, |_| ()).expect("packages");
    fs::remove_dir_all(place.cache().join("packages/wheels")).expect("wheels go");
    let other = Wheel::new("a", "1").module("x = 2").bytes();
    index.publish("a", &wheel.file_name(), "", Answer::Bytes(other.clone()));
    assert_eq!(
        from_index(&place, &index, |_| ()).expect_err("another hash"),
        format!("the wheel of a 1 has the SHA-256 {}; {} was published", hex(&other), hex(&wheel.bytes()))
    );
}

#[test]
fn attack_an_index_that_fails() {
    let wheel = Wheel::new("a", "1").module("");
    let hash = wheel.bytes();
    let index = published(&wheel, Some(&hash), Answer::Bytes(hash.clone()));
    // The resolver has seen it once; then the index changes its mind.
    let place = Place::new(&[]);
    from_index(&place, &index, |_| ()).expect("packages");
    let path = format!("/files/{}", wheel.file_name());
    let without_wheels = || {
        for entry in fs::read_dir(place.cache().join("packages/wheels")).expect("the cache").flatten() {
            fs::remove_file(entry.path()).expect("a wheel goes");
        }
    };
    let cases = [
        (Answer::Html(String::new()), "the wheel of a 1 has the SHA-256 e3b0c442"),
        (
            Answer::Drip(100_000),
            "the wheel of a 1 cannot be downloaded: it took longer than packages.download_timeout_s, 3 s",
        ),
        (Answer::Drip(100_000_000), "the wheel of a 1 has 100000000 bytes; limit packages.max_wheel_bytes"),
        (Answer::Redirect(path.clone()), "the wheel of a 1 cannot be downloaded: more than 5 redirects"),
    ];
    for (answer, expected) in cases {
        without_wheels();
        index.set(&path, answer);
        let error = from_index(&place, &index, |config| {
            config.download_timeout_s = NonZeroU64::new(3).expect("not zero");
        });
        let error = error.expect_err(expected);
        assert!(error.starts_with(expected), "{error}\n{expected}");
    }
    let error = from_index(&Place::new(&[]), &Index::start(), |_| ()).expect_err("nothing there");
    assert!(error.starts_with("no versions of packages meet the requirements a: "), "{error}");

    let config = PackagesConfig {
        resolver: uv(),
        index_url: Some("http://127.0.0.1:9/simple".to_owned()),
        resolver_environment: Vec::new(),
        ..PackagesConfig::default()
    };
    let error = collect(&Place::new(&[]).packages(&config), &["a"]).expect_err("nobody there");
    assert_eq!(
        error.to_string(),
        "the server's package index cannot be asked now; the server's log says why"
    );
}
