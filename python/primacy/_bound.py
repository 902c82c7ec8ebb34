"""A bound on how long something may take, for asyncio. Needs no native half."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def within(work: Awaitable[T], bound: float | None) -> T:
    """`asyncio.wait_for`, which before Python 3.12 may swallow a cancellation.

    :raises asyncio.TimeoutError: it took longer than `bound` seconds.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=bound)
    finally:
        task.cancel()  # nothing, if it is done
    if not done:
        raise asyncio.TimeoutError
    return task.result()
