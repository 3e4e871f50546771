//! What a guest wrote to stdout and stderr.

use std::collections::VecDeque;

use crate::text;

/// Output of a guest, as bytes from a stranger: possibly not UTF-8, possibly with control sequences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Bytes that were dropped, of both streams, because newer ones took their place.
    pub dropped_bytes: u64,
}

/// The two streams while the guest runs; each keeps its newest bytes.
#[derive(Debug, Default)]
pub(crate) struct LogBuffer {
    limit: usize,
    stdout: VecDeque<u8>,
    stderr: VecDeque<u8>,
    dropped: u64,
}

/// One of the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl LogBuffer {
    /// A buffer of at most `limit` bytes for each stream.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit: usize::try_from(limit).unwrap_or(usize::MAX), ..Self::default() }
    }

    /// Appends `bytes`, dropping the oldest where the limit is met.
    pub(crate) fn write(&mut self, stream: Stream, bytes: &[u8]) {
        let buffer = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        let skipped = bytes.len().saturating_sub(self.limit);
        let kept = bytes.get(skipped..).unwrap_or_default();
        let overflow = (buffer.len() + kept.len()).saturating_sub(self.limit);
        buffer.drain(..overflow);
        buffer.extend(kept);
        self.dropped = self.dropped.saturating_add((skipped + overflow) as u64);
    }

    /// Empties the buffer.
    pub(crate) fn take(&mut self) -> Logs {
        Logs {
            stdout: std::mem::take(&mut self.stdout).into(),
            stderr: std::mem::take(&mut self.stderr).into(),
            dropped_bytes: std::mem::take(&mut self.dropped),
        }
    }

    /// The end of stderr, cleaned up for an error message.
    pub(crate) fn stderr_tail(&self) -> String {
        const TAIL_BYTES: usize = 2048;
        let skipped = self.stderr.len().saturating_sub(TAIL_BYTES);
        let tail: Vec<u8> = self.stderr.range(skipped..).copied().collect();
        text::sanitise(&tail, TAIL_BYTES).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bytes_stay_and_the_others_are_counted() {
        let mut buffer = LogBuffer::new(4);
        buffer.write(Stream::Stdout, b"abc");
        buffer.write(Stream::Stdout, b"de");
        buffer.write(Stream::Stderr, b"0123456789");
        let logs = buffer.take();
        assert_eq!((logs.stdout.as_slice(), logs.stderr.as_slice()), (&b"bcde"[..], &b"6789"[..]));
        assert_eq!(logs.dropped_bytes, 1 + 6);
        assert_eq!(buffer.take(), Logs::default());
    }

    #[test]
    fn no_room_drops_everything() {
        let mut buffer = LogBuffer::new(0);
        buffer.write(Stream::Stderr, b"abc");
        assert_eq!(buffer.take().dropped_bytes, 3);
    }
}
