//! `vivarium serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use vivarium_host::config::{Config, LogFormat, StatusAddress};
use vivarium_host::descriptors;
use vivarium_host::hardening::Hardened;
use vivarium_host::logging;
use vivarium_host::server::{Ended, Listeners, Reload, Server};

/// Exchanges were cut off at the end.
const CUT: u8 = 3;

/// Serve functions to query engines over gRPC and Arrow Flight
///
/// Engines provision functions (Databend's `resourceproto.WorkerService` and the services before it)
/// and then run them by Arrow Flight's `DoExchange`, both over HTTP/2, with TLS if the configuration
/// has a section `[tls]`. Every exchange gets a sandbox of its own. Functions, their images and the token keys live in the state directory and survive
/// a restart.
///
/// The functions that a file given with --functions declares (by the decorators of vivarium,
/// databend_udf or arrow_udf) are public: whoever reaches the Flight address can call them, without
/// a token. Provisioned functions always need the token that provisioning returned.
///
/// One line on standard output says when the server is ready; the log goes to standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vivarium serve                                   defaults: one port, 127.0.0.1:50051
  vivarium serve --config vivarium.toml
  vivarium serve --flight 127.0.0.1:8815 --state-dir /var/lib/vivarium
  vivarium serve --flight 127.0.0.1:8815 --functions server.py
  vivarium serve --config vivarium.toml --check    would it start, and how well is it hardened
  vivarium serve --print-config > vivarium.toml    every key with its value

Signals:
  SIGTERM, SIGINT   stop accepting, let exchanges end (server.drain_s); a second one stops at once
  SIGHUP            look at certificates, token keys and environments now; without it, within a second
                    of the next use

Exit codes:
  0  stopped, every exchange came to its end
  1  could not start, or failed; the reason is on standard error
  2  wrong arguments
  3  stopped, but exchanges were cut off")]
pub(crate) struct Arguments {
    /// Configuration file (TOML). Every key has a default
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Address of Arrow Flight; of provisioning too, unless that is given as well
    #[arg(long, value_name = "ADDRESS")]
    flight: Option<SocketAddr>,

    /// Address of provisioning
    #[arg(long, value_name = "ADDRESS")]
    provisioning: Option<SocketAddr>,

    /// Address of health, statistics and metrics, or `off`
    #[arg(long, value_name = "ADDRESS")]
    status: Option<StatusAddress>,

    /// URL by which engines reach Flight, returned by provisioning
    #[arg(long, value_name = "URL")]
    advertise: Option<String>,

    /// Python file whose declared functions everybody may call without a token (repeatable; in
    /// addition to functions.files of the configuration)
    #[arg(long, value_name = "FILE.py")]
    functions: Vec<PathBuf>,

    /// Directory of functions, images and token keys
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,

    /// Format of the log
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,

    /// Level of the log, such as `debug` or `info,vivarium::guest=off`
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,

    /// Print the configuration that would be used, and stop
    #[arg(long)]
    print_config: bool,

    /// Check configuration, addresses, files and their permissions, and tell which hardening would be in
    /// force, without serving: exit code 0 if the server would start, else 1
    #[arg(long, conflicts_with = "print_config")]
    check: bool,
}

impl Arguments {
    /// Serves until a signal ends it.
    ///
    /// # Errors
    /// Whatever kept the server from starting or made it fail.
    pub(crate) fn execute(self) -> anyhow::Result<ExitCode> {
        let began = Instant::now();
        let (print, check, file) = (self.print_config, self.check, self.config.clone());
        let config = self.config()?;
        if print {
            print!("{}", toml::to_string(&config).context("the configuration cannot be printed")?);
            return Ok(ExitCode::SUCCESS);
        }
        if check {
            return Ok(super::check::check(&config, file.as_deref()));
        }
        logging::start(&config.logging)?;
        descriptors::raise_limit();
        // Before there is another thread.
        let hardened = Hardened::enter(&config)?;
        hardened.log();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the thread for signals and status")?;
        let ended = runtime.block_on(serve(config, hardened, began))?;
        // Workers may be inside a guest; nobody waits for them any more.
        runtime.shutdown_background();
        match ended {
            Ended::Drained => Ok(ExitCode::SUCCESS),
            Ended::Cut => std::process::exit(CUT.into()),
        }
    }

    fn config(self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        let server = &mut config.server;
        if let Some(address) = self.flight {
            // The file's one port stays one port.
            if server.provisioning_address == server.flight_address {
                server.provisioning_address = address;
            }
            server.flight_address = address;
        }
        server.provisioning_address = self.provisioning.unwrap_or(server.provisioning_address);
        server.status_address = self.status.unwrap_or(server.status_address);
        server.advertised_endpoint = self.advertise.or(server.advertised_endpoint.take());
        server.state_dir = self.state_dir.unwrap_or(std::mem::take(&mut server.state_dir));
        config.functions.files.extend(self.functions);
        config.logging.format = self.log_format.unwrap_or(config.logging.format);
        config.logging.level = self.log_level.unwrap_or(std::mem::take(&mut config.logging.level));
        config.check()?;
        Ok(config)
    }
}

async fn serve(config: Config, mut hardened: Hardened, began: Instant) -> anyhow::Result<Ended> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let listeners = Listeners::bind(&config).await?;
    let server = tokio::task::spawn_blocking(move || {
        let engine = Server::engine(&config)?;
        hardened.seal()?;
        Ok::<_, anyhow::Error>(Server::with_engine(config, listeners, engine)?)
    })
    .await
    .context("the start was interrupted")??;
    let addresses = server.addresses();
    let reload = server.reload();
    let health = addresses.status.map(|address| format!("health http://{address}/health "));
    println!(
        "vivarium is ready: flight {} provisioning {} {}after {:.2} s",
        addresses.flight,
        addresses.provisioning,
        health.unwrap_or_default(),
        began.elapsed().as_secs_f64()
    );
    let (shutdown, on_shutdown) = tokio::sync::oneshot::channel::<()>();
    let (abort, on_abort) = tokio::sync::oneshot::channel::<()>();
    let watcher = tokio::spawn(async move {
        signals.next(&reload).await;
        drop(shutdown);
        signals.next(&reload).await;
        drop(abort);
    });
    let ended = server.run(async { drop(on_shutdown.await) }, async { drop(on_abort.await) }).await?;
    watcher.abort();
    tracing::info!(?ended, "stopped");
    Ok(ended)
}

/// The signals that end the server, and the one that makes it look at its files.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal that ends the server.
    async fn next(&mut self, reload: &Reload) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                Some(()) = self.hang_up.recv() => {
                    tracing::info!("looking at certificates, token keys and environments");
                    let reload = reload.clone();
                    // It reads files.
                    drop(tokio::task::spawn_blocking(move || reload.now()));
                }
            }
        }
    }
}
