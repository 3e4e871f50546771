//! Types as text, in every dialect.

use vivarium_host::sql_types::{Dialect, display, guest_field, parse_field};

use super::{take, text};
use crate::Target;

pub(crate) const TARGET: Target = Target { name: "sql_type", about: "types as text", run, seeds };

const DIALECTS: [Dialect; 4] =
    [Dialect::Vivarium, Dialect::Databend, Dialect::DatabendUdf, Dialect::ArrowUdf];

fn run(data: &[u8]) {
    let ([dialect], rest) = take::<1>(data);
    let Some(text) = text(rest) else { return };
    let dialect = DIALECTS[usize::from(dialect) % DIALECTS.len()];
    match parse_field("f", text, dialect) {
        Ok(field) => {
            let shown = display(&field);
            // A long text of short names may become one that is longer than what is read.
            if shown.len() <= vivarium_host::sql_types::MAX_TEXT_BYTES {
                // Some Arrow types have a SQL name that another dialect gave them.
                let again =
                    [dialect, Dialect::Vivarium].map(|dialect| parse_field("f", &shown, dialect).ok());
                assert!(
                    again.contains(&Some(field.clone())),
                    "{text:?} in {dialect:?}: {shown:?}: {again:?}"
                );
            }
            let _inside = guest_field(&field);
        }
        Err(error) => {
            let message = error.to_string();
            assert!(!message.is_empty() && message.len() < 1000, "{message}");
            assert!(!message.chars().any(char::is_control), "{message:?}");
        }
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let types = [
        "INT",
        "BIGINT NULL",
        "DECIMAL(38, 10) NOT NULL",
        "ARRAY(TUPLE(a INT NULL, b MAP(VARCHAR, DOUBLE)))",
        "Nullable(Timestamp(Microsecond, Some(\"UTC\")))",
        "VARIANT",
        "VECTOR(3)",
        "TIMESTAMP_TZ",
        "STRUCT<a: INT, b: VARCHAR[]>",
        "List(Int32)",
        "NULL",
    ];
    let seed = |(dialect, text): (usize, &str)| [&[dialect as u8], text.as_bytes()].concat();
    types.into_iter().flat_map(|text| (0..4).map(move |dialect| (dialect, text))).map(seed).collect()
}
