//! ZIP archives of strangers.

use std::collections::HashSet;
use std::io::Write as _;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use vivarium_host::archive::{ArchiveLimits, check_zip, read_zip};

use crate::Target;

pub(crate) const TARGET: Target =
    Target { name: "archive", about: "ZIP archives: wheels and imports", run, seeds };

const LIMITS: ArchiveLimits =
    ArchiveLimits { entries: 50, entry_bytes: 1 << 20, total_bytes: 2 << 20, ratio: 100, path_bytes: 200 };

fn run(data: &[u8]) {
    let read = read_zip(data, &LIMITS);
    assert_eq!(check_zip(data, &LIMITS).err(), read.as_ref().err().cloned(), "both say the same");
    let Ok(files) = read else { return };
    let mut names = HashSet::new();
    assert!(files.len() as u64 <= LIMITS.entries);
    assert!(files.iter().map(|file| file.content.len() as u64).sum::<u64>() <= LIMITS.total_bytes);
    for file in files {
        assert!(file.path.len() as u64 <= LIMITS.path_bytes);
        assert!(!file.path.starts_with('/') && !file.path.contains(['\0', '\\']), "{:?}", file.path);
        assert!(file.path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{:?}", file.path);
        assert!(names.insert(file.path.to_lowercase()), "{:?} is there twice", file.path);
        assert!(file.content.len() as u64 <= LIMITS.entry_bytes);
    }
}

/// An archive of stored and deflated files.
fn zip(files: &[(&str, &[u8], bool)]) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, content, deflate) in files {
        let mut crc = Crc::new();
        crc.update(content);
        let packed = if *deflate {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(content).unwrap();
            encoder.finish().unwrap()
        } else {
            content.to_vec()
        };
        let (method, offset) = (u16::from(*deflate) * 8, archive.len() as u32);
        // Names that are not ASCII are marked as UTF-8.
        let flags = u16::from(!name.is_ascii()) << 11;
        let mut shared = Vec::new();
        for short in [20, flags, method, 0, 0x21] {
            shared.extend(short.to_le_bytes());
        }
        for word in [crc.sum(), packed.len() as u32, content.len() as u32] {
            shared.extend(word.to_le_bytes());
        }
        shared.extend((name.len() as u32).to_le_bytes());
        archive.extend(b"PK\x03\x04");
        archive.extend(&shared);
        archive.extend(name.as_bytes());
        archive.extend(packed);
        directory.extend(b"PK\x01\x02\x14\0");
        directory.extend(&shared);
        // The comment's length, the disk, internal and external attributes, and where the file is.
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (count, start, size) = (files.len() as u16, archive.len() as u32, directory.len() as u32);
    archive.extend(directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend([count, count].map(u16::to_le_bytes).concat());
    archive.extend([size, start].map(u32::to_le_bytes).concat());
    archive.extend([0, 0]);
    archive
}

fn seeds() -> Vec<Vec<u8>> {
    let text = b"def f(x): return x\n".repeat(20);
    let inner = zip(&[("a.py", b"1", false)]);
    vec![
        zip(&[]),
        zip(&[("a.py", b"x = 1\n", false)]),
        zip(&[("a.py", &text, true), ("b/c.py", &text, false), ("b/empty", b"", false)]),
        zip(&[("inner.zip", &inner, false), ("d/\u{e4}.txt", &text, true)]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_archives() {
        for seed in seeds() {
            read_zip(&seed, &LIMITS).unwrap();
        }
    }
}
