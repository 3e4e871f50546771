"""Decorated functions and files of other projects through the bridge: from describe to results. What the
package makes of declarations by itself is tested in package_tests/."""

import unittest

import pyarrow as pa

from support import Function, bridge, failure, is_wasm
from test_aggregate import Aggregate
from test_map import Map

INT, TEXT = pa.int64(), pa.string()
POINT = pa.struct([("x", INT), ("y", pa.float64())])
VIVARIUM = """
import dataclasses
from typing import Iterator
import vivarium

@dataclasses.dataclass
class Point:
    x: int
    y: float | None

@vivarium.udf
def move(point: Point, by: int) -> Point:
    return Point(point.x + by, point.y)

@vivarium.udf(vectorized=True)
def double(values: list[int]) -> list[int]:
    assert type(values) is vivarium.Column and values.null_count == 0
    return [2 * value for value in values]

@vivarium.udf(on_error="null")
def invert(value: int) -> float:
    return 1 / value

@vivarium.udf
def points(n: int) -> Iterator[Point]:
    for x in range(n):
        yield Point(x, None)

@vivarium.udaf
class Mean:
    def __init__(self):
        self.sum, self.count = 0, 0
    @property
    def aggregate_state(self) -> tuple[int, int]:
        return self.sum, self.count
    def accumulate(self, value: int):
        self.sum += value
        self.count += 1
    def merge(self, other):
        self.sum += other[0]
        self.count += other[1]
    def finish(self) -> float | None:
        return self.sum / self.count if self.count else None

@vivarium.map_batches(parameters={"a": int}, result={"b": int})
def halves(batches: Iterator[vivarium.RecordBatch]) -> Iterator[vivarium.RecordBatch]:
    for batch in batches:
        yield {"b": [value // 2 for value in batch["a"]]}
"""
DATABEND = """
import pyarrow as pa
from databend_udf import udf, UDFServer

@udf(input_types=["TUPLE(INT, VARCHAR)"], result_type="VARCHAR", skip_null=True)
def show(pair):
    assert type(pair) is tuple
    return f"{pair[0]}: {pair[1]}"

@udf(input_types=["INT"], result_type="INT", batch_mode=True)
def total(values):
    assert type(values) is list
    return [sum(value or 0 for value in values)] * len(values)

@udf(input_types=["INT"], result_type=[("n", "INT"), ("text", "VARCHAR")])
def rows(n):
    return [{"n": i, "text": str(i), "more": None} for i in range(n)]

@udf(input_types=["INT"], result_type=[("n", "INT"), ("text", "VARCHAR")], batch_mode=True)
def pairs(values):
    return {"n": values, "text": [str(value) for value in values]}

if __name__ == "__main__":
    UDFServer("0.0.0.0:8815").serve()
"""
ARROW = """
from arrow_udf import udf, udtf, UdfServer

@udf(input_types=["INT"], result_type="STRUCT<a: INT, b: INT>")
def both(x):
    return {"a": x, "other": 1}

@udtf(input_types="INT", result_types=["INT", "VARCHAR"])
def series(n):
    for i in range(n):
        yield i, str(i)

@udf(input_types=["INT"], result_type="INT[]", batch=True)
def spread(values):
    return (range(value) for value in values)

server = UdfServer()
for function in (both, series, spread):
    server.add_function(function)
server.serve()
"""


class Vivarium(unittest.TestCase):
    def test_describe(self):
        found = {f["name"]: f["kind"] for f in bridge().describe(VIVARIUM)["functions"]}
        kinds = {"move": "scalar", "double": "vectorized", "invert": "scalar", "points": "table", "Mean": "aggregate"}
        self.assertEqual(found, kinds | {"halves": "map"})

    def test_scalar(self):
        move = Function(VIVARIUM, [POINT, INT], POINT, handler="move")
        points = pa.array([{"x": 1, "y": 2.5}, None, {"x": 3, "y": None}], POINT)
        moved = move(points, pa.array([1, 1, 1], INT)).to_pylist()
        self.assertEqual(moved, [{"x": 2, "y": 2.5}, None, {"x": 4, "y": None}])

    def test_vectorized(self):
        double = Function(VIVARIUM, [INT], INT, handler="double")
        self.assertEqual(double(pa.array([1, None, 3], INT)).to_pylist(), [2, None, 6])

    def test_failed_rows(self):
        invert = Function(VIVARIUM, [INT], pa.float64(), handler="invert")
        self.assertEqual(invert(pa.array([2, 0, None], INT)).to_pylist(), [0.5, None, None])

    def test_table(self):
        result = pa.field("out", pa.struct([pa.field("row", pa.int32(), False), pa.field("value", POINT)]), False)
        points = Function(VIVARIUM, [INT], result, handler="points", kind="table")
        rows = points.expand(pa.array([2, None, 1], INT))
        self.assertEqual([(row, value["x"]) for row, value in rows], [(0, 0), (0, 1), (2, 0)])

    def test_aggregate(self):
        state = pa.struct([("1", INT), ("2", INT)])
        first, second = (Aggregate(VIVARIUM, [INT], state, pa.float64(), handler="Mean") for _ in range(2))
        first.update([0, 1, 0, 1], pa.array([1, 10, 3, None], INT))
        second.merge([0, 1, 2], first.states(2).take(pa.array([0, 1, 1])))
        second.update([0], pa.array([5], INT))
        self.assertEqual(second.finish(4).to_pylist(), [3.0, 10.0, 10.0, None])

    @unittest.skipIf(is_wasm(), "the runtime supplies the input")
    def test_map(self):
        halves = Map(VIVARIUM, [pa.field("a", INT)], pa.struct([("b", INT)]), handler="halves")
        self.assertEqual(halves.rows([[pa.array([4, 6], INT)]]), [[{"b": 2}, {"b": 3}]])

    def test_kinds_that_do_not_match(self):
        parts = failure(self, Function, VIVARIUM, [INT], INT, handler="points")
        self.assertEqual(parts["kind"], "handler")
        self.assertIn("declared as a table function", parts["message"])

    def test_bad_declarations_name_the_line(self):
        code = "import vivarium\n\n@vivarium.udf(result=5)\ndef f(x): pass\n"
        parts = failure(self, bridge().describe, code)
        self.assertEqual((parts["kind"], parts["class"]), ("import", "TypeError"))
        self.assertIn('File "udf.py", line 3', parts["traceback"])
        self.assertNotIn("_decorators.py", parts["traceback"])


class Servers(unittest.TestCase):
    def test_describe(self):
        found = [(f["name"], f["kind"], f["dialect"]) for f in bridge().describe(DATABEND)["functions"]]
        kinds = [("show", "scalar"), ("total", "vectorized"), ("rows", "table"), ("pairs", "map")]
        self.assertEqual(found, [(*pair, "databend_udf") for pair in kinds])
        found = [(f["name"], f["kind"], f["dialect"]) for f in bridge().describe(ARROW)["functions"]]
        kinds = [("both", "scalar"), ("series", "table"), ("spread", "vectorized")]
        self.assertEqual(found, [(*pair, "arrow_udf") for pair in kinds])

    def test_databend(self):
        show = Function(DATABEND, [pa.struct([("1", INT), ("2", TEXT)])], TEXT, handler="show")
        self.assertEqual(show(pa.array([{"1": 7, "2": "x"}, None])).to_pylist(), ["7: x", None])
        total = Function(DATABEND, [INT], INT, handler="total")
        self.assertEqual(total(pa.array([1, None, 3], INT)).to_pylist(), [4, 4, 4])
        row = pa.struct([("n", INT), ("text", TEXT)])
        result = pa.field("out", pa.struct([pa.field("row", pa.int32(), False), pa.field("value", row)]), False)
        rows = Function(DATABEND, [INT], result, handler="rows", kind="table")
        expected = [(1, {"n": 0, "text": "0"}), (1, {"n": 1, "text": "1"})]
        self.assertEqual(rows.expand(pa.array([0, 2], INT)), expected)

    @unittest.skipIf(is_wasm(), "the runtime supplies the input")
    def test_databend_batches(self):
        pairs = Map(DATABEND, [pa.field("a", INT)], pa.struct([("n", INT), ("text", TEXT)]), handler="pairs")
        self.assertEqual(pairs.rows([[pa.array([4], INT)], [pa.array([], INT)]]), [[{"n": 4, "text": "4"}]])

    def test_arrow(self):
        both = Function(ARROW, [INT], pa.struct([("a", INT), ("b", INT)]), handler="both")
        self.assertEqual(both(pa.array([5], INT)).to_pylist(), [{"a": 5, "b": None}])
        spread = Function(ARROW, [INT], pa.list_(INT), handler="spread")
        self.assertEqual(spread(pa.array([2, 0], INT)).to_pylist(), [[0, 1], []])

    def test_a_failing_function_shows_only_its_own_frames(self):
        code = DATABEND.replace("assert type(pair) is tuple", "raise ValueError(pair[0])")
        show = Function(code, [pa.struct([("1", INT), ("2", TEXT)])], TEXT, handler="show")
        parts = failure(self, show, pa.array([{"1": 7, "2": "x"}]))
        self.assertEqual((parts["kind"], parts["message"], parts["row"]), ("exception", "7", 0))
        self.assertEqual(parts["traceback"].count("File"), 1)


if __name__ == "__main__":
    unittest.main()
