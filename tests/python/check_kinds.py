"""Every kind of function over the wire: what each answers, in which order, and what goes with it."""

import json
import threading
import time
import unittest
import uuid

import pyarrow as pa
import pyarrow.flight as flight

from service import FLIGHT


def column(values, name="x", arrow_type=pa.int64()):
    return pa.RecordBatch.from_arrays([pa.array(values, arrow_type)], names=[name])


def call(path, batches, headers=(), schema=None):
    """All answers: (columns as a dict, app_metadata)."""
    client = flight.connect(f"grpc://{FLIGHT}")
    options = flight.FlightCallOptions(timeout=60, headers=[(k.encode(), v.encode()) for k, v in headers])
    path = [path] if isinstance(path, str) else path
    writer, reader = client.do_exchange(flight.FlightDescriptor.for_path(*path), options)
    with writer:
        writer.begin(schema or batches[0].schema)
        for batch in batches:
            writer.write_batch(batch)
        writer.done_writing()
        answers = []
        for chunk in reader:
            metadata = json.loads(chunk.app_metadata.to_pybytes()) if chunk.app_metadata is not None else {}
            answers.append((chunk.data.to_pydict(), metadata))
        return answers


class Kinds(unittest.TestCase):
    maxDiff = None

    def test_scalar_and_nulls_by_annotation(self):
        self.assertEqual(call("plus_one", [column([1, None])])[0][0], {"result": [2, None]})
        self.assertEqual(call("seen", [column([1, None])])[0][0], {"result": ["1", "None"]})

    def test_rows_that_raise_can_be_null(self):
        ((columns, metadata),) = call("inverse", [column([2, 0])], [("x-vivarium-logs", "1")])
        self.assertEqual(columns, {"result": [0.5, None]})
        self.assertIn("ZeroDivisionError", metadata["logs"]["stderr"])

    def test_logs_on_request(self):
        ((_, metadata),) = call("plus_one", [column([1])], [("x-vivarium-logs", "1")])
        self.assertEqual(metadata["logs"], {"stdout": "seen 1\n", "stderr": "", "dropped_bytes": 0})
        ((_, metadata),) = call("plus_one", [column([1])])
        self.assertNotIn("logs", metadata)

    def test_extension_types(self):
        key = uuid.UUID(int=5)
        keys = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([key.bytes, key.bytes], pa.binary(16)))
        values = pa.ExtensionArray.from_storage(pa.json_(pa.string()), pa.array(['{"a": [1, "ä"]}', None]))
        answer = call("document", [pa.RecordBatch.from_arrays([keys, values], names=["key", "value"])])
        texts = [json.loads(text) for text in answer[0][0]["result"]]
        self.assertEqual(texts, [{str(key): {"a": [1, "ä"]}}, {str(key): None}])

    def test_vectorised(self):
        batch = pa.RecordBatch.from_arrays([pa.array([1, 2]), pa.array([10, 20])], names=["a", "b"])
        self.assertEqual(call("add_columns", [batch])[0][0], {"result": [11, 22]})

    def test_a_table_function_says_what_belongs_to_which_input(self):
        answers = call("count_to", [column([2, 0]), column([0]), column([10_000])])
        rows = {0: [], 1: [], 2: []}
        ends = []
        for columns, metadata in answers:
            if metadata["last"]:
                ends.append(metadata["input"])
            rows[metadata["input"]] += zip(columns["row"], columns["result"])
        self.assertEqual(ends, [0, 1, 2])
        self.assertEqual(rows[0], [(0, 0), (0, 1)])
        self.assertEqual(rows[1], [])
        self.assertEqual(rows[2], [(0, i) for i in range(10_000)])

    def test_an_endless_generator_streams_until_its_reader_leaves(self):
        client = flight.connect(f"grpc://{FLIGHT}")
        for _ in range(3):
            writer, reader = client.do_exchange(flight.FlightDescriptor.for_path("endless"))
            batch = column([7])
            writer.begin(batch.schema)
            writer.write_batch(batch)
            writer.done_writing()
            rows = 0
            while rows < 100_000:
                rows += reader.read_chunk().data.num_rows
            reader.cancel()
        self.assertEqual(call("count_to", [column([1])])[0][0], {"row": [0], "result": [0]})

    def test_aggregate_of_the_whole_stream(self):
        batches = [column([1, 2]), column([]), column([6, None])]
        self.assertEqual([c for c, _ in call("Mean", batches)], [{"result": [3.0]}])
        self.assertEqual([c for c, _ in call("Mean", [column([])])], [{"result": [None]}])

    def test_aggregate_by_group_in_phases_and_with_retraction(self):
        def rows(groups, values, retract=None):
            arrays, names = [pa.array(groups, pa.int64())], ["$group"]
            if retract is not None:
                arrays, names = arrays + [pa.array(retract)], names + ["$retract"]
            return pa.RecordBatch.from_arrays(arrays + [pa.array(values, pa.int64())], names=names + ["x"])

        batches = [rows([7, 7, -1], [1, 3, 5]), rows([-1, 9], [7, 2])]
        whole = call("Mean", batches)[0][0]
        self.assertEqual(whole, {"$group": [7, -1, 9], "result": [2.0, 6.0, 2.0]})
        retracted = call("Mean", [rows([7, 7, 7], [1, 3, 1], [False, False, True])])[0][0]
        self.assertEqual(retracted, {"$group": [7], "result": [3.0]})

        partial = []
        for batch in batches:
            client = flight.connect(f"grpc://{FLIGHT}")
            writer, reader = client.do_exchange(flight.FlightDescriptor.for_path("Mean", "accumulate"))
            with writer:
                writer.begin(batch.schema)
                writer.write_batch(batch)
                writer.done_writing()
                partial += [chunk.data for chunk in reader]
        self.assertEqual([p.schema.names for p in partial], [["$group", "state"]] * 2)
        for path in (["Mean", "merge"], ["Mean", "finish"]):
            answer = call(path, partial)[0][0]
            self.assertEqual(answer["$group"], [7, -1, 9], path)
        self.assertEqual(answer["result"], [2.0, 6.0, 2.0])

    def test_map_takes_and_gives_at_the_same_time(self):
        client = flight.connect(f"grpc://{FLIGHT}")
        writer, reader = client.do_exchange(flight.FlightDescriptor.for_path("running_total"))
        batch = column([1, 2])
        with writer:
            writer.begin(batch.schema)
            for turn in range(5):
                writer.write_batch(batch)
                answer = reader.read_chunk().data.to_pydict()
                self.assertEqual(answer, {"x": [1, 2], "running": [3 * turn + 1, 3 * turn + 3]})
            writer.done_writing()
            self.assertEqual(list(reader), [])

    def test_sessions_that_wait_keep_nobody_waiting(self):
        client = flight.connect(f"grpc://{FLIGHT}")
        waiting = []
        batch = column([1])
        for _ in range(20):
            writer, reader = client.do_exchange(flight.FlightDescriptor.for_path("running_total"))
            writer.begin(batch.schema)
            writer.write_batch(batch)
            reader.read_chunk()
            waiting.append((writer, reader))
        began = time.monotonic()
        self.assertEqual(call("plus_one", [column([1])])[0][0], {"result": [2]})
        self.assertLess(time.monotonic() - began, 5)
        for writer, reader in waiting:
            writer.write_batch(batch)
            self.assertEqual(reader.read_chunk().data.to_pydict(), {"x": [1], "running": [2]})
        for writer, reader in waiting:
            writer.done_writing()
            self.assertEqual(list(reader), [])
            writer.close()

    def test_public_functions_are_listed_and_described(self):
        client = flight.connect(f"grpc://{FLIGHT}")
        infos = {info.descriptor.path[0].decode(): info for info in client.list_flights()}
        self.assertIn("plus_one", infos)
        info = client.get_flight_info(flight.FlightDescriptor.for_path("Mean", "merge"))
        self.assertEqual(info.schema.names, ["state", "state"])
        self.assertEqual(infos["count_to"].schema.names, ["n", "row", "result"])
        with self.assertRaises(NotImplementedError):
            list(client.do_action(flight.Action("protocol_version", b"")))


class Errors(unittest.TestCase):
    """Whole messages, as callers read them."""

    maxDiff = None

    def refusal(self, path, batches):
        try:
            answers = call(path, batches)
        except pa.ArrowException as error:
            message = str(error)
        else:
            raise AssertionError(f"it was not refused: {answers}")
        # What pyarrow and gRPC put around it.
        for frame in ("Flight RPC failed with message: ", "Flight error: ", "Flight returned invalid argument error, with message: "):
            message = message.removeprefix(frame)
        return message.split(". gRPC client debug context")[0].split(". Client context")[0]

    def test_messages(self):
        cases = {
            "another type": ("plus_one", [column(["a"], arrow_type=pa.string())]),
            "too many columns": ("plus_one", [pa.RecordBatch.from_arrays([pa.array([1])] * 2, names=["a", "b"])]),
            "null where none may be": ("add_columns", [pa.RecordBatch.from_arrays([pa.array([1, None])] * 2, names=["a", "b"])]),
            "a state of the wrong shape": (["BadState", "accumulate"], [column([1])]),
            "an output a thousand times its input": ("swell", [column([70_000])]),
            "a phase of a scalar function": (["plus_one", "merge"], [column([1])]),
            "no such phase": (["Mean", "bake"], [column([1])]),
            "groups of another type": ("Mean", [pa.RecordBatch.from_arrays([pa.array(["a"]), pa.array([1])], names=["$group", "x"])]),
            "states to a phase that takes rows": (["Mean", "merge"], [column([1], "state")]),
            "not there": ("nothing", [column([1])]),
        }
        for name, (path, batches) in cases.items():
            with self.subTest(name):
                self.assertEqual(self.refusal(path, batches), EXPECTED[name])


    def test_a_generator_that_never_ends_meets_the_deadline(self):
        client = flight.connect(f"grpc://{FLIGHT}")
        writer, reader = client.do_exchange(flight.FlightDescriptor.for_path("endless"))
        batch, rows = column([7]), 0
        writer.begin(batch.schema)
        writer.write_batch(batch)
        writer.done_writing()
        with self.assertRaisesRegex(pa.ArrowException, "deadline_ms: the call took longer than [0-9]+ ms"):
            while True:
                rows += reader.read_chunk().data.num_rows
        self.assertGreater(rows, 10_000)


EXPECTED = {
    "another type": "column 0 (parameter `x`): expected type Int64, got Utf8",
    "too many columns": "the batch has 2 columns, the function takes 1",
    "null where none may be": "column 0: `a` is not nullable, but row 1 is null",
    "a state of the wrong shape": "`state`, row 0: column `state`, row 0: expected int64, got str 'not a number'",
    "an output a thousand times its input": """gRPC returned resource exhausted error, with message: \
memory_bytes: 134217728 bytes are not enough: row 0: Traceback (most recent call last):
  File "kinds_server.py", line 89, in swell
    return "x" * (x * 1000)
           ~~~~^~~~~~~~~~~~
MemoryError""",
    "a phase of a scalar function": (
        "the descriptor has a second element, `merge`, but `plus_one` is no aggregate function"
    ),
    "no such phase": "the descriptor's second element must be accumulate, merge or finish; it is `bake`",
    "groups of another type": "the column `$group` must be int64 without nulls, it is Utf8",
    "states to a phase that takes rows": (
        'column 0 (parameter `state`): expected type Struct("1": non-null Int64, "2": non-null Int64), got Int64'
    ),
    "not there": "Function nothing does not exist",
}

if __name__ == "__main__":
    unittest.main()
