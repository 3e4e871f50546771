"""What Databend's users wait for, measured with the real engine. Prints one line for each figure.

`assert` as an argument makes it fail when a figure is out of bounds.
"""

import os
import pathlib
import subprocess
import sys
import time

import pyarrow as pa

from databend_engine import Engine
from databend_script import script
from ports import free_port
from service import exchange
from workers import Workers

ADD = "def add(a, b):\n    return a + b\n"
TYPES = (["INT NULL", "INT NULL"], "INT NULL")
BOUNDS = {"warm CreateWorker p99, ms": 2.0, "first answer of a new function p50, ms": 100.0, "a million rows, against echo": 2.0}
FOUND = {}


def report(name, value):
    FOUND[name] = value
    bound = BOUNDS.get(name)
    print(f"{name}: {value:.3f}" + (f" (bound {bound})" if bound else ""), flush=True)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def warm_create():
    workers = Workers("measured")
    text = script(ADD, "add", *TYPES)
    workers.create("add", "udf", text)
    time.sleep(0.5)
    times = []
    for _ in range(3000):
        began = time.perf_counter()
        workers.create("add", "udf", text)
        times.append((time.perf_counter() - began) * 1000)
    report("warm CreateWorker p50, ms", percentile(times, 0.5))
    report("warm CreateWorker p99, ms", percentile(times, 0.99))


def first_answer():
    workers = Workers("measured")
    batch = pa.RecordBatch.from_arrays([pa.array([1], pa.int32())] * 2, names=["arg1", "arg2"])
    times = []
    for number in range(40):
        code = ADD.replace("a + b", f"a + b + {number}")
        began = time.perf_counter()
        answer = workers.define(f"new_{number}", code, "add", *TYPES)
        (result,), _ = exchange("add", dict(answer.headers), [batch], batch.schema)
        times.append((time.perf_counter() - began) * 1000)
        assert result.column(0).to_pylist() == [2 + number]
    report("first answer of a new function p50, ms", percentile(times, 0.5))
    report("first answer of a new function, longest of 40, ms", max(times))


def a_million_rows():
    address = f"127.0.0.1:{free_port()}"
    file = pathlib.Path(__file__).parent / "servers/echo_server.py"
    echo = subprocess.Popen([sys.executable, str(file), address], stdout=subprocess.PIPE, env=os.environ)
    try:
        assert echo.stdout.readline()
        engine = Engine(f"http://{address}")
        engine.define("add_up", ADD, "add", ["INT", "INT"], "INT", TYPES)
        engine.create("echo", "echo", ["INT", "INT"], "INT", f"http://{address}")
        times = {"add_up": [], "echo": []}
        for _ in range(7):
            for name in times:
                began = time.perf_counter()
                engine.rows(f"SELECT sum({name}(number::INT, 1::INT)) FROM numbers(1000000)")
                times[name].append(time.perf_counter() - began)
        report("a million rows, s", min(times["add_up"]))
        report("a million rows, echo server, s", min(times["echo"]))
        report("a million rows, against echo", min(times["add_up"]) / min(times["echo"]))
    finally:
        echo.kill()


warm_create()
first_answer()
a_million_rows()
over = [name for name, bound in BOUNDS.items() if FOUND[name] > bound]
if "assert" in sys.argv[1:]:
    assert not over, over
