//! How `vivarium run` fails: what is printed, and the exit code.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use vivarium_host::local::{self, DescribeError, JobError, OutputError};
use vivarium_host::packages::PackageError;
use vivarium_runtime::{
    BuildError, CallError, EngineError, ForkError, FunctionError, FunctionErrorKind, Logs,
};

use super::quantity::grouped;
use super::terminal::{print_logs, printable};

/// Exit codes, as `vivarium run --help` documents them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    Function = 1,
    Usage = 2,
    Limit = 3,
    Other = 4,
}

/// An error that is ready to be printed.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    text: String,
    logs: Option<Logs>,
}

impl From<PackageError> for Failure {
    fn from(error: PackageError) -> Self {
        Self::usage(error)
    }
}

impl Failure {
    fn new(exit: Exit, text: String) -> Self {
        Self { exit, text, logs: None }
    }

    /// Something about the command line or the files is wrong.
    pub(super) fn usage(error: impl Error) -> Self {
        Self::usage_text(chain(&error))
    }

    /// Something about the command line or the files is wrong, in words.
    pub(super) fn usage_text(text: String) -> Self {
        Self::new(Exit::Usage, text)
    }

    /// The sandbox could not be started.
    pub(super) fn engine(error: EngineError) -> Self {
        Self::new(Exit::Other, chain(&error))
    }

    /// The result could not be written.
    pub(super) fn output(error: OutputError) -> Self {
        let exit = if matches!(error, OutputError::Column { .. }) { Exit::Usage } else { Exit::Other };
        Self::new(exit, chain(&error))
    }

    /// The table could not be printed.
    pub(super) fn standard_output(error: std::io::Error) -> Self {
        Self::new(Exit::Other, format!("cannot write to standard output: {error}"))
    }

    /// The functions of the source could not be listed.
    pub(super) fn describe(error: DescribeError, path: &Path) -> Self {
        match error {
            DescribeError::Syntax(syntax) => {
                Self::new(Exit::Function, format!("{} does not compile\n\n{syntax}", path.display()))
            }
            DescribeError::Call(call) => {
                Self { text: format!("cannot read {}: {call}", path.display()), ..Self::call(&call) }
            }
            other => Self::new(Exit::Other, chain(&other)),
        }
    }

    /// The function's image could not be built.
    pub(super) fn build(error: BuildError, handler: &str) -> Self {
        match error {
            BuildError::Call { error, logs } => {
                let failure = Self::call(&error);
                let text = format!("`{handler}` cannot be loaded\n\n{}", failure.text);
                Self { text, logs: Some(*logs), ..failure }
            }
            BuildError::Fork(error) => Self::fork(error),
            BuildError::Spec(error) => Self::usage(error),
            BuildError::Schema(error) => Self::usage(error),
            other => Self::new(Exit::Other, chain(&other)),
        }
    }

    /// The run ended early.
    pub(super) fn job(error: JobError, handler: &str, input: &Path) -> Self {
        match error {
            JobError::Input(error) => Self::usage(error),
            JobError::Convert(error) => Self::usage(error),
            JobError::Output(error) => Self::output(error),
            JobError::Fork(error) => Self::fork(error),
            JobError::Call(failed) => Self::in_rows(*failed, handler, input),
            other => Self::new(Exit::Other, chain(&other)),
        }
    }

    fn fork(error: ForkError) -> Self {
        match error {
            ForkError::TooSmall { limit, requested } => Self::new(
                Exit::Limit,
                format!(
                    "the function needs {} bytes of memory to start, {} are allowed (--memory)",
                    grouped(requested),
                    grouped(limit)
                ),
            ),
            other => Self::new(Exit::Other, chain(&other)),
        }
    }

    fn in_rows(failed: local::Failure, handler: &str, input: &Path) -> Self {
        let failure = Self::call(&failed.source);
        let input = input.display();
        let mut text = match failed.row {
            Some(row) => format!("`{handler}` failed at row {} of {input}", grouped(row)),
            None => format!(
                "`{handler}` failed in rows {} to {} of {input}",
                grouped(failed.first_row + 1),
                grouped(failed.first_row + failed.rows as u64),
            ),
        };
        if !failed.arguments.is_empty() {
            let arguments: Vec<String> =
                failed.arguments.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            // Writing to a String cannot fail.
            let _ = write!(text, "\n  with {}", arguments.join(", "));
        }
        let _ = write!(text, "\n\n{}", failure.text);
        Self { text, logs: Some(failed.logs), ..failure }
    }

    /// What a failed call says, with the exit code that it calls for.
    fn call(error: &CallError) -> Self {
        match error {
            CallError::Function(function) => {
                let exit = match function.kind {
                    FunctionErrorKind::Memory | FunctionErrorKind::Recursion => Exit::Limit,
                    FunctionErrorKind::Schema => Exit::Usage,
                    FunctionErrorKind::Internal => Exit::Other,
                    _ => Exit::Function,
                };
                Self::new(exit, function_text(function))
            }
            CallError::Fuel { limit } => Self::new(
                Exit::Limit,
                format!("the fuel limit of {} for each batch is used up (--fuel)", grouped(*limit)),
            ),
            CallError::Deadline { limit_ms } => Self::new(
                Exit::Limit,
                format!("the time limit of {} ms for each batch has passed (--deadline)", grouped(*limit_ms)),
            ),
            CallError::Memory { limit_bytes, error } => {
                let mut text =
                    format!("the memory limit of {} bytes is met (--memory)", grouped(*limit_bytes));
                if let Some(function) = error {
                    let _ = write!(text, "\n\n{}", function_text(function));
                }
                Self::new(Exit::Limit, text)
            }
            CallError::Output(limit) => Self::new(
                Exit::Limit,
                format!(
                    "the result of one batch needs {} bytes, {} are allowed (--output-bytes, or a smaller \
                     --batch-rows)",
                    grouped(limit.requested),
                    grouped(limit.limit)
                ),
            ),
            CallError::Recursion { .. } | CallError::Input(_) => Self::new(Exit::Limit, chain(error)),
            CallError::Exit { .. } | CallError::Abort { .. } => Self::new(Exit::Function, chain(error)),
            other => Self::new(Exit::Other, chain(other)),
        }
    }

    /// Prints the failure and returns the exit code.
    pub(super) fn report(&self) -> ExitCode {
        if let Some(logs) = &self.logs {
            print_logs(logs);
        }
        eprintln!("error: {}", printable(&self.text));
        ExitCode::from(self.exit as u8)
    }
}

/// The traceback where there is one, else what is known.
fn function_text(error: &FunctionError) -> String {
    let mut text = match (&error.traceback, &error.class) {
        (Some(traceback), _) if !traceback.trim().is_empty() => traceback.trim_end().to_owned(),
        (_, Some(class)) if !error.message.starts_with(class.as_str()) => {
            format!("{class}: {}", error.message)
        }
        _ => without_row(error),
    };
    if error.kind == FunctionErrorKind::Result && error.message.contains("None") {
        text.push_str(
            "\n\nThe result type does not allow None: annotate the function with `-> .. | None`, or give \
             --result 'TYPE NULL'.",
        );
    }
    text
}

/// The message without the row of the batch in front, since the row of the file is shown.
fn without_row(error: &FunctionError) -> String {
    if let (Some(column), Some(row)) = (&error.column, error.row)
        && let Some(rest) = error.message.strip_prefix(&format!("column `{column}`, row {row}: "))
    {
        return format!("column `{column}`: {rest}");
    }
    error.message.clone()
}

/// An error with its causes, as `a: b: c`.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some libraries repeat the cause in their own text.
        if !text.ends_with(&more) {
            let _ = write!(text, ": {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function_error(kind: FunctionErrorKind, message: &str) -> FunctionError {
        FunctionError {
            kind,
            message: message.to_owned(),
            class: None,
            base: None,
            traceback: None,
            row: Some(2),
            column: None,
            arguments: Vec::new(),
        }
    }

    fn failed(source: CallError, row: Option<u64>) -> JobError {
        let arguments = if row.is_some() { vec![("a".to_owned(), "3".to_owned())] } else { Vec::new() };
        JobError::Call(Box::new(local::Failure {
            first_row: 65_536,
            rows: 100,
            row,
            arguments,
            logs: Logs::default(),
            source,
        }))
    }

    #[test]
    fn a_function_error_names_the_row_of_the_file_and_its_arguments() {
        let error = FunctionError {
            traceback: Some("Traceback (most recent call last):\n  ..\nValueError: no\n".to_owned()),
            ..function_error(FunctionErrorKind::Exception, "no")
        };
        let error = failed(CallError::Function(Box::new(error)), Some(65_539));
        let failure = Failure::job(error, "f", Path::new("data.csv"));
        assert_eq!(failure.exit, Exit::Function);
        assert_eq!(
            failure.text,
            "`f` failed at row 65,539 of data.csv\n  with a = 3\n\n\
             Traceback (most recent call last):\n  ..\nValueError: no"
        );
    }

    #[test]
    fn limits_name_their_option_and_have_their_own_code() {
        let failure = Failure::job(failed(CallError::Fuel { limit: 5000 }, None), "f", Path::new("x.csv"));
        assert_eq!(failure.exit, Exit::Limit);
        assert_eq!(
            failure.text,
            "`f` failed in rows 65,537 to 65,636 of x.csv\n\n\
             the fuel limit of 5,000 for each batch is used up (--fuel)"
        );
        let recursion = function_error(FunctionErrorKind::Recursion, "maximum recursion depth exceeded");
        assert_eq!(Failure::call(&CallError::Function(Box::new(recursion))).exit, Exit::Limit);
        assert_eq!(Failure::call(&CallError::Cancelled).exit, Exit::Other);
    }

    #[test]
    fn the_row_of_the_batch_is_not_shown_beside_that_of_the_file() {
        let mut error = function_error(FunctionErrorKind::Result, "column `f`, row 2: expected int64");
        error.column = Some("f".to_owned());
        assert_eq!(function_text(&error), "column `f`: expected int64");
    }

    #[test]
    fn too_little_memory_to_start_is_a_limit() {
        let error = ForkError::TooSmall { limit: 5, requested: 12_345 };
        let failure = Failure::build(BuildError::Fork(error), "f");
        assert_eq!(failure.exit, Exit::Limit);
        assert!(failure.text.contains("12,345 bytes of memory to start"), "{}", failure.text);
    }

    #[test]
    fn none_in_a_required_result_gets_a_hint() {
        let error = function_error(FunctionErrorKind::Result, "None is not allowed in column `f`");
        assert!(function_text(&error).contains("--result 'TYPE NULL'"));
    }
}
