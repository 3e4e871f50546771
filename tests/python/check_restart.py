"""Two halves of one test: `provision FILE` before a restart of the server, `call FILE` after it."""

import json
import sys

import pyarrow as pa

from service import Function, exchange

CODE = "def f(x): return x * 3"
BATCH = pa.RecordBatch.from_arrays([pa.array([1, 2], pa.int64())], names=["arg1"])

step, path = sys.argv[1:]
if step == "provision":
    function = Function(CODE, "f", ["BIGINT NULL"], "BIGINT NULL")
    assert function.exchange([BATCH])[0][0].column(0).to_pylist() == [3, 6]
    other = Function(CODE.replace("3", "5"), "f", ["BIGINT NULL"], "BIGINT NULL", tenant="other")
    assert other.exchange([BATCH])[0][0].column(0).to_pylist() == [5, 10]
    with open(path, "w") as file:
        json.dump(function.headers, file)
else:
    with open(path) as file:
        headers = json.load(file)
    (result,), _ = exchange("f", headers, [BATCH], BATCH.schema)
    assert result.column(0).to_pylist() == [3, 6]
