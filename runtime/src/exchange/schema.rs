//! Arrow fields as `ArrowSchema` structs in guest memory.

use arrow::array::new_null_array;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use super::abi::{
    FLAG_MAP_KEYS_SORTED, FLAG_NULLABLE, MAX_BYTES, POINTER_BYTES, SCHEMA_BYTES, align_up, destination,
};
use super::extension::{NAME_KEY, guest_name};
use super::types::{MAX_DEPTH, Path, children, is_leaf, is_nullable, relaxed, result_name, value_type};
use super::{GuestViolation, SchemaError};

/// The schema of a function's parameters or result, checked and ready to be written.
///
/// Types are described as the guest gets them: `Utf8View` as `Utf8`, `BinaryView` as `Binary`,
/// list views as lists, dictionaries and runs as their values.
#[derive(Debug)]
pub(crate) struct SchemaPlan {
    nodes: Vec<Node>,
    size: u32,
}

#[derive(Debug)]
struct Node {
    format: String,
    name: String,
    /// Name of the extension type.
    extension: Option<&'static str>,
    flags: i64,
    children: Vec<usize>,
}

impl Node {
    /// Bytes of the encoded metadata: one pair of key and value, each with its length before it.
    fn metadata(&self) -> Vec<u8> {
        let Some(extension) = self.extension else { return Vec::new() };
        let mut bytes = 1i32.to_le_bytes().to_vec();
        for text in [NAME_KEY, extension] {
            bytes.extend_from_slice(&(text.len() as i32).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes
    }
}

/// Which way the values of a field travel.
#[derive(Clone, Copy, PartialEq)]
enum Direction {
    In,
    Out,
}

impl SchemaPlan {
    /// A struct over the parameters, in order.
    pub(crate) fn parameters<F: AsRef<Field>>(parameters: &[F]) -> Result<Self, SchemaError> {
        let top =
            Node { format: "+s".into(), name: String::new(), extension: None, flags: 0, children: vec![] };
        let mut nodes = vec![top];
        for parameter in parameters {
            let field = parameter.as_ref();
            let child = add(&mut nodes, field, &Path::root(field.name()), 1, Direction::In)?;
            nodes[0].children.push(child);
        }
        Self::finish(nodes)
    }

    /// One field: the result.
    pub(crate) fn result(field: &Field) -> Result<Self, SchemaError> {
        let mut nodes = Vec::new();
        add(&mut nodes, field, &Path::root(result_name(field)), 1, Direction::Out)?;
        Self::finish(nodes)
    }

    fn finish(nodes: Vec<Node>) -> Result<Self, SchemaError> {
        let bytes = nodes.iter().fold(0u64, |sum, node| {
            let strings = node.format.len() + node.name.len() + 2;
            let tables = node.children.len() * POINTER_BYTES + node.metadata().len().next_multiple_of(4);
            sum.saturating_add((SCHEMA_BYTES + tables + strings) as u64)
        });
        match u32::try_from(align_up(bytes, 8)) {
            Ok(size) if u64::from(size) <= MAX_BYTES => Ok(Self { nodes, size }),
            _ => Err(SchemaError::Limit { limit: MAX_BYTES, requested: bytes }),
        }
    }

    /// Bytes to allocate in the guest.
    pub(crate) fn size(&self) -> usize {
        self.size as usize
    }

    /// Writes the structs at `base`, which the guest allocated (aligned to 8 at least) with
    /// [`SchemaPlan::size`] bytes; the outermost `ArrowSchema` is at `base` itself. Fails if the
    /// guest's allocation does not lie inside its memory.
    pub(crate) fn write(&self, memory: &mut [u8], base: u32) -> Result<(), GuestViolation> {
        let dest = destination(memory, base, self.size(), "schema")?;
        // The destination lies inside a memory of at most 2^32 bytes: no address overflows.
        let address = |at: usize| (base as usize + at) as u32;
        let mut table = self.nodes.len() * SCHEMA_BYTES;
        let mut metadata = table + self.nodes.iter().map(|n| n.children.len() * POINTER_BYTES).sum::<usize>();
        let pairs = self.nodes.iter().map(|node| node.metadata().len().next_multiple_of(4));
        let mut text = metadata + pairs.sum::<usize>();
        for (index, node) in self.nodes.iter().enumerate() {
            let mut string = |value: &str| {
                let at = text;
                dest[at..at + value.len()].copy_from_slice(value.as_bytes());
                dest[at + value.len()] = 0;
                text += value.len() + 1;
                address(at)
            };
            let mut schema = [0; SCHEMA_BYTES];
            schema[0..4].copy_from_slice(&string(&node.format).to_le_bytes());
            schema[4..8].copy_from_slice(&string(&node.name).to_le_bytes());
            let pairs = node.metadata();
            if !pairs.is_empty() {
                dest[metadata..metadata + pairs.len()].copy_from_slice(&pairs);
                schema[8..12].copy_from_slice(&address(metadata).to_le_bytes());
                metadata += pairs.len().next_multiple_of(4);
            }
            schema[16..24].copy_from_slice(&node.flags.to_le_bytes());
            schema[24..32].copy_from_slice(&(node.children.len() as i64).to_le_bytes());
            if !node.children.is_empty() {
                schema[32..36].copy_from_slice(&address(table).to_le_bytes());
            }
            for &child in &node.children {
                dest[table..table + POINTER_BYTES]
                    .copy_from_slice(&address(child * SCHEMA_BYTES).to_le_bytes());
                table += POINTER_BYTES;
            }
            dest[index * SCHEMA_BYTES..][..SCHEMA_BYTES].copy_from_slice(&schema);
        }
        Ok(())
    }
}

/// Appends `field` and what is inside of it; returns its position.
fn add(
    nodes: &mut Vec<Node>,
    field: &Field,
    path: &Path<'_>,
    depth: usize,
    direction: Direction,
) -> Result<usize, SchemaError> {
    if depth > MAX_DEPTH {
        return Err(SchemaError::Depth { path: path.to_string(), limit: MAX_DEPTH });
    }
    check(field.data_type(), path, direction)?;
    let data_type = value_type(field.data_type());
    let format = format(data_type).ok_or_else(|| SchemaError::Unsupported {
        path: path.to_string(),
        data_type: field.data_type().clone(),
    })?;
    if format.contains('\0') || field.name().contains('\0') {
        return Err(SchemaError::Nul { path: path.to_string() });
    }
    let mut flags = if is_nullable(field) { FLAG_NULLABLE } else { 0 };
    if matches!(data_type, DataType::Map(_, true)) {
        flags |= FLAG_MAP_KEYS_SORTED;
    }
    let extension = guest_name(field).map_err(|extension| SchemaError::Extension {
        path: path.to_string(),
        extension,
        data_type: field.data_type().clone(),
    })?;
    let index = nodes.len();
    nodes.push(Node { format, name: field.name().clone(), extension, flags, children: vec![] });
    for child in children(data_type) {
        let position = add(nodes, child, &path.child(child.name()), depth + 1, direction)?;
        nodes[index].children.push(position);
    }
    Ok(index)
}

/// Refuses types that Arrow itself does not define, and encodings that cannot be undone or made.
fn check(data_type: &DataType, path: &Path<'_>, direction: Direction) -> Result<(), SchemaError> {
    let invalid =
        |reason| Err(SchemaError::Invalid { path: path.to_string(), data_type: data_type.clone(), reason });
    let digits = |precision: u8, scale: i8, max: u8| {
        if precision == 0 || precision > max {
            invalid("precision out of range")
        } else if scale > precision as i8 || scale < -(max as i8) {
            invalid("scale out of range")
        } else {
            Ok(())
        }
    };
    match data_type {
        DataType::Decimal32(p, s) => digits(*p, *s, 9),
        DataType::Decimal64(p, s) => digits(*p, *s, 18),
        DataType::Decimal128(p, s) => digits(*p, *s, 38),
        DataType::Decimal256(p, s) => digits(*p, *s, 76),
        DataType::FixedSizeBinary(width) if *width < 0 => invalid("negative width"),
        DataType::FixedSizeList(_, size) if *size < 0 => invalid("negative size"),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields)
                if fields.len() == 2 && !fields[0].is_nullable() && !entries.is_nullable() =>
            {
                Ok(())
            }
            _ => invalid("map entries must be a non-nullable struct of a non-nullable key and a value"),
        },
        DataType::Dictionary(key, _) if !key.is_dictionary_key_type() => {
            invalid("dictionary keys must be integers")
        }
        DataType::RunEndEncoded(ends, _) if ends.is_nullable() || !ends.data_type().is_run_ends_type() => {
            invalid("run ends must be non-nullable int16, int32 or int64")
        }
        DataType::Dictionary(_, values) => encoding(data_type, values, path, direction),
        DataType::RunEndEncoded(_, values) => encoding(data_type, values.data_type(), path, direction),
        _ => Ok(()),
    }
}

/// A dictionary or runs over `values`: only over leaves, and as a result only where arrow encodes.
fn encoding(
    data_type: &DataType,
    values: &DataType,
    path: &Path<'_>,
    direction: Direction,
) -> Result<(), SchemaError> {
    if is_leaf(values) {
        check(values, path, direction)?;
        let encodes = || {
            cast(&new_null_array(&relaxed(values), 1), data_type).is_ok_and(|a| a.data_type() == data_type)
        };
        if direction == Direction::In || encodes() {
            return Ok(());
        }
    }
    Err(SchemaError::Unsupported { path: path.to_string(), data_type: data_type.clone() })
}

/// The format string of the guest's layout of a type; `None` where there is none.
fn format(data_type: &DataType) -> Option<String> {
    use DataType::{
        Binary, BinaryView, Boolean, Date32, Date64, Decimal32, Decimal64, Decimal128, Decimal256, Duration,
        FixedSizeBinary, FixedSizeList, Float16, Float32, Float64, Int8, Int16, Int32, Int64, Interval,
        LargeBinary, LargeList, LargeListView, LargeUtf8, List, ListView, Map, Null, Struct, Time32, Time64,
        Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8, Utf8View,
    };
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let unit = |unit: &TimeUnit| match unit {
        Second => 's',
        Millisecond => 'm',
        Microsecond => 'u',
        Nanosecond => 'n',
    };
    let fixed = match data_type {
        Null => "n",
        Boolean => "b",
        Int8 => "c",
        UInt8 => "C",
        Int16 => "s",
        UInt16 => "S",
        Int32 => "i",
        UInt32 => "I",
        Int64 => "l",
        UInt64 => "L",
        Float16 => "e",
        Float32 => "f",
        Float64 => "g",
        Utf8 | Utf8View => "u",
        LargeUtf8 => "U",
        Binary | BinaryView => "z",
        LargeBinary => "Z",
        Date32 => "tdD",
        Date64 => "tdm",
        Time32(Second) => "tts",
        Time32(Millisecond) => "ttm",
        Time64(Microsecond) => "ttu",
        Time64(Nanosecond) => "ttn",
        Interval(IntervalUnit::YearMonth) => "tiM",
        Interval(IntervalUnit::DayTime) => "tiD",
        Interval(IntervalUnit::MonthDayNano) => "tin",
        List(_) | ListView(_) => "+l",
        LargeList(_) | LargeListView(_) => "+L",
        Struct(_) => "+s",
        Map(..) => "+m",
        Decimal32(p, s) => return Some(format!("d:{p},{s},32")),
        Decimal64(p, s) => return Some(format!("d:{p},{s},64")),
        Decimal128(p, s) => return Some(format!("d:{p},{s}")),
        Decimal256(p, s) => return Some(format!("d:{p},{s},256")),
        FixedSizeBinary(width) => return Some(format!("w:{width}")),
        FixedSizeList(_, size) => return Some(format!("+w:{size}")),
        Timestamp(u, zone) => return Some(format!("ts{}:{}", unit(u), zone.as_deref().unwrap_or_default())),
        Duration(u) => return Some(format!("tD{}", unit(u))),
        _ => return None,
    };
    Some(fixed.to_owned())
}
