"""Sessions for asyncio."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from primacy import _primacy
from primacy._config import Candidate, Config, Value, check_candidate, raw_config
from primacy._dispatch import dispatcher
from primacy._ending import refuse_inside
from primacy._errors import CallOver
from primacy._result import Result
from primacy._session import CANCELLED_WITHIN, CommonSession
from primacy.aio._election import Election
from primacy.aio._waiting import End, Waiting

if TYPE_CHECKING:
    from types import TracebackType

    from primacy.aio._callbacks import Callbacks


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
        """Opens it, once. A cancellation ends the opening."""
        if hasattr(self, "_waiting"):
            raise RuntimeError("a session is opened once")
        keeper = dispatcher()
        waiting = Waiting()
        begun: list[_primacy.Session] = []

        def begin(waker: tuple[_primacy.Queue, int]) -> _primacy.Operation:
            raw, opening = _primacy.open_session(self._config, self._candidate, waker)
            begun.append(raw)
            return opening

        try:
            await waiting.outcome(begin)
        except BaseException:
            for raw in begun:
                raw.begin_close(CANCELLED_WITHIN, [])
            waiting.end()
            raise
        (self._raw,) = begun
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

    async def close(self, timeout: float | None = None) -> None:
        """See ``primacy.Session.close``. Calls that only this task would have taken from ``events()`` fail.

        :raises TimedOut: a callback still runs. All else is over, and the lock released.
        :raises InCallback: a callback can not wait for its own end.
        """
        refuse_inside()
        unread = [election.role for election in self._elections if not election._is_read_elsewhere()]
        await self._waiting.outcome(lambda waker: self._raw.start_close(timeout, unread, waker))
        self._waiting.end()
        dispatcher().closed(self)

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
                for call in election._running().values():
                    with contextlib.suppress(CallOver):
                        call.fail("the event loop has ended")
        return super()._is_over()

    def _all(self) -> Sequence[Election]:
        return self._elections
