"""The verdict, from the recorded history alone.

Two claims are judged. *Overlap*: two candidates of a role were primary at once, by their own answers. *Late
write*: the store accepted an append under a token after it had given out a higher one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


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


@dataclass(frozen=True)
class Window:
    """A time in which a candidate was primary for certain: never longer than it was."""

    role: str
    id: int
    token: int
    start: int
    end: int


@dataclass(frozen=True)
class Acknowledged:
    """An append that a client was told to have been done."""

    t: int
    n: int
    token: int
    id: int


@dataclass(frozen=True)
class Entry:
    """What the log in the store holds at `n`; `revision` is the one it was written in, 0 where unknown."""

    n: int
    token: int
    id: int
    text: str
    revision: int

    @classmethod
    def of(cls, key: str, value: str, revision: int) -> Entry:
        token, id_, text = value.split(" ", 2)
        return cls(int(key.rpartition("/")[2]), int(token), int(id_), text, revision)


@dataclass(frozen=True)
class Findings:
    """What is wrong with one role's history: each list is empty, or the demo has failed."""

    overlaps: list[tuple[Window, Window]]
    late: list[int]  # places in the log
    missing: list[Acknowledged]
    other: list[str]

    def wrong(self) -> list[str]:
        return [
            *(f"two primaries at once: {one}, {other}" for one, other in self.overlaps),
            *([f"late writes were accepted, as entries {self.late} of the log"] if self.late else []),
            *(f"acknowledged, but not so in the log: {call}" for call in self.missing),
            *self.other,
        ]


def windows(said: Iterable[Said], wins: Iterable[dict[str, Any]]) -> list[Window]:
    """One window for each win that was seen from both sides.

    A win is one stretch of time without a hole, so all between two moments of it belongs to it. It had begun
    at its `primary` line, or when a first "yes" arrived here; it was not over at the `t` of its last "yes",
    which was read before the library was asked. A process that is stopped between reading `t` and answering
    makes its window shorter, never longer: an overlap that is found was one.
    """
    starts: dict[tuple[str, int, int], int] = {}
    ends: dict[tuple[str, int, int], int] = {}
    for line in wins:
        win = (line["role"], int(line["id"]), int(line["token"]))
        starts[win] = min(starts.get(win, line["t"]), line["t"])
    for answer in said:
        if answer.token:
            win = (answer.role, answer.id, answer.token)
            starts[win] = min(starts.get(win, answer.received), answer.received)
            ends[win] = max(ends.get(win, answer.t), answer.t)
    return [Window(*win, starts[win], end) for win, end in ends.items() if starts[win] <= end]


def overlaps(found: Iterable[Window]) -> list[tuple[Window, Window]]:
    """Pairs of wins of one role that were primary at once."""
    ordered = sorted(found, key=lambda window: window.start)
    return [
        (one, other)
        for i, one in enumerate(ordered)
        for other in ordered[i + 1 :]
        if one.role == other.role and other.start < one.end
    ]


def late_writes(log: Iterable[Entry], tokens: Iterable[int]) -> list[Entry]:
    """Entries of one role's log whose token had been followed by a higher one when they were written.

    A token is the revision of its win: an entry written at a later revision than a higher token's is late
    even if that token wrote nothing yet. Where revisions are unknown, a higher token earlier in the log shows
    it.
    """
    wins = sorted(set(tokens))
    late = []
    highest = 0
    for entry in sorted(log, key=lambda entry: entry.n):
        if entry.token < highest or any(entry.token < win <= entry.revision for win in wins):
            late.append(entry)
        highest = max(highest, entry.token)
    return late


def missing(acknowledged: Iterable[Acknowledged], log: Iterable[Entry]) -> list[Acknowledged]:
    """Appends that were acknowledged, and are not in the log as they should be."""
    held = {entry.n: (entry.token, entry.id) for entry in log}
    return [call for call in acknowledged if held.get(call.n) != (call.token, call.id)]


def disordered(wins: Iterable[dict[str, Any]]) -> list[str]:
    """Wins of one role whose token is not higher than the one before."""
    ordered = sorted(wins, key=lambda line: int(line["t"]))
    return [
        f"token {later['token']} came after {earlier['token']}"
        for earlier, later in zip(ordered, ordered[1:])
        if later["token"] <= earlier["token"]
    ]


def wrongly_lost(lines: list[dict[str, Any]]) -> list[str]:
    """For a process that ended by itself: wins that were not followed by exactly one `lost`."""
    lost = [line.get("token") for line in lines if line.get("event") == "lost"]
    won = [line["token"] for line in lines if line.get("event") == "primary"]
    return [f"token {token} was lost {lost.count(token)} times" for token in won if lost.count(token) != 1]
