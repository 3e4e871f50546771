"""Runs a file of NumPy's own tests with pytest, inside a guest. See runtime/examples/numpy_tests.rs.

NumPy's tests are below /tests/numpy, pytest and what it needs below /packages.
"""

import importlib
import json
import os
import sys
import time
import types
import warnings

import numpy
import pytest

TESTS = "/tests/numpy"
PACKAGES = ("", "_core", "fft", "lib", "linalg", "ma", "matrixlib", "polynomial", "random", "testing")

# Extension modules that exist for the tests alone, and are not part of the guest. Nor are ctypes, mmap and f2py.
ABSENT = ("_multiarray_tests", "_operand_flag_tests", "_rational_tests", "_simd", "_struct_ufunc_tests", "_umath_tests")


class Absent:
    """Anything of an absent module: a test that uses it is skipped."""

    dtype = numpy.dtype("O")  # where a class or a list of parameters only mentions it

    def __init__(self, name):
        self._name = name

    def __mro_entries__(self, _bases):
        return (AbsentBase,)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self._name}.{name}")

    def __call__(self, *arguments, **options):
        pytest.skip(f"needs {self._name.partition('.')[0]}", allow_module_level=True)

    __mul__ = __rmul__ = __mod__ = __rmod__ = __call__


class AbsentType(type):
    """Of classes that inherit from something absent: they can be defined, and no more."""

    @property
    def dtype(cls):
        pytest.skip("needs ctypes")


class AbsentBase(metaclass=AbsentType):
    def __init__(self, *arguments, **options):
        pytest.skip("needs ctypes")


def absent_module(name):
    module = types.ModuleType(name)
    module.__getattr__ = lambda attribute: getattr(Absent(name.rpartition(".")[2]), attribute)
    sys.modules[name] = module
    return module


def prepare():
    core = importlib.import_module("numpy._core")
    for name in ABSENT:
        setattr(core, name, absent_module(f"numpy._core.{name}"))
    for name in ("ctypes", "mmap"):
        absent_module(name)
    numpy.f2py = absent_module("numpy.f2py")
    core._multiarray_tests.get_fpu_mode = lambda: 0
    os.getuid = lambda: 0  # pytest names its temporary folders by it
    for name in PACKAGES:
        package = importlib.import_module(f"numpy.{name}" if name else "numpy")
        package.__path__.append(f"{TESTS}/{name}" if name else TESTS)


class Recorder:
    """Runs the tests from one on, tells on stderr which one is running, and keeps what became of them.

    It stops before the first test that would start after so many seconds, and tells how many it left.
    """

    def __init__(self, start, seconds):
        self.start, self.number, self.collected = start, start, 0
        self.until = time.monotonic() + seconds
        self.counts = {}
        self.told = {"failed": [], "skipped": {}}

    @pytest.hookimpl(trylast=True)  # after the slow ones are left out
    def pytest_collection_modifyitems(self, items):
        self.collected = len(items)
        del items[: self.start]

    def pytest_runtest_logstart(self, nodeid, location):
        print(f"\nTEST {self.number} {nodeid}", file=sys.__stderr__, flush=True)
        self.number += 1

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item):
        if time.monotonic() > self.until:
            self.counts["not run"] = self.collected - self.number
            item.session.shouldstop = "the file's time is over"
            return True

    def pytest_collectreport(self, report):
        if report.failed:
            self.count("broken", report.nodeid, str(report.longrepr)[-600:])
        elif report.skipped:
            self.skip(report)

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.count("failed", report.nodeid, str(report.longrepr)[-600:])
        elif report.skipped and hasattr(report, "wasxfail"):
            self.count("xfailed")
        elif report.skipped:
            self.skip(report)
        elif report.when == "call":
            self.count("passed")

    def count(self, outcome, nodeid=None, text=None):
        self.counts[outcome] = self.counts.get(outcome, 0) + 1
        if text is not None:
            self.told["failed"].append([nodeid, text])

    def skip(self, report):
        self.count("skipped")
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        self.told["skipped"][reason] = self.told["skipped"].get(reason, 0) + 1


prepare()
warnings.simplefilter("ignore")


def run(file, start, seconds):
    os.chdir("/tmp")
    recorder = Recorder(start, seconds)
    options = ["-p", "no:cacheprovider", "-p", "no:faulthandler", "-p", "no:capture", "-p", "no:logging", "-qq", "--no-summary"]
    options += ["--rootdir=/tests", "--import-mode=importlib", "-m", "not slow", "--tb=short", "-W", "ignore"]
    status = pytest.main([*options, f"{TESTS}/{file}"], plugins=[recorder])
    return json.dumps(
        {"status": int(status), "collected": recorder.collected, "counts": recorder.counts, **recorder.told}
    )
