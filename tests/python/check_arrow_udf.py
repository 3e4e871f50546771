"""Files written for arrow-udf, served unchanged: one like its README's, and the project's own test."""

import contextlib
import decimal
import unittest

import pyarrow as pa
import pyarrow.flight as flight
from arrow_udf import DecimalType, JsonType, test_udf, udf, udtf
from arrow_udf import UserDefinedFunction  # noqa: F401

from service import FLIGHT


def exchange(name, batches):
    client = flight.connect(f"grpc://{FLIGHT}")
    writer, reader = client.do_exchange(flight.FlightDescriptor.for_path(name))
    with writer:
        writer.begin(batches[0].schema)
        for batch in batches:
            writer.write_batch(batch)
        writer.done_writing()
        return [chunk.data for chunk in reader]


def batch(*arrays):
    return pa.RecordBatch.from_arrays(list(arrays), names=[f"arg{i}" for i in range(len(arrays))])


class Readme(unittest.TestCase):
    maxDiff = None

    def test_scalar(self):
        (result,) = exchange("gcd", [batch(pa.array([25, 12], pa.int32()), pa.array([15, 18], pa.int32()))])
        self.assertEqual(result.schema, pa.schema([("gcd", pa.int32())]))
        self.assertEqual(result.column(0).to_pylist(), [5, 6])

    def test_a_struct_comes_back(self):
        packet = bytes(12) + bytes([1, 2, 3, 4, 5, 6, 7, 8]) + (80).to_bytes(2) + (8080).to_bytes(2)
        (result,) = exchange("extract_tcp_info", [batch(pa.array([packet], pa.binary()))])
        expected = {"src_addr": "1.2.3.4", "dst_addr": "5.6.7.8", "src_port": 80, "dst_port": 8080}
        self.assertEqual(result.column("extract_tcp_info").to_pylist(), [expected])

    def test_table(self):
        results = exchange("series", [batch(pa.array([2, 0, 3], pa.int32()))])
        self.assertEqual(results[0].schema, pa.schema([("row", pa.int32()), ("series", pa.int32())]))
        table = pa.Table.from_batches(results).to_pydict()
        self.assertEqual(table, {"row": [0, 0, 2, 2, 2], "series": [0, 1, 0, 1, 2]})

    def test_table_of_several_columns(self):
        value = pa.ExtensionArray.from_storage(JsonType(), pa.array(['{"a": 1}', None]))
        results = exchange("split_words", [batch(pa.array(["a b", "c"]), value)])
        table = pa.Table.from_batches(results)
        self.assertEqual(table.column("row").to_pylist(), [0, 0, 1])
        rows = [list(row.values()) for row in flattened(table.column("split_words"))]
        self.assertEqual(rows, [[0, "a", {"a": 1}], [1, "b", {"a": 1}], [0, "c", None]])

    def test_batched(self):
        (result,) = exchange("lengths", [batch(pa.array(["a", "bcd"]))])
        self.assertEqual(result.column(0).to_pylist(), [[1.0], [3.0]])

    def test_decimals_as_text(self):
        numbers = pa.ExtensionArray.from_storage(DecimalType(), pa.array(["12345678901234567890.1234567", "-0.5"]))
        (result,) = exchange("tenfold", [batch(numbers)])
        self.assertEqual(result.column(0).type, DecimalType())
        self.assertEqual(
            [value.as_py() for value in result.column(0)],
            [decimal.Decimal("123456789012345678901.234567"), decimal.Decimal("-5.0")],
        )

    def test_discovery(self):
        client = flight.connect(f"grpc://{FLIGHT}")
        self.assertEqual([r.body.to_pybytes() for r in client.do_action(flight.Action("protocol_version", b""))], [b"\x02"])
        infos = {info.descriptor.path[0].decode(): info for info in client.list_flights()}
        self.assertLessEqual({"gcd", "extract_tcp_info", "series", "split_words", "lengths", "tenfold"}, set(infos))
        declared = {
            "gcd": udf(["INT", "INT"], "INT")(lambda x, y: 0),
            "series": udtf("INT", "INT")(lambda n: 0),
            "lengths": udf(["VARCHAR"], "REAL[]")(lambda texts: 0),
            "tenfold": udf(["DECIMAL"], "DECIMAL")(lambda x: 0),
            "return_all": test_udf.return_all,
        }
        for name, function in declared.items():
            with self.subTest(name):
                info = client.get_flight_info(flight.FlightDescriptor.for_path(name))
                inputs, results = function._input_schema, function._result_schema
                self.assertEqual(info.schema.types, [*inputs.types, *results.types])
                self.assertEqual(info.schema.names, [*inputs.names, *results.names[:-1], name])
                self.assertTrue(all(field.nullable for field in info.schema))
                self.assertEqual((info.total_records, info.endpoints), (len(inputs), []))
                self.assertEqual(infos[name].schema, info.schema)

    def test_unknown_functions(self):
        with self.assertRaisesRegex(pa.ArrowException, "Function nothing does not exist"):
            exchange("nothing", [batch(pa.array([1]))])


def flattened(column):
    """Rows of a struct whose fields may all have the same name."""
    for chunk in column.chunks:
        fields = [[value.as_py() for value in chunk.field(i)] for i in range(chunk.type.num_fields)]
        for row in zip(*fields):
            yield dict(enumerate(row))


class TheirOwnTest(unittest.TestCase):
    """The client's side of arrow_udf's test_udf.py; the file itself is what is served."""

    def setUp(self):
        test_udf.flight_server = contextlib.nullcontext
        test_udf.flight_client = lambda: flight.connect(f"grpc://{FLIGHT}")

    def test_simple(self):
        test_udf.test_simple()

    def test_all_types(self):
        test_udf.test_all_types()

    def test_extension_scalars(self):
        test_udf.test_extension_scalar_as_py_signature()

    def test_order_of_concurrent_calls(self):
        # Their test also wants rows to overlap in time; here they run one after the other.
        rows = pa.array(range(64), pa.int64())
        for name in ("wait", "wait_concurrent"):
            results = exchange(name, [batch(rows)])
            self.assertEqual([v for r in results for v in r.column(name).to_pylist()], list(range(64)))


if __name__ == "__main__":
    unittest.main()
