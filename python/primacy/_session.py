"""Sessions for threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from primacy import _primacy
from primacy._config import Candidate, Config, Value, check_candidate, raw_config
from primacy._dispatch import dispatcher, within
from primacy._election import CommonElection, Election
from primacy._ending import not_over, refuse_inside
from primacy._health import Health, health_of
from primacy._result import Result
from primacy._snapshot import Snapshot, snapshot_of

if TYPE_CHECKING:
    from types import TracebackType

    from primacy._callbacks import Callbacks

Self = TypeVar("Self", bound="Session")

# An opening that nobody waits for any more ends within this, in seconds.
CANCELLED_WITHIN = 0.1


class CommonSession:
    """What is the same for threads and for asyncio: all that does not wait."""

    _raw: _primacy.Session
    _loop: asyncio.AbstractEventLoop | None = None

    @property
    def server_id(self) -> int:
        """The server id that the session was opened with: positive."""
        return self._raw.server_id

    def snapshot(self) -> Snapshot:
        """Where the session and its elections stand."""
        return snapshot_of(self._raw.snapshot())

    def health(self) -> Health:
        """What probes ask of this process, by role, with why not. Asks nothing of etcd. docs/deploy.md has
        the table of all states, and :mod:`primacy.probes` answers probes by HTTP."""
        return health_of(self._raw.health())

    def mark_stopping(self) -> None:
        """Says that this server is going to stop: the records of its candidates, never the locks, have
        Milvus's ``Stopping`` from now on. Nothing else changes. Returns at once; ``stopping`` of
        :meth:`snapshot` says when the records do."""
        self._raw.mark_stopping()

    def stop(self, timeout: float | None = None) -> None:
        """Ends the session and its elections: ``on_lost`` where it is primary, keys deleted, the lease
        revoked, all within ``timeout`` seconds, by default ``primacy.drain_timeout_ms``. Returns at once."""
        self._raw.stop(timeout, within())

    def _all(self) -> Sequence[CommonElection]:
        raise NotImplementedError

    # For the end of the interpreter.

    def _at_exit(self) -> None:
        """Nobody takes events any more."""
        self._raw.begin_close(1.5, [election.role for election in self._all() if election._callbacks is None])

    def _is_over(self) -> bool:
        return self._raw.is_over()


class Session(CommonSession):
    """A connection to etcd, a lease, a server id. Opened when it is made; ended by :meth:`close`, by a
    ``with`` block, or with the interpreter, never by being collected.

    :param config: settings by Milvus's names.
    :param candidate: what its records in etcd say of it.
    :raises Unavailable: etcd did not answer within ``etcd.requestTimeout``; trying again may help.
    :raises Denied, Refused: until somebody changes something, it stays so.
    :raises ConfigError, CandidateError: what would do is in the text.
    """

    def __init__(self, config: Config | Mapping[str, Value], candidate: Candidate) -> None:
        raw = raw_config(config)
        raw.check()
        check_candidate(candidate)
        dispatcher()
        self._elections: list[Election] = []
        self._lock = threading.Lock()  # for changes of `_elections`
        self._raw, opening = _primacy.open_session(raw, candidate, None)
        try:
            opening.wait()
        except BaseException:  # Ctrl-C, too
            self._raw.close(CANCELLED_WITHIN, [])
            raise
        dispatcher().opened(self)

    def register(self, role: str, callbacks: Callbacks | None = None) -> Election:
        """Adds an election for ``role``. Its candidate's record is put into etcd; nothing else happens before
        ``election.campaign()``. Without callbacks, take ``election.events()``.

        :raises RoleError: the name can not be a role.
        :raises RoleTaken: this session runs it already, or one that excludes it.
        :raises Stopped: the session is being stopped.
        """
        election = Election(self, role, callbacks)
        with self._lock:
            self._elections = [*(other for other in self._elections if not other._ended), election]
        return election

    def read(self, txn: _primacy.Txn, timeout: float | None = None) -> Result:
        """Reads what the transaction gets, linearizably and as of one revision.

        :raises Unavailable, Unknown, Refused, Denied: etcd did not answer it.
        :raises ValueError: the transaction does more than to get.
        """
        return Result._of(self._raw.read(txn, timeout, None).wait())

    def join(self, timeout: float | None = None) -> None:
        """Waits until the session is over: no callback of it runs, or will.

        :raises TimedOut: a callback still runs after ``timeout`` seconds, or the session was not stopped.
        :raises InCallback: a callback can not wait for its own end.
        """
        refuse_inside()
        if not self._raw.join(timeout):
            raise not_over()
        dispatcher().closed(self)

    def close(self, timeout: float | None = None) -> None:
        """Stops it and waits until it is over, for ``timeout`` seconds at most, by default
        ``primacy.drain_timeout_ms``, and half a second more for the news of it. Calls that only this thread
        would have taken from ``events()`` fail.

        :raises TimedOut: a callback still runs. All else is over, and the lock released.
        :raises InCallback: a callback can not wait for its own end.
        """
        refuse_inside()
        unread = [election.role for election in self._elections if not election._is_read_elsewhere()]
        self._raw.close(timeout, unread)
        dispatcher().closed(self)

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<primacy.Session {self.server_id}>"

    def _all(self) -> Sequence[Election]:
        return self._elections
