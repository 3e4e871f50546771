//! What the tests share: our binary as a child process, and the clients that talk to it.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot run has nobody to report to")]

use std::hash::{BuildHasher as _, RandomState};
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The `vivarium` binary under test.
pub fn binary() -> PathBuf {
    from_environment("VIVARIUM_BINARY")
}

/// A call of a Python script in `tests/python` with the test clients' packages.
pub fn python(script: &str) -> Command {
    let mut command = Command::new(from_environment("VIVARIUM_CLIENT_PYTHON"));
    command
        .arg(workspace().join("tests/python").join(script))
        .env("PYTHONPATH", from_environment("VIVARIUM_CLIENT_PACKAGES"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("HYPOTHESIS_STORAGE_DIRECTORY", std::env::temp_dir().join("vivarium-hypothesis"))
        .env("VIVARIUM_PROTO", workspace().join("proto/proto/udfproto.proto"));
    command
}

/// A file of the packages that the test clients use.
pub fn package_file(name: &str) -> PathBuf {
    from_environment("VIVARIUM_CLIENT_PACKAGES").join(name)
}

/// The resolver of packages that the tests use: uv, among the test clients.
pub fn uv() -> PathBuf {
    package_file("bin/uv")
}

/// A port on loopback for a server that has to know it beforehand. It is below the range from which
/// the system takes the ports of outgoing connections, so that no other test's client sits on it later.
pub fn free_port() -> u16 {
    let mut candidates = (0..1000_u64).map(|attempt| {
        let random = RandomState::new().hash_one(attempt) % u64::from(EPHEMERAL - FIRST_PORT);
        FIRST_PORT + u16::try_from(random).unwrap_or_default()
    });
    let free = candidates.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.expect("a free port")
}

const FIRST_PORT: u16 = 10_240;
const EPHEMERAL: u16 = 32_768;

fn from_environment(variable: &str) -> PathBuf {
    let Some(value) = std::env::var_os(variable) else {
        panic!("{variable} is not set: run the tests with `cargo xtask test`");
    };
    PathBuf::from(value)
}

/// A running `vivarium serve`, killed when dropped.
pub struct Server {
    child: Child,
    address: String,
    status: String,
}

impl Server {
    /// Starts a server with its state in `folder`. `config` is TOML; what the sandbox compiles is shared
    /// by all tests.
    pub fn start(folder: &Path, config: &str) -> Self {
        Self::start_with_cache(folder, config, &binary().with_file_name("vivarium-test-cache"))
    }

    /// As [`Server::start`], with a cache of its own.
    pub fn start_with_cache(folder: &Path, config: &str, cache_dir: &Path) -> Self {
        Self::start_with_environment(folder, config, cache_dir, &[])
    }

    /// As [`Server::start_with_cache`], with variables in the server's environment.
    pub fn start_with_environment(
        folder: &Path,
        config: &str,
        cache_dir: &Path,
        variables: &[(&str, &Path)],
    ) -> Self {
        let file = folder.join("vivarium.toml");
        let own = format!("[server]\ncache_dir = {cache_dir:?}\nimage_wait_s = 300\n");
        // A section may appear once only.
        let config = match config.contains("[server]\n") {
            true => config.replace("[server]\n", &own),
            false => format!("{config}\n{own}"),
        };
        std::fs::write(&file, config).expect("a configuration file");
        let mut child = Command::new(binary())
            .args(["serve", "--flight", "127.0.0.1:0", "--config"])
            .arg(file)
            .arg("--state-dir")
            .arg(folder.join("state"))
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("log")).expect("a log file"))
            .spawn()
            .expect("the binary starts");
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("standard output is piped");
        BufReader::new(stdout).read_line(&mut ready).expect("standard output is text");
        let between = |before, after| {
            let found = ready.split_once(before).and_then(|(_, rest): (_, &str)| rest.split_once(after));
            found.map(|(address, _)| address.to_owned()).unwrap_or_default()
        };
        let address = between("flight ", " ");
        let server = Self { child, address, status: between("health http://", "/health") };
        assert!(!ready.is_empty(), "the server ended at once: {}", server.log(folder));
        server
    }

    /// `host:port` of both services.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the server has logged so far.
    pub fn log(&self, folder: &Path) -> String {
        std::fs::read_to_string(folder.join("log")).unwrap_or_default()
    }

    /// Asks the server to stop, and returns its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
        assert!(status.success());
        self.child.wait().expect("the server ends").code()
    }

    /// Runs a Python client script against this server and shows its output when it fails.
    pub fn check(&self, script: &str, arguments: &[&str]) {
        let output = python(script)
            .args(arguments)
            .env("VIVARIUM_PROVISIONING", &self.address)
            .env("VIVARIUM_FLIGHT", &self.address)
            .env("VIVARIUM_STATUS", &self.status)
            .output()
            .expect("the client's Python starts");
        assert!(
            output.status.success(),
            "{script}: {}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A failure means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
