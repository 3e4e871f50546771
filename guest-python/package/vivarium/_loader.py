"""Executes a function's code as a module and finds its handler."""

import errno
import importlib
import inspect
import keyword
import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec, spec_from_file_location
from json import loads

import _vivarium

from ._unboxed import translate

_ROOT = _vivarium.udf_root
_modules = sys.modules
_NO_ENTROPY = (errno.ENOTSUP, errno.ENOSYS, errno.EPERM, errno.EACCES, errno.EIO)
_ENTROPY_HINT = (
    "random numbers are not available while the function is imported, because every fork would "
    "repeat them: draw them inside the function"
)
_own_modules = set()

# How a map function is called, for messages.
MAP_CALL = "a map function is called with an iterator of batches"


class Refused(Exception):
    """Ends loading with (kind, message, exception), where message and exception may be None."""


def load(raw, n_parameters, numbers=False):
    """Returns ("bound", kind, target, skip, null_on_error, program), or ("failed", kind, message,
    exception). `numbers`: all columns are such that the bridge can run programs on them."""
    try:
        spec = loads(raw)
        module = execute(spec)
        kind, target, skip, null_on_error = _bind(module, spec, n_parameters)
        program = None
        if numbers and kind == "scalar" and spec.get("x_options", {}).get("unboxed") != "off":
            program = translate(target, n_parameters)
        return "bound", kind, target, skip, null_on_error, program
    except Refused as refused:
        return _failed(refused)


def describe(raw):
    """Returns ("described", JSON of what the code declares), or ("failed", kind, message,
    exception)."""
    try:
        module = execute(loads(raw))
        from ._describe import declared_in

        return "described", declared_in(module)
    except Refused as refused:
        return _failed(refused)


def _failed(refused):
    kind, message, exception = refused.args
    if message is not None:
        message = message[:4096].encode("utf-8", "backslashreplace").replace(b"\0", b"\\x00")
    return "failed", kind, message, exception


def _set_environment(variables):
    try:
        os.environ.clear()
        os.environ.update(variables)
    except (TypeError, ValueError, OSError) as exception:
        raise Refused("import", f"the environment cannot be set: {exception}", None) from None


def _set_search_path(entries):
    """Looks for modules in `entries` first, and where it did so far after that."""
    sys.path[:] = [*entries, *(entry for entry in sys.path if entry not in entries)]


def _module_name(filename, search_path):
    """The file's stem where that can be the name of a module and hides no other one."""
    stem = filename.rpartition("/")[2].partition(".")[0]
    if not stem.isidentifier() or keyword.iskeyword(stem) or stem in sys.stdlib_module_names:
        return "udf"
    if stem in _modules and stem not in _own_modules:
        return "udf"
    if search_path and PathFinder.find_spec(stem, search_path) is not None:
        return "udf"
    return stem


def _store(filename, code):
    parts = filename.split("/")
    if "\0" in filename or any(part in ("", ".", "..") for part in parts):
        raise Refused("import", f"{filename!r} is not a plain relative file name", None)
    path = f"{_ROOT}/{filename}"
    status = _vivarium.put_file(path, code.encode("utf-8", "surrogatepass"))
    if status not in (0, errno.EEXIST):
        raise Refused("import", f"{filename!r} cannot be stored: {os.strerror(status)}", None)
    return path


def _compile(code, path):
    try:
        return compile(code, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as exception:
        raise Refused("syntax", None, exception) from None
    except (MemoryError, RecursionError) as exception:
        message = "the code is nested too deeply to be compiled"
        raise Refused("syntax", message, exception) from None


def execute(spec):
    """Runs the code of a spec as a module and returns the module."""
    _set_environment(spec["environment"])
    search_path = spec.get("search_path", ())
    if search_path:
        _set_search_path(search_path)
    sys._xoptions.update(spec.get("x_options", ()))
    path = _store(spec["filename"], spec["code"])
    importlib.invalidate_caches()
    compiled = _compile(spec["code"], path)
    name = _module_name(spec["filename"], search_path)
    module = module_from_spec(spec_from_file_location(name, path))
    _own_modules.add(name)
    _modules[name] = module
    if (declaration := _declarations()) is not None:
        declaration.servers.clear()
    try:
        exec(compiled, module.__dict__)
    except BaseException as exception:
        _modules.pop(name, None)
        raise Refused("import", _hint(exception), exception) from None
    return module


def forget(name):
    """Takes a module's name for free again."""
    _own_modules.discard(name)


def _hint(exception):
    """A message of its own where the exception's would leave the user puzzled."""
    if isinstance(exception, OSError):
        puzzling = exception.errno in _NO_ENTROPY and exception.filename is None
    else:
        puzzling = isinstance(exception, NotImplementedError) and "urandom" in str(exception)
    return f"{exception}: {_ENTROPY_HINT}" if puzzling else None


def _declarations():
    """The module of declarations, if anything has imported it: else nothing is declared."""
    return _modules.get("vivarium._declaration")


def _bind(module, spec, n_parameters):
    """(kind, target, skip, null_on_error) of a spec's handler."""
    name, kind = spec["handler"], spec.get("kind", "scalar")
    found = _find(module, name, kind)
    declarations = _declarations()
    declared = None if declarations is None else declarations.declaration_of(found)
    if declared is not None or kind == "aggregate":
        from . import _binding

        return _binding.bind(found, declared, spec, n_parameters)
    check_callable(found, name, kind)
    if kind == "map":
        check_arguments(found, name, 1, MAP_CALL)
    else:
        check_arguments(found, name, n_parameters)
    null_on_error = spec.get("on_error", "raise") == "null"
    handling = spec.get("null_handling", "call")
    if handling == "annotations" and kind != "map":
        from ._hints import skipped_by_hints

        skip = skipped_by_hints(found, name, n_parameters, kind == "vectorized")
    else:
        skip = (handling == "skip" and kind != "map",) * n_parameters
    return kind, found, skip, null_on_error


def _find(module, handler, kind):
    if handler == "" and kind == "aggregate":
        return module
    found = module
    for part in handler.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            found = _served(handler)
            if found is None:
                raise Refused("handler", _missing(module, handler), None) from None
            break
        except BaseException as exception:
            raise Refused("handler", None, exception) from None
    return found


def _served(handler):
    """A function that the code gave to a server without a name in the module."""
    declarations = _declarations()
    return None if declarations is None else declarations.served(handler)


def _missing(module, handler):
    names = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and _module_of(value) == module.__name__
    ]
    known = f"; it defines {', '.join(f'`{name}`' for name in names[:10])}" if names else ""
    return f"the code defines no `{handler}`{known}"


def _module_of(value):
    try:
        return value.__module__
    except Exception:
        return None


def check_callable(found, name, kind):
    """Refuses what cannot be a function of that kind."""
    if not callable(found):
        of = type(found).__name__
        raise Refused("handler", f"`{name}` is not callable, it is of type {of}", None)
    if inspect.iscoroutinefunction(found) or inspect.isasyncgenfunction(found):
        raise Refused("handler", f"`{name}` is asynchronous, which is not supported", None)
    if kind == "scalar" and inspect.isgeneratorfunction(found):
        message = f"`{name}` is a generator, which makes rows: declare it as a table function"
        raise Refused("handler", message, None)


def check_arguments(function, name, count, given=None):
    """Refuses a function that does not take `count` positional arguments. `given` says what they
    are."""
    try:
        signature = inspect.signature(function)
    except Exception:
        return  # some built-in callables do not tell
    least = most = 0
    for parameter in signature.parameters.values():
        required = parameter.default is parameter.empty
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            least += required
            most += 1
        elif parameter.kind is parameter.VAR_POSITIONAL:
            most = float("inf")
        elif parameter.kind is parameter.KEYWORD_ONLY and required:
            message = (
                f"`{_shown(name, signature)}` requires the keyword argument `{parameter.name}`, "
                "but arguments are passed by position"
            )
            raise Refused("handler", message, None)
    if least <= count <= most:
        return
    if least == most:
        takes = f"{least}"
    elif most == float("inf"):
        takes = f"at least {least}"
    else:
        takes = f"{least} to {most}"
    taken = "argument" if takes == "1" else "arguments"
    if given is None:
        declared = "parameter" if count == 1 else "parameters"
        given = f"the function is declared with {count} {declared}"
    shown = _shown(name, signature)
    raise Refused("handler", f"`{shown}` takes {takes} positional {taken}, but {given}", None)


def _shown(name, signature):
    """Name and signature, bounded; defaults have a repr of their own that may fail."""
    try:
        text = str(signature)
    except Exception:
        text = "(...)"
    return name + (text if len(text) <= 500 else text[:500] + "...")
