"""What a host does when its part changes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from primacy._events import Answer

if TYPE_CHECKING:
    from primacy._election import Election
    from primacy._events import Call, LostCall, Notice, PrimaryCall, StandbyCall, WarmupCall


class Callbacks(ABC):
    """What a host does when its part changes.

    Each runs on a thread of its own for as long as it takes, those of one election one after the other,
    except that ``on_lost`` starts while another one still runs. ``None`` or ``Answer.DONE`` means well; an
    exception, also ``SystemExit``, means failed, and goes to the log. To end a call later, from any thread,
    answer ``Answer.PENDING`` and use ``call.done()``, ``call.warm()`` or ``call.fail()``.
    """

    def on_standby(self, election: Election, call: StandbyCall) -> Answer | None:
        """Somebody else is primary, or it is not clear yet who is. Once per standby period."""

    def on_warmup(self, election: Election, call: WarmupCall) -> Answer | None:
        """Get ready to take over.

        Called again and again until it answers ``Answer.WARM``, then at a tenth of the pace. When the
        election is won, ``call.cancelled`` says so, and ``on_primary`` waits until this has ended.
        """
        return Answer.WARM

    @abstractmethod
    def on_primary(self, election: Election, call: PrimaryCall) -> Answer | None:
        """This process is the primary, under ``call.token``. Return when the service is ready; that does not
        end primacy. An exception gives it back."""

    @abstractmethod
    def on_lost(self, election: Election, call: LostCall) -> Answer | None:
        """It is not any more. Exactly once for each ``on_primary``, also while that still runs.

        The lock is released when this has ended, so flush here: where ``call.reason`` is ``RESIGNED`` or
        ``STOPPED``, guarded writes still go through.
        """

    def on_cancelled(self, election: Election, call: Call) -> None:
        """This call should end soon; it must still be completed. For those that answered PENDING; do not
        block."""

    def on_notice(self, election: Election, notice: Notice) -> None:
        """Something that needs no answer. In order among themselves."""

    def on_stopped(self, election: Election) -> None:
        """The election is over; the last call."""
