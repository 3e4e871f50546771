//! `[hardening]`

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the server's process gives up before it serves. Each mechanism is `on` (as far as the kernel has
/// it; the log says how far), `required` (the server does not start without it) or `off`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HardeningConfig {
    /// No core dumps, and no debugger of the same user: memory of tenants stays in the process.
    /// Default: on.
    pub core_dumps: Mode,
    /// Not root: with `server.user`, that user; else root without its capabilities, and a warning.
    /// `required` refuses to run as root. Default: on.
    pub privileges: Mode,
    /// No program that is started can gain privileges. Default: on.
    pub no_new_privileges: Mode,
    /// Landlock: files outside of what the configuration names are out of reach. Default: on.
    pub landlock: Mode,
    /// seccomp: system calls that a server does not need are refused. Default: on.
    pub seccomp: Mode,
    /// Files and folders that may be read beside those that the configuration names. Default: none.
    pub read_paths: Vec<PathBuf>,
    /// Folders that may be written to beside the state and cache directories. Default: none.
    pub write_paths: Vec<PathBuf>,
}

/// How much a mechanism is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Not at all.
    Off,
    /// As far as the kernel has it.
    #[default]
    On,
    /// The server does not start without it.
    Required,
}
