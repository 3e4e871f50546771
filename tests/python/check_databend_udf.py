"""A file written for databend-udf, served unchanged, called by that project's own client."""

import datetime
import unittest
from decimal import Decimal

import pyarrow as pa
import pyarrow.flight as flight
from databend_udf.client import UDFClient
from databend_udf.udf import _to_arrow_field

from service import FLIGHT, Function

HOST, PORT = FLIGHT.rsplit(":", 1)


class DatabendUdf(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.client = UDFClient(HOST, int(PORT))

    def test_functions_of_the_readme(self):
        cases = [
            ("add", ([1, 2, None], [3, 4, 5]), TypeError),
            ("add", ([1, 2], [3, 4]), [4, 6]),
            ("double", ([21],), [42]),
            ("upper", (["ab", "ß"],), ["AB", "SS"]),
            ("add_days", ([datetime.date(2024, 1, 15)], [30]), [datetime.date(2024, 2, 14)]),
            ("add_tax", ([Decimal("99.99")],), [Decimal("109.99")]),
            ("array_sum", ([[1, 2, 3], []],), [6, 0]),
            ("map_sum", ([{"a": 1, "b": 2}],), [3]),
            ("normalize_vector", ([[3.0, 0.0, 4.0, 0.0]],), None),
            ("double_or_null", ([1, None],), [2, None]),
            ("double_or_zero", ([1, None],), [2, 0]),
            ("sum_non_null", ([[1, None, 3]],), [4]),
            ("fetch_data", ([1, 2],), [2, 4]),
            ("expensive_operation", ([4],), [8]),
            ("sums", ([1, 2], [10, 20]), [11, 22]),
        ]
        for name, arguments, expected in cases:
            with self.subTest(name, arguments=arguments):
                names = [field.name for field in self.client.get_function_info(name).schema][: len(arguments)]
                keywords = dict(zip(names, arguments))
                if expected is TypeError:
                    with self.assertRaisesRegex(pa.ArrowException, "TypeError"):
                        self.client.call_function_batch(name, **keywords)
                    continue
                results = self.client.call_function_batch(name, **keywords)
                if name == "normalize_vector":
                    self.assertEqual([round(x, 4) for x in results[0]], [0.6, 0.0, 0.8, 0.0])
                else:
                    self.assertEqual(results, expected)

    def test_json_goes_as_variant(self):
        values = [b'{"a": {"b": [1, 2]}, "c": "\xc3\xa4"}', b"{}", None]
        results = self.client.call_function_batch("json_get", value=values, key=["a", "a", "a"])
        self.assertEqual(results, [b'{"b":[1,2]}', None, None])
        field = self.client.get_function_info("json_get").schema.field(0)
        self.assertEqual((field.type, field.metadata), (pa.large_binary(), {b"Extension": b"Variant"}))

    def test_tuples_whatever_their_fields_are_called(self):
        for names in (("1", "2"), ("", ""), ("a", "b")):
            kind = pa.struct([pa.field(names[0], pa.int32(), False), pa.field(names[1], pa.large_string(), False)])
            tuples = pa.StructArray.from_arrays(
                [pa.array([7], pa.int32()), pa.array(["seven"], pa.large_string())], fields=list(kind)
            )
            self.assertEqual(self.exchange("tuple_format", [tuples])[0], {"output": ["7: seven"]})

    def exchange(self, name, arrays):
        client = flight.connect(f"grpc://{FLIGHT}")
        batch = pa.RecordBatch.from_arrays(arrays, names=[f"arg{i}" for i in range(len(arrays))])
        writer, reader = client.do_exchange(flight.FlightDescriptor.for_path(name))
        with writer:
            writer.begin(batch.schema)
            writer.write_batch(batch)
            writer.done_writing()
            return [chunk.data.to_pydict() for chunk in reader]

    def test_table_functions_answer_with_their_columns(self):
        rows = self.client.call_function_batch("expand_pairs", left=[1, 2, 3], right=[10, 20, 30])
        self.assertEqual(rows, [{"left": i, "right": 10 * i, "sum": 11 * i} for i in (1, 2, 3)])
        rows = self.client.call_function_batch("countdown", n=[2, 0, 1])
        self.assertEqual(rows, [{"n": 2, "text": "xx"}, {"n": 1, "text": "x"}, {"n": 1, "text": "x"}])

    def test_health_checks(self):
        self.assertTrue(self.client.health_check())
        self.assertEqual(self.client.echo("hello"), "hello")

    def test_integers_of_another_width_are_what_they_are(self):
        self.assertEqual(self.exchange("double", [pa.array([21], pa.int64())]), [{"output": [42]}])
        with self.assertRaisesRegex(pa.ArrowException, "4294967296.*Int32"):
            self.exchange("double", [pa.array([2**32], pa.int64())])

    def test_flight_info_is_that_of_databend_udf(self):
        declared = {
            "add": (["INT", "INT"], "INT"),
            "array_sum": (["ARRAY(INT)"], "INT"),
            "sum_non_null": (["ARRAY(INT NULL)"], "INT"),
            "map_sum": (["MAP(VARCHAR, INT)"], "INT"),
            "add_tax": (["DECIMAL(10,2)"], "DECIMAL(10,2)"),
            "json_get": (["VARIANT", "VARCHAR"], "VARIANT"),
            "normalize_vector": (["VECTOR(4)"], "VECTOR(4)"),
        }
        for name, (inputs, result) in declared.items():
            with self.subTest(name):
                info = self.client.get_function_info(name)
                self.assertEqual(info.schema.metadata[b"x-databend-udf-input-count"], str(len(inputs)).encode())
                self.assertEqual((info.total_records, info.endpoints), (len(inputs) + 1, []))
                for field, text in zip(info.schema, [*inputs, result]):
                    expected = _to_arrow_field(text)
                    self.assertEqual(field.with_name(""), expected)
                    self.assertEqual(field.metadata, expected.metadata)
                self.assertEqual(info.schema.names[-1], "output")

    def test_unknown_functions(self):
        with self.assertRaisesRegex(pa.ArrowInvalid, "Function nothing does not exist"):
            self.client.call_function("nothing")
        client = flight.connect(f"grpc://{FLIGHT}")
        with self.assertRaises(NotImplementedError):
            list(client.list_flights())


class Provisioned(unittest.TestCase):
    """What an engine provisions may be decorated as well: the decorator's settings count."""

    CODE = "from databend_udf import udf\n@udf(input_types=['INT'], result_type={}, {})\ndef f(x):\n    return {}\n"

    def test_settings_of_the_decorator_are_kept(self):
        for settings, body, expected in [
            ("batch_mode=True", "[len(x)] * len(x)", [3, 3, 3]),
            ("skip_null=True", "x + 1", [2, None, 4]),
            ("io_threads=8", "0 if x is None else x", [1, 0, 3]),
        ]:
            with self.subTest(settings):
                function = Function(self.CODE.format("'INT'", settings, body), "f", ["INT NULL"], "INT NULL")
                self.assertEqual(function(([1, None, 3], pa.int32())), expected)

    def test_a_table_function_is_refused(self):
        code = self.CODE.format("[('n', 'INT')]", "batch_mode=False", "[(x,)]")
        with self.assertRaisesRegex(pa.ArrowException, "`f` is declared as a table"):
            Function(code, "f", ["INT NULL"], "INT NULL")(([1], pa.int32()))


if __name__ == "__main__":
    unittest.main()
