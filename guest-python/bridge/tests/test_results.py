"""What is accepted as a result, what is refused, and how the refusal reads."""

import datetime as dt
import unittest
from decimal import Context, Decimal as D

import pyarrow as pa

from arrow_nodes import ArrayNode, SchemaNode, array_node, struct_schema
from support import Function, batch_of, bridge, failure, to_pyarrow

PRELUDE = """
import datetime as dt, decimal, fractions, collections, array
from decimal import Decimal as D
class Index:
    def __init__(self, value): self.value = value
    def __index__(self): return self.value
class Float:
    def __float__(self): return 2.5
class Str(str): pass
class Tz(dt.tzinfo):
    def utcoffset(self, d): return None
Pair = collections.namedtuple("Pair", "a b")
"""


def returning(expression, result, **options):
    function = Function(f"{PRELUDE}\ndef f():\n    return {expression}\n", [], result, **options)
    return lambda: function(length=1).to_pylist()[0]


def required(arrow_type):
    return pa.field("result", arrow_type, nullable=False)


S = pa.struct([pa.field("a", pa.int32(), nullable=False), ("b", pa.string())])

ACCEPTED = [
    (pa.int8(), "True", 1),
    (pa.int32(), "Index(7)", 7),
    (pa.int64(), "3.0", 3),
    (pa.int64(), "-(2**63)", -(2**63)),
    (pa.int64(), "float(2**62)", 2**62),
    (pa.uint64(), "float(2**63)", 2**63),
    (pa.uint8(), "Index(255)", 255),
    (pa.float64(), "3", 3.0),
    (pa.float64(), "True", 1.0),
    (pa.float64(), "Float()", 2.5),
    (pa.float64(), "D('1.5')", 1.5),
    (pa.float64(), "fractions.Fraction(1, 4)", 0.25),
    (pa.float32(), "Index(3)", 3.0),
    (pa.float16(), "2", 2.0),
    (pa.float32(), "0.1", 0.10000000149011612),
    (pa.string(), "Str('x')", "x"),
    (pa.binary(), "bytearray(b'ab')", b"ab"),
    (pa.binary(), "memoryview(b'abcdef')[::2]", b"ace"),
    (pa.binary(2), "memoryview(b'ab')", b"ab"),
    (pa.binary(), "memoryview(array.array('i', [1]))", b"\1\0\0\0"),
    (pa.date32(), "dt.datetime(2024, 5, 6, 7)", dt.date(2024, 5, 6)),
    (pa.date64(), "dt.date(2024, 5, 6)", dt.date(2024, 5, 6)),
    (pa.timestamp("us"), "dt.datetime(2024, 1, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))", dt.datetime(2024, 1, 1, 10)),
    (pa.timestamp("us", "UTC"), "dt.datetime(2024, 1, 1, 12)", dt.datetime(2024, 1, 1, 12, tzinfo=dt.timezone.utc)),
    (pa.timestamp("us"), "dt.datetime(2024, 1, 1, tzinfo=Tz())", dt.datetime(2024, 1, 1)),
    (pa.timestamp("us"), "dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(microseconds=-1)))", dt.datetime(1, 1, 1, 0, 0, 0, 1)),
    (pa.timestamp("s", "Europe/Berlin"), "dt.datetime(2024, 7, 1, tzinfo=dt.timezone.utc)", dt.datetime(2024, 7, 1, tzinfo=dt.timezone.utc)),
    (pa.decimal128(10, 2), "5", D("5.00")),
    (pa.decimal128(10, 2), "True", D("1.00")),
    (pa.decimal128(10, 2), "D('1.5000')", D("1.50")),
    (pa.decimal128(10, 2), "D('12E3')", D("12000.00")),
    (pa.decimal128(10, 2), "D('0E-50')", D("0.00")),
    (pa.decimal128(10, 2), "D('0E+999')", D("0.00")),
    (pa.decimal128(10, 2), "D('-0')", D("0.00")),
    (pa.decimal128(38, 2), "D('1' + '0' * 90 + 'E-90')", D("1.00")),
    (pa.decimal256(76, 0), "10**76 - 1", D(10**76 - 1)),
    (pa.decimal256(76, 0), "-(10**76) + 1", D(-(10**76) + 1)),
    (pa.decimal256(76, 75), "-9", D("-9." + "0" * 75)),
    (pa.decimal128(38, 0), "10**37", D(10**37)),
    (pa.decimal128(38, 10), "decimal.Context(prec=3).create_decimal('1.234')", D("1.2300000000")),
    (pa.list_(pa.int64()), "(1, 2)", [1, 2]),
    (pa.list_(pa.int64()), "range(3)", [0, 1, 2]),
    (pa.list_(pa.int64()), "array.array('q', [5])", [5]),
    (pa.list_(pa.int64()), "collections.deque([1])", [1]),
    (S, "(1, 'x')", {"a": 1, "b": "x"}),
    (S, "Pair(1, None)", {"a": 1, "b": None}),
    (S, "{'b': 'y', 'a': 3}", {"a": 3, "b": "y"}),
    (S, "{'a': 3}", {"a": 3, "b": None}),
    (S, "collections.OrderedDict(a=3)", {"a": 3, "b": None}),
    (pa.map_(pa.string(), pa.int32()), "[('a', 1), ['b', None]]", [("a", 1), ("b", None)]),
    (pa.map_(pa.string(), pa.int32()), "collections.Counter('aab')", [("a", 2), ("b", 1)]),
    (pa.null(), "None", None),
]

# (result, expression, the end of the message after "column `result`, row 0: ")
REFUSED = [
    (pa.int32(), "2**31", "expected int32, got int 2147483648: out of range"),
    (pa.int8(), "-129", "expected int8, got int -129: out of range"),
    (pa.uint8(), "-1", "expected uint8, got int -1: out of range"),
    (pa.uint64(), "-1", "expected uint64, got int -1: out of range"),
    (pa.uint64(), "2**64", "expected uint64, got int 18446744073709551616: out of range"),
    (pa.int64(), "2**63", "expected int64, got int 9223372036854775808: out of range"),
    (pa.int64(), "10**9999", "expected int64, got int <an int of 33216 bits>: out of range"),
    (pa.int64(), "1e300", "expected int64, got float 1e+300: out of range"),
    (pa.int64(), "1.5", "expected int64, got float 1.5: it has a fraction"),
    (pa.int64(), "float('nan')", "expected int64, got float nan"),
    (pa.int64(), "float('inf')", "expected int64, got float inf"),
    (pa.int64(), "'1'", "expected int64, got str '1'"),
    (pa.int64(), "D('1')", "expected int64, got decimal.Decimal Decimal('1')"),
    (pa.int64(), "Index('x')", None),
    (pa.bool_(), "1", "expected bool, got int 1"),
    (pa.float64(), "'1.5'", "expected float64, got str '1.5'"),
    (pa.float64(), "Str('1.5')", "expected float64, got udf.Str '1.5'"),
    (pa.float64(), "10**400", None),
    (pa.float32(), "1e39", "expected float32, got float 1e+39: out of range"),
    (pa.float16(), "65520.0", "expected float16, got float 65520.0: out of range"),
    (pa.string(), "b'x'", "expected utf8, got bytes b'x'"),
    (pa.string(), "5", "expected utf8, got int 5"),
    (pa.string(), "'a\\ud800'", "expected utf8, got str 'a\\ud800': it holds surrogates, which UTF-8 does not allow"),
    (pa.binary(), "'x'", "expected binary, got str 'x'"),
    (pa.binary(), "[1]", "expected binary, got list [1]"),
    (pa.binary(3), "b'ab'", "expected fixed_size_binary(3), got bytes b'ab': wrong length"),
    (pa.binary(3), "bytearray(4)", None),
    (pa.date32(), "'2024-01-01'", "expected date32, got str '2024-01-01'"),
    (pa.time64("us"), "dt.datetime(2024, 1, 1)", None),
    (pa.time64("us"), "dt.time(1, tzinfo=dt.timezone.utc)", None),
    (pa.time32("s"), "dt.time(1, 1, 1, 5)", "expected time32[s], got datetime.time datetime.time(1, 1, 1, 5): finer than the type's unit"),
    (pa.timestamp("ms"), "dt.datetime(2024, 1, 1, 0, 0, 0, 1)", None),
    (pa.timestamp("us"), "dt.date(2024, 1, 1)", "expected timestamp[us], got datetime.date datetime.date(2024, 1, 1)"),
    (pa.timestamp("ns"), "dt.datetime(1600, 1, 1)", "expected timestamp[ns], got datetime.datetime datetime.datetime(1600, 1, 1, 0, 0): out of range"),
    (pa.timestamp("us", "UTC"), "0", "expected timestamp[us, tz=UTC], got int 0"),
    (pa.duration("ns"), "dt.timedelta.max", None),
    (pa.duration("us"), "dt.timedelta.max", None),
    (pa.duration("us"), "5", "expected duration[us], got int 5"),
    (pa.decimal128(10, 2), "D('1.234')", "expected decimal128(10, 2), got decimal.Decimal Decimal('1.234'): more decimal places than the type's scale"),
    (pa.decimal128(4, 2), "D('100')", "expected decimal128(4, 2), got decimal.Decimal Decimal('100'): more digits than the type's precision"),
    (pa.decimal128(4, 2), "100", "expected decimal128(4, 2), got int 100: more digits than the type's precision"),
    (pa.decimal128(38, 0), "10**38", None),
    (pa.decimal256(76, 0), "10**76", None),
    (pa.decimal256(76, 0), "10**900", None),
    (pa.decimal256(76, 0), "2**255", None),
    (pa.decimal256(76, 0), "D(10**90)", None),
    (pa.decimal256(76, 0), "D('1E+999999')", None),
    (pa.decimal256(76, 76), "D('1E-999999')", None),
    (pa.decimal256(76, 76), "D('1.' + '1' * 99)", None),
    (pa.decimal128(4, 2), "D('NaN')", "expected decimal128(4, 2), got decimal.Decimal Decimal('NaN'): only finite numbers fit"),
    (pa.decimal128(4, 2), "D('-Infinity')", None),
    (pa.decimal128(4, 2), "D('sNaN')", None),
    (pa.decimal128(4, 2), "1.5", "expected decimal128(4, 2), got float 1.5"),
    (pa.list_(pa.int64()), "'ab'", "expected list<int64>, got str 'ab'"),
    (pa.list_(pa.int64()), "{1: 2}", "expected list<int64>, got dict {1: 2}"),
    (pa.list_(pa.int64()), "{1}", "expected list<int64>, got set {1}"),
    (pa.list_(pa.int64()), "(i for i in ())", None),
    (pa.list_(pa.int16(), 2), "[1]", "expected fixed_size_list<int16, 2>, got list [1]: wrong number of elements"),
    (S, "(1,)", "expected struct<a: int32, b: utf8>, got tuple (1,): wrong number of fields"),
    (S, "[1, 'x']", None),
    (S, "{'b': 'y'}", "expected struct<a: int32, b: utf8>, got dict {'b': 'y'}: the field `a` is missing"),
    (S, "{'a': 1, 'c': 2}", "expected struct<a: int32, b: utf8>, got dict {'a': 1, 'c': 2}: it has no field with the key str 'c'"),
    (pa.map_(pa.string(), pa.int32()), "[('a',)]", None),
    (pa.map_(pa.string(), pa.int32()), "'ab'", None),
    (pa.null(), "1", "expected null, got int 1"),
]

# (result, expression, path, rest of the message)
NESTED = [
    (pa.list_(pa.int64()), "[1, 'x']", "result[1]", "expected int64, got str 'x'"),
    (pa.list_(S), "[{'a': 1}, {'a': None}]", "result[1].a", "None for a NOT NULL result (expected int32)"),
    (S, "{'a': 1, 'b': 2}", "result.b", "expected utf8, got int 2"),
    (pa.map_(pa.string(), pa.int32()), "{'a': 1, 2: 3}", "result[1].key", "expected utf8, got int 2"),
    (pa.map_(pa.string(), pa.int32()), "{'a': 1, 'b': '2'}", "result[1].value", "expected int32, got str '2'"),
    (pa.map_(pa.string(), pa.int32()), "{None: 1}", "result[0].key", "None for a NOT NULL result (expected utf8)"),
    (pa.struct([("items", pa.list_(pa.struct([("price", pa.int8())])))]), "{'items': [{'price': 1}, {'price': 999}]}", "result.items[1].price", "expected int8, got int 999: out of range"),
    (pa.list_(pa.list_(pa.int8())), "[[1], [2, 300]]", "result[1][1]", "expected int8, got int 300: out of range"),
]


class Results(unittest.TestCase):
    def test_accepted(self):
        for arrow_type, expression, expected in ACCEPTED:
            with self.subTest(type=arrow_type, expression=expression):
                self.assertEqual(returning(expression, arrow_type)(), expected)

    def test_refused(self):
        for arrow_type, expression, message in REFUSED:
            with self.subTest(type=arrow_type, expression=expression):
                parts = failure(self, returning(expression, arrow_type))
                self.assertEqual((parts["kind"], parts["column"], parts["row"]), ("result", "result", 0))
                self.assertTrue(parts["message"].startswith(f"column `result`, row 0: expected {pattern(arrow_type)}"), parts)
                if message is not None:
                    self.assertEqual(parts["message"], f"column `result`, row 0: {message}")

    def test_nested_paths(self):
        for arrow_type, expression, path, message in NESTED:
            with self.subTest(path=path):
                parts = failure(self, returning(expression, arrow_type))
                self.assertEqual(parts["kind"], "result")
                self.assertEqual(parts["message"], f"column `{path}`, row 0: {message}")
                self.assertEqual(parts["column"], "result")

    def test_not_null(self):
        parts = failure(self, returning("None", required(pa.int64())))
        self.assertEqual(parts["message"], "column `result`, row 0: None for a NOT NULL result (expected int64)")
        self.assertEqual(returning("4", required(pa.int64()))(), 4)

    def test_the_failing_row_is_named_and_the_next_batch_is_clean(self):
        function = Function("def f(x):\n    return x\n", [pa.int64()], pa.int8())
        parts = failure(self, function, pa.array([1, None, 1000, 3]))
        self.assertEqual(parts["row"], 2)
        self.assertEqual(parts["message"], "column `result`, row 2: expected int8, got int 1000: out of range")
        self.assertEqual(function(pa.array([1, None, 3])).to_pylist(), [1, None, 3])

    def test_unnamed_result(self):
        function = Function("def f():\n    return 'x'\n", [], pa.field("", pa.int8()))
        self.assertEqual(failure(self, function, length=1)["column"], "result")
        function = Function("def f():\n    return 'x'\n", [], pa.field("total", pa.int8()))
        self.assertEqual(failure(self, function, length=1)["column"], "total")

    def test_user_code_in_conversions(self):
        code = """
items = [1]
class Growing:
    def __index__(self):
        items.append(2)
        if len(items) > 5: items.clear()
        return 1
class Failing:
    def __index__(self):
        raise KeyError("mine")
def f(x):
    if x == 0:
        items[:] = [Growing(), Growing(), Growing()]
        return items
    return [Failing()]
"""
        function = Function(code, [pa.int64()], pa.list_(pa.int64()))
        self.assertEqual(function(pa.array([0])).to_pylist(), [[1, 1, 1]])
        parts = failure(self, function, pa.array([0, 1]))
        self.assertEqual((parts["kind"], parts["class"], parts["row"]), ("exception", "KeyError", 1))
        self.assertIn("in __index__", parts["traceback"])

    def test_huge_and_hostile_values_in_messages(self):
        code = """
class Evil:
    def __repr__(self): raise SystemExit
class Long:
    def __repr__(self): return 'x' * 10_000_000
class Meta(type):
    @property
    def __name__(cls): raise ValueError
    @property
    def __module__(cls): raise ValueError
class Odd(metaclass=Meta): pass
class NotText:
    def __repr__(self): return 5
class Chosen:
    __class__ = int
cases = [Evil(), Long(), Odd(), NotText(), Chosen(), 'y' * 10_000_000, list(range(10**6)), [[[[[[1]]]]]], 'é\\ud800' * 100, {i: i for i in range(100)}]
def f(i):
    return cases[i]
"""
        function = Function(code, [pa.int64()], pa.date32())
        for i in range(10):
            parts = failure(self, function, pa.array([i]))
            self.assertEqual(parts["kind"], "result")
            self.assertLess(len(parts["message"]), 400)
        self.assertIn("udf.Evil whose repr() failed", failure(self, function, pa.array([0]))["message"])

    def test_intervals_without_a_pyarrow_type(self):
        for form, raw, shown in (
            ("tiM", [13, -1], ["13", "-1"]),
            ("tiD", [(1, 2), (-3, -4)], ["DayTime(days=1, milliseconds=2)", "DayTime(days=-3, milliseconds=-4)"]),
        ):
            width = 4 if form == "tiM" else 8
            numbers = [n for item in raw for n in (item if isinstance(item, tuple) else (item,))]
            data = b"".join(n.to_bytes(4, "little", signed=True) for n in numbers)
            schema, text = SchemaNode(form, "x"), SchemaNode("u", "r")
            batch = ArrayNode(2, 0, [None], [ArrayNode(2, 0, [None, data])])
            handle = bridge().load("def f(x): return x", struct_schema([schema]), schema)
            result = bridge().invoke(handle, batch, schema)
            self.assertEqual(result.buffers[1], data, f"{width} bytes a value")
            handle = bridge().load("def f(x): return repr(x)", struct_schema([schema]), text)
            self.assertEqual(to_pyarrow(bridge().invoke(handle, batch, text), pa.string()).to_pylist(), shown)
        schema = SchemaNode("tiD", "x")
        handle = bridge().load("def f(x): return (1,)", struct_schema([schema]), schema)
        parts = failure(self, bridge().invoke, handle, batch, schema)
        self.assertIn("expected interval[day_time], got tuple (1,): expected (days, milliseconds)", parts["message"])


def pattern(arrow_type):
    """How the bridge's name of the type begins."""
    names = {"string": "utf8", "halffloat": "float16", "float": "float32", "double": "float64"}
    text = str(arrow_type)
    return names.get(text, text.split("[")[0].split("(")[0].split("<")[0])


class Arguments(unittest.TestCase):
    """Values that Python cannot hold."""

    CASES = [
        (pa.timestamp("ns"), pa.int64(), [0, 1], 1, "timestamp[ns] value 1 has a nanosecond part, which Python cannot hold"),
        (pa.timestamp("ns"), pa.int64(), [0, -1], 1, "timestamp[ns] value -1 has a nanosecond part, which Python cannot hold"),
        (pa.time64("ns"), pa.int64(), [5], 0, "time64[ns] value 5 has a nanosecond part, which Python cannot hold"),
        (pa.duration("ns"), pa.int64(), [5], 0, "duration[ns] value 5 has a nanosecond part, which Python cannot hold"),
        (pa.timestamp("s"), pa.int64(), [253402300800], 0, "timestamp[s] value 253402300800 is outside what Python can hold"),
        (pa.timestamp("s"), pa.int64(), [-(2**63)], 0, None),
        (pa.timestamp("us"), pa.int64(), [2**63 - 1], 0, None),
        (pa.timestamp("us", "Europe/Berlin"), pa.int64(), [253402300799000000], 0, None),
        (pa.timestamp("us", "+05:30"), pa.int64(), [253402300799000000], 0, None),
        (pa.date32(), pa.int32(), [2932897], 0, "date32 value 2932897 is outside what Python can hold"),
        (pa.date32(), pa.int32(), [-(2**31)], 0, None),
        (pa.date64(), pa.int64(), [1], 0, "date64 value 1 is not a whole day"),
        (pa.date64(), pa.int64(), [-(2**63)], 0, None),
        (pa.time32("s"), pa.int32(), [86400], 0, "time32[s] value 86400 is outside what Python can hold"),
        (pa.time32("ms"), pa.int32(), [-1], 0, None),
        (pa.duration("s"), pa.int64(), [2**62], 0, None),
    ]

    def test_values_that_python_cannot_hold(self):
        for arrow_type, raw_type, values, row, message in self.CASES:
            with self.subTest(type=arrow_type, values=values):
                array = pa.Array.from_buffers(arrow_type, len(values), pa.array(values, raw_type).buffers())
                function = Function("def f(x): return 1", [pa.field("when", arrow_type)], pa.int8())
                parts = failure(self, function, array)
                self.assertEqual((parts["kind"], parts["column"], parts["row"]), ("argument", "when", row))
                if message:
                    self.assertEqual(parts["message"], f"column `when`, row {row}: {message}")

    def test_maps(self):
        doubled = pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int8()))
        function = Function("def f(x): return 1", [doubled.type], pa.int8())
        self.assertIn("a key twice", failure(self, function, doubled)["message"])
        unhashable = pa.array([[([1], 2)]], pa.map_(pa.list_(pa.int8()), pa.int8()))
        function = Function("def f(x): return 1", [unhashable.type], pa.int8())
        self.assertIn("has a list as key", failure(self, function, unhashable)["message"])

    def test_nested_path(self):
        array = pa.array([{"when": [0, 1000]}], pa.struct([("when", pa.list_(pa.int64()))]))
        arrow_type = pa.struct([("when", pa.list_(pa.timestamp("ns")))])
        array = pa.array([{"when": [0, 1]}], pa.struct([("when", pa.list_(pa.int64()))])).cast(arrow_type)
        function = Function("def f(x): return 1", [pa.field("p", arrow_type)], pa.int8())
        parts = failure(self, function, array)
        self.assertTrue(parts["message"].startswith("column `p.when[]`, row 0: timestamp[ns] value 1 has"), parts)

    def test_skip_null(self):
        code = "def f(a, b):\n    assert a is not None and b is not None\n    return a + b\n"
        function = Function(code, [pa.int64(), pa.int64()], pa.int64(), null_handling="skip")
        result = function(pa.array([1, None, 3, None]), pa.array([1, 2, None, None]))
        self.assertEqual(result.to_pylist(), [2, None, None, None])
        function = Function(code, [pa.int64(), pa.int64()], required(pa.int64()), null_handling="skip")
        self.assertEqual(failure(self, function, pa.array([1, None]), pa.array([1, 1]))["row"], 1)

    def test_no_parameters(self):
        self.assertEqual(Function("def f(): return 4", [], pa.int64())(length=3).to_pylist(), [4, 4, 4])

    def test_many_parameters(self):
        count = 300
        function = Function("def f(*args): return sum(args)", [pa.int64()] * count, pa.int64())
        self.assertEqual(function(*[pa.array([i, 1000])  for i in range(count)]).to_pylist(), [sum(range(count)), 1000 * count])


class ReusedObjects(unittest.TestCase):
    """Argument objects are used again only where nobody can tell."""

    VALUES = {
        pa.int64(): [10**6, -(10**6), 2**40, -(2**40), 2**62, 5, 300, 2**40, -7, 2**63 - 1, 1000, -(2**63)],
        pa.int32(): [1000, -1000, 2**31 - 1, -(2**31), 3],
        pa.uint64(): [2**64 - 1, 1000],
        pa.float64(): [0.5, 1.5, -2.5],
        pa.float32(): [0.5, 1.5, -2.5],
        pa.string(): ["ab", "abcdefgh" * 8, "abc", "a", "", "é", "xyz" * 30, "qwertyuiop", "zz"],
        pa.date32(): [dt.date(2000, 1, 1), dt.date(2001, 2, 3)],
        pa.time64("us"): [dt.time(1), dt.time(2, 3, 4, 5)],
        pa.timestamp("us"): [dt.datetime(2000, 1, 1), dt.datetime(2001, 2, 3, 4, 5, 6, 7)],
        pa.timestamp("us", "UTC"): [dt.datetime(2000, 1, 1, tzinfo=dt.timezone.utc), dt.datetime(2001, 2, 3, tzinfo=dt.timezone.utc)],
        pa.duration("us"): [dt.timedelta(1), dt.timedelta(2, 3, 4)],
        pa.decimal128(38, 2): [D("1.00"), D("22222222222.22"), D(10**35).quantize(D("1.00"), context=Context(prec=40)), D("-3.00")],
    }
    KEEPERS = {
        "list": "kept = []\ndef f(x):\n    kept.append(x)\n    return repr(kept)\n",
        "every other": "kept = []\nn = 0\ndef f(x):\n    global n\n    n += 1\n    if n % 2: kept.append(x)\n    return repr(kept)\n",
        "dict key": "kept = {}\ndef f(x):\n    kept[x] = 1\n    return repr(list(kept))\n",
        "hash": "kept = {}\ndef f(x):\n    kept[hash(x), repr(x)] = repr(x)\n    return '[' + ', '.join(kept.values()) + ']'\n",
        "cache": "import functools\n@functools.lru_cache\ndef g(x): return [x]\nkept = []\ndef f(x):\n    kept.append(g(x)[0])\n    return repr(kept)\n",
        "generator": "kept = []\ndef g(x):\n    yield x\ndef f(x):\n    kept.append(g(x))\n    return repr([next(h) for h in kept]) if len(kept) == COUNT else ''\n",
        "exception": "kept = []\ndef f(x):\n    try: raise ValueError(x)\n    except ValueError as e: kept.append(e)\n    return repr([e.args[0] for e in kept])\n",
        "intern": "import sys\nkept = []\ndef f(x):\n    kept.append(sys.intern(x) if type(x) is str else x)\n    return repr(kept)\n",
        "intern only": "import sys\nkept = []\ndef f(x):\n    kept.append(repr(x))\n    if type(x) is str: sys.intern(x)\n    return '[' + ', '.join(kept) + ']'\n",
        "attribute": "class C: pass\nc = C()\ndef f(x):\n    if type(x) is str and x.isidentifier():\n        setattr(c, x, x)\n        getattr(c, x)\n        return repr(list(vars(c)))\n    return ''\n",
    }

    def test_kept_arguments_stay_as_they_were(self):
        for arrow_type, values in self.VALUES.items():
            for name, code in self.KEEPERS.items():
                with self.subTest(type=arrow_type, keeper=name):
                    batch = values * 3
                    code = code.replace("COUNT", str(len(batch)))
                    array = pa.array(batch, arrow_type)
                    shown = Function(code, [arrow_type], pa.string())(array).to_pylist()[-1]
                    values_seen = batch
                    if name == "every other":
                        expected = values_seen[::2]
                    elif name in ("dict key", "hash"):
                        expected = list(dict.fromkeys(values_seen))
                    elif name == "attribute":
                        expected = list(dict.fromkeys(v for v in values_seen if isinstance(v, str) and v.isidentifier()))
                        shown = shown or repr(expected)
                    else:
                        expected = values_seen
                    self.assertEqual(shown, repr(expected))

    def test_small_integers_stay_singletons(self):
        code = "def f(x):\n    return x is int(str(x))\n"
        for arrow_type in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint64()):
            low = 0 if "uint" in str(arrow_type) else -5
            array = pa.array([low, 100, 0, 1, 7, 127], arrow_type)
            self.assertEqual(Function(code, [arrow_type], pa.bool_())(array).to_pylist(), [True] * 6)
        array = pa.array([1000, 256, 257, -6, -5])
        self.assertEqual(Function(code, [pa.int64()], pa.bool_())(array).to_pylist(), [False, True, False, False, True])

    def test_hashes_follow_the_value(self):
        for arrow_type, values in self.VALUES.items():
            code = f"def f(x):\n    return hash(x) == hash(eval(repr(x), N))\nimport datetime\nfrom decimal import Decimal\nN = globals()\n"
            array = pa.array(values * 2, arrow_type)
            with self.subTest(type=arrow_type):
                self.assertEqual(set(Function(code, [arrow_type], pa.bool_())(array).to_pylist()), {True})

    def test_arithmetic_on_reused_integers(self):
        numbers = [s * (2**n + d) for n in range(63) for d in (-1, 0, 1) for s in (1, -1) if abs(2**n + d) < 2**63]
        code = "def f(x):\n    return repr((x + 1, x * x, -x, x >> 3, x // 7, x == int(str(x)), [1, 2][:x], f'{x:x}'))\n"
        shown = Function(code, [pa.int64()], pa.string())(pa.array(numbers)).to_pylist()
        space = {}
        exec(code, space)
        self.assertEqual(shown, [space["f"](n) for n in numbers])


if __name__ == "__main__":
    unittest.main()
