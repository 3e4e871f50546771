"""Removes debugging information from a wasm module. Function names stay: traps are told by them.

usage: strip.py SOURCE DESTINATION
"""

import pathlib
import sys

HEADER_LEN = 8


def read_leb128(module: bytes, at: int) -> tuple[int, int]:
    """An unsigned number at `at`, and where it ends."""
    value = shift = 0
    while True:
        byte = module[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7


def is_debugging(section_id: int, module: bytes, contents: int) -> bool:
    if section_id != 0:
        return False
    length, start = read_leb128(module, contents)
    return module[start : start + length].startswith(b".debug_")


def strip(module: bytes) -> bytes:
    kept = bytearray(module[:HEADER_LEN])
    at = HEADER_LEN
    while at < len(module):
        length, contents = read_leb128(module, at + 1)
        if not is_debugging(module[at], module, contents):
            kept += module[at : contents + length]
        at = contents + length
    return bytes(kept)


def main() -> None:
    source, destination = map(pathlib.Path, sys.argv[1:])
    destination.write_bytes(strip(source.read_bytes()))


if __name__ == "__main__":
    main()
