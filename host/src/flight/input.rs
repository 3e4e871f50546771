//! From Flight messages to record batches.
//!
//! The bytes come from a stranger. The decoder of the Arrow library checks a lot, and panics about
//! some of the rest; what it cannot check (compressed bodies, whose real size the peer chooses,
//! sizes and counts beyond our limits, ranges outside the body) is checked here before it runs, and
//! a panic of it becomes an error like any other.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::{read_dictionary, read_record_batch};
use arrow::ipc::{self, MessageHeader};
use arrow_flight::FlightData;
use tonic::Code;

use super::wide;
use crate::conform::{ConformError, conform};
use crate::logging;
use crate::status::Failure;

/// Longest metadata of one message, in bytes: schemas and the layout of batches, never data.
const MAX_METADATA_BYTES: usize = 1 << 20;

/// Limits of what one exchange may send.
#[derive(Clone, Copy, Debug)]
pub(super) struct InputLimits {
    /// Rows of one batch.
    pub(super) batch_rows: usize,
    /// Sum of all dictionaries, in bytes.
    pub(super) dictionary_bytes: usize,
}

/// Why a message was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    #[error("a message is not an Arrow IPC message: {reason}")]
    NotArrow { reason: String },
    #[error("a message is not an Arrow IPC message: it contradicts itself")]
    Contradiction,
    #[error("a batch came before the schema")]
    NoSchema,
    #[error("the schema changed within the stream")]
    SchemaChanged,
    #[error(
        "column `{column}` is a union, or has one inside: {data_type}; send a column that may be null for each \
         of its variants"
    )]
    Union { column: String, data_type: DataType },
    #[error("a message's body is compressed; send batches uncompressed")]
    Compressed,
    #[error("a message's metadata is {requested} bytes long, {limit} are allowed")]
    Metadata { limit: usize, requested: usize },
    #[error("a batch has {requested} rows; limit server.max_batch_rows is {limit}")]
    Rows { limit: usize, requested: i64 },
    #[error(transparent)]
    Convert(#[from] ConformError),
    #[error("a column cannot be converted: {0}")]
    Wide(#[source] ArrowError),
    #[error("the dictionaries are {requested} bytes; limit server.max_dictionary_bytes is {limit}")]
    Dictionaries { limit: usize, requested: usize },
}

impl Failure for InputError {
    fn code(&self) -> Code {
        match self {
            Self::Metadata { .. } | Self::Rows { .. } | Self::Dictionaries { .. } => Code::ResourceExhausted,
            _ => Code::InvalidArgument,
        }
    }
}

/// How a batch becomes one that the sandbox takes.
#[derive(Debug)]
pub(super) enum Conversion {
    /// As it is.
    None,
    /// Numbers of other widths become those of the parameters.
    Conform(Vec<Field>),
    /// Databend's moments and intervals get Arrow's own types.
    Wide(Vec<Field>),
}

/// Decodes the messages of one exchange, in order.
#[derive(Debug)]
pub(super) struct InputDecoder {
    limits: InputLimits,
    /// Without parameters there is nothing to read from columns: some versions of Databend send one
    /// for the sake of the number of rows.
    without_parameters: bool,
    conversion: Conversion,
    schema: Option<SchemaRef>,
    dictionaries: HashMap<i64, ArrayRef>,
    dictionary_bytes: usize,
}

impl InputDecoder {
    pub(super) fn new(limits: InputLimits, without_parameters: bool, conversion: Conversion) -> Self {
        Self {
            limits,
            without_parameters,
            conversion,
            schema: None,
            dictionaries: HashMap::new(),
            dictionary_bytes: 0,
        }
    }

    /// The schema, once it has come.
    pub(super) fn schema(&self) -> Option<SchemaRef> {
        self.schema.clone()
    }

    /// The batch in a message, if it holds one: schemas, dictionaries and bare descriptors do not.
    pub(super) fn decode(&mut self, data: &FlightData) -> Result<Option<RecordBatch>, InputError> {
        if data.data_header.is_empty() {
            return if data.data_body.is_empty() {
                Ok(None)
            } else {
                Err(not_arrow("it has a body and no metadata"))
            };
        }
        if data.data_header.len() > MAX_METADATA_BYTES {
            return Err(InputError::Metadata {
                limit: MAX_METADATA_BYTES,
                requested: data.data_header.len(),
            });
        }
        // What a panic leaves half-changed is the dictionaries, and after an error nothing is
        // decoded any more.
        // A stranger can make any number of panics, so none of them is an error of ours in the log.
        logging::with_quiet_panics(|| catch_unwind(AssertUnwindSafe(|| self.decode_message(data))))
            .unwrap_or_else(|_| Err(InputError::Contradiction))
    }

    fn decode_message(&mut self, data: &FlightData) -> Result<Option<RecordBatch>, InputError> {
        let message = ipc::root_as_message(&data.data_header).map_err(not_arrow)?;
        match message.header_type() {
            MessageHeader::NONE => Ok(None),
            MessageHeader::Schema => self.read_schema(message).map(|()| None),
            MessageHeader::DictionaryBatch => self.read_dictionary(message, data).map(|()| None),
            MessageHeader::RecordBatch => self.read_batch(message, data).map(Some),
            other => Err(not_arrow(format_args!("it holds a {other:?}"))),
        }
    }

    fn read_schema(&mut self, message: ipc::Message<'_>) -> Result<(), InputError> {
        let schema = message.header_as_schema().ok_or_else(|| not_arrow("its schema is missing"))?;
        if schema.endianness() != ipc::Endianness::Little {
            return Err(not_arrow("it is big-endian"));
        }
        let schema = Arc::new(ipc::convert::fb_to_schema(schema));
        if let Some(field) = schema.fields().iter().find(|field| has_union(field.data_type())) {
            let (column, data_type) = (field.name().clone(), field.data_type().clone());
            return Err(InputError::Union { column, data_type });
        }
        match &self.schema {
            Some(first) if *first != schema => Err(InputError::SchemaChanged),
            _ => {
                self.schema = Some(schema);
                Ok(())
            }
        }
    }

    fn read_dictionary(&mut self, message: ipc::Message<'_>, data: &FlightData) -> Result<(), InputError> {
        let schema = self.schema.clone().ok_or(InputError::NoSchema)?;
        let dictionary =
            message.header_as_dictionary_batch().ok_or_else(|| not_arrow("its dictionary is missing"))?;
        let values = dictionary.data().ok_or_else(|| not_arrow("its dictionary has no values"))?;
        self.check_layout(values, data.data_body.len())?;
        // Metadata counts too: a flood of empty dictionaries has nothing else.
        let bytes = data.data_body.len() + data.data_header.len();
        self.dictionary_bytes = self.dictionary_bytes.saturating_add(bytes);
        if self.dictionary_bytes > self.limits.dictionary_bytes {
            return Err(InputError::Dictionaries {
                limit: self.limits.dictionary_bytes,
                requested: self.dictionary_bytes,
            });
        }
        let body = Buffer::from(data.data_body.clone());
        read_dictionary(&body, dictionary, &schema, &mut self.dictionaries, &message.version())
            .map_err(not_arrow)
    }

    fn read_batch(&self, message: ipc::Message<'_>, data: &FlightData) -> Result<RecordBatch, InputError> {
        let schema = self.schema.clone().ok_or(InputError::NoSchema)?;
        let batch = message.header_as_record_batch().ok_or_else(|| not_arrow("its batch is missing"))?;
        self.check_layout(batch, data.data_body.len())?;
        if self.without_parameters {
            let rows = usize::try_from(batch.length()).unwrap_or_default();
            return RecordBatch::try_new_with_options(
                Arc::new(Schema::empty()),
                Vec::new(),
                &RecordBatchOptions::new().with_row_count(Some(rows)),
            )
            .map_err(not_arrow);
        }
        let body = Buffer::from(data.data_body.clone());
        let batch = read_record_batch(&body, batch, schema, &self.dictionaries, None, &message.version())
            .map_err(|error: ArrowError| not_arrow(error))?;
        match &self.conversion {
            Conversion::None => Ok(batch),
            Conversion::Conform(parameters) => Ok(conform(batch, parameters)?),
            Conversion::Wide(parameters) => wide::to_guest(batch, parameters).map_err(InputError::Wide),
        }
    }

    /// Checks what the metadata of a batch says about its body.
    fn check_layout(&self, batch: ipc::RecordBatch<'_>, body: usize) -> Result<(), InputError> {
        if batch.compression().is_some() {
            return Err(InputError::Compressed);
        }
        if usize::try_from(batch.length()).is_ok_and(|rows| rows > self.limits.batch_rows) {
            return Err(InputError::Rows { limit: self.limits.batch_rows, requested: batch.length() });
        }
        let nodes = batch.nodes().into_iter().flatten();
        if batch.length() < 0 || nodes.into_iter().any(|node| node.length() < 0 || node.null_count() < 0) {
            return Err(not_arrow("a length in it is negative"));
        }
        let mut buffers = batch.buffers().into_iter().flatten();
        let inside = |buffer: &ipc::Buffer| {
            let (offset, length) =
                (usize::try_from(buffer.offset()).ok()?, usize::try_from(buffer.length()).ok()?);
            (offset.checked_add(length)? <= body).then_some(())
        };
        if buffers.any(|buffer| inside(buffer).is_none()) {
            return Err(not_arrow("a buffer lies outside its body"));
        }
        Ok(())
    }
}

/// Whether a type is a union or has one inside. Arrow bounds how deep types are nested.
fn has_union(data_type: &DataType) -> bool {
    match data_type {
        DataType::Union(..) => true,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => has_union(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_union(field.data_type())),
        DataType::Dictionary(_, values) => has_union(values),
        DataType::RunEndEncoded(_, values) => has_union(values.data_type()),
        _ => false,
    }
}

fn not_arrow(reason: impl std::fmt::Display) -> InputError {
    InputError::NotArrow { reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Int32Array, StringArray};
    use arrow::datatypes::Int32Type;
    use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
    use arrow_flight::SchemaAsIpc;

    const LIMITS: InputLimits = InputLimits { batch_rows: 1000, dictionary_bytes: 4096 };

    fn decoder() -> InputDecoder {
        InputDecoder::new(LIMITS, false, Conversion::None)
    }

    fn batch(rows: i32) -> RecordBatch {
        let words: DictionaryArray<Int32Type> =
            ["a", "b", "a"].into_iter().cycle().take(rows as usize).collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("numbers", Arc::new(Int32Array::from_iter_values(0..rows))),
            ("text", Arc::new(StringArray::from_iter_values((0..rows).map(|row| row.to_string())))),
            ("words", Arc::new(words)),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    /// Schema, dictionary, batch.
    fn messages(batch: &RecordBatch) -> Vec<FlightData> {
        let (options, mut tracker) = (IpcWriteOptions::default(), DictionaryTracker::new(false));
        let generator = IpcDataGenerator::default();
        let schema =
            generator.schema_to_bytes_with_dictionary_tracker(batch.schema_ref(), &mut tracker, &options);
        let (dictionaries, batch) =
            generator.encode(batch, &mut tracker, &options, &mut IpcWriteContext::default()).unwrap();
        [schema].into_iter().chain(dictionaries).chain([batch]).map(FlightData::from).collect()
    }

    fn decode_all(
        decoder: &mut InputDecoder,
        messages: &[FlightData],
    ) -> Result<Vec<RecordBatch>, InputError> {
        let mut batches = Vec::new();
        for message in messages {
            batches.extend(decoder.decode(message)?);
        }
        Ok(batches)
    }

    #[test]
    fn batches_come_back() {
        let sent = batch(5);
        assert_eq!(decode_all(&mut decoder(), &messages(&sent)).unwrap(), [sent]);
    }

    #[test]
    fn the_order_of_messages_matters() {
        let messages = messages(&batch(5));
        for late in &messages[1..] {
            assert!(matches!(decoder().decode(late), Err(InputError::NoSchema)));
        }
        let mut decoder = decoder();
        decode_all(&mut decoder, &messages).unwrap();
        decoder.decode(&messages[0]).expect("the same schema again");
        let other = Schema::new(vec![Field::new("x", DataType::Int8, true)]);
        let other = FlightData::from(SchemaAsIpc::new(&other, &IpcWriteOptions::default()));
        assert!(matches!(decoder.decode(&other), Err(InputError::SchemaChanged)));
    }

    #[test]
    fn rows_and_dictionaries_are_bounded() {
        let refused = decode_all(&mut decoder(), &messages(&batch(1001)));
        assert!(matches!(refused, Err(InputError::Rows { limit: 1000, requested: 1001 })));

        let messages = messages(&batch(5));
        let mut decoder = decoder();
        decoder.decode(&messages[0]).unwrap();
        let flood = (0..1000).try_for_each(|_| decoder.decode(&messages[1]).map(drop));
        assert!(matches!(flood, Err(InputError::Dictionaries { limit: 4096, .. })));
    }

    #[test]
    fn without_parameters_only_rows_count() {
        let mut decoder = InputDecoder::new(LIMITS, true, Conversion::None);
        let batches = decode_all(&mut decoder, &messages(&batch(5))).unwrap();
        assert_eq!((batches[0].num_rows(), batches[0].num_columns()), (5, 0));
    }

    #[test]
    fn bodies_without_metadata_and_huge_metadata_are_refused() {
        let body = FlightData::new().with_data_body(vec![1]);
        assert!(matches!(decoder().decode(&body), Err(InputError::NotArrow { .. })));
        let header = FlightData::new().with_data_header(vec![0; MAX_METADATA_BYTES + 1]);
        assert!(matches!(decoder().decode(&header), Err(InputError::Metadata { .. })));
        assert!(decoder().decode(&FlightData::new()).unwrap().is_none(), "a bare descriptor");
    }

    /// No byte of a message, changed to anything, may do more than cause an error: whatever comes
    /// out is a valid batch of the size that was allowed.
    #[test]
    fn changed_bytes_never_get_further_than_an_error() {
        let messages = messages(&batch(7));
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = |bound: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % bound as u64) as usize
        };
        let (mut refused, mut accepted) = (0, 0);
        for _ in 0..20_000 {
            let mut changed = messages.clone();
            let message = &mut changed[random(3)];
            let in_header = message.data_body.is_empty() || random(2) == 0;
            let part = if in_header { &mut message.data_header } else { &mut message.data_body };
            let mut bytes = part.to_vec();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                bytes[at] = [0, 1, 0x7f, 0x80, 0xff, random(256) as u8][random(6)];
            }
            if random(10) == 0 {
                bytes.truncate(random(bytes.len()));
            }
            *part = bytes.into();
            match decode_all(&mut decoder(), &changed) {
                Err(_) => refused += 1,
                Ok(batches) => {
                    accepted += 1;
                    for batch in batches {
                        assert!(batch.num_rows() <= LIMITS.batch_rows);
                        for column in batch.columns() {
                            column.to_data().validate_full().unwrap();
                        }
                    }
                }
            }
        }
        assert!(refused > 1000 && accepted > 1000, "{refused} refused, {accepted} accepted");
    }
}
