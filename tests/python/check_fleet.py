"""200 functions of 20 tenants, called while they are replaced and while the server is killed and started again."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

from ports import free_port

TENANTS = 20
FUNCTIONS = 10
VERSIONS = 3

ADDRESS = f"127.0.0.1:{free_port()}"
os.environ |= {"VIVARIUM_PROVISIONING": ADDRESS, "VIVARIUM_FLIGHT": ADDRESS}

import grpc  # noqa: E402
import pyarrow as pa  # noqa: E402

from service import exchange  # noqa: E402
from workers import Workers  # noqa: E402

CONFIG = "[server]\nnumpy_at_start = false\n[limits]\ndeadline_ms = 60_000\nmemory_bytes = 134_217_728\n[build_limits]\ndeadline_ms = 60_000\n"
PATIENCE_S = 120


class Server:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        (self.folder / "vivarium.toml").write_text(CONFIG)
        self.start()

    def start(self):
        arguments = ["serve", "--flight", ADDRESS, "--config", self.folder / "vivarium.toml"]
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen(
                [os.environ["VIVARIUM_BINARY"], *arguments, "--state-dir", self.folder / "state"],
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout.readline(), (self.folder / "log").read_text()[-2000:]

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def patiently(what):
    """Does `what` again while there is no server."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return what()
        except (grpc.RpcError, pa.ArrowException) as error:
            gone = isinstance(error, pa.flight.FlightUnavailableError) or (
                isinstance(error, grpc.RpcError) and error.code() == grpc.StatusCode.UNAVAILABLE
            )
            # A connection that breaks in the middle of a call has no better name.
            gone = gone or any(text in str(error) for text in ("Socket closed", "reset by peer", "Stream removed"))
            if not gone or time.monotonic() > until:
                raise
            time.sleep(0.05)


def answer_of(tenant, function, version):
    return 1_000_000 * tenant + 1000 * function + version


class Tenant(threading.Thread):
    def __init__(self, number):
        super().__init__(daemon=True)
        self.number, self.name_of = number, f"tenant-{number}"
        self.tokens = {}
        self.calls = 0
        self.failure = None

    def run(self):
        try:
            workers = Workers(self.name_of, ADDRESS)
            for version in range(VERSIONS):
                for function in range(FUNCTIONS):
                    self.provision(workers, function, version)
                    self.call(function, version)
                    # A caller that still has the version before.
                    if version:
                        self.call(function, version - 1)
            workers.close()
        except BaseException as error:
            self.failure = error

    def provision(self, workers, function, version):
        value = answer_of(self.number, function, version)
        code = f"def f{function}(x):\n    return x + {value}\n"
        types = (["BIGINT NULL"], "BIGINT NULL")
        define = lambda: workers.define(f"worker-{function}", code, f"f{function}", *types)  # noqa: E731
        self.tokens[function, version] = dict(patiently(define).headers)

    def call(self, function, version):
        batch = pa.RecordBatch.from_arrays([pa.array([0, 1, None], pa.int64())], names=["arg1"])
        # None + an integer raises: what comes back is the function's own error or its answer.
        batch = batch.slice(0, 2)
        headers = self.tokens[function, version] | {"x-databend-tenant": self.name_of}
        results, _ = patiently(lambda: exchange(f"f{function}", headers, [batch], batch.schema))
        value = answer_of(self.number, function, version)
        found = results[0].column(0).to_pylist()
        assert found == [value, value + 1], (self.name_of, function, version, found)
        self.calls += 1


def main():
    with tempfile.TemporaryDirectory(prefix="vivarium-fleet-") as folder:
        server = Server(folder)
        try:
            began = time.monotonic()
            tenants = [Tenant(number) for number in range(TENANTS)]
            for tenant in tenants:
                tenant.start()
            total = TENANTS * FUNCTIONS * VERSIONS
            while sum(len(tenant.tokens) for tenant in tenants) < total // 2:
                assert not any(tenant.failure for tenant in tenants), [tenant.failure for tenant in tenants]
                time.sleep(0.01)
            server.kill()
            killed = time.monotonic()
            server.start()
            restarted = time.monotonic() - killed
            for tenant in tenants:
                tenant.join()
            failures = [tenant.failure for tenant in tenants if tenant.failure]
            assert not failures, failures
            # Every version that was ever promised still answers, also after one more kill.
            server.kill()
            server.start()
            for tenant in tenants:
                names = {worker.name for worker in Workers(tenant.name_of, ADDRESS).list()}
                assert names == {f"worker-{function}" for function in range(FUNCTIONS)}, names
                for function, version in tenant.tokens:
                    tenant.call(function, version)
            calls = sum(tenant.calls for tenant in tenants)
            took = time.monotonic() - began
            print(f"{total} versions, {calls} calls, {took:.1f} s, back after a kill in {restarted:.2f} s")
        except BaseException:
            sys.stderr.write(pathlib.Path(folder, "log").read_text()[-3000:])
            raise
        finally:
            server.kill()


if __name__ == "__main__":
    main()
