"""Aggregates: finds the functions of a class, a module or a set of functions."""

import inspect

from . import _hints
from ._convert import around, inward, outward
from ._handler_class import Instances
from ._loader import Refused, check_arguments

NAMES = ("create_state", "accumulate", "retract", "merge", "finish")
_HANDLER = ("accumulate", "aggregate_state", "merge", "finish")
_EMPTY = inspect.Parameter.empty


class Functions:
    """The functions of an aggregate that is declared without a class."""

    def __init__(self, create_state, accumulate, retract, merge, finish):
        self.create_state = create_state
        self.accumulate = accumulate
        self.retract = retract
        self.merge = merge
        self.finish = finish

    def given(self):
        """Whether any function is there."""
        return any(getattr(self, name) is not None for name in NAMES)

    def check(self):
        """Refuses a set that lacks a function or holds something else."""
        for name in NAMES:
            function = getattr(self, name)
            if function is None and name in ("create_state", "accumulate"):
                raise TypeError(f"an aggregate needs {name}")
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be a function, not {type(function).__name__}")


class Aggregate:
    """The functions of an aggregate as the bridge calls them, and where their hints are."""

    def __init__(self, functions, arguments, leading, result, states):
        self.functions = functions
        self.arguments = arguments  # its parameters, after `leading` ones, are the aggregate's
        self.leading = leading
        self.result = result  # its result is the aggregate's
        self._states = states  # callables and which of their hints is the state's

    @staticmethod
    def check_shape(handler):
        """Refuses to decorate what cannot be an aggregate. TypeError."""
        if not isinstance(handler, type):
            raise TypeError(f"udaf decorates a class, not {type(handler).__name__}")
        missing = _missing(handler)
        if missing:
            raise TypeError(f"{handler.__qualname__} has no {missing}, which an aggregate needs")

    @classmethod
    def of(cls, found, name):
        """The aggregate that a class, module or other holder of functions stands for."""
        try:
            missing = _missing(found)
            if missing:
                shown = f"`{name}`" if name else "the code"
                message = f"{shown} has no `{missing}`, which an aggregate needs"
                raise Refused("handler", message, None)
            if not isinstance(found, type):
                return cls._of_owner(found)
            if not hasattr(found, "create_state"):
                return cls._of_handler_class(found)
            # A class used as a mere name space has functions without `self`.
            bare = _takes_nothing(found.create_state)
            return cls._of_owner(found if bare else found())
        except Refused:
            raise
        except BaseException as exception:
            raise Refused("handler", None, exception) from None

    @classmethod
    def _of_owner(cls, owner):
        create_state, accumulate, retract, merge, finish = (
            getattr(owner, name, None) for name in NAMES
        )
        states = [(create_state, "result"), (accumulate, "result"), (accumulate, "first")]
        states += [(merge, "result"), (finish, "first")]
        functions = (create_state, accumulate, retract, merge or _no_merge, finish or _state_itself)
        return cls(functions, accumulate, 1, finish or create_state, states)

    @classmethod
    def _of_handler_class(cls, handler):
        instances = Instances(handler)
        sample = instances.sample
        prop = inspect.getattr_static(handler, "aggregate_state", None)
        states = [(getattr(prop, "fget", None), "result"), (sample.merge, "first")]
        return cls(instances.functions(), sample.accumulate, 0, sample.finish, states)

    def state_hint(self):
        """(hint of the state, scope), with an empty hint if nothing tells."""
        for function, which in self._states:
            told = function and _hints.signature(function)
            if not told:
                continue
            parameters, _, hint, _ = told
            if which == "first":
                hint = parameters[0][1] if parameters else _EMPTY
            if hint is not _EMPTY and hint is not None:
                return hint, _hints.Scope.of(function)
        return _EMPTY, _hints.Scope({})

    def check(self, name, n_parameters):
        """Refuses functions that do not take what the bridge gives them."""
        prefix = f"{name}." if name else ""
        create_state, accumulate, retract, merge, finish = self.functions
        many = f"{n_parameters} argument" + ("" if n_parameters == 1 else "s")
        if self.leading:
            rows = f"it is called with the state and {many}"
            check_arguments(create_state, f"{prefix}create_state", 0, "it is called with none")
            check_arguments(accumulate, f"{prefix}accumulate", n_parameters + 1, rows)
            if retract is not None:
                check_arguments(retract, f"{prefix}retract", n_parameters + 1, rows)
            check_arguments(merge, f"{prefix}merge", 2, "it is called with two states")
            check_arguments(finish, f"{prefix}finish", 1, "it is called with the state")
        else:
            rows = f"it is called with {many}"
            check_arguments(self.arguments, f"{prefix}accumulate", n_parameters, rows)

    def converting(self, arguments, state):
        """The five functions with arguments and states converted: `state` is the state's type, if
        it is known."""
        create_state, accumulate, retract, merge, finish = self.functions
        if not self.leading:
            converted = [around(f, [None, *arguments], None) if f else None for f in (accumulate, retract)]
            return create_state, *converted, merge, self._finished(finish)
        into, out = (inward(state), outward(state)) if state else (None, None)
        return (
            around(create_state, [], out),
            around(accumulate, [into, *arguments], out),
            retract and around(retract, [into, *arguments], out),
            around(merge, [into, into], out),
            self._finished(around(finish, [into], None)),
        )

    def _finished(self, finish):
        told = _hints.signature(self.result)
        hint = told[2] if told else _EMPTY
        try:
            kind = None if hint is _EMPTY else _hints.read(hint, _hints.Scope.of(self.result))
        except _hints.HintError:
            kind = None
        return around(finish, [], kind and outward(kind))


def _missing(found):
    """The name of a function that an aggregate needs and the object lacks."""
    if isinstance(found, type) and not hasattr(found, "create_state"):
        if hasattr(found, "aggregate_state"):
            return next((name for name in _HANDLER if not hasattr(found, name)), None)
        return "create_state"
    for name in ("create_state", "accumulate"):
        if not callable(getattr(found, name, None)):
            return name
    return None


def _takes_nothing(function):
    told = _hints.signature(function)
    return told is not None and not told[0] and told[1] is False


def _state_itself(state):
    return state


def _no_merge(state, other):
    raise TypeError("the aggregate has no `merge`, so its states cannot be combined")
