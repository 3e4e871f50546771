//! `vivarium keys`: the keys that sign call tokens.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use clap::Subcommand;
use vivarium_host::config::Config;
use vivarium_host::token::KeyState;
use vivarium_host::token::key_file::{self, Rotated, moment};

/// List, rotate and remove the keys that sign call tokens
///
/// A running server reads the file again by itself, within a second of the next call. A rotation breaks no
/// token: the older keys are accepted until the last token that they signed has expired
/// (tokens.lifetime_s). Where several servers get copies of the file, give a new key a moment in the future
/// (--in), and hand out the file before it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vivarium keys list --config vivarium.toml
  vivarium keys rotate --config vivarium.toml              sign with a fresh key from now on
  vivarium keys rotate --config vivarium.toml --in 3600    from an hour from now on
  vivarium keys remove 1a2b3c4d --config vivarium.toml     refuse a key's tokens at once")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the keys by their ids, and what each is for
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Add a fresh key that signs from now on, and take out keys whose tokens have all expired
    Rotate {
        #[command(flatten)]
        place: Place,
        /// Sign with it so many seconds from now; until then it is accepted only
        #[arg(long = "in", value_name = "SECONDS", default_value_t = 0)]
        seconds: u32,
    },
    /// Take a key out: its tokens are refused from now on
    Remove {
        /// Id of the key, as `list` shows it
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, clap::Args)]
struct Place {
    /// Configuration file (TOML) of the server
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,

    /// State directory of the server, instead of the configuration's
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
}

impl Place {
    fn find(self) -> anyhow::Result<(PathBuf, Duration)> {
        let mut config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        config.server.state_dir = self.state_dir.unwrap_or(std::mem::take(&mut config.server.state_dir));
        Ok((config.key_file(), Duration::from_secs(config.tokens.lifetime_s)))
    }
}

impl Arguments {
    /// Does what was asked, and prints it.
    ///
    /// # Errors
    /// Why the file cannot be used.
    pub(crate) fn execute(self) -> anyhow::Result<ExitCode> {
        let now = SystemTime::now();
        match self.action {
            Action::List { place } => {
                let (path, lifetime) = place.find()?;
                for key in key_file::list(&path, now, lifetime)? {
                    let state = match key.state {
                        KeyState::Coming => format!("signs from {}", moment(key.from)),
                        KeyState::Signing => "signs".to_owned(),
                        KeyState::Accepted { until } => format!("accepted until {}", moment(until)),
                        KeyState::Retired => "refused, its tokens have expired".to_owned(),
                    };
                    println!("{}  {state}", key.id);
                }
            }
            Action::Rotate { place, seconds } => {
                let (path, lifetime) = place.find()?;
                let from = now + Duration::from_secs(seconds.into());
                let Rotated { added, removed } = key_file::rotate(&path, from, now, lifetime)?;
                println!("{added}  signs from {}", moment(from));
                for id in removed {
                    println!("{id}  removed, its tokens have expired");
                }
            }
            Action::Remove { id, place } => {
                let (path, _) = place.find()?;
                let id = key_file::remove(&path, &id).context("the key was not removed")?;
                println!("{id}  removed, its tokens are refused");
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
