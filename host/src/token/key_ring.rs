//! The keys that sign and verify tokens, each from its moment on.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::LABEL;

/// Length of a signing key in bytes.
pub const KEY_BYTES: usize = 32;

/// Length of a key's id in bytes.
pub(super) const KEY_ID_BYTES: usize = 4;

const SHA256_BLOCK_BYTES: usize = 64;

/// A secret that signs tokens; wiped from memory when dropped.
pub type SigningKey = Zeroizing<[u8; KEY_BYTES]>;

/// Names a key without telling it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub(super) [u8; KEY_ID_BYTES]);

impl KeyId {
    /// The id of a key: the first bytes of a hash of it.
    pub fn of(secret: &SigningKey) -> Self {
        let hash =
            Sha256::new().chain_update(b"vivarium key id\0").chain_update(secret.as_slice()).finalize();
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&hash[..KEY_ID_BYTES]);
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A key, and from when on it signs.
#[derive(Clone)]
pub struct DatedKey {
    /// The key.
    pub secret: SigningKey,
    /// The moment from which it signs, unless a younger one does. It verifies before that as well.
    pub from: SystemTime,
}

impl fmt::Debug for DatedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DatedKey")
            .field("id", &KeyId::of(&self.secret))
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

/// What a key is for at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It will sign; tokens of servers where it does already are accepted.
    Coming,
    /// It signs.
    Signing,
    /// A younger key signs; its tokens are accepted until the last of them has expired.
    Accepted {
        /// When that is.
        until: SystemTime,
    },
    /// Its tokens have expired.
    Retired,
}

/// Keys in use.
pub(super) struct KeyRing {
    /// The youngest first.
    keys: Vec<Key>,
}

pub(super) struct Key {
    pub(super) id: KeyId,
    /// Keyed, with nothing but the label in it yet.
    mac: Hmac<Sha256>,
    from: SystemTime,
}

impl Key {
    fn new(key: &DatedKey) -> Self {
        // HMAC itself pads a key to the hash's block with zeros; doing it here cannot fail.
        let mut block = Zeroizing::new([0; SHA256_BLOCK_BYTES]);
        block[..KEY_BYTES].copy_from_slice(key.secret.as_slice());
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        mac.update(LABEL);
        Self { id: KeyId::of(&key.secret), mac, from: key.from }
    }

    pub(super) fn sign(&self, payload: &[u8]) -> Hmac<Sha256> {
        self.mac.clone().chain_update(payload)
    }
}

impl KeyRing {
    pub(super) fn new(keys: &[DatedKey]) -> Self {
        let mut keys: Vec<Key> = keys.iter().map(Key::new).collect();
        // Of keys from the same moment, the first signs.
        keys.sort_by_key(|key| std::cmp::Reverse(key.from));
        Self { keys }
    }

    /// The key that signs; `None` without any keys.
    pub(super) fn signing(&self, now: SystemTime) -> Option<&Key> {
        self.keys.iter().find(|key| key.from <= now).or(self.keys.last())
    }

    /// The key of an id, unless its tokens have all expired.
    pub(super) fn find(&self, id: KeyId, now: SystemTime, lifetime: Duration) -> Option<&Key> {
        let at = self.keys.iter().position(|key| key.id == id)?;
        let state = state(&self.moments(), at, now, lifetime);
        self.keys.get(at).filter(|_| state != KeyState::Retired)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    fn moments(&self) -> Vec<SystemTime> {
        self.keys.iter().map(|key| key.from).collect()
    }
}

/// What the key at a place is for. `from` are the moments of all keys, the youngest first.
pub(super) fn state(from: &[SystemTime], at: usize, now: SystemTime, lifetime: Duration) -> KeyState {
    let signing = from.iter().position(|from| *from <= now).unwrap_or(from.len().saturating_sub(1));
    if at < signing {
        return KeyState::Coming;
    }
    if at == signing {
        return KeyState::Signing;
    }
    // It ended when the next younger one began. Keys without a date, of the beginning of time, have no
    // end that is known, and stay.
    let ended = from.get(at - 1).copied().filter(|ended| *ended > UNIX_EPOCH);
    match ended.and_then(|ended| ended.checked_add(lifetime)) {
        Some(until) if until <= now => KeyState::Retired,
        Some(until) => KeyState::Accepted { until },
        None => KeyState::Accepted { until: now + lifetime },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn keys_come_sign_are_accepted_and_retire() {
        let from = [at(300), at(200), at(100)];
        let states = |now| {
            [0, 1, 2].map(|index| match state(&from, index, at(now), Duration::from_secs(50)) {
                KeyState::Coming => "coming".to_owned(),
                KeyState::Signing => "signing".to_owned(),
                KeyState::Accepted { until } => {
                    format!("until {}", until.duration_since(UNIX_EPOCH).unwrap().as_secs())
                }
                KeyState::Retired => "retired".to_owned(),
            })
        };
        assert_eq!(states(50), ["coming", "coming", "signing"], "none has begun: the oldest signs");
        assert_eq!(states(100), ["coming", "coming", "signing"]);
        assert_eq!(states(200), ["coming", "signing", "until 250"]);
        assert_eq!(states(249), ["coming", "signing", "until 250"]);
        assert_eq!(states(250), ["coming", "signing", "retired"]);
        assert_eq!(states(349), ["signing", "until 350", "retired"]);
        assert_eq!(states(350), ["signing", "retired", "retired"]);
    }

    #[test]
    fn keys_without_a_date_stay() {
        let from = [at(0), at(0)];
        let state = state(&from, 1, at(1_000_000), Duration::from_secs(50));
        assert_eq!(state, KeyState::Accepted { until: at(1_000_050) });
    }

    #[test]
    fn debug_output_tells_no_key() {
        let key = DatedKey { secret: Zeroizing::new([7; KEY_BYTES]), from: at(5) };
        let shown = format!("{key:?}");
        assert!(!shown.contains("7, 7") && !shown.contains("0707"), "{shown}");
    }
}
