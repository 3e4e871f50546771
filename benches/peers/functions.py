"""What is measured: functions as their authors write them, and rows for them."""

import dataclasses

import pyarrow as pa

BATCH_ROWS = 65_536
BATCHES = 16


@dataclasses.dataclass
class Case:
    """One function, for us and for a native server."""

    name: str
    handler: str
    code: str  # the plain function; a column at a time if `batch_mode`
    input_types: list
    result_type: str
    columns: list  # pyarrow arrays of one batch
    batch_mode: bool = False
    of_row: object = None  # what a row is answered, if `batch_mode`

    @property
    def batch(self):
        names = [f"arg{number + 1}" for number in range(len(self.columns))]
        return pa.RecordBatch.from_arrays(self.columns, names=names)

    @property
    def function(self):
        names = {}
        exec(self.code, names)
        return names[self.handler]

    def answers(self):
        """What the function answers for the batch, as Python's values."""
        of_row = self.of_row or self.function
        return [of_row(*row) for row in zip(*(column.to_pylist() for column in self.columns))]


def cases(rows=BATCH_ROWS):
    """The functions, each with a batch of `rows` rows."""
    integers = [pa.array(range(start, rows * 7 + start, 7), pa.int64()) for start in (0, 1)]
    numbers = [pa.array([row * 0.25 + start for row in range(rows)], pa.float64()) for start in (0, 1)]
    texts = [pa.array([f"customer {row}" for row in range(rows)])]
    return [
        Case("int64 a + b", "add", "def add(a, b):\n    return a + b\n", ["BIGINT", "BIGINT"], "BIGINT", integers),
        Case("str.upper", "upper", "def upper(s):\n    return s.upper()\n", ["VARCHAR"], "VARCHAR", texts),
        Case(
            "NumPy batch a * 2 + b",
            "scale",
            "import numpy as np\n\ndef scale(a, b):\n    return np.asarray(a) * 2 + np.asarray(b)\n",
            ["DOUBLE", "DOUBLE"],
            "DOUBLE",
            numbers,
            batch_mode=True,
            of_row=lambda a, b: a * 2 + b,
        ),
        Case(
            "a loop of 30 steps",
            "steps",
            "def steps(n):\n    total = 0\n    for step in range(30):\n        total += (n ^ step) % 7\n    return total\n",
            ["BIGINT"],
            "BIGINT",
            integers[:1],
        ),
    ]
