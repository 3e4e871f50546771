"""A server of arrow-udf: the functions of that project's README, and what its decorators can say."""

import socket
import struct

from arrow_udf import UdfServer, udf, udtf


@udf(input_types=["INT", "INT"], result_type="INT")
def gcd(x, y):
    while y != 0:
        (x, y) = (y, x % y)
    return x


@udf(
    input_types=["BINARY"],
    result_type="STRUCT<src_addr: STRING, dst_addr: STRING, src_port: INT16, dst_port: INT16>",
)
def extract_tcp_info(tcp_packet: bytes):
    src_addr, dst_addr = struct.unpack("!4s4s", tcp_packet[12:20])
    src_port, dst_port = struct.unpack("!HH", tcp_packet[20:24])
    src_addr = socket.inet_ntoa(src_addr)
    dst_addr = socket.inet_ntoa(dst_addr)
    return {
        "src_addr": src_addr,
        "dst_addr": dst_addr,
        "src_port": src_port,
        "dst_port": dst_port,
    }


@udtf(input_types="INT", result_types="INT")
def series(n):
    for i in range(n):
        yield i


@udtf(input_types=["VARCHAR", "JSON"], result_types=["INT", "VARCHAR", "JSON"], name="split_words")
def split(text, value):
    for index, word in enumerate(text.split()):
        yield index, word, value


@udf(input_types=["VARCHAR"], result_type="REAL[]", batch=True)
def lengths(texts):
    return [[float(len(text))] for text in texts]


@udf(input_types=["DECIMAL"], result_type="DECIMAL")
def tenfold(x):
    return x * 10


if __name__ == "__main__":
    server = UdfServer(location="0.0.0.0:8815")
    for function in (gcd, extract_tcp_info, series, split, lengths, tenfold):
        server.add_function(function)
    server.serve()
