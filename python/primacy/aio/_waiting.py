"""An event loop that waits for the engine."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from primacy import _primacy
from primacy._dispatch import hand_on
from primacy._ending import not_over, refuse_inside


class Waiting:
    """A queue of the engine's that an event loop waits for: whose events go where, and who waits for what."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.queue = _primacy.Queue()
        self._tags = itertools.count(1)
        self._handlers: dict[int, Callable[[_primacy.Event], None]] = {}
        self._ended = False
        self._reads = False

    def add(self, handler: Callable[[_primacy.Event], None]) -> int:
        """Also when it has ended: who joins what is over, or writes through it, is answered."""
        tag = next(self._tags)
        self._handlers[tag] = handler
        if not self._reads:
            self._reads = True
            self.loop.add_reader(self.queue.fileno(), self.take)
        return tag

    def remove(self, tag: int) -> None:
        self._handlers.pop(tag, None)
        self._leave()

    def end(self) -> None:
        """Stops waiting when nothing is left to wait for."""
        self._ended = True
        self._leave()

    def _leave(self) -> None:
        if self._ended and not self._handlers and not self.loop.is_closed():
            self._reads = False
            self.loop.remove_reader(self.queue.fileno())

    async def outcome(self, start: Callable[[tuple[_primacy.Queue, int]], _primacy.Operation]) -> Any:
        """Starts an operation and waits for its end."""
        ended: asyncio.Future[None] = self.loop.create_future()

        def wake(_: _primacy.Event) -> None:
            if not ended.done():
                ended.set_result(None)

        tag = self.add(wake)
        try:
            operation = start((self.queue, tag))
            await ended
        finally:
            self.remove(tag)
        return operation.result()

    def take(self) -> None:
        """Hands on what waits."""
        hand_on(self.queue, self._handlers)


class End:
    """The end of a session or an election. However many tasks wait for it, the engine does so once."""

    def __init__(self, waiting: Waiting, raw: _primacy.Session | _primacy.Election) -> None:
        self._waiting = waiting
        self._raw = raw
        self._over: asyncio.Future[None] | None = None

    async def join(self, timeout: float | None) -> None:
        refuse_inside()
        # At once if it is over; and a timeout that can not be is refused.
        if self._raw.join(0.0 if timeout is None else min(timeout, 0.0)):
            return
        if self._over is None:
            self._over = self._waiting.loop.create_future()
            self._tag = self._waiting.add(self._came)
            self._operation = self._raw.start_join((self._waiting.queue, self._tag))
        # Neither the end of the timeout nor a cancellation touches what others wait for as well.
        done, _ = await asyncio.wait({self._over}, timeout=timeout)
        if not done:
            raise not_over()

    def _came(self, _: _primacy.Event) -> None:
        assert self._over is not None
        self._waiting.remove(self._tag)
        if not self._waiting.loop.is_closed():
            self._over.set_result(None)


async def readable(descriptor: int) -> None:
    """Waits until a descriptor is."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(descriptor, wake)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
