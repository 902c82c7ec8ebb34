"""Observers for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from primacy import _primacy
from primacy._bound import within
from primacy._config import Config, Value, raw_config
from primacy._dispatch import dispatcher
from primacy._errors import Stopped, TimedOut
from primacy._events import Primary
from primacy._observer import ASK_AGAIN, T
from primacy._raw import primary_of
from primacy.aio._waiting import Waiting

if TYPE_CHECKING:
    from types import TracebackType


class Observer:
    """Follows one role; opened by ``async with``, or by :meth:`open`. As ``primacy.Observer``."""

    _waiting: Waiting
    _raw: _primacy.Observer

    def __init__(self, config: Config | Mapping[str, Value], role: str) -> None:
        self._config = raw_config(config)
        self._config.check()
        self._role = role
        self._closed = False
        self._changed: asyncio.Event

    @property
    def role(self) -> str:
        """Its role."""
        return self._role

    async def open(self) -> Observer:
        """Opens it, once."""
        if hasattr(self, "_waiting"):
            raise RuntimeError("an observer is opened once")
        dispatcher()
        waiting = Waiting()
        self._changed = asyncio.Event()
        changes = waiting.queue, waiting.add(self._observed)
        try:
            self._raw = await waiting.outcome(
                lambda waker: _primacy.open_observer(self._config, self._role, changes, waker)
            )
        except BaseException:
            waiting.remove(changes[1])
            waiting.end()
            raise
        self._waiting, self._tag = waiting, changes[1]
        return self

    def current(self) -> Primary | None:
        """The primary as far as is known now."""
        return primary_of(self._raw.current())

    async def wait_for_primary(self, timeout: float | None = None) -> Primary:
        """Waits until there is a primary.

        :raises TimedOut: there was none within ``timeout`` seconds.
        :raises Stopped: the observer was closed.
        """
        found = self.current()
        if found is None:
            found = await self.wait_for_change(None, timeout)
        assert found is not None
        return found

    async def wait_until_ready(self, timeout: float | None = None) -> Primary:
        """Waits until there is a primary that is ready: what a client does before each call.

        :raises TimedOut: there was none within ``timeout`` seconds.
        :raises Stopped: the observer was closed.
        """
        try:
            found = await within(
                self._reaches(lambda primary: primary is not None and primary.ready), timeout
            )
        except asyncio.TimeoutError:  # before Python 3.11 it is another one
            raise TimedOut(f"no primary of {self._role} is ready within {timeout} s") from None
        assert found is not None
        return found

    async def wait_for_change(self, seen: Primary | None, timeout: float | None = None) -> Primary | None:
        """Waits until the primary is another one than ``seen``, has become ready since, or there is none.

        :raises TimedOut: it was not within ``timeout`` seconds.
        :raises Stopped: the observer was closed.
        """
        try:
            return await within(self._reaches(lambda primary: primary != seen), timeout)
        except asyncio.TimeoutError:  # before Python 3.11 it is another one
            raise TimedOut(f"no change of {self._role}'s primary within {timeout} s") from None

    async def call(
        self,
        request: Callable[[Primary], Awaitable[T]],
        timeout: float | None = None,
        again: type[Exception] | tuple[type[Exception], ...] = ConnectionError,
    ) -> T:
        """Awaits ``request`` of the primary that is ready, and returns what it returns. As
        :meth:`primacy.Observer.call`, but a request that is under way when the time is over is cancelled.

        :raises TimedOut: nobody was ready, or none could answer; then its cause is the last error.
        :raises Stopped: the observer was closed.
        """
        failure: Exception | None = None

        async def until_answered() -> T:
            nonlocal failure
            while True:
                primary = await self.wait_until_ready()
                try:
                    return await request(primary)
                except again as error:
                    failure = error
                with contextlib.suppress(TimedOut):
                    await self.wait_for_change(primary, ASK_AGAIN)

        answer = asyncio.ensure_future(until_answered())
        try:
            await asyncio.wait([answer], timeout=timeout)
            if answer.done():
                return answer.result()
        finally:
            answer.cancel()
            await asyncio.wait([answer])
        raise TimedOut(f"no primary of {self._role} has answered within {timeout} s") from failure

    async def _reaches(self, reached: Callable[[Primary | None], bool]) -> Primary | None:
        while True:
            if self._closed:
                raise Stopped("the observer is closed")
            changed = self._changed
            if reached(now := self.current()):
                return now
            await changed.wait()

    async def changes(self) -> AsyncIterator[Primary | None]:
        """The primary now, then each time that it is another one, has become ready, or there is none; the
        latest only. Ends with a close."""
        seen = self.current()
        yield seen
        while True:
            try:
                seen = await self.wait_for_change(seen)
            except Stopped:
                return
            yield seen

    def __aiter__(self) -> AsyncIterator[Primary | None]:
        return self.changes()

    def close(self) -> None:
        """Closes it: whoever waits is told so."""
        if not self._closed and hasattr(self, "_waiting"):
            self._closed = True
            self._wake()
            self._waiting.remove(self._tag)
            self._waiting.end()
            self._raw.close()

    async def __aenter__(self) -> Observer:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<primacy.aio.Observer {self._role}>"

    def _observed(self, _: _primacy.Event) -> None:
        self._wake()

    def _wake(self) -> None:
        # Those that wait hold the old one; who comes later looks first.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
