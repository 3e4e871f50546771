"""Lists what a module declares."""

import json

from . import _declaration
from ._declaration import check_name, declaration_of
from ._loader import Refused

MAX_FUNCTIONS = 1000
MAX_PARAMETERS = 1000
MAX_BYTES = 1024 * 1024


def declared_in(module):
    """The declarations of a module as JSON."""
    described, names, size = [], {}, 0
    for handler, found, declaration in _found(module):
        if len(described) == MAX_FUNCTIONS:
            raise Refused("handler", f"the code declares more than {MAX_FUNCTIONS} functions", None)
        one = _describe(handler, found, declaration)
        name = one["name"]
        if name in names:
            message = f"two functions are declared as `{name}`: `{names[name]}` and `{handler}`"
            raise Refused("handler", message, None)
        names[name] = handler
        described.append(one)
        size += len(json.dumps(one, separators=(",", ":")))
        if size > MAX_BYTES:
            message = f"the declarations take more than {MAX_BYTES} bytes, up to `{name}`"
            raise Refused("handler", message, None)
    return json.dumps({"functions": described}, separators=(",", ":")).encode()


def _found(module):
    """(handler, object, declaration) of the module's own names, each object once. Where the code
    has given functions to a server of some project, that project's other functions do not count."""
    served = {}
    for server in _declaration.servers:
        for name, found in server._functions.items():
            if (declaration := declaration_of(found)) is None or not declaration.listed:
                continue
            served.setdefault(server.dialect, {})[id(found)] = name, found
    seen = set()
    for handler, found in list(vars(module).items()):
        declaration = declaration_of(found)
        if declaration is None or not declaration.listed or id(found) in seen:
            continue
        seen.add(id(found))
        if declaration.dialect in served and id(found) not in served[declaration.dialect]:
            continue
        yield handler, found, declaration
    for functions in served.values():
        for name, found in functions.values():
            declaration = declaration_of(found)
            if declaration is not None and declaration.listed and id(found) not in seen:
                seen.add(id(found))
                yield name, found, declaration


def _describe(handler, found, declaration):
    try:
        check_name(handler, "the name of a function", identifier=False)
        kind = declaration.kind(found)
        parameters, (result, result_type), state = declaration.types(found, handler)
        if len(parameters) > MAX_PARAMETERS:
            raise ValueError(f"`{handler}` has {len(parameters)} parameters, the limit is {MAX_PARAMETERS}")
        for name, _ in parameters:
            check_name(name, f"`{handler}`: the name of a parameter", identifier=False)
    except Refused:
        raise
    except ValueError as error:
        raise Refused("handler", str(error), None) from None
    except BaseException as exception:
        raise Refused("handler", None, exception) from None
    return {
        "name": declaration.name or handler,
        "handler": handler,
        "kind": kind,
        "parameters": [{"name": name, "type": text} for name, text in parameters],
        "result": {"name": result, "type": result_type},
        "state": state,
        "null_handling": declaration.null_handling,
        "on_error": declaration.on_error,
        "dialect": declaration.dialect,
    }
