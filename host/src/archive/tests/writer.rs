//! Writes ZIP archives field by field, so that every field can lie.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// What one of an entry's two headers says.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) signature: [u8; 4],
    pub(crate) name: Vec<u8>,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) checksum: u32,
    pub(crate) packed: u32,
    pub(crate) size: u32,
    pub(crate) extra: Vec<u8>,
}

/// An entry.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) local: Header,
    pub(crate) central: Header,
    /// Bytes before the local header that belong to nothing.
    pub(crate) gap: Vec<u8>,
    pub(crate) data: Vec<u8>,
    pub(crate) descriptor: Vec<u8>,
    pub(crate) comment: Vec<u8>,
    pub(crate) attributes: u32,
    pub(crate) disk: u16,
    /// Added to where the local header really is.
    pub(crate) offset_shift: i64,
    /// Replaces where the local header is.
    pub(crate) offset: Option<u32>,
    /// Not written: only the central directory knows of it.
    pub(crate) is_phantom: bool,
}

/// What the end record says; `None` is the truth.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndClaims {
    pub(crate) disk: u16,
    pub(crate) entries_here: Option<u16>,
    pub(crate) entries: Option<u16>,
    pub(crate) size: Option<u32>,
    pub(crate) offset: Option<u32>,
    pub(crate) comment_length: Option<u16>,
}

/// The ZIP64 end record and its locator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wide {
    pub(crate) entries: Option<u64>,
    pub(crate) size: Option<u64>,
    pub(crate) offset: Option<u64>,
    pub(crate) rest_bytes: Option<u64>,
    pub(crate) locator_offset: Option<u64>,
    pub(crate) disks: u32,
    /// Bytes between the record and its locator.
    pub(crate) between: Vec<u8>,
}

/// An archive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Zip {
    pub(crate) members: Vec<Member>,
    /// The central directory lists the entries from the last to the first.
    pub(crate) is_reversed: bool,
    /// Bytes between the last entry and the central directory.
    pub(crate) before_directory: Vec<u8>,
    /// Bytes between the central directory and the end record.
    pub(crate) behind_directory: Vec<u8>,
    pub(crate) wide: Option<Wide>,
    pub(crate) end: EndClaims,
    pub(crate) comment: Vec<u8>,
    pub(crate) trailing: Vec<u8>,
}

pub(crate) const STORED: u16 = 0;
pub(crate) const DEFLATED: u16 = 8;
pub(crate) const HAS_DESCRIPTOR: u16 = 8;
pub(crate) const UTF8: u16 = 1 << 11;

pub(crate) fn checksum(content: &[u8]) -> u32 {
    let mut checksum = flate2::Crc::new();
    checksum.update(content);
    checksum.sum()
}

pub(crate) fn deflate(content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// An extra field.
pub(crate) fn extra(id: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    [&id.to_le_bytes()[..], &length.to_le_bytes(), content].concat()
}

impl Member {
    fn new(name: impl AsRef<[u8]>, method: u16, data: Vec<u8>, content: &[u8]) -> Member {
        let name = name.as_ref();
        let header = Header {
            signature: *b"PK\x03\x04",
            name: name.to_vec(),
            flags: if name.is_ascii() { 0 } else { UTF8 },
            method,
            checksum: checksum(content),
            packed: u32::try_from(data.len()).unwrap(),
            size: u32::try_from(content.len()).unwrap(),
            extra: Vec::new(),
        };
        Member {
            central: Header { signature: *b"PK\x01\x02", ..header.clone() },
            local: header,
            gap: Vec::new(),
            data,
            descriptor: Vec::new(),
            comment: Vec::new(),
            attributes: 0o100_644 << 16,
            disk: 0,
            offset_shift: 0,
            offset: None,
            is_phantom: false,
        }
    }

    pub(crate) fn stored(name: impl AsRef<[u8]>, content: &[u8]) -> Member {
        Member::new(name, STORED, content.to_vec(), content)
    }

    pub(crate) fn deflated(name: impl AsRef<[u8]>, content: &[u8]) -> Member {
        Member::new(name, DEFLATED, deflate(content), content)
    }

    pub(crate) fn directory(name: impl AsRef<[u8]>) -> Member {
        Member { attributes: 0o040_755 << 16 | 0x10, ..Member::stored(name, b"") }
    }

    /// Sizes and checksum follow the data, as when an archive is written to a pipe.
    pub(crate) fn streamed(name: impl AsRef<[u8]>, content: &[u8], signature: bool, wide: bool) -> Member {
        let mut member = Member::deflated(name, content);
        member.both(|header| header.flags |= HAS_DESCRIPTOR);
        let Header { checksum, packed, size, .. } = member.central;
        let mut descriptor = if signature { b"PK\x07\x08".to_vec() } else { Vec::new() };
        descriptor.extend(checksum.to_le_bytes());
        for number in [packed, size] {
            descriptor.extend(if wide {
                u64::from(number).to_le_bytes().to_vec()
            } else {
                number.to_le_bytes().to_vec()
            });
        }
        member.descriptor = descriptor;
        (member.local.checksum, member.local.packed, member.local.size) = (0, 0, 0);
        member
    }

    /// Changes both headers.
    pub(crate) fn both(&mut self, change: impl Fn(&mut Header)) {
        change(&mut self.local);
        change(&mut self.central);
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Member)) -> Member {
        change(&mut self);
        self
    }
}

fn header(bytes: &mut Vec<u8>, header: &Header) {
    bytes.extend(20u16.to_le_bytes());
    bytes.extend(header.flags.to_le_bytes());
    bytes.extend(header.method.to_le_bytes());
    bytes.extend([0, 0, 0x21, 0x50]);
    bytes.extend(header.checksum.to_le_bytes());
    bytes.extend(header.packed.to_le_bytes());
    bytes.extend(header.size.to_le_bytes());
    bytes.extend(length(&header.name));
    bytes.extend(length(&header.extra));
}

fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap().to_le_bytes()
}

fn wide(value: usize) -> u64 {
    u64::try_from(value).unwrap()
}

fn narrow(value: usize) -> u32 {
    u32::try_from(value).unwrap()
}

impl Zip {
    pub(crate) fn of(members: impl IntoIterator<Item = Member>) -> Zip {
        Zip { members: members.into_iter().collect(), ..Zip::default() }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Zip)) -> Zip {
        change(&mut self);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut offsets = Vec::new();
        for member in &self.members {
            if !member.is_phantom {
                bytes.extend(&member.gap);
            }
            offsets.push(bytes.len());
            if !member.is_phantom {
                bytes.extend(member.local.signature);
                header(&mut bytes, &member.local);
                bytes.extend(&member.local.name);
                bytes.extend(&member.local.extra);
                bytes.extend(&member.data);
                bytes.extend(&member.descriptor);
            }
        }
        bytes.extend(&self.before_directory);
        let start = bytes.len();
        let mut records: Vec<_> = self.members.iter().zip(offsets).collect();
        if self.is_reversed {
            records.reverse();
        }
        for (member, offset) in records {
            let offset = i64::try_from(offset).unwrap() + member.offset_shift;
            let offset = member.offset.unwrap_or_else(|| u32::try_from(offset).unwrap());
            bytes.extend(member.central.signature);
            bytes.extend(20u16.to_le_bytes());
            header(&mut bytes, &member.central);
            bytes.extend(length(&member.comment));
            bytes.extend(member.disk.to_le_bytes());
            bytes.extend([0, 0]);
            bytes.extend(member.attributes.to_le_bytes());
            bytes.extend(offset.to_le_bytes());
            bytes.extend(&member.central.name);
            bytes.extend(&member.central.extra);
            bytes.extend(&member.comment);
        }
        let size = bytes.len() - start;
        bytes.extend(&self.behind_directory);
        if let Some(claims) = &self.wide {
            let place = bytes.len();
            let entries = claims.entries.unwrap_or(wide(self.members.len()));
            bytes.extend(b"PK\x06\x06");
            bytes.extend(claims.rest_bytes.unwrap_or(44).to_le_bytes());
            bytes.extend([45, 0, 45, 0]);
            bytes.extend([0; 8]);
            for number in
                [entries, entries, claims.size.unwrap_or(wide(size)), claims.offset.unwrap_or(wide(start))]
            {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend(&claims.between);
            bytes.extend(b"PK\x06\x07");
            bytes.extend([0; 4]);
            bytes.extend(claims.locator_offset.unwrap_or(wide(place)).to_le_bytes());
            bytes.extend(claims.disks.to_le_bytes());
        }
        let entries = u16::try_from(self.members.len()).unwrap_or(u16::MAX);
        bytes.extend(b"PK\x05\x06");
        bytes.extend(self.end.disk.to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(self.end.entries_here.unwrap_or(entries).to_le_bytes());
        bytes.extend(self.end.entries.unwrap_or(entries).to_le_bytes());
        bytes.extend(self.end.size.unwrap_or(narrow(size)).to_le_bytes());
        bytes.extend(self.end.offset.unwrap_or(narrow(start)).to_le_bytes());
        bytes.extend(self.end.comment_length.map_or(length(&self.comment), u16::to_le_bytes));
        bytes.extend(&self.comment);
        bytes.extend(&self.trailing);
        bytes
    }
}
