//! What a state directory holds, for whoever looks at it from outside: nothing is created, changed or
//! removed, and no server has to run.

use sha2::{Digest as _, Sha256};
use vivarium_runtime::Engine;

use super::definition::{Definition, EnvironmentMark};
use super::error::{StartError, StoreError};
use super::materials::Materials;
use super::registry::VersionId;
use super::store::Store;
use crate::config::Config;
use crate::environment::Environments;

/// A state directory that is looked at.
#[derive(Debug)]
pub struct Inventory {
    store: Store,
    environments: Environments,
    environment_key: Option<[u8; 32]>,
}

/// A version of a function, as it is kept.
#[derive(Debug)]
pub struct KeptFunction {
    /// Its identity.
    pub id: VersionId,
    /// Its definition, without the signatures and headers of imports, which are never kept.
    pub definition: Definition,
    environment: Option<EnvironmentMark>,
}

/// The environment that a function would get today.
#[derive(Debug, PartialEq, Eq)]
pub struct EnvironmentNames {
    /// Names of the variables, in order.
    pub names: Vec<String>,
    /// Whether names and values are those with which the version was provisioned; without that its calls
    /// are refused.
    pub as_provisioned: bool,
}

/// The image of a function, as it is kept.
#[derive(Debug)]
pub struct KeptImage {
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// What it was made from.
    pub materials: Materials,
    /// Whether the code drew random numbers while it was imported; known of a usable image only.
    pub drew_randomness_at_import: Option<bool>,
    /// Why a server with this engine would not use it but build it again.
    pub refused: Option<String>,
}

impl Inventory {
    /// Opens the state directory and the file of environments of `config`.
    ///
    /// # Errors
    /// [`StartError`]: one of them cannot be read.
    pub fn open(config: &Config) -> Result<Self, StartError> {
        let store = Store::open_read_only(&config.server.state_dir)?;
        let environment_key = store.existing_environment_key()?;
        Ok(Self { store, environments: Environments::open(&config.environment)?, environment_key })
    }

    /// All functions, by tenant and name. Files that cannot be used are left out and reported in the log.
    ///
    /// # Errors
    /// [`StoreError`]: a directory cannot be read.
    pub fn functions(&self) -> Result<Vec<KeptFunction>, StoreError> {
        let stored = self.store.load_all()?.into_iter();
        let mut functions: Vec<KeptFunction> = stored
            .map(|stored| KeptFunction {
                id: stored.id,
                definition: stored.definition,
                environment: stored.environment,
            })
            .collect();
        functions.sort_by_cached_key(|function| {
            (function.id.tenant.clone(), function.name().to_owned(), function.id.digest)
        });
        Ok(functions)
    }

    /// The environment that the operator's file has for a function.
    pub fn environment(&self, function: &KeptFunction) -> EnvironmentNames {
        let variables = self.environments.of(&function.id.tenant, &function.definition.environment_name);
        let mark = self.environment_key.and_then(|key| EnvironmentMark::of(&variables, &key));
        EnvironmentNames {
            names: variables.iter().map(|(name, _)| name.to_owned()).collect(),
            // Without a key no version was ever provisioned with an environment.
            as_provisioned: mark == function.environment
                && (variables.is_empty() || self.environment_key.is_some()),
        }
    }

    /// The image of a function, if one is kept; images of functions with an environment never are.
    ///
    /// # Errors
    /// [`StoreError`]: the file cannot be read, or does not begin with its materials.
    pub fn image(&self, engine: &Engine, function: &KeptFunction) -> Result<Option<KeptImage>, StoreError> {
        let Some(stored) = self.store.image(&function.id)? else { return Ok(None) };
        let spec = stored.materials.guest_spec(&function.definition, &Default::default());
        let (drew_randomness_at_import, refused) = match engine.load_image(&spec, &stored.bytes) {
            Ok(image) => (Some(image.drew_randomness_at_import()), None),
            Err(error) => (None, Some(error.to_string())),
        };
        Ok(Some(KeptImage {
            sha256: hex::encode(Sha256::digest(&stored.bytes)),
            bytes: stored.bytes.len() as u64,
            materials: stored.materials,
            drew_randomness_at_import,
            refused,
        }))
    }
}

impl KeptFunction {
    /// The function's name.
    pub fn name(&self) -> &str {
        &self.definition.spec.name
    }

    /// The digest that identifies the version, in hexadecimal.
    pub fn version(&self) -> String {
        hex::encode(self.id.digest)
    }
}
