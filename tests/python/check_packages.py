"""Packages through the server: what host/packages/popular.toml lists is provisioned and called.

usage: check_packages.py [NAME...] (default: all; needs the network)
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


def call(entry):
    """What the function answers, as text."""
    code = f"{entry.get('import', '')}\ndef call(x):\n    return str({entry.get('run', 'x')})\n"
    return Function(code, "call", ["BIGINT"], "VARCHAR", packages=[entry["name"]])(ROW)[0]


def problem(entry):
    """How the answer differs from what is expected; None if it does not."""
    try:
        answer = call(entry)
    except (grpc.RpcError, flight.FlightError, pa.ArrowException) as error:
        text = str(error)
        expected = "the sandbox loads no native code" if entry.get("refused") else entry.get("fails")
        return None if expected and expected in text else text
    if entry.get("refused", False):
        return "was not refused"
    return None if answer == entry["expect"] else f"gave {answer!r}"


def main():
    wanted = sys.argv[1:]
    entries = tomllib.loads(LIST.read_text())["package"]
    problems = {}
    for entry in entries:
        if not wanted or entry["name"] in wanted:
            if found := problem(entry):
                problems[entry["name"]] = found
    assert not problems, "\n".join(f"{name}: {text}" for name, text in problems.items())


main()
