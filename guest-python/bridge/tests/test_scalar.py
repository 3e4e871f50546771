"""Scalar functions: which rows are called, and what a failed one gives."""

import os
import sys
import unittest

import pyarrow as pa

from support import Function, bridge, failure, is_wasm


class NullHandling(unittest.TestCase):
    def test_per_parameter(self):
        arrays = pa.array([1, None, 3, None]), pa.array([1, 2, None, None])
        for signature, handling, expected in (
            ("a, b", "call", ["1 1", "None 2", "3 None", "None None"]),
            ("a, b", "skip", ["1 1", None, None, None]),
            ("a, b", "annotations", ["1 1", "None 2", "3 None", "None None"]),
            ("a: int, b", "annotations", ["1 1", None, "3 None", None]),
            ("a: int, b: int | None", "annotations", ["1 1", None, "3 None", None]),
            ("a, b: int", "annotations", ["1 1", "None 2", None, None]),
            ("a: int, b: int", "annotations", ["1 1", None, None, None]),
        ):
            with self.subTest(signature=signature, handling=handling):
                code = f"def f({signature}): return f'{{a}} {{b}}'\n"
                function = Function(code, [pa.int64()] * 2, pa.string(), null_handling=handling)
                self.assertEqual(function(*arrays).to_pylist(), expected)


class OnError(unittest.TestCase):
    def run_quietly(self, function, *arrays):
        """The result and what was written to stderr."""
        if is_wasm():
            before = len(bridge().output[2])
            result = function(*arrays)
            return result, bridge().output[2][before:].decode()
        read, write = os.pipe()
        saved = os.dup(2)
        os.dup2(write, 2)
        try:
            result = function(*arrays)
            sys.__stderr__.flush()
        finally:
            os.dup2(saved, 2)
            os.close(write)
            os.close(saved)
        with open(read) as file:
            return result, file.read()

    def load(self, code, result=pa.int64(), **options):
        return Function(code, [pa.int64()], result, on_error="null", **options)

    def test_rows_are_null(self):
        function = self.load("def f(x): return 10 // x\n")
        result, text = self.run_quietly(function, pa.array([1, 0, 5, 0, None]))
        self.assertEqual(result.to_pylist(), [10, None, 2, None, None])
        self.assertEqual(text, "3 of 5 rows failed and are null; the first one is row 1: ZeroDivisionError: integer division or modulo by zero\n")
        result, text = self.run_quietly(function, pa.array([1, 2]))
        self.assertEqual((result.to_pylist(), text), ([10, 5], ""))

    def test_with_skipped_rows(self):
        function = self.load("def f(x): return 10 // x\n", null_handling="skip")
        result, text = self.run_quietly(function, pa.array([0, None, 5]))
        self.assertEqual(result.to_pylist(), [None, None, 2])
        self.assertIn("1 of 3 rows failed", text)

    def test_one_line(self):
        function = self.load("class E(Exception):\n    def __str__(self): return 'a\\nb\\0c' + 'x' * 10**6\ndef f(x): raise E\n")
        text = self.run_quietly(function, pa.array([1, 2]))[1]
        self.assertEqual((text.count("\n"), text[-1]), (1, "\n"))
        self.assertIn("row 0: udf.E: a b\\x00cxxx", text)
        self.assertLess(len(text), 800)
        function = self.load("class E(Exception):\n    def __str__(self): raise self\ndef f(x): raise E\n")
        self.assertEqual(self.run_quietly(function, pa.array([1, 2]))[0].null_count, 2)

    def test_what_is_not_swallowed(self):
        for code, kind in (("raise MemoryError", "memory"), ("raise SystemExit", "exit"), ("raise KeyboardInterrupt", "exception"), ("return 'x'", "result")):
            parts = failure(self, self.load(f"def f(x): {code}\n"), pa.array([1]))
            self.assertEqual((parts["kind"], parts["row"]), (kind, 0), code)
        parts = failure(self, self.load("def f(x): 1 / 0\n", pa.field("r", pa.int64(), nullable=False)), pa.array([1]))
        self.assertEqual((parts["kind"], parts["class"]), ("exception", "ZeroDivisionError"))
        result, _ = self.run_quietly(self.load("def f(x): return f(x)\n"), pa.array([1]))
        self.assertEqual(result.null_count, 1)


if __name__ == "__main__":
    unittest.main()
