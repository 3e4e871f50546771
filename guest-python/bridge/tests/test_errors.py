"""Loading, exceptions, and what users read when something goes wrong."""

import os
import sys
import unittest

import pyarrow as pa

from arrow_nodes import SchemaNode, struct_schema
from support import Function, bridge, failure, is_wasm


def load(code, parameters=(), result=pa.int64(), **options):
    return Function(code, list(parameters), result, **options)


def run(code, **options):
    return load(code, **options)(length=1).to_pylist()[0]


class Loading(unittest.TestCase):
    def test_syntax_error(self):
        parts = failure(self, load, "x = 1\ndef f(:\n    pass\n", filename="total.py")
        self.assertEqual((parts["kind"], parts["class"]), ("syntax", "SyntaxError"))
        self.assertEqual(parts["message"], "invalid syntax (total.py, line 2)")
        self.assertEqual(
            parts["traceback"],
            '  File "total.py", line 2\n    def f(:\n          ^\nSyntaxError: invalid syntax',
        )

    def test_other_code_that_does_not_compile(self):
        for code in ("x = '\0'", "x = '\ud800'", "\tx=1\n  y=2", "if 1:\nx", "return 5", "x = " + "(" * 5000 + ")" * 5000):
            with self.subTest(code=code[:20]):
                self.assertIn(failure(self, load, code)["kind"], ("syntax", "memory", "recursion"))

    def test_exception_while_importing(self):
        parts = failure(self, load, "def g():\n    raise ValueError('no')\ng()\n")
        self.assertEqual((parts["kind"], parts["class"], parts["message"]), ("import", "ValueError", "no"))
        self.assertEqual(
            parts["traceback"],
            'Traceback (most recent call last):\n  File "udf.py", line 3, in <module>\n    g()\n    ~^^\n'
            "  File \"udf.py\", line 2, in g\n    raise ValueError('no')\nValueError: no",
        )
        self.assertNotIn("row", parts)

    def test_missing_module(self):
        parts = failure(self, load, "import pandas_of_tomorrow\n")
        self.assertEqual((parts["kind"], parts["class"]), ("import", "ModuleNotFoundError"))
        self.assertEqual(parts["message"], "No module named 'pandas_of_tomorrow'")

    def test_exit_while_importing(self):
        self.assertEqual(failure(self, load, "raise SystemExit(3)")["kind"], "exit")
        self.assertEqual(failure(self, load, "def g(): g()\ng()")["kind"], "recursion")
        self.assertEqual(failure(self, load, "raise MemoryError")["kind"], "memory")
        self.assertEqual(failure(self, load, "raise KeyboardInterrupt")["kind"], "import")

    def test_handler(self):
        for code, handler, message in (
            ("def g(): pass", "f", "the code defines no `f`; it defines `g`"),
            ("", "f", "the code defines no `f`"),
            ("class A: pass", "A.f", "the code defines no `A.f`; it defines `A`"),
            ("f = 5", "f", "`f` is not callable, it is of type int"),
            ("async def f(): pass", "f", "`f` is asynchronous, which is not supported"),
            ("def f(a, b=1): pass", "f", "`f(a, b=1)` takes 1 to 2 positional arguments, but the function is declared with 0 parameters"),
            ("def f(a): pass", "f", "`f(a)` takes 1 positional argument, but the function is declared with 0 parameters"),
            ("def f(a, *b): pass", "f", "`f(a, *b)` takes at least 1 positional arguments, but the function is declared with 0 parameters"),
            ("def f(*, k): pass", "f", "`f(*, k)` requires the keyword argument `k`, but arguments are passed by position"),
        ):
            with self.subTest(code=code):
                parts = failure(self, load, code, handler=handler)
                self.assertEqual((parts["kind"], parts["message"]), ("handler", message))
        self.assertEqual(failure(self, load, "def f(): pass", [pa.int8()])["message"], "`f()` takes 0 positional arguments, but the function is declared with 1 parameter")

    def test_handlers_of_every_kind(self):
        for code, handler in (
            ("class A:\n    class B:\n        @staticmethod\n        def g(x): return x + 1", "A.B.g"),
            ("class A:\n    def __call__(self, x): return x + 1\na = A()", "a"),
            ("class A:\n    def g(self, x): return x + 1\na = A()", "a.g"),
            ("import functools, operator\nf = functools.partial(operator.add, 1)", "f"),
            ("f = (1).__add__", "f"),
            ("import operator\nf = operator.attrgetter('numerator')\ng = lambda x, y=1, *z, k=3: f(x) + y", "g"),
            ("import functools\n@functools.lru_cache\ndef f(x): return x + 1", "f"),
            ("def f(x, /): return x + 1", "f"),
            ("class C(int):\n    def __new__(cls, x): return x + 1", "C"),
        ):
            with self.subTest(code=code):
                self.assertEqual(load(code, [pa.int64()], handler=handler)(pa.array([1, 41])).to_pylist(), [2, 42])

    def test_module(self):
        code = "import sys\ndef f(): return f'{__name__} {sys.modules[__name__].f is f} {__file__.rpartition(\"/\")[2]}'"
        # A module that is loaded already, here or by an earlier test in the guest, keeps its name.
        loaded = run("import sys\ndef f(): return int('pyarrow' in sys.modules)")
        self.assertTrue(loaded or is_wasm())
        files = {"udf.py": "udf", "total.py": "total", "json.py": "udf", "2x.py": "udf", "class.py": "udf", "pyarrow.py": "udf" if loaded else "pyarrow"}
        for filename, name in files.items():
            self.assertEqual(load(code, result=pa.string(), filename=filename)(length=1)[0].as_py(), f"{name} True {filename}")
        for filename in ("../x.py", "/x.py", "", "a//b.py", "a/./b.py", "a\0.py"):
            self.assertEqual(failure(self, load, "", filename=filename)["kind"], "import")

    def test_files_of_the_user(self):
        root = run("import _vivarium\ndef f(): return _vivarium.udf_root", result=pa.string())
        files = {"helper/__init__.py": "", "helper/inner.py": "def twice(x): return 2 * x", "data.txt": "5"}
        bridge().mount({f"{root}/{name}": text.encode() for name, text in files.items()})
        code = "from helper.inner import twice\nimport pathlib\nseed = int(pathlib.Path(__file__).with_name('data.txt').read_text())\ndef f(): return twice(seed)"
        self.assertEqual(run(code), 10)

    def test_environment(self):
        before = dict(os.environ)
        try:
            code = "import os\nat_import = sorted(os.environ)\ndef f(): return f'{at_import} {dict(os.environ)}'"
            for environment in ({"A": "1"}, {"B": "zwei ü"}):
                shown = load(code, result=pa.string(), environment=environment)(length=1)[0].as_py()
                self.assertEqual(shown, f"{list(environment)} {environment}")
            self.assertEqual(failure(self, load, "", environment={"A=B": "x", "": "y"})["kind"], "import")
        finally:
            os.environ.clear()
            os.environ.update(before)

    def test_code_that_uses_its_module(self):
        code = """
import dataclasses, enum, inspect, pickle, typing
@dataclasses.dataclass
class Point:
    x: int
    y: typing.Optional["Point"] = None
class Color(enum.Enum):
    RED = 1
def f():
    copy = pickle.loads(pickle.dumps(Point(1, Point(2))))
    assert copy == Point(1, Point(2)) and pickle.loads(pickle.dumps(Color.RED)) is Color.RED
    assert typing.get_type_hints(Point)["y"] == typing.Optional[Point]
    return inspect.getsource(Color).strip()
"""
        self.assertEqual(run(code, result=pa.string()), "class Color(enum.Enum):\n    RED = 1")

    def test_schema_errors(self):
        for node, message in (
            (SchemaNode("vu", "p"), "the Arrow type with format 'vu' is not supported"),
            (SchemaNode("d:39,2", "p"), "the Arrow type with format 'd:39,2' is not supported"),
            (SchemaNode("d:10,2,64x", "p"), "the Arrow type with format 'd:10,2,64x' is not supported"),
            (SchemaNode("w:-1", "p"), "the Arrow type with format 'w:-1' is not supported"),
            (SchemaNode("+l", "p"), "the Arrow type with format '+l' has 0 children"),
            (SchemaNode("i", "p", True, [SchemaNode("i")]), "the Arrow type with format 'i' has 1 children"),
            (SchemaNode("tsu:Mars/Olympus", "p"), "unknown time zone `Mars/Olympus`"),
            (SchemaNode("tsu:../../etc/passwd", "p"), "unknown time zone `../../etc/passwd`"),
            (SchemaNode("tsu:+25:00", "p"), "unknown time zone `+25:00`"),
            (SchemaNode("+s", "p", True, [SchemaNode("i", "a"), SchemaNode("i", "a")]), "a struct with two fields named `a`"),
        ):
            with self.subTest(format=node.format):
                parts = failure(self, bridge().load, "def f(x): pass", struct_schema([node]), SchemaNode("i"))
                self.assertEqual((parts["kind"], parts["message"], parts["column"]), ("schema", message, "p"))
                self.assertEqual(failure(self, bridge().load, "def f(): pass", struct_schema([]), node)["kind"], "schema") if node.format[:2] != "ts" else None
        deep = SchemaNode("i")
        for _ in range(200):
            deep = SchemaNode("+l", "p", True, [deep])
        self.assertEqual(failure(self, bridge().load, "def f(x): pass", struct_schema([deep]), SchemaNode("i"))["kind"], "schema")


class Exceptions(unittest.TestCase):
    def fails(self, code, **options):
        return failure(self, run, code, **options)

    def test_exception(self):
        code = "def f(x):\n    return 10 // x\n"
        parts = failure(self, load(code, [pa.int64()]), pa.array([1, 2, 0, 4]))
        self.assertEqual((parts["kind"], parts["class"], parts["row"]), ("exception", "ZeroDivisionError", 2))
        self.assertEqual(parts["message"], "integer division or modulo by zero" if sys.version_info < (3, 14) else parts["message"])
        self.assertEqual(
            parts["traceback"],
            'Traceback (most recent call last):\n  File "udf.py", line 2, in f\n    return 10 // x\n'
            "           ~~~^^~~\nZeroDivisionError: integer division or modulo by zero",
        )

    def test_own_class_chain_notes_and_group(self):
        code = """
class Mine(Exception): pass
def f():
    try:
        1 / 0
    except ZeroDivisionError as e:
        error = Mine("outer")
        error.add_note("a note")
        raise error from e
"""
        parts = self.fails(code)
        self.assertEqual((parts["class"], parts["message"]), ("udf.Mine", "outer"))
        text = parts["traceback"]
        self.assertIn("ZeroDivisionError: division by zero", text)
        self.assertIn("The above exception was the direct cause", text)
        self.assertTrue(text.endswith("udf.Mine: outer\na note"))
        self.assertEqual(text.count('File "udf.py"'), 2)
        text = self.fails("def f(): raise ExceptionGroup('g', [ValueError(1), TypeError(2)])")["traceback"]
        self.assertIn("ValueError: 1", text)
        self.assertIn("TypeError: 2", text)

    def test_library_frames_are_kept_and_the_bridge_is_not(self):
        parts = self.fails("import json\ndef f(): return json.loads('{')")
        self.assertIn("json/decoder.py", parts["traceback"])
        self.assertNotIn("package/vivarium", parts["traceback"])
        parts = self.fails("import random\ndef f(): return random.Random(b'x').setstate(5)")
        self.assertNotIn("_entropy", parts["traceback"])

    def test_kinds(self):
        for code, kind, name in (
            ("def f(): raise SystemExit(3)", "exit", "SystemExit"),
            ("def f(): raise SystemExit", "exit", "SystemExit"),
            ("import sys\ndef f(): sys.exit('bye' * 10**6)", "exit", "SystemExit"),
            ("def f(): raise KeyboardInterrupt", "exception", "KeyboardInterrupt"),
            ("def f(): raise GeneratorExit", "exception", "GeneratorExit"),
            ("def f(): f()", "recursion", "RecursionError"),
            ("def f(): raise MemoryError", "memory", "MemoryError"),
            ("def f(): return bytearray(1 << 62)", "memory", "MemoryError") if not is_wasm() else ("def f(): return bytearray(2**31 - 100)", "memory", "MemoryError"),
            ("def f(): raise 5", "exception", "TypeError"),
            ("def f(): raise StopIteration", "exception", "StopIteration"),
        ):
            with self.subTest(code=code):
                parts = self.fails(code)
                self.assertEqual((parts["kind"], parts["class"], parts["row"]), (kind, name, 0))
        self.assertEqual(self.fails("def f(): raise SystemExit(3)")["message"], "sys.exit(3) was called")

    def test_out_of_memory_in_small_pieces(self):
        if not is_wasm():
            self.skipTest("needs a memory limit")
        code = """
def f():
    kept = []
    size = 1 << 26
    while True:
        try:
            kept.append(bytearray(size))
        except MemoryError:
            size //= 2
            if size < 8: raise
"""
        from support import new_backend

        backend = new_backend()
        parts = self.fails(code, backend=backend)
        self.assertEqual((parts["kind"], parts["class"]), ("memory", "MemoryError"))
        self.assertEqual(run("def f(): return len(bytearray(32 << 20))", backend=backend), 32 << 20)

    def test_sizes_are_bounded(self):
        parts = self.fails("def f(): raise ValueError('x' * 10_000_000)")
        self.assertLessEqual(len(parts["message"].encode()), 4096)
        self.assertLessEqual(len(parts["traceback"].encode()), 16384)
        parts = self.fails("def f(): raise ValueError('é' * 10_000_000)")
        self.assertLessEqual(len(parts["message"].encode()), 4096)
        self.assertGreater(len(parts["message"]), 2000)
        code = "class " + "N" * 5000 + "(Exception): pass\ndef f(): raise " + "N" * 5000
        self.assertLessEqual(len(self.fails(code)["class"]), 256)
        code = "def f():\n    e = ValueError('a')\n    e.__notes__ = ['n' * 10**6] * 1000\n    raise e"
        self.assertLessEqual(len(self.fails(code)["traceback"].encode()), 16384)
        code = "def g(n):\n    if n: return h(n - 1)\n    raise ValueError('the end')\n" + "def h(n):\n    return g(n - 1)  # " + "w" * 100 + "\ndef f(): g(300)"
        text = self.fails(code)["traceback"]
        self.assertLessEqual(len(text.encode()), 16384)
        self.assertTrue(text.startswith("Traceback (most recent call last):\n  File \"udf.py\", line 6, in f"))
        self.assertTrue(text.endswith("ValueError: the end"))
        self.assertIn("bytes left out", text)
        code = "def f():\n    e = None\n    for i in range(10000):\n        n = ValueError(i)\n        n.__context__ = e\n        e = n\n    raise e"
        self.assertLessEqual(len(self.fails(code)["traceback"].encode()), 16384)

    def test_texts_that_json_and_utf8_do_not_like(self):
        code = "def f(): raise ValueError('\\ud800 \\x00 \\x1b[31m \"q\" \\\\ \\r\\n \\u2028 é')"
        parts = self.fails(code)
        self.assertEqual(parts["message"], "\\ud800 \\x00 \x1b[31m \"q\" \\ \r\n \u2028 é")

    def test_hostile_exceptions(self):
        for body in (
            "def __str__(self): raise ValueError",
            "def __str__(self): raise SystemExit",
            "def __str__(self): return 5",
            "def __repr__(self): raise ValueError",
            "def __str__(self): return S('x' * 100)",
            "__class__ = property(lambda self: 1 / 0)",
            "__traceback__ = 5",
            "__cause__ = property(lambda self: self)",
            "__context__ = property(lambda self: self)",
            "__notes__ = property(lambda self: 1 / 0)",
            "__notes__ = 5",
            "__suppress_context__ = property(lambda self: 1 / 0)",
            "__module__ = 5",
            "__qualname__ = 'x' * 10**6",
            "def __getattribute__(self, name): raise KeyError(name)",
            "def __eq__(self, other): raise ValueError\n    __hash__ = None",
            "def __hash__(self): raise ValueError",
            "def __del__(self): raise ValueError",
        ):
            with self.subTest(body=body):
                code = f"class S(str):\n    def __len__(self): return -1\n    def __getitem__(self, i): raise ValueError\nclass E(Exception):\n    {body}\ndef f(): raise E('text')"
                parts = self.fails(code)
                self.assertEqual(parts["kind"], "exception")
                self.assertLessEqual(len(parts["message"]), 4096)
                self.assertIn("class", parts)
        code = """
class Meta(type):
    @property
    def __module__(cls): raise ValueError
    @property
    def __name__(cls): raise ValueError
    def __instancecheck__(cls, other): raise ValueError
class E(Exception, metaclass=Meta): pass
def f(): raise E('text')
"""
        parts = self.fails(code)
        self.assertEqual((parts["kind"], parts["class"], parts["message"]), ("exception", "udf.E", "text"))
        self.assertIn('File "udf.py", line 9, in f', parts["traceback"])

    def test_a_cycle_of_causes(self):
        code = "def f():\n    a, b = ValueError('a'), ValueError('b')\n    a.__cause__, b.__cause__ = b, a\n    raise a"
        self.assertEqual(self.fails(code)["class"], "ValueError")

    def test_sabotage(self):
        if not is_wasm():
            self.skipTest("would damage the interpreter of the test run")
        from support import new_backend

        for sabotage in (
            "sys.modules.clear()",
            "traceback.TracebackException = None; traceback.format_exception = None",
            "traceback.TracebackException.format = None",
            "linecache.getline = linecache.checkcache = linecache.updatecache = None",
            "builtins.str = builtins.repr = builtins.isinstance = builtins.len = builtins.type = None",
            "sys.modules['vivarium._errors'].__dict__.clear()",
            "sys.stdout = sys.stderr = None",
            "sys.stdout.close(); sys.stderr.close()",
            "sys.setrecursionlimit(50)",
            "sys.excepthook = sys.settrace = None",
            "gc.disable(); json.loads = json.dumps = None",
            "sys.settrace(lambda *a: 1 / 0)",
            "sys.setprofile(lambda *a: 1 / 0)",
            "os.environ = None",
        ):
            with self.subTest(sabotage=sabotage):
                code = f"import sys, traceback, builtins, linecache, gc, json, os\ndef f():\n    {sabotage}\n    raise ValueError('the reason')\n"
                backend = new_backend()
                parts = failure(self, Function(code, [], pa.int8(), backend=backend), length=1)
                self.assertIn(parts["kind"], ("exception", "recursion"))
                self.assertIn(parts["class"], ("ValueError", "ZeroDivisionError", "TypeError", "AttributeError"), parts)
                self.assertTrue(parts["message"])

    def test_output_reaches_the_streams(self):
        if not is_wasm():
            self.skipTest("would write to the output of the test run")
        before = dict(bridge().output)
        run("import sys\ndef f():\n    print('hello \\ud800')\n    print('partial', end='')\n    print('problem', file=sys.stderr, end='')\n    return 1")
        self.assertEqual(bridge().output[1][len(before[1]) :], b"hello \\ud800\npartial")
        self.assertEqual(bridge().output[2][len(before[2]) :], b"problem")

    def test_wrong_calls(self):
        function = load("def f(): return 1")
        function.handle += 1000
        self.assertEqual(failure(self, function, length=1)["kind"], "internal")


if __name__ == "__main__":
    unittest.main()
