//! CPython's source: from a folder of the operator, from the machine's Debian mirror, or from the
//! Python project.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use vivarium_guest_recipe::pins;

use super::context::Context;
use super::{command, download, unpack};

/// Names a folder with `Python-3.13.5.tar.xz`, for machines that download nothing themselves.
const SOURCES_VARIABLE: &str = "VIVARIUM_SOURCES";

/// apt's own downloader, which follows the machine's apt configuration.
const APT_HELPER: &str = "/usr/lib/apt/apt-helper";

/// Fetches a URL and follows the machine's proxy settings: python3 is a requirement anyway.
const FETCH_SCRIPT: &str = "import sys, shutil, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=60) as response, open(sys.argv[2], 'wb') as file:
    shutil.copyfileobj(response, file)";

/// The unpacked source.
pub(crate) fn python(context: &Context) -> anyhow::Result<PathBuf> {
    let name = format!("source-{}-{}", pins::PYTHON.version, &pins::PYTHON.sha256[0][..16]);
    let destination = context.cache.folder().join(name);
    context.stage(&destination, "fetching CPython's source", |work| {
        let archive = work.scratch.join(pins::PYTHON_ARCHIVE);
        fetch(context, &archive)?;
        unpack::tar(&archive, &work.result, &context.logs().join("unpack.log"))
    })?;
    Ok(destination.join(pins::PYTHON_FOLDER))
}

/// Tries one source after the other until the file with the pinned hash is there.
fn fetch(context: &Context, archive: &Path) -> anyhow::Result<()> {
    let log = context.logs().join("download.log");
    let mut tried = Vec::new();
    match std::env::var_os(SOURCES_VARIABLE) {
        None => tried.push(format!("{SOURCES_VARIABLE} is not set")),
        Some(folder) => {
            let file = Path::new(&folder).join(pins::PYTHON_ARCHIVE);
            let copied =
                fs::copy(&file, archive).map(drop).with_context(|| format!("cannot read {}", file.display()));
            if accept(copied, archive, &file.display().to_string(), &mut tried)? {
                return Ok(());
            }
        }
    }
    if context.offline {
        tried.push("--offline was given, so nothing was downloaded".to_owned());
    } else {
        for mirror in debian_mirrors() {
            let url = format!("{}/{}", mirror.trim_end_matches('/'), pins::PYTHON_DEBIAN_PATH);
            let mut apt = Command::new(APT_HELPER);
            apt.arg("download-file").arg(&url).arg(archive).arg(format!("SHA256:{}", pins::PYTHON.sha256[0]));
            if accept(command::run(&mut apt, &log), archive, &url, &mut tried)? {
                return Ok(());
            }
        }
        let mut python = Command::new("python3");
        python.args(["-c", FETCH_SCRIPT, pins::PYTHON_URL]).arg(archive);
        if accept(command::run(&mut python, &log), archive, pins::PYTHON_URL, &mut tried)? {
            return Ok(());
        }
    }
    bail!(
        "cannot get {}. Put it into a folder and set {SOURCES_VARIABLE} to that folder; its SHA-256 is {}.\n\
         Tried:\n  {}",
        pins::PYTHON_ARCHIVE,
        pins::PYTHON.sha256[0],
        tried.join("\n  ")
    )
}

/// Whether the download worked and has the pinned hash; notes it in `tried` if not.
fn accept(
    result: anyhow::Result<()>,
    archive: &Path,
    origin: &str,
    tried: &mut Vec<String>,
) -> anyhow::Result<bool> {
    match result {
        Err(error) => tried.push(format!("{origin}: {}", format!("{error:#}").replace('\n', "\n    "))),
        Ok(()) if download::is_pinned(archive, &pins::PYTHON)? => return Ok(true),
        Ok(()) => tried.push(format!("{origin}: not the pinned SHA-256")),
    }
    match fs::remove_file(archive) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(false),
    }
}

/// The mirrors that the machine's apt is configured for. Empty where there is no apt.
fn debian_mirrors() -> BTreeSet<String> {
    if !Path::new(APT_HELPER).exists() {
        return BTreeSet::new();
    }
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).flat_map(|text| mirrors_in(&text)).collect()
}

/// The mirrors of Debian itself in a file of apt sources, of the one-line or the deb822 format: the
/// others (security updates, other vendors) do not have `pool/main` of a release.
fn mirrors_in(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter_map(|line| line.strip_prefix("URIs:").or_else(|| line.strip_prefix("deb ")))
        .flat_map(str::split_whitespace)
        .filter(|word| word.starts_with("http://") || word.starts_with("https://"))
        .filter(|uri| uri.trim_end_matches('/').ends_with("/debian"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_mirrors_in_both_formats() {
        let one_line = "# deb http://commented.example/debian stable main\n\
                        deb [signed-by=/k.gpg] https://mirror.example/debian/ stable main\n\
                        deb-src http://sources.example/debian stable main\n";
        assert_eq!(mirrors_in(one_line), ["https://mirror.example/debian/"]);
        let deb822 = "Types: deb\nURIs: http://a.example/debian http://b.example/debian\nSuites: stable\n\n\
                      Types: deb\nURIs: http://a.example/debian-security\n";
        assert_eq!(mirrors_in(deb822), ["http://a.example/debian", "http://b.example/debian"]);
    }

    #[test]
    fn the_bundled_pip_is_named_as_in_the_source() {
        assert!(pins::PIP_WHEEL.starts_with("Lib/ensurepip/_bundled/pip-"));
        assert!(pins::PYTHON_FOLDER.ends_with(pins::PYTHON.version));
    }
}
