//! Why an archive was refused. Every case of the attack catalogue has a variant of its own.

use super::names::NameProblem;

/// Why an archive was refused. `entry` is the entry's name, escaped and shortened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// A limit was met.
    #[error("{} is {requested}; limit archives.{name} is {limit}", subject(name, entry.as_deref()))]
    Limit {
        /// Field of [`super::ArchiveLimits`].
        name: &'static str,
        /// The entry, when the limit is about one.
        entry: Option<String>,
        /// What is allowed.
        limit: u64,
        /// What the archive has.
        requested: u64,
    },

    /// There is no end record in the last 64 KiB.
    #[error("it is not a ZIP archive: it has no end record")]
    NoEnd,
    /// A record does not fit into what is left of the archive.
    #[error("the archive is cut: {what} at byte {offset} does not fit")]
    Truncated {
        /// The record.
        what: &'static str,
        /// Where it begins.
        offset: usize,
    },
    /// Something else is where a record should be.
    #[error("there is no {what} at byte {offset}")]
    NoRecord {
        /// The record.
        what: &'static str,
        /// Where it should begin.
        offset: usize,
    },
    /// Readers would disagree on where the archive ends.
    #[error("it has two end records, at bytes {first} and {second}")]
    TwoEnds {
        /// Where the one begins.
        first: usize,
        /// Where the other begins.
        second: usize,
    },
    /// The comment contains the beginning of a ZIP record.
    #[error("the archive's comment contains a ZIP record")]
    ArchiveInComment,
    /// Bytes behind the end.
    #[error("{bytes} bytes follow the end of the archive")]
    TrailingData {
        /// How many.
        bytes: usize,
    },
    /// Bytes before the first entry, a self-extractor's for instance.
    #[error("{bytes} bytes precede the first entry")]
    LeadingData {
        /// How many.
        bytes: usize,
    },
    /// It is a part of an archive.
    #[error("the archive is split over several disks")]
    SeveralDisks,
    /// The end record and the central directory contradict each other.
    #[error("the end record says that the central directory's {field} is {said}; it is {found}")]
    Directory {
        /// What they disagree on.
        field: &'static str,
        /// What the end record says.
        said: u64,
        /// What is there.
        found: u64,
    },
    /// The 64-bit records contradict the others.
    #[error("its ZIP64 records are inconsistent: {problem}")]
    Zip64 {
        /// How.
        problem: &'static str,
    },

    /// An entry shares bytes with what follows it.
    #[error("entry {entry} overlaps {other}")]
    Overlap {
        /// The entry.
        entry: String,
        /// What it overlaps: an entry, or the central directory.
        other: String,
    },
    /// Bytes that belong to no entry.
    #[error("{bytes} bytes behind entry {entry} belong to no entry")]
    Gap {
        /// The entry before them.
        entry: String,
        /// How many.
        bytes: usize,
    },
    /// An entry's own header and the central directory contradict each other.
    #[error("entry {entry}: its local header says {field} {local}, the central directory {central}")]
    Mismatch {
        /// The entry, as the central directory names it.
        entry: String,
        /// What they disagree on.
        field: &'static str,
        /// What the local header says.
        local: String,
        /// What the central directory says.
        central: String,
    },
    /// The sizes behind an entry's data are not those of the central directory.
    #[error("entry {entry}: its data descriptor {problem}")]
    Descriptor {
        /// The entry.
        entry: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// An extra field cannot be read, or changes what the entry is.
    #[error("entry {entry}: its extra field {problem}")]
    Extra {
        /// The entry.
        entry: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The content is encrypted.
    #[error("entry {entry} is encrypted")]
    Encrypted {
        /// The entry.
        entry: String,
    },
    /// The entry uses a feature that is not read.
    #[error("entry {entry} uses flags {flags:#06x}, which are not supported")]
    Flags {
        /// The entry.
        entry: String,
        /// All its flags.
        flags: u16,
    },
    /// The content is compressed in another way.
    #[error("entry {entry} uses compression method {method}; stored (0) and deflate (8) are supported")]
    Method {
        /// The entry.
        entry: String,
        /// Number of the method.
        method: u16,
    },
    /// The name cannot be used.
    #[error("the name of entry {entry} {problem}")]
    Name {
        /// The entry.
        entry: String,
        /// Why.
        problem: NameProblem,
    },
    /// The entry is not a file or directory.
    #[error("entry {entry} is {kind}; files and directories are allowed")]
    Kind {
        /// The entry.
        entry: String,
        /// What it is.
        kind: &'static str,
    },
    /// The name and the attributes disagree on whether the entry is a directory, or a directory
    /// has content.
    #[error("entry {entry} is a directory {problem}")]
    NotADirectory {
        /// The entry.
        entry: String,
        /// The contradiction.
        problem: &'static str,
    },
    /// Two entries have the same name.
    #[error("two entries are named {entry}")]
    Duplicate {
        /// Their name.
        entry: String,
    },
    /// Two names differ in case or in look-alike characters only.
    #[error("the names {entry} and {other} differ in case or look-alike characters only")]
    LookAlike {
        /// The one.
        entry: String,
        /// The other.
        other: String,
    },
    /// A file's name is the directory of another entry.
    #[error("{entry} is a file and a directory")]
    FileAndDirectory {
        /// The name.
        entry: String,
    },

    /// The compressed data is broken.
    #[error("entry {entry}: its compressed data is broken")]
    Deflate {
        /// The entry.
        entry: String,
    },
    /// The content has another size than is said.
    #[error("entry {entry} unpacks to {} than the {size} bytes, its declared size", if *more { "more" } else { "fewer" })]
    Size {
        /// The entry.
        entry: String,
        /// The declared size.
        size: u64,
        /// Whether there is more than that.
        more: bool,
    },
    /// Bytes behind the compressed data, within the entry.
    #[error("entry {entry}: {bytes} bytes follow its compressed data")]
    DataTail {
        /// The entry.
        entry: String,
        /// How many.
        bytes: u64,
    },
    /// The content has another checksum than is said.
    #[error("entry {entry}: its content has checksum {found:08x}, {said:08x} is declared")]
    Checksum {
        /// The entry.
        entry: String,
        /// The declared one.
        said: u32,
        /// That of the content.
        found: u32,
    },
}

fn subject(limit: &str, entry: Option<&str>) -> String {
    let what = match limit {
        "entries" => "the number of entries",
        "total_bytes" => "the unpacked size of all entries",
        "entry_bytes" => "the unpacked size",
        "ratio" => "the ratio of unpacked to packed size",
        _ => "it",
    };
    match entry {
        Some(entry) => format!("entry {entry}: {what}"),
        None => what.to_owned(),
    }
}

/// A name as it appears in messages: escaped, and not longer than a line.
pub(super) fn shown(name: &[u8]) -> String {
    const MOST_CHARS: usize = 80;
    let text = String::from_utf8_lossy(name);
    let mut shown: String = text.chars().take(MOST_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST_CHARS).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}
