//! Reading a local file as a stream of record batches, in constant memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc;
use arrow::json;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use thiserror::Error;

use super::format::Format;

/// Rows at the start of a text file from which column types are guessed.
pub const DEFAULT_INFER_ROWS: usize = 10_000;

/// Every Arrow IPC file starts with these bytes; a stream does not.
const ARROW_FILE_MAGIC: &[u8] = b"ARROW1";

/// Why a file could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InputError {
    /// The file could not be opened or its head not be read.
    #[error("cannot read {}", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not what its name says.
    #[error("{} cannot be read as {format}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format its name promises.
        format: Format,
        /// What the reader says.
        source: ArrowError,
    },
    /// The file is not Parquet.
    #[error("{} cannot be read as Parquet", .path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        source: ParquetError,
    },
    /// One JSON array instead of lines.
    #[error("{} is one JSON array, expected one object on each line (jq -c '.[]' converts it)", .path.display())]
    JsonArray {
        /// The file.
        path: PathBuf,
    },
    /// There is not a single column, or no row to tell the columns from.
    #[error("{} is empty: there are no columns", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A later part of the file is damaged or does not fit the guessed types.
    #[error("cannot read the rows after row {rows} of {}{}", .path.display(), infer_hint(*.format))]
    Rows {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: Format,
        /// Rows read without error.
        rows: u64,
        /// What the reader says.
        source: ArrowError,
    },
}

fn infer_hint(format: Format) -> &'static str {
    match format {
        Format::Csv | Format::Tsv | Format::Ndjson => {
            " (column types are guessed from the first rows; --infer-rows takes more of them)"
        }
        _ => "",
    }
}

/// An open file: its schema, and its rows as an iterator of batches.
pub struct Input {
    path: PathBuf,
    format: Format,
    schema: SchemaRef,
    batches: Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>,
    total_rows: Option<u64>,
    total_bytes: u64,
    bytes_read: Arc<AtomicU64>,
    rows: u64,
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input")
            .field("path", &self.path)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl Input {
    /// Opens `path`, told apart by [`Format::of`]. Batches have at most `batch_rows` rows (Arrow
    /// files keep their own batches); types of text files are guessed from `infer_rows` rows.
    ///
    /// # Errors
    /// The file cannot be opened, or is not what its name says.
    pub fn open(
        path: &Path,
        format: Format,
        batch_rows: usize,
        infer_rows: usize,
    ) -> Result<Self, InputError> {
        let open_error = |source| InputError::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(open_error)?;
        let metadata = file.metadata().map_err(open_error)?;
        if metadata.is_dir() {
            return Err(open_error(io::ErrorKind::IsADirectory.into()));
        }
        let bytes_read = Arc::new(AtomicU64::new(0));
        let opening = Opening { path, format, batch_rows, infer_rows, bytes_read: Arc::clone(&bytes_read) };
        let (schema, batches, total_rows) = match format {
            Format::Parquet => opening.parquet(file)?,
            Format::Csv => opening.csv(file, b',')?,
            Format::Tsv => opening.csv(file, b'\t')?,
            Format::Ndjson => opening.ndjson(file)?,
            Format::Arrow | Format::ArrowStream => opening.arrow(file)?,
        };
        if schema.fields().is_empty() {
            return Err(InputError::Empty { path: path.to_owned() });
        }
        Ok(Self {
            path: path.to_owned(),
            format,
            schema,
            batches,
            total_rows,
            total_bytes: metadata.len(),
            bytes_read,
            rows: 0,
        })
    }

    /// The file's columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows in the file, where the format says so up front.
    pub fn total_rows(&self) -> Option<u64> {
        self.total_rows
    }

    /// Size of the file in bytes, and a counter of those that have been read.
    pub fn bytes(&self) -> (u64, Arc<AtomicU64>) {
        (self.total_bytes, Arc::clone(&self.bytes_read))
    }
}

impl Iterator for Input {
    type Item = Result<RecordBatch, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next()?.map_err(|source| InputError::Rows {
            path: self.path.clone(),
            format: self.format,
            rows: self.rows,
            source,
        });
        if let Ok(batch) = &batch {
            self.rows += batch.num_rows() as u64;
        }
        Some(batch)
    }
}

type Opened = (SchemaRef, Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>, Option<u64>);

struct Opening<'a> {
    path: &'a Path,
    format: Format,
    batch_rows: usize,
    infer_rows: usize,
    bytes_read: Arc<AtomicU64>,
}

impl Opening<'_> {
    fn parquet(&self, file: File) -> Result<Opened, InputError> {
        let error = |source| InputError::Parquet { path: self.path.to_owned(), source };
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(error)?;
        let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).ok();
        let schema = Arc::clone(builder.schema());
        let reader = builder.with_batch_size(self.batch_rows).build().map_err(error)?;
        Ok((schema, Box::new(reader), rows))
    }

    fn csv(&self, file: File, delimiter: u8) -> Result<Opened, InputError> {
        let format = csv::reader::Format::default().with_header(true).with_delimiter(delimiter);
        let mut file = BufReader::new(file);
        let (schema, _) = format
            .infer_schema(&mut file, Some(self.infer_rows))
            .map_err(|source| self.format_error(source))?;
        file.rewind().map_err(|source| self.open_error(source))?;
        let schema = Arc::new(schema);
        let reader = csv::ReaderBuilder::new(Arc::clone(&schema))
            .with_format(format)
            .with_batch_size(self.batch_rows)
            .build_buffered(self.counted(file))
            .map_err(|source| self.format_error(source))?;
        Ok((schema, Box::new(reader), None))
    }

    fn ndjson(&self, file: File) -> Result<Opened, InputError> {
        let mut file = BufReader::new(file);
        let open_error = |source| self.open_error(source);
        let first = first_character(&mut file).map_err(open_error)?;
        if first == Some(b'[') {
            return Err(InputError::JsonArray { path: self.path.to_owned() });
        }
        file.rewind().map_err(open_error)?;
        let (inferred, _) = json::reader::infer_json_schema_from_seekable(&mut file, Some(self.infer_rows))
            .map_err(|source| self.format_error(source))?;
        let order = first_keys(&mut file);
        file.rewind().map_err(open_error)?;
        let schema = Arc::new(in_order(&inferred, &order));
        let reader = json::ReaderBuilder::new(Arc::clone(&schema))
            .with_batch_size(self.batch_rows)
            .build(self.counted(file))
            .map_err(|source| self.format_error(source))?;
        Ok((schema, Box::new(reader), None))
    }

    fn arrow(&self, mut file: File) -> Result<Opened, InputError> {
        let mut magic = Vec::new();
        let limit = ARROW_FILE_MAGIC.len() as u64;
        (&mut file).take(limit).read_to_end(&mut magic).map_err(|source| self.open_error(source))?;
        file.seek(SeekFrom::Start(0)).map_err(|source| self.open_error(source))?;
        let file = self.counted(BufReader::new(file));
        let error = |source| self.format_error(source);
        if magic == ARROW_FILE_MAGIC {
            let reader = ipc::reader::FileReader::try_new(file, None).map_err(error)?;
            Ok((reader.schema(), Box::new(reader), None))
        } else {
            let reader = ipc::reader::StreamReader::try_new(file, None).map_err(error)?;
            Ok((reader.schema(), Box::new(reader), None))
        }
    }

    fn counted<R>(&self, inner: R) -> Counted<R> {
        Counted { inner, bytes_read: Arc::clone(&self.bytes_read) }
    }

    fn open_error(&self, source: io::Error) -> InputError {
        InputError::Open { path: self.path.to_owned(), source }
    }

    fn format_error(&self, source: ArrowError) -> InputError {
        InputError::Format { path: self.path.to_owned(), format: self.format, source }
    }
}

/// The first byte that is not white space, which is left in the buffer.
fn first_character(file: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let buffer = file.fill_buf()?;
        if buffer.is_empty() {
            return Ok(None);
        }
        if let Some(byte) = buffer.iter().find(|byte| !byte.is_ascii_whitespace()) {
            return Ok(Some(*byte));
        }
        let length = buffer.len();
        file.consume(length);
    }
}

/// The keys of the first object, in their order: the guess of the schema loses it.
fn first_keys(file: &mut impl BufRead) -> Vec<String> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut keys = Vec::new();
            while let Some((key, IgnoredAny)) = map.next_entry()? {
                keys.push(key);
            }
            Ok(keys)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_reader(file);
    serde::Deserializer::deserialize_map(&mut deserializer, Keys).unwrap_or_default()
}

/// The fields that `order` names first, then the others by name.
fn in_order(schema: &Schema, order: &[String]) -> Schema {
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    let place = |field: &Field| order.iter().position(|name| name == field.name()).unwrap_or(usize::MAX);
    fields.sort_by(|a, b| (place(a), a.name()).cmp(&(place(b), b.name())));
    Schema::new(fields)
}

/// Counts the bytes that pass through.
struct Counted<R> {
    inner: R,
    bytes_read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
        self.inner.consume(bytes);
    }
}

impl<R: Seek> Seek for Counted<R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.inner.seek(position)
    }
}
