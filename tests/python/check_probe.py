"""A function with a package, for a server whose resolver refuses: its message comes back."""

import pyarrow as pa
import pyarrow.flight as flight

from service import Function

function = Function("def f(x): return x", "f", ["BIGINT NULL"], "BIGINT NULL", packages=["humanize"])
try:
    function(pa.array([1], pa.int64()))
except (flight.FlightError, pa.ArrowException) as error:
    assert "packages.resolver" in str(error), error
else:
    raise AssertionError("there is no package")

# Everything else goes on.
assert Function("def g(x): return x + 1", "g", ["BIGINT NULL"], "BIGINT NULL")(pa.array([1], pa.int64())) == [2]
