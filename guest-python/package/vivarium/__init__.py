"""Types that functions meet when a column has no counterpart in the standard library."""

from collections import namedtuple

__all__ = ["DayTime", "MonthDayNano"]

DayTime = namedtuple("DayTime", ("days", "milliseconds"))
DayTime.__doc__ = "A value of Arrow's interval[day_time]."

MonthDayNano = namedtuple("MonthDayNano", ("months", "days", "nanoseconds"))
MonthDayNano.__doc__ = "A value of Arrow's interval[month_day_nano]."
