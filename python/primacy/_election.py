"""Elections for threads."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from primacy import _primacy
from primacy._calls import check_callbacks, failed, finish, invoke
from primacy._dispatch import dispatcher, inside, within
from primacy._ending import not_over, refuse_inside
from primacy._errors import TimedOut
from primacy._events import Call, Cancelled, Event, Notice
from primacy._primacy import Kind
from primacy._raw import call_of, notice_of
from primacy._result import Result
from primacy._workers import Series

if TYPE_CHECKING:
    from primacy._callbacks import Callbacks
    from primacy._session import Session


class CommonElection:
    """What is the same for threads and for asyncio: all that does not wait."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._raw: _primacy.Election
        self._callbacks: Any
        self._queue: _primacy.Queue
        self._calls: dict[int, Call] = {}
        self._lock = threading.Lock()  # for changes of `_calls`: several threads may take events
        self._ended = False

    @property
    def role(self) -> str:
        """Its role."""
        return self._role

    def campaign(self) -> None:
        """Campaigns from now on: primary if it can be, standby otherwise. Returns at once."""
        self._raw.campaign()

    def transfer(self, to: int | None = None) -> None:
        """Hands primacy over to a warm standby and goes on as standby; without primacy nothing happens.

        ``to`` is the server id of the standby; None: the best one, which is the one of the highest
        ``primacy.priority``, and of those the one that has been there for longest. It is asked first, and
        has half a second to agree, more at a slow etcd; then the next one is asked, three at most. Until one
        has agreed this process is primary, and it stays so if none does: the log says why. Then ``on_lost``
        is called with ``TRANSFERRED``, and when it has ended one transaction makes the standby primary. When
        that took long, the standby is asked once more. Should it have gone by then and there is no other,
        this process is primary again, under a new token. Returns at once.
        """
        self._raw.transfer(to, within())

    def healthy(self) -> None:
        """Says that the host is well, which a primary has to within each ``primacy.liveness_timeout_ms``.

        Without that setting nothing happens. The lease is renewed by the library's own threads, whatever
        those of the host do: call this from where the work is done, not from a timer. The time counts
        from the last such call, or from the end of ``on_primary``; where it runs out ``on_lost`` follows with
        ``LIVENESS_EXPIRED``. While ``on_primary`` runs, and without primacy, it need not be called; who has
        called it in ``on_primary`` has to go on. Any thread; never blocks.
        """
        self._raw.healthy()

    def resign(self) -> None:
        """Gives primacy up and goes on as standby; without primacy nothing happens. Returns at once.

        A warm standby takes over as by :meth:`transfer`; if there is none, or none that answers, the lock is
        released.
        """
        self._raw.resign(within())

    def stop(self, timeout: float | None = None) -> None:
        """Ends the election. Callbacks that still run hold its keys for ``timeout`` seconds at most, by
        default ``primacy.drain_timeout_ms``. Returns at once."""
        self._raw.stop(timeout, within())

    def is_primary(self) -> bool:
        """Whether this process is primary now: a comparison of the clock with the lease's deadline, made now.

        Between this answer and what follows, time passes: see :meth:`commit`.
        """
        return self._raw.is_primary()

    def token(self) -> int | None:
        """The fencing token, if this process is primary now."""
        return self._raw.token()

    def remaining(self) -> float:
        """For how many seconds it is surely still primary; 0 if it is not. Start nothing longer than that."""
        return self._raw.remaining()

    def recording(self) -> str:
        """What happened, for a report: every step of the session, as long as that is not more than a
        megabyte, then the last ones that this election had a part in. Its first line says which."""
        return self._raw.recording()

    def _take(self, raw: _primacy.Event) -> Event | None:
        """What an event of the queue says, if anything to the host; it may also say that the election has
        ended."""
        if raw.kind == Kind.Stopped:
            self._ended = True
        elif raw.kind == Kind.Cancelled:
            cancelled = self._calls.get(raw.call)
            if cancelled is not None and not cancelled._over.is_set():
                cancelled._cancelled.set()
                return Cancelled(cancelled)
        elif call := call_of(raw, self._raw):
            with self._lock:
                self._calls = {**self._running(), call.id: call}
            return call
        return notice_of(raw)

    def _running(self) -> dict[int, Call]:
        """The calls that were taken and are not over."""
        return {id: call for id, call in self._calls.items() if not call._over.is_set()}

    def __repr__(self) -> str:
        module = type(self).__module__.partition("._")[0]
        return f"<{module}.Election {self._role}>"


class Election(CommonElection):
    """A role on a session. Made by :meth:`Session.register`."""

    def __init__(self, session: Session, role: str, callbacks: Callbacks | None) -> None:
        super().__init__(role)
        check_callbacks(callbacks)
        self._callbacks = callbacks
        if callbacks is None:
            self._queue = _primacy.Queue()
            self._reader: threading.Thread | None = None
            self._raw = session._raw.register(role, self._queue, 0)
            return
        self._queue = dispatcher().queue
        self._told = Series(dispatcher().workers)
        self._tag = dispatcher().add(self._happened)
        try:
            self._raw = session._raw.register(role, self._queue, self._tag)
        except BaseException:
            dispatcher().remove(self._tag)
            raise

    def join(self, timeout: float | None = None) -> None:
        """Waits until the election is over, for ``timeout`` seconds at most.

        :raises TimedOut: it is not.
        :raises InCallback: a callback can not wait for its own end.
        """
        refuse_inside()
        if not self._raw.join(timeout):
            raise not_over()

    def commit(self, token: int, txn: _primacy.Txn, timeout: float | None = None) -> Result:
        """Runs a transaction that only commits while the lock is held under ``token``: a guarded write.

        It also commits while a resignation drains, so that ``on_lost`` can flush. Waits for ``timeout``
        seconds at most, by default ``etcd.requestTimeout``. Interrupted, it may happen all the same.

        :raises NotPrimary: nothing was written: the lock is no longer held under this token.
        :raises Conflict: nothing was written: a comparison of the transaction's own did not hold.
        :raises Unknown: it may have been written, or may be a little later.
        :raises Unavailable, Refused, Denied: nothing was written.
        """
        return Result._of(self._raw.commit(token, txn, timeout, None).wait())

    def next_event(self, timeout: float | None = None) -> Event | None:
        """The next event of an election without callbacks; None: it is over.

        Calls must be completed. Nothing comes before :meth:`campaign`.

        :raises TimedOut: none came within ``timeout`` seconds.
        """
        if self._callbacks is not None:
            raise TypeError(f"{self!r} has callbacks; register it without them to take its events")
        self._reader = threading.current_thread()
        end = None if timeout is None else time.monotonic() + timeout
        while not self._ended:
            raw = self._queue.next(None if end is None else max(0.0, end - time.monotonic()))
            if raw is None:
                raise TimedOut(f"no event within {timeout} s")
            if (event := self._take(raw)) is not None:
                return event
        # For other threads that wait.
        self._queue.wake(0)
        return None

    def events(self) -> Iterator[Event]:
        """The events of an election without callbacks, until it is over. See :meth:`next_event`."""
        while (event := self.next_event()) is not None:
            yield event

    # With callbacks: what the dispatcher's thread does with an event.

    def _happened(self, raw: _primacy.Event) -> None:
        assert self._callbacks is not None
        event = self._take(raw)
        if self._ended:
            dispatcher().remove(self._tag)
            self._told.run(partial(self._callbacks.on_stopped, self))
        elif isinstance(event, Call):
            dispatcher().workers.run(partial(self._perform, event))
        elif isinstance(event, Cancelled):
            self._told.run(partial(self._callbacks.on_cancelled, self, event.call))
        elif isinstance(event, Notice):
            self._told.run(partial(self._callbacks.on_notice, self, event))

    def _perform(self, call: Call) -> None:
        assert self._callbacks is not None
        before = inside.set(call)
        try:
            answer = invoke(self._callbacks, self, call)
            if inspect.isawaitable(answer):
                if asyncio.iscoroutine(answer):
                    answer.close()
                raise TypeError("a callback is a coroutine; those are for primacy.aio")
        except BaseException as error:
            failed(self, call, error)
        else:
            finish(self, call, answer)
        finally:
            inside.reset(before)

    def _is_read_elsewhere(self) -> bool:
        """Whether another thread than this one may take its events."""
        if self._callbacks is not None:
            return True
        reader = self._reader
        return reader is not None and reader is not threading.current_thread() and reader.is_alive()
