"""Builds the bridge as a native library for the Python that runs this script and tests it.

    python run.py                          native
    VIVARIUM_GUEST_WASM=... python run.py  inside the guest module (needs the package wasmtime)

Needs pyarrow. Further arguments go to unittest.
"""

import glob
import os
import subprocess
import sys
import sysconfig
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
FLAGS = "-std=c11 -O2 -g -Wall -Wextra -Wno-cast-function-type -Wno-missing-field-initializers -fPIC -shared"


def build(directory):
    library = os.path.join(directory, "libvivarium.so")
    sources = glob.glob(os.path.join(HERE, "..", "src", "*.c")) + [os.path.join(HERE, "native.c")]
    sources = [source for source in sources if os.path.basename(source) != "pull.c"]
    command = [os.environ.get("CC", "cc"), *FLAGS.split(), "-fvisibility=hidden"]
    command += os.environ.get("VIVARIUM_TEST_CFLAGS", "").split()
    command += [f'-DVIVARIUM_UDF_ROOT="{directory}/udf"', "-I", sysconfig.get_path("include")]
    subprocess.run([*command, "-I", os.path.join(HERE, "..", "src"), *sources, "-o", library], check=True)
    return library


def main():
    sys.path.insert(0, HERE)
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as directory:
        if "VIVARIUM_GUEST_WASM" not in os.environ:
            os.environ["VIVARIUM_BRIDGE_LIBRARY"] = build(directory)
        elif "VIVARIUM_TEST_CACHE" not in os.environ:
            os.environ["VIVARIUM_TEST_CACHE"] = directory
        if len(sys.argv) == 1:
            sys.argv += ["discover", "-s", HERE]
        unittest.main(module=None)


if __name__ == "__main__":
    main()
