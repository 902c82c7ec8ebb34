"""Waiting for conditions, not for durations."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

from primacy._bound import within as within

T = TypeVar("T")
NOW_AND_THEN = 0.2  # seconds


class NotInTime(Exception):
    """Something that had to happen did not; the text says what."""


class Ended(Exception):
    """A process ended that nobody ended; the text says which, and its last words."""


def now() -> int:
    """The clock that every line of every process bears: CLOCK_BOOTTIME, in nanoseconds."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Changes:
    """Wakes whoever waits for a condition, each time that something was recorded."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def tell(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, holds: Callable[[], T | None], bound: float, what: str) -> T:
        """What `holds` returns, once that is true; NotInTime after `bound` seconds.

        It is asked at each change, and now and then for what nobody tells of (a file, an answer).
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + bound
        while True:
            found = holds()
            if found:
                return found
            left = end - loop.time()
            if left <= 0:
                raise NotInTime(f"{what}: not within {bound:g} s")
            with contextlib.suppress(asyncio.TimeoutError):
                await within(self._event.wait(), min(left, NOW_AND_THEN))
