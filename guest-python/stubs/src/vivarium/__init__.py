"""Declares Python functions that Vivarium runs in a sandbox.

This is the module for editors, type checkers and unit tests. Its decorators return what they decorate;
in the sandbox a module of the same name records what they say.

    import vivarium

    @vivarium.udf
    def area(width: float, height: float) -> float:
        return width * height

Types are given as hints (`int`, `list[str]`, `float | None`, a dataclass, `Annotated[int, "INT"]`) or as
text (`"DECIMAL(10, 2)"`, `"STRUCT<a INT, b VARCHAR>"`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar, overload

__all__ = [
    "Column",
    "DayTime",
    "MonthDayNano",
    "RecordBatch",
    "map_batches",
    "udaf",
    "udf",
    "udtf",
]


class DayTime(NamedTuple):
    """A value of Arrow's interval[day_time]."""

    days: int
    milliseconds: int


class MonthDayNano(NamedTuple):
    """A value of Arrow's interval[month_day_nano]."""

    months: int
    days: int
    nanoseconds: int


class Column(Sequence[Any]):
    """The values of one column: what a vectorised function gets for each parameter.

    An element is the Python value that a scalar function would get, None for null. In the sandbox it is
    a view of Arrow memory: `memoryview(column)` and `column.values` copy nothing.
    """

    def __init__(self, values: Iterable[Any] = (), type: str = "") -> None:
        """Makes a column for a unit test. In the sandbox columns come from the server only."""
        self._values = list(values)
        self._type = type

    @property
    def type(self) -> str:
        """The Arrow type as a format string, for example `l` for int64."""
        return self._type

    @property
    def null_count(self) -> int:
        """The number of nulls."""
        return sum(value is None for value in self._values)

    @property
    def values(self) -> memoryview:
        """The values of a fixed-width type, without a copy; what is at a null's place is undefined."""
        raise NotImplementedError("columns have buffers in the sandbox only")

    @property
    def validity(self) -> memoryview | None:
        """One bit per value, 0 for null, or None if there are no nulls."""
        raise NotImplementedError("columns have buffers in the sandbox only")

    @property
    def offsets(self) -> memoryview:
        """Where every text, binary or list starts, and where the last one ends."""
        raise NotImplementedError("columns have buffers in the sandbox only")

    def to_list(self) -> list[Any]:
        """The values as a list."""
        return list(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._values[index]


class RecordBatch(Mapping[str, Column]):
    """A batch of rows: a mapping of column names to columns."""

    def __init__(self, columns: Mapping[str, Iterable[Any]] | None = None) -> None:
        """Makes a batch for a unit test. In the sandbox batches come from the server only."""
        self._columns = {name: Column(values) for name, values in (columns or {}).items()}

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return len(next(iter(self._columns.values()), ()))

    @property
    def columns(self) -> list[Column]:
        """The columns in order."""
        return list(self._columns.values())

    @property
    def column_names(self) -> list[str]:
        """The names of the columns in order."""
        return list(self._columns)

    def to_pylist(self) -> list[dict[str, Any]]:
        """The rows as dicts."""
        return [dict(zip(self._columns, row)) for row in zip(*self._columns.values())]

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


_Function = TypeVar("_Function", bound=Callable[..., Any])
_Rows = TypeVar("_Rows", bound=Callable[..., Iterable[Any]])
_Class = TypeVar("_Class", bound=type)

# What a function over batches may yield.
Batch: TypeAlias = RecordBatch | Mapping[str, Any] | Sequence[Mapping[str, Any] | tuple[Any, ...]]
_Map = TypeVar("_Map", bound=Callable[[Iterator[RecordBatch]], Iterable[Batch]])

# A type: text such as "INT NULL", or anything that may stand in a hint.
Type: TypeAlias = object
Types: TypeAlias = Sequence[Type] | Mapping[str, Type]
Columns: TypeAlias = Sequence[tuple[str, Type]] | Mapping[str, Type]
NullHandling: TypeAlias = Literal["call", "skip", "annotations"]
OnError: TypeAlias = Literal["raise", "null"]


@overload
def udf(
    function: _Function,
    /,
    *,
    name: str | None = None,
    parameters: Types | None = None,
    result: Type | None = None,
    vectorized: bool = False,
    null_handling: NullHandling = "annotations",
    on_error: OnError = "raise",
) -> _Function: ...
@overload
def udf(
    *,
    name: str | None = None,
    parameters: Types | None = None,
    result: Type | None = None,
    vectorized: bool = False,
    null_handling: NullHandling = "annotations",
    on_error: OnError = "raise",
) -> Callable[[_Function], _Function]: ...
def udf(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    parameters: Types | None = None,
    result: Type | None = None,
    vectorized: bool = False,
    null_handling: NullHandling = "annotations",
    on_error: OnError = "raise",
) -> Any:
    """Declares a scalar function; with a result such as `Iterator[int]`, a table function.

    Args:
        name: What callers use, if it is not the function's name.
        parameters: Types in order, or by the parameter's name; hints tell the others.
        result: The type of the result, if the hint does not tell it.
        vectorized: The function gets a `Column` per parameter, for many rows at once, and returns as many
            values: a `Column`, an object with the buffer protocol, or any sequence or iterator.
        null_handling: `annotations`: null in a parameter whose hint excludes None makes the result null
            without a call. `skip`: null in any parameter does. `call`: the function sees every None.
        on_error: `null`: a row whose call raises gives null.

    Examples:
        @vivarium.udf
        def full_name(first: str, last: str | None) -> str:
            return first if last is None else f"{first} {last}"

        @vivarium.udf(parameters=["DECIMAL(10, 2)"], result="DECIMAL(10, 2)", on_error="null")
        def net(gross):
            return round(gross / Decimal("1.19"), 2)

        @vivarium.udf(vectorized=True)
        def double(values: list[int]) -> list[int]:
            return [2 * value for value in values]

        @vivarium.udf
        def words(text: str) -> Iterator[str]:
            yield from text.split()
    """
    return _as_it_is if function is None else function


@overload
def udtf(
    function: _Rows,
    /,
    *,
    name: str | None = None,
    parameters: Types | None = None,
    result: Type | None = None,
    null_handling: NullHandling = "annotations",
) -> _Rows: ...
@overload
def udtf(
    *,
    name: str | None = None,
    parameters: Types | None = None,
    result: Type | None = None,
    null_handling: NullHandling = "annotations",
) -> Callable[[_Rows], _Rows]: ...
def udtf(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    parameters: Types | None = None,
    result: Type | None = None,
    null_handling: NullHandling = "annotations",
) -> Any:
    """Declares a table function: every row of the input gives any number of rows.

    Args:
        name: What callers use, if it is not the function's name.
        parameters: Types in order, or by the parameter's name; hints tell the others.
        result: The type of one row; several columns as a dict or as a list of pairs.
        null_handling: As for `udf`; a skipped row gives no rows.

    Example:
        @vivarium.udtf(result={"position": "INT", "word": "VARCHAR"})
        def words(text: str):
            yield from enumerate(text.split())
    """
    return _as_it_is if function is None else function


@overload
def udaf(
    handler: _Class,
    /,
    *,
    name: str | None = None,
    parameters: Types | None = None,
    state: Type | None = None,
    result: Type | None = None,
    null_handling: NullHandling = "annotations",
) -> _Class: ...
@overload
def udaf(
    *,
    name: str | None = None,
    parameters: Types | None = None,
    state: Type | None = None,
    result: Type | None = None,
    null_handling: NullHandling = "annotations",
) -> Callable[[_Class], _Class]: ...
@overload
def udaf(
    *,
    name: str | None = None,
    parameters: Types | None = None,
    state: Type | None = None,
    result: Type | None = None,
    null_handling: NullHandling = "annotations",
    create_state: Callable[[], Any],
    accumulate: Callable[..., Any],
    retract: Callable[..., Any] | None = None,
    merge: Callable[[Any, Any], Any] | None = None,
    finish: Callable[[Any], Any] | None = None,
) -> object: ...
def udaf(
    handler: Any = None,
    /,
    *,
    name: str | None = None,
    parameters: Types | None = None,
    state: Type | None = None,
    result: Type | None = None,
    null_handling: NullHandling = "annotations",
    create_state: Callable[[], Any] | None = None,
    accumulate: Callable[..., Any] | None = None,
    retract: Callable[..., Any] | None = None,
    merge: Callable[[Any, Any], Any] | None = None,
    finish: Callable[[Any], Any] | None = None,
) -> Any:
    """Declares an aggregate function: a class, or its functions by name.

    Args:
        name: What callers use, if it is not the name of the class.
        parameters: Types in order, or by the name of `accumulate`'s parameter.
        state: The type of the state, which travels between servers as Arrow.
        result: The type of the result, if `finish` does not tell it.
        null_handling: As for `udf`; a skipped row is not accumulated.
        create_state: Makes the state of a group without rows.
        accumulate: Takes a state and a row, and returns the new state.
        retract: Takes a row back; only for engines that ask for it.
        merge: Makes one state of two.
        finish: Takes the state and returns the result.

    Examples:
        @vivarium.udaf
        class Mean:
            def create_state(self) -> tuple[float, int]:
                return 0.0, 0

            def accumulate(self, state: tuple[float, int], value: float) -> tuple[float, int]:
                return state[0] + value, state[1] + 1

            def merge(self, a: tuple[float, int], b: tuple[float, int]) -> tuple[float, int]:
                return a[0] + b[0], a[1] + b[1]

            def finish(self, state: tuple[float, int]) -> float | None:
                return state[0] / state[1] if state[1] else None

        @vivarium.udaf
        class Distinct:  # an instance for every group
            def __init__(self) -> None:
                self.seen: set[str] = set()

            @property
            def aggregate_state(self) -> list[str]:
                return sorted(self.seen)

            def accumulate(self, value: str) -> None:
                self.seen.add(value)

            def merge(self, other: list[str]) -> None:
                self.seen.update(other)

            def finish(self) -> int:
                return len(self.seen)
    """
    if create_state is not None:
        return object()
    return _as_it_is if handler is None else handler


@overload
def map_batches(
    function: _Map,
    /,
    *,
    name: str | None = None,
    parameters: Columns | None = None,
    result: Type | None = None,
) -> _Map: ...
@overload
def map_batches(
    *,
    name: str | None = None,
    parameters: Columns | None = None,
    result: Type | None = None,
) -> Callable[[_Map], _Map]: ...
def map_batches(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    parameters: Columns | None = None,
    result: Type | None = None,
) -> Any:
    """Declares a function from an iterator of batches to an iterator of batches.

    It may keep what it needs between batches, and yields `RecordBatch` objects, dicts of columns, or
    lists of rows, of any length.

    Args:
        name: What callers use, if it is not the function's name.
        parameters: The input's columns as a dict or a list of pairs; a function that is served needs them.
        result: The output's columns as a dict or a list of pairs.

    Example:
        @vivarium.map_batches(parameters={"price": float}, result={"total": float})
        def running_total(batches: Iterator[RecordBatch]) -> Iterator[dict[str, list[float]]]:
            total = 0.0
            for batch in batches:
                totals = []
                for price in batch["price"]:
                    total += price
                    totals.append(total)
                yield {"total": totals}
    """
    return _as_it_is if function is None else function


def _as_it_is(decorated: Any) -> Any:
    return decorated
