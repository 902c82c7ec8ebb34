"""Ports for servers that are stopped and started again: they must still be free then."""

from __future__ import annotations

import contextlib
import random
import socket

# Below what Linux gives to outgoing connections, which would take the port of a server that is down.
RANGE = range(12000, 32000)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that were free a moment ago."""
    found: set[int] = set()
    while len(found) < count:
        port = random.choice(RANGE)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.add(port)
    return list(found)
