"""Packs the guest's files into the archive that filesystem/archive.h describes.

usage: pack.py ARCHIVE [--packages FOLDER]... [--tree FOLDER]...

The trees are taken as they are; the packages go into the folder for packages, as bytecode.
"""

import argparse
import pathlib
import struct

from compile import compile_file

SITE_PACKAGES = "/lib/site-packages"
MAGIC = b"VIVFS001"
ALIGNMENT = 16


def collect(packages: list[pathlib.Path], trees: list[pathlib.Path]) -> dict[str, bytes]:
    """Absolute guest path to contents: trees as they are, packages as bytecode."""
    files = {
        f"/{file.relative_to(tree).as_posix()}": file.read_bytes()
        for tree in trees
        for file in tree.rglob("*")
        if file.is_file()
    }
    sources = [(file.relative_to(folder), file) for folder in packages for file in folder.rglob("*")]
    for relative, file in sorted(sources):
        if not file.is_file() or not {"__pycache__", "tests"}.isdisjoint(relative.parts):
            continue
        path = f"{SITE_PACKAGES}/{relative.as_posix()}"
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
    parser = argparse.ArgumentParser()
    parser.add_argument("archive", type=pathlib.Path)
    for option in ("--packages", "--tree"):
        parser.add_argument(option, type=pathlib.Path, action="append", default=[])
    arguments = parser.parse_args()
    arguments.archive.write_bytes(pack(collect(arguments.packages, arguments.tree)))


if __name__ == "__main__":
    main()
