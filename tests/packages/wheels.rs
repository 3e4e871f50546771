//! Wheels as strangers make them, written into a folder for the resolver.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// A wheel to be.
pub(crate) struct Wheel {
    name: String,
    version: String,
    tag: String,
    requires: Vec<String>,
    about: String,
    files: Vec<(String, Vec<u8>)>,
    /// In the archive, but not in `RECORD`.
    unlisted: Vec<(String, Vec<u8>)>,
    record: Box<dyn Fn(String) -> String>,
}

impl Wheel {
    pub(crate) fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            tag: "py3-none-any".to_owned(),
            requires: Vec::new(),
            about: "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n".to_owned(),
            files: Vec::new(),
            unlisted: Vec::new(),
            record: Box::new(|record| record),
        }
    }

    /// A module called as the package.
    pub(crate) fn module(self, code: &str) -> Self {
        let path = format!("{}.py", self.name);
        self.file(&path, code.as_bytes())
    }

    pub(crate) fn file(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.files.push((path.to_owned(), content.as_ref().to_vec()));
        self
    }

    pub(crate) fn unlisted(mut self, path: &str, content: &[u8]) -> Self {
        self.unlisted.push((path.to_owned(), content.to_vec()));
        self
    }

    pub(crate) fn requires(mut self, requirement: &str) -> Self {
        self.requires.push(requirement.to_owned());
        self
    }

    /// Tags in the file name.
    pub(crate) fn tag(mut self, tag: &str) -> Self {
        tag.clone_into(&mut self.tag);
        self
    }

    /// The text of the `WHEEL` file.
    pub(crate) fn about(mut self, text: &str) -> Self {
        text.clone_into(&mut self.about);
        self
    }

    pub(crate) fn record(mut self, change: impl Fn(String) -> String + 'static) -> Self {
        self.record = Box::new(change);
        self
    }

    pub(crate) fn file_name(&self) -> String {
        format!("{}-{}-{}.whl", self.name, self.version, self.tag)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let folder = format!("{}-{}.dist-info", self.name, self.version);
        let requires: String =
            self.requires.iter().map(|requirement| format!("Requires-Dist: {requirement}\n")).collect();
        let metadata =
            format!("Metadata-Version: 2.1\nName: {}\nVersion: {}\n{requires}", self.name, self.version);
        let mut files = self.files.clone();
        files.push((format!("{folder}/METADATA"), metadata.into_bytes()));
        files.push((format!("{folder}/WHEEL"), self.about.clone().into_bytes()));
        let mut record = String::new();
        for (path, content) in &files {
            let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(content));
            record += &format!("{path},sha256={digest},{}\n", content.len());
        }
        record += &format!("{folder}/RECORD,,\n");
        files.extend(self.unlisted.clone());
        files.push((format!("{folder}/RECORD"), (self.record)(record).into_bytes()));

        zip(&files)
    }

    pub(crate) fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join(self.file_name());
        std::fs::write(&path, self.bytes()).expect("a wheel is written");
        path
    }
}

/// A zip file of stored (not compressed) entries; whatever they are called.
fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a small archive").to_le_bytes();
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (path, content) in files {
        let at = length(&bytes);
        let path_length = u16::try_from(path.len()).expect("a short path").to_le_bytes();
        let (size, checksum) = (length(content), crc32(content).to_le_bytes());
        // Version, flags, method, time, date (1980-01-01), then what is the same in both headers.
        let common =
            [&[20, 0, 0, 0, 0, 0, 0, 0, 33, 0], &checksum[..], &size, &size, &path_length, &[0, 0]].concat();
        bytes.extend([b"PK\x03\x04", common.as_slice(), path.as_bytes(), content].concat());
        let tail = [&[0; 10][..], &at].concat();
        directory.extend([b"PK\x01\x02\x14\x00", common.as_slice(), &tail, path.as_bytes()].concat());
    }
    let count = u16::try_from(files.len()).expect("a few entries").to_le_bytes();
    let (at, size) = (length(&bytes), length(&directory));
    bytes.extend(directory);
    bytes.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count, &size, &at, &[0, 0]].concat());
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1)))
    };
    !bytes.iter().fold(!0, step)
}
