//! Which function of a source file to run, over which columns, with which result type.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Fields, Schema};
use thiserror::Error;
use vivarium_runtime::{FunctionKind, FunctionSpec};

use super::annotation;
use super::describe::{Function, Parameter, ParameterKind};
use crate::sql_types;

/// How a function's parameters and result meet the columns of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// Index of each parameter's column in the file.
    pub columns: Vec<usize>,
    /// The parameters: named as in Python, typed as in the file.
    pub parameters: Vec<Field>,
    /// The result column.
    pub result: Field,
    /// What becomes of the file's rows.
    pub rows: Rows,
}

/// What becomes of the rows of the file that a function runs over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rows {
    /// Each row gets one result beside its columns.
    #[default]
    Each,
    /// Each row is there as often as it has results, each beside its columns.
    Many,
    /// The result is one row.
    One,
    /// The results stand alone, each of several columns.
    Columns,
}

/// Why a function cannot be run over a file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The file defines no function at its top level.
    #[error("the source file defines no function at its top level")]
    NoFunctions,
    /// The named function is not among those that the file defines.
    #[error("the source file defines no function called `{handler}`; it defines {}{}", list(.candidates), suggest(.suggestion))]
    UnknownFunction {
        /// The name asked for.
        handler: String,
        /// Names that the file defines.
        candidates: Vec<String>,
        /// The one most like it.
        suggestion: Option<String>,
    },
    /// Several functions, none named like the file.
    #[error("the source file defines several functions: choose one of {} as FILE.py:NAME", list(.candidates))]
    Ambiguous {
        /// Names that the file defines.
        candidates: Vec<String>,
    },
    /// `async def`.
    #[error("`{handler}` is a coroutine (`async def`): a function over rows must be a plain `def`")]
    Coroutine {
        /// The function.
        handler: String,
    },
    /// A parameter that cannot be filled from a column.
    #[error("parameter `{parameter}` of `{handler}` cannot be filled from a column: {reason}")]
    Parameter {
        /// The function.
        handler: String,
        /// The parameter.
        parameter: String,
        /// What about it is not possible.
        reason: &'static str,
    },
    /// A parameter without a column of its name.
    #[error("no column for parameter `{parameter}`; the file's columns are {}{}", list(.columns), suggest(.suggestion))]
    NoColumn {
        /// The parameter, or the column that was asked for.
        parameter: String,
        /// The file's columns.
        columns: Vec<String>,
        /// The column most like it.
        suggestion: Option<String>,
    },
    /// Two columns of the same name, of which one is wanted.
    #[error("the file has more than one column called `{column}`")]
    AmbiguousColumn {
        /// The name.
        column: String,
    },
    /// `--argument` names a parameter that the function does not have.
    #[error("`{handler}` has no parameter `{parameter}`; its parameters are {}", list(.parameters))]
    UnknownParameter {
        /// The function.
        handler: String,
        /// The name asked for.
        parameter: String,
        /// The function's parameters.
        parameters: Vec<String>,
    },
    /// The annotation promises another type than the file has.
    #[error(
        "parameter `{parameter}` is annotated `{annotation}`, but column `{column}` is {data_type}: convert the column, or change the annotation"
    )]
    Annotation {
        /// The parameter.
        parameter: String,
        /// Its annotation.
        annotation: String,
        /// The column it would be filled from.
        column: String,
        /// That column's type.
        data_type: String,
    },
    /// Neither an annotation nor an option says what the function returns.
    #[error(
        "the result type of `{handler}` is not known: annotate the function, as in `def {handler}(..) -> float | None`, or give --result, as in --result 'DOUBLE NULL'"
    )]
    NoResult {
        /// The function.
        handler: String,
    },
    /// An annotation that does not settle the result type.
    #[error(
        "the annotation `-> {annotation}` of `{handler}` does not settle a column type: give --result, as in --result '{example}'"
    )]
    ResultAnnotation {
        /// The function.
        handler: String,
        /// Its annotation.
        annotation: String,
        /// A type that might be meant.
        example: &'static str,
    },
    /// The result column's name is taken.
    #[error("the file already has a column called `{column}`: name the result with --column")]
    ResultColumn {
        /// The name.
        column: String,
    },
}

/// Chooses the function to run: the one asked for, the only one, or the one named like the file.
///
/// Names that start with an underscore are only chosen when they are asked for.
///
/// # Errors
/// Names the candidates where the choice is not clear.
pub fn choose<'a>(
    functions: &'a [Function],
    handler: Option<&str>,
    file_stem: &str,
) -> Result<&'a Function, SignatureError> {
    let public: Vec<&Function> = functions.iter().filter(|f| !f.name.starts_with('_')).collect();
    let candidates = || public.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
    let chosen = match (handler, public.as_slice()) {
        (Some(handler), _) => functions.iter().find(|f| f.name == handler).ok_or_else(|| {
            let candidates = candidates();
            let suggestion = closest(handler, &candidates);
            if candidates.is_empty() {
                SignatureError::NoFunctions
            } else {
                SignatureError::UnknownFunction { handler: handler.to_owned(), candidates, suggestion }
            }
        })?,
        (None, []) => return Err(SignatureError::NoFunctions),
        (None, [only]) => only,
        (None, several) => several
            .iter()
            .find(|f| f.name == file_stem)
            .ok_or_else(|| SignatureError::Ambiguous { candidates: candidates() })?,
    };
    if chosen.coroutine {
        return Err(SignatureError::Coroutine { handler: chosen.name.clone() });
    }
    Ok(chosen)
}

/// Matches the parameters of `function` to the columns of `schema`, by name or as `columns`
/// (parameter name to column name) says, and settles the result: `result` if given, else the
/// annotation. The result column is called `column`, else like the function.
///
/// # Errors
/// Says which parameter or type does not fit, and what the file has.
pub fn bind(
    function: &Function,
    schema: &Schema,
    columns: &BTreeMap<String, String>,
    result: Option<(DataType, bool)>,
    column: Option<&str>,
) -> Result<Signature, SignatureError> {
    if let Some(unknown) = columns.keys().find(|name| function.parameters.iter().all(|p| p.name != **name)) {
        return Err(SignatureError::UnknownParameter {
            handler: function.name.clone(),
            parameter: unknown.clone(),
            parameters: function.parameters.iter().map(|p| p.name.clone()).collect(),
        });
    }
    let mut indexes = Vec::new();
    let mut parameters = Vec::new();
    let mut left_out: Option<&Parameter> = None;
    for parameter in &function.parameters {
        let asked_for = columns.get(&parameter.name);
        let wanted = asked_for.unwrap_or(&parameter.name);
        let found = find_column(schema, wanted)?;
        if let Some(reason) = cannot_pass(parameter, asked_for.is_some() || found.is_some()) {
            return Err(parameter_error(function, parameter, reason));
        }
        if parameter.kind != ParameterKind::Positional {
            continue;
        }
        match found {
            // Arguments are passed by position: nothing can follow a parameter that is left out.
            Some(_) if left_out.is_some() => {
                let reason = "a parameter before it has no column and is left to its default";
                return Err(parameter_error(function, parameter, reason));
            }
            Some(index) => {
                let field = schema.field(index);
                check_annotation(parameter, field)?;
                indexes.push(index);
                parameters.push(Field::new(&parameter.name, field.data_type().clone(), field.is_nullable()));
            }
            None if parameter.optional && asked_for.is_none() => left_out = Some(parameter),
            None => return Err(no_column(schema, wanted)),
        }
    }
    let (data_type, nullable) = match result {
        Some(result) => result,
        None => annotated_result(function)?,
    };
    let column = column.unwrap_or(&function.name);
    if schema.index_of(column).is_ok() {
        return Err(SignatureError::ResultColumn { column: column.to_owned() });
    }
    let result = Field::new(column, data_type, nullable);
    Ok(Signature { columns: indexes, parameters, result, rows: Rows::Each })
}

/// Matches the parameters of a declared function to the columns of `schema` as [`bind`] does. Types
/// are the declared ones; a map function that leaves its columns open gets all of them.
///
/// # Errors
/// Says which parameter has no column, and what the file has.
pub fn bind_declared(
    spec: &FunctionSpec,
    schema: &Schema,
    columns: &BTreeMap<String, String>,
    column: Option<&str>,
) -> Result<Signature, SignatureError> {
    let names: Vec<String> = spec.parameters.iter().map(|field| field.name().clone()).collect();
    if let Some(unknown) = columns.keys().find(|name| !names.contains(name)) {
        return Err(SignatureError::UnknownParameter {
            handler: spec.name.clone(),
            parameter: unknown.clone(),
            parameters: names,
        });
    }
    let (mut indexes, mut parameters) = (Vec::new(), Vec::new());
    if spec.kind == FunctionKind::Map && names.is_empty() {
        indexes.extend(0..schema.fields().len());
        parameters.extend(schema.fields().iter().map(|field| field.as_ref().clone()));
    }
    for field in &spec.parameters {
        let wanted = columns.get(field.name()).unwrap_or(field.name());
        let index = find_column(schema, wanted)?.ok_or_else(|| no_column(schema, wanted))?;
        indexes.push(index);
        parameters.push(sql_types::guest_field(field));
    }
    let rows = match spec.kind {
        FunctionKind::Scalar | FunctionKind::Vectorized => Rows::Each,
        FunctionKind::Table => Rows::Many,
        FunctionKind::Aggregate { .. } => Rows::One,
        FunctionKind::Map => Rows::Columns,
    };
    let column = column.unwrap_or(&spec.name);
    let result = sql_types::guest_field(&spec.result).with_name(column);
    let taken = |name: &str| schema.index_of(name).is_ok();
    let signature = Signature { columns: indexes, parameters, result, rows };
    if matches!(rows, Rows::Each | Rows::Many)
        && let Some(field) = signature.result_columns().iter().find(|field| taken(field.name()))
    {
        return Err(SignatureError::ResultColumn { column: field.name().clone() });
    }
    Ok(signature)
}

impl Signature {
    /// The columns that the function gives: of several results in one row, each is one.
    pub fn result_columns(&self) -> Fields {
        match (self.rows, self.result.data_type()) {
            (Rows::Many | Rows::Columns, DataType::Struct(fields)) if !self.result.is_nullable() => {
                fields.clone()
            }
            _ => vec![self.result.clone()].into(),
        }
    }
}

fn no_column(schema: &Schema, wanted: &str) -> SignatureError {
    let columns: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    let suggestion = closest(wanted, &columns);
    SignatureError::NoColumn { parameter: wanted.to_owned(), columns, suggestion }
}

fn find_column(schema: &Schema, name: &str) -> Result<Option<usize>, SignatureError> {
    let mut found = schema.fields().iter().enumerate().filter(|(_, field)| field.name() == name);
    match (found.next(), found.next()) {
        (Some(_), Some(_)) => Err(SignatureError::AmbiguousColumn { column: name.to_owned() }),
        (first, _) => Ok(first.map(|(index, _)| index)),
    }
}

/// Why `parameter` cannot take part in a call by position, given whether a column is meant for it.
fn cannot_pass(parameter: &Parameter, column: bool) -> Option<&'static str> {
    match parameter.kind {
        ParameterKind::Positional => None,
        ParameterKind::VarPositional | ParameterKind::VarKeyword if !column => None,
        ParameterKind::VarPositional | ParameterKind::VarKeyword => {
            Some("it stands for any number of arguments")
        }
        ParameterKind::Keyword if parameter.optional && !column => None,
        ParameterKind::Keyword => {
            Some("it can only be passed by keyword, and columns are passed by position")
        }
    }
}

fn parameter_error(function: &Function, parameter: &Parameter, reason: &'static str) -> SignatureError {
    SignatureError::Parameter { handler: function.name.clone(), parameter: parameter.name.clone(), reason }
}

fn check_annotation(parameter: &Parameter, field: &Field) -> Result<(), SignatureError> {
    match &parameter.annotation {
        Some(annotation) if !annotation::accepts(annotation, field.data_type()) => {
            Err(SignatureError::Annotation {
                parameter: parameter.name.clone(),
                annotation: annotation.text.clone(),
                column: field.name().clone(),
                data_type: sql_types::display_type(field),
            })
        }
        _ => Ok(()),
    }
}

fn annotated_result(function: &Function) -> Result<(DataType, bool), SignatureError> {
    let Some(annotation) = &function.returns else {
        return Err(SignatureError::NoResult { handler: function.name.clone() });
    };
    annotation::result_type(annotation).ok_or_else(|| SignatureError::ResultAnnotation {
        handler: function.name.clone(),
        annotation: annotation.text.clone(),
        example: if annotation.text.contains("Decimal") { "DECIMAL(18, 2) NULL" } else { "VARCHAR NULL" },
    })
}

/// The candidate most like `name`, if one is close.
fn closest(name: &str, candidates: &[String]) -> Option<String> {
    const CLOSE: f64 = 0.7;
    candidates
        .iter()
        .map(|candidate| {
            let similarity =
                strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase());
            (similarity, candidate)
        })
        .filter(|(similarity, _)| *similarity >= CLOSE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate.clone())
}

/// At most 20 names, quoted.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    if text.is_empty() { "none".to_owned() } else { text }
}

fn suggest(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::super::describe::Annotation;
    use super::*;

    fn annotated(name: &str) -> Option<Annotation> {
        Some(Annotation { text: name.to_owned(), name: Some(name.to_owned()), arguments: Vec::new() })
    }

    fn parameter(name: &str, kind: ParameterKind, optional: bool) -> Parameter {
        Parameter { name: name.to_owned(), kind, optional, annotation: None }
    }

    fn function(name: &str, parameters: &[Parameter], returns: Option<Annotation>) -> Function {
        Function {
            name: name.to_owned(),
            line: 1,
            coroutine: false,
            parameters: parameters.to_vec(),
            returns,
        }
    }

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("a", DataType::Int64, false),
            Field::new("price", DataType::Utf8, true),
            Field::new("Unit Cost", DataType::Float64, true),
        ])
    }

    fn bind_plain(function: &Function) -> Result<Signature, SignatureError> {
        bind(function, &schema(), &BTreeMap::new(), None, None)
    }

    use ParameterKind::{Keyword, Positional, VarKeyword, VarPositional};

    #[test]
    fn the_only_or_namesake_function_is_chosen() {
        let f = function("f", &[], None);
        let g = function("g", &[], None);
        let hidden = function("_h", &[], None);
        assert_eq!(choose(&[f.clone(), hidden.clone()], None, "x").unwrap().name, "f");
        assert_eq!(choose(&[f.clone(), g.clone()], None, "g").unwrap().name, "g");
        assert_eq!(choose(&[f.clone(), hidden.clone()], Some("_h"), "x").unwrap().name, "_h");
        assert_eq!(
            choose(&[f.clone(), g], None, "x").unwrap_err().to_string(),
            "the source file defines several functions: choose one of `f`, `g` as FILE.py:NAME"
        );
        assert_eq!(choose(&[hidden], None, "x"), Err(SignatureError::NoFunctions));
        let add = function("add_tax", &[], None);
        assert_eq!(
            choose(&[f, add], Some("ad_tax"), "x").unwrap_err().to_string(),
            "the source file defines no function called `ad_tax`; it defines `f`, `add_tax`; \
             did you mean `add_tax`?"
        );
        let coroutine = Function { coroutine: true, ..function("c", &[], None) };
        assert!(matches!(choose(&[coroutine], None, "x"), Err(SignatureError::Coroutine { .. })));
    }

    #[test]
    fn parameters_meet_columns_by_name() {
        let f = function(
            "f",
            &[
                parameter("price", Positional, false),
                parameter("a", Positional, false),
                parameter("rate", Positional, true),
                parameter("rest", VarPositional, true),
                parameter("flag", Keyword, true),
                parameter("more", VarKeyword, true),
            ],
            annotated("float"),
        );
        let signature = bind_plain(&f).unwrap();
        assert_eq!(signature.columns, [1, 0]);
        assert_eq!(signature.parameters[0], Field::new("price", DataType::Utf8, true));
        assert_eq!(signature.result, Field::new("f", DataType::Float64, false));

        let renamed = BTreeMap::from([("rate".to_owned(), "Unit Cost".to_owned())]);
        let signature = bind(&f, &schema(), &renamed, Some((DataType::Int8, true)), Some("out")).unwrap();
        assert_eq!(signature.columns, [1, 0, 2]);
        assert_eq!(signature.parameters[2].name(), "rate");
        assert_eq!(signature.result, Field::new("out", DataType::Int8, true));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let error = |parameters: &[Parameter]| {
            bind_plain(&function("f", parameters, annotated("int"))).unwrap_err().to_string()
        };
        assert_eq!(
            error(&[parameter("prise", Positional, false)]),
            "no column for parameter `prise`; the file's columns are `a`, `price`, `Unit Cost`; \
             did you mean `price`?"
        );
        assert_eq!(
            error(&[parameter("x", Positional, true), parameter("a", Positional, true)]),
            "parameter `a` of `f` cannot be filled from a column: a parameter before it has no column and is \
             left to its default"
        );
        assert!(error(&[parameter("k", Keyword, false)]).contains("only be passed by keyword"));
        assert!(error(&[parameter("a", VarPositional, true)]).contains("any number of arguments"));
        let annotated_price =
            Parameter { annotation: annotated("int"), ..parameter("price", Positional, false) };
        assert_eq!(
            error(&[annotated_price]),
            "parameter `price` is annotated `int`, but column `price` is VARCHAR: convert the column, or \
             change the annotation"
        );
        let twice = Schema::new(vec![schema().field(0).clone(), schema().field(0).clone()]);
        let f = function("f", &[parameter("a", Positional, false)], annotated("int"));
        let ambiguous = bind(&f, &twice, &BTreeMap::new(), None, None);
        assert_eq!(ambiguous, Err(SignatureError::AmbiguousColumn { column: "a".to_owned() }));
        let unknown = BTreeMap::from([("b".to_owned(), "a".to_owned())]);
        let unknown = bind(&f, &schema(), &unknown, None, None).unwrap_err();
        assert_eq!(unknown.to_string(), "`f` has no parameter `b`; its parameters are `a`");
    }

    #[test]
    fn a_result_needs_a_type_and_a_free_name() {
        let decimal = bind_plain(&function("f", &[], annotated("Decimal"))).unwrap_err().to_string();
        assert!(decimal.ends_with("give --result, as in --result 'DECIMAL(18, 2) NULL'"), "{decimal}");
        let none = bind_plain(&function("f", &[], None)).unwrap_err().to_string();
        assert!(none.contains("or give --result"), "{none}");
        let taken = bind_plain(&function("price", &[], annotated("int")));
        assert_eq!(taken, Err(SignatureError::ResultColumn { column: "price".to_owned() }));
    }
}
