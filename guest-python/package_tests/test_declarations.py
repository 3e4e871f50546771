"""Decorators: what they declare, what they refuse, and that functions stay functions."""

import unittest

from support import Case, Failed, describe, load, only

IMPORTS = "import vivarium, functools, math\nfrom typing import *\n"


def declared(code):
    return only(IMPORTS + code)


def shape(function):
    """The parts of a declaration that tables compare."""
    parameters = [(p["name"], p["type"]) for p in function["parameters"]]
    return function["kind"], parameters, function["result"]["type"]


# code -> (kind, parameters, result)
FUNCTIONS = {
    "@vivarium.udf\ndef f(x: int | None) -> str: pass": ("scalar", [("x", "BIGINT NULL")], "VARCHAR NOT NULL"),
    "@vivarium.udf()\ndef f() -> str: pass": ("scalar", [], "VARCHAR NOT NULL"),
    "@vivarium.udf(parameters=['INT', 'struct<a:int>'], result=' int[] ')\ndef f(a, b): pass": (
        "scalar",
        [("a", "INT"), ("b", "struct<a:int>")],
        " int[] ",
    ),
    "@vivarium.udf(parameters={'b': 'INT'}, result=str)\ndef f(a: Any, b): pass": (
        "scalar",
        [("a", "JSON NULL"), ("b", "INT")],
        "VARCHAR NOT NULL",
    ),
    "@vivarium.udf(parameters=[int, list[str]], result=float)\ndef f(a, b): pass": (
        "scalar",
        [("a", "BIGINT NULL"), ("b", "LIST<VARCHAR NOT NULL> NULL")],
        "DOUBLE NULL",
    ),
    "@vivarium.udf(parameters=['INT', 'INT'], result='INT')\ndef f(*x): pass": (
        "scalar",
        [("arg1", "INT"), ("arg2", "INT")],
        "INT",
    ),
    "@vivarium.udf(parameters={'a': 'INT', 'b': str}, result='INT')\ndef f(*x): pass": (
        "scalar",
        [("a", "INT"), ("b", "VARCHAR NULL")],
        "INT",
    ),
    "@vivarium.udf(parameters=['INT'], result='INT')\ndef f(a, b=1): pass": ("scalar", [("a", "INT")], "INT"),
    "@vivarium.udf(result={'a': 'INT', 'b c': int})\ndef f(): pass": (
        "scalar",
        [],
        'STRUCT<a INT NULL, "b c" BIGINT NOT NULL> NOT NULL',
    ),
    "@vivarium.udf(on_error='null')\ndef f() -> int: pass": ("scalar", [], "BIGINT NULL"),
    "f = vivarium.udf(parameters=['DOUBLE'], result='DOUBLE')(math.sqrt)": ("scalar", [("x", "DOUBLE")], "DOUBLE"),
    "f = vivarium.udf(lambda x: x, parameters=['INT'], result='INT')": ("scalar", [("x", "INT")], "INT"),
    "f = vivarium.udf(functools.partial(pow, 2), parameters={'exp': 'INT'}, result='INT')": (
        "scalar",
        [("exp", "INT")],
        "INT",
    ),
    "@vivarium.udf\ndef f(x: int, cache={}) -> int: pass": ("scalar", [("x", "BIGINT NULL")], "BIGINT NULL"),
    "@vivarium.udf(vectorized=True)\ndef f(x: list[int]) -> list[str]: pass": (
        "vectorized",
        [("x", "BIGINT NULL")],
        "VARCHAR NULL",
    ),
    "@vivarium.udf(vectorized=True)\ndef f(x: list[int | None]) -> Iterator[str]: pass": (
        "vectorized",
        [("x", "BIGINT NULL")],
        "VARCHAR NOT NULL",
    ),
    "@vivarium.udf(vectorized=True, parameters=['INT'], result='INT')\ndef f(x: 'np.ndarray'): pass": (
        "vectorized",
        [("x", "INT")],
        "INT",
    ),
    "@vivarium.udf(vectorized=True)\ndef f(x: Annotated[vivarium.Column, 'INT']) -> Annotated[vivarium.Column, 'INT']:"
    " pass": ("vectorized", [("x", "INT NULL")], "INT NULL"),
    "@vivarium.udf\ndef f(n: int) -> Iterator[int]: yield 1": ("table", [("n", "BIGINT NULL")], "BIGINT NOT NULL"),
    "@vivarium.udf\ndef f() -> 'Generator[tuple[int, str]]': yield 1": (
        "table",
        [],
        "STRUCT<1 BIGINT NOT NULL, 2 VARCHAR NOT NULL> NOT NULL",
    ),
    "@vivarium.udf\ndef f() -> Iterable[int | None]: return []": ("table", [], "BIGINT NULL"),
    "@vivarium.udf(result='INT')\ndef f(): yield 1": ("table", [], "INT"),
    "@vivarium.udtf\ndef f() -> list[int]: return []": ("table", [], "BIGINT NOT NULL"),
    "@vivarium.udtf(result=[('a', 'INT'), ('b', str)])\ndef f(): return []": (
        "table",
        [],
        "STRUCT<a INT NULL, b VARCHAR NOT NULL> NOT NULL",
    ),
    "@vivarium.map_batches(result={'a': 'INT'})\ndef f(batches): pass": ("map", [], "STRUCT<a INT NULL> NOT NULL"),
    "@vivarium.map_batches(parameters=[('x', 'INT'), ('y', str)], result='STRUCT<a INT>')\ndef f(batches): pass": (
        "map",
        [("x", "INT"), ("y", "VARCHAR NOT NULL")],
        "STRUCT<a INT>",
    ),
    "class Row(TypedDict):\n a: int\n@vivarium.map_batches\ndef f(b) -> Iterator[Row]: pass": (
        "map",
        [],
        "STRUCT<a BIGINT NOT NULL> NOT NULL",
    ),
    "import pyarrow as pa\n@vivarium.udf(parameters=[pa.int32()], result=pa.list_(pa.string()))\ndef f(x): pass": (
        "scalar",
        [("x", "INT NULL")],
        "LIST<UTF8 NULL> NULL",
    ),
}


class Declarations(Case):
    def test_functions(self):
        for code, expected in FUNCTIONS.items():
            with self.subTest(code):
                self.assertEqual(shape(declared(code)), expected)

    def test_everything_that_is_told(self):
        self.assertEqual(
            declared("@vivarium.udf(name='plus', null_handling='call', on_error='null')\ndef add(a: int) -> int: pass"),
            {
                "name": "plus",
                "handler": "add",
                "kind": "scalar",
                "parameters": [{"name": "a", "type": "BIGINT NOT NULL"}],
                "result": {"name": "result", "type": "BIGINT NULL"},
                "state": None,
                "null_handling": "call",
                "on_error": "null",
                "dialect": "vivarium",
            },
        )

    def test_order_names_and_what_does_not_count(self):
        code = """
            import vivarium
            from os.path import join
            def helper(): pass
            @vivarium.udf
            def b() -> int: pass
            @vivarium.udf
            def a() -> int: pass
            alias = b
            _hidden = vivarium.udf(lambda: 1, result="INT")
        """
        found = [(f["name"], f["handler"]) for f in describe(code)]
        self.assertEqual(found, [("b", "b"), ("a", "a"), ("_hidden", "_hidden")])
        self.assertEqual(describe("x = 1"), [])

    def test_wrapped_functions_keep_the_declaration(self):
        code = """
            import vivarium, functools
            def twice(function):
                @functools.wraps(function)
                def wrapper(*arguments):
                    return 2 * function(*arguments)
                return wrapper
            @twice
            @vivarium.udf
            def f(x: int) -> int:
                return x
        """
        self.assertEqual(shape(only(code)), ("scalar", [("x", "BIGINT NULL")], "BIGINT NULL"))
        self.assertEqual(load(code, 1)[1](4), 8)

    def test_decorated_functions_can_be_called(self):
        code = """
            import vivarium
            @vivarium.udf
            def f(x: int) -> int:
                return x + 1
            assert f(1) == 2 and f.__name__ == "f"
            root = vivarium.udf(abs, parameters=["INT"], result="INT")
            assert root(-1) == 1
            @vivarium.udaf
            class Sum:
                def create_state(self) -> int: return 0
                def accumulate(self, state, x: int): return state + x
                def merge(self, a, b): return a + b
                def finish(self, state) -> int: return state
            assert Sum().accumulate(1, 2) == 3
        """
        self.assertEqual([f["name"] for f in describe(code)], ["f", "root", "Sum"])
        self.assertEqual(load(code, 1)[1].__name__, "f")

    def test_subclasses_do_not_inherit_a_declaration(self):
        code = """
            import vivarium
            @vivarium.udaf
            class Sum:
                def create_state(self) -> int: return 0
                def accumulate(self, state, x: int): return state + x
                def finish(self, state) -> int: return state
            class Other(Sum): pass
        """
        self.assertEqual([f["name"] for f in describe(code)], ["Sum"])


# arguments of the decorator -> part of the message
BAD_ARGUMENTS = {
    "udf(name=5)": "name must be a str, not int",
    "udf(name='')": "name must have 1 to 255 characters",
    "udf(name='a' * 256)": "name must have 1 to 255 characters",
    "udf(name='a b')": "name must be an identifier: 'a b'",
    "udf(name='a\\x00')": "none of them a control character",
    "udf(name='a\\n')": "none of them a control character",
    "udf(parameters='INT')": "parameters must be a list of types or a dict of names and types, not str",
    "udf(parameters=5)": "parameters must be a list",
    "udf(parameters=[None])": "parameters[0] must be a type as text or as a hint, not None",
    "udf(parameters=[5])": "parameters[0] must be a type",
    "udf(parameters={'x': True})": "parameters['x'] must be a type",
    "udf(parameters={5: 'INT'})": "a name in parameters must be a str",
    "udf(parameters=[''])": "parameters[0]: the type is empty",
    "udf(parameters=['INT\\x07'])": "parameters[0]: the type holds the control character '\\x07'",
    "udf(parameters=['INT\\ud800'])": "the type holds the control character",
    "udf(parameters=['I' * 20000])": "the type has 20000 characters, the limit is 16384",
    "udf(parameters=['INT'] * 10000)": "parameters has 10000 types, the limit is 1000",
    "udf(result=5)": "result must be a type",
    "udf(result=[])": "result must have 1 to 1000 columns",
    "udf(result=['INT'])": "result must be made of pairs of a name and a type",
    "udf(result={'a': 1})": "result['a'] must be a type",
    "udf(vectorized=1)": "vectorized must be a bool",
    "udf(null_handling='skp')": "null_handling must be one of 'call', 'skip', 'annotations', not 'skp'",
    "udf(null_handling=None)": "null_handling must be one of",
    "udf(on_error='ignore')": "on_error must be one of 'raise', 'null', not 'ignore'",
    "udf(vectorized=True, on_error='null')": "on_error='null' is for scalar functions",
    "udf(input_types=['INT'])": "unexpected keyword argument 'input_types'",
    "udf('INT')": "the decorator needs a function, not 'INT'",
    "udtf(on_error='null')": "unexpected keyword argument 'on_error'",
    "map_batches(parameters=['INT'])": "parameters must be made of pairs",
    "map_batches(parameters='a INT')": "parameters of map_batches must be a dict or a list of pairs",
    "map_batches(null_handling='skip')": "unexpected keyword argument",
    "udaf(state=5)": "state must be a type",
    "udaf(create_state=int)": "an aggregate needs accumulate",
    "udaf(create_state=int, accumulate=5)": "accumulate must be a function, not int",
}

# code -> part of the message
BAD_DECLARATIONS = {
    "@vivarium.udf(parameters=['INT', 'INT'], result='INT')\ndef f(x): pass": "has 1 parameters, but 2 types are given",
    "@vivarium.udf(parameters={'y': 'INT'}, result='INT')\ndef f(x): pass": "`f` has no parameter `y`",
    "@vivarium.udf\nasync def f() -> int: pass": "`f` is asynchronous",
    "@vivarium.udf(on_error='null')\ndef f() -> Iterator[int]: yield 1": "on_error='null' is for scalar functions",
    "@vivarium.udf(vectorized=True)\ndef f(x: int) -> list[int]: pass": "is not a column",
    "@vivarium.udtf\ndef f() -> int: pass": "is not a stream of rows",
    "@vivarium.map_batches\ndef f(batches): pass": "the result has neither a hint nor a type",
    "@vivarium.map_batches\ndef f(b) -> int: pass": "is not a stream of batches",
    "@vivarium.map_batches(result={'a': set})\ndef f(b): pass": "`result.a`",
    "@vivarium.udf(name='g')\ndef f() -> int: pass\n@vivarium.udf\ndef g() -> int: pass": "two functions are declared as"
    " `g`: `f` and `g`",
}

HOSTILE = """
class Everything:
    "Answers every question with itself."
    def __getattr__(self, name): return self
    def __call__(self, *a, **k): return self
class Raising:
    def __getattribute__(self, name): raise RuntimeError(name)
class Exiting:
    @property
    def __dict__(self): raise SystemExit
    def __getattr__(self, name): raise SystemExit
class Liar:
    __class__ = property(lambda self: type)
class Meta(type):
    def __getattribute__(cls, name): raise RuntimeError(name)
class Odd(metaclass=Meta): pass
a, b, c, d, e = Everything(), Raising(), Exiting(), Liar(), Odd
class Signed:
    "Callable, with a signature that raises."
    @property
    def __signature__(self): raise RuntimeError("no")
    def __call__(self, x): return x
class Posing:
    __vivarium_declaration__ = "me"
class Posing2: pass
p, q = Posing(), Posing2()
q.__vivarium_declaration__ = 5
"""


class Refusals(Case):
    def test_arguments(self):
        for call, part in BAD_ARGUMENTS.items():
            with self.subTest(call):
                code = f"{IMPORTS}\n@vivarium.{call}\ndef f(x: int) -> int: pass\n"
                self.refused("import", part, describe, code)

    def test_classes(self):
        code = f"{IMPORTS}\n@vivarium.udf\nclass F: pass"
        self.refused("import", "F is a class; for an aggregate use vivarium.udaf", describe, code)
        code = f"{IMPORTS}\n@vivarium.udaf\ndef f(): pass"
        self.refused("import", "udaf decorates a class, not function", describe, code)
        code = f"{IMPORTS}\n@vivarium.udaf\nclass F: pass"
        self.refused("import", "F has no create_state, which an aggregate needs", describe, code)

    def test_declarations(self):
        for code, part in BAD_DECLARATIONS.items():
            with self.subTest(code):
                self.refused("handler", part, describe, IMPORTS + code)

    def test_hostile_objects(self):
        self.assertEqual(describe(HOSTILE), [])
        code = HOSTILE + "import vivarium\nf = vivarium.udf(Signed(), parameters=['INT'], result='INT')\n"
        self.assertEqual([p["name"] for p in describe(code)[0]["parameters"]], ["arg1"])
        code = "import vivarium\nf = vivarium.udf(max, parameters=['INT', 'INT'], result='INT')\n"
        self.assertEqual([p["name"] for p in describe(code)[0]["parameters"]], ["arg1", "arg2"])
        for handler in ("b", "b.x", "c", "d", "e", "e.x.y"):
            with self.subTest(handler), self.assertRaises(Failed):
                load(HOSTILE, 0, handler=handler, kind="aggregate")

    def test_sizes(self):
        many = ", ".join(f"x{i}: int" for i in range(10000))
        code = f"{IMPORTS}@vivarium.udf\ndef f({many}) -> int: pass"
        self.refused("handler", "`f` has 10000 parameters, the limit is 1000", describe, code)
        code = f"{IMPORTS}for i in range(2000): globals()[f'f{{i}}'] = vivarium.udf(lambda: 1, result='INT')"
        self.refused("handler", "declares more than 1000 functions", describe, code)
        cases = {
            "def f(%s: int) -> int: pass" % ("x" * 256): "`f`: the name of a parameter must have 1 to 255 characters",
            "def f() -> int: pass\nglobals()['f' * 256] = globals().pop('f')": "the name of a function must have 1 to",
            "def f() -> int: pass\nglobals()['a\\nb'] = globals().pop('f')": "none of them a control character: 'a\\nb'",
        }
        for code, part in cases.items():
            self.refused("handler", part, describe, f"{IMPORTS}@vivarium.udf\n{code}")
        code = f"{IMPORTS}big = 'I' * 16000\nfor i in range(100):\n"
        code += "    globals()[f'f{i}'] = vivarium.udf(lambda: 1, result=big)"
        self.refused("handler", "the declarations take more than 1048576 bytes, up to `f64`", describe, code)

    def test_failures_of_the_code(self):
        self.refused("syntax", "SyntaxError", describe, "def")
        self.refused("import", "ZeroDivisionError", describe, "1 / 0")
        self.refused("import", "SystemExit", describe, "import sys; sys.exit()")
        self.refused("import", "not a plain relative file name", describe, "", filename="../x.py")


if __name__ == "__main__":
    unittest.main()
