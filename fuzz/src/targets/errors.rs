//! What a guest says in words: errors, and lists of declarations.

use vivarium_runtime::fuzzing;

use super::take;
use crate::Target;

pub(crate) const TARGET: Target =
    Target { name: "errors", about: "a guest's error objects and lists of declarations", run, seeds };

fn run(data: &[u8]) {
    let ([which], text) = take::<1>(data);
    if which % 2 == 0 {
        let error = fuzzing::function_error(text);
        let all =
            [Some(&error.message), error.class.as_ref(), error.traceback.as_ref(), error.column.as_ref()];
        for text in all.into_iter().flatten() {
            assert!(text.len() <= (16 << 10) + 3 && is_plain(text), "{text:?}");
        }
        assert!(error.arguments.len() <= 32);
        assert!(error.arguments.iter().all(|(name, value)| is_plain(name) && is_plain(value)));
        assert!(
            !error.message.is_empty() || error.class.is_some() || error.traceback.is_some(),
            "an error says something"
        );
    } else if let Ok(declarations) = fuzzing::description(text) {
        assert!(declarations.len() <= 1000);
        for declaration in declarations {
            assert!(is_plain(&declaration.name) && is_plain(&declaration.handler));
            assert!(!declaration.name.is_empty() && declaration.parameters.len() <= 1000);
        }
    }
}

fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control())
}

fn seeds() -> Vec<Vec<u8>> {
    [
        br#"0{"kind":"exception","message":"no","class":"ValueError","traceback":"Traceback\n","row":3,
            "column":"x","arguments":[["a","1"],["b","'\u001b[2J'"]]}"#
            .as_slice(),
        br#"0{"kind":"memory"}"#,
        br#"0[[[[[[[]]]]]]]"#,
        br#"1{"functions": [{"name": "f", "handler": "C.f", "kind": "aggregate",
            "parameters": [{"name": "a", "type": "BIGINT NULL"}], "result": {"name": "r", "type": "DOUBLE"},
            "state": "BINARY", "null_handling": "annotations", "on_error": "raise",
            "dialect": "databend_udf"}]}"#,
        br#"1{"functions": []}"#,
    ]
    .map(<[u8]>::to_vec)
    .into()
}
