//! How an archive's bytes belong to its entries: each to one, and the entries as the central
//! directory describes them.

use super::ArchiveLimits;
use super::bytes::Record;
use super::central::{self, CentralRecord};
use super::end::{self, End, to_u64};
use super::error::ArchiveError;
use super::extra;
use super::names;
use super::tree::Tree;

const LOCAL: [u8; 4] = *b"PK\x03\x04";
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";

const ENCRYPTED: u16 = 1 << 0;
const HAS_DESCRIPTOR: u16 = 1 << 3;
const STRONGLY_ENCRYPTED: u16 = 1 << 6;
const UTF8_NAME: u16 = 1 << 11;
const HEADER_ENCRYPTED: u16 = 1 << 13;
/// Bits 1 and 2 say how hard the compressor tried.
const KNOWN_FLAGS: u16 = 0b110 | HAS_DESCRIPTOR | UTF8_NAME;

pub(super) const STORED: u16 = 0;
pub(super) const DEFLATED: u16 = 8;

/// Content up to this size may have any ratio.
const RATIO_FREE_BYTES: u64 = 1 << 20;

/// One entry whose headers were checked.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    pub(super) path: &'a str,
    pub(super) is_directory: bool,
    pub(super) is_deflated: bool,
    pub(super) checksum: u32,
    pub(super) size: u64,
    pub(super) packed: &'a [u8],
}

/// Checks the structure, and all limits that can be checked before anything is unpacked.
pub(super) fn read<'a>(archive: &'a [u8], limits: &ArchiveLimits) -> Result<Vec<Entry<'a>>, ArchiveError> {
    let end = end::read(archive)?;
    let limit = |name, limit, requested| {
        if requested > limit {
            Err(ArchiveError::Limit { name, entry: None, limit, requested })
        } else {
            Ok(())
        }
    };
    limit("entries", limits.entries, end.entries)?;
    let records = central::read(archive, &end)?;
    let total = records.iter().fold(0, |total: u64, record| total.saturating_add(record.size));

    let mut tree = Tree::default();
    let mut paths = Vec::with_capacity(records.len());
    for record in &records {
        check_sizes(record, limits)?;
        check_features(record)?;
        let marked = record.flags & UTF8_NAME != 0;
        let path = names::check_path(record.name, marked, record.is_directory, limits.path_bytes)
            .map_err(|problem| ArchiveError::Name { entry: record.shown(), problem })?;
        tree.insert(path, record.is_directory)?;
        paths.push(path);
    }
    tree.check_look_alikes()?;
    limit("total_bytes", limits.total_bytes, total)?;

    let packed = place(archive, &records, &end)?;
    let entries = records.iter().zip(paths).zip(packed).map(|((record, path), packed)| Entry {
        path,
        is_directory: record.is_directory,
        is_deflated: record.method == DEFLATED,
        checksum: record.checksum,
        size: record.size,
        packed,
    });
    Ok(entries.collect())
}

fn check_features(record: &CentralRecord<'_>) -> Result<(), ArchiveError> {
    let entry = || record.shown();
    let CentralRecord { flags, method, packed, size, .. } = *record;
    if flags & (ENCRYPTED | STRONGLY_ENCRYPTED | HEADER_ENCRYPTED) != 0 {
        return Err(ArchiveError::Encrypted { entry: entry() });
    }
    if flags & !KNOWN_FLAGS != 0 {
        return Err(ArchiveError::Flags { entry: entry(), flags });
    }
    if method != STORED && method != DEFLATED {
        return Err(ArchiveError::Method { entry: entry(), method });
    }
    if record.is_directory && size != 0 {
        return Err(ArchiveError::NotADirectory { entry: entry(), problem: "by its name, and has content" });
    }
    if method == STORED && packed != size {
        return Err(ArchiveError::Size { entry: entry(), size, more: packed > size });
    }
    Ok(())
}

fn check_sizes(record: &CentralRecord<'_>, limits: &ArchiveLimits) -> Result<(), ArchiveError> {
    let limit = |name, limit, requested| {
        let entry = Some(record.shown());
        Err(ArchiveError::Limit { name, entry, limit, requested })
    };
    let CentralRecord { size, packed, .. } = *record;
    if size > limits.entry_bytes {
        return limit("entry_bytes", limits.entry_bytes, size);
    }
    if size > RATIO_FREE_BYTES && size > packed.saturating_mul(limits.ratio) {
        return limit("ratio", limits.ratio, size.div_ceil(packed.max(1)));
    }
    Ok(())
}

/// Finds the packed data of all entries, and checks that their records fill the archive up to the
/// central directory without a gap and without sharing a byte.
fn place<'a>(
    archive: &'a [u8],
    records: &[CentralRecord<'_>],
    end: &End,
) -> Result<Vec<&'a [u8]>, ArchiveError> {
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_by_key(|index| records[*index].offset);
    let mut packed: Vec<&[u8]> = vec![&[]; records.len()];
    let directory = to_u64(end.directory_start);
    let first = order.first().map_or(directory, |index| records[*index].offset);
    if first != 0 {
        let bytes = usize::try_from(first).unwrap_or(usize::MAX);
        return Err(ArchiveError::LeadingData { bytes });
    }
    if let Some(last) = order.last().map(|index| &records[*index]).filter(|last| last.offset >= directory) {
        return Err(ArchiveError::Overlap { entry: last.shown(), other: "the central directory".to_owned() });
    }
    for (position, index) in order.iter().enumerate() {
        let record = &records[*index];
        let next = order.get(position + 1).map(|next| &records[*next]);
        let limit = next.map_or(directory, |next| next.offset);
        let overlap = || ArchiveError::Overlap {
            entry: record.shown(),
            other: next.map_or("the central directory".to_owned(), CentralRecord::shown),
        };
        // What an entry may use ends where the next one begins, whatever its header says.
        let bounds = usize::try_from(record.offset).ok().zip(usize::try_from(limit).ok());
        let within = bounds.filter(|(start, limit)| start < limit && *limit <= end.directory_start);
        let (start, limit) = within.ok_or_else(overlap)?;
        let local = Local::read(archive, start)?;
        local.check(record)?;
        let data = &archive[..limit];
        let length = usize::try_from(record.packed).ok();
        let range = length.and_then(|length| local.data_start.checked_add(length));
        let data_end = range.filter(|data_end| *data_end <= limit).ok_or_else(overlap)?;
        check_tail(&data[data_end..], record)?;
        packed[*index] = &data[local.data_start..data_end];
    }
    Ok(packed)
}

/// A local header.
struct Local<'a> {
    name: &'a [u8],
    flags: u16,
    method: u16,
    checksum: u32,
    packed: u64,
    size: u64,
    data_start: usize,
}

impl<'a> Local<'a> {
    fn read(archive: &'a [u8], offset: usize) -> Result<Self, ArchiveError> {
        let mut record = Record::at(archive, offset, "local header", LOCAL)?;
        let _needed = record.u16()?;
        let (flags, method) = (record.u16()?, record.u16()?);
        let _modified = record.u32()?;
        let checksum = record.u32()?;
        let (packed, size) = (record.u32()?, record.u32()?);
        let (name_length, extra_length) = (record.u16()?, record.u16()?);
        let name = record.take(usize::from(name_length))?;
        let fields = record.take(usize::from(extra_length))?;
        let entry = || super::error::shown(name);
        let (size, packed) = match (extra::zip64(fields, name, &entry)?, size, packed) {
            // Unlike in the directory, both numbers are in the field or none is.
            (Some(field), u32::MAX, u32::MAX) => {
                extra::numbers(field).map(|[size, packed]| (size, packed)).ok_or_else(|| {
                    ArchiveError::Extra { entry: entry(), problem: "ZIP64 does not fit the local header" }
                })?
            }
            (None, size, packed) if size != u32::MAX && packed != u32::MAX => (size.into(), packed.into()),
            _ => {
                let problem = "ZIP64 does not fit the local header";
                return Err(ArchiveError::Extra { entry: entry(), problem });
            }
        };
        Ok(Local { name, flags, method, checksum, packed, size, data_start: archive.len() - record.left() })
    }

    fn check(&self, record: &CentralRecord<'_>) -> Result<(), ArchiveError> {
        let mismatch = |field, local: String, central: String| {
            Err(ArchiveError::Mismatch { entry: record.shown(), field, local, central })
        };
        if self.name != record.name {
            return mismatch("name", super::error::shown(self.name), record.shown());
        }
        if self.flags != record.flags {
            return mismatch("flags", format!("{:#06x}", self.flags), format!("{:#06x}", record.flags));
        }
        // Sizes and checksum that were not known yet when the header was written are zero.
        let later = record.flags & HAS_DESCRIPTOR != 0;
        if later && self.method == STORED && self.packed != record.packed {
            // A reader that goes from front to back would have to guess where such content ends.
            let problem = "belongs to stored content, whose end it cannot mark";
            return Err(ArchiveError::Descriptor { entry: record.shown(), problem });
        }
        for (field, local, central, may_be_zero) in [
            ("method", self.method.into(), record.method.into(), false),
            ("checksum", self.checksum.into(), record.checksum.into(), later),
            ("packed size", self.packed, record.packed, later),
            ("size", self.size, record.size, later),
        ] {
            if local != central && !(may_be_zero && local == 0) {
                return mismatch(field, local.to_string(), central.to_string());
            }
        }
        Ok(())
    }
}

/// Checks what follows an entry's data: its data descriptor if it has one, else nothing.
fn check_tail(tail: &[u8], record: &CentralRecord<'_>) -> Result<(), ArchiveError> {
    let entry = || record.shown();
    if record.flags & HAS_DESCRIPTOR == 0 {
        return match tail.len() {
            0 => Ok(()),
            bytes => Err(ArchiveError::Gap { entry: entry(), bytes }),
        };
    }
    // With or without a signature, with sizes of 32 or 64 bits: its length tells which.
    let problem = |problem| Err(ArchiveError::Descriptor { entry: entry(), problem });
    let body = match tail.len() {
        12 | 20 => tail,
        16 | 24 if tail.starts_with(&DESCRIPTOR) => &tail[4..],
        0 => return problem("is missing"),
        _ => return problem("does not end where the next record begins"),
    };
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (checksum, sizes) = body.split_at(4);
    let (packed, size) = sizes.split_at(sizes.len() / 2);
    if number(checksum) != u64::from(record.checksum)
        || number(packed) != record.packed
        || number(size) != record.size
    {
        return problem("contradicts the central directory");
    }
    Ok(())
}
