"""Executes a function's code as a module and finds its handler."""

import errno
import importlib
import inspect
import keyword
import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from json import loads

import _vivarium

_ROOT = _vivarium.udf_root
_modules = sys.modules
_NO_ENTROPY = (errno.ENOTSUP, errno.ENOSYS, errno.EPERM, errno.EACCES, errno.EIO)
_ENTROPY_HINT = (
    "random numbers are not available while the function is imported, because every fork would "
    "repeat them: draw them inside the function"
)
_own_modules = set()


class _Refused(Exception):
    """Ends loading with (kind, message, exception)."""


def load(raw, n_parameters):
    """Returns ("bound", kind, target, skip, null_on_error), or ("failed", kind, message,
    exception) where message and exception may be None."""
    try:
        spec = loads(raw)
        kind = spec.get("kind", "scalar")
        _set_environment(spec["environment"])
        module = _execute(spec["filename"], spec["code"])
        name = spec["handler"]
        if kind == "aggregate":
            target = _aggregate(module, name)
        else:
            target = _find(module, name)
            _check_signature(target, name, 1 if kind == "map" else n_parameters)
        skip = _skipped(target, spec.get("null_handling", "call"), n_parameters)
        null_on_error = kind == "scalar" and spec.get("on_error", "raise") == "null"
    except _Refused as refused:
        return _failed(refused)
    return "bound", kind, target, skip, null_on_error


def describe(raw):
    """Returns ("described", JSON as bytes), or ("failed", kind, message, exception)."""
    try:
        spec = loads(raw)
        _set_environment(spec["environment"])
        _execute(spec["filename"], spec["code"])
    except _Refused as refused:
        return _failed(refused)
    return "described", b'{"functions":[]}'


def _failed(refused):
    kind, message, exception = refused.args
    if message is not None:
        message = message[:4096].encode("utf-8", "backslashreplace").replace(b"\0", b"\\x00")
    return "failed", kind, message, exception


def _aggregate(module, name):
    """The five functions of an aggregate: methods of a class, of which one instance is made, or
    functions of a module."""
    found = _find(module, name)
    if isinstance(found, type):
        try:
            found = found()
        except BaseException as exception:
            raise _Refused("handler", None, exception) from None
    parts = []
    for part in ("create_state", "accumulate", "retract", "merge", "finish"):
        method = getattr(found, part, None)
        if method is None and part != "retract":
            raise _Refused("handler", f"the aggregate `{name}` has no `{part}`", None)
        parts.append(method)
    return tuple(parts)


def _skipped(target, null_handling, n_parameters):
    """For every parameter, whether a null there means that the row is skipped."""
    if null_handling != "annotations":
        return (null_handling == "skip",) * n_parameters
    if isinstance(target, tuple):
        target = target[1]
    try:
        parameters = list(inspect.signature(target, eval_str=True).parameters.values())
    except Exception:
        parameters = []
    hints = [parameter.annotation for parameter in parameters][-n_parameters or None :]
    hints += [inspect.Parameter.empty] * (n_parameters - len(hints))
    return tuple(isinstance(hint, type) and hint is not inspect.Parameter.empty for hint in hints)


def _set_environment(variables):
    try:
        os.environ.clear()
        os.environ.update(variables)
    except (TypeError, ValueError, OSError) as exception:
        raise _Refused("import", f"the environment cannot be set: {exception}", None) from None


def _module_name(filename):
    """The file's stem where that can be the name of a module and hides no other one."""
    stem = filename.rpartition("/")[2].partition(".")[0]
    if not stem.isidentifier() or keyword.iskeyword(stem) or stem in sys.stdlib_module_names:
        return "udf"
    if stem in _modules and stem not in _own_modules:
        return "udf"
    return stem


def _store(filename, code):
    parts = filename.split("/")
    if "\0" in filename or any(part in ("", ".", "..") for part in parts):
        raise _Refused("import", f"{filename!r} is not a plain relative file name", None)
    path = f"{_ROOT}/{filename}"
    status = _vivarium.put_file(path, code.encode("utf-8", "surrogatepass"))
    if status not in (0, errno.EEXIST):
        raise _Refused("import", f"{filename!r} cannot be stored: {os.strerror(status)}", None)
    return path


def _compile(code, path):
    try:
        return compile(code, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as exception:
        raise _Refused("syntax", None, exception) from None
    except (MemoryError, RecursionError) as exception:
        message = "the code is nested too deeply to be compiled"
        raise _Refused("syntax", message, exception) from None


def _execute(filename, code):
    path = _store(filename, code)
    importlib.invalidate_caches()
    compiled = _compile(code, path)
    name = _module_name(filename)
    spec = spec_from_file_location(name, path)
    module = module_from_spec(spec)
    _own_modules.add(name)
    _modules[name] = module
    try:
        exec(compiled, module.__dict__)
    except BaseException as exception:
        _modules.pop(name, None)
        raise _Refused("import", _hint(exception), exception) from None
    return module


def _hint(exception):
    """A message of its own where the exception's would leave the user puzzled."""
    if isinstance(exception, OSError):
        puzzling = exception.errno in _NO_ENTROPY and exception.filename is None
    else:
        puzzling = isinstance(exception, NotImplementedError) and "urandom" in str(exception)
    return f"{exception}: {_ENTROPY_HINT}" if puzzling else None


def _find(module, handler):
    found = module
    for part in handler.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise _Refused("handler", _missing(module, handler), None) from None
        except BaseException as exception:
            raise _Refused("handler", None, exception) from None
    if not callable(found):
        kind = type(found).__name__
        raise _Refused("handler", f"`{handler}` is not callable, it is of type {kind}", None)
    if inspect.iscoroutinefunction(found) or inspect.isasyncgenfunction(found):
        raise _Refused("handler", f"`{handler}` is asynchronous, which is not supported", None)
    return found


def _missing(module, handler):
    names = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and getattr(value, "__module__", None) == module.__name__
    ]
    known = f"; it defines {', '.join(f'`{name}`' for name in names[:10])}" if names else ""
    return f"the code defines no `{handler}`{known}"


def _check_signature(handler, name, n_parameters):
    try:
        signature = inspect.signature(handler)
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
                f"`{name}{signature}` requires the keyword argument `{parameter.name}`, "
                "but arguments are passed by position"
            )
            raise _Refused("handler", message, None)
    if least <= n_parameters <= most:
        return
    if least == most:
        takes = f"{least}"
    elif most == float("inf"):
        takes = f"at least {least}"
    else:
        takes = f"{least} to {most}"
    taken = "argument" if takes == "1" else "arguments"
    declared = "parameter" if n_parameters == 1 else "parameters"
    message = (
        f"`{name}{signature}` takes {takes} positional {taken}, "
        f"but the function is declared with {n_parameters} {declared}"
    )
    raise _Refused("handler", message, None)
