"""What the stand-ins for other projects' packages share."""

import inspect
import re
from collections.abc import Iterable

from ._declaration import MARKED, brief, check_name, check_type_text, servers

MAX_DEPTH = 32

_CALL = re.compile(r"""(?is)\s*(?:(?:\w+|"[^"]*")\s+)?(\w+)\s*\((.*)\)\s*""")
_BINARY = ("BINARY", "VARBINARY", "BYTEA", "LARGE_BINARY")


class Shape:
    """As much of a type as matters for turning values: `kind` is `list`, `map`, `struct`, or the
    type's name."""

    __slots__ = ("kind", "items", "names")

    def __init__(self, kind, items=(), names=()):
        self.kind = kind
        self.items = items
        self.names = names


class Server:
    """A server that is only a list of functions."""

    dialect = None

    def __init__(self):
        self._functions = {}
        servers.append(self)

    def add_function(self, udf):
        """Adds a decorated function."""
        name = udf._name
        if name in self._functions:
            raise ValueError("Function already exists: " + name)
        self._functions[name] = udf

    def serve(self):
        """Returns at once: Vivarium serves the functions."""

    run = wait = shutdown = serve


def function_name(function, name):
    """The name under which a decorated function is known."""
    found = name or getattr(function, "__name__", None) or type(function).__name__
    return check_name(found, "the name of a function", identifier=False)


def argument_names(function):
    """(names of the positional arguments, whether it takes any number of them)."""
    told = inspect.signature(function).parameters.values()
    names = [p.name for p in told if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return names, any(p.kind is p.VAR_POSITIONAL for p in told)


def as_list(types):
    """A single type stands for a list of one."""
    return types if isinstance(types, list) else [types]


def type_text(given, what, nullable):
    """The type of a declaration as text: what is written passes unchanged, an Arrow type gets its
    nullability."""
    if type(given) is str:
        return check_type_text(given, what)
    text = getattr(given, "__vivarium_type__", None)
    if type(text) is not str or isinstance(given, type):
        raise TypeError(f"{what} must be a type as text or a pyarrow type, not {brief(given)}")
    check_type_text(text, what)
    if text == "NULL" or MARKED.fullmatch(text):
        return text
    return text + (" NULL" if nullable else " NOT NULL")


def is_nullable(text):
    """Whether a type's text does not end with NOT NULL."""
    mark = MARKED.fullmatch(text)
    return mark is None or mark[2].upper() == "NULL"


def marked(text):
    """The text with a mark: NULL if it has none."""
    return text if text.strip().upper() == "NULL" or MARKED.fullmatch(text) else text + " NULL"


def shape_of(given, read_text):
    """The shape of a type; whatever is not understood is plain, as the host judges types."""
    return read_text(given, 0) if isinstance(given, str) else _shape_of_object(given, 0)


def _shape_of_object(found, depth):
    if depth > MAX_DEPTH:
        return Shape("plain")
    found = getattr(found, "type", found)
    if hasattr(found, "value_type"):
        return Shape("list", (_shape_of_object(found.value_type, depth + 1),))
    if hasattr(found, "key_type"):
        return Shape("map", tuple(_shape_of_object(t, depth + 1) for t in (found.key_type, found.item_type)))
    if hasattr(found, "fields"):
        items = tuple(_shape_of_object(field.type, depth + 1) for field in found.fields)
        return Shape("struct", items, tuple(field.name for field in found.fields))
    return _plain(getattr(found, "__vivarium_type__", ""))


def _plain(text):
    name = text.strip().upper()
    if name in _BINARY:
        return Shape("binary")
    if name in ("VARIANT", "JSON", "JSONB"):
        return Shape("json")
    if name in ("DECIMAL", "NUMERIC"):
        return Shape("decimal")
    return Shape("plain")


def databend_shape(text, depth=0):
    """The shape of `ARRAY(T)`, `MAP(K, V)`, `TUPLE(T, ..)` and what is inside."""
    if mark := MARKED.fullmatch(text):
        text = mark[1]
    call = _CALL.fullmatch(text) if depth <= MAX_DEPTH else None
    if call is None:
        return _plain(text)
    word, inside = call[1].upper(), _split(call[2])
    if word == "NULLABLE":
        return databend_shape(call[2], depth + 1)
    if word not in ("ARRAY", "MAP", "TUPLE"):
        return Shape("plain")
    items = tuple(databend_shape(item, depth + 1) for item in inside)
    if word == "ARRAY" and len(items) == 1:
        return Shape("list", items)
    if word == "MAP" and len(items) == 2:
        return Shape("map", items)
    return Shape("struct", items) if word == "TUPLE" else Shape("plain")


def arrow_shape(text, depth=0):
    """The shape of `T[]`, `STRUCT<name: T, ..>` and what is inside."""
    text = text.strip()
    if depth > MAX_DEPTH:
        return Shape("plain")
    if text.endswith("[]"):
        return Shape("list", (arrow_shape(text[:-2], depth + 1),))
    if text[:6].upper() == "STRUCT" and text.endswith(">") and "<" in text:
        names, items = [], []
        for part in _split(text[text.index("<") + 1 : -1]):
            name, colon, item = part.partition(":")
            if not colon:
                return Shape("plain")
            names.append(name.strip())
            items.append(arrow_shape(item, depth + 1))
        return Shape("struct", tuple(items), tuple(names))
    return _plain(text)


def _split(text):
    """The parts between commas that are in no brackets; a comma may be the last character."""
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        if character in "(<[":
            depth += 1
        elif character in ")>]":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    if text[start:].strip():
        parts.append(text[start:])
    return parts


def encoded(value):
    """A str where bytes are wanted, as pyarrow takes it."""
    return value.encode() if type(value) is str else value


def optional(convert):
    """The conversion with None left alone; the identity if there is none."""
    if convert is None:
        return lambda value: value
    return lambda value: None if value is None else convert(value)


def list_result(shape, convert):
    """A list result from anything that can be iterated; about the rest the bridge complains."""
    inner = convert(shape.items[0])
    plain, each = inner is None, optional(inner)

    def converted(values):
        if plain and type(values) in (list, tuple) or not isinstance(values, Iterable):
            return values
        return [each(value) for value in values]

    return converted
