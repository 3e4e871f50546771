//! Reports as signed statements, to be verified anywhere and without a network.
//!
//! The form is what supply-chain tools read: an [in-toto Statement] (what it is about, with digests, and
//! the report as its predicate) inside a [DSSE] envelope, signed with Ed25519. A transparency log or
//! certificates would need services; whoever verifies has the operator's public key instead.
//!
//! [in-toto Statement]: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
//! [DSSE]: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::signature::{ED25519, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::keys::{self, KeyError};

/// What an envelope holds.
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
/// Version of the statement's form.
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// Beginning of the predicate's type; the report's own schema follows.
const PREDICATE_PREFIX: &str = "urn:";

/// A signed statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// What the payload is.
    #[serde(rename = "payloadType")]
    payload_type: String,
    /// The statement, in base64.
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    keyid: String,
    sig: String,
}

/// A statement whose signature was found good.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Names the key that signed: the beginning of the SHA-256 of its 32 bytes.
    pub key_id: String,
    /// Names and SHA-256 digests of what the report is about.
    pub subjects: Vec<(String, String)>,
    /// The report.
    pub report: Value,
}

/// Why a statement is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatementError {
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The text is not a signed statement.
    #[error("this is not a signed statement: {reason}")]
    Form {
        /// What is wrong with it.
        reason: String,
    },
    /// No signature is one of the key's over this content.
    #[error("no signature in it is good: it was signed with another key than {key_id}, or changed since")]
    Signature {
        /// The key that was expected.
        key_id: String,
    },
}

/// Signs a report, given as JSON, with the private key in a PEM file.
///
/// # Errors
/// [`StatementError::Key`], and [`StatementError::Form`] for a report without a schema.
pub fn sign(report: &Value, subjects: &[(String, String)], key: &Path) -> Result<Envelope, StatementError> {
    let key = keys::private(key)?;
    let schema = report["schema"].as_str().ok_or_else(|| form("the report has no schema"))?;
    let subject: Vec<Value> =
        subjects.iter().map(|(name, sha256)| json!({"name": name, "digest": {"sha256": sha256}})).collect();
    let statement = json!({
        "_type": STATEMENT_TYPE,
        "subject": subject,
        "predicateType": predicate_type(schema),
        "predicate": report,
    });
    let payload = serde_json::to_vec(&statement).map_err(form)?;
    let signature = key.sign(&authenticated(&payload));
    Ok(Envelope {
        payload_type: PAYLOAD_TYPE.to_owned(),
        payload: BASE64_STANDARD.encode(&payload),
        signatures: vec![Signature {
            keyid: key_id(key.public_key().as_ref()),
            sig: BASE64_STANDARD.encode(signature),
        }],
    })
}

/// Verifies an envelope with the public key in a PEM file. Nothing in it is read before its signature has
/// been found good.
///
/// # Errors
/// [`StatementError`].
pub fn verify(envelope: &[u8], key: &Path) -> Result<Verified, StatementError> {
    let public = keys::public(key)?;
    let envelope: Envelope = serde_json::from_slice(envelope).map_err(form)?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(form(format_args!("its payload is not {PAYLOAD_TYPE}")));
    }
    let payload = BASE64_STANDARD.decode(&envelope.payload).map_err(form)?;
    let signed = authenticated(&payload);
    // The key's name inside the envelope is a hint of its writer: every signature is tried.
    let good = |signature: &Signature| {
        BASE64_STANDARD.decode(&signature.sig).is_ok_and(|signature| {
            UnparsedPublicKey::new(&ED25519, public).verify(&signed, &signature).is_ok()
        })
    };
    if !envelope.signatures.iter().any(good) {
        return Err(StatementError::Signature { key_id: key_id(&public) });
    }

    let mut statement: Value = serde_json::from_slice(&payload).map_err(form)?;
    if statement["_type"] != STATEMENT_TYPE {
        return Err(form("the payload is not an in-toto Statement v1"));
    }
    let report = statement["predicate"].take();
    let schema = report["schema"].as_str().ok_or_else(|| form("the predicate has no schema"))?;
    if statement["predicateType"] != predicate_type(schema) {
        return Err(form("the predicate is not of the type that the statement names"));
    }
    let subjects = statement["subject"].as_array().map(Vec::as_slice).unwrap_or_default();
    let subject = |subject: &Value| {
        let digest = subject["digest"]["sha256"].as_str()?;
        Some((subject["name"].as_str()?.to_owned(), digest.to_owned()))
    };
    let subjects = subjects.iter().map(subject).collect::<Option<Vec<_>>>();
    let subjects = subjects.ok_or_else(|| form("a subject has no name or no SHA-256"))?;
    Ok(Verified { key_id: key_id(&public), subjects, report })
}

/// What is signed: DSSE's pre-authentication encoding.
fn authenticated(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

/// `vivarium.audit/1` becomes `urn:vivarium.audit:1`.
fn predicate_type(schema: &str) -> String {
    format!("{PREDICATE_PREFIX}{}", schema.replace('/', ":"))
}

fn key_id(public: &[u8]) -> String {
    hex::encode(&Sha256::digest(public)[..16])
}

fn form(reason: impl std::fmt::Display) -> StatementError {
    StatementError::Form { reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, section 7.1, test 1: the key must mean the same here as everywhere.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const PUBLIC: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

    fn report() -> Value {
        json!({"schema": "vivarium.audit/1", "limits": [1, 2]})
    }

    fn signed() -> (tempfile::TempDir, Envelope) {
        let folder = tempfile::tempdir().unwrap();
        keys::generate(&folder.path().join("key")).unwrap();
        let subjects = [("module".to_owned(), "00".to_owned())];
        let envelope = sign(&report(), &subjects, &folder.path().join("key")).unwrap();
        (folder, envelope)
    }

    fn check(folder: &tempfile::TempDir, envelope: &Envelope) -> Result<Verified, StatementError> {
        verify(&serde_json::to_vec(envelope).unwrap(), &folder.path().join("key.pub"))
    }

    #[test]
    fn what_was_signed_is_verified() {
        let (folder, envelope) = signed();
        let verified = check(&folder, &envelope).unwrap();
        assert_eq!(verified.report, report());
        assert_eq!(verified.subjects, [("module".to_owned(), "00".to_owned())]);
        assert_eq!(verified.key_id, envelope.signatures[0].keyid);
        let payload = BASE64_STANDARD.decode(&envelope.payload).unwrap();
        let statement: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(statement["predicateType"], "urn:vivarium.audit:1");
        assert!(authenticated(b"{}").starts_with(b"DSSEv1 28 application/vnd.in-toto+json 2 {}"));
    }

    #[test]
    fn attack_what_was_changed_is_not_believed() {
        let (folder, envelope) = signed();
        let other = signed().1;
        let changes: [(&str, fn(&mut Envelope)); 4] = [
            ("payload", |e| {
                let payload = BASE64_STANDARD.decode(&e.payload).unwrap();
                let text = String::from_utf8(payload).unwrap().replace("[1,2]", "[1,3]");
                e.payload = BASE64_STANDARD.encode(text);
            }),
            ("signature", |e| e.signatures[0].sig.replace_range(..2, "AA")),
            ("no signature", |e| e.signatures.clear()),
            ("short signature", |e| e.signatures[0].sig.truncate(8)),
        ];
        for (name, change) in changes {
            let mut changed = envelope.clone();
            change(&mut changed);
            let error = check(&folder, &changed).unwrap_err();
            assert!(matches!(error, StatementError::Signature { .. }), "{name}: {error}");
        }
        let error = check(&folder, &other).unwrap_err();
        assert!(matches!(error, StatementError::Signature { .. }), "another key: {error}");
        let mut typed = envelope;
        typed.payload_type = "text/plain".to_owned();
        assert!(matches!(check(&folder, &typed), Err(StatementError::Form { .. })));
        for text in ["", "{}", "[]", "{\"payloadType\":1}"] {
            let refused = verify(text.as_bytes(), &folder.path().join("key.pub"));
            assert!(matches!(refused, Err(StatementError::Form { .. })), "{text}");
        }
    }

    #[test]
    fn keys_are_those_of_other_programs() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let public = keys::generate(&path).unwrap();
        assert_eq!(public, folder.path().join("key.pub"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(keys::generate(&path), Err(KeyError::Write { .. })), "nothing is overwritten");

        let der =
            [&hex::decode("302e020100300506032b657004220420").unwrap()[..], &hex::decode(SEED).unwrap()];
        let text = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            BASE64_STANDARD.encode(der.concat())
        );
        std::fs::write(&path, text).unwrap();
        assert_eq!(hex::encode(keys::private(&path).unwrap().public_key()), PUBLIC);
        for content in
            ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "ssh-ed25519 AAAA"]
        {
            std::fs::write(&path, content).unwrap();
            assert!(matches!(keys::private(&path), Err(KeyError::Content { .. })), "{content}");
            assert!(matches!(keys::public(&path), Err(KeyError::Content { .. })), "{content}");
        }
    }
}
