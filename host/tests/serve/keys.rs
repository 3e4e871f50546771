//! Token keys that rotate while the server runs, and across restarts.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::{Duration, SystemTime};

use tonic::Code;
use vivarium_host::server::Ended;
use vivarium_host::token::key_file;

use crate::client::{Function, TestServer};

const ADD: &str = "def add(a, b): return a + b";
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_breaks_no_live_token_and_a_removed_key_refuses_its_tokens() {
    let server = TestServer::start(|_| ()).await;
    let path = server.state.path().join("token.key");
    let old = server.function("acme", "add", ADD).await;
    let first = key_file::list(&path, SystemTime::now(), DAY).unwrap()[0].id;
    let now = SystemTime::now();
    key_file::rotate(&path, now, now, DAY).unwrap();
    server.reload.now();
    let new = server.function("acme", "add", ADD).await;
    assert_ne!(old.headers, new.headers, "another key signs");
    assert_eq!(old.call_one(1, 2).await.unwrap(), Some(3));
    assert_eq!(new.call_one(1, 2).await.unwrap(), Some(3));

    let (ended, state) = server.stop().await;
    assert_eq!(ended, Ended::Drained);
    let server = TestServer::start_in(state, |_| ()).await;
    let channel = server.channel().await;
    let again = |function: &Function| Function { channel: channel.clone(), ..function.clone() };
    let (old, new) = (again(&old), again(&new));
    assert_eq!(old.call_one(1, 2).await.unwrap(), Some(3));
    assert_eq!(new.call_one(1, 2).await.unwrap(), Some(3));

    key_file::remove(&path, &first.to_string()).unwrap();
    server.reload.now();
    let refused = old.call_one(1, 2).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let expected = format!(
        "the token was signed with key {first}, which this server does not accept; provision the function again"
    );
    assert_eq!(refused.message(), expected);
    assert_eq!(new.call_one(1, 2).await.unwrap(), Some(3));

    let (_, state) = server.stop().await;
    let server = TestServer::start_in(state, |_| ()).await;
    let old = Function { channel: server.channel().await, ..old };
    assert_eq!(old.call_one(1, 2).await.unwrap_err().message(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_server_is_found_when_its_first_token_comes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.key");
    let shares = |config: &mut vivarium_host::config::Config| config.tokens.key_file = Some(path.clone());
    let server = TestServer::start(shares).await;
    let function = server.function("acme", "add", ADD).await;
    let now = SystemTime::now();
    key_file::rotate(&path, now, now, DAY).unwrap();
    // Only the other one has looked at the file since.
    let (_, state) = TestServer::start(shares).await.stop().await;
    let other = TestServer::start_in(state, shares).await;
    let of_other = other.function("acme", "add", ADD).await;
    let here = Function { channel: function.channel.clone(), ..of_other };
    // A server looks again at an interval, however many unknown keys come.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let answer = loop {
        match here.call_one(1, 2).await {
            Err(status) if status.code() == Code::Unauthenticated => {
                assert!(tokio::time::Instant::now() < deadline, "{status}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            answer => break answer,
        }
    };
    assert_eq!(answer.unwrap(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_keys_that_others_can_read_keep_the_server_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token.key");
    let now = SystemTime::now();
    key_file::rotate(&path, now, now, DAY).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = TestServer::refused(|config| config.tokens.key_file = Some(path.clone())).await.to_string();
    let owner = std::fs::metadata(&path).unwrap().uid();
    assert_eq!(
        error,
        format!(
            "the token key file {} is not used: others can reach it (owner {owner}, mode 0644); it must belong \
             to the server's user with mode 0600 or less, or to root with mode 0640 or less",
            path.display()
        )
    );
}
