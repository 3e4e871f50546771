//! What modules declare, asked of the real guest.

#![expect(clippy::panic, reason = "a wrong error is a failed test")]

mod common;

use common::{engine, function_error};
use vivarium_runtime::{
    BuildError, BuildLimits, CallError, Declaration, DeclaredKind, Dialect, FunctionErrorKind, ModuleSource,
};

fn describe_under(code: &str, limits: &BuildLimits) -> Result<Vec<Declaration>, CallError> {
    let module = ModuleSource {
        filename: "server.py".into(),
        code: code.into(),
        environment: [("A".to_owned(), "b".to_owned())].into_iter().collect(),
        ..ModuleSource::default()
    };
    match engine().describe(&module, limits) {
        Ok(declarations) => Ok(declarations),
        Err(BuildError::Call { error, .. }) => Err(*error),
        Err(other) => panic!("{other}"),
    }
}

fn describe(code: &str) -> Result<Vec<Declaration>, CallError> {
    describe_under(code, &BuildLimits::default())
}

#[test]
fn decorated_functions_are_listed() {
    let code = "
import os
import vivarium
assert os.environ['A'] == 'b'

@vivarium.udf
def area(width: float, height: float | None) -> float:
    return width * height

def plain(x): return x
";
    let declared = describe(code).unwrap();
    assert_eq!(declared.len(), 1, "{declared:?}");
    let area = &declared[0];
    assert_eq!((area.name.as_str(), area.handler.as_str()), ("area", "area"));
    assert_eq!((area.kind, area.dialect, &area.state), (DeclaredKind::Scalar, Dialect::Vivarium, &None));
    let names: Vec<_> = area.parameters.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["width", "height"]);
    assert!(area.parameters.iter().all(|(_, text)| text.contains("DOUBLE")), "{area:?}");
    assert_eq!(describe("x = 1\n").unwrap(), []);
}

#[test]
fn code_that_fails_is_told() {
    for (code, kind) in [
        ("def f(:\n", FunctionErrorKind::Syntax),
        ("1 / 0\n", FunctionErrorKind::Import),
        ("import os\nos.urandom(4)\n", FunctionErrorKind::Import),
    ] {
        assert_eq!(function_error(describe(code)).kind, kind, "{code}");
    }
    let limits = BuildLimits { deadline_ms: 200, ..BuildLimits::default() };
    let error = describe_under("while True: pass\n", &limits).unwrap_err();
    assert!(matches!(error, CallError::Deadline { limit_ms: 200 }), "{error}");
    let limits = BuildLimits { fuel: 1_000_000, ..BuildLimits::default() };
    let error = describe_under("while True: pass\n", &limits).unwrap_err();
    assert!(matches!(error, CallError::Fuel { .. }), "{error}");
    assert_eq!(engine().usage().admitted_memory_bytes, 0);
}
