"""Vectorised functions and `vivarium.Column`."""

import datetime as dt
import unittest
from decimal import Decimal as D

import pyarrow as pa

import backends
from support import Function, batch_of, bridge, failure, to_pyarrow
from test_types import CASES, arrow

PRELUDE = "import array, collections, itertools\nfrom _vivarium import Column\n"


def vectorized(code, parameters, result, **options):
    return Function(PRELUDE + code, parameters, result, kind="vectorized", **options)


def show(expression, array, result=None):
    """What an expression over the column `c` gives, as its repr."""
    code = f"def f(c):\n    return [repr(({expression}))] + [None] * (len(c) - 1)\n"
    return vectorized(code, [array.type], pa.string())(array)[0].as_py()


class Columns(unittest.TestCase):
    def test_elements_of_every_type(self):
        for arrow_type, values in CASES:
            for batch in (values, [v for value in values for v in (value, None)], [None] * 9):
                array = arrow(arrow_type, batch)
                with self.subTest(type=arrow_type, nulls=array.null_count):
                    expected = repr(list(batch))
                    for code in ("c.to_list()", "list(c)", "[c[i] for i in range(len(c))]", "[*reversed(c)][::-1]",
                                 "[c[i - len(c)] for i in range(len(c))]", "list(c[:3]) + c[3:].to_list()"):
                        self.assertEqual(show(code, array), expected, code)
                    self.assertEqual(show("c[::-2].to_list()", array), repr(batch[::-2]))
                    self.assertEqual(show("c[1:][::2].to_list()", array), repr(batch[1:][::2]))
                    self.assertEqual(show("c.null_count, c[1:].null_count, c[::-2].null_count", array),
                                     repr(tuple(sum(v is None for v in part) for part in (batch, batch[1:], batch[::-2]))))

    def test_returned_columns_of_every_type(self):
        for arrow_type, values in CASES:
            for batch in (values, [v for value in values for v in (value, None)], [None] * 9, values * 9 + [None]):
                array = arrow(arrow_type, batch)
                for part in ("c", "c[:]", "c[::-1][::-1]", "list(c)", "iter(c)", "c.to_list()", "tuple(c)", "(x for x in c)", "collections.deque(c)"):
                    with self.subTest(type=arrow_type, nulls=array.null_count, part=part):
                        result = vectorized(f"def f(c): return {part}\n", [arrow_type], arrow_type)(array)
                        self.assertTrue(result.equals(array), f"{result} is not {array}")

    def test_sequence_protocol(self):
        array = pa.array([5, None, 7, 8, 9, 10, 11, 12, None, 14])
        values = array.to_pylist()
        for expression in ("len(c)", "7 in c, None in c, 6 in c", "c[2:5].to_list()", "c[100:].to_list()", "c[3:-2][1:][::-1].to_list()",
                           "c[::10**9].to_list()", "c[::-(10**9)].to_list()", "sum(x or 0 for x in c)", "max(c[2:8])", "bool(c), bool(c[:0])",
                           "sorted(c[2:8])", "list(zip(c, c[1:]))", "list(map(str, c))"):
            plain = eval(expression.replace(".to_list()", ""), {"c": values})
            self.assertEqual(show(expression, array), repr(plain), expression)
        for expression, error in (("c[10]", "IndexError"), ("c[-11]", "IndexError"), ("c['a']", "TypeError"), ("c[10**30]", "IndexError"),
                                  ("Column()", "TypeError"), ("c.values.__setitem__(0, 1)", "TypeError"), ("setattr(c, 'x', 1)", "AttributeError"),
                                  ("c.__setitem__(0, 1)", "AttributeError"), ("hash(c) and setattr(Column, 'x', 1)", "TypeError")):
            parts = failure(self, vectorized(f"def f(c): return {expression}", [pa.int64()], pa.int64()), array)
            self.assertEqual((parts["kind"], parts["class"]), ("exception", error), expression)
        self.assertEqual(show("c", array), "<vivarium.Column of 10 int64>")
        self.assertEqual(show("c.type, c[1:].type", pa.array([1], pa.timestamp("us", "UTC"))), "('tsu:UTC', 'tsu:UTC')")
        self.assertEqual(show("[x for x in (1, c) if isinstance(x, Column)] == [c]", array), "True")

    def test_memory(self):
        numbers = pa.array([1, -2, 3, 4, 5], pa.int32())
        for expression, expected in (
            ("memoryview(c).tolist(), memoryview(c).format, memoryview(c).readonly", "([1, -2, 3, 4, 5], 'i', True)"),
            ("c.values.tolist()", "[1, -2, 3, 4, 5]"),
            ("c[1:4].values.tolist(), c[::-2].values.tolist()", "([-2, 3, 4], [5, 3, 1])"),
            ("memoryview(c[::-2]).tolist()", "[5, 3, 1]"),
            ("array.array('i', bytes(c)).tolist()", "[1, -2, 3, 4, 5]"),
            ("bytes(c[::2].values)", repr(numbers.take([0, 2, 4]).buffers()[1].to_pybytes()[:12])),
            ("c.validity", "None"),
            ("len(c.values.cast('B'))", "20"),
        ):
            self.assertEqual(show(expression, numbers), expected, expression)
        nulls = pa.array([1, None, 3, None, 5, 6, 7, 8, None, 10], pa.int64())
        for expression, expected in (
            ("c.validity.tolist()", "[245, 2]"),
            ("c[8:].validity.tolist(), c[8:].null_count", "([2], 1)"),
            ("c[1:9].validity.tolist()", "[122]"),
            ("c[::2].validity.tolist()", "[15]"),
            ("c[4:8].validity, memoryview(c[4:8]).tolist()", "(None, [5, 6, 7, 8])"),
            ("c.values.tolist()[2]", "3"),
        ):
            self.assertEqual(show(expression, nulls), expected, expression)
        text = pa.array(["a", "bcd", "", "é"])
        self.assertEqual(show("c.offsets.tolist(), c[1:3].offsets.tolist()", text), "([0, 1, 4, 4, 6], [1, 4, 4])")
        self.assertEqual(show("memoryview(c).shape, memoryview(c).tolist()", pa.array([b"ab", b"cd"], pa.binary(2))), "((2, 2), [[97, 98], [99, 100]])")
        self.assertEqual(show("c.values.shape, c.values.nbytes", pa.array([D(1), D(2)], pa.decimal128(5, 0))), "((2, 16), 32)")

    def test_memory_that_there_is_not(self):
        for array, expression, error in (
            (pa.array([1, None]), "memoryview(c)", "BufferError"),
            (pa.array(["a"]), "memoryview(c)", "BufferError"),
            (pa.array(["a"]), "c.values", "TypeError"),
            (pa.array([True]), "c.values", "TypeError"),
            (pa.array([[1]]), "c.values", "TypeError"),
            (pa.array([1]), "c.offsets", "TypeError"),
            (pa.array(["a", "b"]), "c[::-1].offsets", "TypeError"),
        ):
            parts = failure(self, vectorized(f"def f(c): return {expression}", [array.type], array.type), array)
            self.assertEqual((parts["kind"], parts["class"]), ("exception", error), expression)

    def test_values_that_python_cannot_hold(self):
        array = pa.array([0, 1], pa.timestamp("ns"))
        for code in ("c.to_list()", "list(c)", "[c[1]]", "5 in c"):
            parts = failure(self, vectorized(f"def f(c): return {code}", [array.type], array.type), array)
            self.assertEqual((parts["kind"], parts["class"]), ("argument", "vivarium.ArgumentError"))
            self.assertTrue(parts["message"].startswith("column `p0`, row 1: timestamp[ns] value 1 has a nanosecond part"), parts)
        code = "def f(c):\n    try: return c.to_list()\n    except ValueError as e: return [None] * len(c)\n"
        self.assertEqual(vectorized(code, [array.type], array.type)(array).null_count, 2)


class LentMemory(unittest.TestCase):
    """Results that stay where the function has them."""

    ROWS = 5000

    def numbers(self, code, result=pa.int64()):
        function = vectorized("import array\n" + code, [pa.int64()], result)
        return function, lambda: function(pa.array(range(self.ROWS), pa.int64())).to_pylist()

    def test_they_are_read_where_they_are(self):
        rows = self.ROWS
        for expression, expected in (
            ("array.array('q', range(7, 5007))", range(7, rows + 7)),
            ("memoryview(array.array('q', range(10000)))[2500:7500]", range(2500, 7500)),
            ("memoryview(array.array('q', range(10000)))[::2]", range(0, 10000, 2)),
            ("memoryview(bytes(40001))[1:].cast('q')", [0] * rows),
            ("memoryview(c)", range(rows)),
            ("memoryview(c)[::-1]", range(rows - 1, -1, -1)),
        ):
            _, call = self.numbers(f"def f(c): return {expression}")
            for _ in range(3):
                self.assertEqual(call(), list(expected), expression)

    def test_they_live_until_the_next_call(self):
        code = """
kept = array.array('q', range(5000))
gone = []
class Lender:
    def __buffer__(self, flags): return memoryview(kept)
    def __release_buffer__(self, view): gone.append(len(gone)); view.release()
def f(c):
    kept[0] = len(gone)
    return Lender()
"""
        _, call = self.numbers(code)
        self.assertEqual([call()[0] for _ in range(4)], [0, 1, 2, 3])
        _, call = self.numbers("kept = array.array('q', range(5000))\ndef f(c):\n    kept[0] += 1\n    return kept")
        self.assertEqual([call()[0] for _ in range(3)], [1, 2, 3])

    def test_a_call_that_fails_lends_nothing(self):
        code = "n = 0\ndef f(c):\n    global n\n    n += 1\n    return array.array('q', range(5000 - n % 2))"
        function, call = self.numbers(code)
        for _ in range(3):
            parts = failure(self, call)
            self.assertIn("expected 5000 values", parts["message"])
            self.assertEqual(call(), list(range(5000)))

    def test_the_input_can_be_the_result(self):
        function, call = self.numbers("def f(c): return memoryview(c)")
        before = function.backend.kept
        for _ in range(3):
            self.assertEqual(call(), list(range(self.ROWS)))
        self.assertEqual(function.backend.kept, before + 3)

    def test_rows_that_are_left_out_stay_out(self):
        function = vectorized("import array\ndef f(c): return array.array('q', c)", [pa.int64()], pa.int64(), null_handling="skip")
        values = [None if i % 7 == 0 else i for i in range(self.ROWS)]
        for _ in range(2):
            self.assertEqual(function(pa.array(values, pa.int64())).to_pylist(), values)


class Results(unittest.TestCase):
    def one(self, expression, result, values=(1, 2, 3), nullable=True):
        function = vectorized(f"def f(c): return {expression}\n", [pa.int64()], pa.field("result", result, nullable=nullable))
        return function(pa.array(values, pa.int64()))

    def test_buffers(self):
        for expression, result, expected in (
            ("array.array('q', [4, 5, 6])", pa.int64(), [4, 5, 6]),
            ("array.array('d', [4, 5, 6])", pa.float64(), [4.0, 5.0, 6.0]),
            ("memoryview(array.array('q', range(6)))[::-2]", pa.int64(), [5, 3, 1]),
            ("b'abc'", pa.uint8(), [97, 98, 99]),
            ("bytearray(b'abc')", pa.int16(), [97, 98, 99]),
            ("memoryview(bytes([1, 0, 1])).cast('?')", pa.bool_(), [True, False, True]),
            ("memoryview(bytes([1, 0, 1, 0, 0, 0])).cast('?')[::2]", pa.bool_(), [True, True, False]),
            ("array.array('i', [4, 5, 6])", pa.int64(), [4, 5, 6]),
            ("array.array('f', [0.5, 1, 2])", pa.float64(), [0.5, 1.0, 2.0]),
            ("array.array('q', [0, 1, 86400])", pa.timestamp("s"), [dt.datetime(1970, 1, 1), dt.datetime(1970, 1, 1, 0, 0, 1), dt.datetime(1970, 1, 2)]),
            ("memoryview(c)", pa.int64(), [1, 2, 3]),
            ("c.values", pa.int64(), [1, 2, 3]),
            ("c", pa.float64(), [1.0, 2.0, 3.0]),
            ("c[::-1]", pa.int32(), [3, 2, 1]),
            ("range(3)", pa.int64(), [0, 1, 2]),
            ("(x * 2 for x in c)", pa.int64(), [2, 4, 6]),
            ("['a', None, 'b']", pa.string(), ["a", None, "b"]),
        ):
            with self.subTest(expression=expression, result=result):
                self.assertEqual(self.one(expression, result).to_pylist(), expected)

    def test_wrong_lengths(self):
        for expression, got in (("[]", "0"), ("[1]", "1"), ("(1, 2, 3, 4)", "4"), ("c[:2]", "2"), ("c[::-1][:1]", "1"), ("array.array('q', [1])", "1"),
                                ("itertools.count()", "4 or more"), ("iter([1])", "1"), ("memoryview(c)[1:]", "2"), ("collections.deque([1] * 4)", "4 or more")):
            parts = failure(self, self.one, expression, pa.int64())
            self.assertEqual((parts["kind"], parts["message"]), ("result", f"column `result`: expected 3 values (one per row), got {got}"), expression)

    def test_refused(self):
        for expression in ("None", "5", "'abc'", "b'abc'", "{1: 2, 2: 3, 3: 4}", "{1, 2, 3}", "object"):
            parts = failure(self, self.one, expression, pa.int64())
            self.assertEqual(parts["kind"], "result")
            self.assertIn("expected a Column, a buffer or a sequence of int64 values, got ", parts["message"])
        parts = failure(self, self.one, "[1, 'x', 3]", pa.int64())
        self.assertEqual((parts["kind"], parts["row"], parts["message"]), ("result", 1, "column `result`, row 1: expected int64, got str 'x'"))
        parts = failure(self, self.one, "[1, None, 3]", pa.int64(), nullable=False)
        self.assertEqual((parts["row"], parts["message"]), (1, "column `result`, row 1: None for a NOT NULL result (expected int64)"))
        parts = failure(self, self.one, "c", pa.int64(), [1, None, 3], nullable=False)
        self.assertEqual((parts["kind"], parts["row"]), ("result", 1))
        self.assertEqual(failure(self, self.one, "1 / 0", pa.int64())["class"], "ZeroDivisionError")

    def test_empty_batches_are_not_passed_on(self):
        self.assertEqual(self.one("1 / 0", pa.int64(), []).to_pylist(), [])


class Nulls(unittest.TestCase):
    def test_skip(self):
        code = "def f(a, b):\n    assert a.null_count == b.null_count == 0 and len(a) == 2\n    return [f'{x}{y}' for x, y in zip(a, b)]\n"
        function = vectorized(code, [pa.int64(), pa.string()], pa.string(), null_handling="skip")
        arrays = pa.array([1, None, 3, None, 5]), pa.array(["a", "b", None, None, "e"])
        self.assertEqual(function(*arrays).to_pylist(), ["1a", None, None, None, "5e"])

    def test_skip_of_every_type(self):
        for arrow_type, values in CASES:
            if pa.types.is_null(arrow_type):
                continue
            batch = [None] + [v for value in values for v in (value, None, value)] + values * 3
            array = arrow(arrow_type, batch)
            for code in ("def f(c): return c\n", "def f(c): return list(c)\n", "def f(c):\n    assert c.validity is None\n    return c[::-1][::-1]\n"):
                with self.subTest(type=arrow_type, code=code):
                    result = vectorized(code, [arrow_type], arrow_type, null_handling="skip")(array)
                    self.assertTrue(result.equals(array), f"{result} is not {array}")

    def test_no_row_is_left(self):
        function = vectorized("def f(c): 1 / 0\n", [pa.int64()], pa.int64(), null_handling="skip")
        self.assertEqual(function(pa.array([None, None], pa.int64())).to_pylist(), [None, None])

    def test_rows_in_messages(self):
        function = vectorized("def f(c): return [1, 'x']\n", [pa.int64()], pa.int64(), null_handling="skip")
        self.assertEqual(failure(self, function, pa.array([None, 1, None, 2, None]))["row"], 3)
        function = vectorized("def f(c): return c\n", [pa.int64()], pa.field("r", pa.int64(), nullable=False), null_handling="skip")
        self.assertEqual(failure(self, function, pa.array([1, 2, None]))["row"], 2)
        function = vectorized("def f(c): return [1]\n", [pa.int64()], pa.int64(), null_handling="skip")
        self.assertIn("expected 2 values (one per row), got 1", failure(self, function, pa.array([None, 1, None, 2, None]))["message"])

    def test_call(self):
        self.assertEqual(vectorized("def f(c): return [x is None for x in c]\n", [pa.int64()], pa.bool_())(pa.array([1, None])).to_pylist(), [False, True])


class Escapes(unittest.TestCase):
    """What outlives its batch keeps the batch's memory."""

    def kept(self, function, *arrays):
        before = function.backend.kept
        result = function(*arrays)
        return function.backend.kept - before, result

    def test_columns_and_views(self):
        for keep in ("c", "c[1:]", "c.values", "memoryview(c)", "memoryview(c)[1:]", "iter(c)", "c[::-1].values", "c[1:].validity or c"):
            code = f"import gc\nold = []\ndef f(c):\n    old.append({keep})\n    return [repr([list(x) if not isinstance(x, type(iter(c))) else 0 for x in old])] * len(c)\n"
            function = vectorized(code, [pa.int64()], pa.string())
            expected = []
            for start in (1000, 2000, 3000):
                values = list(range(start, start + 5))
                kept, result = self.kept(function, pa.array(values))
                self.assertEqual(kept, 1, keep)
                shown = {"c[1:]": values[1:], "memoryview(c)[1:]": values[1:], "c[::-1].values": values[::-1], "iter(c)": 0}.get(keep, values)
                expected.append(shown)
                self.assertEqual(result[0].as_py(), repr(expected), keep)

    def test_nothing_is_kept(self):
        for code in ("return c", "return c.values", "x = memoryview(c); y = x[1:]; x.release(); return list(c)", "g = (x for x in c); next(g); return c",
                     "x = memoryview(c)\n    x.release()\n    x.release()\n    return c"):
            self.assertEqual(self.kept(vectorized(f"def f(c):\n    {code}\n", [pa.int64()], pa.int64()), pa.array([1, 2]))[0], 0, code)

    def test_a_failed_call(self):
        code = "old = []\ndef f(c):\n    old.append(c)\n    if len(old) < 3: raise ValueError\n    return [repr([list(x) for x in old])] * len(c)\n"
        function = vectorized(code, [pa.int64()], pa.string())
        before = function.backend.kept
        for n in range(2):
            self.assertEqual(failure(self, function, pa.array([n + 1000]))["kind"], "exception")
            self.assertEqual(function.backend.kept - before, n + 1)
        self.assertEqual(function(pa.array([7]))[0].as_py(), "[[1000], [1001], [7]]")
        function = vectorized("def f(c): raise ValueError(c)\n", [pa.int64()], pa.int64())
        before = function.backend.kept
        self.assertEqual(failure(self, function, pa.array([1]))["kind"], "exception")
        self.assertEqual(function.backend.kept, before)

    def test_cycles_are_collected(self):
        function = vectorized("def f(c):\n    x = [c]\n    x.append(x)\n    return c\n", [pa.int64()], pa.int64())
        total = sum(self.kept(function, pa.array([1, 2]))[0] for _ in range(200))
        self.assertLess(total, 200)
        self.assertGreater(total, 0)

    def test_columns_of_skipped_rows(self):
        code = "old = []\ndef f(c):\n    old.append((c, c.values))\n    return [repr([(list(x), list(y)) for x, y in old])] * len(c)\n"
        function = vectorized(code, [pa.int64()], pa.string(), null_handling="skip")
        function(pa.array([1, None, 2]))
        kept, result = self.kept(function, pa.array([None, 3, 4]))
        self.assertEqual((kept, result[1].as_py()), (0, "[([1, 2], [1, 2]), ([3, 4], [3, 4])]"))

    def test_equal_values_of_two_batches(self):
        code = "import itertools\nlast = None\ndef f(c):\n    global last\n    before, last = last, iter(c)\n    return [next(before) if before else 0] + [None] * (len(c) - 1)\n"
        function = vectorized(code, [pa.string()], pa.string())
        with self.assertRaises(backends.BridgeError):
            function(pa.array(["first", "x"]))
        self.assertEqual(function(pa.array(["second", "y"]))[0].as_py(), "first")


class Hostile(unittest.TestCase):
    """Nothing of this may do more than fail."""

    CODES = """
        class L(list):
            def __len__(self): return 10**9
        return L([1, 2])
        ----
        class S:
            def __len__(self): return -1
            def __getitem__(self, i): return i
        return S()
        ----
        class S:
            def __getitem__(self, i):
                if i > 1: raise IndexError
                return i
        return S()
        ----
        class S:
            def __iter__(self): return 5
        return S()
        ----
        class S:
            def __iter__(self): return self
            def __next__(self): raise KeyboardInterrupt
        return S()
        ----
        x = [1, 2]
        class I:
            def __index__(self):
                x.clear()
                return 1
        x[0] = I()
        return x
        ----
        x = [1, 2]
        class I:
            def __index__(self):
                x.append(1)
                return 1
        x[0] = I()
        return x
        ----
        class B:
            def __buffer__(self, flags): raise SystemExit
        return B()
        ----
        class B:
            def __buffer__(self, flags): return memoryview(c)
            def __release_buffer__(self, view): raise ValueError(c[0])
        return B()
        ----
        class B:
            def __buffer__(self, flags): return memoryview(c)[:1]
            def __release_buffer__(self, view): list(c)
        return B()
        ----
        m = memoryview(c)
        m.release()
        return m
        ----
        class E:
            def __eq__(self, other): raise ValueError
        E() in c
        ----
        class D:
            def __del__(self): c.to_list(); raise ValueError(c)
            def __repr__(self): raise ValueError
        return [D(), D()]
        ----
        class X(Exception):
            def __str__(self): raise X
        raise X(c)
        ----
        def g():
            yield 1
            raise ValueError(list(c))
        return g()
        ----
        def g():
            return (yield from g())
        return g()
        ----
        import gc
        gc.get_referrers(c); gc.get_objects(); gc.collect()
        return [len(gc.get_referents(c))] * 2
        ----
        import copy, pickle
        try: copy.deepcopy(c)
        except TypeError: pass
        try: pickle.dumps(c)
        except TypeError: pass
        type(c).__new__(type(c))
        ----
        it = iter(c)
        list(it); list(it); it.__length_hint__()
        return it
        ----
        return c[0:1].__class__.__iter__(c)
    """

    def test_codes(self):
        import contextlib
        import io

        for code in self.CODES.split("----"):
            body = "\n".join(line[4:] for line in code.strip("\n").split("\n"))
            function = vectorized(f"def f(c):\n{body}\n", [pa.int64()], pa.int64())
            with self.subTest(code=code), contextlib.redirect_stderr(io.StringIO()):
                for _ in range(3):
                    try:
                        function(pa.array([1, 2]))
                    except backends.BridgeError as error:
                        self.assertIn(error.kind, ("exception", "result", "recursion", "exit"))


if __name__ == "__main__":
    unittest.main()
