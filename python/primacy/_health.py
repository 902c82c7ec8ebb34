"""What probes ask of a process, for programs: what the library says of it."""

from __future__ import annotations

import json
from typing import TypedDict


class Verdict(TypedDict):
    """The answer to one probe."""

    ok: bool
    """It is so."""
    why: str
    """Why not, for people; empty if it is."""


class Probes(TypedDict):
    """The answers to all of them, at one moment."""

    alive: Verdict
    """Starting the process anew would not help."""
    ready: Verdict
    """It serves as primary, or could take over at once."""
    primary: Verdict
    """It is primary, and its ``on_primary`` has succeeded."""


class Health(Probes):
    """Those of a process, which is what each of its elections is that is not over."""

    roles: dict[str, Probes]
    """Each of them by its role."""


def health_of(text: str) -> Health:
    """What the library's JSON says."""
    health: Health = json.loads(text)
    return health
