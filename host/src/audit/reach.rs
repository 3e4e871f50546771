//! What is out of reach, concluded from the imports that are not there.

use serde::Serialize;
use vivarium_runtime::ImportedFunction;

/// Something a program could want to reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// What it is.
    pub what: &'static str,
    /// Whether an import leads there.
    pub reachable: bool,
    /// The imports that lead there, or the rule by which none does.
    pub because: String,
}

struct Subject {
    what: &'static str,
    /// Beginnings of import names that would lead there.
    prefixes: &'static [&'static str],
    /// Names that begin so and do not lead there: their descriptions say why.
    harmless: &'static [&'static str],
}

const SUBJECTS: &[Subject] = &[
    Subject {
        what: "files and directories of the host",
        prefixes: &["path_", "fd_"],
        harmless: &["fd_write"],
    },
    Subject { what: "the network", prefixes: &["sock_", "http", "dns"], harmless: &[] },
    Subject {
        what: "processes and signals of the host",
        prefixes: &["proc_", "spawn", "exec", "fork"],
        harmless: &["proc_exit"],
    },
    Subject { what: "threads", prefixes: &["thread", "sched_"], harmless: &[] },
    Subject {
        what: "the server's environment and command line",
        prefixes: &["environ_", "args_"],
        harmless: &[],
    },
];

/// Judges every subject by the imports.
pub(super) fn derive(imports: &[ImportedFunction]) -> Vec<Reach> {
    let mut reach: Vec<Reach> = SUBJECTS.iter().map(|subject| judge(subject, imports)).collect();
    // Types of functions are written `(..) -> (..)`.
    let shared: Vec<&str> =
        imports.iter().filter(|i| !i.signature.starts_with('(')).map(|i| i.name.as_str()).collect();
    reach.push(Reach {
        what: "memory of other functions, tenants and the host",
        reachable: !shared.is_empty(),
        because: if shared.is_empty() {
            "the module imports functions only: its memory, tables and globals are its own".to_owned()
        } else {
            format!("imports {}", shared.join(", "))
        },
    });
    reach
}

fn judge(subject: &Subject, imports: &[ImportedFunction]) -> Reach {
    let leads_there = |name: &str| {
        subject.prefixes.iter().any(|prefix| name.starts_with(prefix)) && !subject.harmless.contains(&name)
    };
    let found: Vec<&str> = imports.iter().map(|i| i.name.as_str()).filter(|name| leads_there(name)).collect();
    let because = if found.is_empty() {
        let prefixes: Vec<String> = subject.prefixes.iter().map(|prefix| format!("{prefix}*")).collect();
        let except = if subject.harmless.is_empty() {
            String::new()
        } else {
            format!(" except {}", subject.harmless.join(", "))
        };
        format!("no import is named {}{except}", prefixes.join(", "))
    } else {
        format!("imports {}", found.join(", "))
    };
    Reach { what: subject.what, reachable: !found.is_empty(), because }
}
