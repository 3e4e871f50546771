"""Steps of a test: `provision FILE` before a restart of the server, `call FILE` after it; `images FILE NUMBER` waits
until so many images are in memory.
"""

import json
import os
import sys
import time
import urllib.request

import pyarrow as pa

from service import Function, exchange

CODE = "def f(x): return x * 3"
BATCH = pa.RecordBatch.from_arrays([pa.array([1, 2], pa.int64())], names=["arg1"])



def images():
    with urllib.request.urlopen(f"http://{os.environ['VIVARIUM_STATUS']}/metrics", timeout=60) as answer:
        (line,) = [line for line in answer.read().decode().splitlines() if line.startswith("vivarium_images_resident ")]
    return int(line.split()[1])


step, path, *wanted = sys.argv[1:]
if step == "provision":
    function = Function(CODE, "f", ["BIGINT NULL"], "BIGINT NULL")
    assert function.exchange([BATCH])[0][0].column(0).to_pylist() == [3, 6]
    other = Function(CODE.replace("3", "5"), "f", ["BIGINT NULL"], "BIGINT NULL", tenant="other")
    assert other.exchange([BATCH])[0][0].column(0).to_pylist() == [5, 10]
    with open(path, "w") as file:
        json.dump(function.headers, file)
elif step == "images":
    deadline = time.monotonic() + 120
    while images() != int(wanted[0]):
        assert time.monotonic() < deadline, images()
        time.sleep(0.05)
else:
    with open(path) as file:
        headers = json.load(file)
    (result,), _ = exchange("f", headers, [BATCH], BATCH.schema)
    assert result.column(0).to_pylist() == [3, 6]
