"""A function's parameters: what the decorator says about them, and what their hints say."""

import inspect

from . import _hints
from ._declaration import brief, check_name, check_type_text
from ._hints import HintError, unusable
from ._loader import Refused

MAX_COLUMNS = 1000
EMPTY = inspect.Parameter.empty

# The signature of a callable that does not tell: it may take anything.
UNKNOWN = [], EMPTY, EMPTY, 0


class Parameter:
    """A parameter with the text of its type, if the decorator gave text, and its hint."""

    __slots__ = ("name", "text", "hint")

    def __init__(self, name, given, hint):
        self.name = name
        self.text = given if type(given) is str else None
        self.hint = hint if given is None or self.text is not None else given

    def untold(self):
        """Whether nothing tells the type."""
        return self.text is None and self.hint is EMPTY

    def type_text(self, scope, skips):
        """The type as text."""
        if self.text is not None:
            return self.text
        return _hints.read(self.hint, scope).marked(True if skips else None)


def check_given(types, what):
    """Refuses a decorator's types that are neither a list of types nor a dict of names to types;
    returns them as a tuple or a dict."""
    if types is None:
        return None
    if type(types) in (list, tuple):
        types = tuple(types)
        named = [(f"{what}[{i}]", item) for i, item in enumerate(types)]
    elif type(types) is dict:
        types = dict(types)
        for name in types:
            check_name(name, f"a name in {what}", identifier=False)
        named = [(f"{what}[{name!r}]", item) for name, item in types.items()]
    else:
        raise TypeError(
            f"{what} must be a list of types or a dict of names and types, not {type(types).__name__}"
        )
    if len(types) > MAX_COLUMNS:
        raise ValueError(f"{what} has {len(types)} types, the limit is {MAX_COLUMNS}")
    for item_name, item in named:
        check_type(item, item_name)
    return types


def check_type(given, what):
    """Refuses what is neither text nor a hint."""
    if type(given) is str:
        check_type_text(given, what)
    elif given is None or isinstance(given, (bool, int, float, bytes, list, dict, set)):
        raise TypeError(f"{what} must be a type as text or as a hint, not {brief(given)}")


def parameters_of(function, name, given, columns=False, leading=0):
    """([Parameter], hint of the result). `given` are the decorator's types, `leading` is the number
    of the function's own parameters that are none of ours, and `columns` says that its hints are
    columns'."""
    scope = _hints.Scope.of(function)
    own, variadic, result, required = _hints.signature(function) or UNKNOWN
    own = own[leading:]
    named = given if type(given) is dict else None
    ordered = list(given) if type(given) is tuple else []
    if named is not None:
        unknown = [key for key in named if key not in dict(own)]
        if variadic is not False:
            own = own + [(key, variadic) for key in unknown]
        elif unknown:
            raise Refused("handler", f"`{name}` has no parameter `{unknown[0]}`", None)
    elif given is None and variadic is not False:
        message = f"`{name}` takes any number of arguments: give their types to the decorator"
        raise Refused("handler", message, None)
    elif given is not None:
        if variadic is not False:
            own = own + [(f"arg{i + 1}", variadic) for i in range(len(own), len(ordered))]
        if len(ordered) > len(own):
            message = f"`{name}` has {len(own)} parameters, but {len(ordered)} types are given"
            raise Refused("handler", message, None)
        own = own[: len(ordered)]
    parameters = []
    for index, (parameter, hint) in enumerate(own):
        told = named.get(parameter) if named is not None else None
        told = ordered[index] if ordered else told
        if columns:
            hint = _element(hint, scope, name, parameter, told)
        parameters.append(Parameter(parameter, told, hint))
    # At the end, what has a default and nothing that tells a type is the function's own affair.
    while len(parameters) > required - leading and parameters and parameters[-1].untold():
        parameters.pop()
    return parameters, result


def _element(hint, scope, name, parameter, told):
    try:
        return _hints.element(hint, scope)
    except HintError as error:
        if told is not None:
            return EMPTY  # for example numpy's, which says nothing about None
        raise Refused("handler", unusable(name, parameter, hint, error), None) from None


def skipped(parameters, scope, name, null_handling):
    """For each parameter whether null in it skips the row."""
    if null_handling != "annotations":
        return [null_handling == "skip"] * len(parameters)
    skip = []
    for parameter in parameters:
        try:
            skip.append(not _hints.admits_none(parameter.hint, scope))
        except HintError as error:
            message = unusable(name, parameter.name, parameter.hint, error)
            raise Refused("handler", message, None) from None
    return skip


def typed(parameters, scope, name, skip):
    """[(name, type as text)]."""
    types = []
    for parameter, skips in zip(parameters, skip):
        if parameter.untold():
            message = f"`{name}`: `{parameter.name}` has neither a hint nor a type from the decorator"
            raise Refused("handler", message, None)
        try:
            types.append((parameter.name, parameter.type_text(scope, skips)))
        except HintError as error:
            message = unusable(name, parameter.name, parameter.hint, error)
            raise Refused("handler", message, None) from None
    return types


def kinds(parameters, scope, name):
    """What is known of each parameter's type for the sake of its values, or None."""
    found = []
    for parameter in parameters:
        found.append(kind_of(parameter.hint, scope, name, parameter.name, parameter.text is not None))
    return found


def kind_of(hint, scope, name, what, lenient=False):
    """A hint as a type; None without a hint or, with `lenient`, if it is none."""
    if hint is EMPTY:
        return None
    try:
        return _hints.read(hint, scope)
    except HintError as error:
        if lenient:
            return None
        raise Refused("handler", unusable(name, what, hint, error), None) from None


def columns_type(given, scope, name, what):
    """A struct made of a decorator's named types: a dict, or a list of pairs."""
    pairs = given.items() if type(given) is dict else given
    names, items = [], []
    for key, item in pairs:
        if key in names:
            raise Refused("handler", f"`{name}`: {what} names `{key}` twice", None)
        names.append(key)
        try:
            text = type(item) is str
            items.append(_hints.from_text(item, True) if text else _hints.read(item, scope))
        except HintError as error:
            raise Refused("handler", unusable(name, f"{what}.{key}", item, error), None) from None
    return _hints.struct(names, items)


def check_columns(given, what):
    """Refuses what is neither a dict nor a list of pairs of a name and a type; returns a list of
    pairs."""
    pairs = list(given.items()) if type(given) is dict else list(given)
    if not pairs or len(pairs) > MAX_COLUMNS:
        raise ValueError(f"{what} must have 1 to {MAX_COLUMNS} columns")
    for pair in pairs:
        if type(pair) is not tuple or len(pair) != 2:
            raise TypeError(f"{what} must be made of pairs of a name and a type, not {brief(pair)}")
        check_name(pair[0], f"a name in {what}", identifier=False)
        check_type(pair[1], f"{what}[{pair[0]!r}]")
    return pairs


def check_result(given, what="result"):
    """The decorator's type of the result: text, a hint, or a list of pairs for several columns."""
    if given is None:
        return None
    if type(given) in (list, dict):
        return check_columns(given, what)
    check_type(given, what)
    return given


def result_text(given, hint, scope, name, nullable=None):
    """The type of a result as text: what the decorator says, else what the hint says."""
    if type(given) is str:
        return given
    if type(given) is list:
        return columns_type(given, scope, name, "result").marked(nullable or False)
    hint = hint if given is None else given
    if hint is EMPTY:
        message = f"`{name}`: the result has neither a hint nor a type from the decorator"
        raise Refused("handler", message, None)
    kind = kind_of(hint, scope, name, "result")
    return kind.marked(True if nullable else None)
