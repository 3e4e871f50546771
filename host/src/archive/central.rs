//! The central directory: what an archive says of its entries at the end.

use super::bytes::Record;
use super::end::{End, to_u64};
use super::error::{ArchiveError, shown};
use super::extra;

const SIGNATURE: [u8; 4] = *b"PK\x01\x02";
/// Smallest record.
const RECORD_BYTES: usize = 46;
/// The number of the disk, where an entry begins, is elsewhere when it is this.
const SENTINEL: u32 = u32::MAX;

const KIND_MASK: u32 = 0o170_000;
const DOS_DIRECTORY: u32 = 0x10;
const DOS_VOLUME: u32 = 0x08;

/// One record of the central directory.
#[derive(Clone, Debug)]
pub(super) struct CentralRecord<'a> {
    pub(super) name: &'a [u8],
    pub(super) flags: u16,
    pub(super) method: u16,
    pub(super) checksum: u32,
    /// Size of the packed data.
    pub(super) packed: u64,
    /// Size of the content.
    pub(super) size: u64,
    /// Where the entry's local header begins.
    pub(super) offset: u64,
    /// Whether the name is that of a directory.
    pub(super) is_directory: bool,
}

impl CentralRecord<'_> {
    /// The name for messages.
    pub(super) fn shown(&self) -> String {
        shown(self.name)
    }
}

/// Reads all records. Their number is `end.entries`, which was compared with its limit before.
pub(super) fn read<'a>(archive: &'a [u8], end: &End) -> Result<Vec<CentralRecord<'a>>, ArchiveError> {
    // The records must have room, so the claim bounds nothing that is allocated.
    let room = (end.directory_end - end.directory_start) / RECORD_BYTES;
    let Some(count) = usize::try_from(end.entries).ok().filter(|count| *count <= room) else {
        let found = to_u64(room);
        return Err(ArchiveError::Directory { field: "number of entries", said: end.entries, found });
    };
    let within = &archive[..end.directory_end];
    let mut records = Vec::with_capacity(count);
    let mut offset = end.directory_start;
    for _ in 0..count {
        let (record, next) = read_one(within, offset)?;
        records.push(record);
        offset = next;
    }
    if offset != end.directory_end {
        return Err(ArchiveError::Directory {
            field: "size",
            said: to_u64(end.directory_end - end.directory_start),
            found: to_u64(offset - end.directory_start),
        });
    }
    Ok(records)
}

fn read_one(within: &[u8], offset: usize) -> Result<(CentralRecord<'_>, usize), ArchiveError> {
    let mut record = Record::at(within, offset, "central directory record", SIGNATURE)?;
    let _made_by = record.u16()?;
    let _needed = record.u16()?;
    let (flags, method) = (record.u16()?, record.u16()?);
    let _modified = record.u32()?;
    let checksum = record.u32()?;
    let (packed, size) = (record.u32()?, record.u32()?);
    let (name_length, extra_length, comment_length) = (record.u16()?, record.u16()?, record.u16()?);
    let disk = record.u16()?;
    let _internal = record.u16()?;
    let attributes = record.u32()?;
    let place = record.u32()?;
    let name = record.take(usize::from(name_length))?;
    let fields = record.take(usize::from(extra_length))?;
    let _comment = record.take(usize::from(comment_length))?;

    let entry = || shown(name);
    if disk != 0 {
        return Err(ArchiveError::SeveralDisks);
    }
    let wide = extra::zip64(fields, name, &entry)?;
    let (size, packed, place) = widen(wide, [size, packed, place])
        .ok_or_else(|| ArchiveError::Extra { entry: entry(), problem: "ZIP64 does not fit the record" })?;
    let is_directory = name.ends_with(b"/");
    check_kind(attributes, is_directory, &entry)?;
    let found = CentralRecord { name, flags, method, checksum, packed, size, offset: place, is_directory };
    Ok((found, within.len() - record.left()))
}

/// Replaces the numbers that do not fit into 32 bits by those of the ZIP64 field, which must hold
/// these and no others, in this order.
fn widen(field: Option<&[u8]>, narrow: [u32; 3]) -> Option<(u64, u64, u64)> {
    let mut rest = field.unwrap_or_default();
    // A field that replaces nothing would be believed by some readers.
    if field.is_some() && !narrow.contains(&SENTINEL) {
        return None;
    }
    let mut wide = [0; 3];
    for (wide, narrow) in wide.iter_mut().zip(narrow) {
        *wide = u64::from(narrow);
        if narrow == SENTINEL {
            let (number, behind) = rest.split_first_chunk()?;
            *wide = u64::from_le_bytes(*number);
            rest = behind;
        }
    }
    let [size, packed, place] = wide;
    rest.is_empty().then_some((size, packed, place))
}

/// Refuses what is not a file or a directory, by the mode that Unix archivers keep and the
/// attributes that all keep. Which system the archive says it was made on is not believed.
fn check_kind(attributes: u32, is_directory: bool, entry: &dyn Fn() -> String) -> Result<(), ArchiveError> {
    let mode = attributes >> 16;
    let kind = match mode & KIND_MASK {
        0 | 0o100_000 => None,
        0o040_000 if is_directory => None,
        0o040_000 => {
            let problem = "by its mode, its name has no trailing slash";
            return Err(ArchiveError::NotADirectory { entry: entry(), problem });
        }
        0o120_000 => Some("a symbolic link"),
        0o060_000 => Some("a block device"),
        0o020_000 => Some("a character device"),
        0o010_000 => Some("a named pipe"),
        0o140_000 => Some("a socket"),
        _ => Some("of an unknown kind"),
    };
    if let Some(kind) = kind {
        return Err(ArchiveError::Kind { entry: entry(), kind });
    }
    if attributes & DOS_VOLUME != 0 {
        return Err(ArchiveError::Kind { entry: entry(), kind: "a volume label" });
    }
    let problem = match (is_directory, attributes & DOS_DIRECTORY != 0, mode & KIND_MASK == 0o100_000) {
        (false, true, _) => "by its attributes, its name has no trailing slash",
        (true, _, true) => "by its name, and a file by its mode",
        _ => return Ok(()),
    };
    Err(ArchiveError::NotADirectory { entry: entry(), problem })
}
