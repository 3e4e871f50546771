"""Aggregate functions: states by group, from operation to operation."""

import contextlib
import io
import unittest

import pyarrow as pa

import backends
from arrow_nodes import ArrayNode, array_node, schema_node, struct_schema
from support import Function, failure, to_pyarrow
from test_types import CASES, arrow

GROUP = schema_node(pa.field("group", pa.uint32(), nullable=False))

SUM = """
class f:
    def create_state(self): return 0
    def accumulate(self, state, x): return state + x
    def retract(self, state, x): return state - x
    def merge(self, a, b): return a + b
    def finish(self, state): return state * 10
"""

LISTS = """
class f:
    def create_state(self): return []
    def accumulate(self, state, *args):
        state.append(args[0] if len(args) == 1 else args)
        return state
    def merge(self, a, b): return a + b
    def finish(self, state): return repr(state)
"""


class Aggregate(Function):
    def __init__(self, code, parameters, state, result, **options):
        self.state_field = state if isinstance(state, pa.Field) else pa.field("state", state)
        self.state_schema = schema_node(self.state_field)
        super().__init__(code, parameters, result, kind="aggregate", state=self.state_schema, **options)

    def _batch(self, groups, arrays, schemas):
        columns = [array_node(pa.array(groups, pa.uint32()), GROUP)]
        columns += [array_node(a, s) for a, s in zip(arrays, schemas)]
        return ArrayNode(len(groups), 0, [None], columns)

    def update(self, groups, *arrays, operation=backends.ACCUMULATE):
        answer, _ = self.backend.operate(self.handle, operation, self._batch(groups, arrays, self.inputs.children), None)
        assert answer == backends.NOTHING, answer

    def retract(self, groups, *arrays):
        self.update(groups, *arrays, operation=backends.RETRACT)

    def merge(self, groups, states):
        answer, _ = self.backend.operate(self.handle, backends.MERGE, self._batch(groups, [states], [self.state_schema]), None)
        assert answer == backends.NOTHING, answer

    def _deliver(self, operation, groups, schema, arrow_type):
        answer, node = self.backend.operate(self.handle, operation, ArrayNode(groups, 0, [None], []), schema)
        assert answer == 0, answer
        return to_pyarrow(node, arrow_type)

    def states(self, groups):
        return self._deliver(backends.STATES, groups, self.state_schema, self.state_field.type)

    def finish(self, groups):
        return self._deliver(backends.FINISH, groups, self.output, self.result.type)


class Aggregates(unittest.TestCase):
    def test_groups(self):
        function = Aggregate(SUM, [pa.int64()], pa.int64(), pa.int64())
        function.update([0, 2, 0, 5], pa.array([1, 2, 3, 4]))
        function.update([2, 2], pa.array([10, 20]))
        function.retract([0, 2], pa.array([1, 10]))
        self.assertEqual(function.finish(7).to_pylist(), [30, 0, 220, 0, 0, 40, 0])
        self.assertEqual(function.finish(2).to_pylist(), [0, 0], "all groups are forgotten")
        self.assertEqual(function.finish(0).to_pylist(), [])

    def test_states_travel(self):
        one = Aggregate(SUM, [pa.int64()], pa.int64(), pa.int64())
        other = Aggregate(SUM, [pa.int64()], pa.int64(), pa.int64())
        one.update([0, 1], pa.array([1, 2]))
        states = one.states(3)
        self.assertEqual(states.to_pylist(), [1, 2, 0])
        self.assertEqual(one.states(1).to_pylist(), [0], "all groups are forgotten")
        other.update([0], pa.array([100]))
        other.merge([0, 1, 1], states)
        self.assertEqual(other.finish(2).to_pylist(), [1010, 20])

    def test_states_of_every_type(self):
        code = "class f:\n    def create_state(self): return None\n    def accumulate(self, state, x): return x\n    def merge(self, a, b): return b\n    def finish(self, state): return state\n"
        for arrow_type, values in CASES:
            values = values + [None]
            array = arrow(arrow_type, values)
            groups = list(range(len(values)))
            with self.subTest(type=arrow_type):
                function = Aggregate(code, [arrow_type], arrow_type, arrow_type)
                function.update(groups, array)
                states = function.states(len(values))
                self.assertTrue(states.equals(array))
                function.merge(groups, states)
                self.assertTrue(function.finish(len(values)).equals(array))

    def test_states_are_kept_as_they_are(self):
        function = Aggregate(LISTS, [pa.int64(), pa.string()], pa.list_(pa.int64()), pa.string())
        for n in range(3):
            function.update([0, 1], pa.array([n, None]), pa.array([None, f"x{n}"]))
        self.assertEqual(function.finish(2).to_pylist(), ["[(0, None), (1, None), (2, None)]", "[(None, 'x0'), (None, 'x1'), (None, 'x2')]"])

    def test_no_parameters(self):
        function = Aggregate(LISTS.replace("state.append(args[0] if len(args) == 1 else args)", "state.append(1)"), [], pa.list_(pa.int64()), pa.string())
        function.update([0, 0])
        self.assertEqual(function.finish(1).to_pylist(), ["[1, 1]"])

    def test_skip(self):
        function = Aggregate(LISTS, [pa.int64()], pa.list_(pa.int64()), pa.string(), null_handling="skip")
        function.update([0, 0, 1], pa.array([1, None, None]))
        self.assertEqual(function.finish(2).to_pylist(), ["[1]", "[]"])

    def test_many_groups(self):
        function = Aggregate(SUM, [pa.int64()], pa.int64(), pa.int64())
        count = 20_000
        for step in (1, -1):
            function.update(list(range(count))[::step], pa.array(range(count)))
        self.assertEqual(set(function.finish(count).to_pylist()), {10 * (count - 1)})


class Failures(unittest.TestCase):
    def test_retract(self):
        function = Aggregate(LISTS, [pa.int64()], pa.list_(pa.int64()), pa.string())
        parts = failure(self, function.retract, [0], pa.array([1]))
        self.assertEqual((parts["kind"], parts["message"]), ("handler", "the aggregate has no `retract`"))

    def test_exceptions(self):
        base = SUM + "    n = 0\n"
        for method, call in (
            ("def create_state(self): raise ValueError('no')", lambda f: f.update([0], pa.array([1]))),
            ("def accumulate(self, state, x):\n        if x == 7: raise ValueError('no')\n        return x", lambda f: f.update([0, 1, 0], pa.array([1, 2, 7]))),
            ("def retract(self, state, x): raise ValueError('no')", lambda f: f.retract([0], pa.array([1]))),
            ("def merge(self, a, b): raise ValueError('no')", lambda f: f.merge([0], pa.array([1]))),
            ("def finish(self, state): raise ValueError('no')", lambda f: f.finish(1)),
        ):
            function = Aggregate(f"{base}    {method}\n", [pa.int64()], pa.int64(), pa.int64())
            with self.subTest(method=method):
                parts = failure(self, call, function)
                self.assertEqual((parts["kind"], parts["class"], parts["message"]), ("exception", "ValueError", "no"))
                if "x == 7" in method:
                    self.assertEqual((parts["row"], parts["arguments"]), (2, [["p0", "7"]]))
                if "create" not in method:
                    self.assertEqual(function.states(2).to_pylist(), [0, 0], "a failure forgets all groups")

    def test_states_and_results_that_do_not_fit(self):
        code = SUM.replace("return state + x", "return 'x'")
        function = Aggregate(code, [pa.int64()], pa.field("total", pa.int64()), pa.int64())
        function.update([1], pa.array([1]))
        parts = failure(self, function.states, 2)
        self.assertEqual((parts["kind"], parts["row"], parts["message"]), ("result", 1, "column `total`, row 1: expected int64, got str 'x'"))
        function.update([0], pa.array([1]))
        parts = failure(self, function.finish, 1)
        self.assertEqual((parts["kind"], parts["column"]), ("result", "result"))

    def test_batches_that_are_not_the_hosts(self):
        function = Aggregate(SUM, [pa.int64()], pa.int64(), pa.int64())
        for operation in (backends.ACCUMULATE, backends.RETRACT, backends.MERGE, backends.STATES, backends.FINISH):
            for batch in (None, ArrayNode(1, 0, [None], []), ArrayNode(-1, 0, [None], [])):
                if operation >= backends.STATES and batch and batch.length > 0:
                    continue
                with self.subTest(operation=operation, batch=batch), self.assertRaises(backends.BridgeError) as caught:
                    function.backend.operate(function.handle, operation, batch, function.output)
                self.assertEqual(caught.exception.kind, "internal")
        function.update([3], pa.array([1]))
        self.assertEqual(failure(self, function.finish, 3)["kind"], "internal")
        self.assertEqual(function.finish(3).to_pylist(), [0, 0, 0])

    def test_hostile_states(self):
        codes = """
class f:
    def create_state(self): return self
    def accumulate(self, state, x): return S()
    def merge(self, a, b): return S()
    def finish(self, state): return state
class S:
    def __del__(self): raise ValueError
    def __repr__(self): raise ValueError
    def __index__(self): raise KeyboardInterrupt
----
class f:
    def create_state(self): return []
    def accumulate(self, state, x):
        state.append(state)
        return state
    merge = accumulate
    def finish(self, state): return state
----
class f:
    def create_state(self): return (i for i in range(3))
    def accumulate(self, state, x):
        next(state)
        return state
    merge = accumulate
    def finish(self, state): return next(state)
----
class f:
    def create_state(self):
        del f.accumulate
        return 1
    def accumulate(self, state, x): return state
    merge = accumulate
    def finish(self, state):
        f.finish = None
        return 5
"""
        for code in codes.split("----"):
            function = Aggregate(code, [pa.int64()], pa.int64(), pa.int64())
            with self.subTest(code=code), contextlib.redirect_stderr(io.StringIO()):
                for _ in range(3):
                    for action in (
                        lambda: function.update([0, 1, 0], pa.array([1, 2, 3])),
                        lambda: function.merge([0, 1], pa.array([1, 2])),
                        lambda: function.states(3),
                        lambda: function.update([0, 1, 0], pa.array([1, 2, 3])),
                        lambda: function.finish(3),
                    ):
                        with contextlib.suppress(backends.BridgeError):
                            action()


if __name__ == "__main__":
    unittest.main()
