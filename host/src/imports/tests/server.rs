//! An HTTP server that answers as a test wants, and names that lead where a test wants.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Serves until the test's process ends.
pub(super) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers each request, given its head, by writing to the connection.
    pub(super) fn start(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Server {
        Server::at("127.0.0.1", answer)
    }

    pub(super) fn at(host: &str, answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let server = Server { address, requests: Arc::clone(&requests) };
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (requests, answer) = (Arc::clone(&requests), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    let mut head = String::new();
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while !head.ends_with("\r\n\r\n") {
                        // What is no text (a TLS greeting) has no head.
                        if !matches!(reader.read_line(&mut head), Ok(1..)) {
                            break;
                        }
                    }
                    requests.lock().unwrap().push(head.clone());
                    answer(&head, &mut stream);
                });
            }
        });
        server
    }

    /// Answers every request with the same bytes.
    pub(super) fn with(response: impl Into<Vec<u8>>) -> Server {
        let response = response.into();
        Server::start(move |_, stream| drop(stream.write_all(&response)))
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// A URL of this server, as of the host `store.test`, with a signature.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://store.test:{}/{path}?X-Signature=s3cret", self.port())
    }

    /// The heads of the requests so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A whole response.
pub(super) fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A resolver whose names lead to lists of addresses, one list after the other; the last one stays.
/// Other names lead to 127.0.0.1.
#[derive(Debug, Default)]
pub(super) struct Names {
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    lookups: Mutex<Vec<String>>,
}

impl Names {
    pub(super) fn answer(&self, host: &str, answers: &[&[&str]]) {
        let parse = |addresses: &&[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
        let answers = answers.iter().rev().map(parse).collect();
        self.answers.lock().unwrap().insert(host.to_owned(), answers);
    }

    pub(super) fn lookups(&self) -> Vec<String> {
        self.lookups.lock().unwrap().clone()
    }
}

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap().to_owned();
        self.lookups.lock().unwrap().push(host.clone());
        let mut answers = self.answers.lock().unwrap();
        let addresses = match answers.get_mut(&host) {
            Some(answers) if answers.len() > 1 => answers.pop().unwrap(),
            Some(answers) => answers[0].clone(),
            None => match host.parse() {
                Ok(address) => vec![address],
                Err(_) => vec![IpAddr::from([127, 0, 0, 1])],
            },
        };
        let mut found = self.empty();
        for address in addresses {
            found.push(SocketAddr::new(address, uri.port_u16().unwrap_or(80)));
        }
        Ok(found)
    }
}
