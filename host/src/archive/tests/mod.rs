//! Archives that honest tools write are read; each that an attacker writes is refused, by name.

mod attacks;
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

#[test]
fn compat_what_other_programs_wrote_is_read() {
    let cases = [
        (
            "Python's zipfile",
            concat!(
                "504b03041400000000008318225c00000000000000000000000004000000706b672f504b03041400000008008318225c",
                "2968576c0f000000c80000000f000000706b672f5f5f696e69745f5f2e70790b73f4097555b05530e40a1bd22c00504b",
                "03041400000800008318225c0000000000000000000000000d000000706b672f64c3a474612e747874504b0102140314",
                "00000000008318225c000000000000000000000000040000000000000000000000800100000000706b672f504b010214",
                "031400000008008318225c2968576c0f000000c80000000f0000000000000000000000a48122000000706b672f5f5f69",
                "6e69745f5f2e7079504b010214031400000800008318225c0000000000000000000000000d0000000000000000000000",
                "a4815e000000706b672f64c3a474612e747874504b05060000000003000300aa000000890000000000",
            ),
            vec![("pkg/__init__.py", b"VALUE = 1\n".repeat(20)), ("pkg/däta.txt", Vec::new())],
        ),
        (
            "Python's zipfile, to a pipe, ready for ZIP64",
            concat!(
                "504b03042d00080008008318225c00000000ffffffffffffffff0f001400706b672f5f5f696e69745f5f2e7079010010",
                "00000000000000000000000000000000000b73f4097555b05530e40a1bd22c00504b07082968576c0f00000000000000",
                "c800000000000000504b03041400080008008318225c0000000000000000000000000300000074776f330200504b0708",
                "0dbed51a0300000001000000504b01022d032d00080008008318225c2968576c0f000000c80000000f00000000000000",
                "00000000a48100000000706b672f5f5f696e69745f5f2e7079504b010214031400080008008318225c0dbed51a030000",
                "0001000000030000000000000000000000a4816800000074776f504b050600000000020002006e0000009c0000000000",
            ),
            vec![("pkg/__init__.py", b"VALUE = 1\n".repeat(20)), ("two", b"2".to_vec())],
        ),
        (
            "Info-ZIP",
            concat!(
                "504b03040a0000000000736d755d00000000000000000000000002001c00642f55540900030aa0016b0aa0016b75780b",
                "000104000000000400000000504b03040a0000000000586d755d8316dc8c010000000100000006001c00642f612e7079",
                "5554090003d89f016bd89f016b75780b00010400000000040000000078504b03040a0000000000586d755d0000000000",
                "0000000000000003001c00642f655554090003d89f016bd89f016b75780b000104000000000400000000504b01021e03",
                "0a0000000000736d755d000000000000000000000000020018000000000000001000ed4100000000642f55540500030a",
                "a0016b75780b000104000000000400000000504b01021e030a0000000000586d755d8316dc8c01000000010000000600",
                "18000000000001000000a4813c000000642f612e70795554050003d89f016b75780b000104000000000400000000504b",
                "01021e030a0000000000586d755d000000000000000000000000030018000000000000000000a4817d000000642f6555",
                "54050003d89f016b75780b000104000000000400000000504b05060000000003000300dd000000ba0000000000",
            ),
            vec![("d/a.py", b"x".to_vec()), ("d/e", Vec::new())],
        ),
        (
            "Info-ZIP, to a pipe",
            concat!(
                "504b03040a0000000000736d755d00000000000000000000000002001c00642f55540900030aa0016b0aa0016b75780b",
                "000104000000000400000000504b0304140008000800586d755d00000000000000000100000006001c00642f612e7079",
                "5554090003d89f016bd89f016b75780b000104000000000400000000ab0000504b07088316dc8c030000000100000050",
                "4b03040a0008000000586d755d00000000000000000000000003001c00642f655554090003d89f016bd89f016b75780b",
                "000104000000000400000000504b0708000000000000000000000000504b0304140008000800736d755d000000000000",
                "00002c01000003001c00642f7a55540900030aa0016b0aa0016b75780b00010400000000040000000063601805c40200",
                "504b0708d28f34b5070000002c010000504b01021e030a0000000000736d755d00000000000000000000000002001800",
                "0000000000001000ed4100000000642f55540500030aa0016b75780b000104000000000400000000504b01021e031400",
                "08000800586d755d8316dc8c0300000001000000060018000000000001000000a4813c000000642f612e707955540500",
                "03d89f016b75780b000104000000000400000000504b01021e030a0008000000586d755d000000000000000000000000",
                "030018000000000000000000a4818f000000642f655554050003d89f016b75780b000104000000000400000000504b01",
                "021e03140008000800736d755dd28f34b5070000002c010000030018000000000000000000a481dc000000642f7a5554",
                "0500030aa0016b75780b000104000000000400000000504b0506000000000400040026010000300100000000",
            ),
            vec![("d/a.py", b"x".to_vec()), ("d/e", Vec::new()), ("d/z", vec![0; 300])],
        ),
        (
            "Info-ZIP, to a pipe, stored",
            concat!(
                "504b03040a0000000000736d755d00000000000000000000000002001c00642f55540900030aa0016b0aa0016b75780b",
                "000104000000000400000000504b03040a0008000000586d755d00000000010000000100000006001c00642f612e7079",
                "5554090003d89f016bd89f016b75780b00010400000000040000000078504b07088316dc8c0100000001000000504b03",
                "040a0008000000586d755d00000000000000000000000003001c00642f655554090003d89f016bd89f016b75780b0001",
                "04000000000400000000504b0708000000000000000000000000504b01021e030a0000000000736d755d000000000000",
                "000000000000020018000000000000001000ed4100000000642f55540500030aa0016b75780b00010400000000040000",
                "0000504b01021e030a0008000000586d755d8316dc8c0100000001000000060018000000000000000000a4813c000000",
                "642f612e70795554050003d89f016b75780b000104000000000400000000504b01021e030a0008000000586d755d0000",
                "00000000000000000000030018000000000000000000a4818d000000642f655554050003d89f016b75780b0001040000",
                "00000400000000504b05060000000003000300dd000000da0000000000",
            ),
            vec![("d/a.py", b"x".to_vec()), ("d/e", Vec::new())],
        ),
    ];
    for (program, bytes, expected) in cases {
        let found =
            read_bytes(&hex::decode(bytes).unwrap()).unwrap_or_else(|error| panic!("{program}: {error}"));
        let expected: Vec<_> =
            expected.into_iter().map(|(name, content)| (name.to_owned(), content)).collect();
        assert_eq!(found, expected, "{program}");
    }
}
