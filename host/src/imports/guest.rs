//! Where imports lie in the sandbox, and what makes Python find them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ImportedFile;

/// The imports' directory in the sandbox.
pub const IMPORTS_DIRECTORY: &str = "/imports";

/// Where code finds the directory's name in `sys._xoptions`.
pub const DIRECTORY_OPTION: &str = "databend_import_directory";

/// Ends of names that `sys.path` takes as archives, in any case.
const ARCHIVE_ENDS: [&str; 3] = [".zip", ".whl", ".egg"];

/// What a sandbox needs to have a function's imports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestImports {
    /// Absolute path and content.
    pub files: Vec<(String, Arc<[u8]>)>,
    /// In front of the rest of `sys.path`, in this order.
    pub search_path: Vec<String>,
    /// Entries of `sys._xoptions`.
    pub x_options: BTreeMap<String, String>,
}

/// Lays out imports in the sandbox.
///
/// Databend puts the directory in front of `sys.path`, and then each archive in front of that, in
/// whatever order the directory lists them; here it is the order of the imports, so that a later
/// one comes first. The directory's option is there for functions without imports too.
pub fn guest_files(files: &[ImportedFile]) -> GuestImports {
    let path = |name: &str| format!("{IMPORTS_DIRECTORY}/{name}");
    let mut search_path: Vec<String> =
        files.iter().rev().filter(|file| is_archive(&file.name)).map(|file| path(&file.name)).collect();
    if !files.is_empty() {
        search_path.push(IMPORTS_DIRECTORY.to_owned());
    }
    GuestImports {
        files: files.iter().map(|file| (path(&file.name), Arc::clone(&file.content))).collect(),
        search_path,
        x_options: BTreeMap::from([(DIRECTORY_OPTION.to_owned(), IMPORTS_DIRECTORY.to_owned())]),
    }
}

/// Whether a file is an entry of `sys.path` of its own.
pub(super) fn is_archive(name: &str) -> bool {
    let name = name.to_lowercase();
    // A leading dot begins a hidden file's name, not an extension.
    ARCHIVE_ENDS.iter().any(|end| name.ends_with(end) && name.len() > end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compat_the_last_archive_is_found_first() {
        let named = |name: &str| ImportedFile {
            name: name.to_owned(),
            content: Arc::from(name.as_bytes()),
            sha256: [0; 32],
            revalidated: false,
        };
        let files =
            ["helper.py", "lib.zip", "data.csv", "lib.WHL", "old.egg", "more.tar.gz", ".zip"].map(named);
        let found = guest_files(&files);
        assert_eq!(
            found.search_path,
            ["/imports/old.egg", "/imports/lib.WHL", "/imports/lib.zip", "/imports"]
        );
        assert_eq!(found.x_options["databend_import_directory"], "/imports");
        assert_eq!(found.files.len(), 7);
        assert_eq!((&*found.files[0].0, &*found.files[0].1), ("/imports/helper.py", &b"helper.py"[..]));
        let nothing = guest_files(&[]);
        assert_eq!((nothing.files.len(), nothing.search_path.len(), nothing.x_options.len()), (0, 0, 1));
    }
}
