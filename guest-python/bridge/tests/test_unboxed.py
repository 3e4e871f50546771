"""What is calculated without the interpreter is what the interpreter calculates, errors included."""

import itertools
import os
import textwrap
import unittest

import pyarrow as pa

from backends import BridgeError
from support import Function, failure
from unboxed_functions import MATH, TEXTS, VALUES, Functions

ORDINARY = {"x_options": {"unboxed": "off"}}
ROWS = 20
FUNCTIONS = int(os.environ.get("VIVARIUM_TEST_FUNCTIONS", 300))
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
        self.assertGreater(calculated() - before, rows // 8)


def crossed(*types):
    """Columns with every value of a type beside every value of the others."""
    rows = list(itertools.product(*([*VALUES[arrow_type], None] for arrow_type in types)))
    return [pa.array(column, arrow_type) for column, arrow_type in zip(zip(*rows), types)]


class Operators(Same):
    """Every operation on all pairs of hard values."""

    def each(self, expressions, columns, result, least, errors=0, **options):
        """`least`: how much of the rows is not handed back, at least, over all expressions."""
        before, rows = calculated(), 0
        for expression in expressions:
            with self.subTest(expression=expression, result=result, types=[column.type for column in columns]):
                names = "abc"[: len(columns)]
                code = f"import math\ndef f({', '.join(names)}): return {expression}\n"
                pair = self.both(code, [column.type for column in columns], result, **options)
                pair[1].code = expression
                self.compare(*pair, columns, errors)
                rows += len(columns[0])
        self.assertGreater(calculated() - before, rows * least)

    def test_numbers(self):
        operators = "+ - * / // % == != < <= > >= & | ^ >>".split()
        expressions = [f"a {operator} b" for operator in operators] + ["min(a, b)", "max(a, b)", "a if a else b"]
        ints, floats = pa.int64(), pa.float64()
        for types in ([ints, ints], [ints, floats], [floats, ints], [floats, floats], [pa.uint64(), pa.bool_()]):
            self.each(expressions, crossed(*types), floats, 0.2, on_error="null")
        amounts = pa.array([-1, 0, 1, 2, 3, 5, 31, 62, 63, 64, None], pa.int8())
        for first in (ints, floats, pa.int8()):
            rows = list(itertools.product([*VALUES[first], None], amounts.to_pylist()))
            columns = [pa.array(column, kind) for column, kind in zip(zip(*rows), (first, pa.int8()))]
            self.each(["a ** b", "a << b", "a >> b"], columns, floats, 0.1, on_error="null")
        powers = [0.0, 1.0, 2.0, -1.0, 0.5, 3.0, 1e300, float("inf"), float("nan")]
        rows = list(itertools.product([*VALUES[floats], -2.0, -3.5], powers))
        columns = [pa.array(column, floats) for column in zip(*rows)]
        self.each(["a ** b"], columns, floats, 0.3, errors=20, on_error="null")

    def test_blocks_of_equal_rows(self):
        """What a row gives by itself, a block of such rows gives many times, or hands back whole."""
        ints, floats = pa.int64(), pa.float64()
        operators = "+ - * / // % == != < <= > >= & | ^".split()
        expressions = [f"a {operator} b" for operator in operators]
        expressions += ["-a", "abs(a)", "float(a)", "math.sqrt(a)", "a * 2 + b", "(a + 1.5) * b", "a + True"]
        for types in (
            [ints, ints],
            [ints, floats],
            [floats, floats],
            [pa.bool_(), ints],
            [pa.bool_(), pa.bool_()],
            [pa.float32(), pa.int32()],
        ):
            rows = [row for row in zip(*(column.to_pylist() for column in crossed(*types))) if None not in row]
            columns = [
                pa.array([value for value in column for _ in range(9)], kind)
                for column, kind in zip(zip(*rows), types)
            ]
            for result in (floats, ints, pa.int32(), pa.bool_()):
                self.each(expressions, columns, result, 0.01, errors=0, on_error="null")

    def test_blocks_and_rows_take_turns(self):
        """Blocks of all lengths, interrupted by nulls and by rows that are handed back."""
        for length in (7, 8, 9, 127, 128, 129, 300):
            for every in (5, 130, 1000):
                numbers = [None if row % every == 4 else 2**62 if row % every == 3 else row for row in range(length)]
                columns = [pa.array(numbers, pa.int64()), pa.array(range(length), pa.int32())]
                for result in (pa.int64(), pa.int32(), pa.float64(), pa.int8()):
                    for options in ({"on_error": "null"}, {"null_handling": "skip", "on_error": "null"}):
                        self.each(["a * 2 + b", "a < b", "b", "7"], columns, result, 0, **options)

    def test_integers_to_the_last_bit(self):
        expressions = [f"a {operator} b" for operator in "+ - * // % & | ^".split()]
        small = pa.array([-100, -7, -1, 0, 1, 3, 10, 2**31, 2**40 + 1, -(2**33)] * 2, pa.int64())
        rows = list(itertools.product(small.to_pylist(), repeat=2))
        columns = [pa.array(column, pa.int64()) for column in zip(*rows)]
        self.each(expressions, columns, pa.int64(), 0.5, errors=200, on_error="null")
        self.each(["abs(a)", "-a", "~a", "+a", "a"], crossed(pa.int64()), pa.int64(), 0.5, 20, on_error="null")
        self.each(["a", "a // 2", "a + 1"], crossed(pa.uint64()), pa.uint64(), 0.4, 20, on_error="null")

    def test_one_number(self):
        expressions = [f"{name}(a)" for name in ("abs", "int", "float", "bool", "round", *MATH)]
        expressions += ["-a", "+a", "not a", "a is None", "1 < a", "a in (0, 1, 2.5, None)", "None if a != a else a"]
        for first in (pa.int64(), pa.float64(), pa.float32(), pa.bool_(), pa.uint64()):
            self.each(expressions, crossed(first), pa.float64(), 0.3, on_error="null")
        for result in (type for type in VALUES if type not in (pa.string(), pa.large_string())):
            for first in (pa.int64(), pa.float64(), pa.bool_()):
                self.each(["a"], crossed(first), result, 0, 20)

    def test_text(self):
        names = "upper lower strip lstrip rstrip".split()
        one = [f"a.{name}()" for name in names] + ["str(a)", "f'<{a}>'", "a[0]", "a[-1]", "a[1:]", "a[:-1]", "a[2:-3]"]
        self.each(one, crossed(pa.string()), pa.string(), 0.3, on_error="null")
        two = [f"a {operator} b" for operator in "== != < <= > >= in".split()]
        two += ["a not in b", "a.startswith(b)", "a.endswith(b)", "bool(a and b)"]
        short = [text for text in TEXTS if len(text) < 1000]
        rows = list(itertools.product([*short, None], repeat=2))
        columns = [pa.array(column, kind) for column, kind in zip(zip(*rows), (pa.string(), pa.large_string()))]
        self.each(two, columns, pa.bool_(), 0.3, on_error="null")
        self.each(["a + b", "min(a, b)", "a or b"], columns, pa.large_string(), 0.3, on_error="null")
        mixed = [pa.array(["1", "", None, "é", "a"]), pa.array([1, 0, None, -1, 2])]
        expressions = ["a == b", "a != b", "a < b", "a in b", "a.startswith(b)", "a or b", "a is b", "a and b", "b in a"]
        self.each([f"str({expression})" for expression in expressions], mixed, pa.string(), 0.1, on_error="null")
        self.each(["a + b", "b + a", "a * b", "a % b", "a[b]", "a[b:]", "a[:b]", "str(b)"], mixed, pa.string(), 0.1, on_error="null")


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

    TEXTS = """
        s.upper()|t.lower()|s.strip()|s.lstrip() + t.rstrip()|s + t|len(s)|s[1:]|s[:-1]|s[n:n + 2]|s[0]|s[-1]|s == t
        s < t|s != 'ab'|s in t|s not in t|s in ('ab', 'cd')|s.startswith('a')|t.endswith(s)|s or t|s and n
        s is None|str(n)|str(s)|f'{s}-{n}'|s if len(s) > n else t|min(s, t)|str(n == 1) + str(None)|bool(s)|'x' + W
        s[:3].upper() + t[3:].lower()"""

    def check(self, body, code, types, result, columns):
        with self.subTest(body=body):
            before = calculated()
            unboxed, ordinary = self.both(code, types, result)
            ordinary.code = code
            self.compare(unboxed, ordinary, columns)
            self.assertEqual(calculated() - before, len(columns[0]))

    def test_all_rows_of_text(self):
        columns = [pa.array(["ab", " Cd", "efgh "]), pa.array(["abc", "x" * 30, "Zz "], pa.large_string()), pa.array([1, 2, 3])]
        of_bool = ("==", "<", "!=", " in ", "with(", "is None", "bool")
        for text in self.TEXTS.strip().replace("\n", "|").split("|"):
            text = text.strip()
            truth = any(mark in text for mark in of_bool) and " if " not in text and "str(" not in text
            result = pa.bool_() if truth else pa.int64() if text.startswith("len") or " and " in text else pa.string()
            code = f"W = 'w'\ndef f(s, t, n): return {text}\n"
            self.check(text, code, [pa.string(), pa.large_string(), pa.int64()], result, columns)

    def test_all_rows(self):
        preamble = "import math\nfrom math import sqrt\nK, L, N = 2, 0.5, None\n"
        # The operator stands between blanks.
        expressions = self.NUMBERS.strip().replace("\n", "|").replace("a | b", "a $ b").split("|")
        bodies = [f"return {text.strip().replace('$', '|')}" for text in expressions] + self.BODIES
        columns = [pa.array([1, 7, 12, 27]), pa.array([3, 2, 5, 9])]
        for body in bodies:
            code = f"{preamble}def f(a, b):\n    {body}\n"
            self.check(body, code, [pa.int64()] * 2, pa.float64(), columns)


class Changes(Same):
    """What a program relies on changes in the middle of a batch; row 5 changes it, row 7 changes it back."""

    CODE = """
import builtins, math, sys
K = 1
{helpers}
def f(a):
    if a == 5: change()
    if a == 7: back()
    return {expression}
"""

    def test_in_a_batch(self):
        for helpers, expression in (
            ("def change():\n    global K\n    K = 10\ndef back():\n    global K\n    K = 'x'", "a + K"),
            ("def change():\n    global K\n    K = 2.5\ndef back():\n    global K\n    K = None", "K is None or a + K"),
            ("def change():\n    global K\n    K = 2**70\ndef back():\n    global K\n    del K", "a + K"),
            ("def g(a): return -a\ndef change():\n    f.__code__ = g.__code__\ndef back(): pass", "a"),
            ("def change():\n    global abs\n    abs = lambda x: 100\ndef back():\n    global abs\n    del abs", "abs(a)"),
            ("old = abs\ndef change(): builtins.abs = lambda x: 100\ndef back(): builtins.abs = old", "abs(a)"),
            ("old = math.sqrt\ndef change(): math.sqrt = abs\ndef back(): math.sqrt = old", "math.sqrt(a)"),
            ("old = math\ndef change():\n    global math\n    math = sys\ndef back():\n    global math\n    math = old",
             "a + math.pi if a != 6 else math.maxsize"),
            ("old, new = math, type(math)('new')\nnew.pi = 3\ndef change():\n    global math\n    math = new\n"
             "def back():\n    global math\n    math = old", "a + math.pi"),
            ("def change():\n    f.__defaults__ = (3,)\ndef back():\n    f.__kwdefaults__ = {}", "a"),
        ):
            with self.subTest(helpers):
                code = self.CODE.format(helpers=helpers, expression=expression)
                unboxed, ordinary = self.both(code, [pa.int64()], pa.float64(), on_error="null")
                ordinary.code = code
                before = calculated()
                for numbers in (range(1, 5), range(12), range(12)):
                    self.compare(unboxed, ordinary, [pa.array(numbers, pa.int64())])
                self.assertGreaterEqual(calculated() - before, 4)

    def test_a_finalizer_that_a_called_row_runs(self):
        code = """
            import gc
            K = 1
            class Cycle:
                def __init__(self): self.me = self
                def __del__(self):
                    global K
                    K = 1000
            def f(a):
                if a == 3: Cycle(); gc.collect()
                return a + K
        """
        code = textwrap.dedent(code)
        pair = self.both(code, [pa.int64()], pa.int64())
        pair[1].code = code
        self.compare(*pair, [pa.array(range(6))])


class Errors(Same):
    def test_rows_that_fail(self):
        batch = [pa.array([3, 2, 0, None, 4]), pa.array([1.5, None, 2.0, 0.0, 1e300])]
        for body in ("return b / a", "return a + b", "return int(b * 1e300)", "return a << 70", "return b ** b ** b",
                     "if a == 4:\n        raise ValueError(a)\n    return a", "return None", "return 300 * a", "return 'x'"):
            for result in (pa.field("y", pa.int64()), pa.field("y", pa.int8(), False), pa.field("y", pa.float32())):
                for options in ({}, {"on_error": "null"}, {"null_handling": "skip"}):
                    with self.subTest(body=body, result=result, options=options):
                        code = f"def f(a, b):\n    {body}\n"
                        pair = self.both(code, [pa.int64(), pa.float64()], result, **options)
                        pair[1].code = code
                        self.compare(*pair, batch, errors=5)

    def test_what_an_error_tells(self):
        before = calculated()
        function = Function("def f(a, b):\n    return a // b\n", [pa.int64()] * 2, pa.int64())
        parts = failure(self, function, pa.array([7, 8, 9]), pa.array([1, 2, 0]))
        self.assertEqual(calculated() - before, 2)
        self.assertEqual((parts["kind"], parts["row"], parts["class"]), ("exception", 2, "ZeroDivisionError"))
        self.assertEqual(parts["arguments"], [["p0", "9"], ["p1", "0"]])
        self.assertIn('File "udf.py", line 2, in f\n    return a // b', parts["traceback"])


class Handover(Same):
    def test_rows_that_are_always_handed_back(self):
        """After some of them in succession the batch is left to the interpreter; the next one is not."""
        function = Function("def f(a): return a * a\n", [pa.int64()], pa.float64())
        before = calculated()
        large = [2**40] * 200
        self.assertEqual(function(pa.array([*large, 3])).to_pylist(), [2.0**80] * 200 + [9.0])
        self.assertEqual(calculated() - before, 0)
        self.assertEqual(function(pa.array([*large[:20], 3, *large[:20], 4])).to_pylist()[20::21], [9.0, 16.0])
        self.assertEqual(calculated() - before, 2)

    def test_types_without_programs(self):
        for types, result in (
            ([pa.binary()], pa.int64()),
            ([pa.int64()], pa.decimal128(20, 2)),
            ([pa.date32()], pa.bool_()),
            ([pa.float16()], pa.float64()),
            ([pa.null()], pa.int64()),
        ):
            before = calculated()
            Function("def f(a): return None\n", types, result)(pa.array([None, None], types[0]))
            self.assertEqual(calculated(), before, types)

    def test_no_rows_and_no_parameters(self):
        function = Function("def f(): return 5\n", [], pa.int64())
        self.assertEqual(function(length=3).to_pylist(), [5, 5, 5])
        self.assertEqual(function(length=0).to_pylist(), [])


if __name__ == "__main__":
    unittest.main()
