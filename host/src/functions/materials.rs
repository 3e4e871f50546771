//! What an image is made from: brings packages and imports to a function before it is built, and
//! records what they were.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use vivarium_runtime::{FunctionFiles, FunctionSpec, GuestFile, Interpreter};

use super::definition::Definition;
use super::error::PrepareError;
use crate::environment::Environment;
use crate::imports::{self, GuestImports, Import, ImportedFile, Imports};
use crate::packages::{self, Collected, PackageError, Packages, Requirement, ResolvedPackage};
use crate::sql_types;

/// Folder of the packages in the guest's file system.
const PACKAGES: &str = "/packages";

/// Brings what functions need to this host.
pub(super) struct Preparer {
    packages: Packages,
    imports: Imports,
}

/// A function, ready to be built.
pub(super) struct Prepared {
    /// As the sandbox gets it.
    pub(super) spec: FunctionSpec,
    pub(super) files: FunctionFiles,
    pub(super) materials: Materials,
}

/// What an image was made from, beyond its definition. It is kept with the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Materials {
    /// The interpreter that runs it.
    pub interpreter: Interpreter,
    /// Packages, with those that packages needed.
    pub packages: Vec<ResolvedPackage>,
    /// Imported files, in the order in which they came.
    pub imports: Vec<ImportedDigest>,
    /// The code, where the definition only said where it is.
    pub code: Option<String>,
    /// Digest of all files' paths and contents, in hexadecimal; absent without files.
    pub files_digest: Option<String>,
}

/// An imported file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedDigest {
    /// Its name in the sandbox.
    pub name: String,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

impl Preparer {
    pub(super) fn new(packages: Packages, imports: Imports) -> Self {
        Self { packages, imports }
    }

    pub(super) fn packages(&self) -> &Packages {
        &self.packages
    }

    /// Fetches, resolves and checks everything. Blocks, for as long as the network takes.
    pub(super) fn prepare(
        &self,
        tenant: &str,
        definition: &Definition,
        imports: &[Import],
        environment: &Environment,
    ) -> Result<Prepared, PrepareError> {
        let imported = self.imports.fetch(tenant, imports)?;
        let code = match &definition.code_location {
            None => None,
            Some(location) => Some(code_at(location, imports, &imported)?),
        };
        let source = code.as_deref().unwrap_or(&definition.spec.code);
        let mut requirements = definition.packages.clone();
        // The packages named in code that was sent are part of the definition already.
        if let Some(code) = &code {
            merge_requirements(&mut requirements, packages::inline_metadata(code)?.dependencies);
        }
        let collected = match requirements.is_empty() {
            true => None,
            false => Some(self.packages.collect(&packages::parse_requirements(&requirements)?)?),
        };

        let numpy = |code: &str| Interpreter::for_code(code) == Interpreter::NumPy;
        let numpy_in_imports = imported
            .iter()
            .any(|file| file.name.ends_with(".py") && numpy(&String::from_utf8_lossy(&file.content)));
        let mut materials = Materials {
            interpreter: if numpy_in_imports { Interpreter::NumPy } else { Interpreter::for_code(source) },
            imports: imported.iter().map(ImportedDigest::of).collect(),
            ..Materials::default()
        };
        let GuestImports { files, search_path, x_options } = imports::guest_files(&imported);
        let files = files.into_iter().map(|(path, content)| GuestFile { path, content }).collect();
        let mut files = FunctionFiles { files, search_path, x_options };
        if let Some(collected) = collected {
            materials.add_packages(collected, &mut files);
        }
        materials.files_digest = digest_of(&files);
        materials.code = code;
        let spec = materials.guest_spec(definition, environment);
        Ok(Prepared { spec, files, materials })
    }

    /// Whether imported files are still what an image was made from; asks their servers where that
    /// has to be asked again.
    pub(super) fn is_current(
        &self,
        tenant: &str,
        imports: &[Import],
        materials: &Materials,
    ) -> Result<bool, PrepareError> {
        let imported = self.imports.fetch(tenant, imports)?;
        Ok(imported.iter().map(ImportedDigest::of).eq(materials.imports.iter().cloned()))
    }

    /// Whether [`Preparer::is_current`] would ask nobody.
    pub(super) fn is_fresh(&self, tenant: &str, imports: &[Import]) -> bool {
        self.imports.is_fresh(tenant, imports)
    }
}

impl Materials {
    /// Adds packages to the files, behind what is there.
    fn add_packages(&mut self, collected: Collected, files: &mut FunctionFiles) {
        if collected.interpreter == Interpreter::NumPy {
            self.interpreter = Interpreter::NumPy;
        }
        files.search_path.push(PACKAGES.to_owned());
        files.files.extend(
            collected
                .files
                .into_iter()
                .map(|(path, content)| GuestFile { path: format!("{PACKAGES}/{path}"), content }),
        );
        self.packages = collected.packages;
    }

    /// The definition as the sandbox gets it.
    pub(super) fn guest_spec(&self, definition: &Definition, environment: &Environment) -> FunctionSpec {
        let mut spec = sql_types::guest_spec(&definition.spec);
        spec.interpreter = self.interpreter;
        spec.files_digest = self.files_digest.clone();
        spec.environment = environment.to_map();
        if let Some(code) = &self.code {
            spec.code.clone_from(code);
        }
        spec
    }
}

impl ImportedDigest {
    fn of(file: &ImportedFile) -> Self {
        Self { name: file.name.clone(), sha256: hex::encode(file.sha256) }
    }
}

/// What a file of Python brings along that comes from this machine, not from an engine: the packages of
/// its inline metadata (PEP 723), if it has any. Blocks for as long as `collect` does, which is
/// [`Packages::collect`].
///
/// # Errors
/// What `collect` says, or [`PackageError`] of the metadata.
pub fn of_script<E: From<PackageError>>(
    code: &str,
    collect: impl FnOnce(&[Requirement]) -> Result<Collected, E>,
) -> Result<(Materials, FunctionFiles), E> {
    let requirements = packages::inline_metadata(code)?.dependencies;
    let mut materials = Materials { interpreter: Interpreter::for_code(code), ..Materials::default() };
    let mut files = FunctionFiles::default();
    if !requirements.is_empty() {
        let collected = collect(&packages::parse_requirements(&requirements)?)?;
        materials.add_packages(collected, &mut files);
        materials.files_digest = digest_of(&files);
    }
    Ok((materials, files))
}

/// Adds what is not there yet, in front, as inline metadata of a script comes first.
pub(super) fn merge_requirements(requirements: &mut Vec<String>, inline: Vec<String>) {
    let mut merged: Vec<String> = inline.into_iter().filter(|text| !requirements.contains(text)).collect();
    merged.append(requirements);
    *requirements = merged;
}

/// The code among the imported files.
fn code_at(location: &str, imports: &[Import], imported: &[ImportedFile]) -> Result<String, PrepareError> {
    let name = location.rsplit('/').next().unwrap_or(location);
    let file = imports
        .iter()
        .any(|import| import.location == location)
        .then(|| imported.iter().find(|file| file.name == name))
        .flatten()
        .ok_or_else(|| PrepareError::NoCode { location: location.to_owned() })?;
    std::str::from_utf8(&file.content)
        .map(str::to_owned)
        .map_err(|error| PrepareError::CodeNotText { location: location.to_owned(), at: error.valid_up_to() })
}

fn digest_of(files: &FunctionFiles) -> Option<String> {
    if files.files.is_empty() {
        return None;
    }
    let mut hash = Sha256::new();
    hash.update(b"vivarium function files 1\0");
    let mut bytes = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for GuestFile { path, content } in &files.files {
        bytes(path.as_bytes());
        bytes(&Sha256::digest(content));
    }
    files.search_path.iter().for_each(|entry| bytes(entry.as_bytes()));
    Some(hex::encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_asked_for_by_scripts_with_metadata_only() {
        let refuse = |_: &[Requirement]| Err(PackageError::Disabled);
        let (materials, files) = of_script("import numpy\n", refuse).unwrap();
        assert_eq!((materials.interpreter, files.files.len()), (Interpreter::NumPy, 0));
        let code = "# /// script\n# dependencies = [\"a==1\"]\n# ///\n";
        assert!(matches!(of_script(code, refuse), Err(PackageError::Disabled)));
        let code = "# /// script\n# dependencies = []\n# ///\n";
        assert!(of_script(code, refuse).is_ok());
    }
}
