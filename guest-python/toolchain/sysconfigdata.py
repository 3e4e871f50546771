"""Writes the `_sysconfigdata` module of the guest from the one that the cross build made.

Variables that mention the machine of the build (its folders, its platform) are left out: they mean
nothing in the guest, and without them every machine builds the same bytes.

usage: sysconfigdata.py SOURCE DESTINATION MENTION...
"""

import pathlib
import pprint
import runpy
import sys


def main() -> None:
    source, destination, *mentions = sys.argv[1:]
    variables = runpy.run_path(source)["build_time_vars"]
    kept = {
        name: value
        for name, value in sorted(variables.items())
        if not any(mention in str(value) for mention in mentions)
    }
    text = "build_time_vars = " + pprint.pformat(kept, width=100) + "\n"
    pathlib.Path(destination).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
