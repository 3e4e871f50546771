"""arrow-udf's decorators, for files that were written for its server. Vivarium serves the decorated
functions itself; a `UdfServer` only says which."""

import concurrent  # noqa: F401
import inspect  # noqa: F401
import json  # noqa: F401
import signal  # noqa: F401
import traceback  # noqa: F401
from concurrent.futures import ThreadPoolExecutor  # noqa: F401
from decimal import Decimal
from typing import *  # noqa: F403 (files with `from arrow_udf import *` find these names there)

import pyarrow as pa
import pyarrow.flight
from vivarium._convert import around
from vivarium._declaration import Fixed, attach
from vivarium._foreign import (
    Server,
    argument_names,
    arrow_shape,
    as_list,
    encoded,
    function_name,
    list_result,
    optional,
    shape_of,
    type_text,
)


class JsonScalar(pa.ExtensionScalar):
    """Named for the sake of files that import it."""


class DecimalScalar(pa.ExtensionScalar):
    """Named for the sake of files that import it."""


class JsonType(pa.ExtensionType):
    """JSON, as text on the wire and as the parsed value in Python."""

    def __init__(self):
        super().__init__(pa.string(), "arrowudf.json")


class DecimalType(pa.ExtensionType):
    """Decimals of any precision, as text on the wire."""

    def __init__(self):
        super().__init__(pa.string(), "arrowudf.decimal")


class UserDefinedFunction:
    """A decorated function. Calling it calls the function."""

    _name: str
    _executor = None


class ScalarFunction(UserDefinedFunction):
    """A function of a row, or with `batch` of whole columns as lists."""


class TableFunction(UserDefinedFunction):
    """A function that yields rows."""

    BATCH_SIZE = 1024


class _Wrapper:
    _func: object

    def __call__(self, *args):
        return self._func(*args)

    def eval(self, *args):
        return self._func(*args)


class UserDefinedScalarFunctionWrapper(_Wrapper, ScalarFunction):
    def __init__(self, func, input_types, result_type, name=None, **kwargs):
        self._func = func
        self._name = function_name(func, name)
        self._batch = kwargs.pop("batch", False)
        kwargs.pop("io_threads", None)
        if kwargs:
            raise TypeError(f"udf() got an unexpected keyword argument {next(iter(kwargs))!r}")
        parameters = _parameters(func, input_types, self._name)
        result = self._name, type_text(result_type, f"result_type of {self._name}", True)
        convert = _outward(shape_of(result_type, arrow_shape))
        if self._batch:
            kind, target = "vectorized", _batched(func, convert)
        else:
            kind, target = "scalar", around(func, [], convert)
        attach(self, Fixed(self._name, kind, parameters, result, target, "arrow_udf"))


class UserDefinedTableFunctionWrapper(_Wrapper, TableFunction):
    def __init__(self, func, input_types, result_types, name=None):
        self._func = func
        self._name = function_name(func, name)
        parameters = _parameters(func, input_types, self._name)
        what = f"result_types of {self._name}"
        if isinstance(result_types, list):
            # Fields without names, as arrow-udf has it: rows are tuples.
            types = ", ".join(type_text(item, what, True) for item in result_types)
            text, convert = f"STRUCT<{types}>", None
        else:
            text = type_text(result_types, what, True)
            convert = _outward(shape_of(result_types, arrow_shape))
        target = around(func, [], convert, rows=True)
        attach(self, Fixed(self._name, "table", parameters, (self._name, text), target, "arrow_udf"))


def _parameters(function, input_types, name):
    names, variadic = argument_names(function)
    types = as_list(input_types)
    if len(types) > len(names) and not variadic:
        raise ValueError(f"{name} has {len(names)} arguments, but {len(types)} input types are given")
    names += [f"arg{i + 1}" for i in range(len(names), len(types))]
    what = f"input_types of {name}"
    return [(argument, type_text(given, what, True)) for argument, given in zip(names, types)]


def _batched(function, convert):
    each = optional(convert)

    def call(*columns):
        values = function(*[column.to_list() for column in columns])
        return values if convert is None else [each(value) for value in values]

    return call


def _outward(shape):
    """Turns results as arrow-udf does: a struct is a dict whose other keys do not matter, a list is
    anything that can be iterated."""
    if shape.kind == "list":
        return list_result(shape, _outward)
    if shape.kind == "struct":
        fields = [(name, optional(_outward(item))) for name, item in zip(shape.names, shape.items)]

        def converted(value):
            if not hasattr(value, "get"):
                return value  # the bridge says what is wrong with it, or takes a tuple
            return tuple([convert(value.get(name)) for name, convert in fields])

        return converted
    return {"binary": encoded, "decimal": _decimal}.get(shape.kind)


def _decimal(value):
    if not isinstance(value, Decimal):
        raise ValueError(f"Expected Decimal, got {value}")
    return value


def udf(input_types, result_type, name=None, io_threads=None, batch=False):
    """Declares a scalar function. `io_threads` is accepted: rows run one after the other."""
    return lambda f: UserDefinedScalarFunctionWrapper(
        f, input_types, result_type, name, io_threads=io_threads, batch=batch
    )


def udtf(input_types, result_types, name=None):
    """Declares a table function."""
    return lambda f: UserDefinedTableFunctionWrapper(f, input_types, result_types, name)


class UdfServer(Server, pyarrow.flight.FlightServerBase):
    """Says which functions are served. `serve` returns at once."""

    dialect = "arrow_udf"

    def __init__(self, location="0.0.0.0:8815", **kwargs):
        super().__init__()
        self._location = location
