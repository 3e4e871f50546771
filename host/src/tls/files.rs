//! Certificates and keys, read from files and checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, InconsistentKeys, RootCertStore, ServerConfig};
use zeroize::Zeroizing;

use super::config::{ClientCertificates, TlsConfig};
use crate::secret_file::{self, SecretFileError};

/// Largest file, in bytes.
const FILE_BYTES: u64 = 1 << 20;

/// A moment beyond the end of every certificate: the year 9999.
const FAR: Duration = Duration::from_secs(253_402_300_000);

/// Why the files of `[tls]` cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{key}: cannot read {}: {source}", path.display())]
    Read {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The private key's file is not used.
    #[error("tls.key: {} is not used: {source}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SecretFileError,
    },
    /// A file does not hold what it should.
    #[error("{key}: {}: {problem}", path.display())]
    Content {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The key belongs to another certificate.
    #[error("tls.key: the key in {} does not belong to the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// The certificate is not valid any more.
    #[error("tls.certificate: the certificate in {} expired at {at}", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
        /// When.
        at: String,
    },
    /// The certificate is not valid yet.
    #[error("tls.certificate: the certificate in {} is not valid before {at}", path.display())]
    NotYet {
        /// The file.
        path: PathBuf,
        /// From when on it is.
        at: String,
    },
}

/// What the files give.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) server: Arc<ServerConfig>,
    /// When the certificate ends.
    pub(super) ends: UnixTime,
}

/// Reads and checks all files.
pub(super) fn load(config: &TlsConfig, certificate: &Path, key: &Path) -> Result<Loaded, TlsError> {
    let content =
        |key, path: &Path, problem: String| TlsError::Content { key, path: path.to_owned(), problem };
    let chain = certificates("tls.certificate", certificate)?;
    let leaf = chain.first().cloned().unwrap_or_else(|| CertificateDer::from(Vec::new()));
    let ends = check_dates(&leaf, certificate)?;

    let pem = secret_file::read(key, FILE_BYTES)
        .map_err(|source| TlsError::Key { path: key.to_owned(), source })?;
    let private = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| content("tls.key", key, "it holds no private key in PEM".to_owned()))?;

    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| content("tls.certificate", certificate, error.to_string()))?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = authorities(path)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match config.client_certificates {
                ClientCertificates::Required => verifier,
                ClientCertificates::Optional => verifier.allow_unauthenticated(),
            };
            let verifier =
                verifier.build().map_err(|error| content("tls.client_ca", path, error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut server = builder.with_single_cert(chain, private).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            TlsError::Mismatch { key: key.to_owned(), certificate: certificate.to_owned() }
        }
        rustls::Error::InvalidCertificate(_) => content("tls.certificate", certificate, error.to_string()),
        other => content("tls.key", key, other.to_string()),
    })?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Loaded { server: Arc::new(server), ends })
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Read { key, path: path.to_owned(), source };
    let content = |problem: String| TlsError::Content { key, path: path.to_owned(), problem };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > FILE_BYTES {
        return Err(content(format!("it is larger than {FILE_BYTES} bytes")));
    }
    // A key may stand in the same file.
    let pem = Zeroizing::new(std::fs::read(path).map_err(failed)?);
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|_| content("it is not PEM".to_owned()))?;
    if certificates.is_empty() {
        return Err(content("it holds no certificate in PEM".to_owned()));
    }
    Ok(certificates)
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tls.client_ca", path)? {
        roots.add(certificate).map_err(|error| TlsError::Content {
            key: "tls.client_ca",
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
    }
    Ok(roots)
}

/// When the certificate ends, if it is valid now.
fn check_dates(certificate: &CertificateDer<'_>, path: &Path) -> Result<UnixTime, TlsError> {
    let content =
        |problem: String| TlsError::Content { key: "tls.certificate", path: path.to_owned(), problem };
    let parsed = ParsedCertificate::try_from(certificate).map_err(|error| content(error.to_string()))?;
    let provider: &CryptoProvider = &ring::default_provider();
    // Dates are looked at before anything else. Nobody is trusted, so every other problem, which is for
    // clients to judge, looks like a missing authority.
    let verify = |now| {
        let algorithms = provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &RootCertStore::empty(), &[], now, algorithms)
    };
    match verify(UnixTime::now()) {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            return Err(TlsError::Expired { path: path.to_owned(), at: moment(not_after) });
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before, ..
        })) => {
            return Err(TlsError::NotYet { path: path.to_owned(), at: moment(not_before) });
        }
        _ => {}
    }
    match verify(UnixTime::since_unix_epoch(FAR)) {
        Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Ok(not_after)
        }
        _ => Ok(UnixTime::since_unix_epoch(FAR)),
    }
}

/// A moment in ISO 8601, UTC.
pub(super) fn moment(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    DateTime::from_timestamp(seconds, 0).map_or_else(|| format!("{seconds} s"), |time| time.to_rfc3339())
}
