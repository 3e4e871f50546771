"""Aggregates in all the shapes they may have."""

import re
import unittest

from support import Case, describe, load, only

METHODS = """
def create_state(): return 0
def accumulate(state, x): return state + x
def retract(state, x): return state - x
def merge(a, b): return a + b
def finish(state): return float(state)
"""
INDENTED = METHODS.replace("\n", "\n    ")
STATIC = INDENTED.replace("def ", "@staticmethod\n    def ")
WITH_SELF = re.sub(r"def (\w+)\((?=\))", r"def \1(self", re.sub(r"def (\w+)\((?=\w)", r"def \1(self, ", INDENTED))

# code -> handler
SHAPES = {
    METHODS: "",
    f"class A:{INDENTED}": "A",
    f"class A:{STATIC}": "A",
    f"class A:{WITH_SELF}": "A",
    f"class A:{WITH_SELF}\nsum = A()": "sum",
    f"class A:\n  class B:{INDENTED.replace(chr(10), chr(10) + '  ')}": "A.B",
    f"import vivarium\n@vivarium.udaf(parameters=['INT'], state='INT', result='INT')\nclass A:{WITH_SELF}": "A",
    f"import vivarium\n{METHODS}\nA = vivarium.udaf(create_state=create_state, accumulate=accumulate, retract=retract,"
    "merge=merge, finish=finish, parameters=['INT'], state='INT', result='INT')": "A",
    "class A:\n def __init__(self): self.sum = 0\n @property\n def aggregate_state(self): return self.sum\n"
    " def accumulate(self, x): self.sum += x\n def retract(self, x): self.sum -= x\n"
    " def merge(self, other): self.sum += other\n def finish(self): return float(self.sum)": "A",
}


def run(functions, groups, retracted=()):
    """Accumulates, merges and finishes as the bridge does."""
    create_state, accumulate, retract, merge, finish = functions
    states = []
    for rows in groups:
        state = create_state()
        for row in rows:
            state = accumulate(state, *row)
        states.append(state)
    for row in retracted:
        states[0] = retract(states[0], *row)
    total = create_state()
    for state in states:
        total = merge(total, state)
    return finish(total)


class Shapes(Case):
    def test_shapes(self):
        for code, handler in SHAPES.items():
            with self.subTest(code):
                kind, functions, skip, null = load(code, 1, handler, kind="aggregate")
                self.assertEqual((kind, skip, null), ("aggregate", (False,), False))
                self.assertEqual(run(functions, [[(1,), (2,)], [(3,)]], [(2,)]), 4.0)

    def test_without_the_optional_functions(self):
        code = "def create_state(): return 1\ndef accumulate(state, x): return state + x"
        create_state, accumulate, retract, merge, finish = load(code, 1, "", kind="aggregate")[1]
        self.assertIsNone(retract)
        self.assertEqual(finish(5), 5)
        with self.assertRaisesRegex(TypeError, "no `merge`"):
            merge(1, 2)

    def test_refused(self):
        cases = {
            "class A: pass": "`A` has no `create_state`",
            "class A:\n aggregate_state = 1\n def finish(self): pass": "`A` has no `accumulate`",
            "class A:\n def create_state(self): pass\n accumulate = 5": "`A` has no `accumulate`",
            METHODS.replace("accumulate(state, x)", "accumulate(state)")
            + "class A: pass\nA.create_state = staticmethod(create_state); A.accumulate = staticmethod(accumulate)": (
                "`A.accumulate(state)` takes 1 positional argument, but it is called with the state and 1 argument"
            ),
            f"class A:{STATIC}".replace("retract(state, x)", "retract(state, x, y)"): "`A.retract(state, x, y)` takes 3",
            f"class A:{STATIC}".replace("merge(a, b)", "merge(a)"): "it is called with two states",
            f"class A:{STATIC}".replace("finish(state)", "finish()"): "it is called with the state",
            f"class A:{WITH_SELF}".replace("create_state(self)", "create_state(self, x)"): "it is called with none",
        }
        for code, part in cases.items():
            with self.subTest(code):
                self.refused("handler", part, load, code, 1, "A", kind="aggregate")
        self.refused("handler", "the code has no `create_state`", load, "", 1, "", kind="aggregate")
        code = f"class A:{WITH_SELF}def __init__(self): 1 / 0"
        self.refused("handler", "ZeroDivisionError", load, code, 1, "A", kind="aggregate")

    def test_null_handling(self):
        code = METHODS.replace("accumulate(state, x)", "accumulate(state: int, x: int, y: int | None)")
        code = code.replace("retract(state, x)", "retract(state, x, y)")
        for handling, expected in {
            "call": (False, False),
            "skip": (True, True),
            "annotations": (True, False),
        }.items():
            self.assertEqual(load(code, 2, "", kind="aggregate", null_handling=handling)[2], expected)


class HandlerClasses(Case):
    """Instances of a handler class behind states that Arrow holds."""

    CODE = """
        import dataclasses
        from typing import NamedTuple
        made = []
        class Base:
            def __init__(self):
                made.append(self)
                self.sum, self.count = 0, 0
            def accumulate(self, x):
                self.sum += x
                self.count += 1
            def finish(self):
                return self.sum, self.count
        class Tuple(Base):
            aggregate_state = property(lambda self: (self.sum, self.count))
            def merge(self, other):
                s, c = other
                self.sum += s
                self.count += c
        @dataclasses.dataclass
        class State:
            sum: int
            count: int
        class Data(Base):
            aggregate_state = property(lambda self: State(self.sum, self.count))
            def merge(self, other):
                self.sum += other.sum
                self.count += other.count
        class Pair(NamedTuple):
            sum: int
            count: int
        class Named(Base):
            aggregate_state = property(lambda self: Pair(self.sum, self.count))
            merge = Data.merge
        class Distinct:
            def __init__(self): self.seen = set()
            aggregate_state = property(lambda self: self.seen)
            def accumulate(self, x): self.seen.add(x)
            def merge(self, other): self.seen |= other
            def finish(self): return sorted(self.seen)
        class Last:
            aggregate_state = None
            def accumulate(self, x): self.aggregate_state = x
            def merge(self, other): self.aggregate_state = other + 0
            def finish(self): return self.aggregate_state
    """

    def test_states_of_every_kind(self):
        for handler, expected in {"Tuple": (6, 3), "Data": (6, 3), "Named": (6, 3), "Distinct": [1, 2, 3]}.items():
            with self.subTest(handler):
                functions = load(self.CODE, 1, handler, kind="aggregate")[1]
                self.assertEqual(run(functions, [[(1,), (2,)], [(3,)]]), expected)

    def test_states_that_come_back_from_arrow(self):
        for handler in ("Tuple", "Data", "Named"):
            with self.subTest(handler):
                create_state, accumulate, _, merge, finish = load(self.CODE, 1, handler, kind="aggregate")[1]
                self.assertEqual(tuple(accumulate(create_state(), 4)), (4, 1))
                state = merge(create_state(), {"sum": 10, "count": 2})
                self.assertEqual(finish(accumulate(state, 4)), (14, 3))

    def test_groups_with_equal_states_do_not_mix(self):
        create_state, accumulate, _, _, finish = load(self.CODE, 1, "Last", kind="aggregate")[1]
        states = [create_state() for _ in range(3)]
        states = [accumulate(state, 7) for state in states]
        states[1] = accumulate(states[1], 8)
        self.assertEqual([finish(state) for state in states], [7, 8, 7])

    def test_instances_are_kept_between_rows(self):
        import sys

        create_state, accumulate, _, _, finish = load(self.CODE, 1, "Tuple", kind="aggregate")[1]
        state = create_state()
        for i in range(100):
            state = accumulate(state, i)
        self.assertEqual(finish(state), (4950, 100))
        self.assertEqual(len(sys.modules["functions"].made), 2)

    def test_many_groups(self):
        create_state, accumulate, _, _, finish = load(self.CODE, 1, "Tuple", kind="aggregate")[1]
        states = [accumulate(create_state(), i) for i in range(70000)]
        self.assertEqual(sum(finish(state)[0] for state in states), 70000 * 69999 // 2)


class Declared(Case):
    def check(self, code, parameters, state, result):
        found = only("import vivarium, dataclasses\nfrom typing import *\n" + code)
        self.assertEqual(found["kind"], "aggregate")
        self.assertEqual([(p["name"], p["type"]) for p in found["parameters"]], parameters)
        self.assertEqual((found["state"], found["result"]["type"]), (state, result))

    def test_types(self):
        self.check(
            """
@vivarium.udaf
class A:
    def create_state(self) -> tuple[int, float]: pass
    def accumulate(self, state, x: float, w: int | None): pass
    def finish(self, state) -> float | None: pass
""",
            [("x", "DOUBLE NULL"), ("w", "BIGINT NULL")],
            "STRUCT<1 BIGINT NOT NULL, 2 DOUBLE NOT NULL> NOT NULL",
            "DOUBLE NULL",
        )
        self.check(
            """
def new(): return []
def add(state: list[int], x: int) -> list[int]: return [*state, x]
def end(state) -> int: return len(state)
f = vivarium.udaf(create_state=new, accumulate=add, finish=end, null_handling="call")
""",
            [("x", "BIGINT NOT NULL")],
            "LIST<BIGINT NOT NULL> NOT NULL",
            "BIGINT NOT NULL",
        )
        self.check(
            """
@vivarium.udaf(parameters=["INT"], state={"a": "INT"}, result="DOUBLE NULL")
class A:
    def create_state(self): pass
    def accumulate(self, state, x): pass
""",
            [("x", "INT")],
            "STRUCT<a INT NULL> NOT NULL",
            "DOUBLE NULL",
        )
        self.check(
            """
@vivarium.udaf
class A:
    @property
    def aggregate_state(self) -> int: return 0
    def accumulate(self, x: str): pass
    def merge(self, other): pass
    def finish(self) -> str: pass
""",
            [("x", "VARCHAR NULL")],
            "BIGINT NOT NULL",
            "VARCHAR NOT NULL",
        )

    def test_missing_types(self):
        method = "\n def create_state(self){}: pass\n def accumulate(self, s, x{}): pass\n def finish(self, s){}: pass"
        for hints, part in {
            ("", ": int", " -> int"): "the state has neither",
            (" -> int", "", " -> int"): "`A.accumulate`: `x` has neither",
            (" -> int", ": int", ""): "`A.finish`: the result has neither",
            (" -> set", ": int", " -> int"): "is a class that no column holds",
        }.items():
            code = "import vivarium\n@vivarium.udaf\nclass A:" + method.format(*hints)
            self.refused("handler", part, describe, code)

    def test_states_of_classes(self):
        code = """
            import vivarium, dataclasses
            @dataclasses.dataclass
            class State:
                sum: int = 0
                count: int = 0
            @vivarium.udaf
            class Mean:
                def create_state(self) -> State: return State()
                def accumulate(self, state: State, x: int) -> State:
                    state.sum += x
                    state.count += 1
                    return state
                def merge(self, a: State, b: State) -> State: return State(a.sum + b.sum, a.count + b.count)
                def finish(self, state: State) -> tuple[int, int]: return state.sum, state.count
        """
        _, functions, skip, _ = load(code, 1, "Mean", kind="aggregate")
        create_state, accumulate, _, merge, finish = functions
        self.assertEqual(skip, (True,))
        self.assertEqual(create_state(), (0, 0))
        self.assertEqual(accumulate((0, 0), 5), (5, 1))
        self.assertEqual(merge((5, 1), {"sum": 1, "count": 1}), (6, 2))
        self.assertEqual(run(functions, [[(1,), (2,)], [(3,)]]), (6, 3))


if __name__ == "__main__":
    unittest.main()
