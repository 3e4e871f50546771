"""`udf` and `UDFServer` with databend-udf's parameters and semantics."""

import inspect
import itertools
import logging
from collections.abc import Sequence

import pyarrow as pa
from pyarrow.flight import FlightServerBase, ServerMiddleware, ServerMiddlewareFactory
from vivarium._convert import around
from vivarium._declaration import Fixed, attach, field_name
from vivarium._foreign import (
    Server,
    argument_names,
    as_list,
    databend_shape,
    function_name,
    is_nullable,
    marked,
    optional,
    shape_of,
    type_text,
)

from .request import (
    ConcurrencyLimitExceeded,
    Headers,
    QueryCancelledError,
    QueryState,
    StageLocation,
    is_stage_hint,
)
from .table import Rows
from .values import inward, outward

logger = logging.getLogger(__name__)

MAX_DECIMAL128_PRECISION = 38
MAX_DECIMAL256_PRECISION = 76
EXTENSION_KEY = b"Extension"
ARROW_EXT_TYPE_VARIANT = b"Variant"
ARROW_EXT_TYPE_VECTOR = b"Vector"

_ROWS_PER_BATCH = 4096


class HeadersMiddleware(ServerMiddleware):
    def __init__(self, headers):
        self.headers = headers


class HeadersMiddlewareFactory(ServerMiddlewareFactory):
    pass


class UserDefinedFunction:
    """A decorated function. Calling it calls the function."""

    _name: str


class CallableFunction(UserDefinedFunction):
    """A function whose arguments are data, stages and, as the last one, the headers."""

    def __init__(self, func, input_types, name=None, stage_refs=None):
        self._func = func
        self._name = function_name(func, name)
        names, _ = argument_names(func)
        self._takes_headers = bool(names) and names[-1] == "headers"
        if self._takes_headers:
            names.pop()
        stages = _stages(func, self._name, names, list(stage_refs or []))
        self._stage_references = stages
        self._layout = names
        data = [argument for argument in names if argument not in stages]
        types = as_list(input_types)
        if len(data) != len(types):
            raise ValueError(
                f"Function {self._name} expects {len(data)} data argument(s) "
                f"but {len(types)} input type(s) were provided"
            )
        what = f"input_types of {self._name}"
        self._parameters = [(argument, type_text(given, what, False)) for argument, given in zip(data, types)]
        self._inward = [inward(shape_of(given, databend_shape)) for given in types]

    def __call__(self, *args):
        return self._func(*args)

    def _calling(self):
        """The function over data arguments alone, stages and headers put in their places."""
        if not self._takes_headers and not self._stage_references:
            return self._func
        function, layout, stages = self._func, self._layout, self._stage_references
        headers = Headers()
        last = [headers] if self._takes_headers else []

        def call(*data):
            found = headers.require_stage_locations(list(stages.values()))
            data = iter(data)
            arguments = [found[stages[name]] if name in stages else next(data) for name in layout]
            return function(*arguments, *last)

        return call

    def _calling_columns(self):
        """The function over whole columns as lists."""
        function = self._calling()
        each = [optional(convert) if convert else None for convert in self._inward]

        def call(columns):
            columns = [column.to_list() for column in columns]
            return function(*[[c(v) for v in values] if c else values for c, values in zip(each, columns)])

        return call

    def _declare(self, kind, result, target, null_handling="call"):
        declaration = Fixed(self._name, kind, self._parameters, result, target, "databend_udf", null_handling)
        attach(self, declaration)


def _stages(function, name, names, references):
    """The stage arguments and the names by which they are known."""
    if len(references) != len(set(references)):
        raise ValueError("stage_refs contains duplicate parameter names")
    hints = {p.name: p.annotation for p in inspect.signature(function).parameters.values()}
    hinted = [argument for argument in names if is_stage_hint(hints.get(argument))]
    if not references:
        return dict(zip(hinted, hinted))
    arguments = references if all(reference in names for reference in references) else hinted
    if len(arguments) != len(references):
        raise ValueError(f"Unable to map stage_refs to function parameters for {name}")
    return dict(zip(arguments, references))


class ScalarFunction(CallableFunction):
    """A function of a row, or with `batch_mode` of whole columns as lists."""

    def __init__(
        self,
        func,
        input_types,
        result_type,
        name=None,
        stage_refs=None,
        io_threads=None,
        skip_null=None,
        batch_mode=False,
        max_concurrency=None,
        concurrency_timeout=None,
    ):
        super().__init__(func, input_types, name, stage_refs)
        text = type_text(result_type, f"result_type of {self._name}", False)
        if skip_null and not is_nullable(text):
            raise ValueError(f"Return type of function {self._name} must be nullable when skip_null is True")
        convert = outward(shape_of(result_type, databend_shape))
        if batch_mode:
            # Null handling is the function's own then, skip_null or not.
            self._declare("vectorized", ("output", text), self._batched(convert))
        else:
            target = around(self._calling(), self._inward, convert)
            self._declare("scalar", ("output", text), target, "skip" if skip_null else "call")

    def _batched(self, convert):
        function, each = self._calling_columns(), optional(convert)

        def call(*columns):
            values = function(columns)
            return values if convert is None else [each(value) for value in values]

        return call


class TableFunction(CallableFunction):
    """A function of a row, or with `batch_mode` of whole columns, that returns rows."""

    def __init__(
        self,
        func,
        input_types,
        result_type,
        name=None,
        stage_refs=None,
        io_threads=None,
        skip_null=None,
        batch_mode=False,
        max_concurrency=None,
        concurrency_timeout=None,
    ):
        if io_threads not in (None, 0, 1):
            raise ValueError("Table functions do not support io_threads > 1")
        if skip_null:
            raise ValueError("Table functions do not support skip_null semantics")
        super().__init__(func, input_types, name, stage_refs)
        columns = _columns(result_type, self._name)
        names = [column for column, _, _ in columns]
        if len(names) != len(set(names)):
            raise ValueError("Result columns must have unique names")
        fields = ", ".join(f"{field_name(column, text)} {marked(text)}" for column, text, _ in columns)
        result = "output", f"STRUCT<{fields}> NOT NULL"
        rows = Rows(self._name, names, [outward(shape) for _, _, shape in columns])
        if batch_mode:
            self._declare("map", result, self._over_batches(rows))
        else:
            self._declare("table", result, self._over_rows(rows))

    def _over_rows(self, rows):
        function = around(self._calling(), self._inward, None)

        def call(*arguments):
            return rows.of(function(*arguments))

        return call

    def _over_batches(self, rows):
        function = self._calling_columns()

        def call(batches):
            for batch in batches:
                found = rows.of(function(batch.columns))
                while chunk := list(itertools.islice(found, _ROWS_PER_BATCH)):
                    yield chunk

        return call


def _columns(result_type, name):
    """[(column, type as text, shape)] of a table function's result."""
    what = f"result_type of {name}"
    if isinstance(result_type, pa.Field):
        items = [result_type if result_type.name else result_type.with_name("output")]
    else:
        items = list(result_type)
    if not items:
        raise ValueError("Table function result_type must contain at least one column")
    columns = []
    for index, item in enumerate(items):
        column, given = f"col{index}", item
        if isinstance(item, pa.Field):
            column = item.name or column
        elif isinstance(item, tuple) and len(item) == 2:
            column, given = str(item[0]), item[1]
        columns.append((column, type_text(given, what, False), shape_of(given, databend_shape)))
    return columns


def udf(
    input_types,
    result_type,
    name=None,
    stage_refs=None,
    io_threads=32,
    skip_null=False,
    batch_mode=False,
    max_concurrency=None,
    concurrency_timeout=None,
):
    """Declares a scalar function, or a table function if `result_type` is a list of columns.
    `io_threads`, `max_concurrency` and `concurrency_timeout` are accepted: rows run one after the
    other, and the server bounds concurrency."""
    table = isinstance(result_type, (pa.Schema, pa.Field)) or (
        isinstance(result_type, Sequence) and not isinstance(result_type, (str, bytes))
    )
    of = TableFunction if table else ScalarFunction
    return lambda f: of(
        f,
        input_types,
        result_type,
        name,
        stage_refs=stage_refs,
        io_threads=None if table else io_threads,
        skip_null=skip_null,
        batch_mode=batch_mode,
        max_concurrency=max_concurrency,
        concurrency_timeout=concurrency_timeout,
    )


class UDFServer(Server, FlightServerBase):
    """Says which functions are served. `serve` returns at once."""

    dialect = "databend_udf"

    def __init__(self, location="0.0.0.0:8815", metric_location=None, **kwargs):
        super().__init__()
        self._location = location
        self._metric_location = metric_location
        self.add_function(builtin_echo)
        self.add_function(builtin_healthy)


@udf(input_types=["VARCHAR"], result_type="VARCHAR")
def builtin_echo(a):
    return a


@udf(input_types=[], result_type="INT")
def builtin_healthy():
    return 1


# Every server of databend-udf has them, so no file declares them.
for _builtin in (builtin_echo, builtin_healthy):
    _builtin.__vivarium_declaration__.listed = False
