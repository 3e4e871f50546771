//! File formats, told by the end of a file's name.

use std::fmt;
use std::path::Path;

use thiserror::Error;

/// A format of rows and columns in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Apache Parquet: `.parquet`, `.pq`.
    Parquet,
    /// Comma-separated values with a header line: `.csv`.
    Csv,
    /// Tab-separated values with a header line: `.tsv`.
    Tsv,
    /// One JSON object on each line: `.ndjson`, `.jsonl`, `.json`.
    Ndjson,
    /// Arrow IPC file: `.arrow`, `.feather`, `.ipc`. A reader also takes the stream format.
    Arrow,
    /// Arrow IPC stream: `.arrows`. A reader also takes the file format.
    ArrowStream,
}

/// A file name that does not tell its format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the name `{name}` does not tell a format: it should end in .parquet, .csv, .tsv, .ndjson, .jsonl, .json, \
     .arrow, .arrows or .feather"
)]
pub struct UnknownFormat {
    /// The file's name.
    pub name: String,
}

impl Format {
    /// Tells the format of `path`.
    ///
    /// # Errors
    /// [`UnknownFormat`] where the extension is missing or another one.
    pub fn of(path: &Path) -> Result<Self, UnknownFormat> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        Ok(match extension.as_deref() {
            Some("parquet" | "pq") => Self::Parquet,
            Some("csv") => Self::Csv,
            Some("tsv") => Self::Tsv,
            Some("ndjson" | "jsonl" | "json") => Self::Ndjson,
            Some("arrow" | "feather" | "ipc") => Self::Arrow,
            Some("arrows") => Self::ArrowStream,
            _ => return Err(UnknownFormat { name: path.display().to_string() }),
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parquet => "Parquet",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Ndjson => "newline-delimited JSON",
            Self::Arrow | Self::ArrowStream => "Arrow IPC",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_tell_the_format() {
        let of = |name: &str| Format::of(Path::new(name));
        assert_eq!(of("a/b.PARQUET"), Ok(Format::Parquet));
        assert_eq!(of("x.tar.jsonl"), Ok(Format::Ndjson));
        assert_eq!(of("x.feather"), Ok(Format::Arrow));
        for unknown in ["x", "x.xlsx", ".csv", "csv"] {
            assert!(of(unknown).is_err(), "{unknown}");
        }
    }
}
