"""Every type, with and without nulls, in both directions, against pyarrow."""

import datetime as dt
import decimal
import unittest
import zoneinfo
from decimal import Decimal as D

import pyarrow as pa

from support import Function

IDENTITY = "def f(x):\n    return x\n"
SHOW = "def f(x):\n    return repr(x)\n"

UTC = dt.timezone.utc
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
INDIA = dt.timezone(dt.timedelta(hours=5, minutes=30))
EPOCH = dt.datetime(1970, 1, 1)
BIG = 10**76 - 1


def instants(zone):
    naive = [EPOCH, dt.datetime(2024, 7, 1, 12), dt.datetime(1901, 1, 31, 23, 59, 59), dt.datetime(2024, 10, 27, 1)]
    return [value.replace(tzinfo=UTC).astimezone(zone) for value in naive]


def many(convert):
    return [convert(i) for i in range(-150, 150)]


S = pa.struct([("a", pa.int32()), ("b", pa.string())])

# (type, values); None stands for "the same as pyarrow's own".
CASES = [
    (pa.null(), [None, None, None]),
    (pa.bool_(), [True, False, True, True] + [False, True] * 20),
    (pa.int8(), [-128, -1, 0, 1, 127]),
    (pa.int16(), [-(2**15), 0, 2**15 - 1]),
    (pa.int32(), [-(2**31), -(2**30), 2**30, 0, 2**31 - 1]),
    (pa.int64(), [-(2**63), 2**63 - 1, 0, 1 << 30, -(1 << 30), 1 << 60, -(1 << 60), (1 << 60) - 1, 255, 257]),
    (pa.uint8(), [0, 255]),
    (pa.uint16(), [0, 65535]),
    (pa.uint32(), [0, 2**32 - 1, 2**31]),
    (pa.uint64(), [0, 2**64 - 1, 2**63, 2**60, 2**30]),
    (pa.float16(), [0.5, -0.0, 65504.0, float("inf"), 2.0**-24]),
    (pa.float32(), [0.5, -1.5, float("inf"), -float("inf"), 3.0]),
    (pa.float64(), [0.1, -0.0, 1e308, 5e-324, float("inf")]),
    (pa.decimal32(9, 2), [D("0.00"), D("1234567.89"), D("-1234567.89"), D("-0.01")]),
    (pa.decimal64(18, 3), [D("0.000"), D("123456789012345.678"), D("-999999999999999.999")]),
    (pa.decimal128(38, 0), [D(0), D(10**38 - 1), D(-(10**38) + 1), D(10**18), D(10**19), D(2**63), D(-(2**63)), D(2**64)]),
    (pa.decimal128(10, 2), [D("1.50"), D("-2.25"), D("99999999.99"), D("0.00")]),
    (pa.decimal128(38, 38), [D("0." + "9" * 38), D("-0." + "0" * 37 + "1")]),
    (pa.decimal128(5, -2), [D("1.23E+4"), D("-9.9999E+6")]),
    (pa.decimal256(76, 0), [D(BIG), D(-BIG), D(0), D(10**40), D(10**18 - 1), D(2**127), D(-(2**128))]),
    (pa.decimal256(76, 30), [D(BIG).scaleb(-30, decimal.Context(prec=80)), D(f"1.{'0' * 30}"), D(f"-1.{'0' * 29}1")]),
    (pa.string(), ["", "a", "hello", "x" * 7, "x" * 8, "x" * 9, "y" * 100, "é", "grüße", "日本語", "🙂 ok", "a\0b", "ÿ"]),
    (pa.large_string(), ["", "a", "é" * 50, "z" * 65]),
    (pa.binary(), [b"", b"a", b"\0\xff" * 40, bytes(range(256))]),
    (pa.large_binary(), [b"", b"abc"]),
    (pa.binary(3), [b"abc", b"\0\0\0"]),
    (pa.binary(0), [b"", b""]),
    (pa.binary(100), [b"q" * 100, b"\1" * 100]),
    (pa.date32(), [dt.date.min, dt.date.max, dt.date(1970, 1, 1), dt.date(1969, 12, 31), dt.date(2000, 2, 29), dt.date(1900, 3, 1)]),
    (pa.date64(), [dt.date.min, dt.date.max, dt.date(1969, 12, 31)]),
    (pa.date32(), many(lambda i: dt.date(2000, 1, 1) + dt.timedelta(days=i * 977))),
    (pa.time32("s"), [dt.time(0), dt.time(23, 59, 59)]),
    (pa.time32("ms"), [dt.time(0), dt.time(23, 59, 59, 999000)]),
    (pa.time64("us"), [dt.time(0, 0, 0, 1), dt.time(23, 59, 59, 999999)]),
    (pa.time64("ns"), [dt.time(0, 0, 0, 1), dt.time(23, 59, 59, 999999)]),
    (pa.timestamp("s"), [EPOCH, dt.datetime.min, dt.datetime(9999, 12, 31, 23, 59, 59), dt.datetime(1969, 12, 31, 23, 59, 59)]),
    (pa.timestamp("ms"), [EPOCH, dt.datetime.min, dt.datetime(1969, 12, 31, 23, 59, 59, 999000)]),
    (pa.timestamp("us"), [EPOCH, dt.datetime.min, dt.datetime.max, dt.datetime(1969, 12, 31, 23, 59, 59, 999999)]),
    (pa.timestamp("ns"), [EPOCH, dt.datetime(1677, 9, 22), dt.datetime(2262, 4, 11), dt.datetime(1969, 12, 31, 23, 59, 59, 999999)]),
    (pa.timestamp("us", "UTC"), instants(UTC)),
    (pa.timestamp("s", "+05:30"), instants(INDIA)),
    (pa.timestamp("ns", "Europe/Berlin"), instants(BERLIN)),
    (pa.timestamp("ms", "Europe/Berlin"), instants(BERLIN)),
    (pa.duration("s"), [dt.timedelta(0), dt.timedelta(days=-3), dt.timedelta.min, dt.timedelta(days=999999999, seconds=86399)]),
    (pa.duration("ms"), [dt.timedelta(milliseconds=-1), dt.timedelta(days=5)]),
    (pa.duration("us"), [dt.timedelta(microseconds=-1), dt.timedelta(days=5), dt.timedelta(days=106751991)]),
    (pa.duration("ns"), [dt.timedelta(microseconds=-1), dt.timedelta(days=106751)]),
    (pa.month_day_nano_interval(), [pa.MonthDayNano([1, -2, 3]), pa.MonthDayNano([-(2**31), 2**31 - 1, -(2**63)])]),
    (pa.list_(pa.int64()), [[], [1, 2, 3], [None], [4, None] * 50]),
    (pa.large_list(pa.string()), [[], ["a", "é", None]]),
    (pa.list_(pa.int16(), 2), [[1, 2], [None, 3]]),
    (pa.list_(pa.list_(pa.float64())), [[], [[]], [[1.0], [], [2.0, None]], [None, [3.0]]]),
    (S, [{"a": 1, "b": "x"}, {"a": None, "b": None}]),
    (pa.struct([]), [{}, {}]),
    (pa.list_(S), [[], [{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}]]),
    (pa.struct([("s", S), ("l", pa.list_(pa.bool_()))]), [{"s": {"a": 1, "b": ""}, "l": [True, None]}, {"s": None, "l": None}]),
    (pa.map_(pa.string(), pa.int32()), [{}, {"a": 1, "b": None}, {"c": 3}]),
    (pa.map_(pa.int64(), pa.list_(S)), [{}, {1: [{"a": 1, "b": "x"}], 2: None}]),
    (pa.list_(pa.null()), [[], [None, None]]),
    (pa.list_(pa.list_(pa.int8(), 2), 1), [[[1, 2]], [[3, None]]]),
    (pa.struct([("d", pa.decimal128(38, 2)), ("t", pa.timestamp("us", "UTC"))]), [{"d": D("1.25"), "t": instants(UTC)[1]}]),
]


def arrow(arrow_type, values):
    if pa.types.is_map(arrow_type):
        values = [list(v.items()) if isinstance(v, dict) else v for v in values]
    return pa.array(values, arrow_type)


class Types(unittest.TestCase):
    def check(self, arrow_type, values):
        array = arrow(arrow_type, values)
        with self.subTest(type=arrow_type, nulls=array.null_count):
            same = Function(IDENTITY, [arrow_type], arrow_type)(array)
            self.assertTrue(same.equals(array), f"{same} is not {array}")
            shown = Function(SHOW, [arrow_type], pa.string())(array)
            self.assertEqual(shown.to_pylist(), [repr(value) for value in values])

    def test_without_nulls(self):
        for arrow_type, values in CASES:
            self.check(arrow_type, values)

    def test_with_nulls(self):
        for arrow_type, values in CASES:
            mixed = [v for value in values for v in (value, None)]
            self.check(arrow_type, mixed)
            self.check(arrow_type, [None] * 9 + mixed * 3)
            self.check(arrow_type, mixed * 3 + values * 5)

    def test_all_null(self):
        for arrow_type, _ in CASES:
            self.check(arrow_type, [None])
            self.check(arrow_type, [None] * 17)

    def test_empty_batch(self):
        for arrow_type, _ in CASES:
            self.check(arrow_type, [])

    def test_nan(self):
        for arrow_type in (pa.float16(), pa.float32(), pa.float64()):
            array = pa.array([float("nan")], arrow_type)
            shown = Function(SHOW, [arrow_type], pa.string())(array)
            self.assertEqual(shown.to_pylist(), ["nan"])
            self.assertEqual(str(Function(IDENTITY, [arrow_type], arrow_type)(array)[0]), "nan")

    def test_decimals_of_every_length(self):
        for bits, most in ((pa.decimal128, 38), (pa.decimal256, 76)):
            for scale in (0, 5, most):
                numbers = [s * int("123456789" * 9) % 10**n for n in range(1, most + 1) for s in (1, 7)]
                values = [D(f"{n}E-{scale}") for n in numbers]
                values += [D(f"-{v}") for v in values if v]
                self.check(bits(most, scale), values)
                edges = [D(f"{10**n + d}E-{scale}") for n in range(most) for d in (-1, 0, 1)]
                self.check(bits(most, scale), edges)


if __name__ == "__main__":
    unittest.main()
