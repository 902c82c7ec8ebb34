"""What a host on an event loop does when its part changes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Optional, Union

from primacy._events import Answer, Call, LostCall, Notice, PrimaryCall, StandbyCall, WarmupCall

if TYPE_CHECKING:
    from primacy.aio._election import Election

Answered = Union[Answer, None, Awaitable[Optional[Answer]]]  # made at run time, also by Python 3.9
"""What a callback returns: its answer, or a coroutine that will."""


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
