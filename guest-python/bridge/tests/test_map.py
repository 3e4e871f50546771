"""Map functions: batches in, batches out. In the guest the runtime supplies the input, so that only the tests
which need none run there."""

import contextlib
import io
import unittest

import pyarrow as pa

import backends
from support import Function, batch_of, failure, is_wasm
from arrow_nodes import to_pyarrow
from test_types import CASES, arrow


class Map(Function):
    def __init__(self, code, parameters, result, **options):
        result = pa.field("out", result, nullable=False)
        super().__init__("from _vivarium import Column, RecordBatch\n" + code, parameters, result, kind="map", **options)

    def stream(self, batches=()):
        """Yields the answers to batches, each a list of arrays."""
        if not is_wasm():
            self.backend.supply(batch_of(arrays, self.inputs) for arrays in batches)
        operation = backends.CALL
        while True:
            answer, node = self.backend.operate(self.handle, operation, None, self.output)
            if node is None:
                assert answer == backends.NOTHING, answer
                return
            assert answer == backends.MORE, answer
            yield to_pyarrow(node, self.result.type)
            operation = backends.NEXT

    def rows(self, batches=()):
        return [part.to_pylist() for part in self.stream(batches)]


XY = pa.struct([("x", pa.int64()), ("y", pa.string())])
PARAMETERS = [pa.field("a", pa.int64()), pa.field("b", pa.string())]


def ab(*pairs):
    return [pa.array([p[0] for p in pairs], pa.int64()), pa.array([p[1] for p in pairs], pa.string())]


class Outputs(unittest.TestCase):
    def one(self, expression, result=XY):
        return Map(f"def f(batches):\n    yield {expression}\n", [], result).rows()

    def test_forms(self):
        for expression, expected in (
            ("{'x': [1, 2], 'y': ['a', None]}", [{"x": 1, "y": "a"}, {"x": 2, "y": None}]),
            ("{'y': ('a',), 'x': range(1)}", [{"x": 0, "y": "a"}]),
            ("{'y': ['a', 'b']}", [{"x": None, "y": "a"}, {"x": None, "y": "b"}]),
            ("{'x': bytearray(b'ab')}", [{"x": 97, "y": None}, {"x": 98, "y": None}]),
            ("{'x': [], 'y': []}", []),
            ("{}", []),
            ("[]", []),
            ("[(1, 'a'), {'x': 2}, {'y': 'c', 'x': 3}]", [{"x": 1, "y": "a"}, {"x": 2, "y": None}, {"x": 3, "y": "c"}]),
            ("((1, 'a'), (2, 'b'))", [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}]),
        ):
            self.assertEqual(self.one(expression), [expected], expression)

    def test_refused(self):
        for expression, message in (
            ("None", "expected a batch (a RecordBatch, a dict of columns by name, or a list of rows), got None"),
            ("5", "expected a batch (a RecordBatch, a dict of columns by name, or a list of rows), got int 5"),
            ("'ab'", "expected a batch (a RecordBatch, a dict of columns by name, or a list of rows), got str 'ab'"),
            ("{'x': [1, 2], 'y': ['a']}", "column `y`: expected 2 values (one per row), got 1"),
            ("{'x': [1, 'b']}", "column `x`, row 1: expected int64, got str 'b'"),
            ("{'z': [1]}", "a batch has a column with the key str 'z', which is not declared"),
            ("{'x': [1], 5: [1]}", "a batch has a column with the key int 5, which is not declared"),
            ("{'x': 5}", "column `x`: expected a Column, a buffer or a sequence of int64 values, got int 5"),
            ("[(1, 'a'), (1,)]", "column `out`, row 1: expected struct<x: int64, y: utf8>, got tuple (1,): wrong number of fields"),
            ("[(1, 'a'), None]", "column `out`, row 1: None for a NOT NULL result (expected struct<x: int64, y: utf8>)"),
            ("[(1, 'a'), ('b', 'a')]", "column `x`, row 1: expected int64, got str 'b'"),
        ):
            parts = failure(self, self.one, expression)
            self.assertEqual((parts["kind"], parts["message"]), ("result", message), expression)
        required = pa.struct([pa.field("x", pa.int64(), nullable=False), ("y", pa.string())])
        parts = failure(self, self.one, "{'y': ['a']}", required)
        self.assertEqual((parts["kind"], parts["message"]), ("result", "column `x`: a batch has no such column"))

    def test_what_the_function_returns(self):
        for code, expected in (
            ("def f(batches): return [[(1, 'a')], {'x': [2]}]\n", [[{"x": 1, "y": "a"}], [{"x": 2, "y": None}]]),
            ("def f(batches): return iter([])\n", []),
            ("def f(batches):\n    return\n    yield\n", []),
        ):
            self.assertEqual(Map(code, [], XY).rows(), expected)
        for expression in ("None", "5", "'abc'", "{'x': [1]}"):
            parts = failure(self, Map(f"def f(batches): return {expression}\n", [], XY).rows)
            self.assertEqual(parts["kind"], "result")
            self.assertIn("expected an iterable of batches (a generator, a list), got", parts["message"])

    def test_failures(self):
        function = Map("calls = 0\ndef f(batches):\n    global calls\n    calls += 1\n    yield [(calls, '')]\n    raise ValueError('no')\n", [], XY)
        for n in (1, 2):
            stream = function.stream()
            self.assertEqual(next(stream).to_pylist(), [{"x": n, "y": ""}])
            parts = failure(self, next, stream)
            self.assertEqual((parts["kind"], parts["class"], parts["message"]), ("exception", "ValueError", "no"))
            answer, _ = function.backend.operate(function.handle, backends.NEXT, None, function.output)
            self.assertEqual(answer, backends.NOTHING)

    def test_a_new_call_drops_what_is_unfinished(self):
        code = "closed = 0\ndef f(batches):\n    global closed\n    try:\n        while True: yield [(closed, '')]\n    finally: closed += 1\n"
        function = Map(code, [], XY)
        for n in range(3):
            stream = function.stream()
            self.assertEqual(next(stream)[0].as_py()["x"], n)
            next(stream)

    def test_hostile(self):
        codes = """
def f(batches):
    class K(str):
        def __eq__(self, other): d.clear(); return True
        def __hash__(self): return hash('x')
    d = {K('q'): [1], 'y': ['a']}
    yield d
----
def f(batches):
    rows = [(1, 'a')]
    class I:
        def __index__(self):
            rows.clear()
            return 1
    rows.append((I(), 'x'))
    yield rows
----
def f(batches):
    x = [1, 2]
    class I:
        def __index__(self):
            x.append(self)
            return 1 // (len(x) < 50)
    x.append(I())
    yield {'x': x}
----
def f(batches):
    g = None
    def h(): yield from g
    g = h()
    return g
----
class E(Exception):
    def __str__(self): raise self
    __repr__ = __str__
def f(batches):
    yield [(1, 'a')]
    raise E
----
def f(batches):
    class K:
        def __repr__(self): d.clear(); raise ValueError
    d = {K(): 1}
    yield d
"""
        for code in codes.split("----"):
            function = Map(code, [], XY)
            with self.subTest(code=code), contextlib.redirect_stderr(io.StringIO()):
                for _ in range(3):
                    with contextlib.suppress(backends.BridgeError):
                        function.rows()


@unittest.skipIf(is_wasm(), "needs input")
class Inputs(unittest.TestCase):
    def test_every_batch(self):
        code = "def f(batches):\n    for batch in batches:\n        yield {'x': batch['a'], 'y': batch['b']}\n"
        batches = [ab((1, "a"), (2, None)), ab(), ab((3, "c"))]
        expected = [[{"x": 1, "y": "a"}, {"x": 2, "y": None}], [], [{"x": 3, "y": "c"}]]
        self.assertEqual(Map(code, PARAMETERS, XY).rows(batches), expected)
        self.assertEqual(Map(code, PARAMETERS, XY).rows([]), [])

    def test_whole_batches_of_every_type(self):
        for arrow_type, values in CASES:
            function = Map("def f(batches):\n    for batch in batches: yield batch\n    yield batch\n", [pa.field("c", arrow_type)], pa.struct([("c", arrow_type)]))
            array = arrow(arrow_type, [None] + values)
            with self.subTest(type=arrow_type):
                for part in function.stream([[array], [array[:0]], [array]]):
                    self.assertIn(len(part), (0, len(array)))
                    self.assertTrue(part.field(0).equals(array[: len(part)]))

    def test_other_numbers_of_batches(self):
        code = "def f(batches):\n    total = 0\n    for batch in batches: total += sum(batch['a'])\n    yield [(total, '')]\n"
        self.assertEqual(Map(code, PARAMETERS, XY).rows([ab((n, "")) for n in range(100)]), [[{"x": 4950, "y": ""}]])
        code = "def f(batches):\n    for batch in batches:\n        for row in batch.to_pylist(): yield [(row['a'], row['b'])] * row['a']\n"
        self.assertEqual([len(p) for p in Map(code, PARAMETERS, XY).rows([ab((1, ""), (0, "")), ab((3, "x"))])], [1, 0, 3])

    def test_batches_are_pulled_when_they_are_asked_for(self):
        pulled = 0

        def source():
            nonlocal pulled
            for pulled in range(1, 100):
                yield ab((pulled, ""))

        stream = Map("def f(batches):\n    for batch in batches: yield [(batch['a'][0], '')]\n", PARAMETERS, XY).stream(source())
        for n in range(1, 5):
            self.assertEqual(next(stream)[0].as_py()["x"], n)
            self.assertEqual(pulled, n)

    def test_batch_objects(self):
        code = "def f(batches):\n    for b in batches:\n        yield [(b.num_rows, repr(eval(E)))]\n"
        batch = ab((1, "a"), (2, None))
        for expression, expected in (
            ("b", "<vivarium.RecordBatch of 2 rows with the columns ['a', 'b']>"),
            ("b.column_names, list(b), b.keys(), len(b), 'a' in b, 'c' in b", "(['a', 'b'], ['a', 'b'], ['a', 'b'], 2, True, False)"),
            ("[c.to_list() for c in b.columns]", "[[1, 2], ['a', None]]"),
            ("{k: list(v) for k, v in b.items()}, [list(v) for v in b.values()]", "({'a': [1, 2], 'b': ['a', None]}, [[1, 2], ['a', None]])"),
            ("b.to_pylist()", "[{'a': 1, 'b': 'a'}, {'a': 2, 'b': None}]"),
            ("b.get('a')[0], b.get('q'), b.get('q', 5)", "(1, None, 5)"),
            ("[list(v) for v in dict(b).values()], {**b}.keys()", "([[1, 2], ['a', None]], dict_keys(['a', 'b']))"),
            ("isinstance(b, RecordBatch), isinstance(b['a'], Column)", "(True, True)"),
        ):
            function = Map(f"E = {expression!r}\n{code}", PARAMETERS, XY)
            self.assertEqual(function.rows([batch]), [[{"x": 2, "y": expected}]], expression)
        for expression, error in (("b['q']", "KeyError"), ("b[[]]", "TypeError"), ("RecordBatch()", "TypeError"), ("b.get()", "TypeError")):
            parts = failure(self, Map(f"E = {expression!r}\n{code}", PARAMETERS, XY).rows, [batch])
            self.assertEqual(parts["class"], error)

    def test_declared_columns(self):
        function = Map("def f(batches):\n    for batch in batches: yield batch\n", PARAMETERS, XY)
        parts = failure(self, function.rows, [ab((1, "a"))])
        self.assertEqual(parts["message"], "a batch has a column with the key str 'a', which is not declared")
        parts = failure(self, Map, "def f(batches): yield\n", [pa.field("a", pa.int64())] * 2, XY)
        self.assertEqual(parts["kind"], "schema")

    def test_kept_batches(self):
        code = "def f(batches):\n    kept = list(batches)\n    views = [memoryview(b['a']) for b in kept]\n    for b, v in zip(reversed(kept), views):\n        yield {'x': v, 'y': b['b']}\n"
        batches = [ab((n, f"{n}")) for n in range(20)]
        self.assertEqual(Map(code, PARAMETERS, XY).rows(batches), [[{"x": n, "y": f"{19 - n}"}] for n in range(20)])

    def test_input_that_has_ended(self):
        code = "old = []\ndef f(batches):\n    old.append(batches)\n    yield [(0, '')]\n    try: next(old[0])\n    except RuntimeError as e: yield [(1, str(e))]\n    list(batches)\n    yield [(next(batches, 5), '')]\n"
        function = Map(code, PARAMETERS, XY)
        self.assertEqual(function.rows([ab((1, ""))])[-1], [{"x": 5, "y": ""}])
        self.assertEqual(function.rows([ab((1, ""))])[1], [{"x": 1, "y": "this input belongs to a call that is not running"}])

    def test_input_of_another_function(self):
        # The scalar function reaches the other one's input through a module that both share.
        other = Map("import builtins\ndef f(batches):\n    builtins.shared = batches\n    yield [(1, '')]\n    yield from ()\n", PARAMETERS, XY)
        stream = other.stream([ab((1, "a"))])
        next(stream)
        scalar = Function("import builtins\ndef f(): return str(next(builtins.shared))\n", [], pa.string())
        parts = failure(self, scalar, length=1)
        self.assertEqual((parts["class"], parts["message"]), ("RuntimeError", "this input belongs to a call that is not running"))

    def test_input_that_fails(self):
        function = Map("def f(batches): yield from ([(len(b), '')] for b in batches)\n", PARAMETERS, XY)
        stream = function.stream([ab((1, "a"))])
        next(stream)
        function.backend.library.vivarium_test_source(None)
        parts = failure(self, next, stream)
        self.assertEqual((parts["class"], parts["message"]), ("RuntimeError", "there is no input here"))


@unittest.skipUnless(is_wasm(), "the guest's own stub")
class Stub(unittest.TestCase):
    def test_there_is_no_input(self):
        parts = failure(self, Map("def f(batches): yield from batches\n", PARAMETERS, XY).rows)
        self.assertEqual((parts["class"], parts["message"]), ("RuntimeError", "there is no input here"))


if __name__ == "__main__":
    unittest.main()
