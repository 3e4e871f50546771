"""A server with little fuel: what needs more ends with an error that names the limit, the same every time."""

import unittest

import pyarrow as pa

from service import Function

BATCH = pa.RecordBatch.from_arrays([pa.array([1, 2, 3], pa.int64())], names=["arg1"])


class Fuel(unittest.TestCase):
    def test_the_limit_is_named(self):
        for body in ("while True: pass", "sum(range(10**9))", "max(range(10**8), key=abs)"):
            with self.subTest(body):
                function = Function(f"def f(x):\n    {body}\n    return x\n", "f", ["BIGINT"], "BIGINT")
                with self.assertRaises(pa.ArrowException) as caught:
                    function.exchange([BATCH])
                self.assertIn("fuel", str(caught.exception))
                self.assertIn("100000000", str(caught.exception))

    def test_the_same_call_costs_the_same(self):
        code = "def f(x):\n    return len([i for i in range(1000) if i % 3 == x % 3])\n"
        function = Function(code, "f", ["BIGINT"], "BIGINT")
        costs = {function.exchange([BATCH])[1]["fuel"] for _ in range(20)}
        self.assertEqual(len(costs), 1, costs)
        self.assertGreater(costs.pop(), 3 * 1000)


if __name__ == "__main__":
    unittest.main()
