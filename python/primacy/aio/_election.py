"""Elections for asyncio."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any

from primacy import _primacy
from primacy._calls import check_callbacks, failed, finish, invoke
from primacy._dispatch import inside
from primacy._election import CommonElection
from primacy._events import Answer, Call, Cancelled, Event, LostCall, Notice
from primacy._result import Result
from primacy.aio._waiting import End, readable

if TYPE_CHECKING:
    from primacy.aio._callbacks import Callbacks
    from primacy.aio._session import Session


class Election(CommonElection):
    """A role on a session. Made by :meth:`Session.register`."""

    def __init__(self, session: Session, role: str, callbacks: Callbacks | None) -> None:
        super().__init__(role)
        check_callbacks(callbacks)
        self._waiting = session._waiting
        self._callbacks = callbacks
        self._tasks: dict[int, asyncio.Task[None]] = {}
        if callbacks is None:
            self._queue = _primacy.Queue()
            self._reader: asyncio.Task[Any] | None = None
            self._taking = False
            self._raw = session._raw.register(role, self._queue, 0)
        else:
            self._queue = self._waiting.queue
            self._tag = self._waiting.add(self._happened)
            try:
                self._raw = session._raw.register(role, self._queue, self._tag)
            except BaseException:
                self._waiting.remove(self._tag)
                raise
        self._end = End(self._waiting, self._raw)

    async def join(self, timeout: float | None = None) -> None:
        """Waits until the election is over, for ``timeout`` seconds at most.

        :raises TimedOut: it is not.
        :raises InCallback: a callback can not wait for its own end.
        """
        await self._end.join(timeout)

    async def commit(self, token: int, txn: _primacy.Txn, timeout: float | None = None) -> Result:
        """See ``primacy.Election.commit``."""
        found = await self._waiting.outcome(lambda waker: self._raw.commit(token, txn, timeout, waker))
        return Result._of(found)

    async def next_event(self) -> Event | None:
        """The next event of an election without callbacks; None: it is over. For one task at a time."""
        if self._callbacks is not None:
            raise TypeError(f"{self!r} has callbacks; register it without them to take its events")
        if self._taking:
            raise RuntimeError(f"another task waits for an event of {self!r}")
        self._reader = asyncio.current_task()
        self._taking = True
        try:
            while not self._ended:
                if (raw := self._queue.poll()) is None:
                    await readable(self._queue.fileno())
                elif (event := self._take(raw)) is not None:
                    return event
        finally:
            self._taking = False
        return None

    async def events(self) -> AsyncIterator[Event]:
        """The events of an election without callbacks, until it is over."""
        while (event := await self.next_event()) is not None:
            yield event

    def __aiter__(self) -> AsyncIterator[Event]:
        return self.events()

    # With callbacks: what the loop does with an event.

    def _happened(self, raw: _primacy.Event) -> None:
        assert self._callbacks is not None
        event = self._take(raw)
        if self._ended:
            self._waiting.remove(self._tag)
        if self._waiting.loop.is_closed():
            # The interpreter ends, or another session is opened: see Session._is_over.
            if isinstance(event, Call):
                event.fail("the event loop has ended")
        elif self._ended:
            self._callbacks.on_stopped(self)
        elif isinstance(event, Call):
            task = self._waiting.loop.create_task(self._perform(event))
            self._tasks[event.id] = task
            task.add_done_callback(partial(self._performed, event))
        elif isinstance(event, Cancelled):
            if (running := self._tasks.get(event.call.id)) and not isinstance(event.call, LostCall):
                running.cancel()
            self._callbacks.on_cancelled(self, event.call)
        elif isinstance(event, Notice):
            self._callbacks.on_notice(self, event)

    async def _perform(self, call: Call) -> None:
        inside.set(call)  # of this task alone
        try:
            answer = invoke(self._callbacks, self, call)
            if inspect.isawaitable(answer):
                answer = await answer
        except asyncio.CancelledError:
            raise  # see below
        except (SystemExit, KeyboardInterrupt) as error:
            failed(self, call, error)
            raise
        except BaseException as error:
            failed(self, call, error)
        else:
            finish(self, call, answer)

    def _performed(self, call: Call, task: asyncio.Task[None]) -> None:
        """Here and not in the coroutine: that is never entered when it is cancelled before it starts."""
        self._tasks.pop(call.id, None)
        if task.cancelled() and call.cancelled:
            finish(self, call, Answer.DONE)
        elif task.cancelled():
            failed(self, call, asyncio.CancelledError("its task was cancelled"))

    def _is_read_elsewhere(self) -> bool:
        """Whether another task than this one may take its events."""
        if self._callbacks is not None:
            return True
        reader = self._reader
        return reader is not None and reader is not asyncio.current_task() and not reader.done()
