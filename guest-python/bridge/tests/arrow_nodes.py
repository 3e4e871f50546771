"""Arrow schemas and arrays as plain trees, which a backend lays out in its memory.

pyarrow does the conversion to and from Arrow's buffers, so that it can serve as the reference.
"""

import ctypes
from dataclasses import dataclass, field

import pyarrow as pa

NULLABLE = 2


@dataclass
class SchemaNode:
    format: str
    name: str = ""
    nullable: bool = True
    children: list = field(default_factory=list)
    metadata: dict = field(default_factory=dict)


@dataclass
class ArrayNode:
    length: int
    null_count: int
    buffers: list  # bytes or None
    children: list = field(default_factory=list)


class _CSchema(ctypes.Structure):
    pass


_CSchema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_CSchema))),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]


def _read_schema(schema):
    return SchemaNode(
        schema.format.decode(),
        (schema.name or b"").decode(),
        bool(schema.flags & NULLABLE),
        [_read_schema(schema.children[i].contents) for i in range(schema.n_children)],
    )


def schema_node(arrow_field):
    """The tree of a pyarrow field."""
    schema = _CSchema()
    arrow_field._export_to_c(ctypes.addressof(schema))
    node = _read_schema(schema)
    release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(schema.release)
    release(ctypes.addressof(schema))
    _add_metadata(node, arrow_field)
    return node


def _add_metadata(node, arrow_field):
    node.metadata = {k.decode(): v.decode() for k, v in (arrow_field.metadata or {}).items()}
    for i, child in enumerate(node.children):
        _add_metadata(child, arrow_field.type.field(i))


def struct_schema(fields):
    """The input schema of a function with these parameters (pyarrow fields or schema nodes)."""
    children = [f if isinstance(f, SchemaNode) else schema_node(f) for f in fields]
    return SchemaNode("+s", "", False, children)


def _nulls(validity, length):
    if validity is None:
        return 0
    return sum(not validity[i >> 3] >> (i & 7) & 1 for i in range(length))


def _offsets(buffer, length, large):
    width = 8 if large else 4
    return [int.from_bytes(buffer[i * width : (i + 1) * width], "little", signed=True) for i in range(length + 1)]


def _take(schema, length, flat):
    """Takes the buffers of one array and of those below it from pyarrow's flat list."""
    form = schema.format
    validity = flat.pop(0)
    validity = None if validity is None else validity.to_pybytes()
    count = _nulls(validity, length)
    if count == 0:
        validity = None
    if form == "n":
        return ArrayNode(length, length, [])
    if form == "+s":
        children = [_take(child, length, flat) for child in schema.children]
        return ArrayNode(length, count, [validity], children)
    if form.startswith("+w:"):
        children = [_take(schema.children[0], length * int(form[3:]), flat)]
        return ArrayNode(length, count, [validity], children)
    data = flat.pop(0)
    data = b"" if data is None else data.to_pybytes()
    if form in ("+l", "+L", "+m"):
        inner = _offsets(data, length, form == "+L")[-1] if data else 0
        return ArrayNode(length, count, [validity, data], [_take(schema.children[0], inner, flat)])
    buffers = [validity, data]
    if form in ("u", "U", "z", "Z"):
        values = flat.pop(0)
        buffers.append(b"" if values is None else values.to_pybytes())
    return ArrayNode(length, count, buffers)


def array_node(array, schema):
    """The tree of a pyarrow array."""
    return _take(schema, len(array), array.buffers())


_WIDTHS = {"c": 1, "C": 1, "s": 2, "S": 2, "e": 2, "i": 4, "I": 4, "f": 4, "tdD": 4, "tts": 4, "ttm": 4, "tiM": 4, "tin": 16}


def _width(form):
    if form.startswith("w:"):
        return int(form[2:])
    if form.startswith("d:"):
        parts = form[2:].split(",")
        return int(parts[2]) // 8 if len(parts) > 2 else 16
    return _WIDTHS.get(form, 8)


def read_array(schema, raw):
    """Builds a node from what a backend found in memory. `raw` has length, null_count, offset,
    `buffer(index, size)` and `child(index)`."""
    length, form = raw.length, schema.format
    assert raw.offset == 0
    bitmap = (length + 7) // 8
    if form == "n":
        assert raw.null_count == length
        return ArrayNode(length, length, [])
    validity = raw.buffer(0, bitmap) if raw.null_count else None
    assert raw.null_count == 0 or validity is not None
    assert _nulls(validity, length) == raw.null_count, "the null count is not exact"
    if form == "+s" or form.startswith("+w:"):
        buffers = [validity]
    elif form in ("+l", "+L", "+m"):
        buffers = [validity, raw.buffer(1, (length + 1) * (8 if form == "+L" else 4))]
    elif form in ("u", "U", "z", "Z"):
        offsets = raw.buffer(1, (length + 1) * (8 if form in "UZ" else 4))
        buffers = [validity, offsets, raw.buffer(2, _offsets(offsets, length, form in "UZ")[-1])]
    elif form == "b":
        buffers = [validity, raw.buffer(1, bitmap)]
    else:
        buffers = [validity, raw.buffer(1, length * _width(form))]
    assert raw.n_buffers == len(buffers) and raw.n_children == len(schema.children)
    children = [read_array(child, raw.child(i)) for i, child in enumerate(schema.children)]
    return ArrayNode(length, raw.null_count, buffers, children)


def to_pyarrow(node, arrow_type):
    """A fully validated pyarrow array of a node."""
    children = [
        to_pyarrow(child, arrow_type.field(i).type) for i, child in enumerate(node.children)
    ]
    buffers = [None if b is None else pa.py_buffer(b) for b in node.buffers]
    if pa.types.is_null(arrow_type):
        buffers = [None]
    array = pa.Array.from_buffers(arrow_type, node.length, buffers, node.null_count, 0, children)
    array.validate(full=True)
    return array
