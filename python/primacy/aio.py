"""The same for asyncio: what waits is a coroutine, and callbacks may be ones.

    async with aio.Session(config, candidate) as session:
        election = session.register("greeter", Greeter())
        election.campaign()

All of it belongs to the event loop that it was opened in, except for ``is_primary``, ``token``,
``remaining``, ``resign`` and the completion of calls, which any thread may use. When a task is cancelled, its
wait is over; a commit may happen all the same. Behind each commit, read and opening there is a thread of the
engine's until etcd has answered or its timeout is over, and one behind all joins of a session or an election,
until that is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Optional, TypeVar, Union

from primacy import _primacy
from primacy._bound import within
from primacy._calls import check_callbacks, failed, finish, invoke
from primacy._config import Candidate, Config, Value, check_candidate, raw_config
from primacy._dispatch import dispatcher, hand_on, inside
from primacy._errors import CallOver, Stopped, TimedOut
from primacy._events import (
    Answer,
    Call,
    Cancelled,
    Event,
    LostCall,
    Notice,
    Primary,
    PrimaryCall,
    Result,
    StandbyCall,
    WarmupCall,
    primary_of,
)
from primacy._session import (
    CLOSE,
    CommonElection,
    CommonSession,
    not_over,
    refuse_inside,
)

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Callbacks", "Election", "Observer", "Session"]

Answered = Union[Answer, None, Awaitable[Optional[Answer]]]  # made at run time, also by Python 3.9
"""What a callback returns: its answer, or a coroutine that will."""

T = TypeVar("T")


class Callbacks(ABC):
    """As ``primacy.Callbacks``; each may be a plain function, which must not block, or a coroutine function.

    A coroutine of ``on_standby``, ``on_warmup`` or ``on_primary`` is cancelled when its call is; the call is
    over when the coroutine is.
    """

    def on_standby(self, election: Election, call: StandbyCall) -> Answered:
        """Somebody else is primary, or it is not clear yet who is. Once per standby period."""
        return None

    def on_warmup(self, election: Election, call: WarmupCall) -> Answered:
        """Get ready to take over. Called until it answers ``Answer.WARM``, then at a tenth of the pace."""
        return Answer.WARM

    @abstractmethod
    def on_primary(self, election: Election, call: PrimaryCall) -> Answered:
        """This process is the primary, under ``call.token``. Return when the service is ready."""

    @abstractmethod
    def on_lost(self, election: Election, call: LostCall) -> Answered:
        """It is not any more. The lock is released when this has ended, so flush here."""

    def on_cancelled(self, election: Election, call: Call) -> None:
        """This call should end soon; it must still be completed. A plain function, for calls that answered
        PENDING."""

    def on_notice(self, election: Election, notice: Notice) -> None:
        """Something that needs no answer. A plain function."""

    def on_stopped(self, election: Election) -> None:
        """The election is over; the last call. A plain function."""


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
                    await _readable(self._queue.fileno())
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


async def _readable(descriptor: int) -> None:
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


class Session(CommonSession):
    """A connection to etcd, a lease, a server id; opened by ``async with``, or by :meth:`open`.

    As ``primacy.Session``, which see for what opening raises.
    """

    _waiting: Waiting

    def __init__(self, config: Config | Mapping[str, Value], candidate: Candidate) -> None:
        self._config = raw_config(config)
        self._config.check()
        check_candidate(candidate)
        self._candidate = candidate
        self._elections: list[Election] = []

    async def open(self) -> Session:
        """Opens it, once."""
        if hasattr(self, "_waiting"):
            raise RuntimeError("a session is opened once")
        keeper = dispatcher()
        waiting = Waiting()
        try:
            self._raw = await waiting.outcome(
                lambda waker: _primacy.open_session(self._config, self._candidate, waker)
            )
        except BaseException:
            waiting.end()
            raise
        self._waiting, self._loop = waiting, waiting.loop
        self._end = End(waiting, self._raw)
        keeper.opened(self)
        return self

    def register(self, role: str, callbacks: Callbacks | None = None) -> Election:
        """See ``primacy.Session.register``."""
        election = Election(self, role, callbacks)
        self._elections = [*(other for other in self._elections if not other._ended), election]
        return election

    async def read(self, txn: _primacy.Txn, timeout: float | None = None) -> Result:
        """See ``primacy.Session.read``."""
        return Result._of(await self._waiting.outcome(lambda waker: self._raw.read(txn, timeout, waker)))

    async def join(self, timeout: float | None = None) -> None:
        """Waits until the session is over: no callback of it runs, or will.

        :raises TimedOut: a callback still runs after ``timeout`` seconds, or the session was not stopped.
        :raises InCallback: a callback can not wait for its own end.
        """
        await self._end.join(timeout)
        self._waiting.end()
        dispatcher().closed(self)

    async def close(self, timeout: float = CLOSE) -> None:
        """Stops it and waits until it is over. Calls that only this task would have taken from ``events()``
        fail.

        :raises TimedOut: a callback still runs. All else is over, and the lock released.
        :raises InCallback: a callback can not wait for its own end.
        """
        refuse_inside()
        self.stop(timeout)
        unread = [election for election in self._elections if not election._is_read_elsewhere()]
        answering = [asyncio.ensure_future(self._answer(election)) for election in unread]
        try:
            await self.join(timeout + 0.5)
        finally:
            for task in answering:
                task.cancel()

    @staticmethod
    async def _answer(election: Election) -> None:
        while not election._ended:
            election._fail_unread()
            if not election._ended:
                await _readable(election._queue.fileno())

    async def __aenter__(self) -> Session:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<primacy.aio.Session {self.server_id if hasattr(self, '_raw') else 'not open'}>"

    def _is_over(self) -> bool:
        if self._waiting.loop.is_closed():
            # Nothing runs there any more: whoever waits for it is answered here.
            self._waiting.take()
            for election in self._elections:
                if election._callbacks is None:
                    election._fail_unread()
                for call in election._running().values():
                    with contextlib.suppress(CallOver):
                        call.fail("the event loop has ended")
        return super()._is_over()


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
