//! What the server's process gives up before it serves, so that whoever takes it over has little.
//!
//! The sandbox holds guests; this holds the process, should a sandbox ever fail. Everything here is done
//! by the first thread before there are others, which inherit it, in this order:
//!
//! 1. no core files;
//! 2. another user, or root without its capabilities;
//! 3. no new privileges for programs that are started;
//! 4. Landlock: only the files that the configuration names, those of the system's libraries, and the
//!    state and cache directories, to which alone anything is written ([`files`]);
//! 5. seccomp: only the system calls that a server makes ([`calls`]);
//! 6. later, by [`Hardened::seal`], when the sandbox is set up: no dumps and no debuggers at all. The
//!    runtime opens its own page map before, which is hidden from then on.
//!
//! The resolver of packages is a program that is started while the server runs. It inherits all of this.
//! The choice was between that and a helper that is started before and stays outside of it: the helper
//! would be the one process that still can do what the server cannot, reading names of packages from
//! strangers. So `execve` is allowed where packages are enabled and the resolver exists, Landlock lets
//! only the resolver, the loader and a shell be executed, and what runs has no more rights than before.

mod calls;
mod config;
mod files;
mod system;
mod user;

use std::fmt;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use landlock::RulesetStatus;

pub use self::config::{HardeningConfig, Mode};

use self::files::Reach;
use crate::config::Config;

/// What became of one mechanism.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The mechanism, as its key in `[hardening]`.
    pub mechanism: &'static str,
    /// Whether it is in force.
    pub state: State,
    /// How far it goes, or why it is not in force.
    pub detail: String,
}

/// Whether a mechanism is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is.
    InForce,
    /// As far as this kernel has it.
    Partly,
    /// The kernel does not have it, or does not allow it here.
    Unavailable,
    /// The configuration switches it off.
    Off,
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::InForce => "in force",
            Self::Partly => "partly in force",
            Self::Unavailable => "not in force",
            Self::Off => "off",
        })
    }
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HardeningError {
    /// A mechanism is required and not to be had.
    #[error("hardening.{mechanism} is required and not in force: {detail}")]
    Required {
        /// The mechanism.
        mechanism: &'static str,
        /// Why not.
        detail: String,
    },
    /// `server.user` cannot be used.
    #[error("server.user: {problem}")]
    User {
        /// Why not.
        problem: String,
    },
    /// A directory cannot be made as the user that the server becomes.
    #[error("cannot create the directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The process after it gave up what it does not need.
#[derive(Debug)]
pub struct Hardened {
    outcomes: Vec<Outcome>,
    core_dumps: Mode,
}

/// How a mechanism came out: its state, and how far it goes or why not.
type Done = (State, String);

impl Hardened {
    /// Gives up what `config` does not need. To be called by the first thread, before it starts another.
    ///
    /// # Errors
    /// [`HardeningError`]; the process should end then.
    pub fn enter(config: &Config) -> Result<Self, HardeningError> {
        let modes = &config.hardening;
        let mut outcomes = Vec::new();
        let mut note =
            |mechanism: &'static str, mode: Mode, work: &mut dyn FnMut() -> Result<Done, HardeningError>| {
                let (state, detail) = match mode {
                    Mode::Off => (State::Off, "switched off by the configuration".to_owned()),
                    _ => work()?,
                };
                if mode == Mode::Required && state == State::Unavailable {
                    return Err(HardeningError::Required { mechanism, detail });
                }
                outcomes.push(Outcome { mechanism, state, detail });
                Ok(())
            };
        note("core_dumps", modes.core_dumps, &mut || {
            Ok(done(system::forbid_core_files(), "no core files, no debugger of the same user"))
        })?;
        note("privileges", modes.privileges, &mut || privileges(config))?;
        for path in [&config.server.state_dir, &config.cache_dir()] {
            create(path)?;
        }
        if files::resolver(config).is_some() && modes.landlock != Mode::Off {
            create(&crate::packages::folder(&config.cache_dir()))?;
        }
        note("no_new_privileges", modes.no_new_privileges, &mut || {
            Ok(done(system::forbid_new_privileges(), "programs that are started gain nothing"))
        })?;
        note("landlock", modes.landlock, &mut || Ok(landlock(config)))?;
        note("seccomp", modes.seccomp, &mut || Ok(seccomp(config)))?;
        Ok(Self { outcomes, core_dumps: modes.core_dumps })
    }

    /// Hides the process's memory, as the last step, when the sandbox is set up.
    ///
    /// # Errors
    /// [`HardeningError::Required`].
    pub fn seal(&mut self) -> Result<(), HardeningError> {
        if self.core_dumps == Mode::Off {
            return Ok(());
        }
        let Err(error) = system::set_dumpable(false) else { return Ok(()) };
        let (mechanism, detail) = ("core_dumps", format!("the process stays open to debuggers: {error}"));
        if self.core_dumps == Mode::Required {
            return Err(HardeningError::Required { mechanism, detail });
        }
        tracing::warn!(mechanism, detail, "hardening");
        self.outcomes.iter_mut().filter(|outcome| outcome.mechanism == mechanism).for_each(|outcome| {
            (outcome.state, outcome.detail) = (State::Partly, detail.clone());
        });
        Ok(())
    }

    /// What became of each mechanism.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Writes to the log what is in force and what is not.
    pub fn log(&self) {
        for Outcome { mechanism, state, detail } in &self.outcomes {
            if *state == State::Unavailable {
                tracing::warn!(mechanism, state = %state, detail, "hardening");
            } else {
                tracing::info!(mechanism, state = %state, detail, "hardening");
            }
        }
    }
}

fn done(result: std::io::Result<()>, detail: &str) -> Done {
    match result {
        Ok(()) => (State::InForce, detail.to_owned()),
        Err(error) => (State::Unavailable, error.to_string()),
    }
}

/// Becomes the user that is configured, or gives up what root can do beyond its own files.
fn privileges(config: &Config) -> Result<Done, HardeningError> {
    let failed = |problem| HardeningError::User { problem };
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let wanted = config.server.user.as_deref().map(user::find).transpose().map_err(failed)?;
    match wanted {
        Some(user) if uid == 0 && user.uid != 0 => {
            // Groups of the old user would stay if this failed half-way, so nothing goes on then.
            system::become_user(user.uid, user.gid)
                .map_err(|error| failed(format!("cannot become user {}: {error}", user.uid)))?;
            Ok((State::InForce, format!("user {}, group {}, no other", user.uid, user.gid)))
        }
        Some(user) if user.uid != uid => {
            Err(failed(format!("this is user {uid}; only root can become user {}", user.uid)))
        }
        _ if uid != 0 => Ok((State::InForce, format!("user {uid}, group {gid}"))),
        _ if config.hardening.privileges == Mode::Required => {
            let detail = "this is root; set server.user, or start as another user".to_owned();
            Err(HardeningError::Required { mechanism: "privileges", detail })
        }
        _ => {
            let told = "this is root; set server.user, or start as another user".to_owned();
            Ok(match system::drop_capabilities() {
                Ok(()) => (State::Partly, format!("{told} (its capabilities are given up)")),
                Err(error) => (State::Unavailable, format!("{told} (and its capabilities stay: {error})")),
            })
        }
    }
}

fn landlock(config: &Config) -> Done {
    match Reach::of(config).enforce() {
        Ok((RulesetStatus::FullyEnforced, detail)) => (State::InForce, detail),
        Ok((RulesetStatus::PartiallyEnforced, detail)) => (State::Partly, detail),
        Ok((RulesetStatus::NotEnforced, detail)) => (State::Unavailable, detail),
        Err(error) => (State::Unavailable, error.to_string()),
    }
}

fn seccomp(config: &Config) -> Done {
    let programs = files::resolver(config).is_some();
    let entered = calls::filter(programs)
        .map_err(seccompiler::Error::from)
        .and_then(|filter| seccompiler::apply_filter(&filter));
    let told = if programs { "programs can be started, for packages" } else { "no program can be started" };
    match entered {
        Ok(()) => (State::InForce, told.to_owned()),
        Err(error) => (State::Unavailable, error.to_string()),
    }
}

/// Rules are for what exists.
fn create(path: &Path) -> Result<(), HardeningError> {
    let created = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    created.map_err(|source| HardeningError::Directory { path: path.to_owned(), source })
}
