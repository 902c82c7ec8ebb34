"""Who was what when: what a report shows of a history. Times are seconds from the first record."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

from primacy.testing.history import Act, Append, Fault, History, Stored, Told

ROLES_SHOWN = 6  # of one candidate
TOGETHER = 0.1  # seconds: an act and the fault that it tells of
WRITING = 0.5  # seconds: accepted writes no further apart are one stretch

# What a line says of its candidate from then on.
STATE_AFTER = {
    "listening": "starting",
    "standby": "standby",
    "warmup": "standby",
    "warm": "warm",
    "primary": "activating",
    "ready": "primary",
    "suspended": "suspended",
    "resumed": "primary",
    "lost": "lost",
    "stopped": "down",
}


class Bar(TypedDict):
    """A stretch of time in which something was so."""

    state: str
    start: float
    end: float
    text: str


class Lane(TypedDict):
    name: str
    kind: str  # candidate, lock, writes, or what else was harmed: etcd, link
    bars: list[Bar]


class Mark(TypedDict):
    """Something that was done."""

    t: float
    text: str


class Takeover(TypedDict):
    """From a fault to the next win of the role."""

    fault: str
    role: str
    by: str
    ttl: int
    ms: float


class Timeline(TypedDict):
    seconds: float
    lanes: list[Lane]
    marks: list[Mark]
    takeovers: list[Takeover]
    gap: float  # the longest between two accepted writes of one role; 0 where nothing was written


def timeline(history: History, ttl: int) -> Timeline | None:
    """None if nothing happened."""
    records = history.ordered()
    if not records:
        return None
    return Drawn(records, ttl).all()


class Drawn:
    def __init__(self, records: Sequence[Any], ttl: int) -> None:
        self.ttl = ttl
        self.zero: int = records[0].t
        self.told = [record for record in records if isinstance(record, Told)]
        self.faults = [record for record in records if isinstance(record, Fault)]
        self.acts = [record for record in records if isinstance(record, Act)]
        self.stored = [record for record in records if isinstance(record, Stored)]
        self.appends = [record for record in records if isinstance(record, Append)]
        self.end: int = max(record.t for record in records)
        # What follows the test's own end is no takeover.
        self.over = next((act.t for act in self.acts if act.text.startswith("the end:")), self.end + 1)
        self.names = list(dict.fromkeys(record.candidate for record in self.told))
        self.ids = {int(r.line["id"]): r.candidate for r in self.told if r.line.get("id")}
        self.roles = list(dict.fromkeys(r.line["role"] for r in self.told if r.line.get("role")))

    def all(self) -> Timeline:
        shown = self.roles[:ROLES_SHOWN]
        lanes = [lane for role in shown for lane in self.lock(role)]
        lanes += [lane for name in self.names for lane in self.candidate(name)]
        writes, gap = self.writes(shown)
        lanes += writes + self.harmed()
        return Timeline(
            seconds=self.seconds(self.end),
            lanes=lanes,
            marks=self.marks(),
            takeovers=[found for role in self.roles for found in self.takeovers(role)],
            gap=gap,
        )

    def seconds(self, t: int) -> float:
        return round((t - self.zero) / 1e9, 4)

    def bars(self, changes: Iterable[tuple[int, str, str]]) -> list[Bar]:
        """From the moments at which something became so; an empty state shows nothing."""
        made: list[Bar] = []
        moments = list(changes)
        for (t, state, text), (until, _, _) in zip(moments, [*moments[1:], (self.end, "", "")]):
            if not state or until <= t:
                continue
            if (
                made
                and made[-1]["state"] == state
                and made[-1]["text"] == text
                and self.seconds(t) <= made[-1]["end"]
            ):
                made[-1]["end"] = self.seconds(until)
            else:
                made.append(Bar(state=state, start=self.seconds(t), end=self.seconds(until), text=text))
        return made

    # Candidates

    def candidate(self, name: str) -> list[Lane]:
        own = [record.line.get("role") for record in self.told if record.candidate == name]
        roles = list(dict.fromkeys(role for role in own if role))
        lanes = [
            Lane(
                name=name if len(roles) < 2 else f"{name}: {role}",
                kind="candidate",
                bars=self.states(name, role),
            )
            for role in roles[:ROLES_SHOWN] or [""]
        ]
        if (left := len(roles) - ROLES_SHOWN) > 0:
            lanes[-1]["name"] += f" (and {left} more roles)"
        return lanes

    def states(self, name: str, role: str) -> list[Bar]:
        moments: list[Told | Fault] = [r for r in self.told if r.candidate == name]
        moments += [fault for fault in self.faults if fault.target == name]
        said, text, paused = "", "", False
        changes: list[tuple[int, str, str]] = []
        for moment in sorted(moments, key=lambda moment: moment.t):
            if isinstance(moment, Fault):
                if moment.kind == "killed":
                    said, text, paused = "dead", "", False
                elif moment.kind == "paused":
                    paused = not moment.over
            elif moment.line.get("role", role) == role:
                after = STATE_AFTER.get(str(moment.line.get("event")))
                if after is None or (said == "dead" and after != "starting"):
                    continue
                said, text = after, ""
                if token := moment.line.get("token"):
                    text = f"token {token}" + (
                        f", {moment.line['reason']}" if "reason" in moment.line else ""
                    )
            changes.append((moment.t, "paused" if paused else said, text))
        return self.bars(changes)

    # Etcd's side

    def lock(self, role: str) -> list[Lane]:
        """Who held the lock, as etcd told. In the layout `after_start` it is another key than the record."""
        names = {record.event.kv.key.rpartition("/")[2] for record in self.stored}
        if role not in names:
            return []
        kind = "election" if any(f"/election/{role}" in r.event.kv.key for r in self.stored) else "session"
        changes = []
        for record in self.stored:
            if not record.event.kv.key.endswith(f"/{kind}/{role}"):
                continue
            holder = "" if record.event.deleted else self.holder(record.event.kv.value)
            changes.append((record.t, "held" if holder else "", holder))
        return [Lane(name=f"lock of {role}", kind="lock", bars=self.bars(changes))]

    def holder(self, value: str) -> str:
        try:
            return self.ids.get(int(json.loads(value)["ServerID"]), "somebody else")
        except (ValueError, KeyError, TypeError):
            return "somebody else"

    def writes(self, roles: Sequence[str]) -> tuple[list[Lane], float]:
        """The stretches in which guarded writes were accepted, and the longest gap between two."""
        lanes, longest = [], 0.0
        for role in roles:
            done = [a for a in self.appends if a.ok and a.role == role]
            if not done:
                continue
            changes: list[tuple[int, str, str]] = []
            last = 0
            for append in done:
                if not last or append.received - last > WRITING * 1e9:
                    if last:
                        changes.append((last, "", ""))
                    changes.append((append.t, "accepted", "writes accepted"))
                if last and append.t < self.over:
                    longest = max(longest, (append.received - last) / 1e9)
                last = append.received
            changes.append((last, "", ""))
            lanes.append(Lane(name=f"writes to {role}", kind="writes", bars=self.bars(changes)))
        return lanes, round(longest, 4)

    def harmed(self) -> list[Lane]:
        """What else than candidates something was done to."""
        lanes = []
        targets = dict.fromkeys(
            f.target for f in self.faults if f.target not in self.names and f.t < self.over
        )
        for target in targets:
            own = [fault for fault in self.faults if fault.target == target]
            if not any(fault.over for fault in own):
                continue  # a moment, not a time: a mark says it
            changes = [(self.zero, "up", "")]
            for fault in own:
                state = (
                    "up"
                    if fault.over
                    else {"etcd paused": "paused", "link slow": "suspended"}.get(fault.kind, "dead")
                )
                changes.append((fault.t, state, "" if fault.over else fault.kind))
            lanes.append(Lane(name=target, kind=target.split(" ")[0], bars=self.bars(changes)))
        return lanes

    # What was done

    def marks(self) -> list[Mark]:
        """The test's own words; the kit's where the test had none for it."""
        acts = [act for act in self.acts if act.t <= self.over]
        marks = [Mark(t=self.seconds(act.t), text=act.text) for act in acts]
        last: dict[str, int] = {}  # both ways of a link fall silent one after the other
        for fault in self.faults:
            text = f"{fault.target}: {fault.kind}"
            told = [*(act.t for act in acts), last.get(text, -self.end)]
            if not fault.over and fault.t < self.over:
                last[text] = fault.t
                if not any(abs(fault.t - t) < TOGETHER * 1e9 for t in told):
                    marks.append(Mark(t=self.seconds(fault.t), text=text))
        return sorted(marks, key=lambda mark: mark["t"])

    def takeovers(self, role: str) -> list[Takeover]:
        """Each win that followed another one of the role, from the fault that it followed."""
        wins = [r for r in self.told if r.line.get("event") == "primary" and r.line.get("role") == role]
        made = []
        for before, win in zip(wins, wins[1:]):
            if win.t >= self.over:
                break
            since = [f for f in self.faults if before.t <= f.t <= win.t and not f.over]
            # What was done to the one before; else to its link; else to etcd.
            of_holder = [f for f in since if f.target == before.candidate]
            of_link = [f for f in since if f.target.endswith(f" of {before.candidate}")]
            others = [f for f in since if f.target not in self.names and " of " not in f.target]
            if found := of_holder or of_link or others:
                ms = round((win.t - found[-1].t) / 1e6, 1)
                made.append(Takeover(fault=found[-1].kind, role=role, by=win.candidate, ttl=self.ttl, ms=ms))
        return made
