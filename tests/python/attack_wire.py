"""Cases 37 to 43: bytes that only look like Arrow, sent without a library that would refuse to write them."""

import struct
import unittest

import grpc
import pyarrow as pa

from attacks import Attack
from service import FLIGHT, Function

ROWS = 777  # a number that appears in a message's metadata for one reason only
I64_MIN, I64_MAX, I32_MAX = -(1 << 63), (1 << 63) - 1, (1 << 31) - 1


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, content):
    """A field of protobuf with a length."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def flight_data(header=b"", body=b"", path=None):
    """arrow.flight.protocol.FlightData."""
    descriptor = b"" if path is None else field(1, b"\x08\x01" + field(3, path))
    return descriptor + (field(2, header) if header else b"") + (field(1000, body) if body else b"")


def split(message):
    """Metadata and body of an encapsulated IPC message."""
    buffer = message.to_pybytes() if isinstance(message, pa.Buffer) else message
    (length,) = struct.unpack_from("<i", buffer, 4)
    return buffer[8 : 8 + length], buffer[8 + length :]


def stream(table_or_batches, schema, **options):
    """The messages that a stream of batches consists of, as pairs of metadata and body."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in table_or_batches:
            writer.write_batch(batch)
    reader = pa.ipc.MessageReader.open_stream(pa.BufferReader(sink.getvalue()))
    messages = []
    while True:
        try:
            message = reader.read_next_message()
        except (StopIteration, EOFError):
            return messages
        if message is None:
            return messages
        messages.append((message.metadata.to_pybytes(), message.body.to_pybytes() if message.body else b""))


def patched(metadata, old, new, index=0):
    """The metadata with the `index`-th occurrence of a 64-bit number replaced."""
    at = -1
    for _ in range(index + 1):
        at = metadata.index(struct.pack("<q", old), at + 1)
    return metadata[:at] + struct.pack("<q", new) + metadata[at + 8 :]


class Wire(Attack):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.text = Function("def f(x): return x\n", "f", ["VARCHAR NULL"], "VARCHAR NULL", tenant="attacker")
        cls.number = Function("def f(x): return x\n", "f", ["BIGINT NULL"], "BIGINT NULL", tenant="attacker")
        cls.channel = grpc.insecure_channel(FLIGHT, options=[("grpc.max_send_message_length", -1)])
        cls.stub = cls.channel.stream_stream(
            "/arrow.flight.protocol.FlightService/DoExchange",
            request_serializer=lambda data: data,
            response_deserializer=lambda data: data,
        )

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()

    def send(self, function, messages):
        """The error that ends the exchange, or None."""
        described = [flight_data(*message, path=b"f" if i == 0 else None) for i, message in enumerate(messages)]
        try:
            for _ in self.stub(iter(described), metadata=list(function.headers.items()), timeout=110):
                pass
            return None
        except grpc.RpcError as error:
            self.assertNotIn(error.code(), (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE), error)
            self.assertNotEqual(error.code(), grpc.StatusCode.INTERNAL, error.details())
            return f"{error.code().name}: {error.details()}"

    def assert_refuses(self, pattern, function, messages):
        message = self.send(function, messages)
        self.assertIsNotNone(message, "it was not refused")
        self.assertRegex(message, pattern)

    def texts(self):
        column = pa.array([None if i == 5 else f"row {i}" for i in range(ROWS)])
        batch = pa.RecordBatch.from_arrays([column], names=["arg1"])
        return stream([batch], batch.schema)

    def numbers(self):
        batch = pa.RecordBatch.from_arrays([pa.array(range(ROWS), pa.int64())], names=["arg1"])
        return stream([batch], batch.schema)

    def test_the_helpers_write_good_arrow(self):
        self.assertIsNone(self.send(self.text, self.texts()))
        self.assertIsNone(self.send(self.number, self.numbers()))

    def test_metadata(self):
        schema, batch = self.numbers()
        cases = {
            "38 root far away": (struct.pack("<i", I32_MAX) + schema[0][4:], b""),
            "38 root before the beginning": (struct.pack("<i", -4) + schema[0][4:], b""),
            "38 half of it": (schema[0][: len(schema[0]) // 2], b""),
            "38 a length as in a file": (b"\xff\xff\xff\xff" + struct.pack("<i", I32_MAX) + schema[0], b""),
            "38 nothing but a length": (struct.pack("<i", I32_MAX), b""),
        }
        for name, message in cases.items():
            with self.attack(name):
                self.assert_refuses("INVALID_ARGUMENT: a message is not an Arrow IPC message", self.number, [message])
                self.assert_refuses(
                    "INVALID_ARGUMENT: a message is not an Arrow IPC message", self.number, [schema, message]
                )
        with self.attack("38 too long"):
            too_long = (schema[0] + bytes(1 << 20), b"")
            pattern = r"RESOURCE_EXHAUSTED: a message's metadata is \d+ bytes long, 1048576 are allowed"
            self.assert_refuses(pattern, self.number, [too_long])
        self.assertIsNone(self.send(self.number, [schema, batch]))

    def test_lengths(self):
        schema, (metadata, body) = self.numbers()
        size = len(body)
        rows = {"negative": -1, "least": I64_MIN, "most": I64_MAX, "beyond the limit": 1 << 40}
        for name, value in rows.items():
            for index in range(2):
                with self.attack(f"39 rows {name} {index}"):
                    hostile = patched(metadata, ROWS, value, index)
                    pattern = r"is not an Arrow IPC message|a batch has \d+ rows; limit server.max_batch_rows is 1000000"
                    if value < 0:
                        pattern = "a length in it is negative"
                    self.assert_refuses(pattern, self.number, [schema, (hostile, body)])
        # The number of bytes comes twice: as the message's length of its body and as that of the one buffer.
        values = ROWS * 8
        self.assertEqual(metadata.count(struct.pack("<q", values)), 2)
        for name, value in {"negative": -8, "huge": I64_MAX, "wraps": I64_MAX - 7, "too far": size + 4096}.items():
            with self.attack(f"39 buffer {name}"):
                hostile = patched(metadata, values, value, 1)
                self.assert_refuses("a buffer lies outside its body", self.number, [schema, (hostile, body)])
        for value in (I64_MIN, -1, 0, I64_MAX):
            with self.attack(f"39 bodyLength {value}"):
                # The transport says how long the body is; what the message says of it is not read.
                hostile = patched(metadata, values, value, 0)
                self.assertIsNone(self.send(self.number, [schema, (hostile, body)]))
        with self.attack("39 body too short"):
            self.assert_refuses("a buffer lies outside its body", self.number, [schema, (metadata, body[:-64])])
        with self.attack("39 no body"):
            self.assert_refuses("a buffer lies outside its body", self.number, [schema, (metadata, b"")])
        with self.attack("39 a body alone"):
            self.assert_refuses("it has a body and no metadata", self.number, [schema, (b"", body)])

    def test_offsets_and_text(self):
        schema, (metadata, body) = self.texts()
        offsets = struct.pack("<3i", 0, 5, 10)
        at = body.index(offsets)
        for name, value in {"decreasing": 3, "negative": -1, "beyond": I32_MAX}.items():
            with self.attack(f"39 offset {name}"):
                hostile = body[: at + 8] + struct.pack("<i", value) + body[at + 12 :]
                self.assert_refuses("is not an Arrow IPC message", self.text, [schema, (metadata, hostile)])
        with self.attack("39 last offset beyond"):
            last = at + 4 * ROWS
            hostile = body[:last] + struct.pack("<i", I32_MAX) + body[last + 4 :]
            self.assert_refuses("is not an Arrow IPC message", self.text, [schema, (metadata, hostile)])
        for name, letters in {"no UTF-8": b"\xff\xfe", "half a letter": b"\xf0\x9f", "a surrogate": b"\xed\xa0\x80"}.items():
            with self.attack(f"39 text {name}"):
                start = body.index(b"row 1")
                hostile = body[:start] + letters + body[start + len(letters) :]
                self.assert_refuses("is not an Arrow IPC message", self.text, [schema, (metadata, hostile)])
        for value in (0, 2, ROWS, I64_MAX, -1):
            with self.attack(f"39 null count {value}"):
                # The count in the metadata follows the number of rows.
                node = struct.pack("<2q", ROWS, 1)
                where = metadata.index(node)
                hostile = metadata[:where] + struct.pack("<2q", ROWS, value) + metadata[where + 16 :]
                message = self.send(self.text, [schema, (hostile, body)])
                if message is not None:
                    self.assertRegex(message, "is not an Arrow IPC message|null")

    def test_dictionaries(self):
        words = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0] * 259, pa.int32()), pa.array(["a", "b"]))
        batch = pa.RecordBatch.from_arrays([words], names=["arg1"])
        schema, dictionary, (metadata, body) = stream([batch], batch.schema)
        at = body.index(struct.pack("<3i", 0, 1, 0))
        for value in (2, -1, I32_MAX):
            with self.attack(f"39 index {value}"):
                hostile = body[:at] + struct.pack("<i", value) + body[at + 4 :]
                self.assert_refuses(
                    "is not an Arrow IPC message|Dictionary", self.text, [schema, dictionary, (metadata, hostile)]
                )
        with self.attack("39 no dictionary"):
            self.assert_refuses("is not an Arrow|ictionary", self.text, [schema, (metadata, body)])
        with self.attack("42 dictionary flood"):
            large = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array(["x" * 1_000_000]))
            large = pa.RecordBatch.from_arrays([large], names=["arg1"])
            schema, dictionary, batch = stream([large], large.schema)
            pattern = r"RESOURCE_EXHAUSTED: the dictionaries are \d+ bytes; limit server.max_dictionary_bytes is 4194304"
            self.assert_refuses(pattern, self.text, [schema] + [dictionary] * 20 + [batch])
        with self.attack("42 flood of empty dictionaries"):
            empty = pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), pa.array([], pa.string()))
            empty = pa.RecordBatch.from_arrays([empty], names=["arg1"])
            schema, dictionary, batch = stream([empty], empty.schema)
            self.assert_refuses("max_dictionary_bytes", self.text, [schema] + [dictionary] * 40_000)

    def test_schemas(self):
        wide = pa.schema([pa.field(f"c{i}", pa.int64()) for i in range(100_000)])
        nested = pa.int64()
        for _ in range(1000):
            nested = pa.list_(nested)
        cases = {
            "39 100 000 columns": (wide, r"metadata is \d+ bytes long, 1048576 are allowed"),
            "39 nested 1000 times": (pa.schema([pa.field("arg1", nested)]), "is not an Arrow IPC message"),
            "39 union": (
                pa.schema([pa.field("arg1", pa.dense_union([pa.field("a", pa.int8()), pa.field("b", pa.string())]))]),
                "column `arg1` is a union, or has one inside: .*; send a column that may be null",
            ),
        }
        for name, (schema, pattern) in cases.items():
            with self.attack(name):
                metadata, body = split(schema.serialize())
                messages = [(metadata, body)]
                if "union" in name:
                    column = pa.UnionArray.from_dense(
                        pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32()), [pa.array([1], pa.int8()), pa.array(["x"])], ["a", "b"]
                    )
                    batch = pa.RecordBatch.from_arrays([column], names=["arg1"])
                    messages = stream([batch], batch.schema)
                    types = messages[1][1].index(b"\x00\x01")
                    hostile = messages[1][1][:types] + b"\x07\x7f" + messages[1][1][types + 2 :]
                    self.assertIsNotNone(self.send(self.text, [messages[0], (messages[1][0], hostile)]))
                self.assert_refuses(pattern, self.text, messages)
        schema, batch = self.numbers()
        with self.attack("42 another schema within the stream"):
            other = split(pa.schema([pa.field("arg1", pa.string())]).serialize())
            self.assert_refuses("the schema changed within the stream", self.number, [schema, batch, other, batch])
        with self.attack("41 a batch before its schema"):
            self.assert_refuses("a batch came before the schema", self.number, [batch, schema])
        with self.attack("41 a schema and no batch"):
            self.assertIsNone(self.send(self.number, [schema]))
        with self.attack("41 a schema again and again"):
            self.assertIsNone(self.send(self.number, [schema] * 200 + [batch]))
        with self.attack("41 another type"):
            self.assert_refuses("(?i)utf8.*int64|int64.*utf8", self.number, self.texts())

    def test_compression(self):
        batch = pa.RecordBatch.from_arrays([pa.array([7] * 100_000, pa.int64())], names=["arg1"])
        for codec in ("lz4", "zstd"):
            with self.attack(f"40 {codec}"):
                messages = stream([batch], batch.schema, compression=codec)
                self.assert_refuses("a message's body is compressed; send batches uncompressed", self.number, messages)

    def test_rows_beyond_the_limit(self):
        batch = pa.RecordBatch.from_arrays([pa.nulls(2_000_000, pa.bool_())], names=["arg1"])
        with self.attack("41 rows"):
            pattern = "a batch has 2000000 rows; limit server.max_batch_rows is 1000000"
            self.assert_refuses(pattern, self.number, stream([batch], batch.schema))

    def test_a_message_beyond_the_limit(self):
        schema, (metadata, _) = self.numbers()
        with self.attack("56 message"):
            pattern = r"(OUT_OF_RANGE|RESOURCE_EXHAUSTED): .*16777216"
            self.assert_refuses(pattern, self.number, [schema, (metadata, bytes(17 << 20))])


if __name__ == "__main__":
    unittest.main()
