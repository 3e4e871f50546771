"""Bad input is answered: a clear error that says what was wrong and where, and the server lives on."""

import json
import threading
import time
import unittest

import grpc
import pyarrow as pa
import pyarrow.flight as flight

from service import FLIGHT, Function, apply_text, exchange, specification

INT = ([1, 2, 3], pa.int64())


def refusal(call, *arguments, **keywords):
    """The message of the error that a call must end with."""
    try:
        outcome = call(*arguments, **keywords)
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    except pa.ArrowException as error:
        return f"{type(error).__name__}: {error}"
    except (flight.FlightError, KeyError) as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError(f"it was not refused: {outcome}")


class Limits(unittest.TestCase):
    """Each way to misbehave has its own answer, and a tenant beside it notices nothing."""

    # What the function does, and what its caller reads.
    MISBEHAVIOUR = {
        "endless loop": ("while True: pass", ["deadline"]),
        "endless loop in C": ("sum(iter(int, 1))", ["deadline"]),
        "memory bomb": ("x = [bytearray(1 << 20) for _ in range(10**6)]", ["memory"]),
        "one huge object": ("bytearray(1 << 30)", ["memory"]),
        "abort": ("import os; os.abort()", ["abort"]),
        "exit": ("import sys; sys.exit(7)", ["exit", "7"]),
        "hard exit": ("import os; os._exit(3)", ["exit", "3"]),
        "recursion": ("def g(n): return g(n + 1) + 1\n    g(0)", ["recursion"]),
        "recursion in C": ("import json; json.loads('[' * 200_000)", ["recursion"]),
        "no recursion limit": (
            "import sys; sys.setrecursionlimit(10**6)\n    class A:\n        def __getattr__(self, n): return getattr(self, n + 'x')\n    A().a",
            ["recursion", "memory"],
        ),
        "exception": ("raise ValueError('no such customer')", ["ValueError: no such customer", 'File "udf.py", line 2']),
        "sleep": ("import time; time.sleep(10**9)", ["deadline"]),
    }

    def test_each_has_its_own_answer_and_the_neighbour_notices_nothing(self):
        neighbour = Function("def f(x): return x + 1", "f", ["BIGINT NULL"], "BIGINT NULL", tenant="neighbour")
        served, failures, stop = [0], [], threading.Event()

        def work():
            while not stop.is_set():
                try:
                    if neighbour(INT) != [2, 3, 4]:
                        failures.append("a wrong answer")
                    served[0] += 1
                except Exception as error:
                    failures.append(repr(error))

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for name, (body, expected) in self.MISBEHAVIOUR.items():
                with self.subTest(name):
                    code = f"def f(x):\n    {body}\n    return x\n"
                    before = served[0]
                    message = refusal(Function(code, "f", ["BIGINT NULL"], "BIGINT NULL"), INT)
                    self.assertTrue(any(word.lower() in message.lower() for word in expected), message)
                    if name == "exception":
                        self.assertTrue(all(word in message for word in expected), message)
                    self.assertFalse(failures)
                    while served[0] == before:
                        self.assertTrue(thread.is_alive())
                        time.sleep(0.01)
        finally:
            stop.set()
            thread.join()
        self.assertFalse(failures)

    def test_traceback_names_row_and_source_line(self):
        code = "def check(x):\n    return 10 // x\n\ndef f(x):\n    return check(x)\n"
        message = refusal(Function(code, "f", ["BIGINT NULL"], "BIGINT NULL"), ([2, 1, 0], pa.int64()))
        for part in ("row 2", 'File "udf.py", line 5, in f', "return 10 // x", "ZeroDivisionError"):
            self.assertIn(part, message)

    def test_results_that_do_not_fit(self):
        cases = [
            ("return 'x'", "INT", "int32"),
            ("return 2**40", "INT", "int32"),
            ("return None", "INT", "NOT NULL"),
            ("return 1.5", "BIGINT", "int64"),
            ("return 5", "VARCHAR", "utf8"),
            ("import decimal; return decimal.Decimal('1.234')", "DECIMAL(5, 2)", "decimal"),
        ]
        for body, result_type, expected in cases:
            with self.subTest(body):
                message = refusal(Function(f"def f(x):\n    {body}\n", "f", ["BIGINT"], result_type), INT)
                self.assertIn("row 0", message)
                self.assertIn(expected.lower(), message.lower())


class Provisioning(unittest.TestCase):
    def test_malformed_specs(self):
        good = specification("def f(x): return x", "f", ["INT"], "INT")
        cases = {
            "not JSON": ("{", ["INVALID_ARGUMENT", "line 1"]),
            "empty": ("", ["INVALID_ARGUMENT"]),
            "another type": ("[]", ["INVALID_ARGUMENT"]),
            "unknown key": (json.dumps(good | {"colour": 1}), ["INVALID_ARGUMENT", "colour"]),
            "missing key": (json.dumps({k: v for k, v in good.items() if k != "code"}), ["INVALID_ARGUMENT", "code"]),
            "wrong version": (json.dumps(good | {"version": 2}), ["INVALID_ARGUMENT", "version"]),
            "wrong language": (json.dumps(good | {"language": "lua"}), ["INVALID_ARGUMENT", "language"]),
            "wrong kind": (json.dumps(good | {"kind": "udaf"}), ["INVALID_ARGUMENT", "kind"]),
            "unknown type": (json.dumps(good | {"input_types": ["FROG"]}), ["INVALID_ARGUMENT", "FROG"]),
            "broken type": (json.dumps(good | {"result_type": "DECIMAL(99, 2)"}), ["INVALID_ARGUMENT", "99"]),
            "wrong JSON type": (json.dumps(good | {"input_types": "INT"}), ["INVALID_ARGUMENT", "input_types"]),
            "packages": (json.dumps(good | {"packages": ["humanize =="]}), ["INVALID_ARGUMENT", "`humanize ==`"]),
            "empty handler": (json.dumps(good | {"handler": ""}), ["INVALID_ARGUMENT", "handler"]),
        }
        for name, (text, expected) in cases.items():
            with self.subTest(name):
                message = refusal(apply_text, text)
                for part in expected:
                    self.assertIn(part, message)

    def test_huge_spec(self):
        message = refusal(apply_text, json.dumps(specification("#" * (8 << 20), "f", ["INT"], "INT")))
        self.assertIn("RESOURCE_EXHAUSTED", message)

    def test_build_errors_come_with_the_first_exchange(self):
        cases = {
            "syntax": ("def f(x):\n    retrun x\n", "f", ["SyntaxError", 'File "udf.py", line 2']),
            "import": ("import nothing_like_this\ndef f(x): return x\n", "f", ["ModuleNotFoundError", "nothing_like_this"]),
            "raises": ("1 / 0\ndef f(x): return x\n", "f", ["ZeroDivisionError", 'File "udf.py", line 1']),
            "no handler": ("def g(x): return x\n", "f", ["f"]),
            "not callable": ("f = 5\n", "f", ["callable"]),
            "arity": ("def f(x, y): return x\n", "f", ["2", "1"]),
            "randomness at import": ("import os\nos.urandom(4)\ndef f(x): return x\n", "f", ["random", "line 2"]),
            "endless import": ("while True: pass\n", "f", ["deadline"]),
            "memory at import": ("x = [bytearray(1 << 20) for _ in range(10**6)]\n", "f", ["memory"]),
        }
        for name, (code, handler, expected) in cases.items():
            with self.subTest(name):
                message = refusal(Function(code, handler, ["BIGINT"], "BIGINT"), INT)
                for part in expected:
                    self.assertIn(part.lower(), message.lower())
                again = refusal(Function(code, handler, ["BIGINT"], "BIGINT"), INT)
                self.assertEqual(message, again)


class Exchange(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.function = Function("def f(x): return x + 1", "f", ["BIGINT NULL"], "BIGINT NULL", tenant="one")
        cls.batch = pa.RecordBatch.from_arrays([pa.array(*INT)], names=["arg1"])

    def answer(self, headers):
        return refusal(exchange, "f", headers, [self.batch], self.batch.schema)

    def token(self):
        (header,) = [name for name, value in self.function.headers.items() if value.startswith("Bearer ")]
        return header, self.function.headers[header]

    def test_tokens(self):
        header, token = self.token()
        self.assertIn("no token", self.answer({}))
        cases = {
            "malformed": ["Bearer x", "Bearer viv1.a.b", "Basic abc", "", "Bearer " + "a" * 5000],
            "forged": [token[:-2] + ("AA" if not token.endswith("AA") else "BB")],
        }
        for expected, values in cases.items():
            for value in values:
                with self.subTest(value[:20]):
                    self.assertIn(expected, self.answer({header: value}))
        flipped = token[:20] + ("A" if token[20] != "A" else "B") + token[21:]
        self.assertRegex(self.answer({header: flipped}), "forged|malformed")

    def test_another_tenants_function(self):
        header, token = self.token()
        message = self.answer({header: token, "x-databend-tenant": "two"})
        self.assertRegex(message, "(?i)another tenant")
        other = Function("def g(x): return x", "g", ["BIGINT"], "BIGINT", tenant="two")
        message = refusal(exchange, "g", self.function.headers, [self.batch], self.batch.schema)
        self.assertRegex(message, "permits function `f`|does not exist")
        message = refusal(exchange, "f", other.headers, [self.batch], self.batch.schema)
        self.assertRegex(message, "permits function `g`|does not exist")

    def test_descriptors(self):
        cases = {
            "unknown": flight.FlightDescriptor.for_path("nothing"),
            "empty path": flight.FlightDescriptor.for_path(),
            "two parts": flight.FlightDescriptor.for_path("f", "g"),
            "command": flight.FlightDescriptor.for_command(b"f"),
            "not UTF-8": flight.FlightDescriptor.for_path(b"\xff\xfe"),
            "very long": flight.FlightDescriptor.for_path("x" * 1_000_000),
        }
        for name, descriptor in cases.items():
            with self.subTest(name):
                message = refusal(exchange, descriptor, self.function.headers, [self.batch], self.batch.schema)
                self.assertRegex(message, "(?i)descriptor|does not exist|permits function|path")

    def test_columns_that_do_not_fit(self):
        cases = {
            "too many": ([pa.array(*INT), pa.array(*INT)], ["1", "2"]),
            "none": ([], ["1", "0"]),
            "another type": ([pa.array(["a"])], ["arg1", "int64", "utf8"]),
            "narrower": ([pa.array([1], pa.int8())], ["int64", "int8"]),
        }
        for name, (columns, expected) in cases.items():
            with self.subTest(name):
                batch = pa.RecordBatch.from_arrays(columns, names=[f"arg{i + 1}" for i in range(len(columns))])
                message = refusal(self.function.exchange, [batch])
                for part in expected:
                    self.assertIn(part.lower(), message.lower())

    def test_null_for_a_parameter_that_is_not_null(self):
        function = Function("def f(x): return x", "f", ["BIGINT"], "BIGINT")
        message = refusal(function, ([1, None], pa.int64()))
        self.assertRegex(message, "(?i)null")
        self.assertIn("row 1", message)

    def test_zero_rows_and_no_batches(self):
        empty = self.batch.slice(0, 0)
        results, _ = self.function.exchange([empty, self.batch, empty])
        self.assertEqual([result.num_rows for result in results], [0, 3, 0])
        results, _ = self.function.exchange([], schema=self.batch.schema)
        self.assertEqual(results, [])

    def test_zero_columns(self):
        function = Function("def f(): return 42", "f", [], "INT")
        batch = pa.RecordBatch.from_struct_array(pa.array([{}] * 5, pa.struct([])))
        (result,), _ = function.exchange([batch])
        self.assertEqual(result.column(0).to_pylist(), [42] * 5)

    def test_what_is_not_arrow(self):
        stub = grpc.insecure_channel(FLIGHT).stream_stream(
            "/arrow.flight.protocol.FlightService/DoExchange",
            request_serializer=lambda data: data,
            response_deserializer=lambda data: data,
        )
        path = b"\x0a\x05\x08\x01\x1a\x01f"  # flight_descriptor { type: PATH, path: "f" }
        header = b"\x12\x08\x00\x01\x02\x03\x04\x05\x06\x07"  # data_header: eight bytes that are no message
        metadata = [(name, value) for name, value in self.function.headers.items()]
        for name, messages in {
            "no message": [],
            "no descriptor": [header],
            "random header": [path + header],
            "only a descriptor": [path],
            "not protobuf": [b"\xff" * 40],
        }.items():
            with self.subTest(name):
                try:
                    answers = list(stub(iter(messages), metadata=metadata, timeout=20))
                except grpc.RpcError as error:
                    self.assertNotEqual(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
                    self.assertTrue(error.details())
                else:
                    self.assertEqual(name, "only a descriptor", answers)
        self.assertEqual(self.function(INT), [2, 3, 4])

    def test_a_client_that_goes_away(self):
        slow = Function("def f(x):\n    while True: pass\n", "f", ["BIGINT NULL"], "BIGINT NULL")
        self.assertRegex(refusal(slow, INT, timeout=0.3), "(?i)deadline|timed out|timeout")
        self.assertEqual(self.function(INT), [2, 3, 4])


if __name__ == "__main__":
    unittest.main()
