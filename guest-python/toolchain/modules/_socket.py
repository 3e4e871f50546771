"""`_socket` without a network: what `socket` and the modules that import it need to be imported.

Sockets cannot be made, names cannot be resolved: both raise an OSError. Only socketpair() works, as
far as an asyncio event loop needs it to wake itself up.
"""

import errno

error = OSError
timeout = TimeoutError


class herror(OSError):
    """An address could not be resolved."""


class gaierror(OSError):
    """A name could not be resolved."""


has_ipv6 = False

AF_UNSPEC = 0
AF_INET = 1
AF_INET6 = 2
SOCK_STREAM = 6
SOCK_DGRAM = 5
SOL_SOCKET = 0x7FFFFFFF
SO_TYPE = 3
SO_ERROR = 4
SO_REUSEADDR = 2
SO_KEEPALIVE = 9
SO_BROADCAST = 6
SOMAXCONN = 128
IPPROTO_IP = 0
IPPROTO_TCP = 6
IPPROTO_UDP = 17
IPPROTO_IPV6 = 41
IPV6_V6ONLY = 26
TCP_NODELAY = 1
MSG_PEEK = 1
SHUT_RD = 0
SHUT_WR = 1
SHUT_RDWR = 2
AI_PASSIVE = 1
AI_CANONNAME = 2
AI_NUMERICHOST = 4
AI_ADDRCONFIG = 32
EAI_NONAME = -2
NI_NUMERICHOST = 1
NI_NUMERICSERV = 2
INADDR_ANY = 0
INADDR_LOOPBACK = 0x7F000001

_default_timeout = None
_next_number = 1 << 20


def _no_network(*arguments, **named):
    raise OSError(errno.ENOTSUP, "the sandbox has no network")


def _no_names(*arguments, **named):
    raise gaierror(EAI_NONAME, "the sandbox has no network, names cannot be resolved")


class _End(int):
    """A descriptor number with the bytes that arrived there, and where the peer's bytes go."""

    def __new__(cls):
        global _next_number
        _next_number += 1
        end = super().__new__(cls, _next_number)
        end.input = bytearray()
        return end


class socket:
    """One end of a socketpair(); the only kind of socket there is."""

    __slots__ = ("_end", "_timeout")

    family, type, proto = AF_INET, SOCK_STREAM, 0

    def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
        if not isinstance(fileno, _End):
            _no_network()
        self._end = fileno
        self._timeout = _default_timeout

    def fileno(self):
        return -1 if self._end is None else self._end

    def close(self):
        self._end = None

    def detach(self):
        end = self.fileno()
        self._end = None
        return end

    def setblocking(self, blocking):
        self._timeout = None if blocking else 0.0

    def settimeout(self, timeout):
        self._timeout = timeout

    def gettimeout(self):
        return self._timeout

    def getblocking(self):
        return self._timeout != 0.0

    def send(self, data, flags=0):
        if self._end is None:
            raise OSError(errno.EBADF, "Bad file descriptor")
        self._end.peer.input.extend(data)
        return len(data)

    def recv(self, size, flags=0):
        if self._end is None:
            raise OSError(errno.EBADF, "Bad file descriptor")
        if not self._end.input:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        received = bytes(self._end.input[:size])
        del self._end.input[:size]
        return received

    def shutdown(self, how):
        pass

    def setsockopt(self, *arguments):
        pass


for _name in ("accept", "bind", "connect", "connect_ex", "getpeername", "getsockname", "getsockopt", "listen"):
    setattr(socket, _name, _no_network)
for _name in ("recv_into", "recvfrom", "recvfrom_into", "sendall", "sendto"):
    setattr(socket, _name, _no_network)

SocketType = socket


def socketpair(family=AF_INET, type=SOCK_STREAM, proto=0):
    one, other = _End(), _End()
    one.peer, other.peer = other, one
    return socket(fileno=one), socket(fileno=other)


def getdefaulttimeout():
    return _default_timeout


def setdefaulttimeout(timeout):
    global _default_timeout
    _default_timeout = timeout


def gethostname():
    return "localhost"


def htons(value):
    return int.from_bytes(value.to_bytes(2, "little"), "big")


def htonl(value):
    return int.from_bytes(value.to_bytes(4, "little"), "big")


ntohs, ntohl = htons, htonl


def inet_aton(address):
    parts = address.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and int(part) < 256 for part in parts):
        raise OSError("illegal IP address string passed to inet_aton")
    return bytes(map(int, parts))


def inet_ntoa(packed):
    if len(packed) != 4:
        raise OSError("packed IP wrong length")
    return ".".join(map(str, packed))


close = dup = _no_network
getaddrinfo = getnameinfo = gethostbyname = gethostbyname_ex = gethostbyaddr = _no_names
getprotobyname = getservbyname = getservbyport = _no_network
