//! TLS on both services: certificates of servers and of clients, their replacement, and those who stall.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use vivarium_host::config::Config;
use vivarium_host::tls::ClientCertificates;

use crate::client::{Function, TestServer, apply, specification};

const ADD: &str = "def add(a, b): return a + b";

/// An authority and what it signed, in files.
struct Pki {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    authority: CertificateDer<'static>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
struct Identity {
    certificate: String,
    key: String,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        Self { folder, authority: authority.der().clone(), issuer: Issuer::new(params, key) }
    }

    fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    /// A client of that name.
    fn client(&self, name: &str) -> Identity {
        self.sign(|params| {
            params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn install(&self, identity: &Identity) {
        std::fs::write(self.path("server.pem"), &identity.certificate).unwrap();
        write_key(&self.path("server.key"), &identity.key);
    }

    /// Turns TLS on, with a fresh certificate.
    fn configure(&self, config: &mut Config) {
        self.install(&self.sign(|_| ()));
        config.tls.certificate = Some(self.path("server.pem"));
        config.tls.key = Some(self.path("server.key"));
    }

    fn connector(&self, identity: Option<&Identity>) -> Connector {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Connector { tls: TlsConnector::from(Arc::new(config)), seen: Arc::default() }
    }
}

fn write_key(path: &Path, pem: &str) {
    std::fs::write(path, pem).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Connects over TLS, and keeps the last certificate that a server showed.
#[derive(Clone)]
struct Connector {
    tls: TlsConnector,
    seen: Arc<Mutex<Option<CertificateDer<'static>>>>,
}

type Connecting<T> = Pin<Box<dyn Future<Output = std::io::Result<T>> + Send>>;

impl tonic::codegen::Service<tonic::codegen::http::Uri> for Connector {
    type Response = TokioIo<tokio_rustls::client::TlsStream<TcpStream>>;
    type Error = std::io::Error;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: tonic::codegen::http::Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let stream = TcpStream::connect(uri.authority().unwrap().as_str()).await?;
            let name = ServerName::try_from("localhost").unwrap();
            let stream = connector.tls.connect(name, stream).await?;
            let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
            *connector.seen.lock().unwrap() = Some(shown);
            Ok(TokioIo::new(stream))
        })
    }
}

async fn connect(server: &TestServer, connector: &Connector) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    endpoint.connect_with_connector(connector.clone()).await
}

/// A channel and its first call: with TLS 1.3 a server refuses a client's certificate behind the handshake.
async fn provision(
    server: &TestServer,
    connector: &Connector,
    tenant: &str,
) -> Result<Function, tonic::Status> {
    let channel = connect(server, connector)
        .await
        .map_err(|error| tonic::Status::unavailable(format!("cannot connect: {error:?}")))?;
    let spec = specification("add", ADD).to_string();
    let response = apply(channel.clone(), tenant, &spec).await?;
    assert_eq!(response.endpoint, format!("https://{}", server.address));
    let headers = response.headers.into_iter().collect();
    Ok(Function { channel, handler: "add".to_owned(), headers })
}

#[tokio::test(flavor = "multi_thread")]
async fn both_services_are_behind_tls() {
    let pki = Pki::new();
    let server = TestServer::start(|config| pki.configure(config)).await;
    let add = provision(&server, &pki.connector(None), "acme").await.unwrap();
    assert_eq!(add.call_one(1, 2).await.unwrap(), Some(3));
    let plain = server.channel().await;
    let refused = apply(plain, "acme", &specification("add", ADD).to_string()).await;
    assert!(refused.is_err(), "nothing is answered without TLS");
    let stranger = Pki::new();
    assert!(
        connect(&server, &stranger.connector(None)).await.is_err(),
        "the client trusts another authority"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_clients_without_a_good_certificate_are_refused() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let client = pki.client("engine");
    let expired = pki.sign(|params| params.not_after = date_time_ymd(2020, 1, 1));
    let cases = [
        ("none", None, false, true),
        ("good", Some(&client), true, true),
        ("of a stranger", Some(&stranger.client("engine")), false, false),
        ("expired", Some(&expired), false, false),
    ];
    for (mode, allowed) in [(ClientCertificates::Required, 0), (ClientCertificates::Optional, 1)] {
        let server = TestServer::start(|config| {
            pki.configure(config);
            config.tls.client_ca = Some(pki.path("ca.pem"));
            config.tls.client_certificates = mode;
        })
        .await;
        for (name, identity, required, optional) in cases {
            let answer = provision(&server, &pki.connector(identity), "acme").await;
            let expected = [required, optional][allowed];
            assert_eq!(answer.is_ok(), expected, "{mode:?}, {name}: {:?}", answer.err());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_a_certificate_acts_for_its_tenants_only() {
    let pki = Pki::new();
    let server = TestServer::start(|config| {
        pki.configure(config);
        config.tls.client_ca = Some(pki.path("ca.pem"));
        config.tls.client_certificates = ClientCertificates::Optional;
        config.tls.tenants = [
            ("dns:Engine-A.internal".to_owned(), ["acme".to_owned()].into()),
            ("dns:operator.internal".to_owned(), ["*".to_owned()].into()),
        ]
        .into();
    })
    .await;
    let as_client = |name: &str| pki.connector(Some(&pki.client(name)));
    let (a, operator, other) =
        (as_client("engine-a.internal"), as_client("operator.internal"), as_client("other.internal"));
    let add = provision(&server, &a, "acme").await.unwrap();
    assert_eq!(add.call_one(1, 2).await.unwrap(), Some(3));
    let of_globex = provision(&server, &operator, "globex").await.unwrap();
    assert_eq!(of_globex.call_one(1, 2).await.unwrap(), Some(3));

    let refused = |text: &str| (Code::PermissionDenied, text.to_owned());
    for (connector, tenant, expected) in [
        (
            &a,
            "globex",
            "the client's certificate (dns:engine-a.internal) is not for tenant `globex` (tls.tenants)",
        ),
        (
            &other,
            "acme",
            "the client's certificate (dns:other.internal) is not for tenant `acme` (tls.tenants)",
        ),
        (
            &pki.connector(None),
            "acme",
            "a client without a certificate may not act for tenant `acme` (tls.tenants)",
        ),
    ] {
        let status = provision(&server, connector, tenant).await.map(drop).unwrap_err();
        assert_eq!((status.code(), status.message().to_owned()), refused(expected));
    }
    // A token that was stolen is of no use with another's certificate.
    let stolen = Function { channel: add.channel.clone(), ..of_globex };
    let status = stolen.call_one(1, 2).await.unwrap_err();
    let expected =
        "the client's certificate (dns:engine-a.internal) is not for tenant `globex` (tls.tenants)";
    assert_eq!((status.code(), status.message().to_owned()), refused(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_while_the_server_runs() {
    let pki = Pki::new();
    let server = TestServer::start(|config| pki.configure(config)).await;
    let connector = pki.connector(None);
    let shown = || connector.seen.lock().unwrap().clone().unwrap();
    let add = provision(&server, &connector, "acme").await.unwrap();
    let first = shown();

    let next = pki.sign(|_| ());
    pki.install(&next);
    server.reload.now();
    provision(&server, &connector, "acme").await.unwrap();
    let second = shown();
    assert_eq!(second, CertificateDer::from_pem_slice(next.certificate.as_bytes()).unwrap());
    assert_ne!(first, second);
    assert_eq!(add.call_one(1, 2).await.unwrap(), Some(3), "connections go on");

    for broken in [pki.sign(|params| params.not_after = date_time_ymd(2020, 1, 1)), {
        Identity { key: next.key.clone(), ..pki.sign(|_| ()) }
    }] {
        pki.install(&broken);
        server.reload.now();
        provision(&server, &connector, "acme").await.unwrap();
        assert_eq!(shown(), second, "what cannot be used changes nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_keep_the_server_from_starting() {
    let pki = Pki::new();
    let good = pki.sign(|_| ());
    let path = |name: &str| Some(pki.path(name));
    let identities = [
        ("expired", pki.sign(|params| params.not_after = date_time_ymd(2020, 1, 1))),
        (
            "early",
            pki.sign(|params| {
                params.not_before = date_time_ymd(2999, 1, 1);
                params.not_after = date_time_ymd(3000, 1, 1);
            }),
        ),
        ("good", good),
    ];
    for (name, identity) in &identities {
        std::fs::write(pki.path(&format!("{name}.pem")), &identity.certificate).unwrap();
        write_key(&pki.path(&format!("{name}.key")), &identity.key);
    }
    std::fs::copy(pki.path("good.key"), pki.path("open.key")).unwrap();
    std::fs::set_permissions(pki.path("open.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    write_key(&pki.path("prose"), "hello\n");
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(pki.path("prose")).unwrap());
    let open = format!(
        "tls.key: DIR/open.key is not used: others can reach it (owner {owner}, mode 0644); it must belong to the \
         server's user with mode 0600 or less, or to root with mode 0640 or less"
    );
    let cases = [
        (
            "missing",
            "good.key",
            None,
            "tls.certificate: cannot read DIR/missing: No such file or directory (os error 2)",
        ),
        (
            "good.pem",
            "missing",
            None,
            "tls.key: DIR/missing is not used: it cannot be read: No such file or directory (os error 2)",
        ),
        ("good.pem", "open.key", None, &open),
        (
            "good.pem",
            "early.key",
            None,
            "tls.key: the key in DIR/early.key does not belong to the certificate in DIR/good.pem",
        ),
        ("good.pem", "prose", None, "tls.key: DIR/prose: it holds no private key in PEM"),
        ("prose", "good.key", None, "tls.certificate: DIR/prose: it holds no certificate in PEM"),
        (
            "expired.pem",
            "expired.key",
            None,
            "tls.certificate: the certificate in DIR/expired.pem expired at 2020-01-01T00:00:00+00:00",
        ),
        (
            "early.pem",
            "early.key",
            None,
            "tls.certificate: the certificate in DIR/early.pem is not valid before 2999-01-01T00:00:00+00:00",
        ),
        ("good.pem", "good.key", Some("prose"), "tls.client_ca: DIR/prose: it holds no certificate in PEM"),
    ];
    for (certificate, key, client_ca, expected) in cases {
        let error = TestServer::refused(|config| {
            config.tls.certificate = path(certificate);
            config.tls.key = path(key);
            config.tls.client_ca = client_ca.and_then(path);
        })
        .await;
        let error = error.to_string().replace(&pki.folder.path().display().to_string(), "DIR");
        assert_eq!(error, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_57_handshakes_that_stall_end_and_let_others_through() {
    let pki = Pki::new();
    let server = TestServer::start(|config| {
        pki.configure(config);
        config.tls.handshake_timeout_s = 1.try_into().unwrap();
        config.tls.max_handshakes = 2.try_into().unwrap();
    })
    .await;
    let mut stalling = Vec::new();
    for _ in 0..6 {
        stalling.push(TcpStream::connect(server.address).await.unwrap());
    }
    // It gets its turn when those before it are cut off.
    let connector = pki.connector(None);
    let add = tokio::time::timeout(Duration::from_secs(120), provision(&server, &connector, "acme"));
    let add = add.await.expect("no turn").unwrap();
    assert_eq!(add.call_one(1, 2).await.unwrap(), Some(3));
    for mut stream in stalling {
        let mut bytes = [0; 16];
        let read = tokio::time::timeout(Duration::from_secs(120), stream.read(&mut bytes));
        assert!(matches!(read.await.expect("it is kept open"), Ok(0) | Err(_)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_58_connections_that_say_nothing_are_closed() {
    let server = TestServer::start(|config| config.server.opening_timeout_s = 1.try_into().unwrap()).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut slow, b"PRI * HTTP/2.0\r\n").await.unwrap();
    for stream in [&mut silent, &mut slow] {
        let closed = tokio::time::timeout(Duration::from_secs(120), async {
            let mut rest = Vec::new();
            // What the server sends before it gives up does not matter.
            let _ = stream.read_to_end(&mut rest).await;
        });
        closed.await.expect("it is kept open");
    }
    let add = server.function("acme", "add", ADD).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(add.call_one(1, 2).await.unwrap(), Some(3), "who has opened stays");
}
