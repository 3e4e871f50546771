"""Text about exceptions and values, bounded in size whatever the objects do.

Everything needed later is bound here at import, so that a function which changes other modules
does not lose its own error messages.
"""

import traceback

import _vivarium

MAX_MESSAGE = 4096
MAX_TRACEBACK = 16384
MAX_VALUE = 120
MAX_CHAIN = 10
MAX_NOTES = 20

_TracebackException = traceback.TracebackException
_type_name = type.__dict__["__qualname__"].__get__
_type_module = type.__dict__["__module__"].__get__
_get_cause = BaseException.__dict__["__cause__"].__get__
_set_cause = BaseException.__dict__["__cause__"].__set__
_get_context = BaseException.__dict__["__context__"].__get__
_set_context = BaseException.__dict__["__context__"].__set__
_get_traceback = BaseException.__dict__["__traceback__"].__get__
_slice = str.__getitem__
_UDF_PREFIX = _vivarium.udf_root + "/"


def _own_directory():
    return _own_directory.__code__.co_filename.rpartition("/")[0] + "/"


# The packages of the sandbox itself: this one, and the stand-ins beside it.
_SITE = _own_directory().removesuffix("vivarium/")
_OWN = ("vivarium", "arrow_udf", "databend_udf", "pyarrow")
_HIDDEN = (*(f"{_SITE}{name}/" for name in _OWN), "<frozen importlib")


def _shown(filename):
    """The name by which the user knows a file."""
    return filename.removeprefix(_UDF_PREFIX)


def class_name(cls):
    module, name = _type_module(cls), _type_name(cls)
    if not isinstance(module, str) or module in ("builtins", "__main__"):
        return str(name)
    return f"{module}.{name}"


def _utf8(text):
    """What UTF-8 does not know, and NUL, is escaped."""
    return text.encode("utf-8", "backslashreplace").replace(b"\0", b"\\x00")


def _encode(text, limit):
    """UTF-8 of at most `limit` bytes."""
    data = _utf8(_slice(text, slice(limit)))
    if len(data) <= limit:
        return data
    return data[:limit].decode("utf-8", "ignore").encode()


def _encode_middle_out(text, limit):
    """UTF-8 of at most `limit` bytes, with head and tail kept."""
    data = _utf8(text)
    if len(data) <= limit:
        return data
    head, tail = limit // 3, limit - limit // 3 - 64
    cut = f"\n  ... {len(data) - head - tail} bytes left out ...\n"
    parts = data[:head].decode("utf-8", "ignore"), cut, data[-tail:].decode("utf-8", "ignore")
    return "".join(parts).encode()


def _message(exception):
    if isinstance(exception, SystemExit):
        return f"sys.exit({_brief(exception.code, 1)}) was called"
    try:
        text = str(exception)
    except BaseException:
        text = "<its str() failed>"
    return text or class_name(type(exception))


def _cut_chain(exception):
    """Bounds the chain of causes and contexts."""
    for _ in range(MAX_CHAIN):
        following = _get_cause(exception) or _get_context(exception)
        if following is None:
            return
        exception = following
    _set_cause(exception, None)
    _set_context(exception, None)


def _clip(text):
    if isinstance(text, str) and len(text) > MAX_MESSAGE:
        return _slice(text, slice(MAX_MESSAGE)) + "..."
    return text


def _tidy(summary):
    """Takes frames that are not the user's business out of a TracebackException and all it holds,
    and shortens what is too long."""
    pending, seen = [summary], set()
    while pending:
        part = pending.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        if part.stack is not None:
            part.stack[:] = [f for f in part.stack if not f.filename.startswith(_HIDDEN)]
            for frame in part.stack:
                frame.filename = _shown(frame.filename)
            if not part.stack:
                part.stack = None
        part._str = _clip(part._str)
        if isinstance(part.__notes__, list):
            part.__notes__ = [_clip(note) for note in part.__notes__[:MAX_NOTES]]
        if isinstance(getattr(part, "filename", None), str):
            part.filename = _shown(part.filename)
        pending += [part.__cause__, part.__context__, *(part.exceptions or ())]


def _traceback(exception):
    _cut_chain(exception)
    at = _get_traceback(exception)
    summary = _TracebackException(type(exception), exception, at, compact=True)
    _tidy(summary)
    return "".join(summary.format())


def _plain_traceback(exception, name, message):
    """For exceptions that do not let themselves be formatted."""
    lines = []
    at = _get_traceback(exception)
    while at is not None and len(lines) < 200:
        code = at.tb_frame.f_code
        if not code.co_filename.startswith(_HIDDEN):
            file = _shown(code.co_filename)
            lines.append(f'  File "{file}", line {at.tb_lineno}, in {code.co_name}\n')
        at = at.tb_next
    if lines:
        lines.insert(0, "Traceback (most recent call last):\n")
    return "".join(lines) + f"{name}: {message}\n"


def describe_exception(exception):
    """Class, message and traceback as UTF-8 bytes."""
    try:
        name = class_name(type(exception))
    except BaseException:
        name = "an exception"
    message = _message(exception)
    try:
        text = _traceback(exception)
    except BaseException:
        text = _plain_traceback(exception, name, _clip(message))
    return (
        _encode(name, 256),
        _encode(message, MAX_MESSAGE),
        _encode_middle_out(text.rstrip("\n"), MAX_TRACEBACK),
    )


def _brief_items(items, depth):
    shown = [_brief(item, depth + 1) for _, item in zip(range(6), items)]
    return ", ".join(shown if len(items) <= 6 else [*shown, "..."])


def _brief(value, depth=0):
    """A repr of about MAX_VALUE characters at most, without building a long one where the type
    allows to avoid it."""
    kind = type(value)
    if kind is str or kind is bytes or kind is bytearray:
        return repr(value) if len(value) <= MAX_VALUE else repr(value[:MAX_VALUE]) + "..."
    if kind is int and value.bit_length() > 400:
        return f"<an int of {value.bit_length()} bits>"
    if kind is list or kind is tuple:
        if depth > 2:
            return "[...]" if kind is list else "(...)"
        inner = _brief_items(value, depth)
        if kind is list:
            return f"[{inner}]"
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if kind is dict:
        if depth > 2:
            return "{...}"
        pairs = [
            f"{_brief(key, depth + 1)}: {_brief(item, depth + 1)}"
            for _, (key, item) in zip(range(6), value.items())
        ]
        return "{" + ", ".join(pairs if len(value) <= 6 else [*pairs, "..."]) + "}"
    try:
        text = repr(value)
        return text if type(text) is str else str.__str__(text)
    except BaseException:
        return "whose repr() failed"


def describe_value(value):
    """Type and bounded repr as UTF-8 bytes, for example `str 'abc'`."""
    try:
        name = class_name(type(value))
    except BaseException:
        name = "an object"
    if value is None:
        return b"None"
    text = _brief(value)
    if len(text) > MAX_VALUE:
        text = text[: MAX_VALUE - 3] + "..."
    return _encode(f"{name} {text}", 400)
