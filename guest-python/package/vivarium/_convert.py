"""Values between the bridge and functions whose hints are classes of their own: the bridge gives
a struct as a dict, the hint asks for a dataclass, a named tuple or a tuple."""

import dataclasses


def inward(kind):
    """Turns the bridge's value into the one that the hint asks for; None if it is the same."""
    inner = [inward(item) for item in kind.items]
    if kind.shape == "list":
        if inner[0] is None:
            return kind.made
        each = _optional(inner[0])
        make = kind.made or list
        return lambda values: make(map(each, values))
    if kind.shape == "map":
        if inner == [None, None]:
            return None
        key, value = map(_optional, inner)
        return lambda values: {key(k): value(v) for k, v in values.items()}
    if kind.shape == "struct":
        return _inward_struct(kind, inner)
    return None


def _inward_struct(kind, inner):
    made, names = kind.made, kind.names
    if made is None:
        if not any(inner):
            return None
        each = list(zip(names, map(_optional, inner)))
        return lambda value: {name: convert(value[name]) for name, convert in each}
    each = [_optional(convert) for convert in inner]
    if made is tuple:
        make = tuple
    elif dataclasses.is_dataclass(made):
        make = _dataclass_maker(made, names)
    else:
        make = made._make

    def convert(value):
        if isinstance(value, made):
            return value
        values = value.values() if isinstance(value, dict) else value
        return make([convert(item) for convert, item in zip(each, values)])

    return convert


def _dataclass_maker(made, names):
    accepted = {field.name for field in dataclasses.fields(made) if field.init}

    def make(values):
        return made(**{name: value for name, value in zip(names, values) if name in accepted})

    return make


def outward(kind):
    """Turns a value of the hint's class into one that the bridge takes; None if it takes it as it
    is."""
    inner = [outward(item) for item in kind.items]
    if kind.shape == "list" and inner[0] is not None:
        each = _optional(inner[0])
        return lambda values: [each(value) for value in values]
    if kind.shape == "map" and any(inner):
        key, value = map(_optional, inner)
        return lambda values: {key(k): value(v) for k, v in dict(values).items()}
    if kind.shape == "struct" and (any(inner) or kind.made not in (None, tuple)):
        return _outward_struct(kind, [_optional(convert) for convert in inner])
    return None


def _outward_struct(kind, each):
    made, names = kind.made, kind.names

    def convert(value):
        if made is not None and dataclasses.is_dataclass(made) and isinstance(value, made):
            value = [getattr(value, name) for name in names]
        elif isinstance(value, dict):
            known = dict(zip(names, each))
            return {key: known[key](item) if key in known else item for key, item in value.items()}
        elif len(value) != len(names):
            return value  # the bridge says what is wrong with it
        return tuple([convert(item) for convert, item in zip(each, value)])

    return convert


def _optional(convert):
    if convert is None:
        return lambda value: value
    return lambda value: None if value is None else convert(value)


def around(function, arguments, result, rows=False):
    """The function with its arguments and its result (or every row of it) converted; the function
    itself if there is nothing to convert."""
    if any(arguments):
        each = [_optional(convert) for convert in arguments]

        def inner(*values):
            return function(*[convert(value) for convert, value in zip(each, values)])
    else:
        inner = function
    if result is None:
        return inner
    result = _optional(result)
    if rows:

        def converted(*values):
            for row in inner(*values):
                yield result(row)
    else:

        def converted(*values):
            return result(inner(*values))

    return converted
