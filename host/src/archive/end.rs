//! The end of an archive: where the central directory is and how many entries it has.

use super::bytes::Record;
use super::error::ArchiveError;

const END: [u8; 4] = *b"PK\x05\x06";
const END64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR64: [u8; 4] = *b"PK\x06\x07";
const END_BYTES: usize = 22;
const LOCATOR64_BYTES: usize = 20;
/// What the size field of a ZIP64 end record without extensions says: all but the first 12 bytes.
const END64_REST_BYTES: u64 = 44;
const MAX_COMMENT_BYTES: usize = 0xffff;

/// What the end records say, checked against each other.
#[derive(Debug)]
pub(super) struct End {
    /// Number of entries.
    pub(super) entries: u64,
    /// Where the central directory begins.
    pub(super) directory_start: usize,
    /// Where it ends and the end records begin.
    pub(super) directory_end: usize,
}

/// Finds and reads the end records.
pub(super) fn read(archive: &[u8]) -> Result<End, ArchiveError> {
    let offset = find(archive)?;
    let mut record = Record::at(archive, offset, "end record", END)?;
    let (disk, directory_disk) = (record.u16()?, record.u16()?);
    let (entries_here, entries) = (record.u16()?, record.u16()?);
    let (size, start) = (record.u32()?, record.u32()?);
    let comment_length = usize::from(record.u16()?);
    let comment = record.take(comment_length)?;
    if comment.windows(4).any(is_record) {
        return Err(ArchiveError::ArchiveInComment);
    }
    if (disk, directory_disk) != (0, 0) || entries_here != entries {
        return Err(ArchiveError::SeveralDisks);
    }

    let wide = read64(archive, offset)?;
    let (entries, size, start, directory_end) = match wide {
        Some(wide) => {
            let fits = |narrow: u64, sentinel: u64, wide: u64| narrow == sentinel || narrow == wide;
            if !fits(entries.into(), u16::MAX.into(), wide.entries)
                || !fits(size.into(), u32::MAX.into(), wide.size)
                || !fits(start.into(), u32::MAX.into(), wide.start)
            {
                return Err(ArchiveError::Zip64 { problem: "they contradict the end record" });
            }
            (wide.entries, wide.size, wide.start, wide.offset)
        }
        None if entries == u16::MAX || size == u32::MAX || start == u32::MAX => {
            return Err(ArchiveError::Zip64 { problem: "the end record refers to them, and there are none" });
        }
        None => (entries.into(), size.into(), start.into(), offset),
    };

    // The directory ends where the end records begin, so its size says where it starts.
    let found_start = to_u64(directory_end).checked_sub(size);
    let directory_start = found_start.and_then(|start| usize::try_from(start).ok());
    let Some(directory_start) = directory_start else {
        return Err(ArchiveError::Directory { field: "size", said: size, found: to_u64(directory_end) });
    };
    if start != to_u64(directory_start) {
        return Err(ArchiveError::Directory { field: "offset", said: start, found: to_u64(directory_start) });
    }
    Ok(End { entries, directory_start, directory_end })
}

/// The only place where an end record can be. A reader that looks for the last signature and one
/// that looks for a comment which reaches to the end must come to the same place.
fn find(archive: &[u8]) -> Result<usize, ArchiveError> {
    let window = archive.len().saturating_sub(END_BYTES + MAX_COMMENT_BYTES);
    let mut last = None;
    let mut reaching = None;
    for offset in (window..archive.len()).filter(|offset| archive[*offset..].starts_with(&END)) {
        last = Some(offset);
        if comment_end(archive, offset) == Some(archive.len()) {
            if let Some(first) = reaching {
                return Err(ArchiveError::TwoEnds { first, second: offset });
            }
            reaching = Some(offset);
        }
    }
    match (reaching, last) {
        (_, None) => Err(ArchiveError::NoEnd),
        (Some(reaching), Some(last)) if reaching == last => Ok(last),
        (Some(first), Some(second)) => Err(ArchiveError::TwoEnds { first, second }),
        (None, Some(last)) => match comment_end(archive, last) {
            Some(end) if end < archive.len() => {
                Err(ArchiveError::TrailingData { bytes: archive.len() - end })
            }
            _ => Err(ArchiveError::Truncated { what: "end record", offset: last }),
        },
    }
}

/// Where the comment of an end record at `offset` would end.
fn comment_end(archive: &[u8], offset: usize) -> Option<usize> {
    let length = archive.get(offset + END_BYTES - 2..offset + END_BYTES)?;
    Some(offset + END_BYTES + usize::from(u16::from_le_bytes([length[0], length[1]])))
}

fn is_record(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        b"PK\x01\x02" | b"PK\x03\x04" | b"PK\x05\x06" | b"PK\x06\x06" | b"PK\x06\x07" | b"PK\x07\x08"
    )
}

/// What a ZIP64 end record says.
struct End64 {
    entries: u64,
    size: u64,
    start: u64,
    offset: usize,
}

/// The ZIP64 end record and its locator, which lie directly before the end record.
fn read64(archive: &[u8], end: usize) -> Result<Option<End64>, ArchiveError> {
    let Some(locator) = end.checked_sub(LOCATOR64_BYTES) else {
        return Ok(None);
    };
    if !archive[locator..].starts_with(&LOCATOR64) {
        return Ok(None);
    }
    let problem = |problem| Err(ArchiveError::Zip64 { problem });
    let mut record = Record::at(archive, locator, "ZIP64 locator", LOCATOR64)?;
    let disk = record.u32()?;
    let place = record.u64()?;
    let disks = record.u32()?;
    if disk != 0 || disks > 1 {
        return Err(ArchiveError::SeveralDisks);
    }
    let Some(offset) = usize::try_from(place).ok().filter(|offset| *offset < locator) else {
        return problem("the locator points behind itself");
    };

    let mut record = Record::at(archive, offset, "ZIP64 end record", END64)?;
    if record.u64()? != END64_REST_BYTES {
        return problem("the end record has extensions");
    }
    let _versions = record.u32()?;
    let (disk, directory_disk) = (record.u32()?, record.u32()?);
    let (entries_here, entries) = (record.u64()?, record.u64()?);
    let (size, start) = (record.u64()?, record.u64()?);
    if (disk, directory_disk) != (0, 0) || entries_here != entries {
        return Err(ArchiveError::SeveralDisks);
    }
    if archive.len() - record.left() != locator {
        return problem("the locator does not point to the record before it");
    }
    Ok(Some(End64 { entries, size, start, offset }))
}

pub(super) fn to_u64(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
