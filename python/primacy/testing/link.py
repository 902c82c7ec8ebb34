"""A connection between a client and a server that a test can make fall silent, break, or slow down.

A silent link holds what it was given, as TCP does while packets are lost, and hands it on late when it is
healed: what was sent before a fault may arrive after it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import TypeVar

from primacy.testing.changes import now

SIZE = 1 << 16
L = TypeVar("L", bound="Link")

Note = Callable[[str, bool], None]
"""Is told what is done to a link, and when it is as it was before."""


class Direction:
    """One way of a link."""

    def __init__(self, note: Note) -> None:
        self.delay = 0.0  # seconds
        self.held = 0  # bytes that came, and were not handed on yet
        self.passed: bytearray | None = None  # what is handed on from now on, if somebody wants it
        self._note = note
        self._open = asyncio.Event()
        self._open.set()

    def silence(self) -> None:
        self._note("link silent", False)
        self._open.clear()

    def heal(self) -> None:
        self._open.set()

    async def passes(self) -> None:
        await self._open.wait()


class Link:
    """A TCP proxy in front of `target`, HOST:PORT. `address` is where it listens."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.address = ""
        self.note: Note = lambda kind, over: None

        def note(kind: str, over: bool) -> None:
            self.note(kind, over)

        self.to_server, self.to_client = Direction(note), Direction(note)
        self.accepted = 0  # connections, ever
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    async def open(cls: type[L], target: str, host: str = "127.0.0.1", port: int = 0) -> L:
        link = cls(target)
        link._server = await asyncio.start_server(link._accept, host, port)
        host, port = link._server.sockets[0].getsockname()
        link.address = f"{host}:{port}"
        return link

    # Faults

    def silence(self) -> int:
        """Nothing arrives any more, either way. Returns when."""
        self.to_server.silence()
        self.to_client.silence()
        return now()

    def break_(self) -> int:
        """Resets each connection, and each new one, until it is healed."""
        self._refusing = True
        self.note("link broken", False)
        return self._reset()

    def reset(self) -> int:
        """Resets each connection, once."""
        self.note("link reset", False)
        self.note("link reset", True)
        return self._reset()

    def _reset(self) -> int:
        for writer in list(self._writers):
            _reset(writer)
        return now()

    def slow(self, round_trip: float) -> None:
        """Everything takes half of `round_trip`, in seconds, each way."""
        self.note("link slow", round_trip == 0)
        self.to_server.delay = self.to_client.delay = round_trip / 2

    def heal(self) -> int:
        self._refusing = False
        self.slow(0)  # which also notes that it is over
        self.to_server.heal()
        self.to_client.heal()
        return now()

    async def close(self) -> None:
        if self._server:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in list(self._writers):
            writer.close()

    # What passes

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self._writers.add(writer)
        self.accepted += 1
        try:
            if self._refusing:
                _reset(writer)
                return
            await self._carry(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            _reset(writer)
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.to_server.passes()
        await asyncio.sleep(self.to_server.delay + self.to_client.delay)  # the handshake
        target, first = await self._route(reader)
        host, _, port = target.rpartition(":")
        upstream_reader, upstream = await asyncio.open_connection(host, int(port))
        self._writers.add(upstream)
        upstream.write(first)
        try:
            # If one end goes, what it had sent before is still on its way to the other.
            await asyncio.gather(
                _pump(reader, upstream, self.to_server),
                _pump(upstream_reader, writer, self.to_client),
                return_exceptions=True,
            )
        finally:
            self._writers.discard(upstream)
            upstream.close()
            writer.close()

    async def _route(self, reader: asyncio.StreamReader) -> tuple[str, bytes]:
        """Where a connection goes, and what was read to find that out."""
        return self.target, b""


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Direction) -> None:
    """Hands on what is read, in order, each piece `delay` after it came."""
    held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(256)
    loop = asyncio.get_running_loop()

    async def read() -> None:
        data = b"-"
        while data:
            try:
                data = await reader.read(SIZE)
            except OSError:  # a reset
                data = b""
            way.held += len(data)
            await held.put((loop.time() + way.delay, data))

    async def write() -> None:
        while True:
            at, data = await held.get()
            if (wait := at - loop.time()) > 0:
                await asyncio.sleep(wait)
            await way.passes()
            way.held -= len(data)
            if not data:
                with contextlib.suppress(OSError):
                    writer.write_eof()
                return
            if way.passed is not None:
                way.passed += data
            writer.write(data)
            await writer.drain()

    reading = asyncio.create_task(read())
    try:
        await write()
    finally:
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await reading


def _reset(writer: asyncio.StreamWriter) -> None:
    """Closes with a RST, as a machine does that knows nothing of the connection."""
    if (sock := writer.get_extra_info("socket")) is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Swallow:
    """An address at which packets vanish: no connection is ever made, none refused."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._listener = socket.socket()
        self._listener.bind((host, port))
        self._listener.listen(0)
        host, port = self._listener.getsockname()
        self.address = f"{host}:{port}"
        self._held = []
        for _ in range(4):  # who does not fit into the backlog hears nothing
            client = socket.socket()
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect((host, port))
            self._held.append(client)

    def close(self) -> None:
        for sock in (self._listener, *self._held):
            sock.close()
