"""The same for asyncio: what waits is a coroutine, and callbacks may be ones.

    async with aio.Session(config, candidate) as session:
        election = session.register("greeter", Greeter())
        election.campaign()

All of it belongs to the event loop that it was opened in, except for ``is_primary``, ``token``,
``remaining``, ``transfer``, ``resign`` and the completion of calls, which any thread may use. When a task is
cancelled, its wait is over; a commit may happen all the same. Behind an opening and a close there is a thread
of the engine's until they have ended, and one behind all joins of a session or an election, until that is
over.
"""

from __future__ import annotations

from primacy.aio._callbacks import Answered as Answered
from primacy.aio._callbacks import Callbacks
from primacy.aio._election import Election
from primacy.aio._observer import Observer
from primacy.aio._session import Session

__all__ = ["Callbacks", "Election", "Observer", "Session"]
