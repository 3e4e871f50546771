"""Errors of one file's functions: databend-udf's own server and ours, beside each other."""

import os
import pathlib
import subprocess
import sys
import time

import grpc
import pyarrow as pa
import pyarrow.flight as flight

from ports import free_port
from service import FLIGHT

FILE = pathlib.Path(__file__).parent / "servers/errors_server.py"
EXCHANGE = "/arrow.flight.protocol.FlightService/DoExchange"


def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def field(number, data):
    """A field of a protobuf message that has a length."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def messages(name, batch):
    """`FlightData` as on the wire: the descriptor's path in the first."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    descriptor = field(1, bytes([8, 1]) + field(3, name.encode()))
    for message in pa.ipc.MessageReader.open_stream(sink.getvalue()):
        body = message.body.to_pybytes() if message.body else b""
        yield descriptor + field(2, message.metadata.to_pybytes()) + field(1000, body)
        descriptor = b""


def on_the_wire(address, name, batch):
    """Number of messages before the error, its code, and Arrow's code in the trailers."""
    with grpc.insecure_channel(address) as channel:
        call = channel.stream_stream(EXCHANGE)(messages(name, batch), timeout=60)
        count = 0
        try:
            for _ in call:
                count += 1
        except grpc.RpcError:
            pass
        trailers = dict(call.trailing_metadata() or ())
        return count, call.code(), trailers.get("x-arrow-status")


def in_pyarrow(address, name, batch):
    """The class that a client in Python catches."""
    with flight.connect(f"grpc://{address}") as client:
        writer, reader = client.do_exchange(flight.FlightDescriptor.for_path(name), flight.FlightCallOptions(timeout=60))
        try:
            writer.begin(batch.schema)
            writer.write_batch(batch)
            writer.done_writing()
            reader.read_all()
        except (pa.ArrowException, OSError, KeyError, IndexError, TypeError, NotImplementedError) as error:
            return type(error)
    return None


def connect(address):
    until = time.monotonic() + 60
    with grpc.insecure_channel(address) as channel:
        while True:
            try:
                return grpc.channel_ready_future(channel).result(timeout=5)
            except grpc.FutureTimeoutError:
                assert time.monotonic() < until, "databend-udf does not start"


def main():
    address = f"127.0.0.1:{free_port()}"
    native = subprocess.Popen(
        [sys.executable, str(FILE), address], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=os.environ
    )
    try:
        assert native.stdout.readline()
        connect(address)
        sys.path.insert(0, str(FILE.parent))
        import errors_server

        names = [function._name for function in errors_server.FUNCTIONS]
        batch = pa.record_batch([pa.array([1], pa.int32())], names=["a"])
        for name in names:
            for what in (on_the_wire, in_pyarrow):
                ours, theirs = what(FLIGHT, name, batch), what(address, name, batch)
                assert ours == theirs, (name, what.__name__, ours, theirs)
                assert theirs is not None and theirs != (2, grpc.StatusCode.OK, None), (name, theirs)
        wrong = pa.record_batch([pa.array(["x"])], names=["a"])
        assert on_the_wire(FLIGHT, "value_error", wrong)[1] == on_the_wire(address, "value_error", wrong)[1]
    finally:
        native.kill()
        native.wait()


main()
