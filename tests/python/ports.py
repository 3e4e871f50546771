"""Ports for servers that have to know theirs before they start."""

import random
import socket

# Below the range from which the system takes the ports of outgoing connections.
PORTS = range(10_240, 32_768)


def free_port():
    """A port on loopback that nobody uses, and that no client will be given."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as attempt:
            try:
                attempt.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
