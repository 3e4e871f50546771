//! Everything that is downloaded, each named by version and SHA-256.

/// One file or package from outside.
#[derive(Debug, Clone, Copy)]
pub struct Pin {
    /// The name under which its index knows it.
    pub name: &'static str,
    /// The exact version.
    pub version: &'static str,
    /// SHA-256 in hexadecimal of the file, one for each platform it is made for.
    pub sha256: &'static [&'static str],
}

/// CPython's source archive.
pub const PYTHON: Pin = Pin {
    name: "Python",
    version: "3.13.5",
    sha256: &["93e583f243454e6e9e4588ca2c2662206ad961659863277afcdb96801647d640"],
};

/// The compiler: zig's wheel, with clang, wasm-ld and wasi-libc inside.
pub const ZIG: Pin = Pin {
    name: "ziglang",
    version: "0.17.0",
    sha256: &[
        // Linux on x86-64, Linux on AArch64, macOS on AArch64, macOS on x86-64.
        "97079827064a7492cce5541ceb438ae8003ce1e54e399676da2d62fb7a5dc08b",
        "d2804f94f54f7fcf8169f4b212a619ad688a4e2e6592e976f0cf2e58e2cd8af3",
        "87274af689c4128051b26c80f6f676757e0a81c2fdc137fd8b5679e928e4bc4f",
        "4d910f0e363ddb60a6b8ddb55235617797a8ccbcb6c5c7132a949d9f833eea42",
    ],
};

/// The time zone database.
pub const TZDATA: Pin = Pin {
    name: "tzdata",
    version: "2026.6",
    sha256: &["0a10eec6e13ef16b627fabed9a5f2ba61a62b1c67f327305f4e7e412a70b4aec"],
};

/// NumPy's source archive.
pub const NUMPY: Pin = Pin {
    name: "numpy",
    version: "2.4.6",
    sha256: &["f3a3570c4a2a16746ac2c31a7c7c7b0c186b95ce902e33db6f28094ed7387dda"],
};

/// What turns NumPy's Cython files into C: the wheel without compiled parts, for every platform.
pub const CYTHON: Pin = Pin {
    name: "cython",
    version: "3.3.1",
    sha256: &["61abc7feedd20dac6c4ff7ab3a30e17136a067b242ab9253e2b4a6d9a72c2b61"],
};

/// What NumPy's build runs under.
pub const NINJA: Pin = Pin {
    name: "ninja",
    version: "1.13.2",
    sha256: &[
        // Linux on x86-64, Linux on AArch64, macOS.
        "65a24341b5ac09fcadcc37082660be40a94174e51a937fabf6e2cae26225fa2c",
        "d775a5e43e9088f507a6250d57fcf5678eb31268c545feb5064ffeee33735622",
        "fd82e26c0706ad4ab88e5fdd26f3fab0a987a90f810160f6c322e752c6af298b",
    ],
};

/// Packages that publish wheels with native code only, of which we take the pure-Python part.
pub const PURE_PARTS: [Pin; 3] = [
    Pin {
        name: "markupsafe",
        version: "3.0.3",
        sha256: &["722695808f4b6457b320fdc131280796bdceb04ab50fe1795cd540799ebe1698"],
    },
    Pin {
        name: "msgpack",
        version: "1.2.4",
        sha256: &["475c44e12f2a5de766a8448783f149c9b33f3f49b88953c6cd739a77d93c732c"],
    },
    Pin {
        name: "pyyaml",
        version: "6.0.3",
        sha256: &["d76623373421df22fb4cf8817020cbb7ef15c725b9d5e45f17e189bfc384190f"],
    },
];

/// What pip reads the metadata of those source distributions with.
pub const SETUPTOOLS: Pin = Pin {
    name: "setuptools",
    version: "84.2.1",
    sha256: &["ca140b45d5325a9478f880e351484f62fef15f336462e449ca0c03c873d589c2"],
};

/// zlib 1.3.2, in the sources of the crate that binds it. Cargo checks the hash: it is the checksum
/// in `Cargo.lock`.
pub const ZLIB: Pin = Pin {
    name: "libz-sys",
    version: "1.1.31",
    sha256: &["ff20308ecabd635a2dc1dd5834a86c462cca20efba1d5d3ddab1f8aea3455cb2"],
};

/// The folder inside NumPy's source archive.
pub const NUMPY_FOLDER: &str = "numpy-2.4.6";

/// The folder inside CPython's source archive.
pub const PYTHON_FOLDER: &str = "Python-3.13.5";

/// File name of CPython's source archive.
pub const PYTHON_ARCHIVE: &str = "Python-3.13.5.tar.xz";

/// Where a Debian mirror keeps the same bytes, relative to the mirror's root.
pub const PYTHON_DEBIAN_PATH: &str = "pool/main/p/python3.13/python3.13_3.13.5.orig.tar.xz";

/// Where the Python project keeps it.
pub const PYTHON_URL: &str = "https://www.python.org/ftp/python/3.13.5/Python-3.13.5.tar.xz";

/// The pip that comes inside CPython's source, so that none needs to be installed.
pub const PIP_WHEEL: &str = "Lib/ensurepip/_bundled/pip-25.1.1-py3-none-any.whl";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_sha256() {
        for pin in [PYTHON, ZIG, TZDATA, NUMPY, CYTHON, NINJA, SETUPTOOLS, ZLIB].iter().chain(&PURE_PARTS) {
            for hash in pin.sha256 {
                assert_eq!(hex::decode(hash).unwrap().len(), 32, "{}", pin.name);
            }
        }
    }

    #[test]
    fn cargo_lock_has_the_pinned_zlib() {
        let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).unwrap();
        let package =
            lock.split("[[package]]").find(|package| package.contains("name = \"libz-sys\"")).unwrap();
        assert!(package.contains(&format!("version = \"{}\"", ZLIB.version)));
        assert!(package.contains(&format!("checksum = \"{}\"", ZLIB.sha256[0])));
    }
}
