"""What `vivarium_load`, `vivarium_invoke` and `vivarium_describe` answer, whatever the kind."""

import unittest

import pyarrow as pa

import backends
from arrow_nodes import schema_node, struct_schema
from support import Function, batch_of, bridge, failure

ANY = "def f(*args): return None\n"
TABLE = pa.field("t", pa.struct([pa.field("row", pa.int32(), nullable=False), ("v", pa.int64())]))
SUM = """
class f:
    def create_state(self): return 0
    def accumulate(self, state, x): return state + x
    def merge(self, a, b): return a + b
    def finish(self, state): return state
"""


class Operations(unittest.TestCase):
    KNOWN = {
        "scalar": {backends.CALL},
        "vectorized": {backends.CALL},
        "table": {backends.CALL, backends.NEXT},
        "aggregate": {backends.ACCUMULATE, backends.RETRACT, backends.MERGE, backends.STATES, backends.FINISH},
        "map": {backends.CALL, backends.NEXT},
    }

    def load(self, kind):
        result = {"table": TABLE, "map": pa.field("m", pa.struct([("v", pa.int64())]))}.get(kind, pa.int64())
        state = schema_node(pa.field("s", pa.int64())) if kind == "aggregate" else None
        return Function(SUM if kind == "aggregate" else ANY, [pa.int64()], result, kind=kind, state=state)

    def test_operations_of_another_kind(self):
        for kind, known in self.KNOWN.items():
            function = self.load(kind)
            for operation in (*range(-1, 9), 2**31 - 1, -(2**31)):
                if operation in known:
                    continue
                with self.subTest(kind=kind, operation=operation):
                    with self.assertRaises(backends.BridgeError) as caught:
                        bridge().operate(function.handle, operation, None, function.output)
                    self.assertEqual(caught.exception.kind, "internal")
                    self.assertIn(f"a function of kind {kind} has no operation", str(caught.exception))

    def test_unknown_functions(self):
        for handle in (0, -1, 10**6):
            with self.assertRaises(backends.BridgeError) as caught:
                bridge().operate(handle, backends.CALL, None, None)
            self.assertEqual(caught.exception.kind, "internal")

    def test_columns_that_are_not_the_parameters(self):
        for kind in ("scalar", "vectorized", "table"):
            function = self.load(kind)
            for arrays in ([], [pa.array([1]), pa.array([2])]):
                batch = batch_of(arrays, struct_schema([pa.field(str(i), pa.int64()) for i in range(len(arrays))]), 1)
                with self.subTest(kind=kind), self.assertRaises(backends.BridgeError) as caught:
                    bridge().operate(function.handle, backends.CALL, batch, function.output)
                self.assertEqual(caught.exception.kind, "internal")


class Shapes(unittest.TestCase):
    def test_a_state_belongs_to_aggregates(self):
        state = schema_node(pa.field("s", pa.int64()))
        for kind in ("scalar", "vectorized", "table", "map"):
            result = TABLE if kind in ("table", "map") else pa.int64()
            parts = failure(self, Function, ANY, [], result, kind=kind, state=state)
            self.assertEqual((parts["kind"], parts["message"]), ("schema", f"a function of kind {kind} with a state schema"))
        parts = failure(self, Function, SUM, [pa.int64()], pa.int64(), kind="aggregate")
        self.assertEqual((parts["kind"], parts["message"]), ("schema", "a function of kind aggregate without a state schema"))

    def test_results_of_tables_and_maps(self):
        for kind, result in (
            ("table", pa.int64()),
            ("table", pa.struct([("row", pa.int32())])),
            ("table", pa.struct([("row", pa.int64()), ("v", pa.int64())])),
            ("map", pa.int64()),
        ):
            with self.subTest(kind=kind, result=result):
                self.assertEqual(failure(self, Function, ANY, [], result, kind=kind)["kind"], "schema")


class Describe(unittest.TestCase):
    def test_answer(self):
        self.assertEqual(bridge().describe("x = 1\n"), {"functions": []})

    def test_failures(self):
        for code, kind in (("def f(:", "syntax"), ("1 / 0", "import"), ("raise SystemExit", "exit")):
            with self.subTest(code=code), self.assertRaises(backends.BridgeError) as caught:
                bridge().describe(code)
            self.assertEqual(caught.exception.kind, kind)


class Arguments(unittest.TestCase):
    """The arguments of the row that failed."""

    def arguments(self, values, code="def f(*args): raise ValueError\n", **options):
        types = [pa.array([v]).type for v in values]
        function = Function(code, types, pa.int64(), **options)
        return failure(self, function, *[pa.array([v]) for v in values]).get("arguments")

    def test_values(self):
        shown = self.arguments([5, "a b", None, [1, None], {"x": 1.5}, b"\0"])
        names = [f"p{i}" for i in range(6)]
        self.assertEqual(shown, [[n, s] for n, s in zip(names, ["5", "'a b'", "None", "[1, None]", "{'x': 1.5}", "b'\\x00'"])])

    def test_bounds(self):
        shown = self.arguments(["x" * 10**6, "🙂" * 500, [list(range(1000))] * 100])
        self.assertTrue(all(len(text) <= 120 for _, text in shown), shown)
        self.assertEqual(len(self.arguments([1] * 40)), 32)
        self.assertEqual(self.arguments([7]), [["p0", "7"]])

    def test_the_row(self):
        function = Function("def f(x):\n    return 10 // (x - 3)\n", [pa.int64()], pa.int64())
        parts = failure(self, function, pa.array([1, 2, 3, 4]))
        self.assertEqual((parts["row"], parts["arguments"]), (2, [["p0", "3"]]))

    def test_only_for_exceptions_of_the_function(self):
        for code in ("def f(x): return 'x'", "def f(x): raise MemoryError", "def f(x): raise SystemExit", "def f(x): return f(x)"):
            self.assertIsNone(self.arguments([1], code))


if __name__ == "__main__":
    unittest.main()
