//! Call tokens.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vivarium_host::token::{SigningKey, Tokens};
use zeroize::Zeroizing;

use super::text;
use crate::Target;

pub(crate) const TARGET: Target = Target { name: "token", about: "call tokens", run, seeds };

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| tokens(7));

fn tokens(key: u8) -> Tokens {
    let key: SigningKey = Zeroizing::new([key; 32]);
    Tokens::new(&key, &[], "audience", Duration::from_secs(3600))
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn run(data: &[u8]) {
    let Some(token) = text(data) else { return };
    match TOKENS.verify(token, now()) {
        // Nobody signed anything else with this key.
        Ok(grant) => assert_eq!((grant.tenant.as_str(), grant.function.as_str()), ("acme", "add")),
        Err(error) => {
            let message = error.to_string();
            assert!(!message.is_empty() && message.len() < 1000, "{message}");
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let issue =
        |key, tenant, function| tokens(key).issue(tenant, function, [3; 16], now()).unwrap().into_bytes();
    vec![issue(7, "acme", "add"), issue(8, "acme", "add"), issue(8, "a", ""), b"v1..".to_vec(), Vec::new()]
}
