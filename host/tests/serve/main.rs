//! The server over the wire: provisioning, exchanges, refusals, limits, the way down.

#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "tests")]

mod batches;
mod client;
mod connections;
mod keys;
mod quotas;
mod tls;

use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{FlightData, FlightDescriptor};
use futures::StreamExt as _;
use tonic::{Code, Status};
use vivarium_host::server::Ended;

use client::{Function, TestServer, batch, specification, values};

const ADD: &str = "def add(a, b): return a + b";
const ENDLESS: &str = "def spin(a, b):\n    while True: pass\n";

#[tokio::test(flavor = "multi_thread")]
async fn each_batch_is_answered_with_one_batch_in_order() {
    let server = TestServer::start(|_| ()).await;
    let add = server.function("acme", "add", ADD).await;
    let batches = vec![batch(&[1, 2], &[10, 20]), batch(&[], &[]), batch(&[3], &[30])];
    let results = add.call(batches).await.unwrap();
    let results: Vec<_> = results.iter().map(values).collect();
    assert_eq!(results, [vec![Some(11), Some(22)], vec![], vec![Some(33)]]);

    assert!(add.call(Vec::new()).await.unwrap().is_empty(), "no batches, no results");
}

#[tokio::test(flavor = "multi_thread")]
async fn results_come_while_the_client_still_sends_and_say_what_they_used() {
    let server = TestServer::start(|_| ()).await;
    let add = server.function("acme", "add", ADD).await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let mut answers = add.exchange(tokio_stream::wrappers::ReceiverStream::new(receiver)).await;
    let mut messages = add.messages(vec![batch(&[1, 2], &[3, 4]), batch(&[5], &[6])]);
    sender.send(messages.next().await.unwrap()).await.unwrap();
    assert!(!answers.message().await.unwrap().unwrap().data_header.is_empty(), "the schema");
    let mut fuel_before = 0;
    for rows in [2, 3] {
        sender.send(messages.next().await.unwrap()).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        let usage: serde_json::Value = serde_json::from_slice(&answer.app_metadata).unwrap();
        assert_eq!(usage["rows"], rows);
        assert!(usage["fuel"].as_u64().unwrap() > fuel_before, "{usage}");
        fuel_before = usage["fuel"].as_u64().unwrap();
    }
    drop(sender);
    assert!(answers.message().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_function_serves_new_tokens_while_old_ones_keep_the_old() {
    let server = TestServer::start(|_| ()).await;
    let old = server.function("acme", "add", ADD).await;
    let new = server.function("acme", "add", "def add(a, b): return a + b + 1000").await;
    assert_eq!(new.call_one(1, 2).await.unwrap(), Some(1003));
    assert_eq!(old.call_one(1, 2).await.unwrap(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_tokens_and_images_survive_a_restart() {
    let server = TestServer::start(|_| ()).await;
    let add = server.function("acme", "add", ADD).await;
    assert_eq!(add.call_one(1, 2).await.unwrap(), Some(3));
    let (ended, state) = server.stop().await;
    assert_eq!(ended, Ended::Drained);
    assert!(state.path().join("images").read_dir().unwrap().next().is_some());

    let server = TestServer::start_in(state, |_| ()).await;
    let again = Function { channel: server.channel().await, ..add };
    assert_eq!(again.call_one(1, 2).await.unwrap(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_first_callers_at_once_all_get_their_answer() {
    let server = TestServer::start(|_| ()).await;
    let code = "import decimal, json, fractions\ndef add(a, b): return a + b";
    let callers = (0..16).map(|index| {
        let server = &server;
        async move { server.function("acme", "add", code).await.call_one(index, 1).await.unwrap() }
    });
    let answers = futures::future::join_all(callers).await;
    assert_eq!(answers, (1..17).map(Some).collect::<Vec<_>>());
}

async fn refusal(function: &Function) -> (Code, String) {
    let status = function.call_one(1, 2).await.unwrap_err();
    (status.code(), status.message().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_apart_and_come_inside_the_stream() {
    let server = TestServer::start(|_| ()).await;
    let add = server.function("acme", "add", ADD).await;
    let other = server.function("acme", "other", "def other(a, b): return a").await;
    let with = |change: &dyn Fn(&mut Function)| {
        let mut function = add.clone();
        change(&mut function);
        function
    };
    let forge = |value: &mut String| {
        value.pop();
        value.push('!');
    };
    let cases: Vec<(&str, Function, Code, &str)> = vec![
        ("no token", with(&|f| f.headers.clear()), Code::Unauthenticated, "no token"),
        ("malformed", with(&|f| forge(&mut f.headers[0].1)), Code::Unauthenticated, "malformed"),
        (
            "unknown",
            with(&|f| f.handler = "nothing".into()),
            Code::InvalidArgument,
            "Function nothing does not exist",
        ),
        (
            "other function",
            with(&|f| f.handler = "other".into()),
            Code::PermissionDenied,
            "permits function `add`",
        ),
        (
            "other tenant",
            with(&|f| f.headers.push(("x-databend-tenant".into(), "evil".into()))),
            Code::PermissionDenied,
            "another tenant",
        ),
        (
            "contradiction",
            with(&|f| f.headers.push(("x-databend-function-handler".into(), "other".into()))),
            Code::InvalidArgument,
            "x-databend-function-handler",
        ),
        (
            "other's token",
            Function { handler: "add".into(), ..other.clone() },
            Code::PermissionDenied,
            "`other`",
        ),
    ];
    for (name, function, code, text) in cases {
        let (found, message) = refusal(&function).await;
        assert_eq!(found, code, "{name}: {message}");
        assert!(message.contains(text), "{name}: {message}");
    }
    assert_eq!(add.call_one(1, 2).await.unwrap(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn public_functions_need_no_token_and_tokens_lead_to_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("public.py");
    let source = "import vivarium\n@vivarium.udf\ndef add(a: int | None, b: int | None) -> int | None:\n    return 1000\n";
    std::fs::write(&file, source).unwrap();
    let server = TestServer::start(|config| config.functions.files = vec![file]).await;
    let own = server.function("acme", "add", ADD).await;
    let with = |handler: &str, token: Option<String>| Function {
        handler: handler.to_owned(),
        headers: token.map(|token| ("authorization".to_owned(), token)).into_iter().collect(),
        ..own.clone()
    };
    assert_eq!(own.call_one(1, 2).await.unwrap(), Some(3));
    assert_eq!(with("add", None).call_one(1, 2).await.unwrap(), Some(1000));
    // What other servers use this header for does not concern us.
    let foreign = with("add", Some("Bearer abc".to_owned()));
    assert_eq!(foreign.call_one(1, 2).await.unwrap(), Some(1000));

    let mut forged = own.headers[0].1.clone();
    forged.replace_range(forged.len() - 2.., "AA");
    let (code, _) = refusal(&with("add", Some(forged))).await;
    assert_eq!(code, Code::Unauthenticated, "a token of ours counts, even where none is needed");
    let (code, message) = refusal(&with("nothing", None)).await;
    assert_eq!((code, message.as_str()), (Code::InvalidArgument, "Function nothing does not exist"));
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_tokens_say_so() {
    let server = TestServer::start(|config| config.tokens.lifetime_s = 1).await;
    let add = server.function("acme", "add", ADD).await;
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let (code, message) = refusal(&add).await;
    assert_eq!(code, Code::Unauthenticated);
    assert!(message.contains("expired"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_functions_have_a_code_and_the_users_traceback() {
    let server = TestServer::start(|config| {
        config.limits.fuel_per_batch = 500_000_000;
        config.limits.deadline_ms = 20_000;
    })
    .await;
    let cases = [
        ("def f(a, b):\n    return a // 0\n", Code::InvalidArgument, "ZeroDivisionError"),
        (
            "def f(a, b):\n    raise OSError('Connection reset by peer')\n",
            Code::InvalidArgument,
            "Connection-reset",
        ),
        ("def f(a, b):\n    raise ValueError('x' * 100_000)\n", Code::InvalidArgument, "xxx"),
        ("def f(a, b): return 'text'\n", Code::InvalidArgument, "int64"),
        ("def f(a, b):\n    while True: pass\n", Code::ResourceExhausted, "fuel"),
        ("def f(a, b): return bytearray(1 << 30)[0]\n", Code::ResourceExhausted, "memory"),
        ("retrun 1\n", Code::InvalidArgument, "SyntaxError"),
        ("import nothing_like_this\n", Code::InvalidArgument, "ModuleNotFoundError"),
        ("def g(a, b): return a\n", Code::InvalidArgument, "`f`"),
    ];
    for (code, expected, text) in cases {
        let function = server.function("acme", "f", code).await;
        for _ in 0..2 {
            let (found, message) = refusal(&function).await;
            assert_eq!(found, expected, "{code}: {message}");
            assert!(message.contains(text), "{code}: {message}");
        }
    }
    assert_eq!(server.function("acme", "add", ADD).await.call_one(1, 2).await.unwrap(), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_arrow_are_refused() {
    let server = TestServer::start(|_| ()).await;
    let add = server.function("acme", "add", ADD).await;
    let garbage = FlightData::new().with_data_header(vec![7; 64]).with_data_body(vec![9; 64]);
    let described = garbage.clone().with_descriptor(add.descriptor());
    let first: Vec<FlightData> = add.messages(vec![batch(&[1], &[2])]).collect().await;
    let mut truncated = first.clone();
    truncated[1].data_body = truncated[1].data_body.slice(..8);
    let cases = [
        ("garbage", vec![described], "not an Arrow IPC message"),
        ("no descriptor", vec![garbage.clone()], "descriptor"),
        ("nothing", vec![], "descriptor"),
        ("garbage later", vec![first[0].clone(), garbage], "not an Arrow IPC message"),
        ("truncated body", truncated, "outside its body"),
        ("batch first", vec![first[1].clone().with_descriptor(add.descriptor())], "before the schema"),
    ];
    for (name, messages, text) in cases {
        let mut answers = add.exchange(futures::stream::iter(messages)).await;
        let status = loop {
            match answers.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{name}: it was not refused"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::InvalidArgument, "{name}: {status}");
        assert!(status.message().contains(text), "{name}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_frees_its_place_at_once() {
    let server = TestServer::start(|config| {
        config.server.max_concurrent_exchanges = NonZeroUsize::MIN;
        config.server.workers = 1;
        config.limits.fuel_per_batch = u64::MAX >> 1;
        config.limits.deadline_ms = 60_000;
    })
    .await;
    let spin = server.function("noisy", "spin", ENDLESS).await;
    let add = server.function("acme", "add", ADD).await;
    assert_eq!(add.call_one(1, 2).await.unwrap(), Some(3));
    for _ in 0..5 {
        let mut answers = spin.exchange(spin.messages(vec![batch(&[1], &[2])])).await;
        answers.message().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(answers);
        let began = Instant::now();
        assert_eq!(add.call_one(1, 2).await.unwrap(), Some(3));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

/// With one thread and calls that end with the test only.
#[tokio::test(flavor = "multi_thread")]
async fn short_calls_never_wait_for_long_ones() {
    let server = TestServer::start(|config| {
        config.server.workers = 1;
        config.limits.fuel_per_batch = u64::MAX >> 1;
        config.limits.deadline_ms = 3_600_000;
    })
    .await;
    let (spin, sleep) = (
        server.function("noisy", "spin", ENDLESS).await,
        server.function("sleepy", "nap", "import time\ndef nap(a, b):\n    time.sleep(3000)\n").await,
    );
    let add = server.function("acme", "add", ADD).await;
    let mut endless = Vec::new();
    for function in [&spin, &spin, &sleep, &sleep] {
        let mut answers = function.exchange(function.messages(vec![batch(&[1], &[2])])).await;
        answers.message().await.unwrap();
        endless.push(answers);
        for number in 0..20 {
            assert_eq!(add.call_one(number, 2).await.unwrap(), Some(number + 2));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_a_place_ends_in_an_error_that_names_the_limits() {
    let server = TestServer::start(|config| {
        config.tenants.max_concurrent_exchanges = NonZeroUsize::MIN;
        config.server.exchange_wait_s = 1;
    })
    .await;
    let add = server.function("acme", "add", ADD).await;
    let (_open, messages) = tokio::sync::mpsc::channel::<FlightData>(1);
    let first =
        add.messages(vec![batch(&[1], &[2])]).chain(tokio_stream::wrappers::ReceiverStream::new(messages));
    let mut holding = add.exchange(first).await;
    for _ in 0..2 {
        assert!(holding.message().await.unwrap().is_some());
    }
    let (code, message) = refusal(&add).await;
    assert_eq!(code, Code::ResourceExhausted, "{message}");
    assert!(message.contains("tenants.max_concurrent_exchanges is 1, 1 in use"), "{message}");
    let other = server.function("other", "add", ADD).await;
    assert_eq!(other.call_one(1, 2).await.unwrap(), Some(3), "another tenant has its own places");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_let_go() {
    let server = TestServer::start(|config| config.server.idle_timeout_s = 1).await;
    let add = server.function("acme", "add", ADD).await;
    let silence = add.messages(vec![batch(&[1], &[2])]).chain(futures::stream::pending());
    let mut answers = add.exchange(silence).await;
    let status = loop {
        match answers.message().await {
            Ok(message) => assert!(message.is_some()),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("idle_timeout_s"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_running_exchanges_end() {
    let mut server = TestServer::start(|_| ()).await;
    let add = server.function("acme", "add", ADD).await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let mut answers = add.exchange(tokio_stream::wrappers::ReceiverStream::new(receiver)).await;
    let mut messages = add.messages(vec![batch(&[1], &[2])]);
    sender.send(messages.next().await.unwrap()).await.unwrap();
    answers.message().await.unwrap();
    server.begin_stop();
    let refuses = async { while tokio::net::TcpStream::connect(server.address).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(30), refuses).await.expect("no new connections");
    sender.send(messages.next().await.unwrap()).await.unwrap();
    assert!(answers.message().await.unwrap().is_some(), "the running exchange goes on");
    drop((sender, answers, add));
    assert_eq!(server.stop().await.0, Ended::Drained);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_does_not_end_is_cut_off() {
    let server = TestServer::start(|config| config.server.drain_s = 0).await;
    let add = server.function("acme", "add", ADD).await;
    let silence = add.messages(vec![batch(&[1], &[2])]).chain(futures::stream::pending());
    let mut answers = add.exchange(silence).await;
    answers.message().await.unwrap();
    let told = tokio::spawn(async move {
        while let Some(_answer) = answers.message().await? {}
        Ok::<_, Status>(())
    });
    assert_eq!(server.stop().await.0, Ended::Cut);
    let status = told.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("server.drain_s"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn flight_info_describes_the_signature() {
    let server = TestServer::start(|_| ()).await;
    let add = server.function("acme", "add", ADD).await;
    let mut client = FlightServiceClient::new(add.channel.clone());
    let info = client.get_flight_info(add.request(add.descriptor())).await.unwrap().into_inner();
    assert_eq!((info.total_records, info.endpoint.len()), (3, 0));
    assert_eq!(info.flight_descriptor, Some(add.descriptor()));
    let schema = info.try_decode_schema().unwrap();
    assert_eq!(schema.metadata()["x-databend-udf-input-count"], "2");
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["arg1", "arg2", "result"]);

    let unknown = add.request(FlightDescriptor::new_path(vec!["x".into()]));
    assert_eq!(client.get_flight_info(unknown).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn provisioning_refuses_with_a_reason() {
    let server = TestServer::start(|config| {
        config.tenants.max_functions = NonZeroUsize::MIN;
        config.build_limits.code_bytes = 1000;
    })
    .await;
    let apply = async |spec: serde_json::Value| server.apply("acme", &spec.to_string()).await;
    let status = apply(specification("f", &"#".repeat(2000))).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("build_limits.code_bytes is 1000"), "{status}");

    apply(specification("f", "1")).await.unwrap();
    apply(specification("f", "1")).await.expect("known already");
    let status = apply(specification("f", "2")).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.message().contains("tenants.max_functions"), "{status}");

    let mut spec = specification("f", "1");
    spec["packages"] = serde_json::json!(["not a requirement"]);
    assert_eq!(apply(spec).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(server.apply("acme", "{").await.unwrap_err().code(), Code::InvalidArgument);
    let status = server.apply(&"t".repeat(200), &specification("f", "1").to_string()).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}
