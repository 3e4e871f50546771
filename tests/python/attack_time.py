"""Cases 11, 43 and 44, on a server with much fuel and little time: sleeping, and texts without end."""

import unittest

import pyarrow as pa

from attacks import INT, Attack, refusal
from service import exchange

# As the Rust test configures it.
DEADLINE_MS = 1_500
LOG_BYTES = 4_096
OUT_OF_TIME = rf"deadline_ms: the call took longer than {DEADLINE_MS} ms"
# What fits into the headers that gRPC's clients accept.
MESSAGE_BYTES = 6 * 1024


class Time(Attack):
    def test_sleeping_ends_with_the_deadline(self):
        for name, body in {
            "11 a long sleep": "import time\ntime.sleep(10**9)",
            "11 sleeping again and again": "import time\nwhile True: time.sleep(10**6)",
            "11 waiting for a lock": "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire(timeout=10**6)\nwhile True: pass",
            "1 endless loop": "while True: pass",
        }.items():
            with self.attack(name):
                self.assert_refused(OUT_OF_TIME, self.function(body), INT)

    def test_times_that_are_none(self):
        for name, body in {
            "11 before now": "import time\ntime.sleep(-1)",
            "11 no number": "import time\ntime.sleep(float('nan'))",
            "11 beyond all": "import time\ntime.sleep(1e300)",
        }.items():
            with self.attack(name):
                self.assert_refused("ValueError: |OverflowError: ", self.function(body), INT)

    def test_errors_of_any_size_are_told_in_little(self):
        for name, text in {
            "43 10 MB": "'begin' + 'x' * 10_000_000 + 'the end'",
            "43 of other letters": "'begin' + '\\u00fc\\U0001f600' * 1_000_000 + 'the end'",
            "43 a million lines": "'begin' + '\\n' * 1_000_000 + 'the end'",
        }.items():
            with self.attack(name):
                message = refusal(self.function(f"raise ValueError({text})"), INT)
                self.assertIn("ValueError: begin", message)
                self.assertLess(len(message.encode()), 4 * MESSAGE_BYTES)
        with self.attack("43 1 GB"):
            self.assert_refused("memory_bytes: .*MemoryError", self.function("raise ValueError('x' * (1 << 30))"), INT)

    def test_errors_are_text_and_nothing_else(self):
        hostile = "'\\x1b[31mred\\x1b]0;title\\x07 \\r\\nforged: yes\\r\\n\\x00 \\udc80 \\u202e \\x9b31m'"
        for name, body in {
            "43 message": f"raise ValueError({hostile})",
            "43 class": f"raise type({hostile}.replace(chr(0), '').replace('\\udc80', ''), (Exception,), {{}})('x')",
        }.items():
            with self.attack(name):
                message = refusal(self.function(body), INT)
                self.assertIn("forged: yes", message)
                unfit = [c for c in message if c != "\n" and (ord(c) < 32 or 0x7F <= ord(c) < 0xA0)]
                self.assertEqual(unfit, [], repr(message))

    def test_a_gigabyte_of_output(self):
        body = "import os\nblock = b'y' * (1 << 20)\nfor _ in range(1024): os.write(1, block)\nos.write(1, b'the end')"
        function = self.function(body)
        batch = pa.RecordBatch.from_arrays([pa.array([1], pa.int64())], names=["arg1"])
        with self.attack("44"):
            headers = function.headers | {"x-vivarium-logs": "1"}
            results, usage = exchange("f", headers, [batch], batch.schema)
            self.assertEqual(results[0].column(0).to_pylist(), [1])
            logs = str(usage)
            self.assertIn("the end", logs)
            self.assertLess(len(logs), 2 * LOG_BYTES)
            self.assertIn(str((1 << 30) + len("the end") - LOG_BYTES), logs)


if __name__ == "__main__":
    unittest.main()
