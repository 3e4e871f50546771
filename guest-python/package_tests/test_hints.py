"""Hints: which type they stand for, and whether they admit None."""

import unittest

from support import Case, describe, load, only

PREAMBLE = """
import dataclasses, datetime, decimal, functools, typing, uuid
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import *
import vivarium
from vivarium import DayTime, MonthDayNano

@dataclasses.dataclass
class Point:
    x: int
    y: float | None = None

class Named(NamedTuple):
    name: str
    at: Point

class Record(TypedDict):
    required: int
    optional: NotRequired[str]

class Node(TypedDict):
    children: "list[Node]"

UserId = NewType("UserId", int)
type Names = list[str]
"""

# hint -> the type of a parameter whose nulls the function sees, which is the hint's own
TYPES = {
    "int": "BIGINT NOT NULL",
    "float": "DOUBLE NOT NULL",
    "bool": "BOOLEAN NOT NULL",
    "str": "VARCHAR NOT NULL",
    "bytes": "BINARY NOT NULL",
    "decimal.Decimal": "DECIMAL(38, 9) NOT NULL",
    "datetime.date": "DATE NOT NULL",
    "datetime.datetime": "TIMESTAMP[us] NOT NULL",
    "datetime.time": "TIME NOT NULL",
    "datetime.timedelta": "DURATION[us] NOT NULL",
    "uuid.UUID": "UUID NOT NULL",
    "MonthDayNano": "INTERVAL NOT NULL",
    "DayTime": "INTERVAL(DayTime) NOT NULL",
    "None": "NULL",
    "Any": "JSON NULL",
    "object": "JSON NULL",
    "dict": "JSON NOT NULL",
    "list": "JSON NOT NULL",
    "Dict": "JSON NOT NULL",
    "int | None": "BIGINT NULL",
    "Optional[str]": "VARCHAR NULL",
    "Union[None, float]": "DOUBLE NULL",
    "'int | None'": "BIGINT NULL",
    "list[int]": "LIST<BIGINT NOT NULL> NOT NULL",
    "List[Optional[int]]": "LIST<BIGINT NULL> NOT NULL",
    "Sequence[str] | None": "LIST<VARCHAR NOT NULL> NULL",
    "list[list[float]]": "LIST<LIST<DOUBLE NOT NULL> NOT NULL> NOT NULL",
    "tuple[int, ...]": "LIST<BIGINT NOT NULL> NOT NULL",
    "tuple[int, str | None]": "STRUCT<1 BIGINT NOT NULL, 2 VARCHAR NULL> NOT NULL",
    "dict[str, float | None]": "MAP<VARCHAR NOT NULL, DOUBLE NULL> NOT NULL",
    "Mapping[str, list[int]]": "MAP<VARCHAR NOT NULL, LIST<BIGINT NOT NULL> NOT NULL> NOT NULL",
    "Point": "STRUCT<x BIGINT NOT NULL, y DOUBLE NULL> NOT NULL",
    "Named": "STRUCT<name VARCHAR NOT NULL, at STRUCT<x BIGINT NOT NULL, y DOUBLE NULL> NOT NULL> NOT NULL",
    "Record": "STRUCT<required BIGINT NOT NULL, optional VARCHAR NULL> NOT NULL",
    "TypedDict('T', {'a b': int, 'not': str, 'q\"': None})": 'STRUCT<"a b" BIGINT NOT NULL, '
    '"not" VARCHAR NOT NULL, "q""" NULL> NOT NULL',
    "UserId": "BIGINT NOT NULL",
    "Names": "LIST<VARCHAR NOT NULL> NOT NULL",
    "Literal['a', 'b']": "VARCHAR NOT NULL",
    "Annotated[int, 'INT']": "INT NOT NULL",
    "Annotated[int | None, 'INT']": "INT NULL",
    "Annotated[int, 'INT NULL']": "INT NULL",
    "Annotated[int, 'INT not  null']": "INT NOT NULL",
    "Annotated[decimal.Decimal, 'DECIMAL(10,2)'] | None": "DECIMAL(10,2) NULL",
    "Annotated[int, 'TINYINT'] | None": "TINYINT NULL",
    "Annotated[str, 5]": "VARCHAR NOT NULL",
    "list[Annotated[float, 'FLOAT']]": "LIST<FLOAT NOT NULL> NOT NULL",
    "Annotated[list, 'FIXED_SIZE_LIST<FLOAT NOT NULL>[3]']": "FIXED_SIZE_LIST<FLOAT NOT NULL>[3] NOT NULL",
}

# hint -> part of the message
REFUSED = {
    "int | str": "is a union of several types",
    "set[int]": "is not a type that a column can have",
    "set": "is a class that no column holds",
    "complex": "is a class that no column holds",
    "tuple": "does not say what the tuple holds",
    "tuple[()]": "does not say what the tuple holds",
    "dict[int | None, str]": "the keys of a map cannot be NULL",
    "Iterator[int]": "is a stream",
    "Iterable": "is a stream",
    "Callable[[int], int]": "is not a type that a column can have",
    "TypeVar('T')": "is not a type",
    "3": "is not a type",
    "'Missing'": "cannot be resolved: NameError",
    "'1 +'": "cannot be resolved: SyntaxError",
    "Node": "recursive types are not supported",
    "Literal['a', 1]": "mixes literals of several types",
    "vivarium.Column": "does not say what the column holds",
    "TypedDict('E', {})": "has no fields",
    "TypedDict('F', {'a': set})": "has a field `a` of `set`, which is a class that no column holds",
}


def function(hint, result="int", decorator="vivarium.udf(null_handling='call')"):
    return f"{PREAMBLE}\n@{decorator}\ndef f(x: {hint}) -> {result}: pass\n"


class Types(Case):
    def test_hints(self):
        for hint, expected in TYPES.items():
            with self.subTest(hint):
                declared = only(function(hint, hint))
                self.assertEqual(declared["parameters"], [{"name": "x", "type": expected}])
                self.assertEqual(declared["result"], {"name": "result", "type": expected})

    def test_hints_that_are_all_text(self):
        for hint, expected in TYPES.items():
            with self.subTest(hint):
                declared = only("from __future__ import annotations\n" + function(hint))
                self.assertEqual(declared["parameters"][0]["type"], expected)

    def test_hints_that_are_no_types(self):
        for hint, part in REFUSED.items():
            with self.subTest(hint):
                message = self.refused("handler", part, describe, function(hint))
                self.assertTrue(message.startswith("`f`: the hint of `x`, `"), message)
                if not hint.startswith(("Iterator", "Iterable")):
                    message = self.refused("handler", part, describe, function("int", hint))
                    self.assertTrue(message.startswith("`f`: the hint of `result`, `"), message)

    def test_no_hint(self):
        cases = {
            "def f(x) -> int: pass": "`x` has neither a hint nor a type",
            "def f(x: int): pass": "the result has neither a hint nor a type",
            "def f(*x: int) -> int: pass": "takes any number of arguments",
        }
        for code, part in cases.items():
            with self.subTest(code):
                self.refused("handler", part, describe, f"import vivarium\n@vivarium.udf\n{code}")

    def test_long_hints_are_shortened(self):
        message = self.refused("handler", "mixes", describe, function(f"Literal[{'x' * 5000!r}, 1]"))
        self.assertLess(len(message), 400)


# hint -> whether a null skips the row
SKIPS = {
    "int": True,
    "'int'": True,
    "int | None": False,
    "Optional[int]": False,
    "Any": False,
    "object": False,
    "None": False,
    "list[int | None]": True,
    "Annotated[int, 'INT']": True,
    "Annotated[int | None, 'INT']": False,
    "Annotated[int, 'INT'] | None": False,
    "UserId": True,
    "TypeVar('T')": False,
    "set": True,
}


class Nulls(Case):
    def test_undecorated(self):
        for hint, skips in SKIPS.items():
            for future in ("", "from __future__ import annotations\n"):
                with self.subTest(hint, future=future):
                    code = f"{future}{PREAMBLE}\ndef f(a, x: {hint}): pass\n"
                    kind, _, skip, null = load(code, 2, null_handling="annotations")
                    self.assertEqual((kind, skip, null), ("scalar", (False, skips), False))

    def test_spec(self):
        code = "def f(x: int, y: int | None, z): pass"
        for handling, expected in {
            "call": (False, False, False),
            "skip": (True, True, True),
            "annotations": (True, False, False),
        }.items():
            self.assertEqual(load(code, 3, null_handling=handling)[2], expected)

    def test_callables(self):
        cases = {
            "class F:\n def __call__(self, x: int, y): pass\nf = F()": (True, False),
            "def g(a, x: int, y): pass\nf = functools.partial(g, 1)": (True, False),
            "class F:\n @staticmethod\n def g(x: 'int', y): pass\nf = F.g": (True, False),
            "class F:\n def g(self, x: 'int', y): pass\nf = F().g": (True, False),
            "def f(*x: int): pass": (True, True),
            "def f(x: int, *y): pass": (True, False),
            "def g(x: 'int', y): pass\n@functools.wraps(g)\ndef f(*a): return g(*a)": (True, False),
            "f = max": (False, False),
            "f = lambda x, y: x": (False, False),
        }
        for code, expected in cases.items():
            with self.subTest(code):
                self.assertEqual(load(PREAMBLE + code, 2, null_handling="annotations")[2], expected)

    def test_hint_that_cannot_be_resolved(self):
        code = "def f(x: 'Missing'): pass"
        self.refused(
            "handler", "the hint of `x`, `Missing`, cannot be resolved", load, code, 1, null_handling="annotations"
        )
        self.assertEqual(load(code, 1)[2], (False,))

    def test_vectorized(self):
        hints = {"list[int]": True, "list[int | None]": False, "Sequence[int]": True, "vivarium.Column": False}
        for hint, skips in hints.items():
            with self.subTest(hint):
                code = f"{PREAMBLE}\ndef f(x: {hint}): pass"
                self.assertEqual(load(code, 1, kind="vectorized", null_handling="annotations")[2], (skips,))

    def test_declared_nullability_follows(self):
        cases = {  # (null handling, hint, result) -> (parameter, result)
            ("annotations", "int", "str"): ("BIGINT NULL", "VARCHAR NULL"),
            ("annotations", "int | None", "str"): ("BIGINT NULL", "VARCHAR NOT NULL"),
            ("annotations", "Any", "str | None"): ("JSON NULL", "VARCHAR NULL"),
            ("skip", "int", "str"): ("BIGINT NULL", "VARCHAR NULL"),
            ("call", "int", "str"): ("BIGINT NOT NULL", "VARCHAR NOT NULL"),
        }
        for (handling, hint, result), expected in cases.items():
            with self.subTest(handling=handling, hint=hint):
                declared = only(function(hint, result, f"vivarium.udf(null_handling={handling!r})"))
                found = declared["parameters"][0]["type"], declared["result"]["type"]
                self.assertEqual(found, expected)
                self.assertEqual(declared["null_handling"], handling)


if __name__ == "__main__":
    unittest.main()
