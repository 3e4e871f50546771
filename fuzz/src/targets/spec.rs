//! Definitions of functions as JSON, and what they name: requirements of packages, inline metadata.

use vivarium_host::packages::{inline_metadata, parse_requirements};
use vivarium_host::provisioning::parse_spec;

use super::{take, text};
use crate::Target;

pub(crate) const TARGET: Target =
    Target { name: "spec", about: "definitions as JSON, requirements, inline metadata", run, seeds };

const MAX_BYTES: usize = 64 << 10;

fn run(data: &[u8]) {
    let ([which], rest) = take::<1>(data);
    let Some(text) = text(rest) else { return };
    let message = match which % 3 {
        0 => parse_spec(text, Vec::new(), MAX_BYTES).err().map(|error| error.to_string()),
        1 => {
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            parse_requirements(&lines).err().map(|error| error.to_string())
        }
        _ => inline_metadata(text).err().map(|error| error.to_string()),
    };
    if let Some(message) = message {
        assert!(!message.is_empty() && message.len() < 8000, "{message:.500}");
        assert!(!message.contains(['\0', '\u{1b}']), "{message:?}");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let json = r#"0{"version": 1, "kind": "udf", "language": "python", "handler": "add",
        "input_types": ["BIGINT", "ARRAY(INT NULL)"], "result_type": "DECIMAL(10, 2) NULL", "imports": [],
        "packages": ["humanize==4.9.0"], "runtime_version": "3.13", "code": "def add(a, b): return a + b"}"#;
    let requirements =
        "1humanize==4.9.0\nnumpy >= 2, < 3\npkg[extra]~=1.0; python_version > '3.8'\na @ https://b/c";
    let inline =
        "2# /// script\n# requires-python = \">=3.11\"\n# dependencies = [\"humanize\"]\n# ///\nx = 1\n";
    [json, requirements, inline].map(|text| text.as_bytes().to_vec()).into()
}
