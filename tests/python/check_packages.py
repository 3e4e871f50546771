"""Packages through the server: what host/packages/popular.toml lists is provisioned and called.

Usage: check_packages.py [NAME[==VERSION]...] (default: all, the newest; needs the network)
"""

import pathlib
import sys
import tomllib

import grpc
import pyarrow as pa
import pyarrow.flight as flight

from service import Function

LIST = pathlib.Path(__file__).parents[2] / "host/packages/popular.toml"
ROW = pa.array([1], pa.int64())


def call(entry, requirement):
    """What the function answers, as text."""
    code = f"{entry.get('import', '')}\ndef call(x):\n    return str({entry.get('run', 'x')})\n"
    return Function(code, "call", ["BIGINT"], "VARCHAR", packages=[requirement])(ROW)[0]


def problem(entry, requirement):
    """How the answer differs from what is expected; None if it does not."""
    try:
        answer = call(entry, requirement)
    except (grpc.RpcError, flight.FlightError, pa.ArrowException) as error:
        text = str(error)
        expected = "the sandbox loads no native code" if entry.get("refused") else entry.get("fails")
        return None if expected and expected in text else text
    if entry.get("refused", False):
        return "was not refused"
    return None if answer == entry["expect"] else f"gave {answer!r}"


def main():
    entries = {entry["name"]: entry for entry in tomllib.loads(LIST.read_text())["package"]}
    found = {requirement: problem(entries[requirement.partition("==")[0]], requirement) for requirement in sys.argv[1:] or entries}
    problems = [f"{requirement}: {text}" for requirement, text in found.items() if text]
    assert not problems, "\n".join(problems)


main()
