//! Errors that users see: kind, message, file and line, row.

#![expect(clippy::panic, reason = "a wrong error is a failed test")]

mod common;

use common::{engine, fork, int64_batch, int64_image, int64_spec, int64_values, run_under};
use vivarium_runtime::{
    BuildError, BuildLimits, CallError, FunctionError, FunctionErrorKind, FunctionFiles, Limits,
};

fn build_error(code: &str) -> FunctionError {
    match engine().build_image(&int64_spec(code), &FunctionFiles::default(), &BuildLimits::default()) {
        Err(BuildError::Call { error, .. }) => match *error {
            CallError::Function(error) => *error,
            other => panic!("{other}"),
        },
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("{code} was built"),
    }
}

#[test]
fn code_that_does_not_import() {
    let cases = [
        ("def f(x)\n", FunctionErrorKind::Syntax),
        ("import no_such_module\ndef f(x): return x\n", FunctionErrorKind::Import),
        ("raise ValueError('at import')\n", FunctionErrorKind::Import),
        ("g = 1\n", FunctionErrorKind::Handler),
        ("f = 1\n", FunctionErrorKind::Handler),
        ("def f(): return 1\n", FunctionErrorKind::Handler),
    ];
    for (code, kind) in cases {
        let error = build_error(code);
        assert_eq!(error.kind, kind, "{code}: {error:?}");
        assert!(!error.message.is_empty());
    }
}

#[test]
fn an_exception_names_file_line_and_row() {
    let image = int64_image("def f(x):\n    if x == 3:\n        raise ValueError('three')\n    return x\n");
    let mut instance = fork(&image);
    let error = instance.invoke(&int64_batch(0..10)).unwrap_err();
    assert!(!error.poisons());
    let text = error.to_string();
    let CallError::Function(error) = error else { panic!("{text}") };
    assert_eq!(error.kind, FunctionErrorKind::Exception);
    assert_eq!((error.class.as_deref(), error.row), (Some("ValueError"), Some(3)));
    let traceback = error.traceback.unwrap();
    assert!(traceback.contains("f.py\", line 3") && traceback.contains("raise ValueError"), "{traceback}");
    assert!(text.contains("row 3") && text.contains("ValueError: three"), "{text}");
    // The instance lives on.
    assert_eq!(int64_values(&instance.invoke(&int64_batch([1])).unwrap()), [1]);
}

#[test]
fn leaving_is_an_error_of_its_own() {
    let image = int64_image("import sys\ndef f(x):\n    sys.exit(7)\n");
    let error = run_under(&image, &Limits::default()).unwrap_err();
    let CallError::Function(error) = error else { panic!("{error}") };
    assert_eq!(error.kind, FunctionErrorKind::Exit);
}

#[test]
fn results_of_another_type() {
    for code in
        ["def f(x):\n    return 'text'\n", "def f(x):\n    return 1 << 70\n", "def f(x):\n    return 1.5\n"]
    {
        let error = run_under(&int64_image(code), &Limits::default()).unwrap_err();
        let CallError::Function(error) = error else { panic!("{error}") };
        assert_eq!(error.kind, FunctionErrorKind::Result, "{code}: {error:?}");
    }
}

#[test]
fn text_is_cut_and_cleaned() {
    let image = int64_image("def f(x):\n    raise ValueError('\\x1b[2J\\r' + 'A' * 10_000_000)\n");
    let error = run_under(&image, &Limits::default()).unwrap_err();
    let text = error.to_string();
    assert!(text.len() < 40_000 && !text.contains(['\x1b', '\r']), "{} bytes", text.len());
}

#[test]
fn output_is_kept_up_to_a_limit() {
    let image = int64_image(
        "import sys\nprint('importing')\ndef f(x):\n    print('row', x)\n    sys.stderr.write('e' * 100000)\n    return x\n",
    );
    assert_eq!(image.build_logs().stdout, b"importing\n");
    let limits = Limits { log_bytes: 1000, ..Limits::default() };
    let mut instance = image.fork(&limits, &Default::default()).unwrap();
    instance.invoke(&int64_batch([1, 2])).unwrap();
    let logs = instance.take_logs();
    assert_eq!(logs.stdout, b"row 1\nrow 2\n");
    assert_eq!((logs.stderr.len(), logs.dropped_bytes), (1000, 199_000));
    assert_eq!(instance.take_logs().stdout, b"");
}
