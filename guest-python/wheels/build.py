"""Builds the wheels that a server brings itself: the same bytes on every machine.

usage: build.py DESTINATION SDIST... (`cargo xtask guest` does it)

The hashes of the source distributions were compared before. Two kinds of wheels come out:

* the pure-Python part of packages whose index has wheels with native code only, with their licences,
* wheels without code for what the sandbox has already, so that the resolver takes it for installed.
"""

import base64
import hashlib
import io
import pathlib
import sys
import tarfile
import zipfile
from typing import NamedTuple


class Source(NamedTuple):
    """Which files of a source distribution make the pure-Python wheel."""

    library: str
    package: str
    licence: str


SOURCES = {
    "markupsafe": Source("src/", "markupsafe", "LICENSE.txt"),
    "msgpack": Source("", "msgpack", "COPYING"),
    "pyyaml": Source("lib/", "yaml", "LICENSE"),
}

# What the sandbox has without any package: name, version, what it is.
BUILT_IN = [
    ("arrow_udf", "0.3.2", "The sandbox's stand-in for arrow-udf"),
    ("databend_udf", "0.2.20", "The sandbox's stand-in for databend-udf"),
    ("numpy", "2.4.6", "The NumPy that is compiled into the sandbox"),
]

WHEEL = """\
Wheel-Version: 1.0
Generator: vivarium
Root-Is-Purelib: true
Tag: py3-none-any
"""


def write_wheel(destination: pathlib.Path, name: str, version: str, files: dict[str, bytes]) -> None:
    """Writes a wheel without compression, so that no version of zlib changes its bytes."""
    information = f"{name}-{version}.dist-info"
    files = dict(files)
    files[f"{information}/WHEEL"] = WHEEL.encode()
    record = io.StringIO()
    for path, content in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record.write(f"{path},sha256={digest},{len(content)}\n")
    record.write(f"{information}/RECORD,,\n")
    ordered = sorted(files.items()) + [(f"{information}/RECORD", record.getvalue().encode())]
    with zipfile.ZipFile(destination / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, content in ordered:
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)


def read_source(archive: pathlib.Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if member.isfile()]
        return {member.name.partition("/")[2]: tar.extractfile(member).read() for member in members}


def pure_part(source: Source, tree: dict[str, bytes], information: str) -> dict[str, bytes]:
    files = {}
    for path, content in tree.items():
        inside = path.removeprefix(source.library)
        is_library = path.startswith(source.library) and inside.startswith(f"{source.package}/")
        if is_library and path.endswith((".py", ".pyi", "py.typed")):
            files[inside] = content
    files[f"{information}/METADATA"] = tree["PKG-INFO"]
    files[f"{information}/licenses/{source.licence}"] = tree[source.licence]
    return files


def main() -> None:
    destination, *sources = map(pathlib.Path, sys.argv[1:])
    for source in sources:
        name, _, version = source.name.removesuffix(".tar.gz").rpartition("-")
        files = pure_part(SOURCES[name], read_source(source), f"{name}-{version}.dist-info")
        write_wheel(destination, name, version, files)
    for name, version, summary in BUILT_IN:
        fields = {"Metadata-Version": "2.1", "Name": name.replace("_", "-"), "Version": version, "Summary": summary}
        metadata = "".join(f"{field}: {value}\n" for field, value in fields.items())
        write_wheel(destination, name, version, {f"{name}-{version}.dist-info/METADATA": metadata.encode()})


if __name__ == "__main__":
    main()
