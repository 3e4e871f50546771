"""Packs the guest's files into the archive that filesystem/archive.h describes.

usage: pack.py STDLIB_TREE PACKAGE_DIRECTORY ARCHIVE
"""

import pathlib
import struct
import sys

from compile import compile_file

SITE_PACKAGES = "/lib/site-packages"
MAGIC = b"VIVFS001"
ALIGNMENT = 16


def collect(stdlib: pathlib.Path, package: pathlib.Path) -> dict[str, bytes]:
    """Absolute guest path to contents; Python sources become bytecode."""
    files = {f"/{file.relative_to(stdlib).as_posix()}": file.read_bytes() for file in stdlib.rglob("*") if file.is_file()}
    for file in sorted(package.rglob("*")):
        if not file.is_file() or "__pycache__" in file.parts or "tests" in file.relative_to(package).parts:
            continue
        path = f"{SITE_PACKAGES}/{file.relative_to(package).as_posix()}"
        if file.suffix == ".py":
            files[path + "c"] = compile_file(file, path)
        else:
            files[path] = file.read_bytes()
    return files


def pack(files: dict[str, bytes]) -> bytes:
    records, paths, contents = [], bytearray(), bytearray()
    paths_start = len(MAGIC) + 4 + 16 * len(files)
    encoded = {path: path.encode() for path in sorted(files)}
    contents_start = paths_start + sum(map(len, encoded.values()))
    contents_start += -contents_start % ALIGNMENT
    for path, name in encoded.items():
        data = files[path]
        records.append(struct.pack("<4I", paths_start + len(paths), len(name), contents_start + len(contents), len(data)))
        paths += name
        contents += data + bytes(-len(data) % ALIGNMENT)
    head = MAGIC + struct.pack("<I", len(files)) + b"".join(records) + paths
    return head + bytes(contents_start - len(head)) + contents


def main() -> None:
    stdlib, package, archive = map(pathlib.Path, sys.argv[1:])
    archive.write_bytes(pack(collect(stdlib, package)))


if __name__ == "__main__":
    main()
