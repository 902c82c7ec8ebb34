"""Candidates of one kind at one root: one of them primary, the others waiting; and what is done to them.

Two processes of one candidate each, and with more standbys the others in one process: 200 processes are too
many for the machine. Ours that are many have a lower priority, so that primacy goes to and fro between the
first two; with the others whoever is next may be one of the many.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from primacy.testing.changes import Changes, NotInTime, now
from primacy.testing.coordinator import Connection, Coordinator
from primacy.testing.gateway import Gateway
from primacy.testing.process import Process, below

from peers.kinds import TARGET, Kind

UP = 90.0  # seconds until all are there
ROLE = "rootcoord"


@dataclass(frozen=True)
class Place:
    etcd: str
    folder: Path
    changes: Changes


@dataclass(frozen=True)
class Handover:
    """In nanoseconds: from the request, signal or death to the next one's `primary`; and from the old one's
    `lost`, if it could say so."""

    whole: int
    gap: int | None


@dataclass(eq=False)
class One:
    """A process, and what its candidates have said last, by their ids."""

    process: Process
    state: dict[int, str] = field(default_factory=dict)  # warm, primary or lost
    won: dict[int, int] = field(default_factory=dict)  # when
    lost: dict[int, int] = field(default_factory=dict)
    connection: Connection | None = None

    def listen(self) -> None:
        self.process.listeners.append(self._hear)
        for line in self.process.lines:
            self._hear(line)

    def _hear(self, line: dict[str, object]) -> None:
        event, who = str(line.get("event")), line.get("id")
        if event in ("warm", "primary", "lost") and isinstance(who, int):
            self.state[who] = event
            if event != "warm":
                when = line["t"]
                assert isinstance(when, int)
                (self.won if event == "primary" else self.lost)[who] = when

    async def ask(self, request: str) -> None:
        assert isinstance(self.process, Coordinator)
        if self.connection is None:
            self.connection = await self.process.connect()
        answer = await self.connection.ask(request)
        if not answer.get("ok"):
            raise NotInTime(f"{request}: {answer}")


class Field:
    """See the module. `prefix` is what the programs of its candidates are started by."""

    def __init__(
        self,
        place: Place,
        kind: Kind,
        name: str,
        standbys: int,
        prefix: tuple[str, ...] = (),
        alone: bool = False,
    ) -> None:
        self.kind, self.standbys = kind, standbys
        self._place, self._prefix, self._alone = place, prefix, alone
        self._root = f"bench/{name}"
        self._log = place.folder / f"{name.replace('/', '-')}.log"
        self._all: list[One] = []
        self._crowd: One | None = None
        self._next_id = 1

    async def open(self) -> None:
        await self._begin()
        await self.steady()

    async def _begin(self) -> None:
        await self._start()
        await self._until(lambda: self._primary() is not None, "a primary")
        if not self._alone:
            await self._start()
        if self.standbys > 1:
            self._crowd = await self._start_crowd(self.standbys - 1)

    async def _start(self) -> One:
        kind = self.kind
        flags = [*kind.flags, "--ttl", str(kind.ttl)]
        if not kind.ours:
            flags += ["--first", str(self._next_id)]
            self._next_id += 1
        *starts, program = (*self._prefix, *kind.program)
        place = self._place
        return self._add(
            await Coordinator.launch(
                Path(program), place.etcd, self._root, [ROLE], self._log, place.changes, *flags, prefix=starts
            )
        )

    async def _start_crowd(self, count: int) -> One:
        if self.kind.ours:
            args: list[str | Path] = [TARGET / "bench/crowd", self._place.etcd, self._root, ROLE, str(count)]
        else:
            where = ["--etcd", self._place.etcd, "--root", self._root, "--role", ROLE]
            many = ["--ttl", str(self.kind.ttl), "--count", str(count), "--first", "1000"]
            args = [*self.kind.program, *where, *many]
        return self._add(await Coordinator.start(args, self._log, self._place.changes))

    def _add(self, process: Process) -> One:
        one = One(process)
        one.listen()
        self._all.append(one)
        return one

    def _primary(self) -> tuple[One, int] | None:
        leading = [
            (one, who)
            for one in self._all
            for who, state in one.state.items()
            if state == "primary" and one.process.code is None
        ]
        return leading[0] if len(leading) == 1 else None

    def _is_steady(self) -> bool:
        states = [state for one in self._all if one.process.code is None for state in one.state.values()]
        return states.count("primary") == 1 and states.count("warm") == (0 if self._alone else self.standbys)

    async def steady(self) -> None:
        """Until there is one primary, the others are warm, and say so to all."""
        while True:
            await self._until(self._is_steady, "one primary, and the others warm")
            if not self.kind.ours:
                return
            if not self._leads_from_the_crowd():
                await self._until_told()
                return
            # A lock that is free is anyone's; who was one of many can not be told to hand over.
            await self.close()
            await self._begin()

    def _leads_from_the_crowd(self) -> bool:
        found = self._primary()
        return found is not None and found[0] is self._crowd

    async def _until_told(self) -> None:
        gateway = Gateway(self._place.etcd.partition(",")[0])
        end = now() + UP * 1e9
        wanted = 0 if self._alone else self.standbys
        while now() < end:
            records = await gateway.prefix(f"{self._root}/session/{ROLE}-")
            if sum('"Warm":true' in record.value for record in records) == wanted:
                return
            await asyncio.sleep(0.01)
        raise NotInTime(f"{self.kind.name} with {self.standbys} standbys: all records say warm")

    async def _until(self, holds: Callable[[], bool], what: str) -> None:
        def checked() -> bool:
            ended = [one.process for one in self._all if one.process.code not in (None, 0, -9, 2, 137)]
            if ended:
                raise NotInTime(f"{self.kind.name}: {ended[0]} has ended{ended[0].last_words()}")
            return holds()

        await self._place.changes.until(
            checked, UP, f"{self.kind.name} with {self.standbys} standbys: {what}"
        )

    # What is done; once it is steady.

    async def hand_over(self) -> Handover:
        """The primary is asked to; by a transfer, or by what the others have for it."""
        found = self._primary()
        assert found
        old, who = found
        before = now()
        request = f"transfer {ROLE}" if self.kind.ours else f"resign {ROLE} {who}"
        while True:
            asked = now()
            await old.ask(request)
            try:
                # A transfer goes to nobody until the primary has heard that somebody is warm.
                await self._place.changes.until(lambda: old.lost.get(who, 0) > before, 0.2, "lost")
            except NotInTime:
                continue
            break
        return await self._next(asked, old, who)

    async def stop(self) -> Handover:
        """SIGTERM; then it is started again."""
        return await self._end(signal.SIGTERM)

    async def crash(self, number: signal.Signals, restart: bool = True) -> Handover:
        """It dies of a signal; then it is started again, at once if nobody else is there."""
        return await self._end(number, restart)

    async def _end(self, number: signal.Signals, restart: bool = True) -> Handover:
        found = self._primary()
        assert found
        old, who = found
        asked = now()
        os.kill(self._host(old.process), number)
        if self._alone:
            await old.process.ended(30)
            await self._start()
        took = await self._next(asked, old, who)
        await old.process.ended(60)
        self._all.remove(old)
        if restart and not self._alone:
            await self._start()
        return took

    def _host(self, process: Process) -> int:
        """The candidate itself, if something else has started it."""
        if not self._prefix:
            return process.pid
        return below(process.pid)[0]

    async def _next(self, asked: int, old: One, who_was: int) -> Handover:
        def won() -> int:
            wins = [
                when
                for one in self._all
                for who, when in one.won.items()
                if when > asked and (one, who) != (old, who_was)
            ]
            return min(wins, default=0)

        await self._until(lambda: won() > 0, "the next primary")
        lost = old.lost.get(who_was, 0)
        return Handover(won() - asked, won() - lost if lost >= asked else None)

    async def close(self) -> None:
        for one in self._all:
            if one.connection:
                one.connection.close()
            one.process.signal(signal.SIGTERM)
        ends = [one.process.ended(20) for one in self._all]
        await asyncio.gather(*ends, return_exceptions=True)
        for one in self._all:
            await one.process.kill()
        self._all.clear()
