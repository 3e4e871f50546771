"""The servers that are compared, as child processes."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import grpc
import pyarrow.flight as flight

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent / "tests" / "python"))

# Each server has an address of its own, which replaces these.
os.environ.setdefault("VIVARIUM_PROVISIONING", "")
os.environ.setdefault("VIVARIUM_FLIGHT", "")

import service  # noqa: E402
from ports import free_port  # noqa: E402


class Native:
    """A server in native Python, of the script and its arguments behind the address; a slow setting is asked for a
    number of `batches` only."""

    def __init__(self, name, packages, script, *arguments, batches=None):
        self.name, self.packages, self.batches = name, packages, batches
        self.command = [HERE / script, *arguments]

    def start(self):
        self.address = f"127.0.0.1:{free_port()}"
        script, *arguments = self.command
        path = os.pathsep.join([*self.packages, os.environ["PYTHONPATH"]])
        self.process = subprocess.Popen(
            [sys.executable, "-B", script, self.address, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": path},
        )
        assert self.process.stdout.readline(), f"{self.name} does not start"
        wait_for(self.address)

    def headers(self, case):
        return {}


class Vivarium:
    """Our server; functions are provisioned as an engine does it."""

    name, batches = "Vivarium", None

    def start(self):
        self.folder = tempfile.TemporaryDirectory()
        # Room for machines that are busy with the other servers.
        config = pathlib.Path(self.folder.name, "vivarium.toml")
        cache = json.dumps(os.environ["VIVARIUM_CACHE_DIR"])
        config.write_text(f"[server]\ncache_dir = {cache}\n[limits]\ndeadline_ms = 120_000\n")
        arguments = ["serve", "--flight", "127.0.0.1:0", "--config", config, "--state-dir", f"{self.folder.name}/state"]
        self.process = subprocess.Popen(
            [os.environ["VIVARIUM_BINARY"], *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        ready = self.process.stdout.readline()
        assert ready, "vivarium does not start"
        self.address = ready.split("flight ")[1].split()[0]
        self.known = {}

    def headers(self, case):
        if case.handler not in self.known:
            code = case.code
            if case.batch_mode:
                code = code.replace("def ", "import vivarium\n\n@vivarium.udf(vectorized=True)\ndef ", 1)
            service.PROVISIONING = self.address
            function = service.Function(code, case.handler, case.input_types, case.result_type, "bench")
            self.known[case.handler] = function.headers
        return self.known[case.handler]


def wait_for(address):
    """Waits until a server listens."""
    until = time.monotonic() + 60
    while True:
        with grpc.insecure_channel(address) as channel:
            try:
                return grpc.channel_ready_future(channel).result(timeout=5)
            except grpc.FutureTimeoutError:
                assert time.monotonic() < until, f"{address} does not answer"


def stop(server):
    """Ends a server."""
    server.process.kill()
    server.process.wait()


def resident_bytes(server):
    """What the process holds in memory."""
    fields = pathlib.Path(f"/proc/{server.process.pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def options(server, case):
    """Call options with the function's token."""
    headers = [(name.encode(), value.encode()) for name, value in server.headers(case).items()]
    return flight.FlightCallOptions(timeout=600, headers=headers)


def exchange(client, call_options, case, batches, check=False):
    """Sends the case's batch so many times; the seconds until the last answer is there. With `check`, the answers
    are compared with the function's own."""
    batch = case.batch
    began = time.perf_counter()
    writer, reader = client.do_exchange(flight.FlightDescriptor.for_path(case.handler), call_options)

    def send():
        writer.begin(batch.schema)
        for _ in range(batches):
            writer.write_batch(batch)
        writer.done_writing()

    sender = None
    if batch.num_rows * batches > 1000:
        sender = threading.Thread(target=send)
        sender.start()
    else:
        send()
    answers = [chunk.data for chunk in reader if chunk.data is not None]
    took = time.perf_counter() - began
    if sender is not None:
        sender.join()
    writer.close()
    rows = sum(answer.num_rows for answer in answers)
    assert rows == batch.num_rows * batches, (case.name, rows)
    if check:
        values = [value for answer in answers for value in answer.column(0).to_pylist()]
        assert values == case.answers() * batches, case.name
    return took
