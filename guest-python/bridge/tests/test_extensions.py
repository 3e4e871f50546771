"""Extension types: JSON, UUID, and decimals as text, at every level of nesting."""

import decimal
import json
import unittest
import uuid
from decimal import Decimal as D

import pyarrow as pa

from support import Function, failure


def typed(extension, storage, name="x", nullable=True):
    return pa.field(name, storage, nullable=nullable, metadata={"ARROW:extension:name": extension, "ARROW:extension:metadata": ""})


def jsons(storage=pa.string(), **options):
    return typed("arrow.json", storage, **options)


def uuids(**options):
    return typed("arrow.uuid", pa.binary(16), **options)


def decimals(storage=pa.string(), **options):
    return typed("arrowudf.decimal", storage, **options)


PRELUDE = "import datetime, uuid, math\nfrom decimal import Decimal as D\n"
IDENTITY = "def f(x): return x\n"
TEXTS = ["{}", "[]", "0", "-1.5e3", "1.0", "true", "false", '""', '"é🙂\\n"', '{"a":[1,2.5,null,{"b":"c"}]}', '[[[]],{"x":{}}]', "12345678901234567890123"]
ID = uuid.UUID("12345678-1234-5678-9abc-def012345678")


def returning(expression, field, **options):
    function = Function(f"{PRELUDE}def f(): return {expression}\n", [], field, **options)
    return lambda: function(length=1).to_pylist()[0]


class Json(unittest.TestCase):
    def test_arguments(self):
        for storage in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
            texts = [*TEXTS, None, "null", " \t\n[ 1 , 2 ]\r\n", "NaN"]
            shown = Function("def f(x): return repr(x)\n", [jsons(storage)], pa.string())(pa.array(texts, storage)).to_pylist()
            self.assertEqual(shown, [repr(None if t is None else json.loads(t)) for t in texts])

    def test_results(self):
        for storage in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
            result = Function(IDENTITY, [jsons(storage)], jsons(storage))(pa.array([*TEXTS, None], storage)).to_pylist()
            expected = [json.dumps(json.loads(t), ensure_ascii=False, separators=(",", ":")) for t in TEXTS] + [None]
            self.assertEqual([r.decode() if isinstance(r, bytes) else r for r in result], expected)
        for expression, expected in (
            ("(1, [2])", "[1,[2]]"),
            ("{1: 2, None: 3, True: 4, 1.5: 5}", '{"1":4,"null":3,"1.5":5}'),
            ("'</script>\\x00\\x7f'", '"</script>\\u0000\x7f"'),
            ("10**30", "1" + "0" * 30),
            ("__import__('collections').OrderedDict(a=1)", '{"a":1}'),
            ("'x' * 100_000", '"' + "x" * 100_000 + '"'),
        ):
            self.assertEqual(returning(expression, jsons())(), expected)

    def test_null(self):
        self.assertIsNone(returning("None", jsons())())
        self.assertEqual(returning("None", jsons(nullable=False))(), "null")
        inner = pa.list_(jsons(name="item", nullable=False))
        self.assertEqual(returning("[None, 1, [None]]", inner)(), ["null", "1", "[null]"])

    def test_texts_that_are_no_json(self):
        function = Function(IDENTITY, [jsons()], jsons())
        for text, reason in (
            ("", "a value is missing (char 0)"), ("nul", "a value is missing (char 0)"), ("[1,", "a value is missing (char 3)"), ("{'a':1}", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
            ("1 2", "there is more after the value (char 1)"), ('"a', "Unterminated string starting at: line 1 column 1 (char 0)"), ("1" * 5000, None),
        ):
            parts = failure(self, function, pa.array(["1", text]))
            self.assertEqual((parts["kind"], parts["row"], parts["column"]), ("argument", 1, "x"))
            self.assertTrue(parts["message"].startswith(f"column `x`, row 1: json value is not JSON: {reason or ''}"), parts["message"])
        self.assertEqual(failure(self, function, pa.array(["[" * 100_000]))["kind"], "recursion")
        function = Function(IDENTITY, [jsons(pa.binary())], jsons())
        self.assertIn("is not valid UTF-8", failure(self, function, pa.array([b'"\xff"']))["message"])

    def test_values_that_json_lacks(self):
        for expression, message in (
            ("D(1)", "column `x`, row 0: expected json, got decimal.Decimal Decimal('1'), which JSON does not know"),
            ("math.nan", "column `x`, row 0: expected json, got float nan, which JSON does not know"),
            ("{'a': [1, {'b': datetime.date(2000, 1, 2)}]}", "column `x.a[1].b`, row 0: expected json, got datetime.date datetime.date(2000, 1, 2), which JSON does not know"),
            ("[[], (0, -math.inf)]", "column `x[1][1]`, row 0: expected json, got float -inf, which JSON does not know"),
            ("{'a': {(1,): 2}}", "column `x.a`, row 0: expected json, got tuple (1,) as a key"),
            ("{math.nan: 2}", "column `x`, row 0: expected json, got float nan as a key"),
            ("{'a': b'x'}", "column `x.a`, row 0: expected json, got bytes b'x', which JSON does not know"),
            ("{1, 2}", "column `x`, row 0: expected json, got set {1, 2}, which JSON does not know"),
            ("['ok', '\\ud800']", "column `x[1]`, row 0: expected json, got str '\\ud800': it holds surrogates, which UTF-8 does not allow"),
            ("{'\\ud800': 1}", "column `x`, row 0: expected json, got str '\\ud800' as a key: it holds surrogates"),
        ):
            parts = failure(self, returning(expression, jsons()))
            self.assertEqual((parts["kind"], parts["message"]), ("result", message))
        code = "def f():\n    x = []\n    x.append({'a': x})\n    return x\n"
        parts = failure(self, Function(code, [], jsons()), length=1)
        self.assertEqual(parts["kind"], "result")
        self.assertTrue(parts["message"].endswith(": it holds itself, or a value that JSON does not know"), parts["message"])
        code = "x = [1]\nx.append(x)\nn = 0\ndef f():\n    global n\n    n += 1\n    if n == 2: x.pop()\n    return x\n"
        function = Function(code, [], jsons())
        failure(self, function, length=1)
        self.assertEqual(function(length=1).to_pylist(), ["[1]"])

    def test_hostile_values(self):
        for code, kind in (
            ("class D(dict):\n    def items(self): raise KeyError\ndef f(): return D(a=1)\n", "exception"),
            ("class D(dict):\n    def items(self): return [(1,)]\ndef f(): return D(a=1)\n", "result"),
            ("class I:\n    def __repr__(self): d.clear(); return 'x'\nd = {'a' * 50: {'b' * 50: I()}}\ndef f(): return d\n", "result"),
            ("class I:\n    def __repr__(self): d.clear(); raise ValueError\nd = [[I()]]\ndef f(): return d\n", "result"),
            ("class F(float):\n    def __repr__(self): raise ValueError\ndef f(): return [F('nan')]\n", "exception"),
            ("import json\njson.JSONEncoder.default = None\njson.encoder.c_make_encoder = None\ndef f(): return object()\n", "result"),
        ):
            parts = failure(self, Function(code, [], jsons()), length=1)
            self.assertEqual(parts["kind"], kind, code)
        code = "class S(str):\n    def __str__(self): return 5\nclass I(int):\n    def __repr__(self): return 'q'\ndef f(): return [S('a'), I(5)]\n"
        self.assertEqual(Function(code, [], jsons())(length=1).to_pylist(), ['["a",5]'])


class Uuid(unittest.TestCase):
    VALUES = [ID, uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.UUID(int=2**127), uuid.UUID(int=1)]

    def test_both_ways(self):
        array = pa.array([v.bytes for v in self.VALUES] + [None], pa.binary(16))
        self.assertTrue(Function(IDENTITY, [uuids()], uuids())(array).equals(array))
        shown = Function("def f(x): return repr((x, x and x.is_safe, type(x).__name__, hash(x) == hash(eval(repr(x), {'UUID': type(x)}))))\n", [uuids()], pa.string())(array)
        self.assertEqual(shown.to_pylist()[:-1], [repr((v, v.is_safe, "UUID", True)) for v in self.VALUES])

    def test_accepted(self):
        for expression in (f"'{ID}'", f"'{{{ID}}}'", f"'{ID.hex}'", f"'urn:uuid:{ID}'", f"{ID.bytes!r}", f"uuid.UUID('{ID}')", f"type('U', (uuid.UUID,), {{}})('{ID}')"):
            self.assertEqual(returning(expression, uuids())(), ID.bytes, expression)

    def test_refused(self):
        for expression, reason in (
            ("'abc'", "it is not a UUID"), ("b'abc'", "it does not have 16 bytes"), ("5", ""), ("uuid.UUID.__new__(uuid.UUID)", "it is not initialised"),
            ("[object.__setattr__(u := uuid.UUID(int=0), 'int', 2**128), u][1]", "its number is out of range"),
            ("[object.__setattr__(u := uuid.UUID(int=0), 'int', -1), u][1]", "its number is out of range"),
            ("[object.__setattr__(u := uuid.UUID(int=0), 'int', 'x'), u][1]", "its number is out of range"),
        ):
            parts = failure(self, returning(expression, uuids()))
            self.assertEqual(parts["kind"], "result")
            self.assertIn("column `x`, row 0: expected uuid, got ", parts["message"])
            self.assertTrue(parts["message"].endswith(reason), parts["message"])


class Decimals(unittest.TestCase):
    def test_both_ways(self):
        texts = ["0", "1.50", "-0.00", "123456789" * 20 + "." + "1" * 100, "0." + "0" * 50 + "1", None]
        for storage in (pa.string(), pa.large_string()):
            array = pa.array(texts, storage)
            self.assertTrue(Function(IDENTITY, [decimals(storage)], decimals(storage))(array).equals(array))
            shown = Function("def f(x): return repr(x)\n", [decimals(storage)], pa.string())(array)
            self.assertEqual(shown.to_pylist(), [repr(None if t is None else D(t)) for t in texts])

    def test_results(self):
        for expression, expected in (
            ("D('1E+3')", "1000"), ("D('1E-10')", "0.0000000001"), ("D('-1.5E+20')", "-150000000000000000000"), ("D('0E+2')", "000"), ("5", "5"), ("-10**40", "-1" + "0" * 40), ("True", "1"),
            ("D('1E+1000')", "1" + "0" * 1000), ("type('X', (D,), {'__str__': lambda s: 'x', '__format__': lambda s, f: 'x'})('1E+2')", "100"),
        ):
            self.assertEqual(D(returning(expression, decimals())()), D(expected), expression)
            self.assertNotIn("E", returning(expression, decimals())())
        context = decimal.getcontext().copy()
        self.assertEqual(returning("(__import__('decimal').getcontext().__setattr__('prec', 3), D('123456.789'))[1]", decimals())(), "123456.789")
        decimal.setcontext(context)

    def test_refused(self):
        for expression, reason in (
            ("D('NaN')", "it is not finite"), ("D('-Infinity')", "it is not finite"), ("D('sNaN')", "it is not finite"), ("1.5", "got float 1.5"), ("'1.5'", "got str '1.5'"),
            ("D('1E+999999')", "its exponent is too large for plain notation"), ("D('1E-999999')", "its exponent is too large for plain notation"), ("10**5000", ""),
        ):
            parts = failure(self, returning(expression, decimals()))
            self.assertEqual(parts["kind"], "result", expression)
            self.assertIn("column `x`, row 0: expected decimal, got ", parts["message"])
            self.assertTrue(parts["message"].endswith(reason), parts["message"])

    def test_texts_that_are_no_numbers(self):
        function = Function(IDENTITY, [decimals()], decimals())
        for text, reason in (("", "is not a number"), ("abc", "is not a number"), ("1.5.5", "is not a number"), ("NaN", "is not finite"), ("Infinity", "is not finite")):
            parts = failure(self, function, pa.array([text]))
            self.assertEqual((parts["kind"], parts["message"]), ("argument", f"column `x`, row 0: decimal value {reason}"))


class Everywhere(unittest.TestCase):
    """Below other types, in every kind, and names that mean nothing."""

    NESTED = pa.struct([
        jsons(name="j"), uuids(name="u"), decimals(name="d"),
        pa.field("l", pa.list_(jsons(name="item"))),
        pa.field("m", pa.map_(pa.string(), pa.struct([uuids(name="u")]))),
    ])
    ROWS = [
        {"j": '{"a":1}', "u": ID.bytes, "d": "1.5", "l": ["[1]", None, '"x"'], "m": [("k", {"u": ID.bytes})]},
        {"j": None, "u": None, "d": None, "l": None, "m": None},
    ]

    def test_nested(self):
        array = pa.array(self.ROWS * 3, self.NESTED)
        field = pa.field("s", self.NESTED)
        self.assertTrue(Function(IDENTITY, [field], field)(array).equals(array))
        shown = Function("def f(x): return repr(x)\n", [field], pa.string())(array)[0].as_py()
        self.assertEqual(shown, repr({"j": {"a": 1}, "u": ID, "d": D("1.5"), "l": [[1], None, "x"], "m": {"k": {"u": ID}}}))

    def test_vectorized(self):
        array = pa.array(self.ROWS * 3, self.NESTED)
        field = pa.field("s", self.NESTED)
        for code in ("def f(c): return c\n", "def f(c): return list(c)\n", "def f(c): return c[::-1][::-1]\n"):
            self.assertTrue(Function(code, [field], field, kind="vectorized")(array).equals(array))
        texts = pa.array(TEXTS)
        # Another type of the same storage is not copied byte by byte.
        self.assertEqual(Function("def f(c): return c\n", [pa.string()], jsons(), kind="vectorized")(texts).to_pylist(), [json.dumps(t, ensure_ascii=False) for t in TEXTS])
        self.assertEqual(Function("def f(c): return c\n", [jsons()], jsons(), kind="vectorized")(texts).to_pylist(), TEXTS)

    def test_unknown_names_are_storage(self):
        for name in ("arrow.opaque", "arrow.jso", "arrow.json2", "", "x" * 1000):
            function = Function("def f(x): return repr(x)\n", [typed(name, pa.string())], pa.string())
            self.assertEqual(function(pa.array(["[1]"])).to_pylist(), ["'[1]'"])
        field = pa.field("x", pa.string(), metadata={"ARROW:extension:metadata": "arrow.json", "other": "arrow.json"})
        self.assertEqual(Function("def f(x): return repr(x)\n", [field], pa.string())(pa.array(["1"])).to_pylist(), ["'1'"])
        field = pa.field("x", pa.string(), metadata={"a": "b", "ARROW:extension:name": "arrow.json", "c": "d" * 99})
        self.assertEqual(Function("def f(x): return repr(x)\n", [field], pa.string())(pa.array(["1"])).to_pylist(), ["1"])

    def test_wrong_storage(self):
        for name, storage in (("arrow.json", pa.int64()), ("arrow.uuid", pa.binary(15)), ("arrow.uuid", pa.string()), ("arrowudf.decimal", pa.binary())):
            parts = failure(self, Function, IDENTITY, [typed(name, storage)], pa.int64())
            self.assertEqual(parts["kind"], "schema")
            self.assertIn(f"the extension type {name} over the Arrow type with format", parts["message"])


if __name__ == "__main__":
    unittest.main()
