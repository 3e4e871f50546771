"""What functions may ask about the request. The sandbox passes data only, so the answers are those of
a request without headers."""

import time
from dataclasses import dataclass
from typing import Any, Dict, Union, get_args, get_origin


class QueryCancelledError(RuntimeError):
    """The query was cancelled. Never raised here: the sandbox ends the function instead."""


class ConcurrencyLimitExceeded(Exception):
    """Too many calls at once. Never raised here: the server bounds concurrency itself."""


class QueryState:
    """The state of a query, which is never cancelled as far as the function can see."""

    def __init__(self, context=None):
        self._cancelled = False
        self._start_time = time.time()

    def is_cancelled(self):
        return self._cancelled

    def cancel(self):
        self._cancelled = True


@dataclass
class StageLocation:
    """A stage argument, which the server resolves outside of the sandbox."""

    name: str
    stage_name: str
    stage_type: str
    storage: Dict[str, Any]
    relative_path: str
    raw_info: Dict[str, Any]


def is_stage_hint(hint):
    """Whether a parameter's hint marks a stage argument."""
    if hint is StageLocation or (type(hint) is str and hint == "StageLocation"):
        return True
    return get_origin(hint) is Union and any(map(is_stage_hint, get_args(hint)))


class Headers:
    """The headers of a request: none."""

    def __init__(self, headers=None, context=None):
        self.raw_headers = headers or {}
        self.query_state = QueryState(context)
        self._values = {}
        for key, value in self.raw_headers.items():
            values = value if isinstance(value, (list, tuple)) else [value]
            self._values[key.lower()] = [v.decode() if isinstance(v, bytes) else str(v) for v in values]
        self.tenant = self.get("x-databend-tenant", "")
        self.queryid = self.get("x-databend-query-id", "")

    def get(self, key, default=None):
        values = self._values.get(key.lower())
        return values[0] if values else default

    def get_all(self, key):
        return list(self._values.get(key.lower(), []))

    @property
    def stage_locations(self):
        return {}

    def get_stage_location(self, name):
        return None

    def require_stage_locations(self, names):
        if names:
            missing = ", ".join(sorted(names))
            raise ValueError(
                f"Missing stage mapping for parameter(s): {missing}. Stages are not passed to the sandbox"
            )
        return {}
