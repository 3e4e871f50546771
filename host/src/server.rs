//! The server: listeners, services, the way down.

use std::future::Future;
use std::net::{SocketAddr, TcpListener as Socket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic::transport::Server as GrpcServer;
use vivarium_runtime::{Engine, EngineConfig, EngineError, Interpreter};

use crate::config::Config;
use crate::connections::Connections;
use crate::declared::{self, DeclaredError};
use crate::flight::Flight;
use crate::functions::{Functions, StartError};
use crate::metrics::Metrics;
use crate::network::{self, NetworkError};
use crate::observe::{self, Observed};
use crate::provisioning::{Provisioning, Workers};
use crate::tls::{Tls, TlsError, TlsService};
use crate::workers::WorkerPool;

/// How long exchanges that are cut off have to tell their clients.
const FAREWELL: Duration = Duration::from_secs(1);

/// A server that owns its addresses and is ready to run.
pub struct Server {
    config: Config,
    engine: Engine,
    functions: Arc<Functions>,
    workers: Arc<Workers>,
    metrics: Arc<Metrics>,
    listeners: Listeners,
}

/// Bound addresses: clients can connect and wait from here on.
#[derive(Debug)]
pub struct Listeners {
    flight: Socket,
    /// Absent when the Flight listener serves provisioning too.
    provisioning: Option<Socket>,
    /// Absent when nobody may watch.
    status: Option<TcpListener>,
    addresses: Addresses,
    tls: Option<Arc<Tls>>,
}

/// Makes a running server look at the operator's files again. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reload {
    functions: Arc<Functions>,
    tls: Option<Arc<Tls>>,
}

impl Reload {
    /// Reads certificates, token keys and environments again, as far as their files have changed. What
    /// cannot be used is reported in the log, and the server keeps what it had.
    pub fn now(&self) {
        self.functions.reload();
        if let Some(tls) = &self.tls {
            tls.reload();
        }
    }
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Arrow Flight.
    pub flight: SocketAddr,
    /// Provisioning.
    pub provisioning: SocketAddr,
    /// Health, statistics and metrics, unless they are off.
    pub status: Option<SocketAddr>,
}

/// Why the server cannot start or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// An address cannot be bound.
    #[error("cannot listen on {address} (server.{key})")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The configuration key it comes from.
        key: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The files of TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The sandbox cannot be set up.
    #[error("cannot set up the sandbox with the cache directory {}", cache_dir.display())]
    Engine {
        /// Where the compiled module is kept.
        cache_dir: PathBuf,
        /// Why.
        source: EngineError,
    },
    /// The functions cannot be set up.
    #[error(transparent)]
    Functions(#[from] StartError),
    /// A file of functions cannot be served.
    #[error(transparent)]
    Declared(Box<DeclaredError>),
    /// Connections cannot be served.
    #[error("connections cannot be served")]
    Network(#[from] NetworkError),
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every exchange came to its end.
    Drained,
    /// Exchanges were still running when the time for draining was over, or were told to stop.
    Cut,
}

impl Listeners {
    /// Binds the addresses of `config`. Nothing is answered before the server runs, but from here
    /// on connections are taken, and an address that is in use is found out before any other work.
    ///
    /// # Errors
    /// [`ServerError::Bind`], [`ServerError::Tls`].
    pub async fn bind(config: &Config) -> Result<Self, ServerError> {
        let server = &config.server;
        let tls = Tls::open(&config.tls)?.map(Arc::new);
        let (flight, flight_address) = bind_shared(server.flight_address, "flight_address").await?;
        let one_port = server.flight_address == server.provisioning_address;
        let (provisioning, provisioning_address) = if one_port {
            (None, flight_address)
        } else {
            let (listener, address) =
                bind_shared(server.provisioning_address, "provisioning_address").await?;
            (Some(listener), address)
        };
        let status = match server.status_address.0 {
            Some(address) => Some(bind(address, "status_address").await?),
            None => None,
        };
        let (status, status_address) = status.unzip();
        let addresses =
            Addresses { flight: flight_address, provisioning: provisioning_address, status: status_address };
        Ok(Self { flight, provisioning, status, addresses, tls })
    }
}

impl Server {
    /// Sets up sandbox, workers and functions behind bound listeners. Takes seconds the first time,
    /// when the sandbox module is compiled. Blocks the calling thread.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn start(config: Config, listeners: Listeners) -> Result<Self, ServerError> {
        let engine = Self::engine(&config)?;
        Self::with_engine(config, listeners, engine)
    }

    /// The engine that a configuration asks for.
    ///
    /// # Errors
    /// [`ServerError::Engine`].
    pub fn engine(config: &Config) -> Result<Engine, ServerError> {
        let cache_dir = config.cache_dir();
        let engine_config = EngineConfig {
            cache_dir: Some(cache_dir.clone()),
            max_instances: config
                .server
                .max_concurrent_exchanges
                .get()
                .saturating_add(config.server.build_workers.get()),
            host_memory_bytes: config.server.host_memory_bytes,
        };
        Engine::new(engine_config).map_err(|source| ServerError::Engine { cache_dir, source })
    }

    /// Like [`Server::start`], with an engine that exists already.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn with_engine(config: Config, listeners: Listeners, engine: Engine) -> Result<Self, ServerError> {
        let identity = engine.identity();
        tracing::info!(
            python = identity.python_version,
            guest = identity.guest_digest,
            exchanges = config.concurrent_exchanges(),
            workers = config.worker_pool().threads,
            "sandbox ready"
        );
        let workers = WorkerPool::start("worker", config.worker_pool()).map_err(StartError::Thread)?;
        let metrics = Arc::new(Metrics::new(&config.metrics));
        let mut functions =
            Functions::start(&config, engine.clone(), Arc::new(workers), Arc::clone(&metrics))?;
        let declared =
            declared::load(&engine, functions.packages(), &config.functions.files, &config.build_limits)
                .map_err(|error| ServerError::Declared(Box::new(error)))?;
        let workers = Workers::open(&config.server.state_dir, &config.provisioning, &config.classes)
            .map_err(StartError::Store)?;
        for (tenant, name) in workers.suspended() {
            functions.suspend(&tenant, &name, true);
        }
        for function in declared {
            tracing::info!(
                function = function.spec.name,
                kind = function.spec.kind.name(),
                file = function.spec.filename,
                "public function"
            );
            functions.publish(function);
        }
        let (functions, workers) = (Arc::new(functions), Arc::new(workers));
        Ok(Self { config, engine, functions, workers, metrics, listeners })
    }

    /// Where the server listens; a port of 0 in the configuration has become a real one.
    pub fn addresses(&self) -> Addresses {
        self.listeners.addresses
    }

    /// Makes this server look at its files, at any time while it runs.
    pub fn reload(&self) -> Reload {
        Reload { functions: Arc::clone(&self.functions), tls: self.listeners.tls.clone() }
    }

    /// Serves until `shutdown` is done, then lets running exchanges end, for at most the configured
    /// time and until `abort` is done. What the configuration wants to be ready soon, and nobody has to wait
    /// for, begins here: the interpreter with NumPy, and images of earlier runs.
    ///
    /// # Errors
    /// [`ServerError::Network`]; [`ServerError::Functions`], if there is no thread to be had.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send,
        abort: impl Future<Output = ()> + Send,
    ) -> Result<Ended, ServerError> {
        let Self { config, engine, functions, workers, metrics, listeners } = self;
        if config.server.numpy_at_start {
            prepare_numpy(engine).map_err(StartError::Thread)?;
        }
        if config.server.images_at_start > 0 {
            functions.load_images(config.server.images_at_start).map_err(StartError::Thread)?;
        }
        let building = Arc::clone(&functions);
        let endpoint = config.server.advertised_endpoint.clone().unwrap_or_else(|| {
            let scheme = if config.tls.covers(TlsService::Flight) { "https" } else { "http" };
            format!("{scheme}://{}", listeners.addresses.flight)
        });
        let (cut, is_cut) = watch::channel(false);
        let flight = Flight::service(Arc::clone(&functions), Arc::clone(&metrics), &config, is_cut);
        let (stop, stopped) = watch::channel(false);
        let observed = Observed {
            functions: Arc::clone(&functions),
            metrics: Arc::clone(&metrics),
            stopped: stopped.clone(),
        };
        let provisioning = Provisioning::new(functions, workers, metrics, &config, endpoint);
        // Aborted when this future ends or is dropped.
        let mut observing = JoinSet::new();
        if let (Some(listener), Some(address)) = (listeners.status, listeners.addresses.status) {
            // Databend's control plane looks for this address in the log.
            tracing::info!("health at http://{address}/health");
            observing.spawn(observe::serve(listener, observed));
        }

        let connections = Connections::new(
            config.server.max_connections.get(),
            Duration::from_secs(config.server.opening_timeout_s.get()),
        );
        let tls = |service| listeners.tls.clone().filter(|_| config.tls.covers(service));
        let (flight_tls, provisioning_tls) = (tls(TlsService::Flight), tls(TlsService::Provisioning));
        let drain = config.server.drain_s;
        let services = Services { flight, provisioning, config: Arc::new(config), connections, stopped };
        let entrances = Entrances {
            flight: (listeners.flight, flight_tls),
            provisioning: listeners.provisioning.map(|socket| (socket, provisioning_tls)),
        };
        let threads = services.config.network_threads();
        let shared = (0..threads).map(|_| entrances.share()).collect::<Result<Vec<_>, _>>()?;
        // When the threads take no connections any more, nobody does.
        drop(entrances);
        let serve = |entrances| {
            let services = services.clone();
            move || services.serve(entrances)
        };
        let serving = network::on_threads(shared.into_iter().map(serve).collect());
        let serving = async {
            serving.await?;
            // Those that were built last; without them they would be built again.
            building.images_are_kept().await;
            Ok::<_, NetworkError>(())
        };
        tokio::pin!(serving);
        tokio::select! {
            served = &mut serving => return served.map(|()| Ended::Drained).map_err(ServerError::from),
            () = shutdown => {}
        }
        stop.send_replace(true);
        tracing::info!(limit_s = drain, "draining");
        tokio::select! {
            served = &mut serving => return served.map(|()| Ended::Drained).map_err(ServerError::from),
            () = tokio::time::sleep(Duration::from_secs(drain)) => {}
            () = abort => {}
        }
        // Clients are told; those that do not listen are not waited for.
        cut.send_replace(true);
        let _ = tokio::time::timeout(FAREWELL, serving).await;
        Ok(Ended::Cut)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Server").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

/// Makes the interpreter with NumPy ready on a thread of its own. Functions that need it meanwhile wait
/// for it; if it fails here, the first of them tries again and has the error.
fn prepare_numpy(engine: Engine) -> std::io::Result<()> {
    let prepare = move || {
        if let Err(error) = engine.prepare(Interpreter::NumPy) {
            tracing::error!(error = error.to_string(), "the interpreter with NumPy cannot be made ready");
        }
    };
    std::thread::Builder::new().name("numpy".to_owned()).spawn(prepare).map(|_| ())
}

async fn bind(address: SocketAddr, key: &'static str) -> Result<(TcpListener, SocketAddr), ServerError> {
    let failed = |source| ServerError::Bind { address, key, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Binds an address for the network threads, each of which makes a listener of it.
async fn bind_shared(address: SocketAddr, key: &'static str) -> Result<(Socket, SocketAddr), ServerError> {
    let (listener, bound) = bind(address, key).await?;
    let socket = listener.into_std().map_err(|source| ServerError::Bind { address, key, source })?;
    Ok((socket, bound))
}

/// A socket that takes connections, and the certificates it shows.
type Entrance = (Socket, Option<Arc<Tls>>);

/// Where connections come in.
struct Entrances {
    flight: Entrance,
    /// Absent when both are served at one.
    provisioning: Option<Entrance>,
}

impl Entrances {
    fn share(&self) -> Result<Self, NetworkError> {
        let share = |(socket, tls): &Entrance| Ok::<_, NetworkError>((network::share(socket)?, tls.clone()));
        Ok(Self {
            flight: share(&self.flight)?,
            provisioning: self.provisioning.as_ref().map(share).transpose()?,
        })
    }
}

/// What each network thread serves.
#[derive(Clone)]
struct Services {
    flight: FlightServiceServer<Flight>,
    provisioning: Provisioning,
    config: Arc<Config>,
    connections: Connections,
    stopped: watch::Receiver<bool>,
}

impl Services {
    /// Serves on this thread until the server stops and the last call has ended.
    async fn serve(self, entrances: Entrances) -> Result<(), NetworkError> {
        let flight = Routes::new(self.flight.clone());
        match entrances.provisioning {
            None => self.serve_at(self.provisioning.clone().add_to(flight), entrances.flight).await,
            Some(entrance) => {
                let provisioning = self.provisioning.clone().add_to(Routes::default());
                let provisioning = self.serve_at(provisioning, entrance);
                tokio::try_join!(self.serve_at(flight, entrances.flight), provisioning).map(|_| ())
            }
        }
    }

    async fn serve_at(&self, routes: Routes, (socket, tls): Entrance) -> Result<(), NetworkError> {
        let (server, mut stopped) = (&self.config.server, self.stopped.clone());
        let accepted = self.connections.accept(network::listener(socket)?, tls);
        let served = GrpcServer::builder()
            .max_concurrent_streams(server.max_streams_per_connection)
            .http2_max_header_list_size(server.max_header_bytes)
            .initial_stream_window_size(server.stream_window_bytes)
            .initial_connection_window_size(server.connection_window_bytes)
            .http2_keepalive_interval(Some(Duration::from_secs(server.keepalive_interval_s.max(1))))
            .http2_keepalive_timeout(Some(Duration::from_secs(server.keepalive_timeout_s.max(1))))
            .add_routes(routes)
            .serve_with_incoming_shutdown(accepted, async move {
                // An error means that the sender is gone, which is a reason to stop as well.
                let _ = stopped.wait_for(|stop| *stop).await;
            });
        Ok(served.await?)
    }
}
