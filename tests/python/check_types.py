"""Every flat Arrow type through the server and back: as Python sees it, and as pyarrow gets it back."""

import datetime
import decimal
import unittest

import pyarrow as pa

from service import Function

UTC = datetime.timezone.utc
D = decimal.Decimal

# Arrow type, values without null, and what `repr` shows inside the function for the first of them.
CASES = [
    (pa.bool_(), [True, False], "True"),
    (pa.int8(), [-128, 127], "-128"),
    (pa.int16(), [-32768, 32767], "-32768"),
    (pa.int32(), [-(2**31), 2**31 - 1], "-2147483648"),
    (pa.int64(), [-(2**63), 2**63 - 1], "-9223372036854775808"),
    (pa.uint8(), [0, 255], "0"),
    (pa.uint16(), [0, 65535], "0"),
    (pa.uint32(), [2**32 - 1, 0], "4294967295"),
    (pa.uint64(), [2**64 - 1, 0], "18446744073709551615"),
    (pa.float16(), [1.5, -0.0], "1.5"),
    (pa.float32(), [0.5, float("inf")], "0.5"),
    (pa.float64(), [0.1, -1e308], "0.1"),
    (pa.decimal128(10, 2), [D("12345678.90"), D("-0.01")], "Decimal('12345678.90')"),
    (pa.decimal128(38, 0), [D(10**38 - 1), D(-(10**37))], f"Decimal('{10**38 - 1}')"),
    (pa.decimal256(76, 10), [D(10**76 - 1).scaleb(-10, decimal.Context(prec=80)), D("1E-10")], None),
    (pa.string(), ["päivää 🦎", ""], "'päivää 🦎'"),
    (pa.large_string(), ["abc", "x" * 1000], "'abc'"),
    (pa.string_view(), ["short", "longer than twelve bytes"], "'short'"),
    (pa.binary(), [b"\x00\xff", b""], "b'\\x00\\xff'"),
    (pa.large_binary(), [b"abc", b"x" * 1000], "b'abc'"),
    (pa.binary_view(), [b"short", b"longer than twelve bytes"], "b'short'"),
    (pa.binary(4), [b"abcd", b"\x00\x01\x02\x03"], "b'abcd'"),
    (pa.date32(), [datetime.date(1969, 7, 20), datetime.date(9999, 12, 31)], "datetime.date(1969, 7, 20)"),
    (pa.date64(), [datetime.date(2024, 2, 29), datetime.date(1, 1, 1)], "datetime.date(2024, 2, 29)"),
    (pa.time32("s"), [datetime.time(23, 59, 59), datetime.time(0)], "datetime.time(23, 59, 59)"),
    (pa.time32("ms"), [datetime.time(1, 2, 3, 4000), datetime.time(0)], "datetime.time(1, 2, 3, 4000)"),
    (pa.time64("us"), [datetime.time(1, 2, 3, 4), datetime.time(0)], "datetime.time(1, 2, 3, 4)"),
    (pa.time64("ns"), [datetime.time(1, 2, 3, 4), datetime.time(0)], "datetime.time(1, 2, 3, 4)"),
    (pa.timestamp("s"), [datetime.datetime(1960, 1, 2, 3, 4, 5)] * 2, "datetime.datetime(1960, 1, 2, 3, 4, 5)"),
    (pa.timestamp("ms"), [datetime.datetime(2024, 1, 2, 3, 4, 5, 6000)] * 2, None),
    (pa.timestamp("us"), [datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999)], None),
    (pa.timestamp("ns"), [datetime.datetime(2024, 1, 2, 3, 4, 5, 6)] * 2, None),
    (
        pa.timestamp("us", "UTC"),
        [datetime.datetime(2024, 7, 1, 12, tzinfo=UTC)] * 2,
        "datetime.datetime(2024, 7, 1, 12, 0, tzinfo=datetime.timezone.utc)",
    ),
    (
        pa.timestamp("ms", "Europe/Berlin"),
        [datetime.datetime(2024, 7, 1, 12, tzinfo=UTC)] * 2,
        "datetime.datetime(2024, 7, 1, 14, 0, tzinfo=zoneinfo.ZoneInfo(key='Europe/Berlin'))",
    ),
    (pa.timestamp("s", "+05:30"), [datetime.datetime(2024, 7, 1, 12, tzinfo=UTC)] * 2, None),
    (pa.duration("s"), [datetime.timedelta(days=-1), datetime.timedelta(seconds=5)], "datetime.timedelta(days=-1)"),
    (pa.duration("ms"), [datetime.timedelta(milliseconds=-1)] * 2, None),
    (pa.duration("us"), [datetime.timedelta(microseconds=7)] * 2, "datetime.timedelta(microseconds=7)"),
    (pa.duration("ns"), [datetime.timedelta(microseconds=7)] * 2, None),
    (pa.month_day_nano_interval(), [pa.MonthDayNano([1, -2, 3])] * 2, None),
]


def spelling(arrow_type):
    """The type as a spec spells it: the names that pyarrow prints."""
    return str(arrow_type)


class Types(unittest.TestCase):
    maxDiff = None

    def test_values_come_back_equal(self):
        for arrow_type, values, _ in CASES:
            for data in (values, [None, *values, None], [None], []):
                with self.subTest(type=str(arrow_type), rows=len(data)):
                    name = spelling(arrow_type) + " NULL"
                    identity = Function("def f(x): return x", "f", [name], name)
                    column = pa.array(data, arrow_type)
                    batch = pa.RecordBatch.from_arrays([column], names=["arg1"])
                    (result,), usage = identity.exchange([batch])
                    self.assertEqual(result.schema.field(0).type, arrow_type)
                    self.assertTrue(result.column(0).equals(column), f"{result.column(0)} != {column}")
                    self.assertEqual(usage["rows"], len(data))

    def test_a_slice_is_only_its_rows(self):
        for arrow_type, values, _ in CASES:
            with self.subTest(type=str(arrow_type)):
                name = spelling(arrow_type) + " NULL"
                identity = Function("def f(x): return x", "f", [name], name)
                column = pa.array([None, *values, None, *values] * 5, arrow_type).slice(3, 11)
                self.assertEqual(identity(column), column.to_pylist())

    def test_python_values_are_what_a_python_person_expects(self):
        for arrow_type, values, shown in CASES:
            if shown is None:
                continue
            with self.subTest(type=str(arrow_type)):
                function = Function("def f(x): return repr(x)", "f", [spelling(arrow_type)], "VARCHAR")
                column = pa.array(values, arrow_type)
                batch = pa.RecordBatch.from_arrays([column], schema=pa.schema([pa.field("arg1", arrow_type, False)]))
                (result,), _ = function.exchange([batch])
                self.assertEqual(result.column(0)[0].as_py(), shown)

    def test_null_is_none(self):
        function = Function("def f(x): return x is None", "f", ["BIGINT NULL"], "BOOLEAN")
        self.assertEqual(function(([1, None, 0], pa.int64())), [False, True, False])
        nothing = Function("def f(x): return x", "f", ["null NULL"], "null NULL")
        self.assertEqual(nothing(pa.nulls(3)), [None, None, None])

    def test_string_like_types_are_interchangeable(self):
        function = Function("def f(x): return x.upper()", "f", ["VARCHAR"], "VARCHAR")
        for arrow_type in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
            with self.subTest(type=str(arrow_type)):
                self.assertEqual(function((["ab", "ab", "ß"], arrow_type)), ["AB", "AB", "SS"])

    def test_ten_million_rows(self):
        function = Function("def f(a, b): return a + b", "f", ["BIGINT NULL", "BIGINT NULL"], "BIGINT NULL")
        piece = pa.array(range(65_536), pa.int64())
        batch = pa.RecordBatch.from_arrays([piece, piece], names=["a", "b"])
        count = 10_000_000 // 65_536 + 1
        results, usage = function.exchange([batch] * count)
        self.assertEqual(usage["rows"], count * 65_536)
        expected = pa.array([2 * value for value in range(65_536)], pa.int64())
        self.assertTrue(all(result.column(0).equals(expected) for result in results))


if __name__ == "__main__":
    unittest.main()
