"""What must never be in a history. Each check is a function of what was recorded, and returns what is wrong.

*Overlap*: two candidates of a role were primary at once, by their own answers. *Late write*: the store
accepted an append under a token that was not the lock's. *Order*: a token is not higher than the one before.
*Kept*: an append that was acknowledged is not in the store. *Lost*: not exactly one `lost` for a `primary`.
*Asked*: a candidate did not answer, so that the others have nothing to judge.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from primacy.testing.history import Append, Fault, History, Said, Stored, Told


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


def overlaps_in(history: History) -> list[tuple[Window, Window]]:
    """The same, of all that was seen."""
    wins = [r.line for r in history.records if isinstance(r, Told) and r.line.get("event") == "primary"]
    return overlaps(windows((r for r in history.records if isinstance(r, Said)), wins))


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
    return [
        f"token {token} was won {won.count(token)} times and lost {lost.count(token)} times"
        for token in dict.fromkeys(won)  # a store that was put back hands out a token once more
        if lost.count(token) != won.count(token)
    ]


NOT_WHILE_ANOTHER_IS_HELD = ("standby", "warmup", "ready", "suspended", "resumed")


def wrongly_won(lines: list[dict[str, Any]]) -> list[str]:
    """For one role of one process, even if it was killed: a win that began before the one before was lost."""
    wrong, open_token = [], 0
    for line in lines:
        if line.get("event") == "primary":
            if open_token:
                wrong.append(f"token {line['token']} was won before token {open_token} was lost")
            open_token = int(line["token"])
        elif line.get("event") == "lost":
            if line.get("token") != open_token:
                wrong.append(f"token {line.get('token')} was lost, but {open_token or 'none'} was held")
            open_token = 0
        elif line.get("token", 0) != open_token != 0 and line.get("event") in NOT_WHILE_ANOTHER_IS_HELD:
            wrong.append(f"{line['event']} while token {open_token} was held")
    return wrong


def written_without_the_lock(stored: Iterable[Stored], root: str) -> list[str]:
    """Entries that the store accepted while another token than theirs, or none, was the lock's.

    By the store's own events in the order of their revisions, so no clock is involved.
    """
    wrong = []
    locks: dict[tuple[int, str], int] = {}
    ordered = sorted(stored, key=lambda seen: (seen.epoch, seen.event.kv.mod_revision))
    for seen in ordered:
        kv = seen.event.kv
        parts = kv.key.removeprefix(f"{root}/").split("/")
        if parts[0] in ("session", "election") and len(parts) == 2 and "-" not in parts[1]:
            if parts[0] == "session" and (seen.epoch, f"election {parts[1]}") in locks:
                continue  # the service record of the layout `after_start`
            name = f"election {parts[1]}" if parts[0] == "election" else parts[1]
            locks[seen.epoch, name] = 0 if seen.event.deleted else kv.mod_revision
        elif parts[0] == "sample" and parts[2:3] == ["log"] and not seen.event.deleted:
            entry = Entry.of(kv.key, kv.value, kv.mod_revision)
            held = locks.get((seen.epoch, f"election {parts[1]}"), locks.get((seen.epoch, parts[1]), 0))
            if entry.token != held:
                wrong.append(
                    f"{parts[1]}: entry {entry.n} under token {entry.token} while the lock's was {held}"
                )
            if kv.version > 1:
                wrong.append(f"{parts[1]}: entry {entry.n} was written over")
    return wrong


def not_kept(appends: Iterable[Append], held: dict[str, list[Entry]]) -> list[str]:
    """Appends that were acknowledged, and are not in the store as they should be."""
    there = {(role, e.n, e.token, e.text) for role, entries in held.items() for e in entries}
    return [
        f"acknowledged, but not so in the store: {call}"
        for call in appends
        if call.ok and (call.role, call.n, call.token, call.text) not in there
    ]


def refused_but_written(appends: Iterable[Append], held: dict[str, list[Entry]]) -> list[str]:
    """Appends that were refused for sure, and are in the store all the same."""
    there = {entry.text for entries in held.values() for entry in entries}
    return [
        f"refused, but in the store: {call}"
        for call in appends
        if call.why in ("not_primary", "conflict") and call.text in there
    ]


def unanswered(
    lines: list[dict[str, Any]],
    said: Sequence[Said],
    faults: Sequence[Fault],
    until: int,
    patience: float = 1.0,
) -> list[str]:
    """For one process: wins of which it never said yes, though it could have for `patience` seconds.

    `faults`: what was done to it; within that time of the win they excuse it. `until`: when it ended, or now.
    Without a yes a win has no window, and is no overlap with any other.
    """
    wrong = []
    for win in (line for line in lines if line.get("event") == "primary"):
        role, token, begun = win["role"], win["token"], int(win["t"])
        over = [
            line["t"]
            for line in lines
            if (line.get("event"), line.get("role"), line.get("token")) == ("lost", role, token)
            and line["t"] >= begun
        ]
        pauses = [fault for fault in faults if fault.kind == "paused" and fault.t < begun]
        asked_for = min([until, *over, *(fault.t for fault in faults if fault.t >= begun)]) - begun
        if asked_for < patience * 1e9 or (pauses and not pauses[-1].over):
            continue
        if not any((answer.role, answer.token) == (role, token) for answer in said):
            wrong.append(
                f"it never said that it is primary of {role} under token {token}, for {patience:g} s"
            )
    return wrong


CHECKS = ("overlap", "order", "writes", "kept", "lost")


def verdict(history: History, root: str, held: dict[str, list[Entry]]) -> list[str]:
    """All that is wrong with a history. `held`: the logs in the store at the end, by role."""
    told = [record for record in history.ordered() if isinstance(record, Told)]
    wins = [record.line for record in told if record.line.get("event") == "primary"]
    appends = [record for record in history.records if isinstance(record, Append)]
    stored = [record for record in history.records if isinstance(record, Stored)]
    found: dict[str, list[str]] = {name: [] for name in CHECKS}
    found["overlap"] = [f"two primaries at once: {a}, {b}" for a, b in overlaps_in(history)]
    for role in sorted({line["role"] for line in wins}):
        found["order"] += [f"{role}: {text}" for text in disordered(w for w in wins if w["role"] == role)]
    found["writes"] = written_without_the_lock(stored, root) + refused_but_written(appends, held)
    found["kept"] = not_kept(appends, held)
    for process in sorted({(record.candidate, record.process) for record in told}):
        lines = [
            r.line for r in history.records if isinstance(r, Told) and (r.candidate, r.process) == process
        ]
        for role in sorted({line["role"] for line in lines if "role" in line}):
            own = [line for line in lines if line.get("role") == role]
            wrong = wrongly_won(own)
            if lines[-1].get("event") == "stopped":
                wrong += wrongly_lost(own)
            found["lost"] += [f"{process[0]}: {role}: {text}" for text in wrong]
    return [f"{name}: {text}" for name in CHECKS for text in found[name]]
