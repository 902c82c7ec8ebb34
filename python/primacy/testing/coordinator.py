"""A sample coordinator as a process: its flags, its lines, its answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from primacy.testing.changes import Changes, now, within
from primacy.testing.process import Line, Process, pick

Answer = dict[str, Any]


class Connection:
    """A TCP connection to a coordinator: text lines out, one JSON line back for each."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: Callable[[str], None]
    ) -> None:
        self._reader, self._writer, self._note = reader, writer, note

    def send(self, request: str) -> None:
        self._note(request)
        self._writer.write(request.encode() + b"\n")

    async def receive(self) -> Answer:
        raw = await self._reader.readline()
        if not raw.endswith(b"\n"):  # it died, perhaps in the middle of a line
            raise ConnectionResetError("closed without an answer")
        answer: Answer = json.loads(raw)
        answer["received"] = now()
        return answer

    async def ask(self, request: str) -> Answer:
        self.send(request)
        return await self.receive()

    def close(self) -> None:
        self._writer.close()


class Coordinator(Process):
    """One running coordinator."""

    def __init__(self, child: asyncio.subprocess.Process, log: Path, changes: Changes) -> None:
        self.address = ""
        self.note: Callable[[str], None] = lambda request: None  # is told of each before it is sent
        super().__init__(child, log, changes)

    @classmethod
    async def launch(
        cls,
        program: Path,
        etcd: str,
        root: str,
        roles: Sequence[str],
        log: Path,
        changes: Changes,
        *flags: str,
        prefix: Sequence[str] = (),
        host: str = "127.0.0.1",
    ) -> Coordinator:
        """`prefix`: a program that runs it, with its flags."""
        args: list[str | Path] = [*prefix, program, "--etcd", etcd, "--root", root]
        args += ["--address", f"{host}:0", *flags]
        for role in roles:
            args += ["--role", role]
        process = await cls.start(args, log, changes)
        assert isinstance(process, Coordinator)
        return process

    def heard(self, line: Line) -> None:
        if line.get("event") == "listening":
            self.address = line.get("address", "")
        super().heard(line)

    async def line(self, event: str, bound: float = 15, after: int = 0, **fields: Any) -> Line:
        """The first such line from index `after` on."""
        found = await self.while_running(
            lambda: pick(self.lines[after:], event, **fields), bound, f"the line {event!r} {fields or ''}"
        )
        return found[0]

    async def up(self) -> None:
        """Until it listens: from then on a signal ends it as its contract says."""
        await self.while_running(lambda: self.address, 15, "the line 'listening'")

    async def connect(self) -> Connection:
        await self.up()
        host, _, port = self.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        return Connection(reader, writer, lambda request: self.note(request))

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        opened = await self.connect()
        try:
            yield opened
        finally:
            opened.close()

    async def ask(self, request: str, bound: float = 5) -> Answer:
        """One request on a connection of its own."""
        async with self.connection() as opened:
            return await within(opened.ask(request), bound)
