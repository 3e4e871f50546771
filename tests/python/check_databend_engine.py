"""SQL in the real engine over functions that Vivarium serves."""

import os
import platform
import sys
import time
import unittest
import urllib.request

if platform.machine() != "x86_64":
    sys.exit(0)  # the engine exists for no other machine

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from databend_engine import Engine

STATUS = os.environ["VIVARIUM_STATUS"]

IDENTITY = "def same(x):\n    return x\n"

# The type in SQL, and a value of it.
VALUES = [
    ("TINYINT", "(-128)::TINYINT"),
    ("SMALLINT", "(-32768)::SMALLINT"),
    ("INT", "(-2147483648)::INT"),
    ("BIGINT", "(-9223372036854775808)::BIGINT"),
    ("TINYINT UNSIGNED", "255::TINYINT UNSIGNED"),
    ("SMALLINT UNSIGNED", "65535::SMALLINT UNSIGNED"),
    ("INT UNSIGNED", "4294967295::INT UNSIGNED"),
    ("BIGINT UNSIGNED", "18446744073709551615::BIGINT UNSIGNED"),
    ("FLOAT", "1.5::FLOAT"),
    ("DOUBLE", "(-1e300)::DOUBLE"),
    ("BOOLEAN", "true"),
    ("VARCHAR", "'größe \U0001F600'"),
    ("VARCHAR", "''"),
    ("BINARY", "to_binary('ab')"),
    ("DECIMAL(10, 2)", "-12345678.90::DECIMAL(10, 2)"),
    ("DECIMAL(18, 3)", "123456789012345.678::DECIMAL(18, 3)"),
    ("DECIMAL(38, 10)", "1234567890123456789012345678.0123456789::DECIMAL(38, 10)"),
    ("DECIMAL(76, 20)", "-9876543210987654321098765432109876543210.5::DECIMAL(76, 20)"),
    ("DATE", "to_date('1969-12-31')"),
    ("TIMESTAMP", "to_timestamp('2024-02-29 12:34:56.789012')"),
    ("VARIANT", "parse_json('{\"a\": [1, null, \"x\"], \"b\": 1.5}')"),
    ("ARRAY(INT64 NULL)", "[1::BIGINT, NULL, 3::BIGINT]"),
    ("ARRAY(STRING)", "['a', 'b']"),
    ("MAP(STRING, INT64)", "{'a': 1::BIGINT, 'b': 2::BIGINT}"),
    ("TUPLE(INT64, STRING)", "(1::BIGINT, 'x')"),
    ("VECTOR(3)", "[1.5, 2.5, 3.5]::VECTOR(3)"),
    ("INTERVAL", "to_interval('1 month 2 days 3 seconds')"),
    ("BITMAP", "to_bitmap('1,5,9')"),
    ("GEOMETRY", "st_geomfromtext('POINT(1 2)')"),
]

UNSIGNED = {"TINYINT": "UINT8", "SMALLINT": "UINT16", "INT": "UINT32", "BIGINT": "UINT64"}


def spelled(sql_type, nullable=True):
    """How the engine spells a type to its control plane."""
    word, _, rest = sql_type.partition(" UNSIGNED")
    base = UNSIGNED[word] if sql_type.endswith(" UNSIGNED") and not nullable else sql_type
    return f"{base} NULL" if nullable else base


def get(path):
    with urllib.request.urlopen(f"http://{STATUS}{path}", timeout=10) as answer:
        return answer.read().decode()


def counted(name, *labels):
    """The sum of a counter's samples that have these labels."""
    families = text_string_to_metric_families(get("/metrics"))
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if set(labels) <= set(sample.labels.values()))


class EngineTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.engine = Engine()

    def define(self, name, code, handler, parameters, result, nullable=True):
        spellings = [spelled(sql, nullable) for sql in (*parameters, result)]
        types = [f"{sql} NOT NULL" if not nullable else sql for sql in (*parameters, result)]
        self.engine.define(name, code, handler, types[:-1], types[-1], (spellings[:-1], spellings[-1]))

    def text_of(self, sql):
        """The rows as the engine prints them."""
        lines = str(self.engine.context.sql(sql).collect()).splitlines()
        return [line.strip("│ ") for line in lines[4:] if line.startswith("│")]

    def refused(self, sql):
        with self.assertRaises(BaseException) as raised:
            self.engine.rows(sql)
        return str(raised.exception).split("\n\n")[0]

    def test_every_type_as_argument_and_result(self):
        for sql_type, value in VALUES:
            for nullable in (True, False):
                with self.subTest(sql_type, value=value, nullable=nullable):
                    self.define("same", IDENTITY, "same", [sql_type], sql_type, nullable)
                    # A column, because functions of constants are called at once, with constants.
                    table = f"(SELECT {value} AS v FROM numbers(3))"
                    there = self.text_of(f"SELECT v FROM {table}")
                    self.assertEqual(self.text_of(f"SELECT same(v) AS v FROM {table}"), there)

    def test_nulls_come_and_go(self):
        for sql_type, value in VALUES:
            with self.subTest(sql_type):
                self.define("same_or_null", IDENTITY.replace("same", "same_or_null"), "same_or_null", [sql_type], sql_type)
                table = f"(SELECT if(number % 2 = 0, {value}, NULL) AS v FROM numbers(4))"
                found = self.engine.rows(f"SELECT is_null(same_or_null(v)) FROM {table}")
                self.assertEqual(found, [(False,), (True,), (False,), (True,)])

    def test_json_null_is_none(self):
        """As in databend-udf: `None` is SQL's null where that may be, else JSON's."""
        table = "(SELECT parse_json('null') AS v FROM numbers(1))"
        for nullable, expected in [(True, "NULL"), (False, "'null'")]:
            self.define("same_json", IDENTITY.replace("same", "same_json"), "same_json", ["VARIANT"], "VARIANT", nullable)
            self.assertEqual(self.text_of(f"SELECT same_json(v) AS v FROM {table}"), [expected])

    def test_results_that_must_not_be_null(self):
        code = "def strict(x):\n    return None if x == 1 else x\n"
        self.define("strict", code, "strict", ["BIGINT"], "BIGINT", nullable=False)
        self.assertEqual(self.engine.rows("SELECT strict(number::BIGINT) FROM numbers(1)"), [(0,)])
        message = self.refused("SELECT strict(number::BIGINT) FROM numbers(3)")
        self.assertIn("row 1", message)
        self.assertIn("None", message)

    def test_errors_as_users_read_them(self):
        code = "def fails(x):\n    if x == 2:\n        raise ValueError('Connection reset by peer, broken pipe')\n    return x\n"
        self.define("fails", code, "fails", ["BIGINT"], "BIGINT")
        message = self.refused("SELECT fails(number::BIGINT) FROM numbers(5)")
        for text in ["ValueError", "Connection-reset by peer, broken-pipe", "row 2", "line 3"]:
            self.assertIn(text, message)
        self.define("no_module", "import nothing_like_this\ndef no_module(x): return x\n", "no_module", ["INT"], "INT")
        self.assertIn("nothing_like_this", self.refused("SELECT no_module(number::INT) FROM numbers(2)"))
        self.assertEqual(self.engine.rows("SELECT fails(number::BIGINT) FROM numbers(2)"), [(0,), (1,)])

    def test_a_batch_that_failed_does_not_fail_nine_times(self):
        self.define("spins", "def spins(x):\n    while True: pass\n", "spins", ["BIGINT"], "BIGINT")
        requests = counted("udf_server_requests_count_total", "spins")
        hits = counted("vivarium_limits_hit_total")
        began = time.monotonic()
        message = self.refused("SELECT spins(number::BIGINT) FROM numbers(3)")
        took = time.monotonic() - began
        self.assertRegex(message, "deadline_ms|fuel")
        self.assertEqual(counted("udf_server_requests_count_total", "spins"), requests + 9, "the engine tries again")
        self.assertEqual(counted("vivarium_limits_hit_total"), hits + 1)
        # Nine deadlines of 6 s would be 54 s; the engine itself waits about 13 s between its attempts.
        self.assertLess(took, 40)

    def test_functions_without_arguments(self):
        self.define("answer", "def answer():\n    return 42\n", "answer", [], "BIGINT")
        self.assertEqual(self.engine.rows("SELECT answer()"), [(42,)])
        self.assertEqual(self.engine.rows("SELECT answer() + number::BIGINT FROM numbers(3)"), [(42,), (43,), (44,)])

    def test_the_name_is_reused_with_new_code(self):
        for factor in (2, 3):
            code = f"def scaled(x):\n    return x * {factor}\n"
            self.define("scaled", code, "scaled", ["BIGINT"], "BIGINT")
            self.assertEqual(self.engine.value("SELECT sum(scaled(number::BIGINT)) FROM numbers(4)"), 6 * factor)

    def test_a_million_rows(self):
        self.define("add_up", "def add(a, b):\n    return a + b\n", "add", ["INT", "INT"], "INT")
        sql = "SELECT sum(add_up(number::INT, 1::INT)), count(*) FROM numbers(1000000)"
        self.assertEqual(self.engine.rows(sql), [(499_999_500_000 + 1_000_000, 1_000_000)])

    def test_a_decorated_batch_function_with_numpy(self):
        code = (
            "import numpy as np\n"
            "from databend_udf import udf\n\n"
            "@udf(input_types=['DOUBLE', 'DOUBLE'], result_type='DOUBLE', batch_mode=True)\n"
            "def hypot(a, b):\n"
            "    return np.hypot(np.array(a), np.array(b)).tolist()\n"
        )
        self.define("hypot", code, "hypot", ["DOUBLE", "DOUBLE"], "DOUBLE")
        sql = "SELECT sum(hypot(3.0 * number::DOUBLE, 4.0 * number::DOUBLE)) FROM numbers(100000)"
        self.assertEqual(self.engine.value(sql), 5.0 * sum(range(100_000)))


if __name__ == "__main__":
    unittest.main()
