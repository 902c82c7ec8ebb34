"""Where a session and its elections stand, for people and their tools."""

from __future__ import annotations

import enum
import json
from typing import TypedDict, TypeVar

Named = TypeVar("Named", bound="_Name")


class _Name(str, enum.Enum):
    """One of the names that the library has for something, and as a text that name."""

    def __new__(cls: type[Named], value: str) -> Named:
        name = str.__new__(cls, value)
        name._value_ = value
        return name

    def __str__(self) -> str:
        return str(self.value)


class SessionState(_Name):
    """Where a session stands."""

    OPEN = "open"
    """It has its lease and its server id, or had them."""
    STOPPING = "stopping"
    """The host is ending it."""
    CLOSED = "closed"
    """It is over."""
    NEW = "new"
    """Nobody has opened it yet."""
    OPENING = "opening"
    """It has no lease or no server id yet."""


class ElectionState(_Name):
    """Where an election stands."""

    REGISTERING = "registering"
    """No record in etcd yet."""
    REGISTERED = "registered"
    """It has a record, and was not asked to campaign."""
    CAMPAIGNING = "campaigning"
    """Neither primary nor standby yet."""
    STANDBY = "standby"
    """Somebody else is primary, or will be."""
    ACTIVATING = "activating"
    """It has won, and ``on_primary`` has not succeeded yet."""
    PRIMARY = "primary"
    """It is primary."""
    SUSPENDED = "suspended"
    """It is primary, and its renewal is late."""
    RESIGNING = "resigning"
    """It was primary; its callbacks or its keys are not done yet."""
    STUCK = "stuck"
    """As before, and the drain timeout is over."""
    STOPPING = "stopping"
    """The host has ended it; it is not over yet."""
    STOPPED = "stopped"
    """It is over."""


class CallKind(_Name):
    """What the library asks of a host."""

    STANDBY = "on_standby"
    WARMUP = "on_warmup"
    PRIMARY = "on_primary"
    LOST = "on_lost"


class Obstacle(enum.IntEnum):
    """What keeps an election from getting on. It goes on by itself once that is gone. The numbers are those
    of ``primacy.h``."""

    NONE = 0
    """Nothing does."""
    RECORD_TAKEN = 1
    """Its record's key is somebody else's."""
    HOST_UNRESPONSIVE = 2
    """Its host takes nothing of what waits for it."""
    OUTDATED = 3
    """The cluster has seen a newer version. Waiting does not help."""
    DENIED = 4
    """etcd's user may not do what the last write needs."""
    NO_SPACE = 5
    """etcd has no space for the last write."""
    REFUSED = 6
    """etcd refused the last write, for another reason."""
    UNREACHABLE = 7
    """The last write was not sent."""
    INDEFINITE = 8
    """The last write got no answer in time; it may have happened."""
    LEASE_LOST = 9
    """The lease of the last write was gone."""
    KEY_HELD = 10
    """Nobody holds the lock, and another key that a win takes, or must find absent, is somebody else's."""
    NO_PRIORITY = 11
    """Its ``primacy.priority`` is 0, so that it never campaigns."""


class HolderSnapshot(TypedDict):
    """A lock's holder, at one moment."""

    server_id: int
    address: str
    lease: str
    token: int


class ElectionSnapshot(TypedDict):
    """An election, at one moment."""

    role: str
    state: ElectionState
    token: int
    warm: bool
    running: list[CallKind]
    record_revision: int
    stopping: bool
    watching: bool
    holder: HolderSnapshot | None
    obstacle: Obstacle
    trouble: str | None


class Snapshot(TypedDict):
    """A session, at one moment. Lease ids are texts: they exceed what a JSON reader in JavaScript can
    hold."""

    state: SessionState
    server_id: int
    lease: str
    ttl_ms: int
    remaining_ms: int
    suspended: bool
    unconfirmed_renewals: int
    warnings: list[str]
    revision: int
    elections: list[ElectionSnapshot]


def snapshot_of(text: str) -> Snapshot:
    """What the library's JSON says."""
    snapshot: Snapshot = json.loads(text)
    snapshot["state"] = SessionState(snapshot["state"])
    for election in snapshot["elections"]:
        election["state"] = ElectionState(election["state"])
        election["running"] = [CallKind(name) for name in election["running"]]
        election["obstacle"] = Obstacle(election["obstacle"])
    return snapshot
