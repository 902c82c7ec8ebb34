"""The end of a session or an election, and waiting for it."""

from __future__ import annotations

from primacy._dispatch import within
from primacy._errors import InCallback, TimedOut


def refuse_inside() -> None:
    """A callback can not wait for its own end."""
    if within():
        raise InCallback(
            "inside a callback, which would wait for its own end: wait on another thread or task"
        )


def not_over() -> TimedOut:
    return TimedOut("not over within the timeout: a callback is still running, or nothing was stopped")
