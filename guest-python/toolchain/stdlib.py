"""Builds the tree of files that every guest carries: the standard library and the time zones.

usage: stdlib.py LIB SYSCONFIGDATA TZDATA_WHEEL DESTINATION
"""

import pathlib
import sys
import zipfile

from compile import compile_file

LIBRARY = "lib/python3.13"
TIME_ZONES = "usr/share/zoneinfo"

# Python stand-ins for C modules that the guest does not have.
OWN_MODULES = pathlib.Path(__file__).parent / "modules"

# Directories that are left out wherever they are.
EXCLUDED_EVERYWHERE = {"__pycache__", "test", "tests", "idle_test"}

# Left out: needs what the guest cannot have (C extensions, threads, processes, a screen, a
# terminal), or is a tool for developers' machines.
EXCLUDED = {
    "__phello__",
    "_aix_support.py",
    "_android_support.py",
    "_apple_support.py",
    "_ios_support.py",
    "_osx_support.py",
    "_pyrepl",
    "antigravity.py",
    "bz2.py",
    "ctypes",
    "curses",
    "ensurepip",
    "idlelib",
    "lzma.py",
    "nturl2path.py",
    "pty.py",
    "pydoc.py",
    "pydoc_data",
    "site-packages",
    "sqlite3",
    "ssl.py",
    "this.py",
    "tkinter",
    "tty.py",
    "turtle.py",
    "turtledemo",
    "venv",
    "webbrowser.py",
}


def is_excluded(relative: pathlib.PurePath) -> bool:
    """Whether a path below Lib stays out."""
    return relative.parts[0] in EXCLUDED or not EXCLUDED_EVERYWHERE.isdisjoint(relative.parts)


def write(destination: pathlib.Path, contents: bytes) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.write_bytes(contents)


def build_library(lib: pathlib.Path, sysconfigdata: pathlib.Path, destination: pathlib.Path) -> None:
    sources = {source.relative_to(lib): source for source in lib.rglob("*.py")}
    sources = {relative: source for relative, source in sources.items() if not is_excluded(relative)}
    sources[pathlib.Path(sysconfigdata.name)] = sysconfigdata
    sources |= {pathlib.Path(source.name): source for source in OWN_MODULES.glob("*.py")}
    for relative, source in sorted(sources.items()):
        compiled = compile_file(source, f"/{LIBRARY}/{relative.as_posix()}")
        write(destination / LIBRARY / relative.with_suffix(".pyc"), compiled)


def build_time_zones(wheel: pathlib.Path, destination: pathlib.Path) -> None:
    prefix = "tzdata/zoneinfo/"
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.startswith(prefix) and not name.endswith(("/", ".py")):
                write(destination / TIME_ZONES / name.removeprefix(prefix), archive.read(name))


def main() -> None:
    lib, sysconfigdata, wheel, destination = map(pathlib.Path, sys.argv[1:])
    build_library(lib, sysconfigdata, destination)
    build_time_zones(wheel, destination)


if __name__ == "__main__":
    main()
