"""Declares functions for Vivarium, and holds the types that have no counterpart elsewhere.

    import vivarium

    @vivarium.udf
    def area(width: float, height: float) -> float:
        return width * height
"""

from collections import namedtuple

from _vivarium import Column, RecordBatch

__all__ = [
    "Column",
    "DayTime",
    "MonthDayNano",
    "RecordBatch",
    "map_batches",
    "udaf",
    "udf",
    "udtf",
]

DayTime = namedtuple("DayTime", ("days", "milliseconds"))
DayTime.__doc__ = "A value of Arrow's interval[day_time]."

MonthDayNano = namedtuple("MonthDayNano", ("months", "days", "nanoseconds"))
MonthDayNano.__doc__ = "A value of Arrow's interval[month_day_nano]."

_DECORATORS = frozenset(("udf", "udtf", "udaf", "map_batches"))


def __getattr__(name):
    # Loaded at the first use, so that functions without a decorator do not pay for them.
    if name not in _DECORATORS:
        raise AttributeError(f"module 'vivarium' has no attribute {name!r}")
    from . import _decorators

    value = globals()[name] = getattr(_decorators, name)
    return value


def __dir__():
    return sorted({*globals(), *__all__})
