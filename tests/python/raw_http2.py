"""A client of HTTP/2 that keeps no rule of it: frames by hand, over a socket."""

import socket
import struct

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
CANCEL, ENHANCE_YOUR_CALM = 8, 11
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DO_EXCHANGE = "/arrow.flight.protocol.FlightService/DoExchange"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _integer(value, prefix_bits):
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes([value])
    out, value = bytes([most]), value - most
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def literal(name, value):
    """One header, in HPACK's plainest form."""
    name, value = name.encode(), value.encode()
    return b"\x00" + _integer(len(name), 7) + name + _integer(len(value), 7) + value


def request(headers=(), path=DO_EXCHANGE):
    """The header block of a gRPC call."""
    common = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x")]
    common += [("content-type", "application/grpc"), ("te", "trailers")]
    return b"".join(literal(name, value) for name, value in [*common, *dict(headers).items()])


def message(content):
    """A message of gRPC."""
    return b"\x00" + struct.pack(">I", len(content)) + content


class Closed(Exception):
    """The server closed the connection."""


class Connection:
    """One connection. Nothing is answered on its own: neither settings nor pings."""

    def __init__(self, address, timeout, settings=b"", preface=PREFACE):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.read = b""
        if preface:
            self.send(preface + frame(SETTINGS, 0, 0, settings))

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Closed from error

    def frames(self):
        """The frames that the server sends, until it closes the connection."""
        while True:
            while len(self.read) < 9 or len(self.read) < 9 + int.from_bytes(self.read[:3]):
                try:
                    received = self.socket.recv(1 << 16)
                except ConnectionResetError:
                    received = b""
                if not received:
                    return
                self.read += received
            length = int.from_bytes(self.read[:3])
            kind, flags = self.read[3], self.read[4]
            stream = int.from_bytes(self.read[5:9]) & 0x7FFFFFFF
            payload, self.read = self.read[9 : 9 + length], self.read[9 + length :]
            yield kind, flags, stream, payload

    def goodbye(self):
        """The error code with which the server said goodbye, once it has closed; None if it said nothing."""
        code = None
        for kind, _, _, payload in self.frames():
            if kind == GOAWAY:
                code = int.from_bytes(payload[4:8])
        return code

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
