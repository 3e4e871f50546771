"""The part of pyarrow's interface that declares types, for files that were written for servers.

pyarrow itself is not in the sandbox. Its type functions are here, so that `pa.int64()` may stand in
a decorator; everything else raises an error that says so."""

import sys

from ._absent import Absent, missing
from ._types import *  # noqa: F403
from ._types import __all__ as _types

__all__ = _types


def __getattr__(name):
    raise AttributeError(missing(f"pyarrow.{name}"))


class _Finder:
    """Comes after all others, so it is asked only for what is not here."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.startswith("pyarrow."):
            # Without `name=`, so that `from pyarrow import compute` shows the message too.
            raise ImportError(missing(name))
        return None


sys.meta_path.append(_Finder)


class Array(metaclass=Absent):
    pass


class ChunkedArray(metaclass=Absent):
    pass


class RecordBatch(metaclass=Absent):
    pass


class Table(metaclass=Absent):
    pass


class Scalar(metaclass=Absent):
    pass


class ExtensionArray(metaclass=Absent):
    pass


class ExtensionScalar:
    """A base class for code that defines extension types; there are no scalars here."""


def register_extension_type(extension_type):
    """Accepted: values of extension types are turned by the sandbox itself."""
