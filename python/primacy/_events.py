"""What a candidate and a client are told, as plain values.

A call is something to do: it is over once it was completed, by :meth:`Call.done`, :meth:`WarmupCall.warm` or
:meth:`Call.fail`, or at the end of a ``with`` block. A notice needs no answer.
"""

from __future__ import annotations

import enum
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from primacy._errors import CallOver

if TYPE_CHECKING:
    from types import TracebackType

    from primacy import _primacy


class LostReason(enum.Enum):
    """Why primacy ended; the first reason that was observed."""

    LEASE_EXPIRED = "lease_expired"
    """The lease ran out, or etcd no longer knows it."""
    KEY_DELETED = "key_deleted"
    """Somebody deleted a key of the lock."""
    KEY_TAKEN = "key_taken"
    """Somebody overwrote a key of the lock."""
    RESIGNED = "resigned"
    """The host resigned."""
    TRANSFERRED = "transferred"
    """Handed over to another candidate."""
    ACTIVATION_FAILED = "activation_failed"
    """``on_primary`` failed."""
    STORE_ROLLED_BACK = "store_rolled_back"
    """etcd was put back to an older state, or replaced by another cluster."""
    STOPPED = "stopped"
    """The election or the session is being stopped."""
    INTERNAL_ERROR = "internal_error"
    """A defect of the library."""
    HOST_UNRESPONSIVE = "host_unresponsive"
    """Nobody took what waited in the election's queue for ``primacy.activation_timeout_ms``."""
    LIVENESS_EXPIRED = "liveness_expired"
    """The host did not say within ``primacy.liveness_timeout_ms`` that it is well."""

    def __str__(self) -> str:
        return str(self.value)


class Answer(enum.Enum):
    """How a callback ended. ``None`` is DONE, an exception is a failure."""

    DONE = "done"
    """Well."""
    WARM = "warm"
    """Well, and this standby is ready to take over (of ``on_warmup``)."""
    PENDING = "pending"
    """Not yet: the call will be completed later, on any thread."""


class Holder(NamedTuple):
    """Who holds a lock."""

    server_id: int
    address: str
    lease: int
    token: int


class Primary(NamedTuple):
    """The primary of a role, as its clients see it. A later one has a higher token."""

    server_id: int
    address: str
    token: int
    ready: bool
    """Its ``on_primary`` has succeeded, so that it serves; also of a coordinator that does not say, as
    Milvus's own do not."""


@dataclass(frozen=True)
class Event:
    """Something that happened to an election."""


@dataclass(frozen=True)
class Call(Event):
    """Something to do, which is over when it was completed: once, on any thread."""

    id: int
    """Names this call; never used again in its election."""
    _election: _primacy.Election = field(repr=False, compare=False)
    _cancelled: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)
    _over: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    def done(self) -> None:
        """It is over, and went well.

        :raises CallOver: it was completed before.
        """
        self._complete("done")

    def fail(self, why: object = "the host gave no reason") -> None:
        """It is over, and went wrong; ``why`` is for people.

        A failed warm-up is tried again; a failed ``on_primary`` gives primacy back.

        :raises CallOver: it was completed before.
        """
        self._complete("failed", str(why) or type(why).__name__)

    @property
    def cancelled(self) -> bool:
        """Whether it should end soon. It must still be completed."""
        return self._cancelled.is_set() or (not self._over.is_set() and self._election.is_cancelled(self.id))

    def wait_cancelled(self, timeout: float | None = None) -> bool:
        """Waits until it should end soon, for ``timeout`` seconds at most; whether it should.

        With ``election.events()`` another thread must go on iterating meanwhile.
        """
        return self._cancelled.wait(timeout)

    def _complete(self, outcome: str, text: str = "") -> None:
        self._over.set()
        self._election.complete(self.id, outcome, text)

    def __enter__(self) -> Call:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._over.is_set():
            return
        try:
            if error is None:
                self.done()
            else:
                self.fail(error)
        except CallOver:
            # Only the end of the election can have ended it; the error of the block tells more.
            pass


@dataclass(frozen=True)
class StandbyCall(Call):
    """Somebody else is primary, or it is not clear yet who is. Once per standby period."""

    holder: Holder | None = None
    """The primary, if it is known."""


@dataclass(frozen=True)
class WarmupCall(Call):
    """Get ready to take over; again and again until it says warm, then at a tenth of the pace."""

    def warm(self) -> None:
        """It is over, and this standby is ready to take over.

        :raises CallOver: it was completed before.
        """
        self._complete("warm")


@dataclass(frozen=True)
class PrimaryCall(Call):
    """This process is the primary. Over when the service is ready: that does not end primacy."""

    token: int = 0
    """The fencing token of the win."""
    lease: int = 0
    """The lease in etcd that it stands on."""


@dataclass(frozen=True)
class LostCall(Call):
    """It is not any more. Exactly one for each PrimaryCall, also while that one still runs."""

    token: int = 0
    """The token of the win that is over."""
    lease: int = 0
    """The lease that it stood on."""
    reason: LostReason = LostReason.INTERNAL_ERROR


@dataclass(frozen=True)
class Cancelled(Event):
    """This call, which is still running, should end soon; it must still be completed."""

    call: Call


@dataclass(frozen=True)
class Notice(Event):
    """Something that needs no answer."""


@dataclass(frozen=True)
class Suspended(Notice):
    """Primary, but the renewal of the lease is late: lost at the deadline unless it comes. Start nothing
    long."""

    token: int


@dataclass(frozen=True)
class Resumed(Notice):
    """The late renewal came."""

    token: int


@dataclass(frozen=True)
class Ready(Notice):
    """``on_primary`` has succeeded."""

    token: int


@dataclass(frozen=True)
class HolderChanged(Notice):
    """Another holder of the lock, or none."""

    holder: Holder | None
