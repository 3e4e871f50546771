"""Cases 28, 29 and 46 to 53: whoever was in the sandbox's place before, or is beside it, leaves nothing behind."""

import json
import random
import threading
import unittest

import pyarrow as pa

from attacks import INT, Attack, refusal
from service import Function, exchange

ONE = ([1], pa.int64())
TWO_TENANTS = ("red", "blue")
# Never as a whole in the code of the one who looks for it.
MARKER = ("vivarium-", "residue-", "5f2c9d71")

PLANT = """
import builtins, gc, os, sys, tempfile

def f(x):
    marker = ''.join({marker!r})
    blocks = [bytearray((marker * 1000).encode()) for _ in range(300)]
    builtins.planted = marker
    sys.modules['planted'] = sys
    os.environ['PLANTED'] = marker
    open('/tmp/planted', 'w').write(marker * 10_000)
    globals()['kept'] = [marker, []]
    gc.collect()
    return len(blocks)
"""

# Memory that was not written since it was handed out, which NumPy shows and Python does not.
LOOK = """
import builtins, gc, os, sys
import numpy as np

def f(x):
    marker = ''.join({marker!r}).encode()
    found = []
    blocks = [np.empty(size, np.uint8) for size in [1 << 10, 24_000, 1 << 16, 1 << 20] for _ in range(6)]
    for block in blocks:
        if marker in block.tobytes():
            found.append(f'a block of {{block.size}} bytes')
    if hasattr(builtins, 'planted'): found.append('builtins')
    if 'planted' in sys.modules: found.append('sys.modules')
    if 'PLANTED' in os.environ: found.append('the environment')
    if os.path.exists('/tmp/planted'): found.append('/tmp')
    texts = [o for o in gc.get_objects() if isinstance(o, (dict, list, tuple))]
    if any(isinstance(v, str) and v == marker.decode() for o in texts for v in (o.values() if isinstance(o, dict) else o)):
        found.append('gc')
    return ', '.join(found) or 'nothing'
"""


class Isolation(Attack):
    def test_residue(self):
        # The interpreter with NumPy for both: its memory is the one that is used again.
        plant = "import numpy\n" + PLANT.format(marker=MARKER)
        plant = Function(plant, "f", ["BIGINT"], "BIGINT", tenant="red")
        look = Function(LOOK.format(marker=MARKER), "f", ["BIGINT"], "VARCHAR", tenant="blue")
        again = Function(LOOK.format(marker=MARKER), "f", ["BIGINT"], "VARCHAR", tenant="red")
        with self.attack("46, 47"):
            # It does find what is there; and each call says with its argument what it does.
            both = PLANT.format(marker=MARKER) + LOOK.format(marker=MARKER).replace("def f", "def look")
            both += "def g(x):\n    if x & 1: f(x)\n    return look(x) if x & 2 else 'planted'\n"
            own = Function(both, "g", ["BIGINT"], "VARCHAR", tenant="red")
            (found,) = own(([3], pa.int64()))
            self.assertIn("a block of", found)
            self.assertIn("builtins, sys.modules, the environment, /tmp, gc", found)
            for _ in range(5):
                self.assertEqual(plant(ONE), [300])
                self.assertEqual(look(ONE), ["nothing"])
                self.assertEqual(again(ONE), ["nothing"])
                # The same function, whose place in memory is used again most.
                self.assertEqual(own(ONE), ["planted"])
                self.assertEqual(own(([2], pa.int64())), ["nothing"])

    def test_dropping_and_using_again_with_failures_between(self):
        """Case 48; `just soak` does it many more times."""
        ways = [
            "return x + {salt}",
            "raise ValueError({salt})",
            "import os\nos.abort()",
            "import os\nos._exit({salt} % 100)",
            "kept = [bytearray(1 << 20) for _ in range(10**6)]",
            "def g(): return g() + 1\nimport sys\nsys.setrecursionlimit(10**6)\ng()",
            "return x - {salt}",
        ]
        functions = {
            (tenant, number): self.function(way.format(salt=salt), tenant=tenant)
            for salt, tenant in enumerate(TWO_TENANTS, 1000)
            for number, way in enumerate(ways)
        }
        right = {0: 1, 6: -1}
        failures = []

        def work(tenant, salt, seed):
            choice = random.Random(seed)
            for _ in range(60):
                number = choice.randrange(len(ways))
                try:
                    answer = functions[tenant, number](INT)
                    expected = [x + right[number] * salt for x in INT[0]] if number in right else None
                    if answer != expected:
                        failures.append((tenant, number, answer))
                except pa.ArrowException as error:
                    if number in right:
                        failures.append((tenant, number, str(error)))

        with self.attack("48"):
            threads = [
                threading.Thread(target=work, args=(tenant, salt, seed))
                for salt, tenant in enumerate(TWO_TENANTS, 1000)
                for seed in (salt, salt + 7)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])

    def test_entropy_of_two_hundred_forks(self):
        code = (
            "import json, os, random, secrets, tempfile, uuid\n"
            "import numpy as np\n"
            "OWN = random.Random()\n"
            "def f(x):\n"
            "    return json.dumps([random.random(), OWN.random(), str(uuid.uuid4()), secrets.token_hex(),\n"
            "        tempfile.mktemp(), os.urandom(8).hex(), float(np.random.random()),\n"
            "        float(np.random.default_rng().random())])\n"
        )
        function = Function(code, "f", ["BIGINT"], "VARCHAR", tenant="attacker")
        with self.attack("49"):
            draws = [json.loads(function(ONE)[0]) for _ in range(200)]
            for position in range(len(draws[0])):
                self.assertEqual(len({draw[position] for draw in draws}), len(draws), f"draw {position}")

    def test_no_clock_is_finer_than_its_step(self):
        body = (
            "import json, time\n"
            "clocks = [time.time_ns, time.monotonic_ns, time.perf_counter_ns]\n"
            "fine = sorted({clock.__name__ for _ in range(5000) for clock in clocks if clock() % 1_000_000})\n"
            "for name in ('process_time_ns', 'thread_time_ns'):\n"
            "    try:\n"
            "        if any(getattr(time, name)() % 1_000_000 for _ in range(5000)): fine.append(name)\n"
            "    except (AttributeError, OSError, RuntimeError):\n"
            "        pass\n"
            "return json.dumps(fine)\n"
        )
        with self.attack("52"):
            self.assertEqual(self.function(body, "VARCHAR")(ONE), ["[]"])

    def test_a_token_is_good_for_its_function_only(self):
        code = "def f(x): return {value}\n"
        red, blue = (
            Function(code.format(value=value), "f", ["BIGINT NULL"], "BIGINT", tenant=tenant)
            for value, tenant in enumerate(TWO_TENANTS)
        )
        batch = pa.RecordBatch.from_arrays([pa.array(*INT)], names=["arg1"])
        with self.attack("53"):
            self.assertEqual((red(INT), blue(INT)), ([0, 0, 0], [1, 1, 1]))
            for mine, others in ((red, "blue"), (blue, "red")):
                message = refusal(exchange, "f", mine.headers | {"x-databend-tenant": others}, [batch], batch.schema)
                self.assertRegex(message, "(?i)another tenant")
                # The same function under another name of the tenant is another function.
                message = refusal(exchange, "g", mine.headers, [batch], batch.schema)
                self.assertRegex(message, "permits function `f`|Function g does not exist")

    def test_files_that_are_not_its_own_cannot_be_changed(self):
        body = """
import errno, os, json
tried = {
    'create': lambda: open('/lib/made', 'w'),
    'create at the top': lambda: open('/made', 'w'),
    'append': lambda: open(os.__file__, 'a'),
    'truncate': lambda: os.truncate(os.__file__, 0),
    'remove': lambda: os.remove(os.__file__),
    'rename': lambda: os.rename(os.__file__, '/tmp/os.py'),
    'rename over': lambda: (open('/tmp/mine', 'w').close(), os.rename('/tmp/mine', os.__file__)),
    'make a directory': lambda: os.mkdir('/lib/made'),
    'remove a directory': lambda: os.rmdir(os.path.dirname(json.__file__)),
    'change the mode': lambda: (os.chmod(os.__file__, 0o777), open(os.__file__, 'w')),
    'change the times': lambda: os.utime(os.__file__, (1, 1)),
    'link': lambda: os.link(os.__file__, '/tmp/link'),
    'symbolic link': lambda: os.symlink(os.__file__, '/tmp/link'),
    'leave /tmp': lambda: open('/tmp/../lib/made', 'w'),
    'leave /tmp twice': lambda: open('/tmp//..//..//lib//made', 'w'),
    'a NUL': lambda: open('/tmp/a\\0b', 'w'),
    'a long name': lambda: open('/tmp/' + 'x' * 10_000, 'w'),
    'a slash behind': lambda: open('/tmp/a/', 'w'),
}
done = []
for name, attempt in tried.items():
    try:
        attempt()
        done.append(name)
    except (OSError, ValueError, AttributeError, NotImplementedError):
        pass
open('/tmp/allowed', 'w').write('x')
return json.dumps(done)
"""
        with self.attack("27, 28"):
            self.assertEqual(self.function(body, "VARCHAR")(ONE), ["[]"])

    def test_a_million_open_files(self):
        body = "files = []\nopen('/tmp/a', 'w').close()\nwhile True: files.append(open('/tmp/a'))"
        with self.attack("29"):
            self.assert_refused(r"OSError: \[Errno \d+\]|memory_bytes: |fuel: ", self.function(body), INT)


if __name__ == "__main__":
    unittest.main()
