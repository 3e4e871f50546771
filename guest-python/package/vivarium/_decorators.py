"""The decorators of `vivarium`. They check their arguments at once; types are read later, when all
names that hints use are defined."""

import functools
import inspect

from . import _hints
from ._aggregate import Aggregate, Functions
from ._convert import around, inward, outward
from ._declaration import (
    NULL_HANDLING,
    ON_ERROR,
    Declaration,
    attach,
    brief,
    check_choice,
    check_name,
)
from ._hints import HintError, Scope, unusable
from ._loader import MAP_CALL, Refused, check_arguments, check_callable
from ._parameters import (
    EMPTY,
    check_columns,
    check_given,
    check_result,
    columns_type,
    kind_of,
    kinds,
    parameters_of,
    result_text,
    skipped,
    typed,
)


class Function(Declaration):
    """A scalar, vectorised or table function."""

    __slots__ = ("_parameters", "_result", "_vectorized", "_table")

    def __init__(self, name, parameters, result, vectorized, table, null_handling, on_error):
        super().__init__(name, null_handling, on_error)
        self._parameters = parameters
        self._result = result
        self._vectorized = vectorized
        self._table = table

    def kind(self, found):
        if self._vectorized:
            return "vectorized"
        if self._table or inspect.isgeneratorfunction(found):
            return "table"
        told = _hints.signature(found)
        try:
            return "table" if told and self._rows(told[2], Scope.of(found)) is not None else "scalar"
        except HintError:
            return "scalar"

    def _rows(self, hint, scope):
        """What the rows of a result are that is a stream, else None."""
        if hint is EMPTY:
            return None
        return _hints.streamed(hint, scope, lists=self._table)

    def _result_hint(self, hint, kind, scope, name):
        """The hint of one value of the result."""
        if hint is EMPTY or self._result is not None:
            return hint
        try:
            if kind == "vectorized":
                return _hints.element(hint, scope)
            if kind == "table":
                rows = self._rows(hint, scope)
                if rows is None:
                    raise HintError("is not a stream of rows; a table function's looks like Iterator[int]")
                return rows
        except HintError as error:
            raise Refused("handler", unusable(name, "result", hint, error), None) from None
        return hint

    def types(self, found, name):
        kind, scope = self.kind(found), Scope.of(found)
        self._check(found, name, kind)
        columns = kind == "vectorized"
        parameters, hint = parameters_of(found, name, self._parameters, columns)
        skip = skipped(parameters, scope, name, self.null_handling)
        types = typed(parameters, scope, name, skip)
        hint = self._result_hint(hint, kind, scope, name)
        null = kind != "table" and (any(skip) or self.on_error == "null")
        return types, ("result", result_text(self._result, hint, scope, name, null)), None

    def bind(self, found, name, n_parameters):
        kind, scope = self.kind(found), Scope.of(found)
        self._check(found, name, kind)
        check_arguments(found, name, n_parameters)
        given = self._parameters
        if given is None:
            told = _hints.signature(found)
            if told is None or told[1] is not False:
                # The types come from the caller alone.
                given = ("JSON",) * n_parameters
        parameters, hint = parameters_of(found, name, given, kind == "vectorized")
        parameters = parameters[:n_parameters]
        skip = skipped(parameters, scope, name, self.null_handling)
        skip += [False] * (n_parameters - len(skip))
        target = found if kind == "vectorized" else self._converting(found, name, kind, parameters, hint, n_parameters)
        return target, tuple(skip)

    def _converting(self, found, name, kind, parameters, hint, n_parameters):
        scope = Scope.of(found)
        arguments = [inward(k) if k else None for k in kinds(parameters, scope, name)]
        arguments += [None] * (n_parameters - len(arguments))
        given = self._result
        if given is None:
            result = kind_of(self._result_hint(hint, kind, scope, name), scope, name, "result")
        elif type(given) in (str, list):
            result = None
        else:
            result = kind_of(given, scope, name, "result")
        return around(found, arguments, result and outward(result), rows=kind == "table")

    def _check(self, found, name, kind):
        check_callable(found, name, kind)
        if self.on_error == "null" and kind != "scalar":
            message = f"`{name}`: on_error='null' is for scalar functions, this one is {kind}"
            raise Refused("handler", message, None)


class AggregateFunction(Declaration):
    """An aggregate function: a class, or a set of functions."""

    __slots__ = ("_parameters", "_state", "_result")

    def __init__(self, name, parameters, state, result, null_handling):
        super().__init__(name, null_handling, "raise")
        self._parameters = parameters
        self._state = state
        self._result = result

    def kind(self, found):
        return "aggregate"

    def types(self, found, name):
        aggregate = Aggregate.of(found, name)
        of, leading = aggregate.arguments, aggregate.leading
        scope = Scope.of(of)
        parameters, _ = parameters_of(of, f"{name}.accumulate", self._parameters, leading=leading)
        skip = skipped(parameters, scope, name, self.null_handling)
        types = typed(parameters, scope, f"{name}.accumulate", skip)
        given, hint, scope = self._state, *aggregate.state_hint()
        if given is None and hint is EMPTY:
            message = f"`{name}`: the state has neither a hint nor a type from the decorator"
            raise Refused("handler", message, None)
        state = result_text(given, hint, scope, name)
        told = _hints.signature(aggregate.result)
        hint = told[2] if told else EMPTY
        result = result_text(self._result, hint, Scope.of(aggregate.result), f"{name}.finish")
        return types, ("result", result), state

    def bind(self, found, name, n_parameters):
        aggregate = Aggregate.of(found, name)
        aggregate.check(name, n_parameters)
        of = aggregate.arguments
        given = self._parameters
        told = _hints.signature(of)
        if given is None and (told is None or told[1] is not False):
            given = ("JSON",) * n_parameters
        parameters, _ = parameters_of(of, f"{name}.accumulate", given, leading=aggregate.leading)
        scope = Scope.of(of)
        parameters = parameters[:n_parameters]
        skip = skipped(parameters, scope, name, self.null_handling)
        skip += [False] * (n_parameters - len(skip))
        arguments = [inward(k) if k else None for k in kinds(parameters, scope, name)]
        arguments += [None] * (n_parameters - len(arguments))
        return aggregate.converting(arguments, self._state_kind(aggregate, name)), tuple(skip)

    def _state_kind(self, aggregate, name):
        hint, scope = aggregate.state_hint()
        given = self._state
        if type(given) in (str, list):
            return kind_of(hint, scope, name, "state", lenient=True)
        return kind_of(hint if given is None else given, scope, name, "state")


class MapFunction(Declaration):
    """A function over an iterator of batches."""

    __slots__ = ("_parameters", "_result")

    def __init__(self, name, parameters, result):
        super().__init__(name, "call", "raise")
        self._parameters = parameters
        self._result = result

    def kind(self, found):
        return "map"

    def types(self, found, name):
        check_callable(found, name, "map")
        scope, types = Scope.of(found), []
        for column, given in self._parameters or ():
            if type(given) is not str:
                given = kind_of(given, scope, name, column).marked()
            types.append((column, given))
        return types, ("result", self._result_text(found, scope, name)), None

    def _result_text(self, found, scope, name):
        told = _hints.signature(found)
        hint = told[2] if told else EMPTY
        try:
            rows = hint if hint is EMPTY else _hints.streamed(hint, scope)
        except HintError as error:
            if self._result is None:
                raise Refused("handler", unusable(name, "result", hint, error), None) from None
            rows = EMPTY
        if self._result is None and rows is None:
            error = "is not a stream of batches, it looks like Iterator[...]"
            raise Refused("handler", unusable(name, "result", hint, error), None)
        if type(self._result) is list:
            return columns_type(self._result, scope, name, "result").marked()
        return result_text(self._result, rows, scope, name)

    def bind(self, found, name, n_parameters):
        check_callable(found, name, "map")
        check_arguments(found, name, 1, MAP_CALL)
        return found, (False,) * n_parameters


def _decorate(function, declaration):
    """The function with the declaration on it; in a wrapper if it takes no attributes."""
    if not callable(function):
        raise TypeError(f"the decorator needs a function, not {brief(function)}")
    try:
        attach(function, declaration)
        return function
    except (AttributeError, TypeError):

        @functools.wraps(function)
        def wrapper(*arguments):
            return function(*arguments)

        attach(wrapper, declaration)
        return wrapper


def _check_common(name, null_handling):
    if name is not None:
        check_name(name)
    check_choice(null_handling, "null_handling", NULL_HANDLING)


def udf(
    function=None,
    /,
    *,
    name=None,
    parameters=None,
    result=None,
    vectorized=False,
    null_handling="annotations",
    on_error="raise",
):
    """Declares a function. Types are taken from its hints unless they are given."""
    _check_common(name, null_handling)
    check_choice(on_error, "on_error", ON_ERROR)
    if type(vectorized) is not bool:
        raise TypeError(f"vectorized must be a bool, not {brief(vectorized)}")
    if vectorized and on_error == "null":
        raise ValueError("on_error='null' is for scalar functions, not for vectorized ones")
    parameters, result = check_given(parameters, "parameters"), check_result(result)
    declaration = Function(name, parameters, result, vectorized, False, null_handling, on_error)
    return _apply(function, declaration)


def udtf(function=None, /, *, name=None, parameters=None, result=None, null_handling="annotations"):
    """Declares a table function: it yields rows."""
    _check_common(name, null_handling)
    parameters, result = check_given(parameters, "parameters"), check_result(result)
    return _apply(function, Function(name, parameters, result, False, True, null_handling, "raise"))


def _apply(function, declaration):
    def decorate(function):
        if isinstance(function, type):
            raise TypeError(f"{function.__qualname__} is a class; for an aggregate use vivarium.udaf")
        return _decorate(function, declaration)

    return decorate if function is None else decorate(function)


def udaf(
    handler=None,
    /,
    *,
    name=None,
    parameters=None,
    state=None,
    result=None,
    null_handling="annotations",
    create_state=None,
    accumulate=None,
    retract=None,
    merge=None,
    finish=None,
):
    """Declares an aggregate function: a class, or the functions given by name."""
    _check_common(name, null_handling)
    given, result = check_given(parameters, "parameters"), check_result(result)
    state = check_result(state, "state")
    declaration = AggregateFunction(name, given, state, result, null_handling)
    functions = Functions(create_state, accumulate, retract, merge, finish)
    if functions.given():
        if handler is not None:
            raise TypeError("udaf takes either a class or the functions by name, not both")
        functions.check()
        attach(functions, declaration)
        return functions

    def decorate(handler):
        Aggregate.check_shape(handler)
        attach(handler, declaration)
        return handler

    return decorate if handler is None else decorate(handler)


def map_batches(function=None, /, *, name=None, parameters=None, result=None):
    """Declares a function from an iterator of batches to an iterator of batches."""
    if name is not None:
        check_name(name)
    if parameters is not None:
        if type(parameters) not in (list, dict):
            raise TypeError(
                "parameters of map_batches must be a dict or a list of pairs of a column's name and "
                f"type, not {brief(parameters)}"
            )
        parameters = check_columns(parameters, "parameters")
    return _apply(function, MapFunction(name, parameters, check_result(result)))
