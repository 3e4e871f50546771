"""Chooses the backend of a test run and wraps the most common calls."""

import os

import pyarrow as pa

import backends
from arrow_nodes import ArrayNode, SchemaNode, array_node, schema_node, struct_schema, to_pyarrow

PACKAGE = os.path.join(os.path.dirname(__file__), "..", "..", "package")

_shared = None


def new_backend():
    guest = os.environ.get("VIVARIUM_GUEST_WASM")
    if guest:
        return backends.Wasm(guest, os.environ.get("VIVARIUM_TEST_CACHE"))
    return backends.Native(os.environ["VIVARIUM_BRIDGE_LIBRARY"], os.path.abspath(PACKAGE))


def is_wasm():
    return "VIVARIUM_GUEST_WASM" in os.environ


def bridge():
    """The backend that all tests share which leave nothing behind."""
    global _shared
    if _shared is None:
        _shared = new_backend()
    return _shared


def batch_of(arrays, inputs, length=None):
    rows = len(arrays[0]) if length is None else length
    return ArrayNode(rows, 0, [None], [array_node(a, s) for a, s in zip(arrays, inputs.children)])


class Function:
    """A loaded function with pyarrow arrays going in and out."""

    def __init__(self, code, parameters, result, backend=None, **options):
        self.backend = backend or bridge()
        names = [f"p{i}" for i in range(len(parameters))]
        self.inputs = struct_schema(
            [p if isinstance(p, (pa.Field, SchemaNode)) else pa.field(n, p) for n, p in zip(names, parameters)]
        )
        self.result = result if isinstance(result, pa.Field) else pa.field("result", result)
        self.output = schema_node(self.result)
        self.state = options.pop("state", None)
        self.handle = self.backend.load(code, self.inputs, self.output, self.state, **options)

    def __call__(self, *arrays, length=None):
        batch = batch_of(arrays, self.inputs, length)
        return to_pyarrow(self.backend.invoke(self.handle, batch, self.output), self.result.type)


    def stream(self, *arrays, length=None):
        """Yields every answer of a table function: batches of row and value."""
        batch = batch_of(arrays, self.inputs, length)
        operation = backends.CALL
        while True:
            answer, node = self.backend.operate(self.handle, operation, batch, self.output)
            if node is not None:
                yield to_pyarrow(node, self.result.type)
            if not answer & backends.MORE:
                assert answer in (0, backends.NOTHING), answer
                self.backend.forget_stream(self.handle)
                return
            operation, batch = backends.NEXT, None

    def expand(self, *arrays, length=None):
        """All pairs of row and value."""
        return [tuple(row.values()) for part in self.stream(*arrays, length=length) for row in part.to_pylist()]


def failure(test, function, *arguments, **options):
    """Calls and returns the parts of the error."""
    with test.assertRaises(backends.BridgeError) as caught:
        function(*arguments, **options)
    return caught.exception.parts
