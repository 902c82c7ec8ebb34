"""A candidate: a place in the cluster that one process after the other fills, and all that they said."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from primacy.testing.changes import Changes, NotInTime, now
from primacy.testing.checks import unanswered
from primacy.testing.coordinator import Connection, Coordinator
from primacy.testing.history import Append, Fault, History, Said, Told
from primacy.testing.machine import REAL, Clock, Network
from primacy.testing.process import Line, pick

ASK_EVERY = 0.025  # seconds between two questions to one process
PATIENCE = 1.0  # seconds that a first yes may take
WRITE_EVERY = 0.05  # seconds between two appends through one process
UP = 20.0  # seconds that a process may take to be a standby or primary
STATES = ("standby", "warmup", "warm", "primary", "ready", "suspended", "resumed", "lost")


@dataclass(frozen=True)
class Cluster:
    """Where the candidates live, and what they are started with."""

    etcd: str
    root: str
    ttl: int
    folder: Path
    changes: Changes
    history: History
    clock: Clock = REAL
    network: Network | None = None


class Candidate:
    """One of the candidates. What is said of "its role" is said of the first, if it has several."""

    def __init__(
        self,
        cluster: Cluster,
        roles: Sequence[str],
        number: int,
        program: Path,
        flags: Sequence[str] = (),
        ask_every: float = ASK_EVERY,
        writes: bool = False,
    ) -> None:
        self.roles, self.role, self.number, self.program = roles, roles[0], number, program
        self.name = f"{self.role} {number}"
        self.flags = flags
        self.paused = False
        self.said: list[Said] = []  # its answers to `who`, of all its processes
        self.processes: list[Coordinator] = []
        self.ended_by_us = False
        self.unclean: list[str] = []  # what was wrong with its stops
        self._ask_every = ask_every
        self._writes = writes
        self._written = 0
        self._cluster = cluster
        self._changes = cluster.changes
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: list[asyncio.Task[None]] = []

    @property
    def process(self) -> Coordinator:
        return self.processes[-1]

    async def start(self) -> None:
        self.ended_by_us = False
        flags = ("--ttl", str(self._cluster.ttl), *self.flags)
        log = self._cluster.folder / f"{self.role}-{self.number}.log"
        network, clock = self._cluster.network, self._cluster.clock
        process = await Coordinator.launch(
            self.program,
            self._cluster.etcd,
            self._cluster.root,
            self.roles,
            log,
            self._changes,
            *flags,
            prefix=(*(network.prefix if network else ()), *clock.prefix),
            host=network.address if network else "127.0.0.1",
        )
        number = len(self.processes)
        self.processes.append(process)
        process.listeners.append(
            lambda line: self._cluster.history.told(self.name, number, self._dated(line))
        )
        process.note = self._requested
        self._tasks.append(asyncio.create_task(self._while_it_runs(process, self._ask, self._ask_every)))
        if self._writes:
            for role in self.roles:
                self._writers.append(asyncio.create_task(self._write_on(process, role)))

    def _dated(self, line: Line, t: int = 0) -> Line:
        """By our own clock, if that of the process runs at another rate."""
        return line if self._cluster.clock.rate == 1 else {**line, "t": t or now()}

    def _fault(self, kind: str, over: bool = False, t: int = 0) -> None:
        self._cluster.history.fault(kind, self.name, over, t)

    def _requested(self, request: str) -> None:
        if request.startswith("resign "):
            self._fault("resigned")
        elif request.startswith("transfer "):
            self._fault("transferred")

    # Questions that never stop

    async def _while_it_runs(self, process: Coordinator, talk: Talk, every: float) -> None:
        """Over each connection's end. An answer that makes no sense ends it: `unasked` says so."""
        while process.code is None:
            try:
                with contextlib.suppress(OSError):
                    async with process.connection() as connection:
                        while True:
                            await talk(connection)
                            await asyncio.sleep(every)
            except NotInTime:
                if process.code is None:
                    raise
            await asyncio.sleep(every)

    def unasked(self) -> list[str]:
        """What nobody could judge, because it did not answer as it should."""
        ended = [task for task in self._tasks + self._writers if task.done() and not task.cancelled()]
        wrong = [f"{self} was asked no more after {error!r}" for t in ended if (error := t.exception())]
        records = self._cluster.history.records
        faults = [r for r in records if isinstance(r, Fault) and r.target == self.name]
        told = [r for r in records if isinstance(r, Told) and r.candidate == self.name]
        for number, process in enumerate(self.processes):
            wrong += [
                f"{self}: {text}"
                for text in unanswered(
                    [record.line for record in told if record.process == number],
                    self.said,
                    faults,
                    process.ended_at or now(),
                    max(PATIENCE, 4 * self._ask_every),
                )
            ]
        return wrong

    async def _ask(self, connection: Connection) -> None:
        """Who is primary?"""
        asked = now()
        for role in self.roles:
            connection.send(f"who {role}")
        for _ in self.roles:
            said = Said.of(self._dated(await connection.receive(), asked))
            last = self.said[-1].token if self.said else None
            self.said.append(said)
            self._cluster.history.add(said)
            if said.token != last:
                self._changes.tell()

    async def _write_on(self, process: Coordinator, role: str) -> None:
        async def write(connection: Connection) -> None:
            if pick(process.lines, "primary", role=role):  # else it would say no without asking anyone
                await self._append(connection, role)

        await self._while_it_runs(process, write, WRITE_EVERY)

    async def append(self, role: str | None = None) -> Append:
        """One guarded write through it; recorded."""
        async with self.process.connection() as connection:
            return await self._append(connection, role or self.role)

    async def _append(self, connection: Connection, role: str) -> Append:
        self._written += 1
        return await self._cluster.history.append(
            connection, role, self.name, f"{self.name.replace(' ', '-')}:{self._written}"
        )

    # What its present process says of itself

    @property
    def state(self) -> str:
        """Of its role."""
        if not self.processes or self.process.code is not None:
            return "stopped" if self.processes and self.process.code == 0 else "down"
        if self.paused:
            return "paused"
        last = pick(self.process.lines, *STATES, role=self.role)
        return str(last[-1]["event"]) if last else "starting"

    @property
    def token(self) -> int:
        """Of its present win; 0 when it says that it is not primary."""
        if self.state not in ("primary", "ready", "suspended", "resumed"):
            return 0
        return int(self.wins[-1]["token"])

    @property
    def wins(self) -> list[Line]:
        """The `primary` lines of its present process, for its role."""
        return pick(self.process.lines, "primary", role=self.role)

    def describe(self) -> str:
        return f"down with exit code {self.process.code}" if self.state == "down" else self.state

    def is_running(self) -> bool:
        return self.state not in ("stopped", "down", "paused")

    def is_ready(self) -> bool:
        return bool(self.token) and bool(pick(self.process.lines, "ready", role=self.role, token=self.token))

    # What is done to it

    async def pause(self) -> int:
        """SIGSTOP. Returns the time after its last thread had stopped."""
        self._fault("paused")
        _, stopped = await self.process.pause()
        self.paused = True
        return stopped

    def resume(self) -> int:
        """SIGCONT. Returns when."""
        self._fault("paused", over=True)
        self.paused = False
        return self.process.resume()

    async def crash(self) -> int:
        """SIGKILL. Returns when."""
        self.ended_by_us = True
        self.paused = False
        before = self.process.signal(signal.SIGKILL)
        self._fault("killed", t=before)
        await self.process.ended(5)
        return before

    async def stop(self, bound: float = 15) -> str:
        """Ends it by SIGTERM. Empty if that was a clean stop, else what was wrong with it, which the
        verdict says, too."""
        self.ended_by_us = True
        await self.process.up()
        self._fault("told to stop")
        self.process.signal(signal.SIGTERM)
        try:
            code = await self.process.ended(bound)
        except NotInTime as late:
            self.unclean.append(f"{self}: {late}")
            raise
        last = self.process.lines[-1].get("event") if self.process.lines else "nothing"
        if not code and last == "stopped":
            return ""
        self.unclean.append(f"{self}: not a clean stop: exit code {code}, last line {last!r}")
        return self.unclean[-1]

    def ids_of_clean_stops(self) -> set[int]:
        """Nothing that bears one of these may be left in etcd."""
        stopped = [process for process in self.processes if process.code == 0]
        return {int(line["id"]) for process in stopped for line in process.lines if line.get("id")}

    async def quiet(self) -> None:
        """Nothing is written through it any more."""
        await _cancel(self._writers)

    async def kill(self) -> None:
        """The end of the test: nothing of it is left."""
        self.ended_by_us = True
        await _cancel(self._writers + self._tasks)
        for process in self.processes:
            await process.kill()

    def __str__(self) -> str:
        return self.name


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


Talk = Callable[[Connection], Awaitable[None]]
