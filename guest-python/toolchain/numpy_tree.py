"""Compiles NumPy's Python files for the guest.

usage: numpy_tree.py SOURCE BUILD DESTINATION
"""

import pathlib
import sys

from compile import compile_file

PACKAGES = "lib/site-packages"

# Left out wherever they are: tests, and files for the build and for other tools.
EXCLUDED_EVERYWHERE = {"__pycache__", "_examples", "_pyinstaller", "code_generators", "conftest.py", "src", "tests"}

# Left out: needs a compiler or is one (`ctypeslib` is small, and says itself what it lacks).
EXCLUDED = {"_build_utils", "distutils", "f2py", "lapack_lite"}

# Made by the build.
GENERATED = ["numpy/__config__.py"]


def is_excluded(relative: pathlib.PurePath) -> bool:
    """Whether a path below the source's folder stays out."""
    return not EXCLUDED.isdisjoint(relative.parts[1:]) or not EXCLUDED_EVERYWHERE.isdisjoint(relative.parts)


def main() -> None:
    source, build, destination = map(pathlib.Path, sys.argv[1:])
    files = {file.relative_to(source): file for file in (source / "numpy").rglob("*.py")}
    files |= {pathlib.Path(name): build / name for name in GENERATED}
    for relative, file in sorted(files.items()):
        if is_excluded(relative):
            continue
        target = destination / PACKAGES / relative.with_suffix(".pyc")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(compile_file(file, f"/{PACKAGES}/{relative.as_posix()}"))


if __name__ == "__main__":
    main()
