"""Batches of many types through the native bridge: the part of the training set that CPython runs for it.

None of the functions may be used as a benchmark whose figure is published.
"""
import datetime as dt
import decimal
import os
import random
import sys

sys.path.insert(0, os.environ["VIVARIUM_BRIDGE_TESTS"])
import pyarrow as pa  # noqa: E402
import support  # noqa: E402
from backends import CALL  # noqa: E402

ROWS = 40_000
source = random.Random(7)
WORDS = ["alpha", "Beta", "", "GAMMA delta", "straße", "日本語テキスト", "x" * 50, "id-4711"]


def column(kind):
    make = {
        "int": lambda i: source.choice([i, i % 100, i * 1_000_003, -i, i << 33]),
        "float": lambda i: i * 0.37 - 5,
        "str": lambda i: WORDS[i % 8] + str(i % 13),
        "bool": lambda i: i % 3 == 0,
        "decimal": lambda i: decimal.Decimal(i * 37) / 100,
        "date": lambda i: dt.date(2020, 1, 1) + dt.timedelta(days=i % 900),
        "timestamp": lambda i: dt.datetime(2021, 3, 4, 5, 6, 7) + dt.timedelta(seconds=i),
        "list": lambda i: list(range(i % 6)),
        "struct": lambda i: {"a": i, "b": WORDS[i % 8]},
    }[kind]
    return [make(i) for i in range(ROWS)]


INT, FLOAT, STR, BOOL = pa.int64(), pa.float64(), pa.string(), pa.bool_()
DECIMAL, DATE, STAMP = pa.decimal128(18, 2), pa.date32(), pa.timestamp("us")
LIST, STRUCT = pa.list_(pa.int64()), pa.struct([("a", INT), ("b", STR)])
KINDS = {INT: "int", FLOAT: "float", STR: "str", BOOL: "bool", DECIMAL: "decimal", DATE: "date", STAMP: "timestamp", LIST: "list", STRUCT: "struct"}

FUNCTIONS = [
    (40, "def f(a, b): return a - b", [INT, INT], INT),
    (20, "def f(a, b, c): return (a + b) ^ c", [INT, INT, INT], INT),
    (12, "def f(a): return a * 3 // 7 if a > 10 else -a", [INT], INT),
    (20, "def f(x, y): return x * y + 0.5", [FLOAT, FLOAT], FLOAT),
    (6, "def f(a): return a / 3", [INT], FLOAT),
    (10, "def f(s): return s.lower()", [STR], STR),
    (6, "def f(s, n): return s[1:n % 7] + '-' + s", [STR, INT], STR),
    (6, "def f(s): return len(s) if s else None", [STR], INT),
    (4, "def f(s): return ' '.join(w.capitalize() for w in s.split())", [STR], STR),
    (4, "def f(a, b): return a > 5 and b", [INT, BOOL], BOOL),
    (4, "def f(p, q): return p + q", [DECIMAL, DECIMAL], DECIMAL),
    (3, "import datetime\ndef f(d): return d + datetime.timedelta(days=3)", [DATE], DATE),
    (3, "def f(t): return t.replace(minute=0)", [STAMP], STAMP),
    (4, "def f(x): return [v * 2 for v in x]", [LIST], LIST),
    (4, "def f(x): return {'a': x['a'] + 1, 'b': x['b']}", [STRUCT], STRUCT),
    (4, "import math\ndef f(a, b, c, d): return 2 * 6371 * math.asin(math.sqrt(math.sin((c - a) / 2) ** 2 + math.cos(a) * math.cos(c) * math.sin((d - b) / 2) ** 2) % 1)", [FLOAT] * 4, FLOAT),
    (6, "class C:\n    def g(self, a): return a + 1\nc = C()\ndef f(a): return c.g(a)", [INT], INT),
    (4, "def f(*a): return sum(a)", [INT, INT], INT),
    (4, "def f(a):\n    try:\n        return 1 // (a % 3)\n    except ZeroDivisionError:\n        return None", [INT], INT),
]


def values(type, small):
    """A column of a type. Small integers keep sums and products inside int64."""
    made = column(KINDS[type])
    return pa.array([value % 1_000_000 for value in made] if small and type == INT else made, type)


def main():
    for rounds, code, parameters, result in FUNCTIONS:
        function = support.Function(code, parameters, result)
        small = result == INT and parameters[0] == INT
        batch = support.batch_of([values(type, small) for type in parameters], function.inputs)
        backend = function.backend
        block, out = backend.block(batch), backend.allocate(128)
        for _ in range(rounds):
            if backend.call("vivarium_invoke", function.handle, CALL, block, out) < 0:
                raise backend.last_error()
        backend.call("vivarium_free", block)
        backend.call("vivarium_free", out)


if __name__ == "__main__":
    main()
