"""Following the primary of a role, as clients of a coordinator do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from primacy import _primacy
from primacy._config import Config, Value, raw_config
from primacy._dispatch import dispatcher
from primacy._errors import Stopped, TimedOut
from primacy._events import Primary
from primacy._raw import primary_of
from primacy._workers import Series

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")

#: Seconds until a primary that could not answer is asked again, while there is no other.
ASK_AGAIN = 0.1


class Observer:
    """Follows one role. Opened when it is made; closed by :meth:`close` or a ``with`` block. Needs no lease.

    :param on_change: called with the first state and with each later one, on a thread of its own, one at a
        time;
        when it is slow, with the latest only.
    :raises Unavailable, Denied, Refused, ConfigError: as of a session.
    """

    def __init__(
        self,
        config: Config | Mapping[str, Value],
        role: str,
        on_change: Callable[[Primary | None], object] | None = None,
    ) -> None:
        raw = raw_config(config)
        raw.check()
        self._role = role
        self._closed = False
        self._on_change = on_change
        self._changes = Series(dispatcher().workers)
        self._tag = dispatcher().add(self._changed)
        changes = None if on_change is None else (dispatcher().queue, self._tag)
        try:
            self._raw: _primacy.Observer = _primacy.open_observer(raw, role, changes, None).wait()
        except BaseException:
            dispatcher().remove(self._tag)
            raise

    @property
    def role(self) -> str:
        """Its role."""
        return self._role

    def current(self) -> Primary | None:
        """The primary as far as is known now. Does not wait."""
        return primary_of(self._raw.current())

    def wait_for_primary(self, timeout: float | None = None) -> Primary:
        """Waits until there is a primary.

        :raises TimedOut: there was none within ``timeout`` seconds.
        :raises Stopped: the observer was closed.
        """
        found = primary_of(self._raw.wait_for_primary(timeout))
        if found is None:
            raise TimedOut(f"no primary of {self._role} within {timeout} s")
        return found

    def wait_until_ready(self, timeout: float | None = None) -> Primary:
        """Waits until there is a primary that is ready: what a client does before each call.

        :raises TimedOut: there was none within ``timeout`` seconds.
        :raises Stopped: the observer was closed.
        """
        found = primary_of(self._raw.wait_until_ready(timeout))
        if found is None:
            raise TimedOut(f"no primary of {self._role} is ready within {timeout} s")
        return found

    def wait_for_change(self, seen: Primary | None, timeout: float | None = None) -> Primary | None:
        """Waits until the primary is another one than ``seen``, has become ready since, or there is none.

        :raises TimedOut: it was not within ``timeout`` seconds.
        :raises Stopped: the observer was closed.
        """
        found = self._raw.wait_for_change(seen, timeout)
        if found is None:
            raise TimedOut(f"no change of {self._role}'s primary within {timeout} s")
        return primary_of(found[0])

    def call(
        self,
        request: Callable[[Primary], T],
        timeout: float | None = None,
        again: type[Exception] | tuple[type[Exception], ...] = ConnectionError,
    ) -> T:
        """Calls ``request`` with the primary that is ready, and returns what it returns.

        Where it raises one of ``again``, it is called again: with the same primary after a tenth of a second,
        since that may only be busy, or at once with another. So it has to be something that may be done
        twice, or to raise one of ``again`` only where nothing was done. Anything else that it raises is
        raised.

        :param timeout: seconds for all of it, but a ``request`` that has begun is not ended.
        :raises TimedOut: nobody was ready, or none could answer; then its cause is the last error.
        :raises Stopped: the observer was closed.
        """
        end = None if timeout is None else time.monotonic() + timeout
        failure: Exception | None = None
        while True:
            left = None if end is None else max(0.0, end - time.monotonic())
            if failure is not None and left == 0:
                raise TimedOut(f"no primary of {self._role} has answered within {timeout} s") from failure
            try:
                primary = self.wait_until_ready(left)
            except TimedOut as nobody:
                raise nobody from failure
            try:
                return request(primary)
            except again as error:
                failure = error
            with contextlib.suppress(TimedOut):
                self.wait_for_change(primary, ASK_AGAIN)

    def changes(self) -> Iterator[Primary | None]:
        """The primary now, then each time that it is another one, has become ready, or there is none; the
        latest only. Ends with a close."""
        seen = self.current()
        yield seen
        while True:
            try:
                seen = self.wait_for_change(seen)
            except Stopped:
                return
            yield seen

    def close(self) -> None:
        """Closes it: whoever waits is told so, and ``on_change`` does not start any more."""
        self._closed = True
        dispatcher().remove(self._tag)
        self._raw.close()

    def __enter__(self) -> Observer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<primacy.Observer {self._role}>"

    def _changed(self, raw: _primacy.Event) -> None:
        self._changes.run_latest(lambda: self._tell(primary_of(raw.primary)))

    def _tell(self, primary: Primary | None) -> None:
        if self._on_change and not self._closed:
            self._on_change(primary)
