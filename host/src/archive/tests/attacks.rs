//! Cases 27 and 31 to 33 of the attack catalogue.

use super::super::*;
use super::writer::{
    DEFLATED, EndClaims, HAS_DESCRIPTOR, Header, Member, Wide, Zip, checksum, deflate, extra,
};
use super::{read, read_bytes, small};

fn assert_refused(cases: impl IntoIterator<Item = (Zip, &'static str)>) {
    for (zip, expected) in cases {
        match read(&zip) {
            Ok(files) => panic!("accepted: {files:?}\nexpected: {expected}"),
            Err(error) => assert_eq!(error.to_string(), expected),
        }
    }
}

fn one(change: impl FnOnce(&mut Member)) -> Zip {
    Zip::of([Member::stored("a", b"content").with(change)])
}

fn two(change: impl FnOnce(&mut Zip)) -> Zip {
    Zip::of([Member::stored("a", b"1"), Member::stored("b", b"2")]).with(change)
}

#[test]
fn attack_27_31_names_that_lead_elsewhere_are_refused() {
    let long = "n".repeat(256);
    let path = "d/".repeat(200) + "f";
    let named = |name: &str| Zip::of([Member::stored(name, b"x")]);
    let cases = [
        ("../../etc/passwd", "the name of entry `../../etc/passwd` leads out of its directory by `..`"),
        ("a/../../b", "the name of entry `a/../../b` leads out of its directory by `..`"),
        ("a/..", "the name of entry `a/..` leads out of its directory by `..`"),
        ("./a", "the name of entry `./a` contains a part `.`"),
        ("/etc/passwd", "the name of entry `/etc/passwd` is an absolute path"),
        ("//host/share", "the name of entry `//host/share` is an absolute path"),
        ("a//b", "the name of entry `a//b` contains an empty part"),
        ("C:/a", "the name of entry `C:/a` begins with a drive letter"),
        ("c:a", "the name of entry `c:a` begins with a drive letter"),
        ("a\\..\\b", "the name of entry `a\\\\..\\\\b` contains a backslash"),
        ("a.py\0.txt", "the name of entry `a.py\\0.txt` contains a NUL byte"),
        ("a\nb", "the name of entry `a\\nb` contains a control character"),
        ("a\u{1b}[2J", "the name of entry `a\\u{1b}[2J` contains a control character"),
        ("a\u{202e}yp.exe", "the name of entry `a\\u{202e}yp.exe` contains an invisible character"),
        ("a\u{ff0f}b", "the name of entry `a／b` contains a look-alike of a path separator or of `..`"),
        (
            "\u{ff0e}\u{ff0e}/b",
            "the name of entry `．．/b` contains a look-alike of a path separator or of `..`",
        ),
        ("", "the name of entry `` is empty"),
        ("/", "the name of entry `/` is an absolute path"),
        ("a//", "the name of entry `a//` contains an empty part"),
        (
            &long,
            "the name of entry `nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…` has a part of 256 bytes; 255 are allowed",
        ),
        (
            &path,
            "the name of entry `d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/…` is 401 bytes long; limit archives.path_bytes is 300",
        ),
    ];
    for (name, expected) in cases {
        let mut zip = named(name);
        if name.ends_with('/') {
            zip.members[0] = Member::directory(name);
        }
        assert_refused([(zip, expected)]);
    }
    let unmarked =
        |name: &[u8], flags| Zip::of([Member::stored(name, b"").with(|a| a.both(|h| h.flags = flags))]);
    assert_refused([
        (unmarked("é".as_bytes(), 0), "the name of entry `é` is not ASCII and not marked as UTF-8"),
        (unmarked(b"\xff\xfe", 1 << 11), "the name of entry `\u{fffd}\u{fffd}` is not UTF-8"),
    ]);
}

#[test]
fn attack_31_links_and_devices_are_refused() {
    let mode = |mode: u32| one(|a| a.attributes = mode << 16);
    assert_refused([
        (mode(0o120_777), "entry `a` is a symbolic link; files and directories are allowed"),
        (mode(0o060_600), "entry `a` is a block device; files and directories are allowed"),
        (mode(0o020_600), "entry `a` is a character device; files and directories are allowed"),
        (mode(0o010_600), "entry `a` is a named pipe; files and directories are allowed"),
        (mode(0o140_600), "entry `a` is a socket; files and directories are allowed"),
        (mode(0o160_600), "entry `a` is of an unknown kind; files and directories are allowed"),
        (one(|a| a.attributes = 8), "entry `a` is a volume label; files and directories are allowed"),
        (
            one(|a| a.both(|header| header.extra = extra(0x000d, &[0; 20]))),
            "entry `a` is a link or a device; files and directories are allowed",
        ),
        (
            one(|a| a.local.extra = extra(0x756e, &[0; 24])),
            "entry `a` is a link; files and directories are allowed",
        ),
    ]);
}

#[test]
fn attack_31_a_trailing_slash_is_a_directory_and_nothing_else() {
    assert_refused([
        (
            Zip::of([Member::stored("a/", b"content")]),
            "entry `a/` is a directory by its name, and a file by its mode",
        ),
        (
            Zip::of([Member::stored("a/", b"content").with(|a| a.attributes = 0o040_755 << 16)]),
            "entry `a/` is a directory by its name, and has content",
        ),
        (
            one(|a| a.attributes = 0x10),
            "entry `a` is a directory by its attributes, its name has no trailing slash",
        ),
        (
            one(|a| a.attributes = 0o040_755 << 16),
            "entry `a` is a directory by its mode, its name has no trailing slash",
        ),
    ]);
}

#[test]
fn attack_31_names_that_are_or_look_the_same_are_refused() {
    let named = |names: &[&str]| {
        Zip::of(names.iter().map(|name| match name.ends_with('/') {
            true => Member::directory(name),
            false => Member::stored(name, name.as_bytes()),
        }))
    };
    assert_refused([
        (named(&["a", "a"]), "two entries are named `a`"),
        (named(&["d/", "d/"]), "two entries are named `d`"),
        (
            named(&["a.py", "A.py"]),
            "the names `A.py` and `a.py` differ in case or look-alike characters only",
        ),
        (named(&["d/a", "D/b"]), "the names `D` and `d` differ in case or look-alike characters only"),
        (
            named(&["é", "e\u{301}"]),
            "the names `e\\u{301}` and `é` differ in case or look-alike characters only",
        ),
        (
            named(&["ﬁle.py", "file.py"]),
            "the names `file.py` and `ﬁle.py` differ in case or look-alike characters only",
        ),
        (
            named(&["аdmin.py", "admin.py"]),
            "the names `admin.py` and `аdmin.py` differ in case or look-alike characters only",
        ),
        (named(&["сom", "com"]), "the names `com` and `сom` differ in case or look-alike characters only"),
        (named(&["Ä", "ä"]), "the names `ä` and `Ä` differ in case or look-alike characters only"),
        (named(&["a", "a/b"]), "`a` is a file and a directory"),
        (named(&["a/b", "a"]), "`a` is a file and a directory"),
        (named(&["a/", "a"]), "`a` is a file and a directory"),
    ]);
}

#[test]
fn attack_32_bombs_are_refused_before_they_are_unpacked() {
    let zeros = vec![0; 4 << 20];
    let lie = |size: u32| {
        let mut bomb = Member::deflated("bomb", &zeros);
        bomb.both(|header| (header.size, header.checksum) = (size, 0));
        Zip::of([bomb])
    };
    let half = vec![0; 1 << 20];
    assert_refused([
        (
            Zip::of([Member::deflated("bomb", &zeros)]),
            "entry `bomb`: the ratio of unpacked to packed size is 1029; limit archives.ratio is 100",
        ),
        (lie(5 << 20), "entry `bomb`: the unpacked size is 5242880; limit archives.entry_bytes is 4194304"),
        // The size is a lie: no more than it is unpacked.
        (lie(1000), "entry `bomb` unpacks to more than the 1000 bytes, its declared size"),
        (lie(0), "entry `bomb` unpacks to more than the 0 bytes, its declared size"),
        (
            Zip::of((0..9).map(|index| Member::deflated(format!("{index}"), &half))),
            "the unpacked size of all entries is 9437184; limit archives.total_bytes is 8388608",
        ),
        (
            Zip::of((0..101).map(|index| Member::stored(format!("{index}"), b""))),
            "the number of entries is 101; limit archives.entries is 100",
        ),
    ]);
}

#[test]
fn attack_32_a_claimed_number_of_entries_allocates_nothing() {
    let limits = ArchiveLimits { entries: u64::MAX, ..small() };
    for entries in [3, 1 << 20, u64::MAX] {
        let zip = two(|zip| {
            zip.wide = Some(Wide { disks: 1, entries: Some(entries), ..Wide::default() });
            zip.end.entries = Some(u16::MAX);
            zip.end.entries_here = Some(u16::MAX);
        });
        let expected = ArchiveError::Directory { field: "number of entries", said: entries, found: 2 };
        assert_eq!(read_zip(&zip.bytes(), &limits), Err(expected));
    }
}

#[test]
fn attack_32_an_archive_within_an_archive_is_only_content() {
    let bomb = Zip::of([Member::deflated("bomb", &vec![0; 64 << 20])]).bytes();
    let found = read(&Zip::of([Member::deflated("nested.zip", &bomb)])).unwrap();
    assert_eq!(found, [("nested.zip".to_owned(), bomb)]);
}

#[test]
fn attack_32_entries_that_share_bytes_are_refused() {
    let quoted = two(|zip| {
        // The first entry's data is the whole second entry.
        let second = Zip::of([zip.members[1].clone()]).bytes();
        let length = 30 + 1 + 1;
        zip.members[0] = Member::stored("a", &second[..length]);
        zip.members[0].data.clear();
    });
    assert_refused([
        (quoted, "entry `a` overlaps `b`"),
        (
            two(|zip| {
                zip.members[1].is_phantom = true;
                zip.members[1].offset = Some(0);
            }),
            "entry `a` overlaps `b`",
        ),
        (
            two(|zip| zip.members[1].both(|header| (header.packed, header.size) = (100, 100))),
            "entry `b` overlaps the central directory",
        ),
        (two(|zip| zip.members[1].offset = Some(5000)), "entry `b` overlaps the central directory"),
        (two(|zip| zip.members[1].offset_shift = -1), "entry `a` overlaps `b`"),
    ]);
}

#[test]
fn attack_33_bytes_that_belong_to_nothing_are_refused() {
    let shifted = |bytes: &[u8]| {
        let mut zip = two(|_| ());
        zip.members[0].gap = bytes.to_vec();
        zip
    };
    assert_refused([
        (shifted(b"#!/bin/sh\n"), "10 bytes precede the first entry"),
        (two(|zip| zip.members[1].gap = b"hidden".to_vec()), "6 bytes behind entry `a` belong to no entry"),
        (two(|zip| zip.before_directory = b"hidden".to_vec()), "6 bytes behind entry `b` belong to no entry"),
        (
            two(|zip| zip.behind_directory = b"hidden".to_vec()),
            "the end record says that the central directory's offset is 64; it is 70",
        ),
        (two(|zip| zip.trailing = b"hidden".to_vec()), "6 bytes follow the end of the archive"),
        (Zip::default().with(|zip| zip.before_directory = b"x".to_vec()), "1 bytes precede the first entry"),
        (
            Zip::of([Member::deflated("a", b"content").with(|a| {
                a.data.extend(b"hidden");
                a.both(|header| header.packed += 6);
            })]),
            "entry `a`: 6 bytes follow its compressed data",
        ),
    ]);
}

#[test]
fn attack_33_an_archive_with_two_ends_is_refused() {
    let other = Zip::of([Member::stored("evil", b"other")]).bytes();
    let plain = two(|_| ()).bytes();
    let behind = [&plain[..], &other].concat();
    assert_eq!(
        read_bytes(&behind).unwrap_err().to_string(),
        "the end record says that the central directory's offset is 39; it is 219"
    );

    // The comment of the first end record covers the second archive.
    let commented = two(|zip| zip.comment.clone_from(&other)).bytes();
    let first = plain.len() - 22;
    let second = commented.len() - 22;
    assert_eq!(read_bytes(&commented), Err(ArchiveError::TwoEnds { first, second }));
    assert_eq!(
        read_bytes(&commented).unwrap_err().to_string(),
        "it has two end records, at bytes 158 and 269"
    );

    // A signature in the comment without a record: who searches for the last one finds it.
    let comment = [&b"PK\x05\x06"[..], &[0xff; 30]].concat();
    assert_refused([
        (two(|zip| zip.comment = comment), "it has two end records, at bytes 158 and 180"),
        (two(|zip| zip.comment = b"PK\x03\x04".to_vec()), "the archive's comment contains a ZIP record"),
        (
            two(|zip| zip.comment = b"....PK\x01\x02....".to_vec()),
            "the archive's comment contains a ZIP record",
        ),
        (two(|zip| zip.comment = b"PK\x06\x07".to_vec()), "the archive's comment contains a ZIP record"),
    ]);
}

#[test]
fn attack_33_headers_that_contradict_each_other_are_refused() {
    let local = |change: fn(&mut Header)| one(|a| change(&mut a.local));
    assert_refused([
        (
            local(|h| h.name = b"b".to_vec()),
            "entry `a`: its local header says name `b`, the central directory `a`",
        ),
        (
            local(|h| h.name = b"a/../b".to_vec()),
            "entry `a`: its local header says name `a/../b`, the central directory `a`",
        ),
        (
            local(|h| h.method = DEFLATED),
            "entry `a`: its local header says method 8, the central directory 0",
        ),
        (
            local(|h| h.flags = 2),
            "entry `a`: its local header says flags 0x0002, the central directory 0x0000",
        ),
        (
            local(|h| h.flags = HAS_DESCRIPTOR),
            "entry `a`: its local header says flags 0x0008, the central directory 0x0000",
        ),
        (
            local(|h| h.flags = 1),
            "entry `a`: its local header says flags 0x0001, the central directory 0x0000",
        ),
        (
            local(|h| h.checksum = 5),
            "entry `a`: its local header says checksum 5, the central directory 4274335913",
        ),
        (
            local(|h| h.checksum = 0),
            "entry `a`: its local header says checksum 0, the central directory 4274335913",
        ),
        (local(|h| h.size = 3), "entry `a`: its local header says size 3, the central directory 7"),
        (local(|h| h.packed = 3), "entry `a`: its local header says packed size 3, the central directory 7"),
        (one(|a| a.local.signature = *b"PK\x03\x05"), "there is no local header at byte 0"),
        (one(|a| a.central.signature = *b"PK\x03\x04"), "there is no central directory record at byte 38"),
    ]);
}

#[test]
fn attack_33_content_that_is_not_what_was_declared_is_refused() {
    let both = |member: Member, change: fn(&mut Header)| Zip::of([member.with(|a| a.both(change))]);
    let stored = || Member::stored("a", b"content");
    let deflated = || Member::deflated("a", b"content");
    assert_refused([
        (
            both(stored(), |h| h.checksum = 5),
            "entry `a`: its content has checksum fec530a9, 00000005 is declared",
        ),
        (
            both(deflated(), |h| h.checksum = 5),
            "entry `a`: its content has checksum fec530a9, 00000005 is declared",
        ),
        (both(deflated(), |h| h.size = 6), "entry `a` unpacks to more than the 6 bytes, its declared size"),
        (both(deflated(), |h| h.size = 8), "entry `a` unpacks to fewer than the 8 bytes, its declared size"),
        (both(stored(), |h| h.size = 8), "entry `a` unpacks to fewer than the 8 bytes, its declared size"),
        (
            Zip::of([deflated().with(|a| {
                a.data.truncate(5);
                a.both(|header| header.packed = 5);
            })]),
            "entry `a`: its compressed data is broken",
        ),
        (Zip::of([deflated().with(|a| a.data[0] = 0xff)]), "entry `a`: its compressed data is broken"),
        (
            Zip::of([Member::deflated("a", b"").with(|a| {
                a.data.clear();
                a.both(|header| header.packed = 0);
            })]),
            "entry `a`: its compressed data is broken",
        ),
    ]);
    assert_eq!((checksum(b"content"), deflate(b"content").len()), (0xfec5_30a9, 9));
}

#[test]
fn attack_33_data_descriptors_that_lie_are_refused() {
    let streamed =
        |change: fn(&mut Member)| Zip::of([Member::streamed("a", b"content", true, false).with(change)]);
    assert_refused([
        (
            streamed(|a| a.descriptor[4] ^= 1),
            "entry `a`: its data descriptor contradicts the central directory",
        ),
        (
            streamed(|a| a.descriptor[8] ^= 1),
            "entry `a`: its data descriptor contradicts the central directory",
        ),
        (
            streamed(|a| a.descriptor[12] ^= 1),
            "entry `a`: its data descriptor contradicts the central directory",
        ),
        (
            streamed(|a| a.descriptor[0] ^= 1),
            "entry `a`: its data descriptor does not end where the next record begins",
        ),
        (streamed(|a| a.descriptor.clear()), "entry `a`: its data descriptor is missing"),
        (
            streamed(|a| a.descriptor.push(0)),
            "entry `a`: its data descriptor does not end where the next record begins",
        ),
        (streamed(|a| a.local.size = 5), "entry `a`: its local header says size 5, the central directory 7"),
        (
            streamed(|a| a.local.checksum = 5),
            "entry `a`: its local header says checksum 5, the central directory 4274335913",
        ),
        (
            one(|a| {
                a.both(|header| header.flags = HAS_DESCRIPTOR);
                (a.local.packed, a.local.size) = (0, 0);
            }),
            "entry `a`: its data descriptor belongs to stored content, whose end it cannot mark",
        ),
    ]);
}

#[test]
fn attack_33_zip64_records_that_contradict_are_refused() {
    let wide = |wide: Wide| two(|zip| zip.wide = Some(Wide { disks: 1, ..wide }));
    let numbers = |numbers: &[u64]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let local = |size, packed, field: &[u64]| {
        let field = extra(1, &numbers(field));
        one(|a| (a.local.size, a.local.packed, a.local.extra) = (size, packed, field))
    };
    let central = |size, packed, field: &[u64]| {
        let field = extra(1, &numbers(field));
        one(|a| (a.central.size, a.central.packed, a.central.extra) = (size, packed, field))
    };
    const MAX: u32 = u32::MAX;
    const UNFIT_LOCAL: &str = "entry `a`: its extra field ZIP64 does not fit the local header";
    const UNFIT: &str = "entry `a`: its extra field ZIP64 does not fit the record";
    assert_refused([
        (
            wide(Wide { entries: Some(1), ..Wide::default() }),
            "its ZIP64 records are inconsistent: they contradict the end record",
        ),
        (
            wide(Wide { size: Some(1), ..Wide::default() }),
            "its ZIP64 records are inconsistent: they contradict the end record",
        ),
        (
            wide(Wide { offset: Some(1), ..Wide::default() }),
            "its ZIP64 records are inconsistent: they contradict the end record",
        ),
        (
            wide(Wide { rest_bytes: Some(45), ..Wide::default() }),
            "its ZIP64 records are inconsistent: the end record has extensions",
        ),
        (
            wide(Wide { between: vec![0; 4], ..Wide::default() }),
            "its ZIP64 records are inconsistent: the locator does not point to the record before it",
        ),
        (
            wide(Wide { locator_offset: Some(u64::MAX), ..Wide::default() }),
            "its ZIP64 records are inconsistent: the locator points behind itself",
        ),
        (wide(Wide { locator_offset: Some(0), ..Wide::default() }), "there is no ZIP64 end record at byte 0"),
        (
            two(|zip| zip.wide = Some(Wide { disks: 2, ..Wide::default() })),
            "the archive is split over several disks",
        ),
        (
            two(|zip| {
                zip.end = EndClaims {
                    entries: Some(u16::MAX),
                    entries_here: Some(u16::MAX),
                    ..EndClaims::default()
                }
            }),
            "its ZIP64 records are inconsistent: the end record refers to them, and there are none",
        ),
        (
            two(|zip| zip.end.offset = Some(MAX)),
            "its ZIP64 records are inconsistent: the end record refers to them, and there are none",
        ),
        (local(7, 7, &[7, 7]), UNFIT_LOCAL),
        (local(MAX, 7, &[7]), UNFIT_LOCAL),
        (local(MAX, MAX, &[7]), UNFIT_LOCAL),
        (local(MAX, MAX, &[7, 7, 7]), UNFIT_LOCAL),
        (local(MAX, MAX, &[8, 7]), "entry `a`: its local header says size 8, the central directory 7"),
        (one(|a| a.local.size = MAX), UNFIT_LOCAL),
        (central(7, 7, &[7, 7]), UNFIT),
        (central(MAX, 7, &[]), UNFIT),
        (central(MAX, 7, &[7, 7]), UNFIT),
        (
            central(MAX, MAX, &[u64::MAX, 7]),
            "entry `a`: the unpacked size is 18446744073709551615; limit archives.entry_bytes is 4194304",
        ),
        (
            one(|a| a.central.extra = [extra(1, &[]), extra(1, &[])].concat()),
            "entry `a`: its extra field ZIP64 occurs twice",
        ),
    ]);
    // A locator in the last entry's comment, which readers that do not count bytes would follow.
    let locator = [&b"PK\x06\x07"[..], &[0; 12], &[1, 0, 0, 0]].concat();
    assert_refused([(two(|zip| zip.members[1].comment = locator), "there is no ZIP64 end record at byte 0")]);
}

#[test]
fn attack_33_extra_fields_that_change_an_entry_are_refused() {
    let path = |name: &[u8]| [&[1, 0, 0, 0, 0][..], name].concat();
    assert_refused([
        (
            one(|a| a.central.extra = extra(0x7075, &path(b"b"))),
            "entry `a`: its extra field gives it another name",
        ),
        (
            one(|a| a.local.extra = extra(0x7075, &path(b"b"))),
            "entry `a`: its extra field gives it another name",
        ),
        (one(|a| a.local.extra = extra(0x7075, b"")), "entry `a`: its extra field gives it another name"),
        (
            one(|a| a.local.extra = extra(0x7075, &path(b"a")).repeat(2)),
            "entry `a`: its extra field Unicode Path occurs twice",
        ),
        (one(|a| a.local.extra = vec![1, 2, 3]), "entry `a`: its extra field is cut"),
        (one(|a| a.central.extra = vec![0x55, 0x54, 9, 0, 1]), "entry `a`: its extra field is cut"),
    ]);
}

#[test]
fn attack_33_what_cannot_be_read_is_refused_by_name() {
    let both = |change: fn(&mut Header)| one(|a| a.both(change));
    assert_refused([
        (both(|h| h.flags = 1), "entry `a` is encrypted"),
        (both(|h| h.flags = 1 << 6), "entry `a` is encrypted"),
        (both(|h| h.flags = 1 << 13), "entry `a` is encrypted"),
        (both(|h| h.extra = extra(0x9901, &[0; 7])), "entry `a` is encrypted"),
        (both(|h| h.extra = extra(0x0017, &[0; 7])), "entry `a` is encrypted"),
        (both(|h| h.flags = 1 << 5), "entry `a` uses flags 0x0020, which are not supported"),
        (
            both(|h| h.method = 12),
            "entry `a` uses compression method 12; stored (0) and deflate (8) are supported",
        ),
        (
            both(|h| h.method = 99),
            "entry `a` uses compression method 99; stored (0) and deflate (8) are supported",
        ),
        (one(|a| a.disk = 1), "the archive is split over several disks"),
        (two(|zip| zip.end.disk = 1), "the archive is split over several disks"),
        (two(|zip| zip.end.entries_here = Some(1)), "the archive is split over several disks"),
        (
            two(|zip| (zip.end.entries, zip.end.entries_here) = (Some(1), Some(1))),
            "the end record says that the central directory's size is 94; it is 47",
        ),
        (
            two(|zip| (zip.end.entries, zip.end.entries_here) = (Some(3), Some(3))),
            "the end record says that the central directory's number of entries is 3; it is 2",
        ),
        (
            two(|zip| zip.end.size = Some(47)),
            "the end record says that the central directory's offset is 64; it is 111",
        ),
        (
            two(|zip| zip.end.size = Some(5000)),
            "the end record says that the central directory's size is 5000; it is 158",
        ),
        (
            two(|zip| zip.end.offset = Some(5)),
            "the end record says that the central directory's offset is 5; it is 64",
        ),
        (
            two(|zip| zip.end.comment_length = Some(9)),
            "the archive is cut: end record at byte 158 does not fit",
        ),
    ]);
    for (bytes, expected) in [
        (&b""[..], "it is not a ZIP archive: it has no end record"),
        (b"PK", "it is not a ZIP archive: it has no end record"),
        (b"<html>not found</html>", "it is not a ZIP archive: it has no end record"),
        (b"PK\x05\x06", "the archive is cut: end record at byte 0 does not fit"),
    ] {
        assert_eq!(read_bytes(bytes).unwrap_err().to_string(), expected);
    }
}
