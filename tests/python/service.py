"""What a client of Vivarium does, with nothing of Vivarium imported: generated gRPC stubs and pyarrow.flight.

The addresses come from the environment, set by the Rust test that started the server.
"""

import json
import os
import pathlib
import sys
import tempfile
import threading

import grpc
import pyarrow as pa
import pyarrow.flight as flight
from grpc_tools import protoc

PROVISIONING = os.environ["VIVARIUM_PROVISIONING"]
FLIGHT = os.environ["VIVARIUM_FLIGHT"]
PROTO = pathlib.Path(os.environ["VIVARIUM_PROTO"])


def _generate_stubs(path):
    folder = tempfile.mkdtemp(prefix="vivarium-stubs-")
    arguments = ["protoc", f"-I{path.parent}", f"--python_out={folder}", f"--grpc_python_out={folder}", str(path)]
    if protoc.main(arguments) != 0:
        raise RuntimeError(f"{path} does not compile")
    sys.path.insert(0, folder)
    return __import__(f"{path.stem}_pb2"), __import__(f"{path.stem}_pb2_grpc")


udf_pb2, udf_pb2_grpc = _generate_stubs(PROTO)
resource_pb2, resource_pb2_grpc = _generate_stubs(PROTO.with_name("resourceproto.proto"))


def specification(code, handler, input_types, result_type, **changes):
    """The JSON spec of the RFC generation, as a dict."""
    spec = {
        "version": 1,
        "kind": "udf",
        "language": "python",
        "handler": handler,
        "input_types": input_types,
        "result_type": result_type,
        "imports": [],
        "packages": [],
        "runtime_version": "3.13",
        "code": code,
    }
    spec.update(changes)
    return spec


def apply_text(text, tenant="tests"):
    """Sends any text as a spec; returns the response or raises grpc.RpcError."""
    with grpc.insecure_channel(PROVISIONING) as channel:
        request = udf_pb2.ApplyUdfResourceRequest(spec=text)
        metadata = [("x-databend-tenant", tenant)] if tenant is not None else []
        return udf_pb2_grpc.UdfServiceStub(channel).ApplyUdfResource(request, metadata=metadata, timeout=10)


class Function:
    """A provisioned function: call it with Arrow columns."""

    def __init__(self, code, handler, input_types, result_type, tenant="tests", **changes):
        spec = specification(code, handler, input_types, result_type, **changes)
        self.handler = handler
        self.answer = apply_text(json.dumps(spec), tenant)
        self.headers = {name.lower(): value for name, value in self.answer.headers.items()}

    def exchange(self, batches, schema=None, headers=None, path=None, timeout=120):
        """All batches through one DoExchange; returns the list of result batches and the last app_metadata."""
        return exchange(
            self.handler if path is None else path,
            self.headers if headers is None else headers,
            batches,
            schema or batches[0].schema,
            timeout,
        )

    def __call__(self, *columns, timeout=120):
        """One batch from columns (pyarrow arrays or (values, type) pairs); returns the result as a list."""
        arrays = [column if isinstance(column, pa.Array) else pa.array(*column) for column in columns]
        batch = pa.RecordBatch.from_arrays(arrays, names=[f"arg{i + 1}" for i in range(len(arrays))])
        results, _ = self.exchange([batch], timeout=timeout)
        return results[0].column(0).to_pylist()


def exchange(path, headers, batches, schema, timeout=120):
    client = flight.connect(f"grpc://{FLIGHT}")
    options = flight.FlightCallOptions(
        timeout=timeout, headers=[(name.encode(), value.encode()) for name, value in headers.items()]
    )
    descriptor = flight.FlightDescriptor.for_path(path) if isinstance(path, (str, bytes)) else path
    writer, reader = client.do_exchange(descriptor, options)

    def send():
        try:
            writer.begin(schema)
            for batch in batches:
                writer.write_batch(batch)
            writer.done_writing()
        except pa.ArrowException:
            pass  # the server ended the call first; the reader has the error

    # gRPC's C++ client aborts when a call that has failed is finished while another thread still
    # writes to it, so only what does not fit into the windows of the connection has a thread.
    sender = threading.Thread(target=send)
    if sum(batch.nbytes for batch in batches) < 32_768:
        sender.run()
        sender = None
    else:
        sender.start()
    results, usage = [], None
    try:
        for chunk in reader:
            if chunk.data is not None:
                results.append(chunk.data)
            if chunk.app_metadata is not None:
                usage = json.loads(chunk.app_metadata.to_pybytes())
        return results, usage
    finally:
        if sender is not None:
            sender.join()
        try:
            writer.close()
        except pa.ArrowException:
            pass  # the call's error was raised by the reader already
        client.close()
