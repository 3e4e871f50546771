"""Arrow types as type text, and values of each."""

import datetime
import decimal
import uuid

import pyarrow as pa

UTC = datetime.timezone.utc
D = decimal.Decimal


def text_of(field):
    """The type of a field as our own dialect spells it, nullability at every level."""
    return type_text(field.type) + ("" if pa.types.is_null(field.type) else " NULL" if field.nullable else " NOT NULL")


def type_text(t):
    if isinstance(t, pa.BaseExtensionType):
        return {"arrow.json": "JSON", "arrow.uuid": "UUID"}[t.extension_name]
    if pa.types.is_fixed_size_list(t):
        return f"FIXED_SIZE_LIST<{text_of(t.value_field)}>[{t.list_size}]"
    if pa.types.is_large_list(t):
        return f"LARGE_LIST<{text_of(t.value_field)}>"
    if pa.types.is_list(t):
        return f"LIST<{text_of(t.value_field)}>"
    if pa.types.is_struct(t):
        return "STRUCT<" + ", ".join(f"{quoted(f.name)} {text_of(f)}" for f in t) + ">"
    if pa.types.is_map(t):
        return f"MAP<{text_of(t.key_field)}, {text_of(t.item_field)}>"
    return str(t)


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def ext(storage_type, storage, extension):
    return pa.ExtensionArray.from_storage(extension, pa.array(storage, storage_type))


# Arrow type and values without null, none equal to its neighbour.
FLAT = [
    (pa.bool_(), [True, False, True]),
    (pa.int8(), [-128, 127, 0]),
    (pa.int16(), [-32768, 32767, 0]),
    (pa.int32(), [-(2**31), 2**31 - 1, 0]),
    (pa.int64(), [-(2**63), 2**63 - 1, 0]),
    (pa.uint8(), [0, 255, 7]),
    (pa.uint16(), [0, 65535, 7]),
    (pa.uint32(), [2**32 - 1, 0, 7]),
    (pa.uint64(), [2**64 - 1, 0, 7]),
    (pa.float16(), [1.5, -0.0, 65504.0]),
    (pa.float32(), [0.5, float("inf"), -0.0]),
    (pa.float64(), [0.1, -1e308, 5e-324]),
    (pa.decimal32(9, 2), [D("1234567.89"), D("-0.01"), D(0)]),
    (pa.decimal64(18, 0), [D(10**18 - 1), D(-1), D(0)]),
    (pa.decimal128(10, 2), [D("12345678.90"), D("-0.01"), D(0)]),
    (pa.decimal128(38, 38), [D("0." + "9" * 38), D("-1E-38"), D(0)]),
    (pa.decimal256(76, 10), [D(10**76 - 1).scaleb(-10, decimal.Context(prec=80)), D("1E-10"), D(0)]),
    (pa.string(), ["päivää 🦎", "", "x\x00y"]),
    (pa.large_string(), ["abc", "x" * 1000, ""]),
    (pa.string_view(), ["short", "longer than twelve bytes", ""]),
    (pa.binary(), [b"\x00\xff", b"", b"abc"]),
    (pa.large_binary(), [b"abc", b"x" * 1000, b""]),
    (pa.binary_view(), [b"short", b"longer than twelve bytes", b""]),
    (pa.binary(4), [b"abcd", b"\x00\x01\x02\x03", b"    "]),
    (pa.date32(), [datetime.date(1969, 7, 20), datetime.date(9999, 12, 31), datetime.date(1, 1, 1)]),
    (pa.date64(), [datetime.date(2024, 2, 29), datetime.date(1, 1, 1), datetime.date(1970, 1, 1)]),
    (pa.time32("s"), [datetime.time(23, 59, 59), datetime.time(0), datetime.time(1)]),
    (pa.time32("ms"), [datetime.time(1, 2, 3, 4000), datetime.time(0), datetime.time(1)]),
    (pa.time64("us"), [datetime.time(1, 2, 3, 4), datetime.time(0), datetime.time(23, 59, 59, 999999)]),
    (pa.time64("ns"), [datetime.time(1, 2, 3, 4), datetime.time(0), datetime.time(1)]),
    (pa.timestamp("s"), [datetime.datetime(1960, 1, 2, 3, 4, 5), datetime.datetime(2100, 1, 1), datetime.datetime(1970, 1, 1)]),
    (pa.timestamp("ms"), [datetime.datetime(2024, 1, 2, 3, 4, 5, 6000), datetime.datetime(1, 1, 1), datetime.datetime(1970, 1, 1)]),
    (pa.timestamp("us"), [datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 999999), datetime.datetime(1970, 1, 1)]),
    (pa.timestamp("ns"), [datetime.datetime(2024, 1, 2, 3, 4, 5, 6), datetime.datetime(1700, 1, 1), datetime.datetime(1970, 1, 1)]),
    (pa.timestamp("us", "UTC"), [datetime.datetime(2024, 7, 1, 12, tzinfo=UTC), datetime.datetime(1970, 1, 1, tzinfo=UTC), datetime.datetime(1950, 1, 1, tzinfo=UTC)]),
    (pa.timestamp("ms", "Europe/Berlin"), [datetime.datetime(2024, 7, 1, 12, tzinfo=UTC), datetime.datetime(2024, 10, 27, 1, 30, tzinfo=UTC), datetime.datetime(1970, 1, 1, tzinfo=UTC)]),
    (pa.timestamp("s", "+05:30"), [datetime.datetime(2024, 7, 1, 12, tzinfo=UTC), datetime.datetime(1970, 1, 1, tzinfo=UTC), datetime.datetime(1950, 1, 1, tzinfo=UTC)]),
    (pa.duration("s"), [datetime.timedelta(days=-1), datetime.timedelta(seconds=5), datetime.timedelta(0)]),
    (pa.duration("ms"), [datetime.timedelta(milliseconds=-1), datetime.timedelta(days=9), datetime.timedelta(0)]),
    (pa.duration("us"), [datetime.timedelta(microseconds=7), datetime.timedelta(days=-9), datetime.timedelta(0)]),
    (pa.duration("ns"), [datetime.timedelta(microseconds=7), datetime.timedelta(days=-9), datetime.timedelta(0)]),
    (pa.month_day_nano_interval(), [pa.MonthDayNano([1, -2, 3]), pa.MonthDayNano([0, 0, 0]), pa.MonthDayNano([-5, 6, 7])]),
]

NESTED = [
    (pa.list_(pa.int64()), [[1, None], [], [3]]),
    (pa.list_(pa.field("item", pa.string(), False)), [["a", ""], [], ["b"]]),
    (pa.large_list(pa.float64()), [[1.5], [], [None, 2.5]]),
    (pa.list_(pa.float32(), 2), [[1.0, 2.0], [None, 0.5], [3.0, 4.0]]),
    (pa.list_(pa.field("item", pa.float32(), False), 3), [[1.0, 2.0, 3.0], [0.0, 0.5, 1.0], [9.0, 8.0, 7.0]]),
    (
        pa.struct([pa.field("a", pa.int32()), pa.field("b c", pa.string(), False)]),
        [{"a": 1, "b c": "x"}, {"a": None, "b c": ""}, {"a": 3, "b c": "y"}],
    ),
    (pa.map_(pa.string(), pa.int64()), [[("a", 1), ("b", None)], [], [("c", 3)]]),
    (pa.list_(pa.list_(pa.int8())), [[[1], None, []], [], [[2, None]]]),
    (
        pa.list_(pa.struct([pa.field("k", pa.list_(pa.map_(pa.int32(), pa.string())))])),
        [[{"k": [[(1, "x")], None]}, None], [], [{"k": None}]],
    ),
    (
        pa.map_(pa.string(), pa.struct([pa.field("d", pa.decimal128(5, 2), False)])),
        [[("a", {"d": D("1.25")})], [("b", None)], []],
    ),
]


def arrays():
    """(type, a function that makes an array of some of its values, its three values)."""
    for arrow_type, values in FLAT + NESTED:
        yield arrow_type, lambda some, arrow_type=arrow_type: pa.array(some, arrow_type), values
    ids = [uuid.UUID(int=0).bytes, uuid.UUID(int=2**128 - 1).bytes, uuid.UUID(int=5).bytes]
    yield pa.uuid(), lambda some: ext(pa.binary(16), some, pa.uuid()), ids


def with_nulls(values):
    """The values with a null before and after each."""
    return [value for pair in zip([None] * len(values), values) for value in pair] + [None]
