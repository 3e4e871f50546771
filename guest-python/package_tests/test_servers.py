"""Files written for the servers of databend-udf and arrow-udf."""

import datetime
import unittest
from decimal import Decimal

from support import Case, Column, RecordBatch, describe, load, only

DATABEND = """
import datetime, logging, argparse, threading, time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Dict, List, Optional, Tuple
import pyarrow as pa
from databend_udf import udf, UDFServer, ConcurrencyLimitExceeded, Headers, StageLocation

logging.basicConfig(level=logging.INFO)
pool = ThreadPoolExecutor(max_workers=4)
lock = threading.Lock()
"""
ARROW = """
import struct, socket
import pyarrow as pa
import pyarrow.flight as flight
from arrow_udf import udf, udtf, UdfServer, JsonType, DecimalType
"""
DATABEND_SERVER = "\nserver = UDFServer('0.0.0.0:8815', metric_location='0.0.0.0:8816')\n"
ARROW_SERVER = "\nserver = UdfServer(location='0.0.0.0:8815')\n"


class Shared(Case):
    """What both projects' files have in common."""

    PROJECTS = (
        (DATABEND + "@udf(['INT'], 'INT')\ndef f(x): return x\n@udf(['INT'], 'INT', name='h')\ndef g(x): return -x\n",)
        + (DATABEND_SERVER, "databend_udf"),
        (ARROW + "@udf(['INT'], 'INT')\ndef f(x): return x\n@udf(['INT'], 'INT', name='h')\ndef g(x): return -x\n",)
        + (ARROW_SERVER, "arrow_udf"),
    )

    def names(self, code):
        return [(f["name"], f["handler"]) for f in describe(code)]

    def test_a_server_that_starts_only_as_a_program(self):
        for code, server, dialect in self.PROJECTS:
            with self.subTest(dialect):
                code += f"if __name__ == '__main__':\n    {server.strip()}\n    server.add_function(f)\n    server.serve()"
                self.assertEqual(self.names(code), [("f", "f"), ("h", "g")])
                self.assertEqual({f["dialect"] for f in describe(code)}, {dialect})

    def test_a_server_in_the_module_names_what_counts(self):
        for code, server, dialect in self.PROJECTS:
            with self.subTest(dialect):
                code += server
                self.assertEqual(self.names(code), [("f", "f"), ("h", "g")])
                code += "server.add_function(g)\nserver.serve()\nserver.shutdown()\n"
                self.assertEqual(self.names(code), [("h", "g")])
                # Another module's server has been forgotten.
                self.assertEqual(self.names(self.PROJECTS[0][0]), [("f", "f"), ("h", "g")])

    def test_functions_without_a_name_in_the_module(self):
        for code, server, dialect in self.PROJECTS:
            with self.subTest(dialect):
                code += f"{server}def times(n):\n    @udf(['INT'], 'INT', name=f'times{{n}}')\n"
                code += "    def inner(x): return n * x\n    return inner\n"
                code += "for n in (2, 3): server.add_function(times(n))\n"
                self.assertEqual(self.names(code), [("times2", "times2"), ("times3", "times3")])
                self.assertEqual(load(code, 1, "times3")[1](5), 15)
                self.refused("handler", "the code defines no `times4`", load, code, 1, "times4")

    def test_servers_refuse_a_name_twice(self):
        for code, server, dialect in self.PROJECTS:
            with self.subTest(dialect):
                code += server + "server.add_function(f)\nserver.add_function(f)\n"
                self.refused("import", "ValueError: Function already exists: f", describe, code)

    def test_functions_can_be_called(self):
        for code, _, dialect in self.PROJECTS:
            with self.subTest(dialect):
                self.assertEqual(len(describe(code + "assert f(3) == 3 and g(3) == -3 and f._name == 'f'")), 2)

    def test_kinds_cannot_be_changed(self):
        for code, _, dialect in self.PROJECTS:
            with self.subTest(dialect):
                self.refused("handler", "declared as a scalar function", load, code, 1, kind="table")
                self.refused("handler", "declared with 1 input types, but it is called with 2", load, code, 2)

    def test_bad_arguments(self):
        cases = {
            "udf([5], 'INT')": "input_types of f must be a type as text or a pyarrow type, not 5",
            "udf([int], 'INT')": "input_types of f must be a type as text or a pyarrow type",
            "udf(['INT'], 5)": "result_type of f must be a type as text",
            "udf(['INT\\x00'], 'INT')": "the type holds the control character",
            "udf(['INT', 'INT'], 'INT')": "input type",
            "udf(['INT'], 'INT', name='\\x1b')": "the name of a function must have 1 to 255 characters",
            "udf(['INT'], 'INT', name=5)": "the name of a function must be a str",
            "udf(['INT'], 'I' * 20000)": "the limit is 16384",
            "udf(['INT'], 'INT', colour=1)": "unexpected keyword argument 'colour'",
        }
        for code, _, dialect in self.PROJECTS:
            for call, part in cases.items():
                with self.subTest(dialect, call=call):
                    self.refused("import", part, describe, f"{code}\n@{call}\ndef f(x): return x")

    def test_many_parameters(self):
        for code, _, dialect in self.PROJECTS:
            with self.subTest(dialect):
                names = ", ".join(f"x{i}" for i in range(10000))
                code += f"@udf(['INT'] * 10000, 'INT')\ndef k({names}): return x"
                self.refused("handler", "`k` has 10000 parameters, the limit is 1000", describe, code)

    def test_deep_and_odd_types(self):
        for text in ("ARRAY(" * 2500, "MAP(INT, " * 40 + "INT" + ")" * 40, "STRUCT<a:" * 1500, "MAP(", "TUPLE()", "[]" * 5000, "STRUCT<,,>", "NULL"):
            for code, _, dialect in self.PROJECTS:
                with self.subTest(dialect, text=text[:10]):
                    found = describe(f"{code}\n@udf([{text!r}], {text!r})\ndef k(x): return x")
                    self.assertEqual(found[2]["parameters"], [{"name": "x", "type": text}])


class Databend(Case):
    def call(self, code, *arguments, handler="f", **options):
        kind, target, _, _ = load(DATABEND + code, len(arguments), handler, **options)
        return target(*arguments)

    def test_published_examples(self):
        code = """
@udf(input_types=["INT", "INT"], result_type="INT")
def add(a: int, b: int) -> int: return a + b
@udf(input_types=["DATE", "INT"], result_type="DATE")
def add_days(d: datetime.date, days: int) -> datetime.date: return d + datetime.timedelta(days=days)
@udf(input_types=["DECIMAL(10,2)"], result_type="DECIMAL(10,2)")
def add_tax(price: Decimal) -> Decimal: return price * Decimal("1.1")
@udf(input_types=["ARRAY(INT)"], result_type="INT")
def array_sum(arr: List[int]) -> int: return sum(arr)
@udf(input_types=["MAP(VARCHAR, INT)"], result_type="INT")
def map_sum(m: Dict[str, int]) -> int: return sum(m.values())
@udf(input_types=["TUPLE(INT, VARCHAR)"], result_type="VARCHAR")
def tuple_format(t: Tuple[int, str]) -> str: return f"{t[0]}: {t[1]}"
@udf(input_types=["VECTOR(128)"], result_type="VECTOR(128)")
def normalize(v): return v
@udf(input_types=["ARRAY(INT NULL)"], result_type="INT", skip_null=False)
def sum_non_null(arr: List[Optional[int]]) -> int: return sum(x for x in arr if x is not None)
@udf(input_types=["INT"], result_type="INT", io_threads=32, max_concurrency=5, concurrency_timeout=60)
def fetch(id: int) -> int: return id * 2
"""
        for name, arguments, expected in [
            ("add", (1, 2), 3),
            ("add_days", (datetime.date(2024, 1, 31), 1), datetime.date(2024, 2, 1)),
            ("add_tax", (Decimal("10.00"),), Decimal("11.000")),
            ("array_sum", ([1, 2],), 3),
            ("map_sum", ({"a": 1, "b": 2},), 3),
            ("tuple_format", ({"1": 7, "2": "x"},), "7: x"),
            ("normalize", ([1.0],), [1.0]),
            ("sum_non_null", ([1, None],), 1),
            ("fetch", (2,), 4),
        ]:
            with self.subTest(name):
                self.assertEqual(self.call(code, *arguments, handler=name), expected)

    def test_declaration(self):
        code = DATABEND + "@udf(input_types='INT', result_type='VARIANT NULL', skip_null=True)\ndef f(a): pass"
        self.assertEqual(
            only(code),
            {
                "name": "f",
                "handler": "f",
                "kind": "scalar",
                "parameters": [{"name": "a", "type": "INT"}],
                "result": {"name": "output", "type": "VARIANT NULL"},
                "state": None,
                "null_handling": "skip",
                "on_error": "raise",
                "dialect": "databend_udf",
            },
        )
        self.assertEqual(load(code, 1)[2], (True,))

    def test_types_of_pyarrow_are_not_nullable(self):
        code = "@udf([pa.int32(), pa.list_(pa.string())], pa.struct([('a', pa.int8()), pa.field('b', pa.null())]))\n"
        found = only(DATABEND + code + "def f(a, b): pass")
        self.assertEqual([p["type"] for p in found["parameters"]], ["INT NOT NULL", "LIST<UTF8 NULL> NOT NULL"])
        self.assertEqual(found["result"]["type"], 'STRUCT<a TINYINT NULL, "b" NULL> NOT NULL')

    def test_values(self):
        # (input type, result type, argument, what the function sees, what it returns, what is written)
        cases = [
            ("TUPLE(INT, INT)", "INT", {"1": 1, "2": 2}, (1, 2), 1, 1),
            ("TUPLE(A INT, B TUPLE(INT) NULL)", "INT", {"A": 1, "B": {"1": 2}}, (1, (2,)), 1, 1),
            ("NULLABLE(TUPLE(INT))", "INT", {"1": 1}, (1,), 1, 1),
            ("ARRAY(TUPLE(INT))", "INT", [{"1": 1}, None], [(1,), None], 1, 1),
            ("MAP(VARCHAR, TUPLE(INT))", "INT", {"a": {"1": 1}}, {"a": (1,)}, 1, 1),
            ("TUPLE(INT) NULL", "INT", None, None, None, None),
            ("INT", "ARRAY(INT)", 1, 1, range(3), [0, 1, 2]),
            ("INT", "ARRAY(ARRAY(INT))", 1, 1, [range(2), None], [[0, 1], None]),
            ("INT", "TUPLE(INT, ARRAY(INT))", 1, 1, (1, range(2)), (1, [0, 1])),
            ("INT", "TUPLE(INT, BINARY)", 1, 1, [1, "x"], (1, b"x")),
            ("INT", "MAP(VARCHAR, VARIANT)", 1, 1, {"a": [b"x"]}, {"a": ["x"]}),
            ("INT", "VARIANT", 1, 1, {b"k": [b"v", 1, None]}, {"k": ["v", 1, None]}),
            ("INT", "BINARY", 1, 1, "text", b"text"),
            ("INT", "VARCHAR", 1, 1, "text", "text"),
            ("INT", "ARRAY(INT)", 1, 1, 5, 5),
            ("INT", "TUPLE(INT, INT)", 1, 1, (1, 2, 3), (1, 2, 3)),
        ]
        for given, result, argument, seen, returned, written in cases:
            with self.subTest(given=given, result=result):
                code = f"seen = []\n@udf([{given!r}], {result!r})\ndef f(x):\n seen.append(x)\n return {returned!r}\n"
                kind, target, _, _ = load(DATABEND + code, 1)
                self.assertEqual(target(argument), written)
                import sys

                self.assertEqual(sys.modules["functions"].seen, [seen])

    def test_batch_mode(self):
        code = "@udf(['INT', 'TUPLE(INT)'], 'BINARY', batch_mode=True, skip_null=True)\n"
        code += "def f(a, b): return (str((x, y)) for x, y in zip(a, b))"
        kind, target, skip, _ = load(DATABEND + code, 2)
        self.assertEqual((kind, skip), ("vectorized", (False, False)))
        written = target(Column([1, None]), Column([{"1": 2}, None]))
        self.assertEqual(list(written), [b"(1, (2,))", b"(None, None)"])

    TABLE = "@udf(['INT', 'TUPLE(INT)'], [('n', 'INT'), ('t', 'TUPLE(INT, BINARY)')]{})\ndef f(a, b): return {}"

    def test_table_functions(self):
        cases = {
            "None": [],
            "[]": [],
            "{'n': 1, 't': (1, 'x'), 'more': 5}": [(1, (1, b"x"))],
            "{'n': [1, 2], 't': [(1, 'x'), None]}": [(1, (1, b"x")), (2, None)],
            "[(a, b + ('x',))]": [(7, (8, b"x"))],
            "[{'n': 1, 't': None}, (2, None), {'n': [3], 't': [None]}]": [(1, None), (2, None), (3, None)],
            "((i, None) for i in range(3))": [(0, None), (1, None), (2, None)],
        }
        for returned, rows in cases.items():
            with self.subTest(returned):
                code = DATABEND + self.TABLE.format("", returned)
                kind, target, skip, _ = load(code, 2, kind="table")
                self.assertEqual((kind, skip), ("table", (False, False)))
                self.assertEqual(list(target(7, {"1": 8})), rows)
                self.assertEqual(only(code)["result"]["type"], "STRUCT<n INT NULL, t TUPLE(INT, BINARY) NULL> NOT NULL")

    def test_table_functions_over_batches(self):
        code = DATABEND + self.TABLE.format(", batch_mode=True", "[(x, None) for x in a for _ in range(3000)]")
        self.assertEqual(only(code)["kind"], "map")
        target = load(code, 2, kind="map")[1]
        batch = RecordBatch(a=Column([1, 2]), b=Column([{"1": 1}, None]))
        empty = RecordBatch(a=Column([]), b=Column([]))
        chunks = list(target(iter([batch, empty, batch])))
        self.assertEqual([len(chunk) for chunk in chunks], [4096, 1904, 4096, 1904])
        self.assertEqual(chunks[0][0], (1, None))

    def test_rows_that_do_not_fit(self):
        cases = {
            "[{'n': 1}]": "Missing column 't' in table function row",
            "{'n': [1]}": "Missing expected column 't' in column mapping",
            "{'n': [1], 't': []}": "columns of differing lengths",
            "[(1,)]": "Row sequence length 1 does not match expected column count 2",
            "[5]": "returned unsupported rows of type",
            "['ab']": "returned unsupported rows of type",
            "5": "must yield records, mappings, or pyarrow batches",
            "'ab'": "must yield records, mappings, or pyarrow batches",
        }
        for returned, part in cases.items():
            with self.subTest(returned), self.assertRaisesRegex((TypeError, ValueError), part):
                list(load(DATABEND + self.TABLE.format("", returned), 2, kind="table")[1](1, None))

    def test_table_columns(self):
        cases = {
            "['INT', 'VARCHAR NOT NULL']": "STRUCT<col0 INT NULL, col1 VARCHAR NOT NULL> NOT NULL",
            "(('a', pa.int32()),)": "STRUCT<a INT NOT NULL> NOT NULL",
            "pa.schema([('a', pa.int32()), ('b', pa.utf8())])": "STRUCT<a INT NULL, b UTF8 NULL> NOT NULL",
            "pa.field('v', pa.large_binary(), metadata={b'Extension': b'Variant'})": "STRUCT<v VARIANT NULL> NOT NULL",
            "[pa.field('', pa.bool_(), False)]": "STRUCT<col0 BOOLEAN NOT NULL> NOT NULL",
        }
        for given, expected in cases.items():
            with self.subTest(given):
                found = only(f"{DATABEND}\n@udf([], {given})\ndef f(): pass")
                self.assertEqual((found["kind"], found["result"]["type"]), ("table", expected))

    def test_refused(self):
        cases = {
            "udf(['INT', 'INT'], 'INT')": "Function f expects 1 data argument(s) but 2 input type(s) were provided",
            "udf(['INT'], 'INT NOT NULL', skip_null=True)": "f must be nullable when skip_null is True",
            "udf(['INT'], pa.int32(), skip_null=True)": "f must be nullable when skip_null is True",
            "udf(['INT'], [('a', 'INT')], skip_null=True)": "Table functions do not support skip_null semantics",
            "udf(['INT'], [])": "must contain at least one column",
            "udf(['INT'], [('a', 'INT'), ('a', 'INT')])": "Result columns must have unique names",
            "udf(['INT'], 'INT', stage_refs=['s', 's'])": "stage_refs contains duplicate parameter names",
            "udf(['INT'], 'INT', stage_refs=['s'])": "Unable to map stage_refs",
        }
        for call, part in cases.items():
            with self.subTest(call):
                self.refused("import", part, describe, f"{DATABEND}\n@{call}\ndef f(x): pass")

    def test_headers_and_stages(self):
        code = "@udf(['INT'], 'INT')\ndef f(x, headers): return (x, headers.get('a', 'b'), headers.query_state.is_cancelled())"
        self.assertEqual(self.call(code, 1), (1, "b", False))
        code = "@udf(['INT'], 'INT')\ndef f(s: StageLocation, x: int): return x"
        self.assertEqual([p["name"] for p in only(DATABEND + code)["parameters"]], ["x"])
        with self.assertRaisesRegex(ValueError, r"Missing stage mapping for parameter\(s\): s"):
            self.call(code, 1)
        code = "@udf(['INT'], 'INT', stage_refs=['remote'])\ndef f(s: Optional[StageLocation], x: int): return x"
        with self.assertRaisesRegex(ValueError, r"parameter\(s\): remote"):
            self.call(code, 1)

    def test_functions_of_every_server(self):
        code = DATABEND + DATABEND_SERVER
        self.assertEqual(describe(code), [])
        self.assertEqual(describe("from databend_udf.udf import *"), [])
        self.assertEqual(load(code, 0, "builtin_healthy")[1](), 1)
        self.assertEqual(load(code, 1, "builtin_echo")[1]("x"), "x")


class Arrow(Case):
    def call(self, code, *arguments, handler="f", **options):
        return load(ARROW + code, len(arguments), handler, **options)[1](*arguments)

    def test_published_examples(self):
        code = """
@udf(input_types=['INT', 'INT'], result_type='INT')
def gcd(x, y):
    while y != 0:
        (x, y) = (y, x % y)
    return x
@udf(input_types=['BINARY'], result_type='STRUCT<src_addr: STRING, dst_addr: STRING, src_port: INT16, dst_port: INT16>')
def extract_tcp_info(tcp_packet: bytes):
    src_addr, dst_addr = struct.unpack('!4s4s', tcp_packet[12:20])
    src_port, dst_port = struct.unpack('!HH', tcp_packet[20:24])
    src_addr = socket.inet_ntoa(src_addr)
    dst_addr = socket.inet_ntoa(dst_addr)
    return {'src_addr': src_addr, 'dst_addr': dst_addr, 'src_port': src_port, 'dst_port': dst_port}
@udtf(input_types='INT', result_types='INT')
def series(n):
    for i in range(n):
        yield i
@udf(input_types=['VARCHAR'], result_type='REAL[]', batch=True)
def embed(texts): return [[float(len(text))] for text in texts]
"""
        found = {f["name"]: f for f in describe(ARROW + code)}
        self.assertEqual(
            {name: (f["kind"], f["result"]["name"]) for name, f in found.items()},
            {
                "gcd": ("scalar", "gcd"),
                "extract_tcp_info": ("scalar", "extract_tcp_info"),
                "series": ("table", "series"),
                "embed": ("vectorized", "embed"),
            },
        )
        self.assertEqual(self.call(code, 12, 18, handler="gcd"), 6)
        packet = bytes(12) + bytes([1, 2, 3, 4, 5, 6, 7, 8]) + b"\x00\x50\x01\xbb"
        expected = ("1.2.3.4", "5.6.7.8", 80, 443)
        self.assertEqual(self.call(code, packet, handler="extract_tcp_info"), expected)
        self.assertEqual(list(self.call(code, 3, handler="series", kind="table")), [0, 1, 2])
        self.assertEqual(self.call(code, Column(["ab", "c"]), handler="embed"), [[2.0], [1.0]])

    def test_values(self):
        # (result type, returned, written)
        cases = [
            ("'STRUCT<a: INT, b: STRING>'", {"a": 1, "c": 2}, (1, None)),
            ("'struct< a:INT[] , b:struct<c:int>, >'", {"b": {"c": 1}, "a": (1,)}, ((1,), (1,))),
            ("'STRUCT<a: DECIMAL(10, 2), b: INT>'", {"a": Decimal(1), "b": 2}, (Decimal(1), 2)),
            ("'STRUCT<a: INT>[]'", [{"a": 1}, None], [(1,), None]),
            ("'INT[]'", {1: 2}.keys(), [1]),
            ("'INT[][]'", [range(2)], [[0, 1]]),
            ("'BINARY'", "x", b"x"),
            ("'DECIMAL'", Decimal("1e3"), Decimal("1e3")),
            ("'DECIMAL'", None, None),
            ("'STRUCT<a: INT>'", None, None),
            ("'STRUCT<a: INT>'", (1,), (1,)),
            ("'JSON'", {"a": [1]}, {"a": [1]}),
            ("pa.struct([('a', pa.int32()), ('b', pa.binary())])", {"b": "x"}, (None, b"x")),
            ("pa.list_(pa.list_(pa.int32()))", [range(2)], [[0, 1]]),
            ("JsonType()", {"a": 1}, {"a": 1}),
        ]
        for result, returned, written in cases:
            with self.subTest(result, returned=returned):
                kind, target, _, _ = load(f"{ARROW}value = []\n@udf([], {result})\ndef f(): return value[0]", 0)
                import sys

                sys.modules["functions"].value.append(returned)
                self.assertEqual(target(), written)

    def test_decimals_must_be_decimals(self):
        with self.assertRaisesRegex(ValueError, "Expected Decimal, got 1"):
            self.call("@udf([], 'DECIMAL')\ndef f(): return 1")

    def test_types(self):
        cases = {
            "JsonType()": "JSON NULL",
            "DecimalType()": "DECIMAL NULL",
            "pa.int32()": "INT NULL",
            "pa.null()": "NULL",
            "pa.decimal128(10, 2)": "DECIMAL128(10, 2) NULL",
            "'decimal'": "decimal",
            "'struct<a:int, b:string>'": "struct<a:int, b:string>",
        }
        for given, expected in cases.items():
            with self.subTest(given):
                found = only(f"{ARROW}\n@udf([{given}], {given})\ndef f(x): pass")
                self.assertEqual(found["parameters"], [{"name": "x", "type": expected}])
                self.assertEqual(found["result"], {"name": "f", "type": expected})

    def test_tables_of_several_columns(self):
        code = ARROW + "@udtf('INT', ['INT', 'VARCHAR', pa.int8()])\ndef f(n):\n yield (n, 'x', 1)"
        self.assertEqual(only(code)["result"], {"name": "f", "type": "STRUCT<INT, VARCHAR, TINYINT NULL>"})
        self.assertEqual(list(load(code, 1, kind="table")[1](4)), [(4, "x", 1)])

    def test_arguments(self):
        cases = {
            "@udf(['INT', 'INT'], 'INT')\ndef f(*x): pass": ["arg1", "arg2"],
            "@udf(['INT'], 'INT')\ndef f(x, y=1): pass": ["x"],
            "@udf([], 'INT')\ndef f(): pass": [],
            "class F:\n def __call__(self, x): pass\nf = udf('INT', 'INT')(F())": ["x"],
        }
        for code, expected in cases.items():
            with self.subTest(code):
                self.assertEqual([p["name"] for p in only(ARROW + code)["parameters"]], expected)
        self.assertEqual(only(ARROW + code)["name"], "F")


class Pyarrow(Case):
    def test_what_is_not_there_says_so(self):
        cases = {
            "import pyarrow.compute": "pyarrow.compute is not available: pyarrow itself is not in the sandbox",
            "from pyarrow import compute": "pyarrow.compute is not available",
            "from pyarrow import array": "pyarrow.array is not available",
            "import pyarrow as pa; pa.array([1])": "pyarrow.array is not available",
            "import pyarrow as pa; pa.RecordBatch.from_arrays([])": "pyarrow.RecordBatch.from_arrays is not available",
            "import pyarrow as pa; pa.Table()": "pyarrow.Table is not available",
            "import pyarrow.flight as f; f.FlightClient('x')": "pyarrow.flight.FlightClient is not available",
            "import pyarrow.flight as f; f.connect('x')": "pyarrow.flight.connect is not available",
            "from databend_udf import UDFClient; UDFClient()": "UDFClient is not available",
        }
        for code, part in cases.items():
            with self.subTest(code):
                self.refused("import", part, describe, code)

    def test_names_in_hints_and_checks(self):
        code = """
            import pyarrow as pa
            from pyarrow.flight import FlightServerBase, FlightClient
            def f(x: pa.Array, y: "pa.Table | None") -> pa.RecordBatch:
                return isinstance(x, (pa.Array, pa.Table))
            class Server(FlightServerBase):
                pass
            with Server("grpc://0.0.0.0:1") as server:
                server.serve()
        """
        self.assertEqual(load(code, 2)[1](1, 2), False)

    def test_types(self):
        cases = {
            "pa.timestamp('us')": "TIMESTAMP(us)",
            "pa.timestamp('ns', 'Europe/Paris')": 'TIMESTAMP(ns, "Europe/Paris")',
            "pa.time32('s')": "TIME32(s)",
            "pa.time64('us')": "TIME64(us)",
            "pa.duration('ms')": "DURATION(ms)",
            "pa.binary(16)": "FIXED_SIZE_BINARY(16)",
            "pa.list_(pa.float32(), 3)": "FIXED_SIZE_LIST<FLOAT NULL>[3]",
            "pa.list_(pa.field('x', pa.int8(), nullable=False))": "LIST<TINYINT NOT NULL>",
            "pa.large_list(pa.string())": "LARGE_LIST<UTF8 NULL>",
            "pa.map_(pa.string(), pa.int64())": "MAP<UTF8 NOT NULL, BIGINT NULL>",
            "pa.struct({'a b': pa.int8(), 'c': pa.null()})": 'STRUCT<"a b" TINYINT NULL, "c" NULL>',
            "pa.month_day_nano_interval()": "INTERVAL",
            "pa.uuid()": "UUID",
        }
        for call, expected in cases.items():
            with self.subTest(call):
                self.assertEqual(
                    only(f"{ARROW}\n@udf([{call}], 'INT')\ndef f(x): pass")["parameters"][0]["type"],
                    expected + " NULL",
                )

    def test_types_that_are_refused(self):
        for call, part in {
            "pa.timestamp('days')": "invalid time unit",
            "pa.timestamp('us', 'a\\x00')": "a time zone must have",
            "pa.decimal128(39)": "precision should be between 1 and 38",
            "pa.list_(5)": "DataType expected",
            "pa.list_(5)": "DataType expected",
            "pa.field(5, pa.int8())": "a field's name must be a str",
            "pa.struct([('a', 'INT')])": "DataType expected",
        }.items():
            with self.subTest(call):
                self.refused("import", part, describe, f"import pyarrow as pa\n{call}")


if __name__ == "__main__":
    unittest.main()
