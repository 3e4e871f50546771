//! Those who attack: tasks that try one kind after the other, at random.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow_flight::{FlightData, FlightDescriptor};
use futures::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::Budget;
use crate::client::{self, Headers};
use crate::kinds::{KINDS, Kind, Manner};
use crate::report::{Ending, Tally};

/// A connection lasts so many attacks.
const CALLS_PER_CONNECTION: u32 = 300;

/// An attack that has not ended by then is one that the server did not end.
const PATIENCE: Duration = Duration::from_secs(20);

/// So many unexpected endings are shown when they happen.
const SHOWN: u64 = 20;

/// Attackers' tenants.
const TENANTS: [&str; 4] = ["evil-0", "evil-1", "evil-2", "evil-3"];

pub(crate) struct Attackers {
    endpoint: String,
    /// For every kind the headers of its function; those without one borrow the first's.
    functions: Vec<Headers>,
    /// An endless function, and an honest one.
    endless: Headers,
    honest: Headers,
    /// Attacks so far.
    pub(crate) done: AtomicU64,
    /// Endings shown at once, because they are not as expected.
    shown: AtomicU64,
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}

impl Attackers {
    pub(crate) async fn provision(endpoint: &str) -> Self {
        let function = async |index: usize, result: &str, code: &str| {
            let tenant = TENANTS[index % TENANTS.len()];
            // One handler for all, told apart by code; a comment keeps even equal ones apart.
            let code = format!("{code}# {index}\n");
            client::provision(endpoint, tenant, "f", result, &code).await.expect("attacks can be provisioned")
        };
        let honest = function(1000, "BIGINT NULL", "def f(a, b): return a + b\n").await;
        let endless = function(1001, "BIGINT NULL", "def f(a, b):\n    while True: pass\n").await;
        let mut functions = Vec::new();
        for (index, kind) in KINDS.iter().enumerate() {
            functions.push(match kind.manner {
                Manner::Call { result, code } => function(index, result, code).await,
                Manner::Zero { code } => function(index, "BIGINT NULL", code).await,
                _ => honest.clone(),
            });
        }
        Self {
            endpoint: endpoint.to_owned(),
            functions,
            endless,
            honest,
            done: AtomicU64::new(0),
            shown: AtomicU64::new(0),
        }
    }

    /// How many kinds there are.
    pub(crate) fn kinds(&self) -> usize {
        KINDS.len()
    }

    /// Attacks with so many tasks, until so many calls were made or the time has come.
    pub(crate) async fn run(self: &Arc<Self>, parallel: usize, calls: u64, end: Instant) -> Tally {
        let budget = Arc::new(Budget(AtomicU64::new(calls)));
        let tasks = (0..parallel).map(|number| {
            let (attackers, budget) = (self.clone(), budget.clone());
            let mut random = Random(number as u64 + 1 + self.done.load(Ordering::Relaxed));
            tokio::spawn(async move {
                let mut tally = Tally::default();
                'connections: loop {
                    let channel = client::connect(&attackers.endpoint).await;
                    for _ in 0..CALLS_PER_CONNECTION {
                        if Instant::now() >= end || !budget.take() {
                            break 'connections;
                        }
                        attackers.attack(&channel, &mut random, &mut tally).await;
                    }
                }
                tally
            })
        });
        let mut tally = Tally::default();
        for task in tasks.collect::<Vec<_>>() {
            tally.add(task.await.expect("an attacker's task ends"));
        }
        tally
    }

    /// Tries every kind a few times, one after the other.
    pub(crate) async fn each(&self) -> Tally {
        let (mut tally, mut random) = (Tally::default(), Random(1));
        let channel = client::connect(&self.endpoint).await;
        for index in 0..KINDS.len() {
            for _ in 0..3 {
                self.attack_as(index, &channel, &mut random, &mut tally).await;
            }
        }
        tally
    }

    async fn attack(&self, channel: &Channel, random: &mut Random, tally: &mut Tally) {
        let all: u32 = KINDS.iter().map(|kind| kind.weight).sum();
        let mut at = random.below(u64::from(all)) as u32;
        let chosen = KINDS.iter().position(|kind| {
            let is_it = at < kind.weight;
            at = at.saturating_sub(kind.weight);
            is_it
        });
        self.attack_as(chosen.unwrap_or(0), channel, random, tally).await;
    }

    async fn attack_as(&self, index: usize, channel: &Channel, random: &mut Random, tally: &mut Tally) {
        let kind = &KINDS[index];
        let attempt = self.attempt(kind.manner, &self.functions[index], channel, random);
        let outcome = tokio::time::timeout(PATIENCE, attempt).await;
        let ending = match outcome {
            Ok(outcome) => ending(kind, outcome),
            Err(_) => Ending { is_expected: false, text: format!("no end within {PATIENCE:?}") },
        };
        if !ending.is_expected && self.shown.fetch_add(1, Ordering::Relaxed) < SHOWN {
            println!("unexpected: {}: {}", kind.name, ending.text);
        }
        tally.count(kind.name, ending);
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// What came of it: a number of messages, or the error. Who goes away counts as cancelled.
    async fn attempt(
        &self,
        manner: Manner,
        headers: &Headers,
        channel: &Channel,
        random: &mut Random,
    ) -> Result<String, Status> {
        let one = || client::messages("f", &[(1, 2)]);
        let gone = || Status::cancelled("gone");
        match manner {
            Manner::Call { .. } => told(client::call(channel, headers, one()).await?),
            Manner::Zero { .. } => {
                let answers = client::call(channel, headers, one()).await?;
                match client::first_value(&answers) {
                    Some(0) => Ok("0".into()),
                    other => Err(Status::data_loss(format!("{other:?} was left behind"))),
                }
            }
            Manner::Cancel => {
                let patience = Duration::from_micros(random.below(3000));
                let call = client::call(channel, &self.endless, one());
                match tokio::time::timeout(patience, call).await {
                    // The fuel was used up first.
                    Ok(Err(status)) if status.code() == Code::ResourceExhausted => Err(gone()),
                    Ok(outcome) => told(outcome?),
                    Err(_) => Err(gone()),
                }
            }
            Manner::HalfOpen => {
                // Ends with this attack: the client's library would keep the exchange open, and the tenant's
                // places would be taken until the server's idle timeout.
                let (gone_away, going) = tokio::sync::oneshot::channel::<()>();
                let schema = futures::stream::iter(one().into_iter().take(1))
                    .chain(futures::stream::pending())
                    .take_until(going);
                let mut client =
                    arrow_flight::flight_service_client::FlightServiceClient::new(channel.clone());
                let answers = client.do_exchange(client::request(&self.honest, schema)).await?;
                tokio::time::sleep(Duration::from_micros(random.below(2000))).await;
                drop((answers, gone_away));
                Err(gone())
            }
            Manner::NeverRead => {
                let rows: Vec<_> = (0..20).map(|row| (row, row)).collect();
                let answers = client::open(channel, &self.honest, client::messages("f", &rows)).await?;
                tokio::time::sleep(Duration::from_micros(random.below(4000))).await;
                drop(answers);
                Err(gone())
            }
            Manner::Garbage => {
                let mut messages = one();
                for message in &mut messages {
                    message.data_header = garbage(random).into();
                    message.data_body = garbage(random).into();
                }
                told(client::call(channel, &self.honest, messages).await?)
            }
            Manner::Flip => {
                let mut messages = one();
                for _ in 0..=random.below(6) {
                    let message = random.below(messages.len() as u64) as usize;
                    let message = &mut messages[message];
                    let is_body = random.below(4) == 0 && !message.data_body.is_empty();
                    let part = if is_body { &mut message.data_body } else { &mut message.data_header };
                    let mut bytes = part.to_vec();
                    let at = random.below(bytes.len() as u64) as usize;
                    bytes[at] ^= 1 << random.below(8);
                    *part = bytes.into();
                }
                told(client::call(channel, &self.honest, messages).await?)
            }
            Manner::NoToken => {
                let headers = without_token(&self.honest);
                told(client::call(channel, &headers, one()).await?)
            }
            Manner::OtherToken => {
                // The token of the good-natured function under the name of another tenant.
                let mut headers = self.honest.clone();
                for (name, value) in &mut headers {
                    if name.as_str() == "x-databend-tenant" {
                        *value = "good".parse().expect("a tenant's name");
                    }
                }
                headers.push(("x-databend-tenant".parse().expect("a name"), "good".parse().expect("a name")));
                told(client::call(channel, &headers, client::messages("add", &[(1, 2)])).await?)
            }
            Manner::ChangedToken => {
                let mut headers = self.honest.clone();
                for (name, value) in &mut headers {
                    if name.as_str() == "authorization" {
                        let mut text = value.to_str().unwrap_or_default().to_owned().into_bytes();
                        // Not in the last letter, whose lowest bits stand for nothing.
                        let at = text.len() / 2 + random.below(text.len() as u64 / 2 - 1) as usize;
                        text[at] = if text[at] == b'A' { b'B' } else { b'A' };
                        *value = String::from_utf8_lossy(&text).parse().expect("letters");
                    }
                }
                told(client::call(channel, &headers, one()).await?)
            }
            Manner::NoDescriptor => {
                let mut messages = one();
                messages[0].flight_descriptor =
                    [None, Some(FlightDescriptor::new_path(Vec::new()))][random.below(2) as usize].clone();
                told(client::call(channel, &self.honest, messages).await?)
            }
            Manner::OtherFunction => {
                let name = ["add", "", "f\u{0}", "../f", "%2e%2e"][random.below(5) as usize];
                told(client::call(channel, &self.honest, client::messages(name, &[(1, 2)])).await?)
            }
            Manner::Definition => {
                let texts = ["", "{}", "[[[[", "{\"version\": 99}", "null", "{\"code\": \"\\ud800\"}"];
                let text = texts[random.below(texts.len() as u64) as usize];
                client::apply(channel.clone(), TENANTS[0], text).await.map(|_| "provisioned".to_owned())
            }
            Manner::Socket => {
                let address = self.endpoint.trim_start_matches("http://");
                let connected = tokio::net::TcpStream::connect(address).await;
                let mut socket = connected.map_err(|error| Status::unavailable(error.to_string()))?;
                let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
                if random.below(2) == 0 {
                    bytes.clear();
                }
                bytes.extend(garbage(random));
                // The server may have closed it already.
                let _ = socket.write_all(&bytes).await;
                tokio::time::sleep(Duration::from_micros(random.below(3000))).await;
                drop(socket);
                Err(gone())
            }
        }
    }
}

fn told(answers: Vec<FlightData>) -> Result<String, Status> {
    Ok(format!("{} messages", answers.len()))
}

fn garbage(random: &mut Random) -> Vec<u8> {
    (0..random.below(200)).map(|_| random.below(256) as u8).collect()
}

fn without_token(headers: &Headers) -> Headers {
    headers.iter().filter(|(name, _)| name.as_str() != "authorization").cloned().collect()
}

/// Whether the attack ended as it should.
fn ending(kind: &Kind, outcome: Result<String, Status>) -> Ending {
    let (code, text) = match outcome {
        Ok(text) => (Code::Ok, text),
        Err(status) => (status.code(), status.message().to_owned()),
    };
    let has_word = code == Code::Ok || kind.words.iter().any(|word| text.contains(word));
    let is_expected = kind.codes.contains(&code) && has_word;
    // The last line of a traceback is the error; numbers in it would make every ending another.
    let last = text.trim_end().lines().next_back().unwrap_or_default();
    let short: String = last.chars().filter(|c| !c.is_ascii_digit()).take(90).collect();
    Ending { is_expected, text: format!("{code:?}: {short}") }
}
