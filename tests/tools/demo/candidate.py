"""A candidate: a place in the cluster that one process after the other fills, and all that they said."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import dataclass
from pathlib import Path

from harness.changes import Changes
from harness.coordinator import Connection, Coordinator
from harness.process import Line, pick

from demo.judge import Said

ASK_EVERY = 0.025  # seconds between two questions to one process
UP = 20.0  # seconds that a process may take to be a standby or primary


@dataclass(frozen=True)
class Cluster:
    """Where the candidates live, and what they are started with."""

    etcd: str
    root: str
    ttl: int
    folder: Path
    changes: Changes


class Candidate:
    """One of the candidates for a role."""

    def __init__(self, cluster: Cluster, role: str, number: int, program: Path) -> None:
        self.role, self.number, self.program = role, number, program
        self.name = f"{role} {number}"
        self.paused = False
        self.said: list[Said] = []  # its answers to `who`, of all its processes
        self.wins: list[Line] = []  # its `primary` lines, of all its processes
        self.processes: list[Coordinator] = []
        self._cluster = cluster
        self._changes = cluster.changes
        self._asking: asyncio.Task[None] | None = None

    @property
    def process(self) -> Coordinator:
        return self.processes[-1]

    async def start(self) -> None:
        flags = ("--ttl", str(self._cluster.ttl))
        log = self._cluster.folder / f"{self.role}-{self.number}.log"
        process = await Coordinator.launch(
            self.program, self._cluster.etcd, self._cluster.root, [self.role], log, self._changes, *flags
        )
        self.processes.append(process)
        self._asking = asyncio.create_task(self._ask_on(process))

    async def _ask_on(self, process: Coordinator) -> None:
        """Keeps asking who is primary, until the process ends."""
        while process.code is None:
            with contextlib.suppress(OSError, ValueError):
                async with process.connection() as connection:
                    await self._ask(connection)
            await asyncio.sleep(ASK_EVERY)

    async def _ask(self, connection: Connection) -> None:
        last = None
        while True:
            answer = await connection.ask(f"who {self.role}")
            said = Said.of(answer)
            self.said.append(said)
            if said.token != last:
                last = said.token
                self._changes.tell()
            await asyncio.sleep(ASK_EVERY)

    # What its present process says of itself

    @property
    def state(self) -> str:
        if not self.processes or self.process.code is not None:
            return "stopped" if self.processes and self.process.code == 0 else "down"
        if self.paused:
            return "paused"
        last = pick(
            self.process.lines,
            "standby",
            "warmup",
            "warm",
            "primary",
            "ready",
            "suspended",
            "resumed",
            "lost",
        )
        return str(last[-1]["event"]) if last else "starting"

    @property
    def token(self) -> int:
        """Of its present win; 0 when it says that it is not primary."""
        if self.state not in ("primary", "ready", "suspended", "resumed"):
            return 0
        return int(pick(self.process.lines, "primary")[-1]["token"])

    def is_running(self) -> bool:
        return self.state not in ("stopped", "down", "paused")

    def is_ready(self) -> bool:
        return bool(self.token) and bool(pick(self.process.lines, "ready", token=self.token))

    async def stop(self, bound: float = 15) -> str:
        """Ends it by SIGTERM. Empty if that was a clean stop, else what was wrong with it."""
        self.process.signal(signal.SIGTERM)
        code = await self.process.ended(bound)
        last = self.process.lines[-1]["event"] if self.process.lines else "nothing"
        if code or last != "stopped":
            return f"{self.name}: not a clean stop: exit code {code}, last line {last!r}"
        return ""

    async def kill(self) -> None:
        if self._asking:
            self._asking.cancel()
        for process in self.processes:
            await process.kill()
