"""Table functions: streams of rows."""

import contextlib
import io
import unittest

import pyarrow as pa

import backends
from support import Function, batch_of, failure
from test_types import CASES, arrow


def table(code, parameters, result, nullable=True, **options):
    fields = [pa.field("row", pa.int32(), nullable=False), pa.field("value", result, nullable=nullable)]
    return Function(code, parameters, pa.field("t", pa.struct(fields), nullable=False), kind="table", **options)


class Tables(unittest.TestCase):
    def test_rows(self):
        for code in (
            "def f(n):\n    for i in range(n): yield i\n",
            "def f(n): return range(n)\n",
            "def f(n): return list(range(n))\n",
            "def f(n): return tuple(range(n))\n",
            "def f(n): return (i for i in range(n))\n",
            "import itertools\ndef f(n): return itertools.islice(itertools.count(), n)\n",
            "class S:\n    def __init__(self, n): self.n = n\n    def __getitem__(self, i):\n        if i >= self.n: raise IndexError\n        return i\nf = S\n",
        ):
            function = table(code, [pa.int64()], pa.int64())
            with self.subTest(code=code):
                for counts in ([2, 0, 3], [0, 0], [], [0, 1], [5000, 5000, 1]):
                    expected = [(row, i) for row, n in enumerate(counts) for i in range(n)]
                    self.assertEqual(function.expand(pa.array(counts, pa.int64())), expected)

    def test_values_of_every_type(self):
        for arrow_type, values in CASES:
            batch = values + [None]
            function = table("def f(x):\n    yield x\n    yield None\n    yield x\n", [arrow_type], arrow_type)
            parts = list(function.stream(arrow(arrow_type, batch)))
            with self.subTest(type=arrow_type):
                expected = arrow(arrow_type, [w for v in batch for w in (v, None, v)])
                self.assertTrue(parts[0].field("value").equals(expected))
                self.assertEqual(parts[0].field("row").to_pylist(), [i for i in range(len(batch)) for _ in range(3)])

    def test_structs(self):
        result = pa.struct([pa.field("a", pa.int64()), pa.field("b", pa.string())])
        function = table("def f(n):\n    yield n, 'x'\n    yield {'a': n}\n    yield None\n", [pa.int64()], result)
        self.assertEqual(function.expand(pa.array([7])), [(0, {"a": 7, "b": "x"}), (0, {"a": 7, "b": None}), (0, None)])

    def test_chunks(self):
        function = table("def f(n): return range(n)\n", [pa.int64()], pa.int64())
        for counts, lengths in (([8191], [8191]), ([8192], [8192]), ([8193], [8192, 1]), ([5000, 5000, 8192], [8192, 8192, 1808]), ([8192, 0, 0], [8192]), ([0], [])):
            self.assertEqual([len(part) for part in function.stream(pa.array(counts))], lengths, counts)
        function = table("def f(n):\n    for i in range(n): yield 'x' * 100_000\n", [pa.int64()], pa.string())
        lengths = [len(part) for part in function.stream(pa.array([100]))]
        self.assertEqual((sum(lengths), max(lengths)), (100, 11))

    def test_generators_are_not_run_ahead(self):
        code = "import itertools\nseen = 0\ndef f(n):\n    global seen\n    for seen in itertools.count(1): yield seen\n"
        function = table(code, [pa.int64()], pa.int64())
        stream = function.stream(pa.array([1]))
        for n in range(1, 4):
            self.assertEqual(next(stream).field("value")[-1].as_py(), 8192 * n)

    def test_arguments_and_no_parameters(self):
        self.assertEqual(table("def f():\n    yield 1\n", [], pa.int64()).expand(length=2), [(0, 1), (1, 1)])
        code = "def f(a, b):\n    yield f'{a}{b}'\n"
        self.assertEqual(table(code, [pa.int64(), pa.string()], pa.string()).expand(pa.array([1, None]), pa.array(["x", "y"])), [(0, "1x"), (1, "Noney")])

    def test_skip(self):
        code = "def f(a, b):\n    yield f'{a}{b}'\n"
        arrays = pa.array([1, None, 3, 4]), pa.array(["x", "y", None, "z"])
        types = [a.type for a in arrays]
        self.assertEqual(table(code, types, pa.string(), null_handling="skip").expand(*arrays), [(0, "1x"), (3, "4z")])
        code = "def f(a: int, b):\n    yield f'{a}{b}'\n"
        self.assertEqual(table(code, types, pa.string(), null_handling="annotations").expand(*arrays), [(0, "1x"), (2, "3None"), (3, "4z")])

    def test_a_new_call_drops_what_is_unfinished(self):
        code = "closed = []\ndef f(n):\n    try:\n        while True: yield n + 100 * len(closed)\n    finally: closed.append(n)\n"
        function = table(code, [pa.int64()], pa.int64())
        for n in range(3):
            stream = function.stream(pa.array([n]))
            self.assertEqual(next(stream).to_pylist()[0], {"row": 0, "value": n + 100 * n})
            next(stream)

    def test_next_without_a_stream(self):
        function = table("def f(n): yield n\n", [pa.int64()], pa.int64())
        for _ in range(2):
            answer, _ = function.backend.operate(function.handle, backends.NEXT, None, function.output)
            self.assertEqual(answer, backends.NOTHING)


class Failures(unittest.TestCase):
    def fail(self, code, values=(3, 4, 5), result=pa.int64(), **options):
        function = table(code, [pa.int64()], result, **options)
        parts = failure(self, function.expand, pa.array(values))
        # The function is usable afterwards, and the stream is gone.
        answer, _ = function.backend.operate(function.handle, backends.NEXT, None, function.output)
        self.assertEqual(answer, backends.NOTHING)
        return parts

    def test_exceptions(self):
        for code in (
            "def f(n):\n    yield 1\n    if n == 4: raise ValueError('no')\n",
            "def f(n):\n    if n == 4: raise ValueError('no')\n    return [n]\n",
            "class I:\n    def __init__(self, n): self.n = n\n    def __iter__(self):\n        if self.n == 4: raise ValueError('no')\n        return iter([1])\nf = I\n",
        ):
            parts = self.fail(code)
            shown = [parts[k] for k in ("kind", "class", "message", "row", "arguments")]
            self.assertEqual(shown, ["exception", "ValueError", "no", 1, [["p0", "4"]]], code)
            self.assertIn("raise ValueError('no')", parts["traceback"])

    def test_far_into_the_stream(self):
        parts = self.fail("def f(n):\n    for i in range(20000): yield i\n    if n == 4: raise ValueError\n")
        self.assertEqual((parts["row"], parts["arguments"]), (1, [["p0", "4"]]))

    def test_results(self):
        for code, message in (
            ("def f(n): return None\n", "column `value`, row 0: expected an iterable of rows (a generator, a list), got None"),
            ("def f(n): return 'abc'\n", "column `value`, row 0: expected an iterable of rows (a generator, a list), got str 'abc'"),
            ("def f(n): return {'a': 1}\n", "column `value`, row 0: expected an iterable of rows (a generator, a list), got dict {'a': 1}"),
            ("def f(n): return n\n", "column `value`, row 0: expected an iterable of rows (a generator, a list), got int 3"),
            ("def f(n):\n    yield n\n    if n == 4: yield 'x'\n", "column `value`, row 1: expected int64, got str 'x'"),
        ):
            parts = self.fail(code)
            self.assertEqual((parts["kind"], parts["message"], parts["column"]), ("result", message, "value"))
        self.assertIn("None for a NOT NULL result", self.fail("def f(n): yield None\n", nullable=False)["message"])

    def test_other_kinds(self):
        for code, kind in (("def f(n):\n    yield 1\n    raise SystemExit\n", "exit"), ("def f(n):\n    yield from f(n)\n", "recursion"), ("def f(n):\n    yield 1\n    raise MemoryError\n", "memory")):
            self.assertEqual(self.fail(code)["kind"], kind)

    def test_hostile(self):
        codes = """
def f(n):
    g = None
    def h():
        yield from g
    g = h()
    return g
----
def f(n):
    try:
        while True: yield n
    finally:
        raise ValueError
----
def f(n):
    try: yield n
    except GeneratorExit: yield n
----
class I:
    def __iter__(self): return self
    def __next__(self): return self
    def __index__(self): return next(self)
def f(n): return I()
----
class I:
    def __iter__(self): return self
    def __next__(self):
        self.__class__ = J
        return 1
class J:
    pass
def f(n): return I()
----
class E(Exception):
    def __str__(self): raise self
    __repr__ = __str__
def f(n):
    yield n
    raise E
----
def f(n):
    x = [n]
    class I:
        def __index__(self):
            x.clear()
            return 1
    x.append(I())
    return x
"""
        for code in codes.split("----"):
            function = table(code, [pa.int64()], pa.int64())
            with self.subTest(code=code), contextlib.redirect_stderr(io.StringIO()):
                for _ in range(3):
                    with contextlib.suppress(backends.BridgeError):
                        stream = function.stream(pa.array([1, 2]))
                        next(stream)
                        next(stream, None)


if __name__ == "__main__":
    unittest.main()
