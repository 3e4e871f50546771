"""A server of databend-udf: the functions of that project's README, and what its decorator can say."""

import datetime
import time
from decimal import Decimal
from typing import Dict, List, Optional, Tuple

from databend_udf import UDFServer, udf


@udf(input_types=["INT", "INT"], result_type="INT")
def add(a: int, b: int) -> int:
    return a + b


@udf(input_types=["INT"], result_type="INT")
def double(x: int) -> int:
    return x * 2


@udf(input_types=["VARCHAR"], result_type="VARCHAR")
def upper(s: str) -> str:
    return s.upper()


@udf(input_types=["DATE", "INT"], result_type="DATE")
def add_days(d: datetime.date, days: int) -> datetime.date:
    return d + datetime.timedelta(days=days)


@udf(input_types=["DECIMAL(10,2)"], result_type="DECIMAL(10,2)")
def add_tax(price: Decimal) -> Decimal:
    return round(price * Decimal("1.1"), 2)


@udf(input_types=["ARRAY(INT)"], result_type="INT")
def array_sum(arr: List[int]) -> int:
    return sum(arr)


@udf(input_types=["MAP(VARCHAR, INT)"], result_type="INT")
def map_sum(m: Dict[str, int]) -> int:
    return sum(m.values())


@udf(input_types=["TUPLE(INT, VARCHAR)"], result_type="VARCHAR")
def tuple_format(t: Tuple[int, str]) -> str:
    return f"{t[0]}: {t[1]}"


@udf(input_types=["VECTOR(4)"], result_type="VECTOR(4)")
def normalize_vector(v: List[float]) -> List[float]:
    norm = sum(x * x for x in v) ** 0.5
    return [x / norm for x in v] if norm > 0 else v


@udf(input_types=["INT"], result_type="INT", skip_null=True)
def double_or_null(x: int) -> int:
    return x * 2


@udf(input_types=["INT"], result_type="INT", skip_null=False)
def double_or_zero(x: Optional[int]) -> int:
    return x * 2 if x is not None else 0


@udf(input_types=["ARRAY(INT NULL)"], result_type="INT", skip_null=False)
def sum_non_null(arr: List[Optional[int]]) -> int:
    return sum(x for x in arr if x is not None)


@udf(
    input_types=["INT", "INT"],
    result_type=[("left", "INT"), ("right", "INT"), ("sum", "INT")],
    batch_mode=True,
)
def expand_pairs(left: List[int], right: List[int]):
    return [{"left": l, "right": r, "sum": l + r} for l, r in zip(left, right)]


@udf(input_types=["INT"], result_type=[("n", "INT NOT NULL"), ("text", "VARCHAR")])
def countdown(n: int):
    for i in range(n, 0, -1):
        yield i, "x" * i


@udf(input_types=["INT"], result_type="INT", io_threads=32)
def fetch_data(id: int) -> int:
    time.sleep(0.001)
    return id * 2


@udf(input_types=["INT"], result_type="INT", max_concurrency=10, concurrency_timeout=30)
def expensive_operation(x: int) -> int:
    return x * 2


@udf(input_types=["VARIANT", "VARCHAR"], result_type="VARIANT")
def json_get(value, key):
    return value.get(key) if value is not None else None


@udf(input_types=["INT", "INT"], result_type="INT", batch_mode=True, name="sums")
def add_columns(a, b):
    return [x + y for x, y in zip(a, b)]


if __name__ == "__main__":
    server = UDFServer("0.0.0.0:8815")
    server.add_function(add)
    server.serve()
