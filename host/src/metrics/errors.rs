//! Why calls fail, in a few words: labels must not come from strangers.

use vivarium_runtime::{CallError, FunctionErrorKind, InputError};

/// Exceptions of Python itself; classes of users are all `Exception`.
const EXCEPTIONS: [&str; 38] = [
    "ArithmeticError",
    "AssertionError",
    "AttributeError",
    "BufferError",
    "EOFError",
    "FileExistsError",
    "FileNotFoundError",
    "FloatingPointError",
    "ImportError",
    "IndentationError",
    "IndexError",
    "IsADirectoryError",
    "KeyError",
    "KeyboardInterrupt",
    "LookupError",
    "MemoryError",
    "ModuleNotFoundError",
    "NameError",
    "NotADirectoryError",
    "NotImplementedError",
    "OSError",
    "OverflowError",
    "PermissionError",
    "RecursionError",
    "RuntimeError",
    "StopIteration",
    "SyntaxError",
    "SystemError",
    "SystemExit",
    "TabError",
    "TimeoutError",
    "TypeError",
    "UnboundLocalError",
    "UnicodeDecodeError",
    "UnicodeEncodeError",
    "UnicodeError",
    "ValueError",
    "ZeroDivisionError",
];

/// The kind of a failed call: a Python exception's class, or what stands for one.
pub fn error_type(error: &CallError) -> &'static str {
    match error {
        CallError::Function(error) => {
            let class = error.class.as_deref().unwrap_or_default();
            EXCEPTIONS.iter().find(|&&known| known == class).copied().unwrap_or("Exception")
        }
        CallError::Fuel { .. } => "FuelExhausted",
        CallError::Deadline { .. } => "DeadlineExceeded",
        CallError::Memory { .. } => "MemoryError",
        CallError::Recursion { .. } => "RecursionError",
        CallError::Exit { .. } => "SystemExit",
        CallError::Cancelled => "Cancelled",
        CallError::Input(_) | CallError::SourceBatch { .. } | CallError::Kind { .. } => "InvalidInput",
        CallError::Output(_) | CallError::Stream { .. } => "OutputTooLarge",
        CallError::Layout { .. } => "InvalidResult",
        CallError::Source(_) => "InputEnded",
        CallError::Abort { .. } | CallError::Trap { .. } => "Trap",
        _ => "Internal",
    }
}

/// The limit that a failed call met, if it met one.
pub fn limit(error: &CallError) -> Option<&'static str> {
    match error {
        CallError::Fuel { .. } => Some("fuel_per_batch"),
        CallError::Deadline { .. } => Some("deadline_ms"),
        CallError::Memory { .. } => Some("memory_bytes"),
        CallError::Recursion { .. } => Some("stack_bytes"),
        CallError::Function(error) => match error.kind {
            FunctionErrorKind::Memory => Some("memory_bytes"),
            FunctionErrorKind::Recursion => Some("stack_bytes"),
            _ => None,
        },
        CallError::Input(InputError::Limit { name, .. })
        | CallError::SourceBatch { error: InputError::Limit { name, .. }, .. }
        | CallError::Stream { name, .. } => Some(name),
        CallError::Output(_) => Some("output_bytes"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_a_users_class_is_no_label() {
        assert!(EXCEPTIONS.is_sorted());
        assert_eq!(error_type(&CallError::Fuel { limit: 1 }), "FuelExhausted");
        assert_eq!(limit(&CallError::Deadline { limit_ms: 1 }), Some("deadline_ms"));
        assert_eq!(limit(&CallError::Cancelled), None);
    }
}
