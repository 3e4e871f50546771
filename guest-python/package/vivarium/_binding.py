"""Binds handlers that carry a declaration, and aggregates."""

from ._aggregate import Aggregate
from ._hints import skipped_by_hints
from ._loader import Refused

_ROWS = ("scalar", "vectorized")
_ARTICLES = {"aggregate": "an aggregate function"}


def bind(found, declared, spec, n_parameters):
    """(kind, target, skip, null_on_error)."""
    name, asked = spec["handler"], spec.get("kind", "scalar")
    if declared is None:
        return _bind_aggregate(found, name, spec, n_parameters)
    kind = declared.kind(found)
    if kind != asked and not (kind in _ROWS and asked in _ROWS):
        message = f"`{name}` is declared as {_article(kind)}, it cannot be {_article(asked)}"
        raise Refused("handler", message, None)
    target, skip = declared.bind(found, name, n_parameters)
    return kind, target, skip, declared.on_error == "null"


def _bind_aggregate(found, name, spec, n_parameters):
    aggregate = Aggregate.of(found, name)
    aggregate.check(name, n_parameters)
    handling = spec.get("null_handling", "call")
    if handling == "annotations":
        prefix = f"{name}." if name else ""
        of, leading = aggregate.arguments, aggregate.leading
        skip = skipped_by_hints(of, f"{prefix}accumulate", n_parameters, leading=leading)
    else:
        skip = (handling == "skip",) * n_parameters
    return "aggregate", aggregate.functions, skip, False


def _article(kind):
    return _ARTICLES.get(kind) or f"a {kind} function"
