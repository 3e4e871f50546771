"""The package without the bridge: a stand-in for `_vivarium` that keeps files in a folder."""

import json
import os
import sys
import tempfile
import textwrap
import types
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.join(HERE, "..", "package")

_folder = tempfile.TemporaryDirectory()


class Column(list):
    """What the package needs to know of a column."""

    def to_list(self):
        return list(self)


class RecordBatch(dict):
    """What the package needs to know of a batch: columns by name."""

    @property
    def columns(self):
        return list(self.values())

    @property
    def num_rows(self):
        return len(next(iter(self.values()), ()))


def _put_file(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return 0


def _install():
    bridge = types.ModuleType("_vivarium")
    bridge.udf_root = _folder.name
    bridge.put_file = _put_file
    bridge.Column = Column
    bridge.RecordBatch = RecordBatch
    sys.modules["_vivarium"] = bridge
    sys.path[:0] = [os.path.abspath(PACKAGE), _folder.name]
    sys.dont_write_bytecode = True


_install()

from vivarium import _loader  # noqa: E402


class Failed(Exception):
    """What loading or describing answered instead."""

    def __init__(self, kind, message, exception):
        text = message.decode() if message is not None else f"{type(exception).__name__}: {exception}"
        super().__init__(text)
        self.kind = kind
        self.exception = exception


def _spec(code, **options):
    spec = {"filename": "functions.py", "environment": dict(os.environ), "code": textwrap.dedent(code)}
    return json.dumps(spec | options).encode()


def load(code, n_parameters, handler="f", **options):
    """(kind, target, skip, null_on_error)."""
    answer = _loader.load(_spec(code, name=handler, handler=handler, **options), n_parameters)
    if answer[0] == "failed":
        raise Failed(*answer[1:])
    assert answer[0] == "bound" and len(answer) == 6, answer
    return answer[1:5]


def describe(code, **options):
    """The declared functions."""
    answer = _loader.describe(_spec(code, **options))
    if answer[0] == "failed":
        raise Failed(*answer[1:])
    return json.loads(answer[1])["functions"]


def only(code, **options):
    """The one declared function."""
    (function,) = describe(code, **options)
    return function


class Case(unittest.TestCase):
    """A test with the assertions that tables need."""

    def refused(self, failure, part, function, /, *arguments, **options):
        """Checks that the call is refused for a reason that holds `part`; returns the message."""
        with self.assertRaises(Failed) as caught:
            function(*arguments, **options)
        self.assertEqual(caught.exception.kind, failure, caught.exception)
        self.assertIn(part, str(caught.exception))
        return str(caught.exception)
