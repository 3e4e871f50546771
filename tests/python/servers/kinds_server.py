"""Functions of every kind, declared by our own decorators."""

from typing import Any, Iterator
from uuid import UUID

import vivarium


@vivarium.udf
def plus_one(x: int) -> int:
    print("seen", x)
    return x + 1


@vivarium.udf
def seen(x: int | None) -> str:
    return repr(x)


@vivarium.udf(on_error="null")
def inverse(x: int) -> float:
    return 1 / x


@vivarium.udf(vectorized=True, parameters=["BIGINT NOT NULL", "BIGINT NOT NULL"], result="BIGINT NOT NULL")
def add_columns(a, b):
    return [x + y for x, y in zip(a, b)]


@vivarium.udtf
def count_to(n: int) -> Iterator[int]:
    for i in range(n):
        yield i


@vivarium.udtf
def endless(n: int) -> Iterator[int]:
    while True:
        yield n


@vivarium.udaf
class Mean:
    def create_state(self) -> tuple[int, int]:
        return 0, 0

    def accumulate(self, state, x: int):
        return state[0] + x, state[1] + 1

    def retract(self, state, x: int):
        return state[0] - x, state[1] - 1

    def merge(self, state, other):
        return state[0] + other[0], state[1] + other[1]

    def finish(self, state) -> float | None:
        return state[0] / state[1] if state[1] else None


@vivarium.udaf
class BadState:
    def create_state(self) -> int:
        return 0

    def accumulate(self, state, x: int):
        return "not a number"

    def merge(self, state, other):
        return state

    def finish(self, state) -> int:
        return 0


@vivarium.map_batches(parameters={"x": "BIGINT NOT NULL"}, result={"x": "BIGINT NOT NULL", "running": "BIGINT NOT NULL"})
def running_total(batches):
    total = 0
    for batch in batches:
        values = batch["x"].to_list()
        sums = []
        for value in values:
            total += value
            sums.append(total)
        yield {"x": values, "running": sums}


@vivarium.udf
def swell(x: int) -> str:
    return "x" * (x * 1000)


@vivarium.udf
def document(key: UUID, value: Any) -> dict:
    return {str(key): value}
