"""Databend's workers over the wire, the generation before them, and who watches the server."""

import datetime
import json
import os
import unittest
import urllib.error
import urllib.request

import grpc
import pyarrow as pa
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from databend_script import script
from service import PROVISIONING, exchange, resource_pb2, resource_pb2_grpc
from workers import Workers

ACTION = resource_pb2.AlterWorkerRequest.WorkerStateAction
STATUS = os.environ["VIVARIUM_STATUS"]
ADD = "def add(a, b):\n    return a + b\n"
TYPES = (["BIGINT NULL", "BIGINT NULL"], "BIGINT NULL")


def call(answer, handler, *columns, tenant="tests"):
    arrays = [pa.array(column, pa.int64()) for column in columns]
    batch = pa.RecordBatch.from_arrays(arrays, names=[f"arg{i + 1}" for i in range(len(arrays))])
    headers = dict(answer.headers) | {"x-databend-tenant": tenant, "x-databend-function-handler": handler}
    results, _ = exchange(handler, headers, [batch], batch.schema)
    return results[0].column(0).to_pylist()


def get(path):
    with urllib.request.urlopen(f"http://{STATUS}{path}", timeout=10) as answer:
        return answer.status, answer.read().decode()


class WorkersTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.workers = Workers()
        self.addCleanup(self.workers.close)

    def refused(self, code, text, function, *arguments, **keywords):
        with self.assertRaises(grpc.RpcError) as raised:
            function(*arguments, **keywords)
        self.assertEqual(raised.exception.code(), code, raised.exception.details())
        self.assertIn(text, raised.exception.details())

    def call_refused(self, text, *arguments):
        with self.assertRaises(pa.ArrowException) as raised:
            call(*arguments)
        self.assertIn(text, str(raised.exception))

    def test_a_function_is_made_callable_and_replaced(self):
        first = self.workers.define("w_add", ADD, "add", *TYPES)
        self.assertEqual(first.endpoint, f"http://{PROVISIONING}")
        self.assertEqual(call(first, "add", [1], [2]), [3])
        again = self.workers.define("w_add", ADD, "add", *TYPES)
        self.assertEqual(again.worker.updated_at, first.worker.updated_at)
        new = self.workers.define("w_add", ADD.replace("a + b", "a * b"), "add", *TYPES)
        self.assertGreater(new.worker.updated_at, first.worker.updated_at)
        self.assertEqual(new.worker.created_at, first.worker.created_at)
        self.assertEqual((call(new, "add", [3], [4]), call(first, "add", [3], [4])), ([12], [7]))

    def test_hostile_code_arrives_as_it_is(self):
        text = "UDF_CODE\nUDF_CODE_1\ncat <<'X' > /app/udf.py\n$(id) `id` '\"\\ \r\n\u2028 exec python /app/server.py"
        code = f"TEXT = {text!r}\n'''UDF_CODE\n$(exit)\n'''\ndef size(x):\n    return len(TEXT)\n"
        answer = self.workers.define("w_hostile", code, "size", ["BIGINT NULL"], "BIGINT NULL")
        self.assertEqual(call(answer, "size", [1]), [len(text)])

    def test_records_without_a_function(self):
        record = self.workers.create("w_record", if_not_exists=False, tags={"team": "ml"}, options={"size": "small"})
        self.assertEqual((record.endpoint, dict(record.headers)), ("", {}))
        self.assertEqual((dict(record.worker.tags), dict(record.worker.options)), ({"team": "ml"}, {"size": "small"}))
        moment = datetime.datetime.fromisoformat(record.worker.created_at)
        self.assertLess(abs(datetime.datetime.now(datetime.timezone.utc) - moment), datetime.timedelta(minutes=5))
        code = grpc.StatusCode.ALREADY_EXISTS
        self.refused(code, "worker `w_record` exists already", self.workers.create, "w_record", if_not_exists=False)
        kept = self.workers.create("w_record", tags={"team": "other"}).worker
        self.assertEqual(dict(kept.tags), {"team": "ml"})
        # The engine's call at bind time has neither tags nor options; those of the record count.
        answer = self.workers.define("w_record", "def f(x): return len(bytearray(48 << 20))", "f", ["BIGINT"], "BIGINT")
        self.assertEqual(dict(answer.worker.options), {"size": "small"})
        self.call_refused("memory_bytes", answer, "f", [1])
        self.workers.alter("w_record", set_options={"size": "LARGE", "x": "1"}, set_tags={"a": "b"}, unset_tags=["team"])
        answer = self.workers.define("w_record", "def f(x): return len(bytearray(48 << 20))", "f", ["BIGINT"], "BIGINT")
        self.assertEqual(call(answer, "f", [1]), [48 << 20])
        self.assertIn(("w_record", {"a": "b"}), [(worker.name, dict(worker.tags)) for worker in self.workers.list()])

    def test_suspended_and_dropped_workers(self):
        answer = self.workers.define("w_state", ADD, "add", *TYPES)
        self.assertEqual(dict(answer.worker.options), {})
        worker = self.workers.alter("w_state", state_action=ACTION.Suspend)
        self.assertEqual(dict(worker.options), {"suspended": "true"})
        self.call_refused("worker w_state is suspended; resume it to call its function", answer, "add", [1], [2])
        worker = self.workers.alter("w_state", state_action=ACTION.Resume)
        self.assertEqual(dict(worker.options), {"suspended": "false"})
        self.assertEqual(call(answer, "add", [1], [2]), [3])
        self.workers.drop("w_state")
        self.call_refused("gone; provision it again", answer, "add", [1], [2])
        self.refused(grpc.StatusCode.NOT_FOUND, "worker `w_state` does not exist", self.workers.drop, "w_state")
        self.workers.drop("w_state", if_exists=True)
        self.refused(grpc.StatusCode.NOT_FOUND, "does not exist", self.workers.alter, "w_state")

    def test_refusals_name_what_is_wrong(self):
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        text = script(ADD, "add", *TYPES)
        lines = text.split("\n")
        cases = [
            ("", "", {}, "the request names no worker"),
            ("udf", text.replace("\nexec ", "\nid\nexec "), {}, f"line {len(lines) - 1} of the script should be `exec"),
            ("udf", text.replace("\n", "\r\n"), {}, "line 1 of the script should be `#!/usr/bin/env bash`"),
            ("udf", script(ADD, "os.system('x')", *TYPES), {}, "`handler` must be a name such as"),
            ("udf", script(ADD, "add", ["BIGINT", "BIGINTT"], "BIGINT"), {}, "`input_types[1]`: unknown type"),
            ("task", text, {}, "resources of type `task` are unknown; there is `udf`"),
            ("", text, {}, "the request has a script and no type"),
            ("udf", "", {}, "the request has a type and no script"),
            ("", "", {"options": {"size": "huge"}}, "no resource class `huge`; there are large, small"),
            ("", "", {"options": {"suspended": "true"}}, "the option `suspended` is changed by suspending"),
        ]
        for kind, text, more, expected in cases:
            with self.subTest(expected):
                name = "" if "names no worker" in expected else "w_refused"
                self.refused(invalid, expected, self.workers.create, name, kind, text, **more)
        self.assertNotIn("w_refused", [worker.name for worker in self.workers.list()])

    def test_tenants_do_not_see_each_other(self):
        other = Workers("other")
        self.addCleanup(other.close)
        answer = other.define("w_add", ADD, "add", *TYPES)
        self.assertNotIn("other", [worker.name for worker in self.workers.list()])
        self.assertEqual([worker.name for worker in other.list()], ["w_add"])
        self.call_refused("belongs to another tenant", answer, "add", [1], [2])
        other.metadata = [("x-databend-tenant", "tests")]
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "name different tenants", other.list)

    def test_the_generation_before_workers(self):
        stub = resource_pb2_grpc.ResourceServiceStub(self.workers.channel)
        request = resource_pb2.ApplyResourceRequest(type="udf", script=script(ADD, "add", *TYPES))
        answer = stub.ApplyResource(request, metadata=self.workers.metadata, timeout=10)
        self.assertEqual(call(answer, "add", [1], [2]), [3])
        self.assertEqual(answer.endpoint, f"http://{PROVISIONING}")

    def test_who_watches_sees_calls_errors_and_limits(self):
        self.assertEqual(get("/health"), (200, "1"))
        before = json.loads(get("/stats")[1])
        code = "def watched(x):\n    if x < 0:\n        raise LookupError('no')\n    return x\n"
        answer = self.workers.define("w_watched", code, "watched", ["BIGINT NULL"], "BIGINT NULL")
        self.assertEqual(call(answer, "watched", [1, 2, 3]), [1, 2, 3])
        self.call_refused("LookupError", answer, "watched", [-1])
        after = json.loads(get("/stats")[1])
        self.assertEqual(list(after)[:3], ["request_count", "first_request_time", "last_request_time"])
        self.assertEqual(after["request_count"], before["request_count"] + 2)
        for name in ["first_request_time", "last_request_time"]:
            self.assertEqual(datetime.datetime.fromisoformat(after[name]).utcoffset(), datetime.timedelta(0))
        samples = {}
        for family in text_string_to_metric_families(get("/metrics")[1]):
            for sample in family.samples:
                samples[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
        of_function = (("function_name", "watched"),)
        expected = {
            ("udf_server_requests_count_total", of_function): 2,
            ("udf_server_rows_count_total", of_function): 4,
            ("udf_server_running_requests_count", of_function): 0,
            ("udf_server_running_rows_count", of_function): 0,
            ("udf_server_response_duration_seconds_count", of_function): 2,
            ("udf_server_errors_count_total", (("error_type", "LookupError"), *of_function)): 1,
            ("udf_server_rejected_requests_count_total", of_function): 0,
        }
        self.assertEqual({key: samples.get(key) for key in expected}, expected)
        for name in ["vivarium_functions", "vivarium_images_resident", "vivarium_sandboxes_forked_total"]:
            self.assertGreater(samples[name, ()], 0, name)
        self.assertGreater(samples["vivarium_fuel_units_total", (("tenant", "tests"),)], 0)
        with self.assertRaises(urllib.error.HTTPError) as raised:
            get("/nothing")
        self.assertEqual(raised.exception.code, 404)
        raised.exception.close()


if __name__ == "__main__":
    unittest.main()
