"""Loading: kinds, mismatches, signatures, conversions of values."""

import unittest

from support import Case, load

KINDS = """
import vivarium
from typing import *
@vivarium.udf
def scalar(x: int) -> int: return x
@vivarium.udf(vectorized=True)
def vectorized(x: list[int]) -> list[int]: return x
@vivarium.udf
def table(x: int) -> Iterator[int]: yield x
@vivarium.map_batches(result={"a": "INT"})
def map(batches): return batches
@vivarium.udaf
class aggregate:
    def create_state(self) -> int: return 0
    def accumulate(self, state, x: int): return state + x
    def merge(self, a, b): return a + b
    def finish(self, state) -> int: return state
"""
ROWS = ("scalar", "vectorized")


class Kinds(Case):
    def test_declared_and_asked(self):
        for handler in ("scalar", "vectorized", "table", "map", "aggregate"):
            for asked in ("scalar", "vectorized", "table", "map", "aggregate"):
                with self.subTest(handler=handler, asked=asked):
                    if asked == handler or {asked, handler} == set(ROWS):
                        self.assertEqual(load(KINDS, 1, handler, kind=asked)[0], handler)
                    else:
                        part = f"`{handler}` is declared as a"
                        message = self.refused("handler", part, load, KINDS, 1, handler, kind=asked)
                        self.assertIn(f"{handler} function, it cannot be a", message)

    def test_declared_settings_win(self):
        code = """
            import vivarium
            @vivarium.udf(null_handling="call", on_error="null")
            def f(x: int) -> int: pass
            @vivarium.udf
            def g(x: int, y: int | None) -> int: pass
        """
        self.assertEqual(load(code, 1, null_handling="skip", on_error="raise")[2:], ((False,), True))
        self.assertEqual(load(code, 2, "g", null_handling="call", on_error="null")[2:], ((True, False), False))

    def test_undecorated(self):
        code = "def f(x): return x"
        for kind in ("scalar", "vectorized", "table", "map"):
            found, target, skip, null = load(code, 1, kind=kind)
            self.assertEqual((found, target(5), skip, null), (kind, 5, (False,), False))
        self.assertEqual(load(code, 1, on_error="null")[3], True)
        self.assertEqual(load(code, 3, kind="map", null_handling="skip")[2], (False,) * 3)

    def test_refused(self):
        cases = {
            ("def f(x): yield x", 1, "scalar"): "`f` is a generator, which makes rows",
            ("async def f(x): pass", 1, "table"): "`f` is asynchronous",
            ("f = 5", 1, "scalar"): "`f` is not callable, it is of type int",
            ("def g(x): pass", 1, "scalar"): "the code defines no `f`; it defines `g`",
            ("def f(x): pass", 2, "scalar"): "`f(x)` takes 1 positional argument, but the function is declared with 2",
            ("def f(x, y): pass", 2, "map"): "takes 2 positional arguments, but a map function is called with",
            ("def f(x, *, y): pass", 1, "table"): "requires the keyword argument `y`",
            ("def f(x): pass", 1, "aggregate"): "`f` has no `create_state`, which an aggregate needs",
            ("", 1, "aggregate"): "the code defines no `f`",
        }
        for (code, count, kind), part in cases.items():
            with self.subTest(code, kind=kind):
                self.refused("handler", part, load, code, count, kind=kind)

    def test_a_signature_that_cannot_be_shown(self):
        code = """
            class Bad:
                def __repr__(self): raise ValueError
            def f(x=Bad()): pass
        """
        self.refused("handler", "`f(...)` takes 0 to 1 positional arguments", load, code, 2)


POINT = """
import dataclasses, vivarium
from typing import *
@dataclasses.dataclass
class Point:
    x: int
    y: float | None = None
    total: int = dataclasses.field(init=False, default=0)
class Named(NamedTuple):
    name: str
    at: Point | None
class Record(TypedDict):
    at: Point
"""


class Values(Case):
    """The bridge gives dicts and lists; functions get what their hints say, and may return it."""

    def check(self, hint, given, seen, returned, written):
        code = f"{POINT}\nlog = []\n@vivarium.udf\ndef f(x: {hint}) -> {hint}:\n log.append(x)\n return {returned}\n"
        target = load(code, 1)[1]
        result = target(given)
        namespace = target.__globals__ if "log" in target.__globals__ else None
        if namespace is None:  # a wrapper: the function is inside
            import sys

            namespace = vars(sys.modules["functions"])
        self.assertEqual(namespace["log"], [eval(seen, namespace)])
        self.assertEqual(type(namespace["log"][0]), type(eval(seen, namespace)))
        self.assertEqual(result, written)

    def test_classes(self):
        point = {"x": 1, "y": 2.0, "total": 5}
        cases = [
            ("int", 1, "1", "x", 1),
            ("Point", point, "Point(1, 2.0)", "x", (1, 2.0, 0)),
            ("Point | None", None, "None", "x", None),
            ("Point", point, "Point(1, 2.0)", "{'x': 1}", {"x": 1}),
            ("list[Point]", [point], "[Point(1, 2.0)]", "x", [(1, 2.0, 0)]),
            ("tuple[Point, ...]", [point], "(Point(1, 2.0),)", "x", [(1, 2.0, 0)]),
            ("tuple[int, ...]", [1, 2], "(1, 2)", "x", (1, 2)),
            ("tuple[int, str]", {"1": 1, "2": "s"}, "(1, 's')", "x", (1, "s")),
            ("dict[str, Point]", {"a": point}, "{'a': Point(1, 2.0)}", "x", {"a": (1, 2.0, 0)}),
            ("dict[str, int]", {"a": 1}, "{'a': 1}", "x", {"a": 1}),
            ("Named", {"name": "n", "at": None}, "Named('n', None)", "x", ("n", None)),
            ("Named", {"name": "n", "at": point}, "Named('n', Point(1, 2.0))", "x", ("n", (1, 2.0, 0))),
            ("Record", {"at": point}, "{'at': Point(1, 2.0)}", "x", {"at": (1, 2.0, 0)}),
            ("Record", {"at": point}, "{'at': Point(1, 2.0)}", "{'zz': 1}", {"zz": 1}),
            ("tuple[int, str]", {"1": 1, "2": "s"}, "(1, 's')", "(1, 2, 3)", (1, 2, 3)),
        ]
        for hint, given, seen, returned, written in cases:
            with self.subTest(hint, returned=returned):
                self.check(hint, given, seen, returned, written)

    def test_tables(self):
        code = f"{POINT}\n@vivarium.udf\ndef f(p: Point) -> Iterator[Point]:\n yield p\n yield p"
        self.assertEqual(list(load(code, 1, kind="table")[1]({"x": 1, "y": None, "total": 3})), [(1, None, 0)] * 2)

    def test_functions_without_classes_are_called_directly(self):
        code = "import vivarium\n@vivarium.udf\ndef f(x: list[int], y: dict[str, int]) -> list[str]: pass"
        self.assertEqual(load(code, 2)[1].__name__, "f")

    def test_undecorated_functions_get_what_the_bridge_gives(self):
        self.assertEqual(load(f"{POINT}\ndef f(p: Point): return p", 1)[1]({"x": 1}), {"x": 1})

    def test_more_arguments_than_declared_types(self):
        code = f"{POINT}\n@vivarium.udf(parameters=[Point], result='INT')\ndef f(p, q=1): return p.x, q"
        self.assertEqual(load(code, 2)[1]({"x": 1, "y": None, "total": 0}, 7), (1, 7))


if __name__ == "__main__":
    unittest.main()
