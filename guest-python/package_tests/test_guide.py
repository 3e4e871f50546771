"""The guide's examples are what it says they are, and plain functions do not pay for decorators."""

import os
import re
import subprocess
import sys
import unittest

from support import HERE, Case, describe, only

IMPORTS = "import vivarium\nfrom typing import *\n"

with open(os.path.join(HERE, "..", "AUTHORING.md")) as file:
    GUIDE = file.read()

LOADING = """
import sys
sys.path.insert(0, {here!r})
from support import load
import vivarium._prelude
def loaded():
    return sorted(n for n in sys.modules if n.partition(".")[0] in ("vivarium", "arrow_udf", "databend_udf", "pyarrow"))
print(*loaded())
load("def f(x: int): return x", 1)
print(*loaded())
load("def f(x: int): return x", 1, null_handling="annotations")
print(*loaded())
"""


class Guide(Case):
    def test_examples(self):
        blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.S)
        # That with NumPy is tried in the guest that has it.
        blocks = [block for block in blocks if "numpy" not in block]
        found = {f["name"]: f["kind"] for block in blocks for f in describe(IMPORTS + block)}
        kinds = {"area": "scalar", "double": "vectorized", "words": "table", "positions": "table"}
        self.assertEqual(found, kinds | {"Mean": "aggregate", "running_total": "map"})

    def test_types(self):
        imports = IMPORTS + "from datetime import *\nimport uuid, decimal\nT = T1 = int; T2 = K = str; V = float\n"
        table = re.search(r"\| hint \| type \|.*?\n\n", GUIDE, re.S)[0]
        pairs = [re.split(r"(?<!\\)\|", line)[1:6] for line in table.splitlines()[2:] if line]
        pairs = [(row[0], row[1]) for row in pairs] + [(row[3], row[4]) for row in pairs]
        checked = 0
        for hints, words in pairs:
            expected = [word.strip() for word in words.split(",")] if "," in words and "(" not in words else [words.strip()]
            for index, hint in enumerate(re.findall(r"`([^`]*)`", hints)):
                if hint == "type":
                    continue
                hint = hint.replace("\\|", "|")
                expected_type = expected[min(index, len(expected) - 1)]
                if not re.match(r"[A-Z]{2}", expected_type) or not re.match(r"[\w.]+(\[|$| \|)", hint):
                    continue
                if hint in ("NamedTuple", "TypedDict"):
                    continue
                with self.subTest(hint):
                    code = f"{imports}\n@vivarium.udf(null_handling='call')\ndef f(x: {hint}) -> int: pass"
                    text = only(code)["parameters"][0]["type"]
                    self.assertTrue(text.startswith(expected_type.split(" with")[0]), (text, expected_type))
                    checked += 1
        self.assertGreater(checked, 20)

    def test_what_plain_functions_load(self):
        run = [sys.executable, "-c", LOADING.format(here=HERE)]
        base, plain, hinted = subprocess.run(run, check=True, capture_output=True, text=True).stdout.splitlines()
        names = ("_entropy", "_errors", "_loader", "_prelude", "_unboxed", "_warm")
        own = ["vivarium", *(f"vivarium.{name}" for name in names)]
        self.assertEqual(base.split(), own)
        self.assertEqual(plain.split(), own)
        self.assertEqual(hinted.split(), sorted([*own, "vivarium._declaration", "vivarium._hints"]))


if __name__ == "__main__":
    unittest.main()
