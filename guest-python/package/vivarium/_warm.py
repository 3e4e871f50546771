"""Loads a function that does nothing, often enough for the interpreter to specialise the way there.

The bytecode that is specialised here is in the base image, and an image of a function neither
specialises it again nor stores the pages that this writes to."""

import os
import sys
from json import dumps

import _vivarium

from . import _loader

_LOADS = 30
_NAME = "vivarium_warm"
_CODE = """
import math

def f(a, b=1):
    c = a + b if a is not None and a < 3 else abs(b)
    for i in range(2):
        c += -i * math.pi
    if c == 3 or not b:
        raise ValueError(a)
    return c
"""
_SPEC = {
    "name": "f",
    "handler": "f",
    "filename": f"{_NAME}.py",
    "code": _CODE,
    "environment": {"A": "b"},
    "null_handling": "call",
}


def warm():
    """Leaves neither a file nor a module nor a variable behind."""
    raw = dumps(_SPEC)
    environment = dict(os.environ)
    put_file = _vivarium.put_file
    _vivarium.put_file = lambda path, code: 0
    try:
        for _ in range(_LOADS):
            loaded = _loader.load(raw, 2, True)
            if loaded[0] != "bound":
                raise RuntimeError(f"the function that does nothing cannot be loaded: {loaded}")
    finally:
        _vivarium.put_file = put_file
        sys.modules.pop(_NAME, None)
        _loader.forget(_NAME)
        os.environ.clear()
        os.environ.update(environment)
