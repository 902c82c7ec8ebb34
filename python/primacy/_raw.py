"""What the native half tells, as what the host is told."""

from __future__ import annotations

from typing import Any

from primacy import _primacy
from primacy._events import (
    Call,
    Holder,
    HolderChanged,
    LostCall,
    LostReason,
    Notice,
    Primary,
    PrimaryCall,
    Ready,
    Resumed,
    StandbyCall,
    Suspended,
    WarmupCall,
)
from primacy._primacy import Kind


def call_of(raw: _primacy.Event, election: _primacy.Election) -> Call | None:
    """The call that an event of a queue is, if it is one."""
    if raw.kind == Kind.Standby:
        return StandbyCall(raw.call, election, holder=_holder(raw))
    if raw.kind == Kind.Warmup:
        return WarmupCall(raw.call, election)
    if raw.kind == Kind.Primary:
        return PrimaryCall(raw.call, election, token=raw.token, lease=raw.lease)
    if raw.kind == Kind.Lost:
        return LostCall(raw.call, election, token=raw.token, lease=raw.lease, reason=LostReason(raw.reason))
    return None


def notice_of(raw: _primacy.Event) -> Notice | None:
    """The notice that an event of a queue is, if it is one."""
    if raw.kind == Kind.Suspended:
        return Suspended(raw.token)
    if raw.kind == Kind.Resumed:
        return Resumed(raw.token)
    if raw.kind == Kind.Ready:
        return Ready(raw.token)
    if raw.kind == Kind.Holder:
        return HolderChanged(_holder(raw))
    return None


def _holder(raw: _primacy.Event) -> Holder | None:
    return Holder(*raw.holder) if raw.holder else None


def primary_of(seen: Any) -> Primary | None:
    """The primary that an observer of the engine tells."""
    return Primary(*seen) if seen else None
