"""The translation of functions that calculate: which there is, and that its parts agree with the bridge's."""

import math
import os
import re
import struct
import types
import unittest

from support import HERE

from vivarium import _unboxed
from vivarium._unboxed import MATH, OPERATIONS, translate

SOURCES = os.path.join(HERE, "..", "bridge", "src")


def read(name):
    with open(os.path.join(SOURCES, name)) as file:
        return file.read()


def function(code, **names):
    exec(code, names)
    return names["f"]


def program(code, n_parameters=2, **names):
    """The instructions as lists of a name and numbers, or None."""
    translated = translate(function(code, **names), n_parameters)
    if translated is None:
        return None
    return [(OPERATIONS[first], *rest) for first, *rest in struct.iter_unpack("<4H", translated[0])]


class Contract(unittest.TestCase):
    def test_operations_have_the_bridges_numbers(self):
        names = re.findall(r"^ +OPERATION\((\w+)\)", read("unboxed_operations.h"), re.MULTILINE)
        self.assertEqual(names, OPERATIONS)

    def test_functions_of_math_have_the_bridges_numbers(self):
        table = re.search(r"FUNCTIONS\[MATH_FUNCTIONS\]\)\(double\) = \{(.*?)\}", read("unboxed_arithmetic.c"), re.DOTALL)
        self.assertEqual(re.findall(r"\w+", table[1]), MATH)
        self.assertIn(f"MATH_FUNCTIONS = {len(MATH)} ", read("unboxed_arithmetic.h"))


class Programs(unittest.TestCase):
    def test_a_sum_is_one_instruction(self):
        self.assertEqual(program("def f(a, b): return a + b"), [("ADD", 4, 0, 1), ("RETURN", 0, 4, 0)])

    def test_a_comparison_is_part_of_its_jump(self):
        code = "def f(a, b):\n    if a < b: return a\n    return b"
        self.assertEqual(program(code), [("JUMP_UNLESS_LT", 2, 0, 1), ("RETURN", 0, 0, 0), ("RETURN", 0, 1, 0)])

    def test_a_variable_is_calculated_in_place(self):
        code = "def f(a, b):\n    a += b\n    return a"
        self.assertEqual(program(code), [("ADD", 0, 0, 1), ("RETURN", 0, 0, 0)])

    def test_what_is_unknown_ends_a_path(self):
        code = "def f(a, b):\n    if a: print(a)\n    return b"
        self.assertEqual(program(code), [("JUMP_UNLESS", 2, 0, 0), ("HAND_BACK", 0, 0, 0), ("RETURN", 0, 1, 0)])

    def test_long_arguments(self):
        lines = "".join(f"    a = a + {number}\n" for number in range(300))
        code = f"def f(a, b):\n    while b:\n        b -= 1\n{lines.replace('    ', '        ')}{lines}    return a\n"
        instructions = program(code)
        self.assertEqual(len([name for name, *_ in instructions if name == "ADD"]), 600)

    def test_text(self):
        code = "def f(a, b): return f'{a.upper()}-{b}'"
        names = [name for name, *_ in program(code)]
        self.assertEqual(names, ["UPPER", "TEXT", "TEXT", "ADD", "ADD", "RETURN"])
        self.assertEqual(program("def f(a, b): return a[1:]")[-2:], [("SLICE", 9, 0, 7), ("RETURN", 0, 9, 0)])

    def test_globals_are_noted(self):
        code = "def f(a): return math.sqrt(a) + abs(a) + math.pi + K"
        used = translate(function(code, math=math, K=5), 1)[3]
        noted = {(name, attribute): (module, expected, to >= 0) for to, name, module, attribute, expected in used}
        expected = {
            ("math", "sqrt"): (math, math.sqrt, False),
            ("math", "pi"): (math, None, True),
            ("abs", None): (None, abs, False),
            ("K", None): (None, None, True),
        }
        self.assertEqual(noted, expected)


class Refused(unittest.TestCase):
    """Functions that have no program."""

    def test_bodies(self):
        for body in (
            "return print(a)",
            "return [a]",
            "return f'{a:>5}'",
            "return f'{a!r}'",
            "return 'é' + a",
            "return a.title()",
            "return a.upper",
            "return a.strip(b)",
            "return a.split()",
            "return a[::2]",
            "return str(a, b)",
            "return b'x'",
            "return a @ b",
            "return a is b",
            "return K + a",
            "return unknown",
            "return a.real",
            "return min(a)",
            "return round(a, 2)",
            "return int()",
            "return max(a, b, key=abs)",
            "return sum(i for i in range(a))",
            "return 1 << 70",
            "return abs",
            "global K; K = a; return a",
            "yield a",
            "return lambda: a",
            "import math; return a",
            "raise ValueError",
            "del a; return b",
            "return math.factorial(a)",
            "return min",
            "\n    while True: pass",
        ):
            with self.subTest(body):
                self.assertIsNone(program(f"def f(a, b): {body}", K=object(), math=math, unknown=b"x"))

    def test_signatures(self):
        for signature in ("a, *b", "a, **b", "a, b, c", "a", "a, *, b", "a, b, *, c=1", "a, b, c=1"):
            self.assertIsNone(program(f"def f({signature}): return a"), signature)
        self.assertIsNotNone(program("def f(a, /, b=5): return a"))

    def test_what_is_no_plain_function(self):
        def plain(a, b):
            return a + b

        class Callable:
            __call__ = plain
            method = plain

        for found in (abs, Callable(), Callable().method, Callable, types.MethodType(plain, 1), None):
            self.assertIsNone(translate(found, 2))
        self.assertIsNotNone(translate(plain, 2))

    def test_names_that_hide_functions(self):
        self.assertIsNone(program("def f(a, b): return abs(a)", abs=lambda a: a))
        self.assertIsNone(program("def f(a, b): return math.sqrt(a)", math=types.SimpleNamespace(sqrt=abs)))

    def test_too_large(self):
        lines = "".join(f"    a{number} = a\n" for number in range(_unboxed._MAX_REGISTERS))
        self.assertIsNone(program(f"def f(a, b):\n{lines}    return a0"))
        lines = "    a += b\n" * 2000
        self.assertIsNone(program(f"def f(a, b):\n{lines}    return a"))


if __name__ == "__main__":
    unittest.main()
