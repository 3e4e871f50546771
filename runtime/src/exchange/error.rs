//! What can go wrong in the exchange, and whose fault it is.

use arrow::datatypes::DataType;

/// A declared parameter or result type that cannot cross into the guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The type has no counterpart in the guest ABI.
    #[error("field `{path}`: type {data_type} is not supported")]
    Unsupported {
        /// Dotted path of the field.
        path: String,
        /// The type, or the part of it, that is not supported.
        data_type: DataType,
    },
    /// The type is one Arrow does not define, such as a decimal of 99 digits.
    #[error("field `{path}`: {data_type} is not a valid type: {reason}")]
    Invalid {
        /// Dotted path of the field.
        path: String,
        /// The type at that path.
        data_type: DataType,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A name or a time zone contains a NUL byte, which Arrow's C strings cannot carry.
    #[error("field `{path}`: a name or time zone contains a NUL byte")]
    Nul {
        /// Dotted path of the field.
        path: String,
    },
    /// An extension type over a type that cannot store it.
    #[error("field `{path}`: {data_type} cannot store the extension `{extension}`")]
    Extension {
        /// Dotted path of the field.
        path: String,
        /// Name of the extension, as the field's metadata gives it.
        extension: String,
        /// The field's type.
        data_type: DataType,
    },
    /// The type is nested too deeply.
    #[error("field `{path}`: type is nested more than {limit} levels deep")]
    Depth {
        /// Dotted path of the field at which the limit was met.
        path: String,
        /// Levels allowed.
        limit: usize,
    },
    /// The schema does not fit the guest's address space.
    #[error("schema_bytes: the schema needs {requested} bytes, {limit} are allowed")]
    Limit {
        /// Bytes allowed.
        limit: u64,
        /// Bytes the schema structs would take.
        requested: u64,
    },
}

/// A batch that does not fit the function's parameters or limits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// The batch has more or fewer columns than the function has parameters.
    #[error("the batch has {got} columns, the function takes {expected}")]
    ColumnCount {
        /// Number of parameters.
        expected: usize,
        /// Number of columns.
        got: usize,
    },
    /// A column's type is neither the parameter's type nor an equivalent layout of it.
    #[error("column {index} (parameter `{column}`): expected type {expected}, got {got}")]
    Type {
        /// Zero-based position of the column.
        index: usize,
        /// Name of the parameter.
        column: String,
        /// Declared type.
        expected: DataType,
        /// Type of the batch's column.
        got: DataType,
    },
    /// Groups are named for another number of rows than the batch has.
    #[error("{groups} group numbers for {rows} rows")]
    GroupCount {
        /// Rows of the batch.
        rows: usize,
        /// Group numbers.
        groups: usize,
    },
    /// A row that belongs to no group.
    #[error("the group of row {row} is null")]
    GroupNull {
        /// Zero-based row of the batch.
        row: usize,
    },
    /// More groups than allowed.
    #[error("{name}: {requested} groups are needed, {limit} are allowed")]
    Groups {
        /// Name of the limit: `aggregate_groups`.
        name: &'static str,
        /// Groups allowed.
        limit: u64,
        /// Groups asked for: one more than the highest number.
        requested: u64,
    },
    /// A null where the parameter, or a field inside it, is not nullable.
    #[error("column {index}: `{path}` is not nullable, but row {row} is null")]
    Null {
        /// Zero-based position of the column.
        index: usize,
        /// Dotted path, beginning with the parameter's name.
        path: String,
        /// Zero-based row of the batch: the first with such a null.
        row: usize,
    },
    /// The batch is larger than allowed, in the layout the guest gets.
    #[error("{name}: the batch needs {requested} bytes, {limit} are allowed")]
    Limit {
        /// Name of the limit: `input_bytes`.
        name: &'static str,
        /// Bytes allowed.
        limit: u64,
        /// Bytes the batch needs in the guest's memory; for a batch that has to be expanded
        /// (dictionaries, runs, list views), what had been counted when the limit was met.
        requested: u64,
    },
    /// The array contradicts its own type, or arrow refused to change its layout.
    #[error("column {index} (parameter `{column}`): {reason}")]
    Array {
        /// Zero-based position of the column.
        index: usize,
        /// Name of the parameter.
        column: String,
        /// What is wrong.
        reason: String,
    },
}

/// A result larger than allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: the result needs {requested} bytes, {limit} are allowed")]
pub struct OutputLimit {
    /// Name of the limit: `output_bytes`.
    pub name: &'static str,
    /// Bytes allowed.
    pub limit: u64,
    /// Bytes the result occupies. Elements without any bytes (nulls, empty structs) count as one.
    pub requested: u64,
}

/// Why no result could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResultError {
    /// The guest broke the ABI. Its memory can no longer be trusted to make sense.
    #[error(transparent)]
    Guest(#[from] GuestViolation),
    /// The result is valid so far but larger than allowed.
    #[error(transparent)]
    Limit(#[from] OutputLimit),
    /// The values are valid but do not fit the declared layout, such as more distinct values than
    /// the declared dictionary's key can count.
    #[error("the result cannot be delivered as {data_type}: {reason}")]
    Layout {
        /// The declared type.
        data_type: DataType,
        /// What arrow said.
        reason: String,
    },
}

/// What a guest that does not keep to the ABI did.
///
/// `path` is the dotted path of the field, beginning with the result's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GuestViolation {
    /// A range that does not lie inside the guest's memory.
    #[error(
        "`{path}`: {what} at {pointer:#x} with {bytes} bytes ends outside the guest's memory of {memory} bytes"
    )]
    OutOfBounds {
        /// Field concerned, or what was to be written.
        path: String,
        /// The struct, pointer table or buffer.
        what: &'static str,
        /// Address the guest gave.
        pointer: u32,
        /// Bytes that are needed there.
        bytes: u64,
        /// Current size of the guest's memory.
        memory: u64,
    },
    /// A null pointer where there must be data.
    #[error("`{path}`: {what} is a null pointer, {bytes} bytes are needed there")]
    NullPointer {
        /// Field concerned.
        path: String,
        /// The struct, pointer table or buffer.
        what: &'static str,
        /// Bytes that are needed there.
        bytes: u64,
    },
    /// A length other than the one required.
    #[error("`{path}`: length is {got}, {} {expected} is required", if *.exact { "exactly" } else { "at least" })]
    Length {
        /// Field concerned.
        path: String,
        /// Length the guest gave.
        got: i64,
        /// Length required by the batch's rows or by the parent's offsets.
        expected: u64,
        /// Whether a larger length is refused too.
        exact: bool,
    },
    /// `ArrowArray.offset` is not 0.
    #[error("`{path}`: offset is {got}, it must be 0")]
    Offset {
        /// Field concerned.
        path: String,
        /// Offset the guest gave.
        got: i64,
    },
    /// `ArrowArray.null_count` is neither -1 nor between 0 and the length.
    #[error("`{path}`: null_count is {got}, it must be -1 or 0 to {length}")]
    NullCount {
        /// Field concerned.
        path: String,
        /// Count the guest gave.
        got: i64,
        /// The array's length.
        length: i64,
    },
    /// Nulls were announced without a validity buffer.
    #[error("`{path}`: null_count is {got}, but there is no validity buffer")]
    NoValidity {
        /// Field concerned.
        path: String,
        /// Count the guest gave.
        got: i64,
    },
    /// `ArrowArray.n_buffers` is not what the type has.
    #[error("`{path}`: n_buffers is {got}, {expected} is required")]
    Buffers {
        /// Field concerned.
        path: String,
        /// Count the guest gave.
        got: i64,
        /// Buffers of the type.
        expected: usize,
    },
    /// `ArrowArray.n_children` is not what the type has.
    #[error("`{path}`: n_children is {got}, {expected} is required")]
    Children {
        /// Field concerned.
        path: String,
        /// Count the guest gave.
        got: i64,
        /// Children of the type.
        expected: usize,
    },
    /// `ArrowArray.dictionary` is set, although no dictionary was declared to the guest.
    #[error("`{path}`: dictionary is {got:#x}, it must be 0")]
    Dictionary {
        /// Field concerned.
        path: String,
        /// Address the guest gave.
        got: u32,
    },
    /// The last offset of a string, binary, list or map array is negative.
    #[error("`{path}`: the last offset is {got}")]
    NegativeOffset {
        /// Field concerned.
        path: String,
        /// The offset.
        got: i64,
    },
    /// A null where the field is not nullable.
    #[error("`{path}` is not nullable, but row {row} is null")]
    Null {
        /// Field concerned.
        path: String,
        /// Zero-based row of the result.
        row: usize,
    },
    /// A decimal with more digits than declared.
    #[error("`{path}`: row {row} holds a decimal of more than {precision} digits")]
    Precision {
        /// Field concerned.
        path: String,
        /// Zero-based row of the result.
        row: usize,
        /// Declared number of digits.
        precision: u8,
    },
    /// Arrow's full validation found the values invalid: offsets that decrease or point outside,
    /// text that is not UTF-8.
    #[error("`{path}`: {reason}")]
    Values {
        /// Field concerned.
        path: String,
        /// What arrow said.
        reason: String,
    },
}
