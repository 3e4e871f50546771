//! Signed, expiring call tokens: provisioning hands one out, every data-plane call brings it back.
//!
//! A token permits one tenant to call one version of one function on servers of one audience until
//! a moment in time. It reads `viv1.<payload>.<signature>`, both parts base64url without padding.
//! The payload is
//!
//! | bytes | content |
//! |---|---|
//! | 4 | key id, the first bytes of a hash of the key |
//! | 8 | expiry, seconds since the Unix epoch, big-endian |
//! | 16 | first half of the function version's digest |
//! | 1 + n | length and bytes of the tenant's name |
//! | 2 + n | length (big-endian) and bytes of the function's name |
//! | 1 + n | length and bytes of the audience |
//!
//! and the signature is HMAC-SHA256 over the label `vivarium call token 1`, a zero byte and the
//! payload. Nothing in a token is secret; a token is a bearer secret as a whole and never logged.
//!
//! Keys are rotated without breaking a live token: a new key signs from its moment on, an older one is
//! accepted until the tokens that it signed have expired (see [`key_file`]).

pub mod key_file;
mod key_ring;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;
use zeroize::Zeroizing;

pub use self::key_ring::{DatedKey, KEY_BYTES, KeyId, KeyState, SigningKey};

use self::key_ring::{KEY_ID_BYTES, KeyRing};

/// Longest token that is looked at, in bytes. The longest that is ever issued is shorter.
pub const MAX_TOKEN_BYTES: usize = 2048;

/// Longest tenant name in bytes.
pub const MAX_TENANT_BYTES: usize = 128;

/// Longest function name in bytes.
pub const MAX_FUNCTION_BYTES: usize = 256;

const PREFIX: &str = "viv1";
const LABEL: &[u8] = b"vivarium call token 1\0";
const VERSION_BYTES: usize = 16;

/// The part of a function version's digest that a token carries.
pub type VersionPrefix = [u8; VERSION_BYTES];

/// What a valid token permits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The tenant that may call.
    pub tenant: String,
    /// Name of the function that may be called.
    pub function: String,
    /// First half of the digest of the version that may be called.
    pub version: VersionPrefix,
    /// When the permission ends.
    pub expires: SystemTime,
}

/// Why a token was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The request carries no token.
    #[error("no token: the header `{header}` that provisioning returned is missing")]
    Missing {
        /// Header in which the token is expected.
        header: String,
    },
    /// The text is not a token.
    #[error("malformed token: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The signature is not one of ours.
    #[error("forged token: its signature is not from this server")]
    Forged,
    /// The key that signed it was taken away, or was never ours.
    #[error(
        "the token was signed with key {id}, which this server does not accept; provision the function again"
    )]
    UnknownKey {
        /// What the token says of its key.
        id: KeyId,
    },
    /// The token was good once.
    #[error(
        "expired token: it ended {ago_s} s ago, at {at_unix_s} s since the Unix epoch; provision the function again"
    )]
    Expired {
        /// Seconds since it ended.
        ago_s: u64,
        /// When it ended, in seconds since the Unix epoch.
        at_unix_s: u64,
    },
    /// The token is for another group of servers.
    #[error("the token is for audience `{token}`, this server is `{server}`")]
    WrongAudience {
        /// Audience in the token.
        token: String,
        /// Audience of this server.
        server: String,
    },
    /// The request names another tenant than the token.
    #[error("the token belongs to another tenant than `{requested}`")]
    WrongTenant {
        /// Tenant named by the request.
        requested: String,
    },
    /// The request names another function than the token.
    #[error("the token permits function `{permitted}`, not `{requested}`")]
    WrongFunction {
        /// Function that the token permits.
        permitted: String,
        /// Function that the request names.
        requested: String,
    },
}

/// A name is longer than a token can hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {bytes} bytes long; at most {limit} are allowed")]
pub struct NameTooLong {
    /// Which name.
    pub what: &'static str,
    /// Its length in bytes.
    pub bytes: usize,
    /// Longest allowed, in bytes.
    pub limit: usize,
}

/// Why a token could not be issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// A name does not fit.
    #[error(transparent)]
    Name(#[from] NameTooLong),
    /// There is no key to sign with.
    #[error("the server has no token key")]
    NoKey,
}

/// The keys of this server and what it puts into tokens.
pub struct Tokens {
    keys: RwLock<Arc<KeyRing>>,
    audience: String,
    lifetime: Duration,
}

impl Tokens {
    /// Whether a text claims to be a token of this program, be it valid or not.
    pub fn is_ours(token: &str) -> bool {
        token.split_once('.').is_some_and(|(prefix, _)| prefix == PREFIX)
    }

    /// The key that signs, older keys that are still accepted, the audience written into tokens,
    /// and how long a token lives.
    pub fn new(signing: &SigningKey, older: &[SigningKey], audience: &str, lifetime: Duration) -> Self {
        let dated = |secret: &SigningKey| DatedKey { secret: secret.clone(), from: UNIX_EPOCH };
        let keys: Vec<DatedKey> = std::iter::once(signing).chain(older).map(dated).collect();
        Self::with_keys(&keys, audience, lifetime)
    }

    /// As [`Tokens::new`], with keys that sign from different moments on. Without any key no token is
    /// issued or accepted.
    pub fn with_keys(keys: &[DatedKey], audience: &str, lifetime: Duration) -> Self {
        let keys = RwLock::new(Arc::new(KeyRing::new(keys)));
        Self { keys, audience: audience.to_owned(), lifetime }
    }

    /// Works with other keys from now on.
    pub fn replace_keys(&self, keys: &[DatedKey]) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(KeyRing::new(keys));
    }

    fn keys(&self) -> Arc<KeyRing> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long a token lives.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Issues a token at the time `now`.
    ///
    /// # Errors
    /// When a name does not fit into a token, or there is no key.
    pub fn issue(
        &self,
        tenant: &str,
        function: &str,
        version: VersionPrefix,
        now: SystemTime,
    ) -> Result<String, IssueError> {
        check_length("tenant name", tenant, MAX_TENANT_BYTES)?;
        check_length("function name", function, MAX_FUNCTION_BYTES)?;
        check_length("audience", &self.audience, MAX_TENANT_BYTES)?;
        let keys = self.keys();
        let key = keys.signing(now).ok_or(IssueError::NoKey)?;
        let mut payload = Vec::with_capacity(64 + tenant.len() + function.len() + self.audience.len());
        payload.extend_from_slice(&key.id.0);
        payload.extend_from_slice(&unix_seconds(now + self.lifetime).to_be_bytes());
        payload.extend_from_slice(&version);
        push_short(&mut payload, tenant);
        payload.extend_from_slice(&u16::try_from(function.len()).unwrap_or(u16::MAX).to_be_bytes());
        payload.extend_from_slice(function.as_bytes());
        push_short(&mut payload, &self.audience);
        let signature = key.sign(&payload).finalize().into_bytes();
        Ok(format!("{PREFIX}.{}.{}", URL_SAFE_NO_PAD.encode(&payload), URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Checks a token's signature (in constant time), audience and expiry at the time `now`.
    ///
    /// # Errors
    /// [`TokenError`], the first that applies in the order malformed, unknown key, forged, wrong
    /// audience, expired. Nothing of the payload is believed before the signature is checked.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Grant, TokenError> {
        let (payload, signature) = split(token)?;
        let id = payload.first_chunk::<KEY_ID_BYTES>().ok_or(malformed("its payload is too short"))?;
        let (keys, id) = (self.keys(), KeyId(*id));
        let key = keys.find(id, now, self.lifetime).ok_or(TokenError::UnknownKey { id })?;
        key.sign(&payload).verify_slice(&signature).map_err(|_| TokenError::Forged)?;

        let (audience, grant) = parse(&payload[KEY_ID_BYTES..])?;
        if audience != self.audience {
            return Err(TokenError::WrongAudience { token: audience, server: self.audience.clone() });
        }
        if let Ok(ago) = now.duration_since(grant.expires) {
            return Err(TokenError::Expired { ago_s: ago.as_secs(), at_unix_s: unix_seconds(grant.expires) });
        }
        Ok(grant)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Tokens")
            .field("keys", &self.keys().len())
            .field("audience", &self.audience)
            .field("lifetime", &self.lifetime)
            .finish()
    }
}

/// A new random signing key.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn generate_key() -> Result<SigningKey, getrandom::Error> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    getrandom::fill(key.as_mut_slice())?;
    Ok(key)
}

fn check_length(what: &'static str, text: &str, limit: usize) -> Result<(), NameTooLong> {
    if text.len() > limit {
        return Err(NameTooLong { what, bytes: text.len(), limit });
    }
    Ok(())
}

/// Appends a text of at most 255 bytes (checked before) behind its length.
fn push_short(payload: &mut Vec<u8>, text: &str) {
    payload.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    payload.extend_from_slice(text.as_bytes());
}

fn malformed(reason: &'static str) -> TokenError {
    TokenError::Malformed { reason }
}

fn split(token: &str) -> Result<(Vec<u8>, Vec<u8>), TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(malformed("it is too long"));
    }
    let mut parts = token.split('.');
    let (Some(prefix), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed("it does not have three parts"));
    };
    if prefix != PREFIX {
        return Err(malformed("it is of an unknown version"));
    }
    let decode = |part| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("it is not base64url"));
    Ok((decode(payload)?, decode(signature)?))
}

/// Parses what follows the key id. The signature has been checked, so a failure here means that
/// another version of this program wrote it.
fn parse(payload: &[u8]) -> Result<(String, Grant), TokenError> {
    let mut rest = Reader(payload);
    let expires = u64::from_be_bytes(rest.array()?);
    let version = rest.array()?;
    let tenant_bytes = u8::from_be_bytes(rest.array()?);
    let tenant = rest.text(tenant_bytes.into())?;
    let function_bytes = u16::from_be_bytes(rest.array()?);
    let function = rest.text(function_bytes.into())?;
    let audience_bytes = u8::from_be_bytes(rest.array()?);
    let audience = rest.text(audience_bytes.into())?;
    if !rest.0.is_empty() {
        return Err(malformed("its payload is too long"));
    }
    let expires = UNIX_EPOCH
        .checked_add(Duration::from_secs(expires))
        .ok_or(malformed("its expiry is out of range"))?;
    Ok((audience, Grant { tenant, function, version, expires }))
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], TokenError> {
        let (head, tail) = self.0.split_first_chunk().ok_or(malformed("its payload is too short"))?;
        self.0 = tail;
        Ok(*head)
    }

    fn text(&mut self, bytes: usize) -> Result<String, TokenError> {
        let (head, tail) = self.0.split_at_checked(bytes).ok_or(malformed("its payload is too short"))?;
        self.0 = tail;
        String::from_utf8(head.to_vec()).map_err(|_| malformed("a name in it is not UTF-8"))
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const VERSION: VersionPrefix = *b"0123456789abcdef";

    fn now() -> SystemTime {
        UNIX_EPOCH + NOW
    }

    fn tokens_with(keys: &[u8], audience: &str) -> Tokens {
        let mut keys = keys.iter().map(|byte| Zeroizing::new([*byte; KEY_BYTES]));
        let signing = keys.next().unwrap();
        Tokens::new(&signing, &keys.collect::<Vec<_>>(), audience, Duration::from_secs(600))
    }

    fn issued() -> String {
        tokens_with(&[1], "here").issue("acme", "gcd", VERSION, now()).unwrap()
    }

    #[test]
    fn a_token_grants_what_it_was_issued_for() {
        let grant = tokens_with(&[1], "here").verify(&issued(), now()).unwrap();
        let expected = Grant {
            tenant: "acme".into(),
            function: "gcd".into(),
            version: VERSION,
            expires: now() + Duration::from_secs(600),
        };
        assert_eq!(grant, expected);
    }

    #[test]
    fn refusals_are_told_apart() {
        let good = issued();
        let (head, signature) = good.rsplit_once('.').unwrap();
        let flipped = {
            let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
            bytes[31] ^= 1;
            format!("{head}.{}", URL_SAFE_NO_PAD.encode(bytes))
        };
        let other_payload = {
            let mut parts = good.split('.');
            let mut payload = URL_SAFE_NO_PAD.decode(parts.nth(1).unwrap()).unwrap();
            let last = payload.len() - 1;
            payload[last] ^= 1;
            format!("viv1.{}.{signature}", URL_SAFE_NO_PAD.encode(payload))
        };
        let server = tokens_with(&[1], "here");
        let later = now() + Duration::from_secs(601);
        let cases: &[(&str, &str, SystemTime, &str)] = &[
            ("empty", "", now(), "malformed"),
            ("prose", "hello", now(), "malformed"),
            ("two parts", head, now(), "malformed"),
            ("four parts", &format!("{good}.x"), now(), "malformed"),
            ("version", &good.replace("viv1", "viv2"), now(), "malformed"),
            ("not base64", "viv1.!!.!!", now(), "malformed"),
            ("short payload", "viv1.AA.AA", now(), "malformed"),
            ("too long", &"a".repeat(MAX_TOKEN_BYTES + 1), now(), "malformed"),
            ("flipped signature", &flipped, now(), "forged"),
            ("no signature", &format!("{head}."), now(), "forged"),
            ("truncated signature", &good[..good.len() - 3], now(), "forged"),
            ("changed payload", &other_payload, now(), "forged"),
            ("expired", &good, later, "expired"),
        ];
        for (name, token, at, expected) in cases {
            let error = server.verify(token, *at).expect_err(name).to_string();
            assert!(error.starts_with(expected), "{name}: {error}");
        }
    }

    #[test]
    fn another_key_or_audience_is_refused() {
        let other = tokens_with(&[2], "here").verify(&issued(), now()).unwrap_err();
        assert_eq!(
            other.to_string(),
            "the token was signed with key 9547d98e, which this server does not accept; provision the function \
             again"
        );
        assert!(matches!(
            tokens_with(&[1], "there").verify(&issued(), now()),
            Err(TokenError::WrongAudience { .. })
        ));
    }

    #[test]
    fn an_older_key_is_accepted_but_does_not_sign() {
        let rotated = tokens_with(&[2, 1], "here");
        assert!(rotated.verify(&issued(), now()).is_ok());
        let fresh = rotated.issue("acme", "gcd", VERSION, now()).unwrap();
        let before = tokens_with(&[1], "here").verify(&fresh, now());
        assert!(matches!(before, Err(TokenError::UnknownKey { .. })));
    }

    /// Keys of single bytes, each with the seconds from [`NOW`] on from which it signs.
    fn dated(keys: &[(u8, i64)]) -> Vec<DatedKey> {
        let key = |(byte, seconds): &(u8, i64)| DatedKey {
            secret: Zeroizing::new([*byte; KEY_BYTES]),
            from: UNIX_EPOCH + Duration::from_secs(NOW.as_secs().saturating_add_signed(*seconds)),
        };
        keys.iter().map(key).collect()
    }

    #[test]
    fn a_rotation_breaks_no_live_token_and_ends_with_the_last_of_them() {
        let lifetime = Duration::from_secs(600);
        let server = Tokens::with_keys(&dated(&[(1, -1000)]), "here", lifetime);
        let old = server.issue("acme", "gcd", VERSION, now()).unwrap();
        // The second key is known everywhere before it signs anywhere.
        server.replace_keys(&dated(&[(2, 60), (1, -1000)]));
        let still_old = server.issue("acme", "gcd", VERSION, now()).unwrap();
        assert_eq!(still_old, old);
        let later = now() + Duration::from_secs(60);
        let new = server.issue("acme", "gcd", VERSION, later).unwrap();
        let only_second = Tokens::with_keys(&dated(&[(2, 60)]), "here", lifetime);
        assert!(only_second.verify(&new, later).is_ok());
        assert!(matches!(only_second.verify(&old, later), Err(TokenError::UnknownKey { .. })));
        for (after, expected) in [(0, true), (60, true), (599, true), (600, false)] {
            let verified = server.verify(&old, now() + Duration::from_secs(after));
            assert_eq!(verified.is_ok(), expected, "{after} s: {verified:?}");
        }
    }

    #[test]
    fn attack_a_key_that_was_replaced_long_ago_signs_nothing_any_more() {
        let thief = Tokens::with_keys(&dated(&[(1, -1000)]), "here", Duration::from_secs(1 << 30));
        let forged = thief.issue("acme", "gcd", VERSION, now()).unwrap();
        let server = |second: i64| {
            Tokens::with_keys(&dated(&[(2, second), (1, -10_000)]), "here", Duration::from_secs(600))
        };
        assert!(server(-599).verify(&forged, now()).is_ok(), "its own tokens may be alive");
        assert!(matches!(server(-600).verify(&forged, now()), Err(TokenError::UnknownKey { .. })));
    }

    #[test]
    fn without_a_key_nothing_is_issued() {
        let server = Tokens::with_keys(&[], "here", Duration::from_secs(600));
        assert_eq!(server.issue("acme", "gcd", VERSION, now()), Err(IssueError::NoKey));
    }

    #[test]
    fn a_token_ends_at_its_expiry_and_says_when() {
        let server = tokens_with(&[1], "here");
        let end = now() + Duration::from_secs(600);
        assert!(server.verify(&issued(), end - Duration::from_nanos(1)).is_ok());
        assert_eq!(
            server.verify(&issued(), end + Duration::from_secs(5)),
            Err(TokenError::Expired { ago_s: 5, at_unix_s: 1_800_000_600 })
        );
    }

    #[test]
    fn names_of_any_allowed_length_round_trip() {
        let server = tokens_with(&[1], "");
        let (tenant, function) = ("ä".repeat(MAX_TENANT_BYTES / 2), "f".repeat(MAX_FUNCTION_BYTES));
        let token = server.issue(&tenant, &function, VERSION, now()).unwrap();
        assert!(token.len() < MAX_TOKEN_BYTES);
        let grant = server.verify(&token, now()).unwrap();
        assert_eq!((grant.tenant, grant.function), (tenant.clone(), function));
        assert!(server.issue(&format!("{tenant}x"), "f", VERSION, now()).is_err());
    }
}
