"""Cases 1 and 11 on a server with much fuel and little time."""

import unittest

from attacks import INT, Attack

# As the Rust test configures it.
DEADLINE_MS = 4_000
OUT_OF_TIME = rf"deadline_ms: the call took longer than {DEADLINE_MS} ms"


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

if __name__ == "__main__":
    unittest.main()
