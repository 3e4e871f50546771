"""databend-udf's decorators, for files that were written for its server. Vivarium serves the decorated
functions itself; a `UDFServer` only says which."""

from .client import UDFClient, create_client
from .udf import *  # noqa: F403
from .udf import ConcurrencyLimitExceeded

__all__ = ["UDFClient", "create_client", "ConcurrencyLimitExceeded"]
