"""Names of pyarrow.flight, so that files which start a Flight server can be imported. Vivarium serves
their functions itself."""

from ._absent import Absent, missing


def __getattr__(name):
    raise AttributeError(missing(f"pyarrow.flight.{name}"))


class FlightServerBase:
    """A server that is never started."""

    port = 0

    def __init__(self, location=None, *arguments, **options):
        pass

    def serve(self):
        """Returns at once."""

    def run(self):
        """Returns at once."""

    def wait(self):
        """Returns at once."""

    def shutdown(self):
        """Does nothing."""

    def __enter__(self):
        return self

    def __exit__(self, kind, exception, traceback):
        return None


class ServerMiddleware:
    pass


class ServerMiddlewareFactory:
    pass


class ServerAuthHandler:
    pass


class FlightClient(metaclass=Absent):
    pass


class FlightInfo(metaclass=Absent):
    pass


class FlightDescriptor(metaclass=Absent):
    pass


class FlightEndpoint(metaclass=Absent):
    pass


class Location(metaclass=Absent):
    pass


class Ticket(metaclass=Absent):
    pass


class ServerCallContext(metaclass=Absent):
    pass


class FlightError(Exception):
    pass


class FlightServerError(FlightError):
    pass


class FlightUnavailableError(FlightError):
    pass


class FlightUnauthenticatedError(FlightError):
    pass


class FlightUnauthorizedError(FlightError):
    pass


class FlightCancelledError(FlightError):
    pass


class FlightInternalError(FlightError):
    pass
