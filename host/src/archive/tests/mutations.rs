//! Honest archives come back as they were; changed ones are refused or unchanged, and never panic.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::*;
use super::writer::{Member, Wide, Zip, extra};
use super::{read_bytes, small};

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..300),
        (any::<u8>(), 0..5000usize).prop_map(|(byte, times)| vec![byte; times])
    ]
}

/// Names in distinct directories, so that no two can collide.
fn members() -> impl Strategy<Value = Vec<Member>> {
    let name = "[a-z]{1,4}(\\.[a-z]{1,3}|/[α-ω]{1,3})?";
    btree_map(0..30u8, (name, content(), 0..4u8, any::<bool>()), 0..8).prop_map(|files| {
        let member = |(index, (name, content, form, wide)): (u8, (String, Vec<u8>, u8, bool))| {
            let path = format!("{index}/{name}");
            match form {
                0 => Member::stored(path, &content),
                1 => Member::deflated(path, &content),
                2 => Member::streamed(path, &content, true, wide),
                _ => Member::streamed(path, &content, false, wide),
            }
        };
        files.into_iter().map(member).collect()
    })
}

/// One change of an archive's bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(Index, u8),
    Set(Index, [u8; 4]),
    Remove(Index, usize),
    Insert(Index, Vec<u8>),
    Duplicate(Index, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let number = prop_oneof![
        Just([0; 4]),
        Just([0xff; 4]),
        any::<[u8; 4]>(),
        prop::sample::select(vec![
            *b"PK\x01\x02",
            *b"PK\x03\x04",
            *b"PK\x05\x06",
            *b"PK\x06\x06",
            *b"PK\x06\x07"
        ]),
        (0..5000u32).prop_map(u32::to_le_bytes),
    ];
    prop_oneof![
        (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (any::<Index>(), number).prop_map(|(at, bytes)| Mutation::Set(at, bytes)),
        (any::<Index>(), 1..40usize).prop_map(|(at, length)| Mutation::Remove(at, length)),
        (any::<Index>(), vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        (any::<Index>(), 1..60usize).prop_map(|(at, length)| Mutation::Duplicate(at, length)),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let at = |index: &Index, bytes: &[u8]| index.index(bytes.len().max(1));
    let range = |start: usize, length: usize, bytes: &[u8]| start..(start + length).min(bytes.len());
    match mutation {
        Mutation::Flip(index, bit) => {
            if let Some(byte) = {
                let at = at(index, bytes);
                bytes.get_mut(at)
            } {
                *byte ^= 1 << bit;
            }
        }
        Mutation::Set(index, value) => {
            let range = range(at(index, bytes), 4, bytes);
            let length = range.len();
            bytes[range].copy_from_slice(&value[..length]);
        }
        Mutation::Remove(index, length) => drop(bytes.drain(range(at(index, bytes), *length, bytes))),
        Mutation::Insert(index, value) => {
            let at = at(index, bytes).min(bytes.len());
            bytes.splice(at..at, value.iter().copied());
        }
        Mutation::Duplicate(index, length) => {
            let range = range(at(index, bytes), *length, bytes);
            let copy = bytes[range.clone()].to_vec();
            bytes.splice(range.start..range.start, copy);
        }
    }
}

/// Changes one field of one record, and leaves everything else as it should be.
fn lie(zip: &mut Zip, what: u8, which: &Index, value: u32) {
    let short = (value & 0xffff) as u16;
    let noise = vec![0x50; usize::from(short % 40)];
    match what {
        0 => zip.end.entries = Some(short),
        1 => (zip.end.entries, zip.end.entries_here) = (Some(short), Some(short)),
        2 => zip.end.size = Some(value),
        3 => zip.end.offset = Some(value),
        4 => zip.end.comment_length = Some(short % 60),
        5 => zip.before_directory = noise,
        6 => zip.behind_directory = noise,
        7 => zip.trailing = noise,
        8 => {
            let offset = Some(u64::from(value)).filter(|value| value.is_multiple_of(2));
            zip.wide = Some(Wide { disks: 1, offset, ..Wide::default() });
        }
        _ if zip.members.is_empty() => {}
        _ => {
            let at = which.index(zip.members.len());
            let other = zip.members[value as usize % zip.members.len()].central.name.clone();
            let member = &mut zip.members[at];
            let header = if value.is_multiple_of(2) { &mut member.local } else { &mut member.central };
            match what {
                9 => header.name = other,
                10 => header.flags = short,
                11 => header.method = short % 10,
                12 => header.checksum = value,
                13 => header.packed = value,
                14 => header.size = value,
                15 => header.extra = extra(short % 3, &noise),
                16 => member.both(|header| header.size = value % 10_000),
                17 => member.both(|header| header.packed = value % 10_000),
                18 => member.gap = noise,
                19 => member.descriptor = noise,
                20 => member.comment = noise,
                21 => member.attributes = value,
                22 => member.offset = Some(value % 2000),
                23 => member.is_phantom = true,
                _ => member.data.extend(noise),
            }
        }
    }
}

/// Reads an archive as programs do that get it through a pipe: by its local headers.
fn front_to_back(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let number = |at: usize, bytes: usize| {
        archive[at..at + bytes].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let is_header = |at: usize| matches!(archive.get(at..at + 4), Some(b"PK\x03\x04" | b"PK\x01\x02"));
    let mut files = Vec::new();
    let mut at = 0;
    while archive[at..].starts_with(b"PK\x03\x04") {
        let (flags, method, packed) = (number(at + 6, 2), number(at + 8, 2), number(at + 18, 4));
        let name_end = at + 30 + number(at + 26, 2);
        let name = String::from_utf8(archive[at + 30..name_end].to_vec()).unwrap();
        at = name_end + number(at + 28, 2);
        let content = if method == 8 {
            let mut state = flate2::Decompress::new(false);
            let mut content = Vec::with_capacity(1 << 20);
            state.decompress_vec(&archive[at..], &mut content, flate2::FlushDecompress::Finish).unwrap();
            at += usize::try_from(state.total_in()).unwrap();
            content
        } else {
            let content = archive[at..at + packed].to_vec();
            at += packed;
            content
        };
        if flags & 8 != 0 {
            at += if archive[at..].starts_with(b"PK\x07\x08") { 4 } else { 0 };
            at += if is_header(at + 12) { 12 } else { 20 };
        }
        files.push((name, content));
    }
    files
}

/// If an archive is accepted, it is the same to a reader that never looks at the central directory.
fn same_from_both_ends(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(found) = read_zip(bytes, &small()) else { return Ok(()) };
    let mut found: Vec<_> = found.into_iter().map(|entry| (entry.path, entry.content)).collect();
    let mut streamed = front_to_back(bytes);
    streamed.retain(|(name, _)| !name.ends_with('/'));
    found.sort();
    streamed.sort();
    prop_assert_eq!(found, streamed);
    Ok(())
}

/// Values that are near to what is true of a small archive, and extreme ones.
fn lie_value() -> impl Strategy<Value = u32> {
    prop_oneof![0..600u32, Just(0), Just(0xffff), Just(u32::MAX), any::<u32>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn honest_archives_come_back_as_they_were(
        members in members(),
        reversed: bool,
        comment in "[ -~]{0,20}",
    ) {
        let zip = Zip { is_reversed: reversed, comment: comment.into_bytes(), ..Zip::of(members) };
        let found = read_bytes(&zip.bytes()).unwrap();
        prop_assert_eq!(found.len(), zip.members.len());
        let mut written: Vec<_> = zip.members.iter().map(|member| &member.central).collect();
        if reversed {
            written.reverse();
        }
        for ((path, content), header) in found.iter().zip(written) {
            prop_assert_eq!(path.as_bytes(), &header.name);
            prop_assert_eq!(super::writer::checksum(content), header.checksum);
        }
    }

    /// What is still accepted is the same to a reader that never looks at the central directory.
    #[test]
    fn changed_archives_are_refused_or_read_alike_by_all(
        members in members(),
        changes in vec(mutation(), 1..4),
    ) {
        let mut bytes = Zip::of(members).bytes();
        for change in &changes {
            mutate(&mut bytes, change);
        }
        same_from_both_ends(&bytes)?;
    }

    /// The same for lies that are well-formed, which changed bytes rarely are.
    #[test]
    fn archives_with_lies_are_refused_or_read_alike_by_all(
        members in members(),
        lies in vec((0..26u8, any::<Index>(), lie_value()), 1..4),
    ) {
        let mut zip = Zip::of(members);
        for (what, which, value) in &lies {
            lie(&mut zip, *what, which, *value);
        }
        same_from_both_ends(&zip.bytes())?;
    }

    #[test]
    fn noise_never_panics(bytes in vec(any::<u8>(), 0..400), tail: bool) {
        let mut bytes = bytes;
        if tail {
            bytes.extend(Zip::default().bytes());
        }
        let _ = read_zip(&bytes, &small());
    }
}
