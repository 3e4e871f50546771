//! Archives that honest tools write are read; each that an attacker writes is refused, by name.

mod attacks;
mod elsewhere;
mod mutations;
mod writer;

use super::*;
use writer::{Member, Wide, Zip, extra};

fn small() -> ArchiveLimits {
    ArchiveLimits { entries: 100, entry_bytes: 4 << 20, total_bytes: 8 << 20, ratio: 100, path_bytes: 300 }
}

fn read(zip: &Zip) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
    read_bytes(&zip.bytes())
}

fn read_bytes(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
    let found = read_zip(bytes, &small());
    assert_eq!(check_zip(bytes, &small()).err(), found.as_ref().err().cloned(), "both say the same");
    Ok(found?.into_iter().map(|entry| (entry.path, entry.content)).collect())
}

#[test]
fn compat_what_honest_tools_write_is_read() {
    let text = b"text ".repeat(100);
    let wide_numbers =
        |numbers: &[u64]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let sizes = wide_numbers(&[500, 500]);
    let cases = [
        ("empty", Zip::default()),
        ("stored and deflated", Zip::of([Member::stored("a.py", &text), Member::deflated("b/c.py", &text)])),
        (
            "directories",
            Zip::of([Member::directory("d/"), Member::stored("d/e.py", b""), Member::directory("d/f/")]),
        ),
        (
            "UTF-8 names",
            Zip::of([Member::stored("données/数据.csv", &text), Member::stored("données/b", &text)]),
        ),
        (
            "an archive comment",
            Zip::of([Member::stored("a", &text)]).with(|zip| zip.comment = b"made by hand".to_vec()),
        ),
        ("an entry comment", Zip::of([Member::stored("a", &text).with(|a| a.comment = b"hello".to_vec())])),
        (
            "a directory in another order",
            Zip::of([Member::stored("a", b"1"), Member::stored("b", b"2")])
                .with(|zip| zip.is_reversed = true),
        ),
        (
            "streamed, in all four forms",
            Zip::of(
                (0..4).map(|form| Member::streamed(format!("{form}"), &text, form & 1 == 0, form & 2 == 0)),
            ),
        ),
        ("an empty streamed file", Zip::of([Member::streamed("e", b"", true, false)])),
        (
            "other extra fields",
            Zip::of([Member::stored("a", &text).with(|a| {
                a.local.extra = extra(0x5455, &[3; 9]);
                a.central.extra = extra(0x5455, &[3; 5]);
            })]),
        ),
        (
            "ZIP64 in the local header, as when the size was not known",
            Zip::of([Member::stored("a", &text).with(|a| {
                (a.local.size, a.local.packed) = (u32::MAX, u32::MAX);
                a.local.extra = extra(1, &sizes);
            })]),
        ),
        (
            "ZIP64 in both",
            Zip::of([Member::stored("a", &text).with(|a| {
                a.both(|header| {
                    (header.size, header.packed) = (u32::MAX, u32::MAX);
                    header.extra = extra(1, &sizes);
                });
            })]),
        ),
        (
            "ZIP64 end records",
            Zip::of([Member::stored("a", &text)])
                .with(|zip| zip.wide = Some(Wide { disks: 1, ..Wide::default() })),
        ),
        (
            "ZIP64 end records that are needed",
            Zip::of([Member::stored("a", &text)]).with(|zip| {
                zip.wide = Some(Wide { disks: 1, ..Wide::default() });
                zip.end.entries = Some(u16::MAX);
                zip.end.entries_here = Some(u16::MAX);
                (zip.end.size, zip.end.offset) = (Some(u32::MAX), Some(u32::MAX));
            }),
        ),
        (
            "an archive within",
            Zip::of([Member::stored("inner.zip", &Zip::of([Member::stored("a", b"1")]).bytes())]),
        ),
        (
            "names that differ",
            Zip::of(["l1", "ll", "a.b", "a_b", "a", "ä"].map(|name| Member::stored(name, b""))),
        ),
    ];
    for (what, zip) in cases {
        let mut expected: Vec<_> = zip.members.iter().map(|member| member.central.name.clone()).collect();
        expected.retain(|name| !name.ends_with(b"/"));
        if zip.is_reversed {
            expected.reverse();
        }
        let found = read(&zip).unwrap_or_else(|error| panic!("{what}: {error}"));
        let names: Vec<_> = found.iter().map(|(name, _)| name.clone().into_bytes()).collect();
        assert_eq!(names, expected, "{what}");
    }
}
