"""Type hints: which Arrow type they stand for, and whether they admit None."""

import collections.abc
import dataclasses
import datetime
import decimal
import functools
import inspect
import sys
import types
import typing
import uuid

from . import Column, DayTime, MonthDayNano
from ._declaration import MARKED, field_name
from ._loader import Refused

MAX_DEPTH = 32

_PLAIN = (
    (bool, "BOOLEAN"),
    (int, "BIGINT"),
    (float, "DOUBLE"),
    (str, "VARCHAR"),
    (bytes, "BINARY"),
    (bytearray, "BINARY"),
    (memoryview, "BINARY"),
    (decimal.Decimal, "DECIMAL(38, 9)"),
    (datetime.datetime, "TIMESTAMP[us]"),
    (datetime.date, "DATE"),
    (datetime.time, "TIME"),
    (datetime.timedelta, "DURATION[us]"),
    (uuid.UUID, "UUID"),
    (dict, "JSON"),
    (list, "JSON"),
    (MonthDayNano, "INTERVAL"),
    (DayTime, "INTERVAL(DayTime)"),
)
_LISTS = (list, collections.abc.Sequence, collections.abc.MutableSequence)
_MAPS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_STREAMS = (
    collections.abc.Iterator,
    collections.abc.Generator,
    collections.abc.Iterable,
)
_COLUMNS = (*_LISTS, collections.abc.Collection, *_STREAMS)
_QUALIFIERS = (typing.Required, typing.NotRequired, typing.ReadOnly, typing.ClassVar, typing.Final)



class HintError(Exception):
    """Why a hint is no type; the message goes after the hint."""


class Type:
    """A hint read as a type. `shape` is `plain`, `list`, `map` or `struct`; `items` are the types
    inside, `names` those of a struct's fields; `made` is the class whose instances the function
    sees where the bridge's own list or dict will not do."""

    __slots__ = ("text", "nullable", "shape", "items", "names", "made")

    def __init__(self, text, nullable=False, shape="plain", items=(), names=(), made=None):
        self.text = text
        self.nullable = nullable
        self.shape = shape
        self.items = items
        self.names = names
        self.made = made

    def marked(self, nullable=None):
        """The text with its nullability, which may be overruled."""
        if self.text.upper() == "NULL":
            return "NULL"
        if nullable is None:
            nullable = self.nullable
        return self.text + (" NULL" if nullable else " NOT NULL")


class Scope:
    """Where names in hints that are text are looked up."""

    def __init__(self, namespace):
        self._namespace = namespace

    @classmethod
    def of(cls, function):
        return cls(_namespace(function))

    def resolve(self, hint):
        """The hint itself, for hints written as text, aliases and NewTypes."""
        for _ in range(MAX_DEPTH):
            if type(hint) is typing.ForwardRef:
                hint = hint.__forward_arg__
            if type(hint) is str:
                hint = self._evaluate(hint)
            elif type(hint) is typing.TypeAliasType:
                hint = hint.__value__
            elif type(hint) is typing.NewType:
                hint = hint.__supertype__
            else:
                return hint
        raise HintError("leads in a circle")

    def _evaluate(self, text):
        try:
            return eval(text, self._namespace)
        except Exception as exception:
            raise HintError(f"cannot be resolved: {type(exception).__name__}: {exception}") from None


def _namespace(function):
    for _ in range(MAX_DEPTH):
        if isinstance(function, functools.partial):
            function = function.func
        elif inspect.ismethod(function):
            function = function.__func__
        elif isinstance(function, type):
            break
        elif isinstance(function, types.FunctionType) and "__wrapped__" in function.__dict__:
            function = function.__wrapped__
        else:
            break
    if not isinstance(function, (type, types.FunctionType)):
        function = getattr(type(function), "__call__", function)
    if isinstance(function, types.FunctionType):
        return function.__globals__
    return vars(sys.modules.get(getattr(function, "__module__", None)) or typing)


def read(hint, scope, depth=0):
    """The type that a hint stands for."""
    if depth > MAX_DEPTH:
        raise HintError(f"is nested deeper than {MAX_DEPTH} levels; recursive types are not supported")
    hint = scope.resolve(hint)
    if hint is None or hint is types.NoneType:
        return Type("NULL", True)
    if hint is typing.Any or hint is object:
        return Type("JSON", True)
    for known, text in _PLAIN:
        if hint is known:
            return Type(text)
    declared = getattr(hint, "__vivarium_type__", None)
    if type(declared) is str:
        return from_text(declared, True)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is not None:
        return _read_generic(origin, arguments, hint, scope, depth)
    if isinstance(hint, type):
        return _read_class(hint, depth)
    raise HintError("is not a type")


def from_text(text, nullable=False):
    """A type given as text, with its mark taken off."""
    if text.strip().upper() == "NULL":
        return Type("NULL", True)
    if marked := MARKED.fullmatch(text):
        return Type(marked[1], marked[2].upper() == "NULL")
    return Type(text.strip(), nullable)


def _read_generic(origin, arguments, hint, scope, depth):
    if origin is typing.Annotated:
        inner, *metadata = arguments
        for text in metadata:
            if type(text) is str:
                return from_text(text, admits_none(inner, scope))
        return read(inner, scope, depth + 1)
    if origin is typing.Union or origin is types.UnionType:
        return _read_union(arguments, scope, depth)
    if origin is typing.Literal:
        kinds = {type(value) for value in arguments}
        if len(kinds) == 1 and kinds <= {bool, int, str}:
            return read(kinds.pop(), scope, depth + 1)
        raise HintError("mixes literals of several types")
    if origin in _QUALIFIERS:
        inner = read(arguments[0], scope, depth + 1)
        inner.nullable |= origin is typing.NotRequired
        return inner
    if origin is tuple:
        return _read_tuple(arguments, scope, depth)
    if origin in _LISTS:
        if not arguments:
            return Type("JSON")
        item = read(arguments[0], scope, depth + 1)
        return Type(f"LIST<{item.marked()}>", shape="list", items=(item,))
    if origin in _MAPS:
        return _read_map(arguments, scope, depth)
    if origin in _STREAMS:
        raise HintError("is a stream, which only a table function's result can be")
    raise HintError("is not a type that a column can have")


def _read_union(arguments, scope, depth):
    members = [m for m in map(scope.resolve, arguments) if m is not types.NoneType and m is not None]
    if not members:
        return Type("NULL", True)
    if len(members) > 1:
        raise HintError("is a union of several types; only a union with None is a type")
    inner = read(members[0], scope, depth + 1)
    inner.nullable = True
    return inner


def _read_tuple(arguments, scope, depth):
    if not arguments:
        raise HintError("does not say what the tuple holds; write tuple[int, str]")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        item = read(arguments[0], scope, depth + 1)
        return Type(f"LIST<{item.marked()}>", shape="list", items=(item,), made=tuple)
    items = [read(argument, scope, depth + 1) for argument in arguments]
    return struct([str(i + 1) for i in range(len(items))], items, tuple)


def _read_map(arguments, scope, depth):
    if len(arguments) != 2:
        return Type("JSON")
    key, value = (read(argument, scope, depth + 1) for argument in arguments)
    if key.nullable:
        raise HintError("has keys that may be None; the keys of a map cannot be NULL")
    return Type(f"MAP<{key.marked()}, {value.marked()}>", shape="map", items=(key, value))


def _read_class(cls, depth):
    if typing.is_typeddict(cls):
        named, made = dict(cls.__annotations__), None
    elif issubclass(cls, tuple) and hasattr(cls, "_fields"):
        annotations = getattr(cls, "__annotations__", {})
        missing = [name for name in cls._fields if name not in annotations]
        if missing:
            raise HintError(f"has no hint for its field `{missing[0]}`")
        named, made = {name: annotations[name] for name in cls._fields}, cls
    elif dataclasses.is_dataclass(cls):
        named, made = {field.name: field.type for field in dataclasses.fields(cls)}, cls
    elif cls is tuple:
        raise HintError("does not say what the tuple holds; write tuple[int, str]")
    elif cls in _LISTS or cls in _MAPS:
        return Type("JSON")
    elif cls in _STREAMS:
        raise HintError("is a stream, which only a table function's result can be")
    elif cls is Column:
        raise HintError(
            'does not say what the column holds; write Annotated[vivarium.Column, "BIGINT"] or '
            "give the types to the decorator"
        )
    else:
        raise HintError("is a class that no column holds")
    if not named:
        raise HintError("has no fields")
    scope = Scope(vars(sys.modules.get(cls.__module__) or typing))
    items = []
    for name, hint in named.items():
        try:
            item = read(hint, scope, depth + 1)
        except HintError as error:
            raise HintError(f"has a field `{name}` of `{shown(hint)}`, which {error}") from None
        optional = made is None and name in cls.__optional_keys__
        item.nullable |= optional
        items.append(item)
    return struct(list(named), items, made)


def struct(names, items, made=None):
    """A struct of named types."""
    fields = ", ".join(f"{field_name(name, item.text)} {item.marked()}" for name, item in zip(names, items))
    return Type(f"STRUCT<{fields}>", shape="struct", items=tuple(items), names=tuple(names), made=made)


def admits_none(hint, scope):
    """Whether None fits the hint. Without a hint it does."""
    if hint is inspect.Parameter.empty:
        return True
    hint = scope.resolve(hint)
    if any(hint is anything for anything in (None, types.NoneType, typing.Any, object)):
        return True
    if type(getattr(hint, "__vivarium_type__", None)) is str:
        return True  # a type of pyarrow's says nothing about None
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return admits_none(arguments[0], scope)
    if origin is typing.Union or origin is types.UnionType:
        return any(admits_none(argument, scope) for argument in arguments)
    return type(hint) is typing.TypeVar


def element(hint, scope):
    """What the values of a column are, for a hint of a vectorised function; without a hint, and
    for a column of unknown contents, `Parameter.empty`."""
    if hint is inspect.Parameter.empty:
        return hint
    hint = scope.resolve(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        inner = element(arguments[0], scope)
        text = next((text for text in arguments[1:] if type(text) is str), None)
        if text is None:
            return inner
        return typing.Annotated[object if inner is inspect.Parameter.empty else inner, text]
    if arguments and (origin in _COLUMNS or origin is Column):
        return arguments[0]
    if arguments and origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return arguments[0]
    if hint is Column or hint in _COLUMNS or origin in _COLUMNS:
        return inspect.Parameter.empty
    raise HintError("is not a column; a vectorised function's hints look like list[int]")


def streamed(hint, scope, lists=False):
    """The row type of a hint such as Iterator[int], `Parameter.empty` if it names none, or None if
    the hint is not a stream. With `lists`, list[int] counts as well."""
    hint = scope.resolve(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        text = next((text for text in arguments[1:] if type(text) is str), None)
        inner = streamed(arguments[0], scope, lists)
        return inner if inner is None or text is None else typing.Annotated[object, text]
    wanted = (*_STREAMS, *_LISTS) if lists else _STREAMS
    if hint in _STREAMS or (origin in wanted and not arguments):
        return inspect.Parameter.empty
    return arguments[0] if origin in wanted else None


def signature(function):
    """([(name, hint)], variadic, hint of the result, number of parameters without a default) of a
    callable's positional parameters, or None if it does not tell. `variadic` is the hint of `*args`,
    or False."""
    try:
        told = inspect.signature(function)
        parameters, variadic, required = [], False, 0
        for parameter in told.parameters.values():
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                parameters.append((parameter.name, parameter.annotation))
                required += parameter.default is parameter.empty
            elif parameter.kind is parameter.VAR_POSITIONAL:
                variadic = parameter.annotation
        return parameters, variadic, told.return_annotation, required
    except Exception:
        return None


def skipped_by_hints(function, name, n_parameters, columns=False, leading=0):
    """For each of a function's parameters after `leading` ones, whether null in it skips the row:
    where its hint excludes None."""
    skip = [False] * n_parameters
    told = signature(function)
    if told is None:
        return tuple(skip)
    scope = Scope.of(function)
    parameters, variadic, *_ = told
    hints = parameters[leading:]
    if variadic is not False:
        hints = hints + [("*args", variadic)] * (n_parameters - len(hints))
    for index, (parameter, hint) in enumerate(hints[:n_parameters]):
        try:
            skip[index] = not admits_none(element(hint, scope) if columns else hint, scope)
        except HintError as error:
            raise Refused("handler", unusable(name, parameter, hint, error), None) from None
    return tuple(skip)


def unusable(name, parameter, hint, error):
    """The message for a parameter's hint."""
    return f"`{name}`: the hint of `{parameter}`, `{shown(hint)}`, {error}"


def shown(hint):
    """A hint for messages."""
    try:
        text = hint if type(hint) is str else inspect.formatannotation(hint)
    except Exception:
        text = f"<{type(hint).__name__}>"
    return text if len(text) <= 200 else text[:197] + "..."
