"""Cases 1 to 14: code that does not end. Fuel ends it, whatever it spends its time with, the same every time."""

import unittest

import pyarrow as pa

from attacks import INT, Attack, metrics, refusal
from service import Function

# As the Rust test configures it.
FUEL = 150_000_000
OUT_OF_FUEL = rf"fuel: the budget of {FUEL} units is used up"


class Cpu(Attack):
    BODIES = {
        "1 endless loop": "while True: pass",
        "2 endless loop in C": "sum(range(1 << 60))",
        "3 huge power": "int('9' * 4000) ** 5000",
        "3 huge power of a small number": "pow(3, 10**9)",
        "4 exponential pattern": "import re\nre.match('(a+)+$', 'a' * 60 + 'b')",
        "5 endless iterator": "from collections import deque\nfrom itertools import repeat\ndeque(repeat(0), maxlen=0)",
        "6 finally that calls itself": "def g():\n    try: g()\n    finally: g()\ng()",
        "7 an object that comes back": (
            "kept = []\nclass A:\n    def __del__(self): kept.append(self)\nwhile True:\n    A()\n    kept.clear()"
        ),
        "7 an end that does not end": "class A:\n    def __del__(self):\n        while True: pass\na = A()\ndel a",
        "8 worst case of a search": (
            "hay = b'a' * 4_000_000\nneedle = b'a' * 1000 + b'b' + b'a' * 1000\nwhile True: hay.find(needle)"
        ),
        "9 filling memory": "block = bytearray(8 << 20)\nwhile True: block[:] = bytes(8 << 20)",
        "9 copying memory": "block = bytes(8 << 20)\nwhile True: bytearray(block)",
        "10 drawing random bytes": "import os\nwhile True: os.urandom(65_536)",
        "10 writing single bytes": "import os\nwhile True: os.write(1, b'x')",
        "10 asking for files": "import os\nwhile True: os.stat('/')",
        "10 asking for the time": "import time\nwhile True: time.time()",
        "10 sleeping for no time": "import time\nwhile True: time.sleep(0)",
        "13 a class that does not come to be": (
            "class A:\n    def __init_subclass__(cls):\n        while True: pass\nclass B(A): pass"
        ),
        "13 a message that does not end": (
            "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E()"
        ),
        "13 an argument that does not end": (
            "class A:\n    def __repr__(self):\n        while True: pass\n    __str__ = __repr__\nreturn A()"
        ),
    }

    def test_whatever_runs_is_ended_by_fuel(self):
        for name, body in self.BODIES.items():
            with self.attack(name):
                function = self.function(body)
                before = metrics().get('vivarium_limits_hit_total{limit="fuel_per_batch"}', 0)
                self.assert_refused(OUT_OF_FUEL, function, INT)
                after = metrics()['vivarium_limits_hit_total{limit="fuel_per_batch"}']
                self.assertEqual(after, before + 1)

    def test_keys_that_collide(self):
        body = "seen = {}\nfor text in x.split(): seen[int(text)] = 1\nreturn len(seen)"
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        code = f"def f(x):\n{lines}"
        function = Function(code, "f", ["VARCHAR"], "BIGINT", tenant="attacker")
        honest = " ".join(str(i) for i in range(30_000))
        hostile = " ".join(str(i * ((1 << 31) - 1)) for i in range(30_000))
        with self.attack("12"):
            self.assertEqual(function(([honest], pa.string())), [30_000])
            self.assert_refused(OUT_OF_FUEL, function, ([hostile], pa.string()))

    def test_importing_that_does_not_end(self):
        for name, code in {
            "13 at import": "while True: pass\ndef f(x): return x\n",
            "13 in a decorator": "def d(f):\n    while True: pass\n@d\ndef f(x): return x\n",
            "13 in a metaclass": (
                "class M(type):\n    def __new__(*a):\n        while True: pass\nclass A(metaclass=M): pass\ndef f(x): return x\n"
            ),
        }.items():
            with self.attack(name):
                function = Function(code, "f", ["BIGINT"], "BIGINT", tenant="attacker")
                self.assert_refused("fuel: the budget of 1000000000 units is used up", function, INT)

    def test_a_batch_that_failed_costs_nothing_when_it_comes_again(self):
        """Databend sends a failed batch up to nine times."""
        function = self.function("while True: pass")
        batch = pa.RecordBatch.from_arrays([pa.array(*INT)], names=["arg1"])
        burnt = 'vivarium_fuel_units_total{tenant="attacker"}'
        with self.attack("14"):
            headers = function.headers | {"x-databend-query-id": "the-same-query"}
            first = refusal(function.exchange, [batch], headers=headers)
            self.assertRegex(first, OUT_OF_FUEL)
            after_first = metrics()[burnt]
            for _ in range(8):
                self.assertEqual(refusal(function.exchange, [batch], headers=headers), first)
            self.assertLess(metrics()[burnt] - after_first, FUEL)


if __name__ == "__main__":
    unittest.main()
