"""The recipe's native CPython as a contestant of `cargo xtask bench runtimes`: `native_runtime.py bridge` or
`native_runtime.py to_pylist`. `benches/house/contestants.rs` tells what the lines mean.

`bridge` is the guest's own C code, compiled for native CPython: neither sandboxed nor metered. `to_pylist` is what
the native servers do: pyarrow's to_pylist, the calls, pa.array. Needs pyarrow, and a C compiler for the bridge.
"""

import json
import os
import pathlib
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).parent.parent.parent / "guest-python" / "bridge" / "tests"
sys.path.insert(0, str(TESTS))
os.environ["VIVARIUM_TEST_CFLAGS"] = "-O3 -DNDEBUG -fwrapv"

import pyarrow as pa  # noqa: E402

import run  # noqa: E402


def bridge(code, batch, result):
    """A call of the bridge with the rows in place, and its answer."""
    import support

    function = support.Function(code, [pa.field(f.name, f.type, f.nullable) for f in batch.schema], result)
    backend = function.backend
    block, out = backend.block(support.batch_of(batch.columns, function.inputs)), backend.allocate(128)

    def call():
        if backend.call("vivarium_invoke", function.handle, 0, block, out) != 0:
            raise backend.last_error()

    return call, function(*batch.columns)


def to_pylist(code, batch, result):
    """What the native servers do for a batch, and its answer."""
    names = {}
    exec(code, names)
    function = names["f"]

    def call():
        return pa.array([function(*row) for row in zip(*(column.to_pylist() for column in batch.columns))], result)

    return call, call()


def main():
    contestant = {"bridge": bridge, "to_pylist": to_pylist}[sys.argv[1]]
    with tempfile.TemporaryDirectory() as folder:
        if contestant is bridge:
            os.environ["VIVARIUM_BRIDGE_LIBRARY"] = run.build(folder)
        for line in sys.stdin:
            request = json.loads(line)
            if case := request.get("load"):
                with pa.ipc.open_stream(case["batch"]) as reader:
                    batch = reader.read_next_batch()
                call, answer = contestant(case["python"], batch, pa.type_for_alias(case["result"]))
                answer = pa.record_batch([answer], ["result"])
                with pa.ipc.new_stream(case["answer"], answer.schema) as writer:
                    writer.write_batch(answer)
                times = 1
            else:
                times = request["run"]
            began = time.perf_counter()
            for _ in range(times):
                call()
            print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()
