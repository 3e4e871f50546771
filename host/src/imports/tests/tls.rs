//! HTTPS servers must prove who they are.

use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// Certificate of an authority that only these tests know.
const AUTHORITY: &str = concat!(
    "308201993082013fa00302010202140bec604291e0c7decd5ce03bfca174178e25ba12300a06082a8648ce3d04030230",
    "193117301506035504030c0e5465737420617574686f726974793020170d3236313132313134323830315a180f323132",
    "36313032383134323830315a30193117301506035504030c0e5465737420617574686f726974793059301306072a8648",
    "ce3d020106082a8648ce3d0301070342000479efbdb20ed462262b82ca7c843922a4538f6aedf377dff36cab3b5683e9",
    "2e5bd75f36033c0350615b82677256fde9bb47b9d829f9b888a0ef14e0646cc58515a3633061301d0603551d0e041604",
    "14f4acf745776b47cb1b6c1c1bdf9b4b0116bd9580301f0603551d23041830168014f4acf745776b47cb1b6c1c1bdf9b",
    "4b0116bd9580300f0603551d130101ff040530030101ff300e0603551d0f0101ff040403020204300a06082a8648ce3d",
    "04030203480030450220158e124c989a742823255c910987e3e2fc6026addd97ac561a59719c77e24f27022100ac944f",
    "0f6b586de0e1ef5b10afb53b97759d85222fba60f201df7faca94d917c",
);

/// Certificate of `store.test` from that authority, valid for a hundred years.
const CERTIFICATE: &str = concat!(
    "308201ac30820151a0030201020214164cf0f16f9c9405c8d4ce66e88094b98ec67276300a06082a8648ce3d04030230",
    "193117301506035504030c0e5465737420617574686f726974793020170d3236313132313134323830315a180f323132",
    "36313032383134323830315a30153113301106035504030c0a73746f72652e746573743059301306072a8648ce3d0201",
    "06082a8648ce3d030107034200040ce2d8470d6755ddfc35db027d4684cbad84d2d7ca960210e34bec9c363f57beea79",
    "9f81afa3ac3257ae7a39c0b651d8e1e202aad8f0b066b9fdc23113ea62a8a379307730150603551d11040e300c820a73",
    "746f72652e7465737430090603551d130402300030130603551d25040c300a06082b06010505070301301d0603551d0e",
    "0416041453683d01a96441e22dad992c4d4ca023d766de62301f0603551d23041830168014f4acf745776b47cb1b6c1c",
    "1bdf9b4b0116bd9580300a06082a8648ce3d0403020349003046022100cbcac02ee2835393569cf0ee74f49a50545dbd",
    "b9e8a82a6bddeb16152a644688022100ce1081ce97d5049e0e3da8a1ecbfc463926ff86049096783c3ce07ac92f73c93",
);

/// Its key.
const KEY: &str = concat!(
    "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b020101042097a515792f7c37a222165db7",
    "89c355f4ebd02310fc6d0091fd832b6e79fe7de4a144034200040ce2d8470d6755ddfc35db027d4684cbad84d2d7ca96",
    "0210e34bec9c363f57beea799f81afa3ac3257ae7a39c0b651d8e1e202aad8f0b066b9fdc23113ea62a8",
);

/// Serves the same response by TLS to whoever comes.
fn serve(body: &'static [u8]) -> u16 {
    let certificate = CertificateDer::from(hex::decode(CERTIFICATE).unwrap());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(hex::decode(KEY).unwrap()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let settings = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let settings = Arc::new(settings);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(Arc::clone(&settings)).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            // A client that refuses the certificate goes away.
            if std::io::Read::read(&mut stream, &mut [0; 4096]).is_ok() {
                drop(stream.write_all(&response("200 OK", "", body)));
                stream.conn.send_close_notify();
                drop(stream.flush());
            }
        }
    });
    port
}

#[test]
fn attack_35_servers_that_cannot_prove_who_they_are_are_refused() {
    let port = serve(b"signed");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    let authority = STANDARD.encode(hex::decode(AUTHORITY).unwrap());
    std::fs::write(&path, format!("-----BEGIN CERTIFICATE-----\n{authority}\n-----END CERTIFICATE-----\n"))
        .unwrap();
    let known = ImportsConfig { ca_file: Some(path), ..config(&[port]) };
    let url = |host: &str| format!("https://{host}:{port}/a?X-Signature=s3cret");

    let found = Fixture::new(&known).fetch(&[import("a", &url("store.test"))]).unwrap();
    assert_eq!(contents(&found), [("a", "signed")]);
    let refusal = Fixture::new(&known).refusal(import("a", &url("other.test")));
    assert!(refusal.starts_with("import a: host other.test: the TLS connection failed: "), "{refusal}");
    assert!(refusal.contains("not valid for name"), "{refusal}");
    let refusal = Fixture::new(&config(&[port])).refusal(import("a", &url("store.test")));
    let expected =
        "import a: host store.test: the TLS connection failed: invalid peer certificate: UnknownIssuer";
    assert_eq!(refusal, expected);
}
