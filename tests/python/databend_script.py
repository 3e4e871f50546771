"""The shell script by which Databend's engine defines a function: the captured one with other content."""

import json
import pathlib
import shlex

CAPTURED = pathlib.Path(__file__).parent.parent / "databend-scripts"


def _literal(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _marker(base, contents):
    marker, number = base, 0
    while any(marker in content for content in contents):
        number += 1
        marker = f"{base}_{number}"
    return marker


def script(code, handler, input_types, result_type, packages=(), imports=()):
    """`imports` are dicts with location, url and headers."""
    plain = (CAPTURED / "captured_plain.sh").read_text()
    program = plain.split("/app/server.py\n", 1)[1].split("\nUDF_SERVER_1\n")[0]
    inputs = ", ".join(map(_literal, input_types))
    decorated = f"name={_literal(handler)}, input_types=[{inputs}], result_type={_literal(result_type)}"
    program = program.replace('name="echo2", input_types=["INT NULL"], result_type="INT NULL"', decorated)
    program = program.replace('getattr(udf, "echo2")', f"getattr(udf, {_literal(handler)})")
    listed = json.dumps(list(imports), separators=(",", ":"))
    contents = [code, program, listed]
    text = plain.split("\n\n", 1)[0] + "\n\n"
    if packages:
        text += "python -m pip install --no-cache-dir " + " ".join(map(shlex.quote, packages))
    text += "\n"
    if imports:
        download = (CAPTURED / "script1_metadata_imports.sh").read_text().split("\nUDF_IMPORTS\n", 1)[1]
        download = download.split("\nPY\n", 1)[0]
        marker = _marker("UDF_IMPORTS", contents)
        text += f"mkdir -p /app/imports\ncat <<'{marker}' > /app/imports.json\n{listed}\n{marker}\n{download}\nPY\n"
    for base, path, content in [("UDF_CODE", "udf.py", code), ("UDF_SERVER", "server.py", program)]:
        marker = _marker(base, contents)
        text += f"\n\ncat <<'{marker}' > /app/{path}\n{content}\n{marker}"
    return text + "\nexec python /app/server.py\n"
