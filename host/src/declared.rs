//! Python files whose decorators say what they offer, for `vivarium serve --functions` and
//! `vivarium run`.
//!
//! The decorators are those of our own package and of `databend_udf` and `arrow_udf`; the module is
//! executed in the sandbox, never outside, to find out what it declares.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, Field};
use vivarium_runtime::{
    BuildError, BuildLimits, Declaration, DeclaredKind, Engine, FunctionKind, FunctionSpec, Image,
    ModuleSource,
};

use crate::functions::{self, Materials};
use crate::packages::{PackageError, Packages};
use crate::sql_types::{self, Dialect, SqlTypeError};
use crate::token::MAX_FUNCTION_BYTES;

/// What `databend_udf` adds to every server, for health checks.
const DATABEND_BUILTINS: &str = include_str!("declared/databend_builtins.py");

/// A function of a file, ready to be called.
pub struct Declared {
    /// Its definition, with its types as its dialect names them.
    pub spec: FunctionSpec,
    /// Whose decorator declared it.
    pub dialect: Dialect,
    /// Its image, of [`sql_types::guest_spec`] of the definition.
    pub image: Image,
    /// What the image was made from beyond the file.
    pub materials: Materials,
}

/// Why a file cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeclaredError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is larger than code may be.
    #[error("{} is larger than {limit} bytes (limit build_limits.code_bytes)", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes allowed.
        limit: u64,
    },
    /// The packages that the file asks for (PEP 723) are not to be had.
    #[error("{}: {error}", path.display())]
    Packages {
        /// The file.
        path: PathBuf,
        /// Why.
        error: Box<PackageError>,
    },
    /// The file does not execute, or what it declares is wrong.
    #[error("{}: {error}", path.display())]
    Module {
        /// The file.
        path: PathBuf,
        /// Why.
        error: Box<BuildError>,
    },
    /// The file declares nothing.
    #[error(
        "{} declares no functions: decorate them with vivarium.udf, databend_udf.udf or arrow_udf.udf",
        path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Two functions have the same name.
    #[error("{}: function `{function}` is declared in {} already", path.display(), other.display())]
    Twice {
        /// The file.
        path: PathBuf,
        /// The name.
        function: String,
        /// The file that has it already.
        other: PathBuf,
    },
    /// A name that requests cannot carry.
    #[error("{}: the name of function `{function}` is longer than {limit} bytes", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// The name.
        function: String,
        /// Longest name, in bytes.
        limit: usize,
    },
    /// A declaration cannot be served.
    #[error("{}: function `{function}`: {error}", path.display())]
    Function {
        /// The file.
        path: PathBuf,
        /// The function.
        function: String,
        /// Why.
        error: Box<DeclarationError>,
    },
    /// The function's image cannot be built.
    #[error("{}: function `{function}`: {error}", path.display())]
    Build {
        /// The file.
        path: PathBuf,
        /// The function.
        function: String,
        /// Why.
        error: Box<BuildError>,
    },
}

/// Why a declaration is no definition.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeclarationError {
    /// A type cannot be read.
    #[error("{what} has the type `{text}`: {error}")]
    Type {
        /// Parameter, result or state.
        what: String,
        /// The type as it is written, shortened.
        text: String,
        /// Why.
        error: SqlTypeError,
    },
    /// An aggregate that does not say what its state is.
    #[error("the type of the aggregate's state is missing")]
    NoState,
    /// A map function whose result has no columns.
    #[error("the result of a map function is a struct of its columns, not {found}")]
    MapResult {
        /// The declared type.
        found: String,
    },
    /// A map function that takes whatever columns come.
    #[error("a map function that is served needs its input columns declared (`parameters`)")]
    OpenMap,
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// [`DeclaredError::Read`], [`DeclaredError::TooLarge`].
pub fn read_source(path: &Path, limit: u64) -> Result<String, DeclaredError> {
    let failed = |source| DeclaredError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut code = String::new();
    let bytes = file.take(limit.saturating_add(1)).read_to_string(&mut code).map_err(failed)?;
    if bytes as u64 > limit {
        return Err(DeclaredError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(code)
}

/// Reads files and builds the images of all functions that they declare.
///
/// # Errors
/// [`DeclaredError`], naming the file and the function.
pub fn load(
    engine: &Engine,
    packages: &Packages,
    paths: &[PathBuf],
    limits: &BuildLimits,
) -> Result<Vec<Declared>, DeclaredError> {
    let mut functions = Vec::new();
    let mut names: HashMap<String, PathBuf> = HashMap::new();
    for path in paths {
        let code = read_source(path, limits.code_bytes)?;
        let filename = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (materials, files) =
            functions::of_script(&code, |requirements| packages.collect(requirements))
                .map_err(|error| DeclaredError::Packages { path: path.clone(), error: Box::new(error) })?;
        let interpreter = materials.interpreter;
        let module = ModuleSource { filename, code, interpreter, files, ..ModuleSource::default() };
        let declarations = describe(engine, &module, limits)
            .map_err(|error| DeclaredError::Module { path: path.clone(), error: Box::new(error) })?;
        if declarations.is_empty() {
            return Err(DeclaredError::Empty { path: path.clone() });
        }
        for declaration in declarations {
            let name = declaration.name.clone();
            if let Some(other) = names.insert(name.clone(), path.clone()) {
                return Err(DeclaredError::Twice { path: path.clone(), function: name, other });
            }
            functions.push(build(engine, path, &module, &materials, &declaration, limits)?);
        }
    }
    if functions.iter().any(|function| function.dialect == Dialect::DatabendUdf) {
        functions.extend(databend_builtins(engine, &names, limits)?);
    }
    Ok(functions)
}

/// What a module declares.
///
/// # Errors
/// [`BuildError`]: it does not execute, or a decorator's arguments are wrong.
pub fn describe(
    engine: &Engine,
    module: &ModuleSource,
    limits: &BuildLimits,
) -> Result<Vec<Declaration>, BuildError> {
    engine.describe(module, limits)
}

fn databend_builtins(
    engine: &Engine,
    names: &HashMap<String, PathBuf>,
    limits: &BuildLimits,
) -> Result<Vec<Declared>, DeclaredError> {
    let module = ModuleSource {
        filename: "databend_builtins.py".to_owned(),
        code: DATABEND_BUILTINS.to_owned(),
        ..ModuleSource::default()
    };
    let path = Path::new(&module.filename);
    let declaration = |name: &str, parameters: &[(&str, &str)], result: &str| Declaration {
        name: name.to_owned(),
        handler: name.to_owned(),
        kind: DeclaredKind::Scalar,
        parameters: parameters.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect(),
        result: ("output".to_owned(), result.to_owned()),
        state: None,
        null_handling: Default::default(),
        on_error: Default::default(),
        dialect: vivarium_runtime::Dialect::DatabendUdf,
    };
    [declaration("builtin_echo", &[("a", "VARCHAR")], "VARCHAR"), declaration("builtin_healthy", &[], "INT")]
        .iter()
        .filter(|declaration| !names.contains_key(&declaration.name))
        .map(|declaration| build(engine, path, &module, &Materials::default(), declaration, limits))
        .collect()
}

fn build(
    engine: &Engine,
    path: &Path,
    module: &ModuleSource,
    materials: &Materials,
    declaration: &Declaration,
    limits: &BuildLimits,
) -> Result<Declared, DeclaredError> {
    let (path, function) = (|| path.to_owned(), || declaration.name.clone());
    if declaration.name.len() > MAX_FUNCTION_BYTES {
        return Err(DeclaredError::Name { path: path(), function: function(), limit: MAX_FUNCTION_BYTES });
    }
    let mut spec = spec(module, declaration).map_err(|error| DeclaredError::Function {
        path: path(),
        function: function(),
        error: Box::new(error),
    })?;
    if spec.kind == FunctionKind::Map && spec.parameters.is_empty() {
        let error = Box::new(DeclarationError::OpenMap);
        return Err(DeclaredError::Function { path: path(), function: function(), error });
    }
    spec.files_digest.clone_from(&materials.files_digest);
    let image =
        engine.build_image(&sql_types::guest_spec(&spec), &module.files, limits).map_err(|error| {
            DeclaredError::Build { path: path(), function: function(), error: Box::new(error) }
        })?;
    Ok(Declared { spec, dialect: declaration.dialect.into(), image, materials: materials.clone() })
}

/// The definition that a declaration stands for, with types as the dialect names them.
///
/// # Errors
/// [`DeclarationError`], naming the parameter.
pub fn spec(module: &ModuleSource, declaration: &Declaration) -> Result<FunctionSpec, DeclarationError> {
    let dialect = Dialect::from(declaration.dialect);
    let field = |name: &str, text: &str, what: String| {
        sql_types::parse_field(name, text, dialect).map_err(|error| DeclarationError::Type {
            what,
            text: text.chars().take(200).collect(),
            error,
        })
    };
    let parameters = declaration
        .parameters
        .iter()
        .map(|(name, text)| field(name, text, format!("parameter `{name}`")))
        .collect::<Result<Vec<Field>, _>>()?;
    let (name, text) = &declaration.result;
    // The servers of arrow_udf name the result after the function.
    let name = if dialect == Dialect::ArrowUdf { &declaration.name } else { name };
    let mut result = field(name, text, "the result".to_owned())?;
    let kind = match declaration.kind {
        DeclaredKind::Scalar => FunctionKind::Scalar,
        DeclaredKind::Vectorized => FunctionKind::Vectorized,
        DeclaredKind::Table => FunctionKind::Table,
        DeclaredKind::Map => FunctionKind::Map,
        DeclaredKind::Aggregate => {
            let text = declaration.state.as_deref().ok_or(DeclarationError::NoState)?;
            FunctionKind::Aggregate { state: field("state", text, "the state".to_owned())? }
        }
    };
    let is_struct = matches!(result.data_type(), DataType::Struct(_));
    if kind == FunctionKind::Map && !is_struct {
        return Err(DeclarationError::MapResult { found: sql_types::display_type(&result) });
    }
    // Its fields are the columns of the answer, and a row of columns is never null as a whole.
    if kind == FunctionKind::Map
        || (kind == FunctionKind::Table && is_struct && dialect == Dialect::DatabendUdf)
    {
        result = result.with_nullable(false);
    }
    Ok(FunctionSpec {
        name: declaration.name.clone(),
        handler: declaration.handler.clone(),
        filename: module.filename.clone(),
        code: module.code.clone(),
        parameters,
        result,
        kind,
        null_handling: declaration.null_handling,
        on_error: declaration.on_error,
        environment: module.environment.clone(),
        interpreter: module.interpreter,
        files_digest: None,
    })
}

impl std::fmt::Debug for Declared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Declared").field("name", &self.spec.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration(kind: DeclaredKind, result: &str, dialect: vivarium_runtime::Dialect) -> Declaration {
        Declaration {
            name: "f".to_owned(),
            handler: "mod.f".to_owned(),
            kind,
            parameters: vec![("x".to_owned(), "INT".to_owned())],
            result: ("result".to_owned(), result.to_owned()),
            state: None,
            null_handling: Default::default(),
            on_error: Default::default(),
            dialect,
        }
    }

    fn read(declaration: &Declaration) -> Result<FunctionSpec, DeclarationError> {
        spec(&ModuleSource::default(), declaration)
    }

    use vivarium_runtime::Dialect::{ArrowUdf, DatabendUdf, Vivarium};

    #[test]
    fn types_are_read_in_the_dialect_of_the_decorator() {
        let of_arrow = read(&declaration(DeclaredKind::Scalar, "int[]", ArrowUdf)).unwrap();
        assert_eq!((of_arrow.name.as_str(), of_arrow.handler.as_str()), ("f", "mod.f"));
        assert_eq!((of_arrow.result.name().as_str(), of_arrow.parameters[0].is_nullable()), ("f", true));
        let ours = read(&declaration(DeclaredKind::Scalar, "INT", Vivarium)).unwrap();
        assert_eq!((ours.result.name().as_str(), ours.parameters[0].is_nullable()), ("result", false));
        let table = "STRUCT<a INT NULL> NULL";
        assert!(!read(&declaration(DeclaredKind::Table, table, DatabendUdf)).unwrap().result.is_nullable());
        assert!(read(&declaration(DeclaredKind::Table, table, ArrowUdf)).unwrap().result.is_nullable());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |kind, result| read(&declaration(kind, result, Vivarium)).unwrap_err().to_string();
        assert_eq!(
            message(DeclaredKind::Scalar, "INTT"),
            "the result has the type `INTT`: unknown type `INTT` at character 1; did you mean INT?"
        );
        assert_eq!(
            message(DeclaredKind::Map, "INT"),
            "the result of a map function is a struct of its columns, not INT"
        );
        assert_eq!(message(DeclaredKind::Aggregate, "INT"), "the type of the aggregate's state is missing");
    }
}
