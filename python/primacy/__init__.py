"""One primary, warm standbys: leader election on etcd.

    with primacy.Session({"etcd.endpoints": "localhost:2379"}, candidate) as session:
        election = session.register("greeter", Greeter())
        election.campaign()

A session is a connection to etcd, a lease and a server id; an election is a role on it. What happens comes by
callbacks (``Callbacks``) or as events (``election.events()``). An ``Observer`` follows the primary as
clients do. The same for asyncio is ``primacy.aio``. Durations are seconds, unless a setting's name says
otherwise.

A timer can not prove that a former primary writes nothing: what must never be written by one is written by
``election.commit``, under the fencing token of the win.

No callback runs on the thread that renews leases, and none ends with an exception that goes further than the
log. ``resign`` and ``stop`` may be called inside one, and take effect when it is over; ``join`` refuses.
Every wait lets other threads run, and Ctrl-C ends it. When the interpreter ends, what is open is stopped,
for two seconds at most. In a child that was forked while primacy was in use, ``is_primary`` is false and all
else raises ``Forked``; children that are spawned start anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from primacy._callbacks import Callbacks as Callbacks
    from primacy._config import Candidate as Candidate
    from primacy._config import Config as Config
    from primacy._config import Name as Name
    from primacy._config import Value as Value
    from primacy._election import Election as Election
    from primacy._errors import CallOver as CallOver
    from primacy._errors import CandidateError as CandidateError
    from primacy._errors import ConfigError as ConfigError
    from primacy._errors import Conflict as Conflict
    from primacy._errors import Denied as Denied
    from primacy._errors import Error as Error
    from primacy._errors import Exhausted as Exhausted
    from primacy._errors import Forked as Forked
    from primacy._errors import InCallback as InCallback
    from primacy._errors import InternalError as InternalError
    from primacy._errors import NotPrimary as NotPrimary
    from primacy._errors import Refused as Refused
    from primacy._errors import RoleError as RoleError
    from primacy._errors import RoleTaken as RoleTaken
    from primacy._errors import Stopped as Stopped
    from primacy._errors import TimedOut as TimedOut
    from primacy._errors import Unavailable as Unavailable
    from primacy._errors import Unknown as Unknown
    from primacy._events import Answer as Answer
    from primacy._events import Call as Call
    from primacy._events import Cancelled as Cancelled
    from primacy._events import Event as Event
    from primacy._events import Holder as Holder
    from primacy._events import HolderChanged as HolderChanged
    from primacy._events import LostCall as LostCall
    from primacy._events import LostReason as LostReason
    from primacy._events import Notice as Notice
    from primacy._events import Primary as Primary
    from primacy._events import PrimaryCall as PrimaryCall
    from primacy._events import Ready as Ready
    from primacy._events import Resumed as Resumed
    from primacy._events import StandbyCall as StandbyCall
    from primacy._events import Suspended as Suspended
    from primacy._events import WarmupCall as WarmupCall
    from primacy._health import Health as Health
    from primacy._health import Probes as Probes
    from primacy._health import Verdict as Verdict
    from primacy._observer import Observer as Observer
    from primacy._primacy import Txn as Txn
    from primacy._primacy import __version__ as __version__
    from primacy._result import KeyValue as KeyValue
    from primacy._result import Result as Result
    from primacy._session import Session as Session
    from primacy._snapshot import CallKind as CallKind
    from primacy._snapshot import ElectionState as ElectionState
    from primacy._snapshot import Obstacle as Obstacle
    from primacy._snapshot import SessionState as SessionState
    from primacy._snapshot import Snapshot as Snapshot

# Loaded when they are asked for: `primacy.testing` does without the native half.
_HOME = {
    "_callbacks": "Callbacks",
    "_config": "Candidate Config Name Value",
    "_election": "Election",
    "_errors": "CallOver CandidateError ConfigError Conflict Denied Error Exhausted Forked InCallback "
    "InternalError NotPrimary Refused RoleError RoleTaken Stopped TimedOut Unavailable Unknown",
    "_events": "Answer Call Cancelled Event Holder HolderChanged LostCall LostReason Notice Primary "
    "PrimaryCall Ready Resumed StandbyCall Suspended WarmupCall",
    "_health": "Health Probes Verdict",
    "_observer": "Observer",
    "_primacy": "Txn __version__",
    "_result": "KeyValue Result",
    "_session": "Session",
    "_snapshot": "CallKind ElectionState Obstacle SessionState Snapshot",
}
_MODULE = {name: module for module, names in _HOME.items() for name in names.split()}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _MODULE:
        raise AttributeError(f"module 'primacy' has no attribute {name!r}")
    found = getattr(import_module(f"primacy.{_MODULE[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return [*globals(), *_MODULE]
