//! What is inside a wheel, checked and laid out as an installer would.
//!
//! Only what a pure-Python wheel may have gets through: files that `RECORD` vouches for, no machine
//! code, no module in the place of one of the sandbox's own. `.pth` files, which an interpreter would
//! execute at its start, scripts, headers and data outside the packages are left out.

use std::collections::BTreeMap;
use std::str::FromStr as _;
use std::sync::{Arc, LazyLock};

use pep440_rs::Version;

use crate::archive::{ArchiveEntry, ArchiveLimits, read_zip};

use super::error::WheelProblem;
use super::name::normalise;
use super::provided::OWN_MODULES;
use super::record;
use super::target::is_usable_python_tag;

/// Files below the folder of packages, by path.
pub(super) type Files = Vec<(String, Arc<[u8]>)>;

/// What a wheel is said to contain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity<'a> {
    pub(super) name: &'a str,
    pub(super) version: &'a str,
}

/// Top-level modules of the standard library, one on each line: `sys.stdlib_module_names`.
const STANDARD_LIBRARY: &str = include_str!("../../packages/stdlib-3.13.txt");

static TAKEN: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let mut taken: Vec<&str> = STANDARD_LIBRARY.lines().chain(OWN_MODULES).collect();
    taken.sort_unstable();
    taken
});

/// File name extensions of machine code, in lower case.
const NATIVE: [&str; 5] = ["pyd", "dll", "dylib", "a", "o"];

/// The files of a wheel that functions can import and read.
pub(super) fn unpack(
    bytes: &[u8],
    identity: &Identity<'_>,
    limits: &ArchiveLimits,
) -> Result<Files, WheelProblem> {
    let entries = read_zip(bytes, limits)?;
    let folder = metadata_folder(&entries, identity)?;
    let stem = folder.trim_end_matches(".dist-info");
    check_tags(text_of(&entries, &format!("{folder}/WHEEL"))?)?;
    // Everybody can read it, so it must be there.
    text_of(&entries, &format!("{folder}/METADATA"))?;
    record::check(&entries, &folder)?;

    let data = format!("{stem}.data/");
    let mut files = BTreeMap::new();
    for entry in entries {
        if is_native(&entry.path) {
            return Err(WheelProblem::NativeCode { path: entry.path });
        }
        let path = match entry.path.strip_prefix(&data) {
            None => entry.path.as_str(),
            Some(inside) => match inside.split_once('/') {
                Some(("purelib" | "platlib", path)) => path,
                _ => continue,
            },
        };
        if is_left_out(path) {
            continue;
        }
        if let Some(module) = shadowed(path) {
            return Err(WheelProblem::Shadows { path: entry.path.clone(), module: module.to_owned() });
        }
        if files.insert(path.to_owned(), Arc::from(entry.content)).is_some() {
            return Err(WheelProblem::Twice { path: path.to_owned() });
        }
    }
    Ok(files.into_iter().collect())
}

/// The one `.dist-info` folder, whose name says what the wheel is.
fn metadata_folder(entries: &[ArchiveEntry], identity: &Identity<'_>) -> Result<String, WheelProblem> {
    let tops = entries.iter().filter_map(|entry| entry.path.split_once('/')).map(|(top, _)| top);
    let mut found: Vec<&str> = tops.filter(|top| top.ends_with(".dist-info")).collect();
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [folder] if is_named(folder, identity) => Ok((*folder).to_owned()),
        _ => Err(WheelProblem::Metadata {
            expected: format!("{}-{}.dist-info", identity.name.replace('-', "_"), identity.version),
            found: if found.is_empty() { "none".to_owned() } else { found.join(", ") },
        }),
    }
}

fn is_named(folder: &str, identity: &Identity<'_>) -> bool {
    let Some((name, version)) = folder.strip_suffix(".dist-info").and_then(|stem| stem.rsplit_once('-'))
    else {
        return false;
    };
    let same_name = normalise(name).is_some_and(|name| name == identity.name);
    let same_version = match (Version::from_str(version), Version::from_str(identity.version)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    };
    same_name && same_version
}

fn text_of<'a>(entries: &'a [ArchiveEntry], path: &str) -> Result<&'a str, WheelProblem> {
    let entry = entries.iter().find(|entry| entry.path == path);
    let text = entry.and_then(|entry| std::str::from_utf8(&entry.content).ok());
    text.ok_or_else(|| WheelProblem::Missing { path: path.to_owned() })
}

fn check_tags(text: &str) -> Result<(), WheelProblem> {
    let mut usable = false;
    let mut seen = None;
    for line in text.lines() {
        let Some((field, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        let refuse = || Err(WheelProblem::Tag { field: field.to_owned(), value: value.to_owned() });
        match field {
            "Wheel-Version" if !value.starts_with("1.") => return refuse(),
            "Root-Is-Purelib" if !value.eq_ignore_ascii_case("true") => return refuse(),
            "Tag" => {
                let Some(python) = value.strip_suffix("-none-any") else { return refuse() };
                usable |= python.split('.').any(is_usable_python_tag);
                seen = Some(value);
            }
            _ => {}
        }
    }
    if usable {
        return Ok(());
    }
    Err(WheelProblem::Tag { field: "Tag".to_owned(), value: seen.unwrap_or("(none)").to_owned() })
}

fn is_native(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    // Also `libx.so.6`.
    name.split('.').skip(1).any(|part| part == "so")
        || name.rsplit_once('.').is_some_and(|(_, extension)| NATIVE.contains(&extension))
}

fn is_left_out(path: &str) -> bool {
    let is_start_file = !path.contains('/') && path.ends_with(".pth");
    is_start_file || path.split('/').any(|part| part == "__pycache__")
}

/// The module of the sandbox that a file would hide.
fn shadowed(path: &str) -> Option<&'static str> {
    let module = match path.split_once('/') {
        Some((folder, _)) => folder,
        // Modules end at the first dot: `x.py`, `x.pyc`, `x.cpython-313.pyc`.
        None if path.ends_with(".py") || path.ends_with(".pyc") => path.split('.').next()?,
        None => return None,
    };
    let at = TAKEN.binary_search(&module).ok()?;
    TAKEN.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn native_code_by_name() {
        for (path, expected) in [
            ("a/_speedups.cpython-313-x86_64-linux-gnu.so", true),
            ("a/_speedups.SO", true),
            ("a.libs/libx.so.6", true),
            ("a/x.pyd", true),
            ("a/x.dylib", true),
            ("a/x.py", false),
            ("a/so.py", false),
            ("a/so", false),
            ("a.so/x.py", false),
        ] {
            assert_eq!(is_native(path), expected, "{path}");
        }
    }

    #[test]
    fn own_modules_cannot_be_hidden() {
        for (path, expected) in [
            ("json.py", Some("json")),
            ("json/__init__.py", Some("json")),
            ("json.cpython-313.pyc", Some("json")),
            ("numpy/__init__.py", Some("numpy")),
            ("vivarium/x.py", Some("vivarium")),
            ("_socket.py", Some("_socket")),
            ("jsonx.py", None),
            ("a/json.py", None),
            ("json.txt", None),
            ("tests/test_a.py", None),
        ] {
            assert_eq!(shadowed(path), expected, "{path}");
        }
    }

    #[test]
    fn tags() {
        let wheel = |rest: &str| {
            check_tags(&format!("Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\n{rest}"))
                .map_err(|error| error.to_string())
        };
        assert_eq!(wheel("Tag: py2-none-any\nTag: py3-none-any\n"), Ok(()));
        assert_eq!(wheel("Tag: py2.py3-none-any\n"), Ok(()));
        for (rest, expected) in [
            ("", "Tag: (none)"),
            ("Tag: py2-none-any\n", "Tag: py2-none-any"),
            ("Tag: cp313-cp313-linux_x86_64\n", "Tag: cp313-cp313-linux_x86_64"),
            ("Tag: py3-none-any\nTag: py3-none-emscripten_wasm32", "Tag: py3-none-emscripten_wasm32"),
            ("Tag: py3-none-any\nRoot-Is-Purelib: false\n", "Root-Is-Purelib: false"),
            ("Tag: py3-none-any\nWheel-Version: 2.0\n", "Wheel-Version: 2.0"),
        ] {
            let message = format!("its WHEEL file says `{expected}`, which the sandbox cannot use");
            assert_eq!(wheel(rest), Err(message), "{rest}");
        }
    }
}
