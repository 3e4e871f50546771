//! `RECORD`: the hash and length of every file of a wheel.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::archive::ArchiveEntry;

use super::error::WheelProblem;
use super::store::{Hash, hash};

/// What `RECORD` says of one file.
struct Row {
    sha256: Option<Hash>,
    bytes: Option<u64>,
}

/// Checks that the wheel has what its `RECORD` lists, and nothing else.
pub(super) fn check(files: &[ArchiveEntry], folder: &str) -> Result<(), WheelProblem> {
    let path = format!("{folder}/RECORD");
    let file = files.iter().find(|file| file.path == path);
    let mut rows =
        read(file.map(|file| file.content.as_slice()).ok_or(WheelProblem::Missing { path: path.clone() })?)?;
    // Signatures of RECORD, and itself, cannot have a hash in it.
    let unlisted = [path.clone(), format!("{path}.jws"), format!("{path}.p7s")];
    for file in files {
        let problem = |problem| Err(WheelProblem::File { path: file.path.clone(), problem });
        let row = rows.remove(&file.path);
        if unlisted.contains(&file.path) {
            continue;
        }
        let Some(row) = row else { return problem("is not in RECORD") };
        if row.bytes.is_some_and(|bytes| bytes != file.content.len() as u64) {
            return problem("does not have the length in RECORD");
        }
        match row.sha256 {
            Some(expected) if expected == hash(&file.content) => {}
            Some(_) => return problem("does not have the hash in RECORD"),
            None => return problem("has no SHA-256 in RECORD"),
        }
    }
    match rows.into_keys().find(|path| !unlisted.contains(path)) {
        Some(path) => Err(WheelProblem::File { path, problem: "is in RECORD but not in the wheel" }),
        None => Ok(()),
    }
}

fn read(content: &[u8]) -> Result<BTreeMap<String, Row>, WheelProblem> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(content);
    let mut rows = BTreeMap::new();
    let mut record = csv::StringRecord::new();
    loop {
        let line = usize::try_from(reader.position().line()).unwrap_or(usize::MAX);
        let malformed = || WheelProblem::Record { line };
        if !reader.read_record(&mut record).map_err(|_| malformed())? {
            return Ok(rows);
        }
        let (Some(path), Some(digest), Some(bytes), None) =
            (record.get(0), record.get(1), record.get(2), record.get(3))
        else {
            return Err(malformed());
        };
        let sha256 = match digest.split_once('=') {
            Some(("sha256", text)) => Some(decode(text).ok_or_else(malformed)?),
            Some(_) => None,
            None if digest.is_empty() => None,
            None => return Err(malformed()),
        };
        let bytes = if bytes.is_empty() { None } else { Some(bytes.parse().map_err(|_| malformed())?) };
        if rows.insert(path.to_owned(), Row { sha256, bytes }).is_some() {
            return Err(malformed());
        }
    }
}

fn decode(text: &str) -> Option<Hash> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(path: &str, content: &[u8]) -> String {
        format!("{path},sha256={},{}\n", URL_SAFE_NO_PAD.encode(hash(content)), content.len())
    }

    fn outcome(record: &str) -> Result<(), String> {
        let entry = |path: &str, content: &str| ArchiveEntry {
            path: path.to_owned(),
            content: content.as_bytes().to_vec(),
        };
        let files = [entry("a.py", "a"), entry("b,c.py", "b"), entry("a-1.dist-info/RECORD", record)];
        check(&files, "a-1.dist-info").map_err(|error| error.to_string())
    }

    #[test]
    fn every_file_is_listed_as_it_is() {
        let good = line("a.py", b"a") + &line("\"b,c.py\"", b"b") + "a-1.dist-info/RECORD,,\n";
        assert_eq!(outcome(&good), Ok(()));
        assert_eq!(outcome(&good.replace('\n', "\r\n")), Ok(()));
        assert_eq!(outcome(&good.replace(",1\n", ",\n")), Ok(()), "the length is optional");
    }

    #[test]
    fn attack_records_that_do_not_fit() {
        let good = line("a.py", b"a") + &line("\"b,c.py\"", b"b");
        let cases = [
            (line("a.py", b"a"), "`b,c.py` is not in RECORD"),
            (good.clone() + &line("d.py", b"d"), "`d.py` is in RECORD but not in the wheel"),
            (
                good.replace(&line("a.py", b"a"), &line("a.py", b"x")),
                "`a.py` does not have the hash in RECORD",
            ),
            (good.replacen(",1\n", ",2\n", 1), "`a.py` does not have the length in RECORD"),
            ("a.py,,\n".to_owned() + &line("\"b,c.py\"", b"b"), "`a.py` has no SHA-256 in RECORD"),
            ("a.py,md5=00,1\n".to_owned() + &line("\"b,c.py\"", b"b"), "`a.py` has no SHA-256 in RECORD"),
            (good.clone() + &line("a.py", b"a"), "line 3 of its RECORD cannot be read"),
            ("a.py\n".to_owned(), "line 1 of its RECORD cannot be read"),
            ("a.py,sha256=_,1\n".to_owned(), "line 1 of its RECORD cannot be read"),
            (good.replacen(",1\n", ",x\n", 1), "line 1 of its RECORD cannot be read"),
            (good.replacen(",1\n", ",1,1\n", 1), "line 1 of its RECORD cannot be read"),
        ];
        for (record, expected) in cases {
            assert_eq!(outcome(&record), Err(expected.to_owned()), "{record}");
        }
    }
}
