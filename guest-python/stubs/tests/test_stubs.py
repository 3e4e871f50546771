"""The module for editors agrees with the sandbox's, and the sample works in both."""

import inspect
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "src"), HERE]

import sample  # noqa: E402
import vivarium as stubs  # noqa: E402

for name in [name for name in sys.modules if name.partition(".")[0] == "vivarium"]:
    del sys.modules[name]
sys.path.insert(0, os.path.join(HERE, "..", "..", "package_tests"))

from support import describe, load  # noqa: E402  (with the sandbox's own module)

import vivarium  # noqa: E402

with open(os.path.join(HERE, "sample.py")) as file:
    SAMPLE = file.read()


class Agreement(unittest.TestCase):
    def test_names(self) -> None:
        self.assertIsNot(stubs, vivarium)
        self.assertEqual(stubs.__all__, vivarium.__all__)

    def test_parameters(self) -> None:
        for name in ("udf", "udtf", "udaf", "map_batches"):
            with self.subTest(name):
                ours, theirs = (inspect.signature(getattr(module, name)) for module in (stubs, vivarium))
                described = [
                    [(p.name, p.kind, p.default) for p in told.parameters.values()] for told in (ours, theirs)
                ]
                self.assertEqual(*described)

    def test_the_sample_in_the_sandbox(self) -> None:
        kinds = {f["name"]: f["kind"] for f in describe(SAMPLE)}
        self.assertEqual(
            kinds,
            {
                "distance": "scalar",
                "nearest": "scalar",
                "net": "scalar",
                "shift": "scalar",
                "double": "vectorized",
                "scale": "vectorized",
                "words": "table",
                "positions": "table",
                "Mean": "aggregate",
                "distinct_values": "aggregate",
                "longest": "aggregate",
                "running_total": "map",
                "rows": "map",
                "later": "scalar",
            },
        )
        _, distance, _, _ = load(SAMPLE, 2, "distance")
        self.assertEqual(distance({"x": 0.0, "y": 0.0}, {"x": 3.0, "y": 4.0}), 5.0)


class UnitTests(unittest.TestCase):
    def test_functions_are_as_they_were(self) -> None:
        self.assertEqual(sample.shift(1), 2)
        self.assertEqual(list(sample.positions("a b")), [(0, "a"), (1, "b")])
        self.assertEqual(list(sample.scale(stubs.Column([2.0, None]))), [1.0, None])
        batches = [stubs.RecordBatch({"price": [1.0, 2.0]}), stubs.RecordBatch({"price": [3.0]})]
        self.assertEqual(list(sample.running_total(iter(batches))), [{"total": [1.0, 3.0]}, {"total": [6.0]}])

    def test_columns_and_batches(self) -> None:
        column = stubs.Column([1, None, 3], "l")
        self.assertEqual((len(column), column[-1], column[1:], 3 in column), (3, 3, [None, 3], True))
        self.assertEqual((column.null_count, column.type, column.to_list()), (1, "l", [1, None, 3]))
        with self.assertRaises(NotImplementedError):
            column.values
        batch = stubs.RecordBatch({"a": [1, 2], "b": "xy"})
        self.assertEqual((batch.num_rows, batch.column_names, len(batch.columns)), (2, ["a", "b"], 2))
        self.assertEqual(batch.to_pylist(), [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}])


if __name__ == "__main__":
    unittest.main()
