//! A package index on this machine: the simple repository interface, and wheels.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What is answered to a request for a path.
#[derive(Clone)]
pub(crate) enum Answer {
    Html(String),
    Bytes(Vec<u8>),
    /// The headers, then a byte now and then.
    Drip(usize),
    Redirect(String),
}

/// Answers until the test ends; counts what was asked for.
pub(crate) struct Index {
    address: String,
    answers: Arc<Mutex<BTreeMap<String, Answer>>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Index {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let index = Self { address, answers: Arc::default(), requests: Arc::default() };
        let (answers, requests) = (Arc::clone(&index.answers), Arc::clone(&index.requests));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, requests) = (Arc::clone(&answers), Arc::clone(&requests));
                thread::spawn(move || serve(stream, &answers, &requests));
            }
        });
        index
    }

    /// The address for the configuration.
    pub(crate) fn url(&self) -> String {
        format!("{}/simple", self.address)
    }

    pub(crate) fn set(&self, path: &str, answer: Answer) {
        self.answers.lock().expect("the lock").insert(path.to_owned(), answer);
    }

    /// Publishes a file under a package's name; `fragment` is what stands behind its address.
    pub(crate) fn publish(&self, name: &str, file_name: &str, fragment: &str, content: Answer) {
        let page =
            format!("<html><body><a href=\"/files/{file_name}{fragment}\">{file_name}</a></body></html>");
        self.set(&format!("/simple/{name}/"), Answer::Html(page));
        self.set(&format!("/files/{file_name}"), content);
    }

    /// Method, path and authorization of all requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("the lock").clone()
    }
}

fn serve(mut stream: TcpStream, answers: &Mutex<BTreeMap<String, Answer>>, requests: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let mut words = head.first().map(|line| line.split(' ')).into_iter().flatten();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let header = |name: &str| {
        head.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let authorization = header("authorization").unwrap_or_default();
    requests.lock().expect("the lock").push(format!("{method} {path} {authorization}").trim().to_owned());
    let answer = answers.lock().expect("the lock").get(path).cloned();
    let begin = |status: &str, kind: &str, length: usize, more: &str| {
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\r\n"
        )
    };
    let (head, body) = match answer {
        None => (begin("404 Not Found", "text/plain", 0, ""), Vec::new()),
        Some(Answer::Html(text)) => (begin("200 OK", "text/html", text.len(), ""), text.into_bytes()),
        Some(Answer::Bytes(bytes)) => (begin("200 OK", "application/octet-stream", bytes.len(), ""), bytes),
        Some(Answer::Redirect(to)) => {
            (begin("302 Found", "text/plain", 0, &format!("Location: {to}\r\n")), Vec::new())
        }
        Some(Answer::Drip(length)) => {
            let _ = stream.write_all(begin("200 OK", "application/octet-stream", length, "").as_bytes());
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(100));
            }
            return;
        }
    };
    let body = if method == "HEAD" { Vec::new() } else { body };
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}
