"""Cases 15 to 26: code that wants all memory, or all of the stack, or breaks its interpreter."""

import unittest

import pyarrow as pa

from attacks import INT, Attack, metrics, refusal
from service import Function

# As the Rust test configures it.
MEMORY = 96 << 20
INPUT = 4 << 20
NO_MEMORY = rf"memory_bytes: {MEMORY} bytes are not enough: .*MemoryError"
STACK = r"the call stack of \d+ bytes is exhausted by deep recursion"
RECURSION = rf"RecursionError: |{STACK}"
FUEL = r"fuel: the budget of \d+ units is used up"


class Memory(Attack):
    BODIES = {
        "15 many blocks": ("kept = []\nwhile True: kept.append(bytearray(1 << 20))", NO_MEMORY),
        "15 many small objects": ("kept = []\nwhile True: kept.append(bytes(2000))", NO_MEMORY),
        "16 one huge block": ("bytearray(1 << 30)", NO_MEMORY),
        "16 one that no 32-bit machine has": ("bytearray(3 << 30)", "OverflowError: cannot fit 'int'"),
        "16 one huge text": ("'x' * (1 << 30)", NO_MEMORY),
        "16 a size beyond all": ("bytearray(1 << 62)", "OverflowError|MemoryError"),
        "17 a huge number": ("10 ** (10 ** 9)", rf"{NO_MEMORY}|{FUEL}"),
        "17 a huge shift": ("1 << (10 ** 10)", rf"{NO_MEMORY}|OverflowError"),
        "18 attributes of attributes": (
            "class A:\n    def __getattr__(self, name): return getattr(self, name + 'x')\nA().a",
            RECURSION,
        ),
        "18 without python's own limit": (
            "import sys\nsys.setrecursionlimit(10**6)\n"
            "class A:\n    def __getattr__(self, name): return getattr(self, 'a')\nA().a",
            rf"{RECURSION}|{NO_MEMORY}",
        ),
        "19 repr of a deep nest": ("a = []\nfor _ in range(100_000): a = [a]\nrepr(a)", RECURSION),
        "19 hash of a deep nest": ("a = ()\nfor _ in range(1_000_000): a = (a,)\nhash(a)", RECURSION),
        "19 comparing deep nests": (
            "a, b = [], []\nfor _ in range(100_000): a, b = [a], [b]\na == b",
            RECURSION,
        ),
        "20 recursion without python's limit": (
            "import sys\nsys.setrecursionlimit(10**6)\ndef g(n): return g(n + 1) + 1\ng(0)",
            # Without memory for the traceback of so many frames, CPython has another name for it.
            rf"{RECURSION}|memory_bytes: {MEMORY} bytes are not enough: .*(MemoryError|SystemError)",
        ),
        "21 eval": ("eval('-' * 100_000 + '1')", rf"{RECURSION}|MemoryError|SyntaxError"),
        "21 parentheses": ("eval('(' * 100_000)", "MemoryError: Parser stack overflowed|SyntaxError: "),
        "21 json": ("import json\njson.loads('[' * 200_000)", RECURSION),
        "21 ast": (
            "import ast\nast.literal_eval('[' * 90 + ']' * 90)\ncompile('+'.join(['1'] * 100_000), 'a', 'eval')",
            rf"{RECURSION}|MemoryError",
        ),
        "21 marshal": (
            "import marshal\nmarshal.loads(b'[\\x01\\x00\\x00\\x00' * 200_000 + b'N')",
            rf"{RECURSION}|ValueError: ",
        ),
        "21 pickle": (
            "import pickle\na = None\nfor _ in range(100_000): a = [a]\npickle.dumps(a)",
            RECURSION,
        ),
        "26 abort": ("import os\nos.abort()", r"the guest aborted"),
        "26 signal": (
            "import signal\nsignal.raise_signal(signal.SIGABRT)",
            r"the guest aborted|AttributeError|OSError",
        ),
        "26 fatal error": ("import faulthandler\nfaulthandler._sigsegv()", r"the guest trapped|Error"),
        "26 exit": ("import os\nos._exit(3)", r"the guest exited with code 3"),
    }

    def test_whatever_it_wants_it_does_not_get(self):
        for name, (body, pattern) in self.BODIES.items():
            with self.attack(name):
                self.assert_refused(pattern, self.function(body), INT)

    def test_taking_a_deep_nest_apart_hurts_nobody(self):
        body = "a = None\nfor _ in range(100_000): a = [a]\ndel a\nb = None\nfor _ in range(100_000): b = (b,)\ndel b"
        with self.attack("19 del"):
            self.assertEqual(self.function(body)(INT), [1, 2, 3])

    def test_code_that_is_no_code(self):
        body = (
            "import random, types\n"
            "random.seed(x)\n"
            "code = f.__code__\n"
            "while True:\n"
            "    broken = bytearray(code.co_code)\n"
            "    for _ in range(4): broken[random.randrange(len(broken))] = random.randrange(256)\n"
            "    g = types.FunctionType(code.replace(co_code=bytes(broken), co_stacksize=10), globals())\n"
            "    try: g(x)\n"
            "    except Exception: pass\n"
        )
        function = self.function(body)
        for seed in range(6):
            with self.attack(f"22 seed {seed}"):
                message = refusal(function, ([seed], pa.int64()))
                # Whatever the interpreter does, it is one of the ways in which a sandbox ends.
                ends = rf"{FUEL}|{STACK}|{NO_MEMORY}|the guest (aborted|trapped|exited|broke)|Error|SystemExit"
                self.assertRegex(message, ends)

    def test_what_is_kept_between_batches_counts_and_ends_with_the_exchange(self):
        code = "kept = []\ndef f(x):\n    kept.append(bytearray(20 << 20))\n    return len(kept)\n"
        function = Function(code, "f", ["BIGINT"], "BIGINT", tenant="attacker")
        batch = pa.RecordBatch.from_arrays([pa.array([1], pa.int64())], names=["arg1"])
        with self.attack("24"):
            message = refusal(function.exchange, [batch] * 10)
            self.assertRegex(message, NO_MEMORY.replace(".*", "(?s:.*)"))
            self.assertEqual(function(([1], pa.int64())), [1])

    def test_input_beyond_its_limit(self):
        function = self.function("return x")
        rows = INPUT // 8 + 1000
        with self.attack("25"):
            message = refusal(function, (range(rows), pa.int64()))
            self.assertRegex(message, rf"input_bytes\b.*\b{INPUT}\b")
            self.assertRegex(message, rf"\b{rows * 8}\b|\b[45]\d{{6}}\b")

    def test_memory_is_given_back(self):
        with self.attack("15"):
            self.assert_refused(NO_MEMORY, self.function("kept = [bytearray(1 << 20) for _ in range(10**6)]"), INT)
        self.assertEqual(metrics()["vivarium_reserved_memory_bytes"], 0)


if __name__ == "__main__":
    unittest.main()
