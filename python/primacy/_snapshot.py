"""Where a session and its elections stand, for people and their tools."""

from __future__ import annotations

from typing import TypedDict


class HolderSnapshot(TypedDict):
    """A lock's holder, at one moment."""

    server_id: int
    address: str
    lease: str
    token: int


class ElectionSnapshot(TypedDict):
    """An election, at one moment."""

    role: str
    state: str
    token: int
    warm: bool
    running: list[str]
    record_revision: int
    stopping: bool
    holder: HolderSnapshot | None
    obstacle: int
    trouble: str | None


class Snapshot(TypedDict):
    """A session, at one moment. Lease ids are texts: they exceed what a JSON reader in JavaScript can
    hold."""

    state: str
    server_id: int
    lease: str
    ttl_ms: int
    remaining_ms: int
    suspended: bool
    unconfirmed_renewals: int
    warnings: list[str]
    revision: int
    elections: list[ElectionSnapshot]
