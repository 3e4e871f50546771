"""What is calculated without the interpreter is what the interpreter calculates, errors included."""

import os
import unittest

import pyarrow as pa

from backends import BridgeError
from support import Function, is_wasm
from unboxed_functions import Functions

ORDINARY = {"x_options": {"unboxed": "off"}}
ROWS = 20
FUNCTIONS = int(os.environ.get("VIVARIUM_TEST_FUNCTIONS", 400))
PROBE = "import _vivarium\ndef f(x): return _vivarium.unboxed_rows()\n"


def calculated():
    """How many rows were calculated without the interpreter so far."""
    return Function(PROBE, [pa.int64()], pa.int64())(pa.array([0]))[0].as_py()


def outcome(function, columns):
    """What a call gives, so that equal means the same to the last bit."""
    try:
        return "values", repr(function(*columns).to_pylist())
    except BridgeError as error:
        return "error", error.parts


class Same(unittest.TestCase):
    """Comparisons with the interpreter."""

    def both(self, code, types, result, **options):
        return Function(code, types, result, **options), Function(code, types, result, **options | ORDINARY)

    def compare(self, unboxed, ordinary, columns, errors=3):
        """Compares a batch, and after a row that failed what follows it."""
        for _ in range(errors + 1):
            expected = outcome(ordinary, columns)
            self.assertEqual(outcome(unboxed, columns), expected, (ordinary.code, columns))
            if expected[0] == "values":
                return
            columns = [column.slice(expected[1]["row"] + 1) for column in columns]
            columns = [pa.array(column.to_pylist(), column.type) for column in columns]


class Random(Same):
    def test_random_functions(self):
        before, rows = calculated(), 0
        for seed in range(FUNCTIONS):
            source = Functions(seed)
            code, types, result = source.function()
            columns = [source.column(arrow_type, ROWS) for arrow_type in types]
            options = source.choice([{}, {}, {"null_handling": "skip"}, {"on_error": "null"}])
            with self.subTest(seed=seed):
                pair = self.both(code, types, result, **options)
                pair[1].code = code
                self.compare(*pair, columns)
                rows += ROWS
        self.assertGreater(calculated() - before, rows // 4)


class Fixed(Same):
    """Functions that must not fall back unnoticed."""

    NUMBERS = """
        a + b|a - b * 2|a // b|a % b|a / b|a ** 2|a & b|a | b|a ^ b|a << 2|a >> b|-a|+a|~a|not a|abs(-a)
        a < b|a <= b <= 9|a == b != 3|a if a > b else b|a and b|a or b|a is None|b is not None|a in (1, 2, 3)
        a not in {4, 5}|min(a, b)|max(a, b, 7)|int(a / 2)|float(a)|bool(b)|round(a / b)|pow(a, b)
        math.sqrt(a)|sqrt(b)|math.floor(a / b)|math.ceil(a / b)|math.trunc(a / b)|math.exp(b)|math.log(a)
        math.log2(a)|math.log10(b)|math.sin(a) + math.cos(b) * math.tan(a)|math.isnan(a / b)|math.pi * a
        math.isinf(a)|math.isfinite(a)|math.atan(a)|math.fabs(-a)|K * a + L|N is None|None|True
        (a if b else b) + (b if a else a)|min(a if a > b else b, (b or a) - 1)|a * b > 20 and not b == 3
        0 if a is None else a|1 < a < 100 < b"""
    BODIES = [
        "while b: a, b = b, a % b\n    return a",
        "n = 0\n    while a != 1:\n        a = a // 2 if a % 2 == 0 else 3 * a + 1\n        n += 1\n    return n",
        "x, y = 0, 1\n    for _ in range(b): x, y = y, x + y\n    return x",
        "s = 0\n    for i in range(a):\n        for j in range(i, b, 1):\n            if j == 3: continue\n            s += i * j\n    return s",
        "if a > 5: return a\n    elif b: return -a\n    else: return None",
        "try:\n        return a / b\n    except ZeroDivisionError:\n        return None",
        "if a < 0: raise ValueError(f'{a} is negative')\n    x = a * 2\n    x += b\n    x -= 1\n    return x",
        "if a > 1: x = 5\n    if a > 1: return x\n    return 0",
    ]

    def test_all_rows(self):
        preamble = "import math\nfrom math import sqrt\nK, L, N = 2, 0.5, None\n"
        # The operator stands between blanks.
        expressions = self.NUMBERS.strip().replace("\n", "|").replace("a | b", "a $ b").split("|")
        bodies = [f"return {text.strip().replace('$', '|')}" for text in expressions] + self.BODIES
        columns = [pa.array([1, 7, 12, 27]), pa.array([3, 2, 5, 9])]
        for body in bodies:
            with self.subTest(body=body):
                code = f"{preamble}def f(a, b):\n    {body}\n"
                before = calculated()
                unboxed, ordinary = self.both(code, [pa.int64()] * 2, pa.float64())
                ordinary.code = code
                self.compare(unboxed, ordinary, columns)
                self.assertEqual(calculated() - before, 4)


if __name__ == "__main__":
    unittest.main()
