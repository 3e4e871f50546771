//! The shell scripts that define functions in Databend's provisioning.

use vivarium_host::provisioning::script::parse;

use super::text;
use crate::Target;

pub(crate) const TARGET: Target =
    Target { name: "script", about: "scripts that define functions", run, seeds };

const MAX_BYTES: usize = 64 << 10;

fn run(data: &[u8]) {
    let Some(script) = text(data) else { return };
    match parse(script, MAX_BYTES) {
        Ok(read) => {
            // What is run is part of what was sent, and nothing else.
            assert!(script.len() <= MAX_BYTES);
            assert!(script.contains(read.code.trim_end_matches('\n')), "code that the script does not have");
            assert!(!format!("{read:?}").contains("url"), "addresses are secrets");
        }
        Err(error) => {
            let message = error.to_string();
            assert!(!message.is_empty() && message.len() < 1000, "{message}");
            assert!(!message.chars().any(|c| c.is_control() && c != '\n'), "{message:?}");
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    vec![
        include_bytes!("../../../tests/databend-scripts/captured_plain.sh").to_vec(),
        include_bytes!("../../../tests/databend-scripts/script1_metadata_imports.sh").to_vec(),
        include_bytes!("../../../tests/databend-scripts/script2_types_packages.sh").to_vec(),
        include_bytes!("../../../tests/databend-scripts/script3_zip_whl_egg.sh").to_vec(),
    ]
}
