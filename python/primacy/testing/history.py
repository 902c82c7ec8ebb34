"""All that was seen in a test, from every side, in order: for the verdict, or the report of a failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Union

from primacy.testing.changes import now
from primacy.testing.gateway import KeyEvent
from primacy.testing.process import Line

if TYPE_CHECKING:
    from primacy.testing.coordinator import Connection


@dataclass(frozen=True)
class Told:
    """A line of a coordinator's."""

    t: int
    candidate: str
    process: int  # the how manieth of that candidate
    line: Line

    def __str__(self) -> str:
        rest = {name: value for name, value in self.line.items() if name not in ("t", "event", "role")}
        return f"{self.candidate}: {self.line.get('role', '')} {self.line.get('event')} {rest}"


@dataclass(frozen=True)
class Said:
    """A candidate's answer to `who`: at some moment between `t` and `received` this was so."""

    t: int
    received: int
    role: str
    id: int
    token: int  # 0: not primary

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Said:
        token = int(answer["token"]) if answer["primary"] else 0
        return cls(int(answer["t"]), int(answer["received"]), answer["role"], int(answer["id"]), token)

    def __str__(self) -> str:
        return f"{self.id} says of {self.role}: " + (f"primary, token {self.token}" if self.token else "no")


@dataclass(frozen=True)
class Append:
    """A guarded write, and how it ended: done as entry `n` under `token`, or `why` not."""

    t: int
    received: int
    candidate: str
    role: str
    text: str
    n: int = 0
    token: int = 0
    why: str = ""

    @property
    def ok(self) -> bool:
        return not self.why

    def __str__(self) -> str:
        end = f"entry {self.n}, token {self.token}" if self.ok else self.why
        return f"{self.candidate}: append to {self.role}, {(self.received - self.t) / 1e6:.1f} ms: {end}"


@dataclass(frozen=True)
class Stored:
    """What etcd itself tells of a key; `epoch` counts how often it was put back to a copy."""

    t: int
    epoch: int
    event: KeyEvent

    def __str__(self) -> str:
        kv = self.event.kv
        if self.event.deleted:
            return f"etcd {kv.mod_revision}: deleted {kv.key}"
        return f"etcd {kv.mod_revision}: {kv.key}, lease {kv.lease}, {kv.value[:60]!r}"


@dataclass(frozen=True)
class Act:
    """What the test did."""

    t: int
    text: str

    def __str__(self) -> str:
        return f"---- {self.text}"


@dataclass(frozen=True)
class Fault:
    """What was done to a process, or to what it depends on; the kit notes it down by itself."""

    t: int
    kind: str  # "killed", "paused", ...: takeovers are counted under it
    target: str  # the name of a candidate, of a member of etcd, of a link
    over: bool = False  # the target is as it was before

    def __str__(self) -> str:
        return f"---- {self.target}: {self.kind}{' is over' if self.over else ''}"


Record = Union[Told, Said, Append, Stored, Act, Fault]


@dataclass
class History:
    """Grows only."""

    records: list[Record] = field(default_factory=list)
    epoch: int = 0

    def add(self, record: Record) -> None:
        self.records.append(record)

    def act(self, text: str) -> int:
        """Notes down what the test does now."""
        t = now()
        self.add(Act(t, text))
        return t

    def fault(self, kind: str, target: str, over: bool = False, t: int = 0) -> None:
        """Notes down what is done to `target`, now or at `t`."""
        self.add(Fault(t or now(), kind, target, over))

    def told(self, candidate: str, process: int, line: Line) -> None:
        self.add(Told(int(line.get("t", now())), candidate, process, line))

    def stored(self, events: Iterable[KeyEvent]) -> None:
        for event in events:
            self.add(Stored(now(), self.epoch, event))

    async def append(self, connection: Connection, role: str, candidate: str, text: str) -> Append:
        """Has one made, and records it whatever comes of it."""
        t = now()
        try:
            answer = await connection.ask(f"append {role} {text}")
            n, token = int(answer.get("n", 0)), int(answer.get("token", 0))
            done = Append(t, now(), candidate, role, text, n, token, "" if answer["ok"] else answer["why"])
        except (Exception, asyncio.CancelledError) as error:
            self.add(Append(t, now(), candidate, role, text, why=f"unknown: {error!r}"))
            raise
        self.add(done)
        return done

    def gaps(self, role: str, since: int = 0) -> list[float]:
        """The times, in seconds, between one accepted guarded write and the next, all of them."""
        done = sorted(
            record.received
            for record in self.records
            if isinstance(record, Append) and record.ok and record.role == role and record.received >= since
        )
        return [(after - before) / 1e9 for before, after in zip(done, done[1:])]

    def ordered(self) -> list[Record]:
        return sorted(self.records, key=lambda record: record.t)

    def story(self) -> str:
        """For a reader: each record a line; answers that repeat the last one are left out."""
        lines = []
        last: dict[object, object] = {}
        ordered = self.ordered()
        for record in ordered:
            same: tuple[object, object] | None = None
            if isinstance(record, Said):
                same = (record.id, record.role), record.token
            elif isinstance(record, Append):
                same = (record.candidate, record.role, "append"), (record.token, record.why)
            elif isinstance(record, Stored) and "/sample/" in record.event.kv.key:
                continue
            if same and last.get(same[0]) == same[1]:
                continue
            if same:
                last[same[0]] = same[1]
            lines.append(f"{(record.t - ordered[0].t) / 1e9:9.4f}  {record}")
        return "\n".join(lines)

    def dump(self) -> str:
        """Everything, as JSON lines."""
        return "\n".join(
            json.dumps({"kind": type(record).__name__, **vars(record)}, default=vars)
            for record in self.ordered()
        )
