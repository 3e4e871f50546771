"""Compiles one .py file to the bytecode that goes into the guest.

Bytecode is of the unchecked-hash kind: it carries no time stamp, and the guest never compares it
with a source file that is not there.
"""

import importlib._bootstrap_external as bootstrap
import importlib.util
import pathlib


def compile_file(source: pathlib.Path, guest_path: str) -> bytes:
    """The .pyc contents for `source`, whose tracebacks shall name `guest_path`."""
    text = source.read_bytes()
    code = compile(text, guest_path, "exec", dont_inherit=True, optimize=0)
    return bytes(bootstrap._code_to_hash_pyc(code, importlib.util.source_hash(text), False))
