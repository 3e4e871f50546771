"""The limit of `rows.rs`: the same functions over the same data, natively.

For each function two figures in one run, best of several rounds: the bridge compiled natively for the
native CPython of the recipe (not sandboxed, not metered; -O3, no profile), and the pattern of the native
servers (pyarrow's to_pylist, the call, pa.array). Needs pyarrow and a C compiler.
"""

import decimal
import os
import pathlib
import sys
import tempfile
import time

TESTS = pathlib.Path(__file__).parent.parent / "guest-python" / "bridge" / "tests"
sys.path.insert(0, str(TESTS))
os.environ["VIVARIUM_TEST_CFLAGS"] = "-O3 -DNDEBUG -fwrapv"

import pyarrow as pa  # noqa: E402

import run  # noqa: E402

ROWS = 65_536
ROUNDS = 30
DECIMAL = pa.decimal128(18, 2)
INTEGERS = [pa.array([row * 7 + column for row in range(ROWS)], pa.int64()) for column in range(2)]
STRINGS = [pa.array([f"customer {row}" for row in range(ROWS)])]

CASES = [
    ("int64 a + b", "def f(a, b): return a + b", INTEGERS, pa.int64()),
    ("int64 a + 1", "def f(a): return a + 1", INTEGERS[:1], pa.int64()),
    ("float64 a * 2.5", "def f(a): return a * 2.5", [pa.array([row * 0.25 for row in range(ROWS)])], pa.float64()),
    ("str identity", "def f(a): return a", STRINGS, pa.string()),
    ("str.upper", "def f(a): return a.upper()", STRINGS, pa.string()),
    (
        "decimal a + a",
        "def f(a): return a + a",
        [pa.array([decimal.Decimal(row * 37) / 100 for row in range(ROWS)], DECIMAL)],
        DECIMAL,
    ),
]


def best(work):
    """Rows a second of the fastest round."""
    shortest = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        shortest = min(shortest, time.perf_counter() - start)
    return ROWS / shortest


def bridge(support, code, columns, result):
    function = support.Function(code, [column.type for column in columns], result)
    backend = function.backend
    block, out = backend.block(support.batch_of(columns, function.inputs)), backend.allocate(128)

    def work():
        if backend.call("vivarium_invoke", function.handle, 0, block, out) != 0:
            raise backend.last_error()

    return best(work)


def servers(code, columns, result):
    names = {}
    exec(code, names)
    function = names["f"]
    return best(lambda: pa.array([function(*row) for row in zip(*(c.to_pylist() for c in columns))], result))


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VIVARIUM_BRIDGE_LIBRARY"] = run.build(folder)
        import support

        print(f"{'million rows a second':24}{'native bridge':>15}{'to_pylist, call, pa.array':>28}")
        for name, code, columns, result in CASES:
            ours, theirs = bridge(support, code, columns, result), servers(code, columns, result)
            print(f"{name:24}{ours / 1e6:15.2f}{theirs / 1e6:28.2f}", flush=True)


if __name__ == "__main__":
    main()
