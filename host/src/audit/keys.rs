//! Ed25519 keys in PEM files, as OpenSSL reads and writes them.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use zeroize::Zeroizing;

/// What stands before the 32 bytes of a private key (RFC 8410, PKCS #8 without a public key).
const PRIVATE_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// What stands before the 32 bytes of a public key (RFC 8410, SubjectPublicKeyInfo).
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why a key cannot be used or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file cannot be written; one that is there is never overwritten.
    #[error("cannot write the key {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("{} is not {expected}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// The operating system gives no random bytes.
    #[error("no random bytes are to be had: {0}")]
    Random(#[from] getrandom::Error),
}

/// Makes a key: the private one in `path`, readable by its owner only, the public one beside it with
/// `.pub` added to the name, which is returned.
///
/// # Errors
/// [`KeyError`]; neither file may exist.
pub fn generate(path: &Path) -> Result<PathBuf, KeyError> {
    let mut private = Zeroizing::new([0; PRIVATE_PREFIX.len() + 32]);
    let (prefix, seed) = private.split_at_mut(PRIVATE_PREFIX.len());
    prefix.copy_from_slice(&PRIVATE_PREFIX);
    getrandom::fill(seed)?;
    let key = Ed25519KeyPair::from_seed_unchecked(seed)
        .map_err(|_| KeyError::Content { path: path.to_owned(), expected: "a usable key" })?;
    let public = [&PUBLIC_PREFIX[..], key.public_key().as_ref()].concat();
    let mut public_path = path.as_os_str().to_owned();
    public_path.push(".pub");
    let public_path = PathBuf::from(public_path);
    write(path, 0o600, &Zeroizing::new(pem("PRIVATE KEY", &*private)))?;
    write(&public_path, 0o644, &pem("PUBLIC KEY", &public))?;
    Ok(public_path)
}

fn pem(label: &str, der: &[u8]) -> String {
    // A key fits on one line.
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), KeyError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|source| KeyError::Write { path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let bytes = std::fs::read(path).map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
    Ok(Zeroizing::new(bytes))
}

/// The private key in a PEM file (PKCS #8).
pub(super) fn private(path: &Path) -> Result<Ed25519KeyPair, KeyError> {
    let text = read(path)?;
    PrivatePkcs8KeyDer::from_pem_slice(&text)
        .ok()
        .and_then(|der| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).ok())
        .ok_or_else(|| KeyError::Content {
            path: path.to_owned(),
            expected: "an Ed25519 private key in PEM (PKCS #8)",
        })
}

/// The 32 bytes of the public key in a PEM file.
pub(super) fn public(path: &Path) -> Result<[u8; 32], KeyError> {
    let text = read(path)?;
    SubjectPublicKeyInfoDer::from_pem_slice(&text)
        .ok()
        .and_then(|der| der.strip_prefix(&PUBLIC_PREFIX)?.try_into().ok())
        .ok_or_else(|| KeyError::Content { path: path.to_owned(), expected: "an Ed25519 public key in PEM" })
}
