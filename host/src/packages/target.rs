//! What packages are chosen for: the sandbox's Python, as markers and as tags of wheels.

use serde_json::{Value, json};

/// Version of the sandbox's Python.
pub(super) const PYTHON_VERSION: &str = vivarium_runtime::PYTHON_VERSION;

const IMPLEMENTATION: &str = "cpython";
const OS_NAME: &str = "posix";
const MACHINE: &str = "wasm32";
const PYTHON_IMPLEMENTATION: &str = "CPython";
const RELEASE: &str = "0.0.0";
const SYSTEM: &str = "wasi";
const PLATFORM: &str = "wasi";

/// The first two parts of the version.
pub(super) fn minor_version() -> &'static str {
    PYTHON_VERSION.rsplit_once('.').map_or(PYTHON_VERSION, |(minor, _)| minor)
}

/// A program that answers the resolver's question about an interpreter with the sandbox's values, so
/// that the machine needs no Python, and versions are chosen whose wheels the sandbox can load.
///
/// uv knows no WASI; of the systems that it knows, we name one for which nobody publishes wheels, so
/// that what it finds usable is `none-any`. The answer has the fields of uv 0.10 to 0.13.
pub(super) fn interpreter_script(path: &str) -> String {
    let answer = interpreter(path).to_string();
    format!("#!/bin/sh\nprintf '%s\\n' '{}'\n", answer.replace('\'', r"'\''"))
}

fn interpreter(path: &str) -> Value {
    let system = json!({"name": "haiku", "release": PLATFORM});
    json!({
        "result": "success",
        "markers": {
            "implementation_name": IMPLEMENTATION,
            "implementation_version": PYTHON_VERSION,
            "os_name": OS_NAME,
            "platform_machine": MACHINE,
            "platform_python_implementation": PYTHON_IMPLEMENTATION,
            "platform_release": RELEASE,
            "platform_system": SYSTEM,
            "platform_version": RELEASE,
            "python_full_version": PYTHON_VERSION,
            "python_version": minor_version(),
            "sys_platform": PLATFORM,
        },
        "sys_base_prefix": "/",
        "sys_base_exec_prefix": "/",
        "sys_prefix": "/",
        "sys_base_executable": path,
        "sys_executable": path,
        "sys_path": [],
        "site_packages": [],
        "stdlib": "/lib",
        "extension_suffixes": [],
        "standalone": false,
        "scheme": {"platlib": "/p", "purelib": "/p", "include": "/i", "scripts": "/s", "data": "/d"},
        "virtualenv": {"platlib": "p", "purelib": "p", "include": "i", "scripts": "s", "data": "d"},
        "os": system,
        "arch": MACHINE,
        "cpu_info": {"unsupported_architecture": MACHINE},
        "platform": {"os": system, "arch": MACHINE},
        "manylinux_compatible": false,
        "pointer_size": "32",
        "gil_disabled": false,
        "debug_enabled": false,
    })
}

/// Whether the sandbox's Python can use a wheel with this tag of Python, such as `py3` or `cp313`.
pub(super) fn is_usable_python_tag(tag: &str) -> bool {
    let Some(minor) = minor_version().strip_prefix("3.").and_then(|minor| minor.parse::<u32>().ok()) else {
        return false;
    };
    if tag == "py3" || tag == format!("cp3{minor}") {
        return true;
    }
    tag.strip_prefix("py3").and_then(|digits| digits.parse::<u32>().ok()).is_some_and(|tag| tag <= minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        for (tag, expected) in [
            ("py3", true),
            ("py313", true),
            ("py38", true),
            ("cp313", true),
            ("py314", false),
            ("py2", false),
            ("cp312", false),
            ("pp3", false),
            ("", false),
        ] {
            assert_eq!(is_usable_python_tag(tag), expected, "{tag}");
        }
    }

    #[test]
    fn the_script_answers_with_json_whatever_its_path() {
        let path = "/a 'quoted' \"path\"/python3.13";
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("script");
        std::fs::write(&file, interpreter_script(path)).unwrap();
        let output = std::process::Command::new("/bin/sh").arg(&file).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer, interpreter(path));
        assert_eq!(answer["markers"]["sys_platform"], "wasi");
    }
}
