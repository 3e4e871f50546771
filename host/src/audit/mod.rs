//! What a function can reach, generated from the linked guest module and the configuration.
//!
//! Nothing here restates what the code does: host functions are those that the compiled module
//! imports, limits are the fields of the configuration that the server runs with, and what is out
//! of reach follows from imports that are not there. An import without a description is an error,
//! so the report cannot silently fall behind the code.
//!
//! There are two reports: [`Report`] of a server, from its configuration, and [`FunctionReport`] of one
//! provisioned function, from the state directory. Their JSON forms are versioned by their `schema`
//! member, [`SCHEMA`] and [`FUNCTION_SCHEMA`]. Members may be added under the same version; none is
//! removed or changes its meaning. Both can be signed ([`statement`]), and two of the same kind can be
//! compared ([`diff`]).

pub mod diff;
mod function;
mod host_functions;
mod keys;
mod limits;
mod markdown;
mod reach;
mod settings;
pub mod statement;
mod text;

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use vivarium_runtime::{Capabilities, EngineIdentity, ImportedFunction};

pub use function::{FUNCTION_SCHEMA, FunctionReport};
pub use keys::{KeyError, generate as generate_key};
pub use limits::Limit;
pub use reach::Reach;
pub use settings::Setting;

use crate::config::Config;

/// Version of the report's JSON form.
pub const SCHEMA: &str = "vivarium.audit/1";

/// Everything that is known about a function's surroundings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Version of this program.
    pub version: &'static str,
    /// What the sandbox is made of: digests and versions.
    pub engine: BTreeMap<&'static str, String>,
    /// How long state lives, and who shares it.
    pub isolation: Isolation,
    /// Functions of the host that the guest can call.
    pub host_functions: Vec<HostFunction>,
    /// What is within reach and what is not, and why.
    pub reach: Vec<Reach>,
    /// Clocks and random numbers, as each fork gets them.
    pub capabilities: Capabilities,
    /// Environment variables.
    pub environment: Environment,
    /// Who may call functions.
    pub access: Access,
    /// Limits and other numbers of the configuration.
    pub limits: Vec<Limit>,
    /// What the configuration allows beyond numbers: where imports and packages may come from.
    pub settings: Vec<Setting>,
}

/// Who may call functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Access {
    /// How provisioned functions are called.
    pub provisioned: &'static str,
    /// Files whose functions everybody may call who reaches the Flight address.
    pub public_files: Vec<String>,
}

/// How long state lives, and who shares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Isolation {
    /// The level's name.
    pub level: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// A function of the host that the guest can call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostFunction {
    /// Module part of the import.
    pub module: String,
    /// Name part of the import.
    pub name: String,
    /// Types of parameters and results, from the module.
    pub signature: String,
    /// What it does for the guest.
    pub does: &'static str,
    /// What bounds it.
    pub bounds: &'static str,
}

/// Environment variables that functions see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Environment {
    /// Names that every function sees.
    pub names: &'static [&'static str],
    /// Where other names come from.
    pub others: &'static str,
}

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The module imports something that nobody has described: what a function can reach is not
    /// known.
    #[error("the guest imports `{module}.{name}` {signature}, which this program does not describe")]
    Undescribed {
        /// Module part of the import.
        module: String,
        /// Name part of the import.
        name: String,
        /// Its type.
        signature: String,
    },
    /// The configuration could not be read back.
    #[error("the configuration cannot be listed: {reason}")]
    Configuration {
        /// What went wrong.
        reason: String,
    },
}

impl Report {
    /// Puts together what the module imports and what the configuration says.
    ///
    /// # Errors
    /// [`AuditError::Undescribed`] for an import that this program does not know.
    pub fn new(
        imports: &[ImportedFunction],
        identity: &EngineIdentity,
        capabilities: &Capabilities,
        config: &Config,
    ) -> Result<Self, AuditError> {
        Ok(Self {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            engine: engine(identity),
            isolation: Isolation::EXCHANGE,
            host_functions: host_functions::describe(imports)?,
            reach: reach::derive(imports),
            capabilities: capabilities.clone(),
            environment: Environment {
                names: &[],
                others: "what a function's own specification grants, fixed when its image is built; nothing of \
                         the server's environment",
            },
            access: Access {
                provisioned: "a signed token for each version of a function, returned by provisioning",
                public_files: config.functions.files.iter().map(|path| path.display().to_string()).collect(),
            },
            limits: limits::list(config)?,
            settings: settings::list(config)?,
        })
    }

    /// The report for people.
    pub fn to_text(&self) -> String {
        text::render(self)
    }

    /// What a function can reach and what bounds it, as the tables of SECURITY.md: without what differs
    /// from build to build.
    pub fn to_markdown(&self) -> String {
        markdown::render(self)
    }

    /// What the report is about, for a signed statement: names and SHA-256 digests in hexadecimal.
    pub fn subjects(&self) -> Vec<(String, String)> {
        let digest = |name: &str| self.engine.get(name).cloned().unwrap_or_default();
        vec![
            ("guest module".to_owned(), digest("guest_module_sha256")),
            ("guest module with NumPy".to_owned(), digest("numpy_guest_module_sha256")),
            ("base image".to_owned(), digest("base_image_sha256")),
        ]
    }
}

impl Isolation {
    /// How this program isolates.
    pub(crate) const EXCHANGE: Self = Self {
        level: "exchange",
        meaning: "every exchange runs in a fresh fork of the function's image, which is thrown away at its \
                  end; memory is never shared between functions, tenants or exchanges",
    };
}

/// What the sandbox is made of. `guest_module_sha256` is the digest of the module itself, `guest_sha256`
/// that of all it was built from.
fn engine(identity: &EngineIdentity) -> BTreeMap<&'static str, String> {
    // Destructured, so that a new part of the identity cannot be forgotten here.
    let EngineIdentity {
        guest_digest,
        numpy_guest_digest,
        abi_version,
        python_version,
        numpy_version,
        wasmtime_version,
        compilation,
        instrumentation_version,
        image_format,
        base_digest,
    } = identity.clone();
    BTreeMap::from([
        ("guest_module_sha256", hex::encode(Sha256::digest(vivarium_guest::PLAIN.wasm))),
        ("numpy_guest_module_sha256", hex::encode(Sha256::digest(vivarium_guest::NUMPY.wasm))),
        ("guest_sha256", guest_digest),
        ("numpy_guest_sha256", numpy_guest_digest),
        ("guest_abi", abi_version),
        ("python", python_version),
        ("numpy", numpy_version),
        ("wasmtime", wasmtime_version),
        ("compilation_digest", compilation),
        ("instrumentation", instrumentation_version),
        ("image_format", image_format),
        ("base_image_sha256", base_digest),
    ])
}

#[cfg(test)]
mod tests;
