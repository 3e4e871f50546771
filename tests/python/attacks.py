"""What the scripts `attack_*.py` share: what a refusal says, a tenant who must not notice, gauges that must return.

Every attack ends with an error of a known text, the server's gauges return to where they were, and the next call
of another tenant is right.
"""

import contextlib
import os
import re
import time
import unittest
import urllib.request

import grpc
import pyarrow as pa
import pyarrow.flight as flight

from service import Function

STATUS = os.environ["VIVARIUM_STATUS"]
INT = ([1, 2, 3], pa.int64())

# On a machine that is busy with other things everything takes long, and nothing takes this long.
PATIENCE_S = 120

# What is alive; nothing is, when nobody calls.
GAUGES = (
    "vivarium_sandboxes",
    "vivarium_reserved_memory_bytes",
    "vivarium_exchanges_waiting",
    'vivarium_jobs_waiting{pool="worker"}',
    'vivarium_jobs_running{pool="worker"}',
)


def metrics():
    """Every number of /metrics, by name and labels."""
    with urllib.request.urlopen(f"http://{STATUS}/metrics", timeout=PATIENCE_S) as answer:
        text = answer.read().decode()
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def settle(gauges=GAUGES):
    """Waits until the gauges are at zero; returns them."""
    until = time.monotonic() + PATIENCE_S
    while True:
        now = metrics()
        found = {gauge: now[gauge] for gauge in gauges}
        if not any(found.values()):
            return found
        if time.monotonic() > until:
            raise AssertionError(f"not back at the baseline: {found}")
        time.sleep(0.02)


def refusal(call, *arguments, **keywords):
    """The text of the error that a call must end with."""
    try:
        outcome = call(*arguments, **keywords)
    except grpc.RpcError as error:
        return f"{error.code().name}: {error.details()}"
    except (pa.ArrowException, flight.FlightError) as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError(f"it was not refused: {str(outcome)[:200]}")


class Attack(unittest.TestCase):
    """One case after the other, each followed by a look at the gauges and at the neighbour."""

    @classmethod
    def setUpClass(cls):
        code = "def f(x): return None if x is None else x * x + 1\n"
        cls.neighbour = Function(code, "f", ["BIGINT NULL"], "BIGINT NULL", tenant="neighbour")
        cls.assert_unharmed(cls)

    def assert_unharmed(self):
        settle()
        answer = self.neighbour(([3, None, -5], pa.int64()))
        assert answer == [10, None, 26], f"the neighbour got {answer}"

    @contextlib.contextmanager
    def attack(self, name):
        with self.subTest(name):
            yield
            self.assert_unharmed()

    def function(self, body, result="BIGINT NULL", tenant="attacker", head=""):
        """A function of one nullable integer with these statements."""
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        return Function(f"{head}\ndef f(x):\n{lines}    return x\n", "f", ["BIGINT NULL"], result, tenant=tenant)

    def assert_refused(self, pattern, call, *arguments, **keywords):
        message = refusal(call, *arguments, **keywords)
        self.assertRegex(message, re.compile(pattern, re.DOTALL))
        return message
