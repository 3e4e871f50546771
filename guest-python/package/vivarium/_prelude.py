"""Imports what most functions use, so that it is part of the base image and costs them nothing."""

import base64
import bisect
import calendar
import collections
import collections.abc
import contextlib
import copy
import dataclasses
import datetime
import decimal
import enum
import errno
import fractions
import functools
import hashlib
import heapq
import inspect
import io
import itertools
import json
import linecache
import logging
import math
import numbers
import operator
import os
import random
import re
import secrets
import statistics
import string
import struct
import sys
import textwrap
import time
import traceback
import types
import typing
import unicodedata
import urllib.parse
import uuid
import warnings
import zoneinfo

import _strptime  # datetime.strptime imports it at the first call

import _vivarium

from . import _entropy, _errors, _loader, _warm

# Instances and caches that are otherwise made at the first use.
datetime.datetime.strptime("2000-01-01", "%Y-%m-%d")
json.dumps({"a": [1, 2.5, "x", None, True]}, indent=1)
json.loads('{"a": [1, 2.5, "x", null, true]}')
re.compile(r"(\d+)-(\w+)").match("1-a")
decimal.getcontext()

if _vivarium.udf_root not in sys.path:
    sys.path.append(_vivarium.udf_root)


def _system(command):
    """There are no programs to run. CPython for WASI has no such function; packages name it without calling it."""
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


if not hasattr(os, "system"):
    os.system = _system

# One of the two guest modules has NumPy inside.
if "numpy._core._multiarray_umath" in sys.builtin_module_names:
    from . import _numpy

_warm.warm()
