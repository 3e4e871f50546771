//! Bytes of snapshots: little-endian numbers, length-prefixed strings, runs of pages.

use std::io::{self, Read};

use crate::globals::Globals;
use crate::memory::{MEMORY_MAX, PAGE, PageRun};

/// A memory and its globals as they are stored: only the pages that matter.
#[derive(Debug)]
pub(crate) struct StoredMemory<'a> {
    /// Size of the memory, in bytes.
    pub(crate) len: usize,
    pub(crate) globals: Globals,
    /// Runs of pages in ascending order, with their content.
    pub(crate) pages: Vec<(PageRun, &'a [u8])>,
}

impl<'a> StoredMemory<'a> {
    /// Appends the encoded form to `out`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let runs: Vec<PageRun> = self.pages.iter().map(|(run, _)| *run).collect();
        put_memory(out, self.len, &self.globals, &runs);
        for (_, content) in &self.pages {
            out.extend_from_slice(content);
        }
    }

    /// Reads what [`StoredMemory::write`] wrote. `None` for anything else.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let len = reader.usize()?;
        let globals = Globals::from_bytes(reader.bytes()?)?;
        let count = reader.usize()?;
        if len > MEMORY_MAX || count > len / PAGE {
            return None;
        }
        let mut runs = Vec::with_capacity(count);
        for _ in 0..count {
            runs.push(PageRun { start: reader.usize()?, len: reader.usize()? });
        }
        let pages = runs.into_iter().map(|run| Some((run, reader.take(run.len)?)));
        let pages = pages.collect::<Option<Vec<_>>>()?;
        Some(Self { len, globals, pages })
    }
}

/// What [`put_memory`] wrote, from a stream: size, globals and runs. `None` for anything else.
pub(crate) fn read_memory(from: &mut impl Read) -> io::Result<Option<(usize, Globals, Vec<PageRun>)>> {
    /// More than any guest has.
    const GLOBALS_BYTES_MAX: usize = 1 << 20;
    let (Some(len), Some(bytes)) = (number(from)?, number(from)?) else { return Ok(None) };
    if len > MEMORY_MAX || bytes > GLOBALS_BYTES_MAX {
        return Ok(None);
    }
    let mut globals = vec![0; bytes];
    from.read_exact(&mut globals)?;
    let Some(globals) = Globals::from_bytes(&globals) else { return Ok(None) };
    let Some(count) = number(from)?.filter(|count| *count <= len / PAGE) else { return Ok(None) };
    let mut runs = Vec::with_capacity(count);
    for _ in 0..count {
        let (Some(start), Some(len)) = (number(from)?, number(from)?) else { return Ok(None) };
        runs.push(PageRun { start, len });
    }
    Ok(Some((len, globals, runs)))
}

fn number(from: &mut impl Read) -> io::Result<Option<usize>> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(usize::try_from(u64::from_le_bytes(bytes)).ok())
}

/// Joins pages that satisfy `keep` into runs.
pub(crate) fn runs_where(memory_len: usize, mut keep: impl FnMut(usize) -> bool) -> Vec<PageRun> {
    let mut runs: Vec<PageRun> = Vec::new();
    for start in (0..memory_len).step_by(PAGE).filter(|start| keep(*start)) {
        match runs.last_mut() {
            Some(last) if last.start + last.len == start => last.len += PAGE,
            _ => runs.push(PageRun { start, len: PAGE }),
        }
    }
    runs
}

/// Appends what [`StoredMemory::read`] reads, up to the content of the pages.
pub(crate) fn put_memory(out: &mut Vec<u8>, len: usize, globals: &Globals, runs: &[PageRun]) {
    put_u64(out, len as u64);
    put_bytes(out, &globals.to_bytes());
    put_u64(out, runs.len() as u64);
    for run in runs {
        put_u64(out, run.start as u64);
        put_u64(out, run.len as u64);
    }
}

pub(crate) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads from the front of a slice.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn usize(&mut self) -> Option<usize> {
        self.u64()?.try_into().ok()
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = self.usize()?;
        self.take(len)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_survives_and_its_prefixes_do_not() {
        let content = vec![7_u8; 3 * PAGE];
        let (first, second) = content.split_at(PAGE);
        let stored = StoredMemory {
            len: 16 * PAGE,
            globals: Globals::default(),
            pages: vec![
                (PageRun { start: PAGE, len: PAGE }, first),
                (PageRun { start: 4 * PAGE, len: 2 * PAGE }, second),
            ],
        };
        let mut bytes = Vec::new();
        stored.write(&mut bytes);
        let mut reader = Reader(&bytes);
        let read = StoredMemory::read(&mut reader).unwrap();
        assert!(reader.is_empty());
        assert_eq!((read.len, &read.globals, &read.pages), (stored.len, &stored.globals, &stored.pages));
        for len in (0..bytes.len()).step_by(13) {
            assert!(StoredMemory::read(&mut Reader(&bytes[..len])).is_none(), "{len}");
        }
        let runs: Vec<PageRun> = stored.pages.iter().map(|(run, _)| *run).collect();
        let mut stream = bytes.as_slice();
        let read = read_memory(&mut stream).unwrap();
        assert_eq!(read, Some((stored.len, stored.globals.clone(), runs)));
        assert!(stream == content, "the pages follow");
        for len in 0..bytes.len() - content.len() {
            assert!(read_memory(&mut &bytes[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn absurd_counts_do_not_allocate() {
        let mut bytes = Vec::new();
        put_u64(&mut bytes, 16 * PAGE as u64);
        put_bytes(&mut bytes, &[]);
        put_u64(&mut bytes, u64::MAX);
        assert!(StoredMemory::read(&mut Reader(&bytes)).is_none());
        assert_eq!(read_memory(&mut bytes.as_slice()).unwrap(), None);
        for absurd in [[u64::MAX, 0], [0, u64::MAX]] {
            let bytes: Vec<u8> = absurd.iter().flat_map(|number| number.to_le_bytes()).collect();
            assert_eq!(read_memory(&mut bytes.as_slice()).unwrap(), None);
        }
    }

    #[test]
    fn pages_are_joined() {
        let kept = runs_where(6 * PAGE, |start| [0, 1, 3].contains(&(start / PAGE)));
        let expected = [PageRun { start: 0, len: 2 * PAGE }, PageRun { start: 3 * PAGE, len: PAGE }];
        assert_eq!(kept, expected);
    }
}
