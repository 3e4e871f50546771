//! The names of an archive together: no two that are, or look, the same.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use unicode_normalization::UnicodeNormalization as _;
use unicode_security::confusable_detection::skeleton;

use super::error::{ArchiveError, shown};

/// All paths of an archive and the directories on the way to them.
#[derive(Debug, Default)]
pub(super) struct Tree<'a> {
    /// By the path in lower case and compatibility form.
    nodes: HashMap<String, Node<'a>>,
    has_foreign: bool,
}

#[derive(Debug)]
struct Node<'a> {
    path: &'a str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
    /// Follows from a path below it.
    ImpliedDirectory,
}

impl<'a> Tree<'a> {
    /// Adds an entry's path.
    pub(super) fn insert(&mut self, path: &'a str, is_directory: bool) -> Result<(), ArchiveError> {
        for (index, _) in path.match_indices('/') {
            self.add(&path[..index], Kind::ImpliedDirectory)?;
        }
        self.add(path, if is_directory { Kind::Directory } else { Kind::File })
    }

    fn add(&mut self, path: &'a str, kind: Kind) -> Result<(), ArchiveError> {
        self.has_foreign |= !path.is_ascii();
        let node = match self.nodes.entry(folded(path)) {
            Entry::Vacant(vacant) => {
                vacant.insert(Node { path, kind });
                return Ok(());
            }
            Entry::Occupied(occupied) => occupied.into_mut(),
        };
        let name = || shown(path.as_bytes());
        if node.path != path {
            return Err(ArchiveError::LookAlike { entry: name(), other: shown(node.path.as_bytes()) });
        }
        match (node.kind, kind) {
            (Kind::File, Kind::File) | (Kind::Directory, Kind::Directory) => {
                Err(ArchiveError::Duplicate { entry: name() })
            }
            (Kind::File, _) | (_, Kind::File) => Err(ArchiveError::FileAndDirectory { entry: name() }),
            (_, Kind::ImpliedDirectory) => Ok(()),
            (Kind::ImpliedDirectory, Kind::Directory) => {
                node.kind = kind;
                Ok(())
            }
        }
    }

    /// Refuses two names that are drawn alike, such as a Latin and a Cyrillic `a`. Names in ASCII
    /// are not compared with each other: `l` and `1` are told apart by whoever writes code.
    pub(super) fn check_look_alikes(&self) -> Result<(), ArchiveError> {
        if !self.has_foreign {
            return Ok(());
        }
        let mut seen: HashMap<String, &str> = HashMap::with_capacity(self.nodes.len());
        // Foreign names first, so that an ASCII name meets every foreign one that it looks like.
        let (ascii, foreign): (Vec<_>, Vec<_>) =
            self.nodes.iter().partition(|(_, node)| node.path.is_ascii());
        for (key, node) in &foreign {
            if let Some(other) = seen.insert(skeleton(key).collect(), node.path) {
                return Err(look_alike(node.path, other));
            }
        }
        match ascii
            .iter()
            .find_map(|(key, node)| Some((node.path, seen.get(&skeleton(key).collect::<String>())?)))
        {
            Some((path, other)) => Err(look_alike(path, other)),
            None => Ok(()),
        }
    }
}

/// The two in an order that does not depend on the hash map's.
fn look_alike(one: &str, other: &str) -> ArchiveError {
    let (entry, other) = if one < other { (one, other) } else { (other, one) };
    ArchiveError::LookAlike { entry: shown(entry.as_bytes()), other: shown(other.as_bytes()) }
}

fn folded(path: &str) -> String {
    if path.is_ascii() {
        return path.to_ascii_lowercase();
    }
    path.nfkc().collect::<String>().to_lowercase().nfkc().collect()
}
