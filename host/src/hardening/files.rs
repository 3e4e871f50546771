//! Landlock: which files the process can reach.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, BitFlags, LandlockStatus, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use crate::config::Config;
use crate::packages;

/// The newest generation of rights that is known here; an older kernel has some of them.
const FILES: ABI = ABI::V5;
const SCOPES: ABI = ABI::V6;

/// What the system's libraries, the resolver of names and the one of packages read.
const SYSTEM: [&str; 16] = [
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/share/ca-certificates",
    "/usr/share/zoneinfo",
    "/usr/local/lib",
    "/usr/local/share/ca-certificates",
    "/proc/self",
    "/proc/sys",
    "/proc/cpuinfo",
    "/sys/fs/cgroup",
    "/sys/devices/system/cpu",
    "/dev/urandom",
];

/// Variables that name certificates.
const CERTIFICATES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Loaders of dynamically linked programs, and the shell of the resolver's stand-in for Python.
const LOADERS: [&str; 6] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
    "/bin/sh",
    "/usr/bin/env",
];

/// What may be done below a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Right {
    Read,
    Run,
    Write,
    WriteAndRun,
}

/// All paths that may be reached, with the largest right for each.
#[derive(Debug, Default)]
pub(super) struct Reach(BTreeMap<PathBuf, Right>);

impl Reach {
    /// What a configuration needs.
    pub(super) fn of(config: &Config) -> Self {
        let mut reach = Self::default();
        for path in SYSTEM {
            reach.add(Path::new(path), Right::Read);
        }
        reach.add(Path::new("/dev/null"), Right::Write);
        // It may be replaced as a whole, and is a link where another service writes it.
        reach.folder_of(Path::new("/etc/resolv.conf"));
        for variable in CERTIFICATES {
            if let Some(paths) = std::env::var_os(variable) {
                std::env::split_paths(&paths).for_each(|path| reach.add(&path, Right::Read));
            }
        }
        reach.add(&config.server.state_dir, Right::Write);
        reach.add(&config.cache_dir(), Right::Write);
        for file in &config.functions.files {
            reach.add(file, Right::Read);
        }
        // Files that are replaced while the server runs.
        let tls = &config.tls;
        let watched =
            [&config.environment.file, &tls.certificate, &tls.key, &tls.client_ca, &config.tokens.key_file];
        for file in watched.into_iter().flatten() {
            reach.folder_of(file);
        }
        if let Some(file) = config.tokens.key_file.as_ref().filter(|file| !file.exists()) {
            reach.add(folder(file), Right::Write);
        }
        if let Some(program) = resolver(config) {
            reach.add(&program, Right::Run);
            for path in LOADERS {
                reach.add(Path::new(path), Right::Run);
            }
            for path in &config.packages.find_links {
                reach.add(path, Right::Read);
            }
            let packages = &config.packages;
            for index in packages.index_url.iter().chain(&packages.extra_index_urls) {
                if let Some(path) = index.strip_prefix("file://") {
                    reach.add(Path::new(path), Right::Read);
                }
            }
            // Where the resolver's stand-in for Python is.
            reach.add(&packages::folder(&config.cache_dir()), Right::WriteAndRun);
        }
        for path in &config.hardening.read_paths {
            reach.add(path, Right::Read);
        }
        for path in &config.hardening.write_paths {
            reach.add(path, Right::Write);
        }
        reach
    }

    /// A link leads to two places: where it is and where it points.
    fn add(&mut self, path: &Path, right: Right) {
        let mut insert = |path: PathBuf| {
            let known = self.0.entry(path).or_insert(right);
            *known = join(*known, right);
        };
        if let Ok(real) = path.canonicalize() {
            insert(real);
        }
        if let Ok(path) = std::path::absolute(path) {
            insert(path);
        }
    }

    /// The folder of a file that may be replaced by renaming, or whose link may point elsewhere later.
    fn folder_of(&mut self, file: &Path) {
        self.add(folder(file), Right::Read);
        if let Ok(real) = file.canonicalize() {
            self.add(folder(&real), Right::Read);
        }
    }

    /// Takes every other file away from this thread and all that it starts. Answers what the kernel enforces.
    pub(super) fn enforce(&self) -> Result<(RulesetStatus, String), RulesetError> {
        let all = AccessFs::from_all(FILES);
        let mut ruleset = Ruleset::default()
            .handle_access(all)?
            .scope(Scope::from_all(SCOPES))?
            .create()?
            .no_new_privs(false);
        for (path, right) in &self.0 {
            ruleset = ruleset.add_rules(path_beneath_rules([path], rights(*right)))?;
        }
        let status = ruleset.restrict_self()?;
        let detail = match status.landlock {
            LandlockStatus::NotEnabled => "the kernel has it, and it is not enabled".to_owned(),
            LandlockStatus::NotImplemented => "the kernel has none".to_owned(),
            LandlockStatus::Available { effective_abi, .. } => {
                format!("version {effective_abi} of its interface, {} paths", self.0.len())
            }
        };
        Ok((status.ruleset, detail))
    }
}

fn join(one: Right, other: Right) -> Right {
    match (one, other) {
        (Right::Run, Right::Write) | (Right::Write, Right::Run) => Right::WriteAndRun,
        _ => one.max(other),
    }
}

fn rights(right: Right) -> BitFlags<AccessFs> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::from_all(FILES)
        & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev);
    match right {
        Right::Read => read,
        Right::Run => read | AccessFs::Execute,
        Right::Write => write,
        Right::WriteAndRun => write | AccessFs::Execute,
    }
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => file,
    }
}

/// The program that resolves packages, if the configuration wants one and it is there.
pub(super) fn resolver(config: &Config) -> Option<PathBuf> {
    config.packages.enabled.then(|| packages::find_program(&config.packages.resolver)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(reach: &Reach, path: &Path) -> Option<Right> {
        path.ancestors().filter_map(|path| reach.0.get(path).copied()).reduce(join)
    }

    #[test]
    fn what_the_configuration_names_can_be_reached_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["state", "tls/live", "keys", "elsewhere"] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        std::fs::write(root.join("tls/1.pem"), "").unwrap();
        std::os::unix::fs::symlink("../1.pem", root.join("tls/live/server.pem")).unwrap();
        let mut config = Config::default();
        config.server.state_dir = root.join("state");
        config.tls.certificate = Some(root.join("tls/live/server.pem"));
        config.tokens.key_file = Some(root.join("keys/token.key"));
        config.functions.files = vec![root.join("functions.py")];
        config.packages.enabled = false;
        let reach = Reach::of(&config);
        let of = |path: &str| right(&reach, &root.join(path));
        assert_eq!(of("state/images/x"), Some(Right::Write));
        assert_eq!(of("state/cache"), Some(Right::Write));
        assert_eq!(of("tls/live/server.pem"), Some(Right::Read));
        assert_eq!(of("tls/2.pem"), Some(Right::Read), "where the link points next");
        assert_eq!(of("keys/token.key"), Some(Right::Write), "it is to be created");
        assert_eq!(of("functions.py"), Some(Right::Read));
        assert_eq!((of("elsewhere"), of("other.py"), of("")), (None, None, None));
        assert_eq!(right(&reach, Path::new("/usr/bin/python3")), None);
        assert!(!reach.0.values().any(|right| matches!(right, Right::Run | Right::WriteAndRun)));
    }

    #[test]
    fn rights_are_joined() {
        for (one, other, both) in [
            (Right::Read, Right::Write, Right::Write),
            (Right::Run, Right::Read, Right::Run),
            (Right::Run, Right::Write, Right::WriteAndRun),
            (Right::WriteAndRun, Right::Read, Right::WriteAndRun),
        ] {
            assert_eq!((join(one, other), join(other, one)), (both, both));
        }
        assert!(!rights(Right::Write).contains(AccessFs::Execute));
        assert!(!rights(Right::Run).contains(AccessFs::WriteFile));
    }
}
