//! Writing record batches to a local file, which appears under its name only when it is complete.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc;
use arrow::json;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use thiserror::Error;

use super::format::Format;

/// Why a file could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The file could not be created, flushed or moved into place.
    #[error("cannot write {}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The batch could not be written.
    #[error("cannot write {} as {format}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: Format,
        /// What the writer says.
        source: ArrowError,
    },
    /// The batch could not be written as Parquet.
    #[error("cannot write {} as Parquet", .path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the writer says.
        source: ParquetError,
    },
    /// A column that the format has no way to write.
    #[error(
        "column `{column}` of type {data_type} cannot be written as {format}: choose .parquet, .arrow or .ndjson"
    )]
    Column {
        /// The column.
        column: String,
        /// Its type.
        data_type: DataType,
        /// The file's format.
        format: Format,
    },
}

type Sink = BufWriter<File>;

enum Writer {
    Parquet(Box<ArrowWriter<Sink>>),
    Csv(csv::Writer<Sink>),
    Ndjson(json::LineDelimitedWriter<Sink>),
    Arrow(ipc::writer::FileWriter<Sink>),
    ArrowStream(ipc::writer::StreamWriter<Sink>),
}

/// A file being written. Dropped before [`Output::finish`], nothing is left of it.
pub struct Output {
    path: PathBuf,
    /// Where the bytes go until the file is complete; `None` for a pipe or a device, which is
    /// written directly.
    partial: Option<PathBuf>,
    format: Format,
    writer: Option<Writer>,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("path", &self.path)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl Output {
    /// Starts writing rows of `schema` to `path`. A file that exists is replaced at the end.
    ///
    /// # Errors
    /// The file cannot be created, or the format has no way to write one of the columns.
    pub fn create(path: &Path, format: Format, schema: &SchemaRef) -> Result<Self, OutputError> {
        if matches!(format, Format::Csv | Format::Tsv)
            && let Some(field) = schema.fields().iter().find(|field| !fits_csv(field.data_type()))
        {
            return Err(OutputError::Column {
                column: field.name().clone(),
                data_type: field.data_type().clone(),
                format,
            });
        }
        let is_special = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        let partial = (!is_special).then(|| beside(path));
        let target = partial.as_deref().unwrap_or(path);
        let file =
            File::create(target).map_err(|source| OutputError::File { path: path.to_owned(), source })?;
        let mut output = Self { path: path.to_owned(), partial, format, writer: None };
        output.writer = Some(output.start(BufWriter::with_capacity(1 << 20, file), schema)?);
        Ok(output)
    }

    fn start(&self, file: Sink, schema: &SchemaRef) -> Result<Writer, OutputError> {
        let csv_writer = csv::WriterBuilder::new().with_header(true);
        Ok(match self.format {
            Format::Parquet => {
                let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
                let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))
                    .map_err(|source| self.parquet_error(source))?;
                Writer::Parquet(Box::new(writer))
            }
            Format::Csv => Writer::Csv(csv_writer.build(file)),
            Format::Tsv => Writer::Csv(csv_writer.with_delimiter(b'\t').build(file)),
            Format::Ndjson => {
                Writer::Ndjson(json::WriterBuilder::new().with_explicit_nulls(true).build(file))
            }
            Format::Arrow => Writer::Arrow(
                ipc::writer::FileWriter::try_new(file, schema).map_err(|source| self.write_error(source))?,
            ),
            Format::ArrowStream => Writer::ArrowStream(
                ipc::writer::StreamWriter::try_new(file, schema)
                    .map_err(|source| self.write_error(source))?,
            ),
        })
    }

    /// Appends the rows of `batch`.
    ///
    /// # Errors
    /// The disk is full, or a value cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), OutputError> {
        let written = match self.writer.as_mut() {
            None => Ok(()),
            Some(Writer::Parquet(writer)) => {
                return writer.write(batch).map_err(|source| self.parquet_error(source));
            }
            Some(Writer::Csv(writer)) => writer.write(batch),
            Some(Writer::Ndjson(writer)) => writer.write(batch),
            Some(Writer::Arrow(writer)) => writer.write(batch),
            Some(Writer::ArrowStream(writer)) => writer.write(batch),
        };
        written.map_err(|source| self.write_error(source))
    }

    /// Completes the file and moves it into place.
    ///
    /// # Errors
    /// The disk is full, or the file cannot be moved.
    pub fn finish(mut self) -> Result<(), OutputError> {
        let file = match self.writer.take() {
            None => return Ok(()),
            Some(Writer::Parquet(writer)) => {
                writer.into_inner().map_err(|source| self.parquet_error(source))?
            }
            Some(Writer::Csv(writer)) => writer.into_inner(),
            Some(Writer::Ndjson(mut writer)) => {
                writer.finish().map_err(|source| self.write_error(source))?;
                writer.into_inner()
            }
            Some(Writer::Arrow(mut writer)) => {
                writer.finish().map_err(|source| self.write_error(source))?;
                writer.into_inner().map_err(|source| self.write_error(source))?
            }
            Some(Writer::ArrowStream(mut writer)) => {
                writer.finish().map_err(|source| self.write_error(source))?;
                writer.into_inner().map_err(|source| self.write_error(source))?
            }
        };
        self.put_in_place(file).map_err(|source| OutputError::File { path: self.path.clone(), source })
    }

    fn put_in_place(&mut self, mut file: Sink) -> io::Result<()> {
        file.flush()?;
        drop(file);
        if let Some(partial) = self.partial.take()
            && let Err(error) = fs::rename(&partial, &self.path)
        {
            self.partial = Some(partial);
            return Err(error);
        }
        Ok(())
    }

    fn write_error(&self, source: ArrowError) -> OutputError {
        OutputError::Write { path: self.path.clone(), format: self.format, source }
    }

    fn parquet_error(&self, source: ParquetError) -> OutputError {
        OutputError::Parquet { path: self.path.clone(), source }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            // Nothing more can be done about a file that cannot be removed.
            let _ = fs::remove_file(partial);
        }
    }
}

/// A name in the same directory, so that the finished file can be renamed.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.partial", std::process::id()));
    path.with_file_name(name)
}

fn fits_csv(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => fits_csv(value),
        other => !other.is_nested(),
    }
}
