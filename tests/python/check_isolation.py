"""Nothing is shared between exchanges: no state, no random numbers."""

import json
import sys
import unittest

import pyarrow as pa

from service import Function

ONE = ([0], pa.int64())


class Isolation(unittest.TestCase):
    def test_forks_never_share_random_numbers(self):
        code = (
            "import json, os, random, secrets, tempfile, uuid\n"
            "OWN = random.Random()\n"
            "def f(x):\n"
            "    name = tempfile.NamedTemporaryFile(delete=False).name\n"
            "    return json.dumps([random.random(), OWN.random(), str(uuid.uuid4()), str(uuid.uuid1()),\n"
            "        secrets.token_hex(), os.urandom(8).hex(), random.SystemRandom().random(), name])\n"
        )
        function = Function(code, "f", ["BIGINT"], "VARCHAR")
        draws = [json.loads(function(ONE)[0]) for _ in range(200)]
        for position in range(len(draws[0])):
            self.assertEqual(len({draw[position] for draw in draws}), len(draws), f"draw {position}")

    def test_a_seed_is_a_seed(self):
        code = "import random\nrandom.seed(7)\ndef f(x): return random.random()\n"
        function = Function(code, "f", ["BIGINT"], "DOUBLE")
        self.assertEqual(function(ONE), function(ONE))

    def test_state_ends_with_the_exchange(self):
        code = (
            "import builtins, os\nSEEN = []\n"
            "def f(x):\n"
            "    SEEN.append(x)\n"
            "    left = os.listdir('/tmp') + [n for n in dir(builtins) if n.startswith('mark')]\n"
            "    builtins.mark = 1\n"
            "    open('/tmp/mark', 'w').write('x')\n"
            "    return f'{len(SEEN)} {left}'\n"
        )
        function = Function(code, "f", ["BIGINT"], "VARCHAR")
        self.assertEqual(function(([0, 0], pa.int64())), ["1 []", "2 ['mark', 'mark']"])
        self.assertEqual(function(ONE), ["1 []"])

    def test_nothing_of_the_host_is_reachable(self):
        attempts = [
            "open('/etc/passwd').read()",
            "open('/proc/self/environ').read()",
            "open('/lib/x', 'w')",
            "__import__('socket').create_connection(('127.0.0.1', 1))",
            "__import__('subprocess').run(['true'])",
            "__import__('os').fork()",
            "__import__('os').system('true')",
            "__import__('threading').Thread(target=print).start()",
            "__import__('ctypes')",
            "__import__('os').symlink('/a', '/tmp/b')",
        ]
        for attempt in attempts:
            with self.subTest(attempt):
                code = (
                    "def f(x):\n    try:\n"
                    f"        {attempt}\n"
                    "    except BaseException as error:\n        return type(error).__name__\n"
                    "    return 'it worked'\n"
                )
                (outcome,) = Function(code, "f", ["BIGINT"], "VARCHAR")(ONE)
                self.assertNotEqual(outcome, "it worked")

    def test_the_environment_is_empty(self):
        code = "import os, sys\ndef f(x): return repr((dict(os.environ), sys.argv))\n"
        self.assertEqual(Function(code, "f", ["BIGINT"], "VARCHAR")(ONE), ["({}, [''])"])

    def test_no_clock_is_finer_than_its_step(self):
        # Case 52: thousands of readings of every clock that there is, all of them whole milliseconds.
        code = (
            "import time\n"
            "def f(x):\n"
            "    shown = []\n"
            "    clocks = [time.time_ns, time.monotonic_ns, time.perf_counter_ns, time.process_time_ns]\n"
            "    clocks += [lambda i=i: time.clock_gettime_ns(i) for i in range(5)]\n"
            "    for clock in clocks:\n"
            "        try:\n"
            "            shown.append(any(clock() % 1_000_000 for _ in range(5000)))\n"
            "        except OSError:\n"
            "            shown.append(False)\n"
            "    return repr(shown)\n"
        )
        self.assertEqual(Function(code, "f", ["BIGINT"], "VARCHAR")(ONE), [repr([False] * 9)])

    def test_nothing_of_another_tenant_can_be_found(self):
        # Cases 46, 47 and 53: a secret in the code, the memory and the files of one tenant; another looks at
        # every object, module, variable and file that it can reach. Neither writes the secret down whole.
        hide = (
            "import builtins, os, sys\n"
            "SECRET = '-'.join(['tenant', 'a', 'secret'])\n"
            "def f(x):\n"
            "    sys.kept = [SECRET * 10 for _ in range(1000)]\n"
            "    builtins.kept = {SECRET: SECRET.encode() * 10}\n"
            "    os.environ['KEPT'] = SECRET\n"
            "    open('/tmp/kept', 'w').write(SECRET * 1000)\n"
            "    return len(SECRET)\n"
        )
        seek = (
            "import builtins, gc, os, sys\n"
            "def f(x):\n"
            "    secret = '-'.join(['tenant', 'a', 'secret'])\n"
            "    def holds(value):\n"
            "        if isinstance(value, (bytes, bytearray)): return secret.encode() in value\n"
            "        return isinstance(value, str) and secret in value and value is not secret\n"
            "    found, seen = [], set()\n"
            "    stack = [*gc.get_objects(), sys.modules, vars(builtins), os.environ]\n"
            "    stack.extend(sys._current_frames().values())\n"
            "    while stack:\n"
            "        value = stack.pop()\n"
            "        if id(value) in seen: continue\n"
            "        seen.add(id(value))\n"
            "        if holds(value): found.append(repr(value)[:60])\n"
            "        stack.extend(gc.get_referents(value))\n"
            "    for folder, _, names in os.walk('/'):\n"
            "        for name in names:\n"
            "            path = os.path.join(folder, name)\n"
            "            with open(path, 'rb') as file:\n"
            "                if secret.encode() in file.read(): found.append(path)\n"
            "    return repr((len(seen) > 10_000, found))\n"
        )
        hiding = Function(hide, "f", ["BIGINT"], "BIGINT", tenant="isolation-a")
        seeking = Function(seek, "f", ["BIGINT"], "VARCHAR", tenant="isolation-b")
        for _ in range(3):
            self.assertEqual(hiding(ONE), [15])
            self.assertEqual(seeking(ONE), [repr((True, []))])

    def test_prints_do_not_disturb_the_answer(self):
        function = Function("def f(x):\n    print('x' * 100_000)\n    return x\n", "f", ["BIGINT"], "BIGINT")
        self.assertEqual(function(([1] * 50, pa.int64())), [1] * 50)


if __name__ == "__main__":
    sys.exit(unittest.main())
