//! Health, statistics and metrics over HTTP/1.1, for who watches the server.
//!
//! | path | answer |
//! |---|---|
//! | `/health` | `1`, while the server accepts calls; status 503 and `0` while it drains |
//! | `/stats` | JSON: `request_count` (batches), `first_request_time`, `last_request_time` (ISO 8601, UTC, or null); `tenants`, by name: `functions`, `sandboxes`, `memory_bytes`, `fuel` (left of a quota) |
//! | `/metrics` | [`crate::metrics`], in the OpenMetrics text format |
//!
//! No token is needed, nothing of a function's code, arguments or results is told, and nothing can be
//! changed. The address is `server.status_address`, by default one that only this machine reaches.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::connections::Connections;
use crate::functions::Functions;
use crate::metrics::{Metrics, StatsReport, TenantLevels};

/// What the text format of the metrics is called.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Connections at the same time; further ones wait.
const MAX_CONNECTIONS: usize = 64;

/// Longest time for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest life of a connection: nobody holds a place for good.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

/// What is told.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Tells what there is.
    pub functions: Arc<Functions>,
    /// Tells what was counted.
    pub metrics: Arc<Metrics>,
    /// Becomes true when the server no longer accepts calls.
    pub stopped: watch::Receiver<bool>,
}

/// Answers until it is dropped.
pub async fn serve(listener: TcpListener, observed: Observed) {
    let mut connections =
        std::pin::pin!(Connections::new(MAX_CONNECTIONS, HEAD_TIMEOUT).accept(listener, None));
    while let Some(Ok(connection)) = connections.next().await {
        let observed = observed.clone();
        let service = service_fn(move |request| {
            let answer = observed.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(connection), service);
        tokio::spawn(async move {
            if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_TIMEOUT, serving).await {
                tracing::debug!(%error, "a connection for the status failed");
            }
        });
    }
}

/// The answer to `GET /stats`.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    stats: StatsReport,
    tenants: BTreeMap<String, TenantLevels>,
}

impl Observed {
    fn stats(&self) -> Report {
        let tenants = self.metrics.by_label(&self.functions.levels());
        Report { stats: self.metrics.stats().report(), tenants }
    }

    fn answer<T>(&self, request: &Request<T>) -> Response<Full<Bytes>> {
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return response(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET");
        }
        match request.uri().path() {
            "/health" if *self.stopped.borrow() => {
                response(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "0")
            }
            "/health" => response(StatusCode::OK, "text/plain", "1"),
            "/stats" => match serde_json::to_string(&self.stats()) {
                Ok(report) => response(StatusCode::OK, "application/json", report),
                Err(_) => response(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "no report"),
            },
            "/metrics" => {
                let text = self.metrics.render(&self.functions.levels());
                response(StatusCode::OK, OPEN_METRICS, text)
            }
            _ => response(StatusCode::NOT_FOUND, "text/plain", "there are /health, /stats and /metrics"),
        }
    }
}

fn response(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
