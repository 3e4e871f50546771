"""What forks of one image have in common, and what they must not.

An image is modelled by its stages: no entropy until `vivarium_freeze`, then a fork's first call.
Two guests with the same hash seed and the same code are two forks of one image.
"""

import time
import unittest

import pyarrow as pa

from support import Function, failure, is_wasm, new_backend

NOTSUP = 58
DREW = 1


@unittest.skipUnless(is_wasm(), "needs instances of their own")
class Entropy(unittest.TestCase):
    def image(self, code, result=pa.string()):
        backend = new_backend()
        backend.entropy_errno = NOTSUP
        function = Function(code, [], result, backend=backend)
        flags = backend.call("vivarium_image_flags")
        self.assertEqual(backend.call("vivarium_freeze"), 0)
        backend.entropy_errno = 0
        return function, flags

    def draws(self, code, **options):
        draws = []
        for _ in range(2):
            function, flags = self.image(code, **options)
            draws.append(function(length=2).to_pylist())
            # The seeds of two instances would differ by the clock alone; the same clock must do.
        self.assertEqual(flags, 0)
        return draws

    def test_forks_do_not_repeat(self):
        for code in (
            "import random\ndef f(): return str(random.random())",
            "from random import random, shuffle\ndef f(): return str(random())",
            "import random\ng = random.Random()\ndef f(): return str(g.random())",
            "import random\ng = random.Random(None)\ndef f(): return str(g.gauss(0, 1))",
            "import random\nclass G(random.Random): pass\ng = G()\ndef f(): return str(g.random())",
            "import random\nrandom.seed(5)\nrandom.seed()\ndef f(): return str(random.random())",
            "import uuid\ndef f(): return str(uuid.uuid4())",
            "import uuid\ndef f(): return str(uuid.uuid1().node)",
            "import secrets\ndef f(): return secrets.token_hex()",
            "import os\ndef f(): return os.urandom(8).hex()",
            "import random\ng = random.SystemRandom()\ndef f(): return str(g.random())",
            "import tempfile\nnames = tempfile._get_candidate_names()\ndef f(): return next(names)",
        ):
            with self.subTest(code=code):
                one, other = self.draws(code)
                self.assertNotEqual(one, other)
                if "node" not in code:
                    self.assertNotEqual(one[0], one[1])

    def test_a_chosen_seed_is_kept(self):
        for code in (
            "import random\nrandom.seed(5)\ndef f(): return str(random.random())",
            "import random\ng = random.Random(5)\ndef f(): return str(g.random())",
            "import random\ng = random.Random()\ng.seed('x')\ndef f(): return str(g.random())",
            "import random\ng = random.Random()\ng.setstate(random.Random(3).getstate())\ndef f(): return str(g.random())",
        ):
            with self.subTest(code=code):
                one, other = self.draws(code)
                self.assertEqual(one, other)

    def test_seeding_inside_the_function_works(self):
        one, other = self.draws("import random\ndef f():\n    random.seed(1)\n    return str(random.random())")
        self.assertEqual(one, other)
        self.assertEqual(one[0], one[1])

    def test_drawing_while_importing_is_reported(self):
        for code in (
            "import random\nx = random.random()",
            "import random\nx = [1, 2, 3]\nrandom.shuffle(x)",
            "import random\ng = random.Random()\nx = g.random()",
            "import random\nx = random.Random().random()",
        ):
            with self.subTest(code=code):
                function, flags = self.image(code + "\ndef f(): return str(x)")
                self.assertEqual(flags, DREW)
                function(length=1)
        for code in ("import random", "import random\nx = random.Random(1).random()\nrandom.seed(3)\ny = random.random()"):
            with self.subTest(code=code):
                self.assertEqual(self.image(code + "\ndef f(): return ''")[1], 0)

    def test_no_entropy_while_importing(self):
        for code in (
            "import os\nos.urandom(4)",
            "import uuid\nuuid.uuid4()",
            "import secrets\nsecrets.token_hex()",
            "import random\nrandom.SystemRandom().random()",
        ):
            with self.subTest(code=code):
                backend = new_backend()
                backend.entropy_errno = NOTSUP
                parts = failure(self, Function, code, [], pa.int8(), backend=backend)
                self.assertEqual((parts["kind"], parts["class"]), ("import", "OSError"))
                self.assertIn("draw them inside the function", parts["message"])

    def test_the_reseed_is_quick_and_happens_once(self):
        function, _ = self.image("import random\ndef f(): return str(random.random())")
        start = time.perf_counter()
        function(length=1)
        self.assertLess(time.perf_counter() - start, 0.05)
        backend = function.backend
        backend.entropy_errno = NOTSUP
        function(length=1)

    def test_a_failing_reseed_stops_the_call(self):
        function, _ = self.image("import random\ndef f(): return str(random.random())")
        function.backend.entropy_errno = NOTSUP
        self.assertEqual(failure(self, function, length=1)["kind"], "internal")
        function.backend.entropy_errno = 0
        function(length=1)

    def test_the_hash_seed_decides_the_order_of_sets(self):
        one, other = self.draws("def f(): return str(set(map(str, range(20))))")
        self.assertEqual(one, other)


if __name__ == "__main__":
    unittest.main()
