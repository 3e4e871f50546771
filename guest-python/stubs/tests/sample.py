"""Every decorator, as a type checker sees it, and in a shape that runs in the sandbox, too."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

import vivarium


@dataclasses.dataclass
class Point:
    x: float
    y: float


class Named(NamedTuple):
    name: str
    at: Point | None


@vivarium.udf
def distance(a: Point, b: Point) -> float:
    return float(((a.x - b.x) ** 2 + (a.y - b.y) ** 2) ** 0.5)


@vivarium.udf(name="nearest", null_handling="call", on_error="null")
def closest(point: Point, candidates: list[Named]) -> str | None:
    return min(candidates, key=lambda named: distance(point, named.at or point)).name


@vivarium.udf(parameters=["DECIMAL(10, 2)"], result="DECIMAL(10, 2)")
def net(gross: Decimal) -> Decimal:
    return round(gross / Decimal("1.19"), 2)


@vivarium.udf(parameters={"by": "INT"})
def shift(value: Annotated[int, "SMALLINT"], by: int = 1) -> int:
    return value + by


@vivarium.udf(vectorized=True)
def double(values: list[int]) -> list[int]:
    return [2 * value for value in values]


@vivarium.udf(vectorized=True, parameters=[float], result=float)
def scale(values: vivarium.Column) -> Iterator[float | None]:
    for value in values:
        yield None if value is None else value / 2


@vivarium.udf
def words(text: str) -> Iterator[str]:
    yield from text.split()


@vivarium.udtf(result={"position": "INT", "word": str})
def positions(text: str) -> Iterator[tuple[int, str]]:
    yield from enumerate(text.split())


@vivarium.udaf
class Mean:
    def create_state(self) -> tuple[float, int]:
        return 0.0, 0

    def accumulate(self, state: tuple[float, int], value: float) -> tuple[float, int]:
        return state[0] + value, state[1] + 1

    def merge(self, a: tuple[float, int], b: tuple[float, int]) -> tuple[float, int]:
        return a[0] + b[0], a[1] + b[1]

    def finish(self, state: tuple[float, int]) -> float | None:
        return state[0] / state[1] if state[1] else None


@vivarium.udaf(name="distinct_values", state="LIST<VARCHAR NOT NULL>")
class Distinct:
    def __init__(self) -> None:
        self.seen: set[str] = set()

    @property
    def aggregate_state(self) -> list[str]:
        return sorted(self.seen)

    def accumulate(self, value: str) -> None:
        self.seen.add(value)

    def merge(self, other: list[str]) -> None:
        self.seen.update(other)

    def finish(self) -> int:
        return len(self.seen)


def _zero() -> int:
    return 0


def _longer(state: int, text: str) -> int:
    return max(state, len(text))


longest = vivarium.udaf(create_state=_zero, accumulate=_longer, merge=max, parameters=["VARCHAR"], result="BIGINT")


@vivarium.map_batches(parameters={"price": float}, result={"total": float})
def running_total(batches: Iterator[vivarium.RecordBatch]) -> Iterator[dict[str, list[float]]]:
    total = 0.0
    for batch in batches:
        totals: list[float] = []
        for price in batch["price"]:
            total += price
            totals.append(total)
        yield {"total": totals}


@vivarium.map_batches(result=[("row", "JSON")])
def rows(batches: Iterator[vivarium.RecordBatch]) -> Iterator[list[dict[str, Any]]]:
    for batch in batches:
        yield [{"row": row} for row in batch.to_pylist()]


@vivarium.udf
def later(by: Annotated[tuple[int, int, int], "INTERVAL"]) -> vivarium.MonthDayNano:
    return vivarium.MonthDayNano(*by)


assert distance(Point(0, 0), Point(3, 4)) == 5.0
assert list(words("a b")) == ["a", "b"]
assert Mean().finish((6.0, 3)) == 2.0
