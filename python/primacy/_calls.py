"""From a call to its callback, and from how that ended to its outcome. The same for threads and asyncio."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from primacy._errors import CallOver
from primacy._events import Answer, Call, LostCall, PrimaryCall, StandbyCall, WarmupCall
from primacy._log import log

if TYPE_CHECKING:
    from primacy._election import CommonElection


def invoke(callbacks: Any, election: CommonElection, call: Call) -> Any:
    """Calls the callback that this call is for."""
    methods: dict[type[Call], Callable[[Any, Any], Any]] = {
        StandbyCall: callbacks.on_standby,
        WarmupCall: callbacks.on_warmup,
        PrimaryCall: callbacks.on_primary,
        LostCall: callbacks.on_lost,
    }
    return methods[type(call)](election, call)


def check_callbacks(callbacks: object) -> None:
    """Refuses what can not be called back."""
    if callbacks is None:
        return
    if isinstance(callbacks, type):
        raise TypeError(f"callbacks: give an instance, {callbacks.__name__}(), not the class itself")
    names = ("on_standby", "on_warmup", "on_primary", "on_lost", "on_cancelled", "on_notice", "on_stopped")
    missing = [name for name in names if not callable(getattr(callbacks, name, None))]
    if missing:
        raise TypeError(
            f"callbacks: {type(callbacks).__name__} has no {', '.join(missing)}; derive it from Callbacks"
        )


def finish(election: CommonElection, call: Call, answer: object) -> None:
    """Completes a call as its callback answered."""
    if answer is Answer.PENDING:
        return
    try:
        if answer is None or answer is Answer.DONE:
            call.done()
        elif answer is Answer.WARM:
            call._complete("warm")
        else:
            log.error("%s: %s answered %r, which is no primacy.Answer", election.role, name_of(call), answer)
            call.fail(f"it answered {answer!r}")
    except CallOver:
        # The callback has done so itself.
        pass


def failed(election: CommonElection, call: Call, error: BaseException) -> None:
    """Completes a call whose callback has raised."""
    log.error("%s: %s failed", election.role, name_of(call), exc_info=error)
    with contextlib.suppress(CallOver):
        call.fail(f"{type(error).__name__}: {error}")


def name_of(call: Call) -> str:
    return "on_" + type(call).__name__.removesuffix("Call").lower()
