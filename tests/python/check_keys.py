"""Token keys that rotate by the command line while the server runs."""

import base64
import os
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.flight as flight

from service import Function, exchange

CODE = "def f(x): return x * 3"
BATCH = pa.RecordBatch.from_arrays([pa.array([1, 2], pa.int64())], names=["arg1"])


def keys(action, *arguments):
    command = [os.environ["VIVARIUM_BINARY"], "keys", action, *arguments, "--config", sys.argv[1]]
    output = subprocess.run([*command, "--state-dir", sys.argv[2]], check=True, capture_output=True, text=True)
    return output.stdout.splitlines()


def call(headers):
    return exchange("f", headers, [BATCH], BATCH.schema)[0][0].column(0).to_pylist()


def provision():
    return Function(CODE, "f", ["BIGINT NULL"], "BIGINT NULL").headers


def until(what):
    """The server looks at the file once a second, when there is a call."""
    deadline = time.monotonic() + 60
    while not (answer := what()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return answer


old = provision()
(first,) = [line.split()[0] for line in keys("list")]
(added,) = keys("rotate")
assert added.split()[1:3] == ["signs", "from"], added


def key_of(headers):
    payload = headers["authorization"].split(".")[1]
    return base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))[:4].hex()


assert key_of(old) == first
new = until(lambda: headers if key_of(headers := provision()) != first else None)
assert key_of(new) == added.split()[0]
assert call(old) == call(new) == [3, 6]
states = {line.split()[0]: line.split()[1] for line in keys("list")}
assert states == {first: "accepted", key_of(new): "signs"}, states

keys("remove", first)


def refusal():
    try:
        call(old)
    except flight.FlightUnauthenticatedError as error:
        return str(error)


assert f"signed with key {first}, which this server does not accept" in until(refusal)
assert call(new) == [3, 6]
