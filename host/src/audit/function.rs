//! What one provisioned function is made of, what it can reach and what bounds it.

use std::collections::BTreeMap;

use arrow::datatypes::Field;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use vivarium_runtime::{
    Capabilities, EngineIdentity, FunctionKind, FunctionSpec, ImportedFunction, Interpreter, NullHandling,
    OnError,
};

use super::settings::without_credentials;
use super::{AuditError, HostFunction, Isolation, Limit, Reach, host_functions, limits, reach, text};
use crate::config::Config;
use crate::functions::{EnvironmentNames, ImportedDigest, KeptFunction, KeptImage, Materials};
use crate::packages::ResolvedPackage;
use crate::sql_types;

/// Version of the report's JSON form.
pub const FUNCTION_SCHEMA: &str = "vivarium.audit.function/1";

/// Sections of the configuration whose numbers bound one function.
const LIMIT_SECTIONS: [&str; 3] = ["limits.", "build_limits.", "tenants."];

/// Everything that is known about one version of one function.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FunctionReport {
    /// [`FUNCTION_SCHEMA`].
    pub schema: &'static str,
    /// Version of this program.
    pub version: &'static str,
    /// Which function it is.
    pub function: Identity,
    /// What it is called with, and what it gives.
    pub signature: Signature,
    /// Its code.
    pub code: Code,
    /// What runs it.
    pub interpreter: InterpreterReport,
    /// Its image.
    pub image: ImageReport,
    /// Other people's code.
    pub packages: PackagesReport,
    /// Files that it brings along.
    pub imports: ImportsReport,
    /// Its environment variables: names, never values.
    pub environment: EnvironmentNamesReport,
    /// The resource class that its caller asked for.
    pub class: Option<String>,
    /// What bounds it, its resource class applied.
    pub limits: Vec<Limit>,
    /// What keeps calls of it from being served now.
    pub problems: Vec<String>,
    /// How long state lives, and who shares it.
    pub isolation: Isolation,
    /// Functions of the host that its guest can call.
    pub host_functions: Vec<HostFunction>,
    /// What is within reach and what is not, and why.
    pub reach: Vec<Reach>,
    /// Clocks and random numbers, as each fork gets them.
    pub capabilities: Capabilities,
    /// What the sandbox is made of: digests and versions.
    pub engine: BTreeMap<&'static str, String>,
}

/// Which function it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// Who provisioned it.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// Digest of its definition and environment, in hexadecimal.
    pub version: String,
    /// The callable in its module.
    pub handler: String,
    /// What it is called with: `scalar`, `vectorized`, `table`, `aggregate` or `map`.
    pub kind: &'static str,
}

/// What it is called with, and what it gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Signature {
    /// Its parameters, in order.
    pub parameters: Vec<Column>,
    /// Type of its result.
    pub result: String,
    /// Type of an aggregate's state.
    pub state: Option<String>,
    /// What happens to rows with a null argument.
    pub null_handling: NullHandling,
    /// What happens to rows whose call raises.
    pub on_error: OnError,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, with `NULL` or `NOT NULL`.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// Its code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Code {
    /// Digest in hexadecimal; absent while code that is fetched has not been.
    pub sha256: Option<String>,
    /// Its size, in bytes.
    pub bytes: Option<u64>,
    /// Its name in tracebacks.
    pub file: String,
    /// Which import it is, where it was not sent with the definition.
    pub location: Option<String>,
}

/// What runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InterpreterReport {
    /// `plain` or `numpy`; absent while the function has no image, as packages and imports decide it too.
    pub name: Option<&'static str>,
    /// Version of CPython.
    pub python: String,
    /// SHA-256 of the WebAssembly module, in hexadecimal.
    pub module_sha256: Option<String>,
}

/// Its image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageReport {
    /// `kept`, `refused` or `not kept`.
    pub state: &'static str,
    /// Why it is not kept or not used.
    pub because: Option<String>,
    /// Digest in hexadecimal.
    pub sha256: Option<String>,
    /// Its size, in bytes.
    pub bytes: Option<u64>,
    /// Whether the code drew random numbers while it was imported.
    pub drew_randomness_at_import: Option<bool>,
}

/// Other people's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PackagesReport {
    /// What the definition asks for.
    pub requirements: Vec<String>,
    /// What the image has, with the SHA-256 of each wheel; absent without an image.
    pub installed: Option<Vec<ResolvedPackage>>,
}

/// Files that it brings along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportsReport {
    /// What the definition names.
    pub declared: Vec<DeclaredImport>,
    /// What the image has; absent without an image.
    pub fetched: Option<Vec<ImportedDigest>>,
}

/// A file that the definition names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeclaredImport {
    /// Its name for the engine.
    pub location: String,
    /// Where it was fetched from: without signature, user and password.
    pub url: String,
    /// Version of its content, as the object store names it.
    pub tag: Option<String>,
}

/// Names of its environment variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EnvironmentNamesReport {
    /// Names that the operator's file has for it now.
    pub names: Vec<String>,
    /// Whether names and values are those with which the version was provisioned.
    pub as_provisioned: bool,
}

impl FunctionReport {
    /// Puts together what is kept of a function, what the module imports and what the configuration says.
    ///
    /// # Errors
    /// [`AuditError::Undescribed`] for an import that this program does not know.
    pub fn new(
        imports: &[ImportedFunction],
        identity: &EngineIdentity,
        config: &Config,
        function: &KeptFunction,
        environment: EnvironmentNames,
        image: Option<&KeptImage>,
    ) -> Result<Self, AuditError> {
        let definition = &function.definition;
        let materials = image.map(|image| &image.materials);
        let engine = super::engine(identity);
        let mut problems = Vec::new();
        let bounded = match bounded_by(config, definition.class.as_deref()) {
            Ok(bounded) => bounded,
            Err(problem) => {
                problems.push(problem);
                config.clone()
            }
        };
        if !environment.as_provisioned {
            problems.push(
                "its environment has changed since it was provisioned: calls are refused until it is \
                 provisioned again"
                    .to_owned(),
            );
        }
        let limits = limits::list(&bounded)?.into_iter();
        Ok(Self {
            schema: FUNCTION_SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            function: Identity {
                tenant: function.id.tenant.clone(),
                name: function.name().to_owned(),
                version: function.version(),
                handler: definition.spec.handler.clone(),
                kind: definition.spec.kind.name(),
            },
            signature: Signature::of(&definition.spec),
            code: Code::of(&definition.spec, definition.code_location.as_deref(), materials),
            interpreter: InterpreterReport::of(materials, identity, &engine),
            image: ImageReport::of(image, !environment.names.is_empty()),
            packages: PackagesReport {
                requirements: definition.packages.clone(),
                installed: materials.map(|materials| materials.packages.clone()),
            },
            imports: ImportsReport {
                declared: definition
                    .imports
                    .iter()
                    .map(|import| DeclaredImport {
                        location: import.location.clone(),
                        url: without_credentials(import.url_without_query()),
                        tag: import.tag.clone(),
                    })
                    .collect(),
                fetched: materials.map(|materials| materials.imports.clone()),
            },
            environment: EnvironmentNamesReport {
                names: environment.names,
                as_provisioned: environment.as_provisioned,
            },
            class: definition.class.clone(),
            limits: limits.filter(|limit| LIMIT_SECTIONS.iter().any(|s| limit.name.starts_with(s))).collect(),
            problems,
            isolation: Isolation::EXCHANGE,
            host_functions: host_functions::describe(imports)?,
            reach: reach::derive(imports),
            capabilities: Capabilities::default(),
            engine,
        })
    }

    /// The report for people.
    pub fn to_text(&self) -> String {
        text::render_function(self)
    }

    /// What the report is about, for a signed statement: names and SHA-256 digests in hexadecimal.
    pub fn subjects(&self) -> Vec<(String, String)> {
        let name = format!("{}/{}", self.function.tenant, self.function.name);
        let parts = [
            ("", Some(&self.function.version)),
            (" (code)", self.code.sha256.as_ref()),
            (" (image)", self.image.sha256.as_ref()),
        ];
        parts
            .into_iter()
            .filter_map(|(part, digest)| Some((format!("{name}{part}"), digest?.clone())))
            .collect()
    }
}

/// The configuration with what a resource class replaces.
fn bounded_by(config: &Config, class: Option<&str>) -> Result<Config, String> {
    let mut bounded = config.clone();
    if let Some(class) = class {
        let (_, class) = config
            .classes
            .find(class)
            .map_err(|unknown| format!("{unknown}: calls are refused; the limits shown are the server's"))?;
        bounded.limits = class.limits(&config.limits);
        if let Some(places) = class.max_concurrent_exchanges {
            bounded.tenants.max_concurrent_exchanges = places.min(config.tenants.max_concurrent_exchanges);
        }
    }
    Ok(bounded)
}

impl Signature {
    fn of(spec: &FunctionSpec) -> Self {
        let column =
            |field: &Field| Column { name: field.name().clone(), data_type: sql_types::display(field) };
        Self {
            parameters: spec.parameters.iter().map(column).collect(),
            result: sql_types::display(&spec.result),
            state: match &spec.kind {
                FunctionKind::Aggregate { state } => Some(sql_types::display(state)),
                _ => None,
            },
            null_handling: spec.null_handling,
            on_error: spec.on_error,
        }
    }
}

impl Code {
    fn of(spec: &FunctionSpec, location: Option<&str>, materials: Option<&Materials>) -> Self {
        let sent = location.is_none().then_some(spec.code.as_str());
        let code = materials.and_then(|materials| materials.code.as_deref()).or(sent);
        Self {
            sha256: code.map(|code| hex::encode(Sha256::digest(code))),
            bytes: code.map(|code| code.len() as u64),
            file: spec.filename.clone(),
            location: location.map(str::to_owned),
        }
    }
}

impl InterpreterReport {
    fn of(
        materials: Option<&Materials>,
        identity: &EngineIdentity,
        engine: &BTreeMap<&'static str, String>,
    ) -> Self {
        let interpreter = materials.map(|materials| materials.interpreter);
        let module = |interpreter| match interpreter {
            Interpreter::Plain => engine.get("guest_module_sha256"),
            Interpreter::NumPy => engine.get("numpy_guest_module_sha256"),
        };
        Self {
            name: interpreter.map(Interpreter::name),
            python: identity.python_version.clone(),
            module_sha256: interpreter.and_then(module).cloned(),
        }
    }
}

impl ImageReport {
    fn of(image: Option<&KeptImage>, has_environment: bool) -> Self {
        let because = match image {
            Some(image) => image.refused.as_ref().map(|why| format!("{why}: the server builds it again")),
            None if has_environment => {
                Some("images of functions with an environment are never written to disk".to_owned())
            }
            None => Some("it is built when the server next needs it".to_owned()),
        };
        Self {
            state: match image {
                Some(image) if image.refused.is_some() => "refused",
                Some(_) => "kept",
                None => "not kept",
            },
            because,
            sha256: image.map(|image| image.sha256.clone()),
            bytes: image.map(|image| image.bytes),
            drew_randomness_at_import: image.and_then(|image| image.drew_randomness_at_import),
        }
    }
}
