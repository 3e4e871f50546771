//! The server as its users run it: `vivarium serve` in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The program; `$VIVARIUM_BINARY` by default.
    binary: PathBuf,
    /// Sections of the configuration beside `[server]`, as TOML.
    pub sections: String,
    /// Keys of `[server]`, as TOML.
    pub server: String,
    /// The limit on open descriptors, if it is not the caller's.
    pub descriptors: Option<u64>,
}

/// A running server; it is killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// `http://host:port` of both services.
    pub endpoint: String,
    /// From its start until it said that it is ready.
    pub started_in: Duration,
}

/// What a server's process holds, as the kernel tells it.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Resident memory, in bytes.
    pub resident: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// Mappings of memory.
    pub mappings: usize,
    /// Processor time so far.
    pub processor: Duration,
}

impl Setting {
    /// The program that `cargo xtask bench` built, with its default settings.
    ///
    /// # Errors
    /// When the environment does not name it.
    pub fn of_environment() -> anyhow::Result<Self> {
        let binary =
            std::env::var_os("VIVARIUM_BINARY").context("`cargo xtask bench` sets $VIVARIUM_BINARY")?;
        let cache = std::env::var("VIVARIUM_CACHE_DIR").context("it sets $VIVARIUM_CACHE_DIR too")?;
        let server = format!("cache_dir = {}\n", serde_json::Value::from(cache));
        Ok(Self { binary: binary.into(), sections: String::new(), server, descriptors: None })
    }

    /// Starts a server with its state in `folder`, and waits until it is ready.
    ///
    /// # Errors
    /// When it ends before.
    pub fn start(&self, folder: &Path) -> anyhow::Result<Server> {
        let config = folder.join("vivarium.toml");
        let listen = "flight_address = \"127.0.0.1:0\"\nprovisioning_address = \"127.0.0.1:0\"\n";
        std::fs::write(&config, format!("[server]\n{listen}{}{}", self.server, self.sections))?;
        let mut command = match self.descriptors {
            None => Command::new(&self.binary),
            Some(limit) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("ulimit -n {limit} && exec \"$0\" \"$@\"")]).arg(&self.binary);
                shell
            }
        };
        let log = std::fs::File::create(folder.join("log"))?;
        command.args(["serve", "--log-level", "warn", "--config"]).arg(&config).arg("--state-dir");
        command.arg(folder.join("state")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let began = Instant::now();
        let mut child = command.spawn().with_context(|| format!("cannot start {}", self.binary.display()))?;
        let mut ready = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut ready)?;
        }
        let started_in = began.elapsed();
        let Some(address) = ready.split_once("flight ").and_then(|(_, rest)| rest.split(' ').next()) else {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            bail!("the server ended before it was ready: {}\n{log}", child.wait()?);
        };
        Ok(Server { child, endpoint: format!("http://{address}"), started_in })
    }
}

impl Server {
    /// What its process holds now.
    ///
    /// # Errors
    /// When it has ended.
    pub fn held(&self) -> anyhow::Result<Held> {
        let process = Path::new("/proc").join(self.child.id().to_string());
        let read = |name: &str| {
            std::fs::read_to_string(process.join(name)).with_context(|| format!("the server has no {name}"))
        };
        let status = read("status")?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        // Behind the program's name, which is in parentheses: user and system time are fields 14 and 15.
        let stat = read("stat")?;
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
        let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Held {
            resident: resident.context("the server has ended")? << 10,
            descriptors: std::fs::read_dir(process.join("fd"))?.count(),
            mappings: read("maps")?.lines().count(),
            // The kernel counts in hundredths of a second for programs.
            processor: Duration::from_millis(ticks * 10),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failure means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder for a server's state, beside its compiled sandbox and so on the disk that it is built on.
///
/// # Errors
/// When it cannot be made.
pub fn folder() -> anyhow::Result<TempDir> {
    let beside = std::env::var_os("VIVARIUM_CACHE_DIR").map(PathBuf::from);
    let beside = beside.as_deref().and_then(Path::parent).context("`cargo xtask bench` sets the folders")?;
    Ok(tempfile::Builder::new().prefix("vivarium-bench-").tempdir_in(beside)?)
}

/// Bytes of the files below a folder, and how many there are.
///
/// # Errors
/// When it cannot be read.
pub fn stored(folder: &Path) -> anyhow::Result<(u64, usize)> {
    let (mut bytes, mut files) = (0, 0);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (more, number) =
            if entry.file_type()?.is_dir() { stored(&entry.path())? } else { (entry.metadata()?.len(), 1) };
        (bytes, files) = (bytes + more, files + number);
    }
    Ok((bytes, files))
}
