//! The one table that says what each function of the host may do.

use vivarium_runtime::ImportedFunction;

use super::{AuditError, HostFunction};

struct Description {
    module: &'static str,
    name: &'static str,
    does: &'static str,
    bounds: &'static str,
}

const WASI: &str = "wasi_snapshot_preview1";

const DESCRIPTIONS: &[Description] = &[
    Description {
        module: WASI,
        name: "clock_time_get",
        does: "reads the wall clock and a monotonic clock that starts with the fork",
        bounds: "rounded down to the step of `capabilities.clock`, or frozen; CPU-time clocks are refused",
    },
    Description {
        module: WASI,
        name: "random_get",
        does: "draws random bytes from the operating system's generator",
        bounds: "at most 64 KiB a call; fails while an image is built, and always if random is denied",
    },
    Description {
        module: WASI,
        name: "fd_write",
        does: "writes to standard output and standard error, which the host keeps as the function's log",
        bounds: "descriptors 1 and 2 only; the newest `limits.log_bytes` of each are kept",
    },
    Description {
        module: WASI,
        name: "poll_oneoff",
        does: "sleeps",
        bounds: "one clock at a time, nothing else to wait for; ended by the deadline and by cancellation",
    },
    Description {
        module: WASI,
        name: "proc_exit",
        does: "ends the call with an exit code",
        bounds: "ends the fork, never the host's process",
    },
    Description {
        module: "vivarium",
        name: "refill",
        does: "asks for the next slice of fuel; called by code that the runtime put into the module",
        bounds: "ends the call when `limits.fuel_per_batch` is used up, the deadline has passed or the call \
                 is cancelled",
    },
    Description {
        module: "vivarium",
        name: "pull",
        does: "asks for the next input batch of a map function, and where to put it",
        bounds: "answers while a map function runs, never otherwise; `limits.input_bytes` a batch",
    },
];

/// Describes every import.
pub(super) fn describe(imports: &[ImportedFunction]) -> Result<Vec<HostFunction>, AuditError> {
    imports
        .iter()
        .map(|import| {
            let description = DESCRIPTIONS
                .iter()
                .find(|description| description.module == import.module && description.name == import.name)
                .ok_or_else(|| AuditError::Undescribed {
                    module: import.module.clone(),
                    name: import.name.clone(),
                    signature: import.signature.clone(),
                })?;
            Ok(HostFunction {
                module: import.module.clone(),
                name: import.name.clone(),
                signature: import.signature.clone(),
                does: description.does,
                bounds: description.bounds,
            })
        })
        .collect()
}
