"""What happens to each role: its primary is killed, ended, paused; a standby must take over each time.

Each case begins with one primary that serves the client and two warm standbys, and ends so.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from primacy.testing import checks
from primacy.testing.candidate import UP, Candidate, Cluster
from primacy.testing.changes import NotInTime, now
from primacy.testing.coordinator import Answer
from primacy.testing.process import pick

from demo.client import Client
from demo.findings import Findings


class Case(Enum):
    """The value is what the table calls it."""

    KILL = "killed (SIGKILL)"
    END = "ended (SIGTERM)"
    PAUSE = "paused (SIGSTOP) and resumed"


@dataclass(frozen=True)
class Failover:
    """One that happened as it must. Times in nanoseconds."""

    role: str
    case: Case
    takeover: int  # from the fault to the next primary's line
    gap: int  # without an acknowledged call, as the client saw it
    back: int  # from the restart or resume to "standby"


class View(Protocol):
    def event(self, role: str, text: str) -> None: ...


class WentWrong(Exception):
    """Something happened that must not; the text says what."""


def ms(nanoseconds: int) -> str:
    return f"{nanoseconds / 1e6:,.0f} ms"


class Story:
    """Of one role."""

    def __init__(self, cluster: Cluster, role: str, candidates: list[Candidate], view: View) -> None:
        self.role = role
        self.candidates = candidates
        self.client: Client | None = None
        self.failovers: list[Failover] = []
        self.accepted_late: list[int] = []  # the places in the log that late appends got
        self.phase = "starting"
        self._cluster = cluster
        self._changes = cluster.changes
        self._takeover = 3 * cluster.ttl + 10.0  # a bound, in seconds: etcd's leader may be slow as well
        self._view = view

    async def run(self, client: Path) -> None:
        for candidate in self.candidates:
            await candidate.start()
        log = self._cluster.folder / f"{self.role}-client.log"
        self.client = await Client.launch(
            client, self._cluster.etcd, self._cluster.root, self.role, log, self._changes
        )
        primary = await self._steady()
        self._tell(
            f"candidate {primary.number} is primary (token {primary.token}), the others are warm standbys"
        )
        for case, act in ((Case.KILL, self._kill), (Case.END, self._end), (Case.PAUSE, self._pause)):
            old = await self._steady()
            await self._failover(case, old, act)
        await self._steady()
        self._set("done")

    def judged(self, log: list[checks.Entry]) -> Findings:
        """What the history shows; `log` is what the store holds."""
        processes = [process for candidate in self.candidates for process in candidate.processes]
        wins = [line for process in processes for line in pick(process.lines, "primary")]
        said = [answer for candidate in self.candidates for answer in candidate.said]
        late = {entry.n for entry in checks.late_writes(log, [int(line["token"]) for line in wins])}
        return Findings(
            checks.overlaps(checks.windows(said, wins)),
            sorted(late | set(self.accepted_late)),
            checks.missing(self.client.acknowledged if self.client else [], log),
            checks.disordered(wins)
            + [
                text
                for process in processes
                if process.code == 0
                for text in checks.wrongly_lost(process.lines)
            ],
        )

    # The faults. Each does its harm, has `over` wait for the next primary, and brings the process back.

    async def _kill(self, old: Candidate, over: Over) -> int:
        fault = old.process.signal(signal.SIGKILL)
        self._tell(f"candidate {old.number} killed")
        await old.process.ended(5)
        await over(fault)
        return await self._restart(old)

    async def _end(self, old: Candidate, over: Over) -> int:
        fault = now()
        self._tell(f"candidate {old.number} told to end")
        stopping = asyncio.create_task(old.stop())
        await over(fault)
        if wrong := await stopping:
            raise WentWrong(wrong)
        return await self._restart(old)

    async def _pause(self, old: Candidate, over: Over) -> int:
        process, token, seen = old.process, old.token, len(old.process.lines)
        asking, writing = await process.connect(), await process.connect()
        for connection in (asking, writing):  # accepted, and past the library's first call
            await connection.ask(f"who {self.role}")
        fault, stopped = await process.pause()
        old.paused = True
        self._tell(f"candidate {old.number} paused")
        # These wait in the sockets of the paused process: the first things that it sees when it goes on.
        asking.send(f"who {self.role}")
        writing.send(f"append {self.role} late-queued")
        await over(fault)
        # The takeover counts from the last renewal and may come sooner; the pause lasts past the TTL.
        await asyncio.sleep(self._cluster.ttl + 0.5 - (now() - stopped) / 1e9)
        resumed = process.resume()
        old.paused = False
        self._tell(f"candidate {old.number} resumed after {ms(resumed - fault)}")
        answers = await asyncio.wait_for(
            asyncio.gather(
                asking.receive(), writing.receive(), self._write_late(old), self._first_said(old, stopped)
            ),
            10,
        )
        asking.close()
        writing.close()
        self._judge_late(token, answers[0], [answers[1], answers[2]])
        if answers[3]:
            raise WentWrong(f"{old.name}, resumed, still said that it is primary")
        lost = await process.line("lost", after=seen, token=token)
        standby = await process.line("standby", after=process.lines.index(lost))
        await self._is_warm(old)
        if len(pick(process.lines, "lost", token=token)) != 1:
            raise WentWrong(f"{old.name}: token {token} was lost more than once")
        self._tell(
            f"candidate {old.number} lost it ({lost.get('reason')}), late writes refused, standby again"
        )
        return int(standby["t"]) - resumed

    # What the faults are made of

    async def _failover(self, case: Case, old: Candidate, act: Act) -> None:
        self._set(case.value)
        client = self._client()
        token = old.token
        took: list[int] = []

        async def over(fault: int) -> None:
            new, line = await self._next_primary(old, token)
            took.append(line["t"] - fault)
            served = f"the client of {self.role} being served by {new.name}"
            await self._changes.until(lambda: client.served_by(line["token"]), 10, served)
            gap = client.gap(line["token"])
            if gap is None:
                raise WentWrong(f"{self.role}: the client was not served before the failover")
            took.append(gap)
            self._tell(
                f"candidate {new.number} is primary after {ms(took[0])} (token {line['token']}); "
                f"client gap {ms(gap)}"
            )

        back = await act(old, over)
        self.failovers.append(Failover(self.role, case, took[0], took[1], back))

    async def _next_primary(self, old: Candidate, token: int) -> tuple[Candidate, dict[str, int]]:
        def found() -> tuple[Candidate, dict[str, int]] | None:
            for candidate in self.candidates:
                for line in candidate.process.lines if candidate is not old else ():
                    if line.get("event") == "primary" and line["token"] > token:
                        return candidate, line
            return None

        return await self._changes.until(
            found, self._takeover, f"the next primary of {self.role} after {old.name}"
        )

    async def _restart(self, old: Candidate) -> int:
        start = now()
        await old.start()
        standby = await old.process.line("standby", UP)
        if pick(old.process.lines, "primary"):
            raise WentWrong(f"{old.name} was started again beside a primary, and became primary")
        self._tell(f"candidate {old.number} started again: standby")
        return int(standby["t"]) - start

    async def _write_late(self, old: Candidate) -> Answer:
        return await old.process.ask(f"append {self.role} late-resumed")

    async def _first_said(self, old: Candidate, stopped: int) -> int:
        """The token in its first answer to the questions that never stop which was begun after the pause."""
        said = await self._changes.until(
            lambda: [answer for answer in reversed(old.said) if answer.t > stopped],
            10,
            f"an answer of {old.name}",
        )
        return said[-1].token

    def _judge_late(self, token: int, who: Answer, writes: list[Answer]) -> None:
        if who.get("primary") is not False:
            raise WentWrong(f"{self.role}: the first answer after the pause was {who}")
        self.accepted_late += [
            int(answer["n"]) for answer in writes if answer.get("ok") and answer["token"] <= token
        ]
        for answer in writes:
            if answer.get("ok") is not False or answer.get("why") != "not_primary":
                raise WentWrong(f"{self.role}: a late write was not refused for sure: {answer}")

    async def _steady(self) -> Candidate:
        """Waits for one primary that serves the client, and warm standbys; returns the primary."""
        client = self._client()

        def holds() -> Candidate | None:
            ready = [candidate for candidate in self.candidates if candidate.is_ready()]
            warm = [candidate for candidate in self.candidates if candidate.state == "warm"]
            if len(ready) != 1 or len(warm) != len(self.candidates) - 1:
                return None
            token = ready[0].token
            return ready[0] if client.following == token and client.served_by(token) else None

        try:
            return await self._changes.until(holds, UP, f"{self.role}: one primary and warm standbys")
        except NotInTime as late:
            states = ", ".join(f"candidate {c.number} {c.describe()}" for c in self.candidates)
            following = f"client follows token {client.following}" if client.code is None else "client ended"
            raise NotInTime(f"{late} ({states}; {following})") from None

    async def _is_warm(self, candidate: Candidate) -> None:
        await self._changes.until(lambda: candidate.state == "warm", UP, f"{candidate.name} being warm")

    def _client(self) -> Client:
        assert self.client
        return self.client

    def _tell(self, text: str) -> None:
        self._view.event(self.role, text)

    def _set(self, phase: str) -> None:
        self.phase = phase
        self._changes.tell()


Over = Callable[[int], Awaitable[None]]
Act = Callable[[Candidate, Over], Awaitable[int]]
