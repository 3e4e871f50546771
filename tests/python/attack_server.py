"""Cases 55 to 66: clients that break rules, go away, never read, or come by the thousand.

Arguments: the server's process and the folder with its log and state.
"""

import os
import pathlib
import random
import resource
import socket
import struct
import sys
import threading
import time
import unittest

import grpc
import pyarrow as pa

import raw_http2 as http2
from attack_wire import flight_data, stream
from attacks import INT, PATIENCE_S, Attack, metrics, refusal, settle
from service import FLIGHT, Function, exchange
from workers import Workers

PID, FOLDER = int(sys.argv.pop(1)), pathlib.Path(sys.argv.pop(1))
SCALE = int(os.environ.get("VIVARIUM_ATTACK_SCALE", "1"))

# As the Rust test configures it.
MEMORY = 96 << 20
HOST_MEMORY = 8 * MEMORY
SPIN = "while True: pass"


def resident_bytes():
    lines = pathlib.Path(f"/proc/{PID}/status").read_text().splitlines()
    (kib,) = [int(line.split()[1]) for line in lines if line.startswith("VmRSS")]
    return kib << 10


def descriptors():
    return len(os.listdir(f"/proc/{PID}/fd"))


def call_messages(values=(1, 2)):
    batch = pa.RecordBatch.from_arrays([pa.array(values, pa.int64())], names=["arg1"])
    (schema, _), (metadata, body) = stream([batch], batch.schema)
    return [flight_data(schema, path=b"f"), flight_data(metadata, body)]


class Server(Attack):
    # What a client may make the server keep for it, whatever it does.
    MOST_BYTES = 96 << 20

    def setUp(self):
        self.bytes_before = resident_bytes()
        self.descriptors_before = descriptors()

    def tearDown(self):
        self.assert_unharmed()
        self.assertLess(resident_bytes() - self.bytes_before, self.MOST_BYTES)
        until = time.monotonic() + PATIENCE_S
        # Images of new functions are files in memory: one each.
        while descriptors() > self.descriptors_before + 16:
            self.assertLess(time.monotonic(), until, f"{descriptors()} descriptors, {self.descriptors_before} before")
            time.sleep(0.05)

    def connection(self, **more):
        return http2.Connection(FLIGHT, PATIENCE_S, **more)

    def stub(self, channel):
        return channel.stream_stream(
            http2.DO_EXCHANGE, request_serializer=lambda data: data, response_deserializer=lambda data: data
        )

    def test_rapid_reset(self):
        block = http2.request(self.neighbour.headers)
        with self.attack("57 rapid reset"), self.connection() as connection:
            try:
                for number in range(1, 20_000, 2):
                    opened = http2.frame(http2.HEADERS, http2.END_HEADERS, number, block)
                    connection.send(opened + http2.frame(http2.RST_STREAM, 0, number, struct.pack(">I", http2.CANCEL)))
            except http2.Closed:
                pass
            self.assertIn(connection.goodbye(), (http2.ENHANCE_YOUR_CALM, None))

    def test_continuation_flood(self):
        part = http2.literal("x-filler", "y" * 8000)
        with self.attack("57 CONTINUATION flood"), self.connection() as connection:
            sent = 0
            with self.assertRaises(http2.Closed):
                connection.send(http2.frame(http2.HEADERS, 0, 1, http2.request()))
                while sent < 256 << 20:
                    connection.send(http2.frame(http2.CONTINUATION, 0, 1, part))
                    sent += len(part)
            self.assertLess(sent, 64 << 20)

    def test_frames_that_want_an_answer_each(self):
        for name, frame in {
            "57 PING flood": http2.frame(http2.PING, 0, 0, bytes(8)),
            "57 SETTINGS flood": http2.frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535)),
        }.items():
            with self.attack(name), self.connection() as connection:
                # Nothing is read: answers pile up where there is no bound.
                connection.socket.settimeout(2)
                try:
                    for _ in range(2000):
                        connection.send(frame * 1000)
                except (http2.Closed, TimeoutError):
                    pass
                self.assertLess(resident_bytes() - self.bytes_before, self.MOST_BYTES)

    def test_headers_beyond_the_limit(self):
        with self.attack("56 headers"):
            many = self.neighbour.headers | {f"x-filler-{i}": "y" * 500 for i in range(60)}
            message = self.assert_refused(".", self.neighbour.exchange, [self.batch()], headers=many)
            self.assertNotIn("imed out", message)

    def batch(self):
        return pa.RecordBatch.from_arrays([pa.array(*INT)], names=["arg1"])

    def test_clients_that_never_come_to_the_point(self):
        with self.attack("58 half a request"):
            connections = [self.connection() for _ in range(20)]
            for connection in connections:
                connection.send(http2.frame(http2.HEADERS, 0, 1, http2.request())[:40])
            # They answer no ping.
            for connection in connections:
                connection.goodbye()
                connection.close()

    def test_exchanges_that_never_say_anything(self):
        with self.attack("58 half-open exchanges"), self.connection() as connection:
            block = http2.request(self.neighbour.headers)
            for number in range(1, 100, 2):
                connection.send(http2.frame(http2.HEADERS, http2.END_HEADERS, number, block))
            # Without a message there is no sandbox.
            self.assertEqual(metrics()["vivarium_sandboxes"], 0)
            self.assert_ended(connection, range(1, 100, 2))

    def test_results_that_nobody_reads(self):
        code = "def f(x):\n    return 'x' * 100_000\n"
        function = Function(code, "f", ["BIGINT NULL"], "VARCHAR", tenant="attacker")
        # The window of a stream is closed: not one byte of a result may be sent.
        closed = struct.pack(">HI", 4, 0)
        with self.attack("58 never-read response"), self.connection(settings=closed) as connection:
            block = http2.request(function.headers)
            head, batch = (http2.message(content) for content in call_messages(range(20)))
            for number in range(1, 8, 2):
                connection.send(http2.frame(http2.HEADERS, http2.END_HEADERS, number, block))
                connection.send(http2.frame(http2.DATA, 0, number, head))
                connection.send(http2.frame(http2.DATA, 0, number, batch) * 10)
            # Sandboxes that wait for their reader are let go when it has not read for long enough.
            while metrics()["vivarium_sandboxes_forked_total"] == 0:
                time.sleep(0.01)
            settle()

    def assert_ended(self, connection, streams):
        left = set(streams)
        for kind, flags, number, payload in connection.frames():
            if kind == http2.PING and not flags & http2.ACK:
                connection.send(http2.frame(http2.PING, http2.ACK, 0, payload))
            if kind in (http2.HEADERS, http2.RST_STREAM) and (flags & http2.END_STREAM or kind == http2.RST_STREAM):
                left.discard(number)
            if not left:
                return
        self.fail(f"{len(left)} calls were not ended")

    def test_cancelling_at_any_moment(self):
        spin, quick = self.function(SPIN), self.function("return x")
        choice = random.Random(59)
        with self.attack("59"), grpc.insecure_channel(FLIGHT) as channel:
            stub = self.stub(channel)
            for _ in range(1000 * SCALE):
                function = choice.choice([spin, spin, quick])
                messages = call_messages()[: choice.randrange(1, 3)]
                call = stub(iter(messages), metadata=list(function.headers.items()))
                if choice.random() < 0.5:
                    time.sleep(choice.random() * 0.003)
                call.cancel()
            settle()

    def test_a_storm_of_connections(self):
        opened = []

        def connect(seed):
            choice = random.Random(seed)
            for _ in range(400 * SCALE):
                try:
                    with socket.create_connection(FLIGHT.rsplit(":", 1), timeout=PATIENCE_S) as connected:
                        if choice.random() < 0.5:
                            connected.sendall(http2.PREFACE[: choice.randrange(1, 25)])
                        if choice.random() < 0.2:
                            # Closing at once, with a reset.
                            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    opened.append(1)
                except OSError:
                    pass

        with self.attack("60"):
            threads = [threading.Thread(target=connect, args=(seed,)) for seed in range(4)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                self.assertEqual(self.neighbour(INT), [2, 5, 10])
            self.assertGreater(len(opened), 1000)

    def test_provisioning_and_dropping_at_once(self):
        failures = []

        def work(number):
            workers = Workers("attacker", FLIGHT)
            try:
                for turn in range(25):
                    code = f"def f(x):\n    return x + {number * 1000 + turn}\n"
                    answer = workers.define("contested", code, "f", ["BIGINT NULL"], "BIGINT NULL")
                    headers = dict(answer.headers) | {"x-databend-tenant": "attacker"}
                    try:
                        results, _ = exchange("f", headers, [self.batch()], self.batch().schema)
                        if results[0].column(0).to_pylist() != [x + number * 1000 + turn for x in INT[0]]:
                            failures.append((number, turn, results))
                    except pa.ArrowException as error:
                        if "provision it again" not in str(error) and "does not exist" not in str(error):
                            failures.append((number, turn, str(error)))
                    workers.drop("contested", if_exists=True)
            except Exception as error:
                failures.append((number, repr(error)))
            finally:
                workers.close()

        with self.attack("62 provision and drop"):
            threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])

    def test_a_token_of_a_function_that_was_dropped(self):
        workers = Workers("attacker", FLIGHT)
        answer = workers.define("short", "def f(x): return x\n", "f", ["BIGINT NULL"], "BIGINT NULL")
        headers = dict(answer.headers)
        with self.attack("55 replay after drop"):
            exchange("f", headers, [self.batch()], self.batch().schema)
            workers.drop("short")
            message = refusal(exchange, "f", headers, [self.batch()], self.batch().schema)
            self.assertRegex(message, "that the token permits is gone; provision it again|Function f does not exist")
            workers.close()

    def test_memory_of_the_host_is_promised_once(self):
        function = self.function("return x")
        channel = grpc.insecure_channel(FLIGHT)
        stub = self.stub(channel)
        release = threading.Event()

        def held():
            yield from call_messages()
            release.wait()

        with self.attack("63"):
            # More than the host has memory for.
            calls = [stub(held(), metadata=list(function.headers.items())) for _ in range(HOST_MEMORY // MEMORY + 2)]
            try:
                served, refused = 0, []
                for call in calls:
                    try:
                        # A schema, and an answer.
                        next(call), next(call)
                        served += 1
                    except grpc.RpcError as error:
                        refused.append(f"{error.code().name}: {error.details()}")
                forked = metrics()["vivarium_sandboxes_forked_total"]
                self.assertLessEqual(metrics()["vivarium_reserved_memory_bytes"], HOST_MEMORY)
                self.assertGreater(served, 0)
                self.assertGreater(len(refused), 0)
                for message in refused:
                    self.assertRegex(message, r"RESOURCE_EXHAUSTED: no sandbox became free within 1 s .*memory")
                message = refusal(function, INT)
                self.assertRegex(message, "no sandbox became free within 1 s")
                # It is refused before anything was done for it.
                self.assertEqual(metrics()["vivarium_sandboxes_forked_total"], forked)
            finally:
                release.set()
                channel.close()
            settle()
            self.assertEqual(function(INT), [1, 2, 3])

    def test_no_file_descriptors(self):
        before = resource.prlimit(PID, resource.RLIMIT_NOFILE)
        with self.attack("65 descriptors"):
            channel = grpc.insecure_channel(FLIGHT)
            stub = self.stub(channel)
            messages = lambda: iter(call_messages())  # noqa: E731
            call = lambda: list(stub(messages(), metadata=list(self.neighbour.headers.items()), timeout=PATIENCE_S))  # noqa: E731
            self.assertEqual(len(call()), 2)
            idle = []
            try:
                resource.prlimit(PID, resource.RLIMIT_NOFILE, (max(64, descriptors() + 8), before[1]))
                for _ in range(100):
                    # The system accepts what the server cannot take yet.
                    idle.append(socket.create_connection(FLIGHT.rsplit(":", 1), timeout=PATIENCE_S))
                # Whoever is connected is served.
                for _ in range(3):
                    self.assertEqual(len(call()), 2)
            finally:
                for connection in idle:
                    connection.close()
                resource.prlimit(PID, resource.RLIMIT_NOFILE, before)
            self.assertEqual(self.function("return x")(INT), [1, 2, 3])
            channel.close()

    def test_a_disk_that_fails(self):
        """Its state cannot be written: what was provisioned is not promised, and nothing else suffers."""
        functions, aside = FOLDER / "state" / "functions", FOLDER / "state" / "aside"
        with self.attack("65 disk"):
            functions.rename(aside)
            functions.write_text("in the way")
            try:
                message = refusal(self.function, "return x + 41", tenant="unlucky")
                self.assertRegex(message, "INTERNAL: the function could not be kept; the server's log says why")
                self.assertNotIn(str(FOLDER), message)
                self.assertEqual(self.neighbour(INT), [2, 5, 10])
            finally:
                functions.unlink()
                aside.rename(functions)
            self.assertEqual(self.function("return x + 41", tenant="unlucky")(INT), [42, 43, 44])

    def test_names_and_output_that_forge_lines(self):
        forged = '2026-01-01T00:00:00Z ERROR forged="yes" \\x1b[31m'
        with self.attack("66"):
            for tenant in ('evil"} 5', "evil\\", 'a"b\\c{d}=e'):
                function = Function("def f(x): return x\n", "f", ["BIGINT"], "BIGINT", tenant=tenant)
                self.assertEqual(function(([1], pa.int64())), [1])
            for handler in ("f\nforged_metric 1", "f\r\nforged: yes", "f\x1b[31m", "f\x00"):
                message = refusal(Function, "def f(x): return x\n", handler, ["BIGINT"], "BIGINT", tenant="attacker")
                self.assertRegex(message, "INVALID_ARGUMENT: .*control character|INVALID_ARGUMENT: .*handler")
            body = f"print('\\n{forged}\\n\\r{forged}')\nraise ValueError('\\n{forged}\\r\\n{forged}')"
            refusal(self.function(body), INT)
            settle()
            text = (FOLDER / "log").read_bytes()
            self.assertIn(b"forged", text)
            for line in text.splitlines():
                self.assertFalse(line.startswith(b"2026-01-01T00:00:00Z"), line)
            self.assertNotIn(b"\x1b[31m", text)
            # Every line of the metrics is one of the server's.
            names = {name.split("{")[0] for name in metrics()}
            self.assertEqual({name for name in names if not name.startswith(("udf_server_", "vivarium_"))}, set())


if __name__ == "__main__":
    unittest.main()
