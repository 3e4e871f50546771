"""Values as databend-udf's functions see them: a TUPLE is a tuple, a VARIANT may hold bytes."""

from vivarium._foreign import encoded, list_result, optional


def inward(shape):
    """Turns the bridge's value into the function's; None if it is the same."""
    inner = [inward(item) for item in shape.items]
    if shape.kind == "struct":
        each = [optional(convert) for convert in inner]
        return lambda value: tuple([convert(item) for convert, item in zip(each, value.values())])
    if not any(inner):
        return None
    if shape.kind == "list":
        each = optional(inner[0])
        return lambda values: [each(value) for value in values]
    key, item = map(optional, inner)
    return lambda values: {key(k): item(v) for k, v in values.items()}


def outward(shape):
    """Turns the function's value into one that the bridge takes; None if it takes it as it is."""
    if shape.kind == "list":
        return list_result(shape, outward)
    if shape.kind == "struct":
        each = [optional(outward(item)) for item in shape.items]

        def converted(values):
            if not isinstance(values, (tuple, list)) or len(values) != len(each):
                return values  # the bridge says what is wrong with it
            return tuple([convert(value) for convert, value in zip(each, values)])

        return converted
    if shape.kind == "map":
        inner = [outward(item) for item in shape.items]
        if not any(inner):
            return None
        key, item = map(optional, inner)
        return lambda values: {key(k): item(v) for k, v in dict(values).items()}
    return {"binary": encoded, "json": decoded}.get(shape.kind)


def decoded(value):
    """JSON with bytes taken as text."""
    kind = type(value)
    if kind is bytes:
        return value.decode()
    if kind is list:
        return [decoded(item) for item in value]
    if kind is dict:
        return {decoded(key): decoded(item) for key, item in value.items()}
    return value
