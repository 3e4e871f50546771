//! Files that a function brings along, and how they get into the guest's memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::limits::BuildLimits;

/// Longest path, in bytes. The guest's file system has the same limit.
const PATH_BYTES_MAX: usize = 4096;

/// Longest component of a path, in bytes, likewise.
const NAME_BYTES_MAX: usize = 255;

/// Characters of a path or name that errors show.
const SHOWN_CHARS_MAX: usize = 200;

/// Folders of the guest that are not the function's own.
const TAKEN: [&str; 4] = ["lib", "tmp", "udf", "usr"];

/// Files that a function's code can import and read. They are put into the guest's file system, read-only,
/// when the function's image is built. The default is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FunctionFiles {
    /// The files, in any order.
    pub files: Vec<GuestFile>,
    /// Folders and zip files in which modules are looked for, the first one first: before the standard
    /// library, so that a file of theirs takes the place of a module of the same name that nothing has
    /// imported yet.
    pub search_path: Vec<String>,
    /// What the code sees in `sys._xoptions`.
    pub x_options: BTreeMap<String, String>,
}

/// One file.
#[derive(Clone, PartialEq, Eq)]
pub struct GuestFile {
    /// Absolute path without empty, `.` or `..` components, such as `/packages/humanize/__init__.py`; not
    /// below `/lib`, `/tmp`, `/udf` and `/usr`.
    pub path: String,
    /// What is in it.
    pub content: Arc<[u8]>,
}

impl fmt::Debug for GuestFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuestFile({:?}, {} bytes)", self.path, self.content.len())
    }
}

/// Files that cannot be put into a guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// There are too many.
    #[error("files: the function brings {requested} files, {limit} are allowed")]
    Count {
        /// Files allowed.
        limit: u64,
        /// Files that there are.
        requested: u64,
    },
    /// They are too large.
    #[error("file_bytes: the function's files have {requested} bytes, {limit} are allowed")]
    Bytes {
        /// Bytes allowed.
        limit: u64,
        /// Bytes of contents, paths, search path and options together.
        requested: u64,
    },
    /// A path is not one that the guest's files can have.
    #[error("path {path:?}: {problem}")]
    Path {
        /// The path of the file, or the entry of the search path; its beginning if it is long.
        path: String,
        /// What is wrong with it.
        problem: PathProblem,
    },
    /// Two files have one path, or a file has the path of another one's folder.
    #[error("path {path:?}: there are two files of that path, or a file and a folder")]
    Twice {
        /// The path.
        path: String,
    },
    /// An option cannot be set.
    #[error("option {name:?}: the name must not be empty, and neither name nor value may contain NUL")]
    Option {
        /// The option's name.
        name: String,
    },
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathProblem {
    /// It does not begin with `/`.
    #[error("it must be absolute")]
    Relative,
    /// It is too long.
    #[error("a path has at most {PATH_BYTES_MAX} bytes, each part of it at most {NAME_BYTES_MAX}")]
    Length,
    /// It has a part that is empty, `.` or `..`; a slash at the end makes an empty part.
    #[error("no part of it may be empty, `.` or `..`")]
    Part,
    /// It contains NUL.
    #[error("it must not contain NUL")]
    Nul,
    /// The folder belongs to the interpreter or to the function's code.
    #[error("/lib, /tmp, /udf and /usr are not for a function's files")]
    Taken,
}

impl FunctionFiles {
    /// Whether there is nothing to put into a guest.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.search_path.is_empty() && self.x_options.is_empty()
    }

    /// Checks everything that can be wrong.
    pub(crate) fn check(&self, limits: &BuildLimits) -> Result<(), FilesError> {
        let requested = self.files.len() as u64;
        if requested > limits.files {
            return Err(FilesError::Count { limit: limits.files, requested });
        }
        let requested = self.bytes();
        if requested > limits.file_bytes {
            return Err(FilesError::Bytes { limit: limits.file_bytes, requested });
        }
        for path in self.files.iter().map(|file| &file.path).chain(&self.search_path) {
            check_path(path).map_err(|problem| FilesError::Path { path: beginning(path), problem })?;
        }
        self.check_tree()?;
        for (name, value) in &self.x_options {
            if name.is_empty() || name.contains('\0') || value.contains('\0') {
                return Err(FilesError::Option { name: beginning(name) });
            }
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let files = self.files.iter().map(|file| file.path.len() + file.content.len());
        let options = self.x_options.iter().map(|(name, value)| name.len() + value.len());
        let all = files.chain(self.search_path.iter().map(String::len)).chain(options);
        all.fold(0, |sum, bytes| sum.saturating_add(bytes as u64))
    }

    /// No path may be there twice, nor be both a file and a folder.
    fn check_tree(&self) -> Result<(), FilesError> {
        let mut is_file = HashMap::new();
        for file in &self.files {
            let mut path = file.path.as_str();
            let mut file_here = true;
            // The file itself, then the folders above it, up to one that is known already.
            while !path.is_empty() {
                match is_file.insert(path, file_here) {
                    Some(false) if !file_here => break,
                    Some(_) => return Err(FilesError::Twice { path: path.to_owned() }),
                    None => {}
                }
                file_here = false;
                path = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            }
        }
        Ok(())
    }

    /// Size of the archive that [`FunctionFiles::write_archive`] writes, in bytes.
    pub(crate) fn archive_bytes(&self) -> u64 {
        Layout::of(&self.files).end
    }

    /// Writes the files in the form that the guest mounts (`filesystem/archive.h`): one copy of each, in
    /// the guest's own memory. `archive` has [`FunctionFiles::archive_bytes`] bytes.
    pub(crate) fn write_archive(&self, archive: &mut [u8]) {
        let layout = Layout::of(&self.files);
        let mut put = |at: u64, bytes: &[u8]| {
            let dest = usize::try_from(at).ok().and_then(|at| archive.get_mut(at..)?.get_mut(..bytes.len()));
            if let Some(dest) = dest {
                dest.copy_from_slice(bytes);
            }
        };
        put(0, &ARCHIVE_MAGIC);
        put(8, &number(self.files.len() as u64));
        let (mut record, mut path_at, mut content_at) = (HEADER_BYTES, layout.paths, layout.contents);
        for file in &self.files {
            let (path_len, content_len) = (file.path.len() as u64, file.content.len() as u64);
            for field in [path_at, path_len, content_at, content_len] {
                put(record, &number(field));
                record += 4;
            }
            put(path_at, file.path.as_bytes());
            put(content_at, &file.content);
            path_at += path_len;
            content_at += content_len.next_multiple_of(CONTENT_ALIGNMENT);
        }
    }
}

const ARCHIVE_MAGIC: [u8; 8] = *b"VIVFS001";
const HEADER_BYTES: u64 = 12;
const RECORD_BYTES: u64 = 16;
const CONTENT_ALIGNMENT: u64 = 16;

/// Where the parts of an archive are.
struct Layout {
    paths: u64,
    contents: u64,
    end: u64,
}

impl Layout {
    fn of(files: &[GuestFile]) -> Self {
        let paths = HEADER_BYTES + RECORD_BYTES * files.len() as u64;
        let contents = paths + files.iter().map(|file| file.path.len() as u64).sum::<u64>();
        let contents = contents.next_multiple_of(CONTENT_ALIGNMENT);
        let padded = |file: &GuestFile| (file.content.len() as u64).next_multiple_of(CONTENT_ALIGNMENT);
        Self { paths, contents, end: contents + files.iter().map(padded).sum::<u64>() }
    }
}

/// A number of an archive. All are smaller than the archive, which has fewer than 2^32 bytes.
fn number(value: u64) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes()
}

/// As much of a text as belongs into an error.
fn beginning(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

fn check_path(path: &str) -> Result<(), PathProblem> {
    if path.len() > PATH_BYTES_MAX {
        return Err(PathProblem::Length);
    }
    let parts = path.strip_prefix('/').ok_or(PathProblem::Relative)?;
    for part in parts.split('/') {
        match part {
            "" | "." | ".." => return Err(PathProblem::Part),
            part if part.contains('\0') => return Err(PathProblem::Nul),
            part if part.len() > NAME_BYTES_MAX => return Err(PathProblem::Length),
            _ => {}
        }
    }
    let first = parts.split('/').next().unwrap_or_default();
    if TAKEN.contains(&first) { Err(PathProblem::Taken) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &[u8]) -> GuestFile {
        GuestFile { path: path.into(), content: content.into() }
    }

    fn files(paths: &[&str]) -> FunctionFiles {
        FunctionFiles { files: paths.iter().map(|path| file(path, b"x")).collect(), ..Default::default() }
    }

    #[test]
    fn attack_paths_are_refused_with_a_reason() {
        let long = format!("/{}", "n".repeat(10_000));
        let long_part = format!("/a/{}", "n".repeat(256));
        for (path, problem) in [
            ("", PathProblem::Relative),
            ("a.py", PathProblem::Relative),
            ("../etc/passwd", PathProblem::Relative),
            ("C:\\windows", PathProblem::Relative),
            ("/", PathProblem::Part),
            ("/packages/", PathProblem::Part),
            ("//packages/a", PathProblem::Part),
            ("/packages//a", PathProblem::Part),
            ("/packages/./a", PathProblem::Part),
            ("/packages/../lib/python3.13/os.py", PathProblem::Part),
            ("/..", PathProblem::Part),
            ("/packages/a\0.py", PathProblem::Nul),
            (long.as_str(), PathProblem::Length),
            (long_part.as_str(), PathProblem::Length),
            ("/lib/python3.13/evil.py", PathProblem::Taken),
            ("/lib", PathProblem::Taken),
            ("/udf/f.py", PathProblem::Taken),
            ("/tmp/a", PathProblem::Taken),
            ("/usr/share/zoneinfo/UTC", PathProblem::Taken),
        ] {
            let refused = FilesError::Path { path: path.chars().take(200).collect(), problem };
            let as_entry = FunctionFiles { search_path: vec![path.into()], ..Default::default() };
            assert_eq!(files(&[path]).check(&BuildLimits::default()), Err(refused.clone()), "{path:.50}");
            assert_eq!(as_entry.check(&BuildLimits::default()), Err(refused), "{path:.50}");
        }
        // Names that only look like others are names.
        let odd = ["/packages/．．/a", "/packages/a∕b", "/packages/lib", "/libs/a", "/packages/..."];
        assert_eq!(files(&odd).check(&BuildLimits::default()), Ok(()));
    }

    #[test]
    fn a_path_is_there_once() {
        for (paths, twice) in [
            (["/a/b", "/a/b"], "/a/b"),
            (["/a/b", "/a/b/c"], "/a/b"),
            (["/a/b/c/d", "/a/b"], "/a/b"),
            (["/a", "/a/b/c"], "/a"),
        ] {
            let refused = FilesError::Twice { path: twice.into() };
            assert_eq!(files(&paths).check(&BuildLimits::default()), Err(refused), "{paths:?}");
        }
        assert_eq!(files(&["/a/b", "/a/c", "/a/d/e", "/a/d/f"]).check(&BuildLimits::default()), Ok(()));
    }

    #[test]
    fn limits_name_themselves() {
        let limits = BuildLimits { files: 2, file_bytes: 10, ..Default::default() };
        let many = files(&["/a", "/b", "/c"]);
        assert_eq!(many.check(&limits), Err(FilesError::Count { limit: 2, requested: 3 }));
        let large = FunctionFiles { files: vec![file("/a", b"123456789")], ..Default::default() };
        assert_eq!(large.check(&limits), Err(FilesError::Bytes { limit: 10, requested: 11 }));
        assert_eq!(
            large.check(&limits).map_err(|error| error.to_string()),
            Err("file_bytes: the function's files have 11 bytes, 10 are allowed".to_owned())
        );
        let options = BTreeMap::from([("key".to_owned(), "a longer value".to_owned())]);
        let options = FunctionFiles { x_options: options, ..Default::default() };
        assert_eq!(options.check(&limits), Err(FilesError::Bytes { limit: 10, requested: 17 }));
        let options = BTreeMap::from([("k\0".to_owned(), String::new())]);
        let options = FunctionFiles { x_options: options, ..Default::default() };
        assert_eq!(options.check(&limits), Err(FilesError::Option { name: "k\0".into() }));
    }

    #[test]
    fn the_archive_is_the_one_that_the_guest_mounts() {
        let some = FunctionFiles { files: vec![file("/a/b", b"xyz"), file("/c", b"")], ..Default::default() };
        let mut archive = vec![0; usize::try_from(some.archive_bytes()).unwrap()];
        some.write_archive(&mut archive);
        let expected = [
            &b"VIVFS001\x02\0\0\0"[..],
            &[44, 0, 0, 0, 4, 0, 0, 0, 64, 0, 0, 0, 3, 0, 0, 0],
            &[48, 0, 0, 0, 2, 0, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0],
            b"/a/b/c",
            &[0; 14],
            b"xyz",
            &[0; 13],
        ];
        assert_eq!(archive, expected.concat());
    }

    #[test]
    fn debug_output_shows_no_content() {
        assert_eq!(format!("{:?}", file("/a", b"secret")), r#"GuestFile("/a", 6 bytes)"#);
    }
}
