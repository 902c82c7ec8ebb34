"""The threads of Python's that stand between the engine and the host. All are daemons.

One waits for the queue's descriptor and hands on what comes out; it never runs code of the host's. Others
run the host's callbacks, each as long as it likes. One writes the log. When the interpreter ends, what is
open is stopped, so that a standby takes over at once; a callback that hangs then is left behind.

Waiting is done by ``select`` here and not by the engine: a thread that sleeps there when the interpreter
goes away just never wakes up.

They have to be threads of the system: a greenlet stands still while another one waits in here.
"""

from __future__ import annotations

import _thread
import asyncio
import atexit
import itertools
import queue
import select
import threading
import time
import types
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from primacy import _primacy
from primacy._errors import Exhausted, Refused
from primacy._log import log
from primacy._workers import KEPT, Workers

if TYPE_CHECKING:
    from primacy._events import Call

inside: ContextVar[Call | None] = ContextVar("primacy_inside", default=None)
"""The call whose callback the present code is part of."""

LOOK = 1.0
"""How often it is looked whether an event loop with open sessions has ended."""
AT_EXIT = 2.0
"""How long the end of the interpreter waits for what is still open."""


def within() -> tuple[_primacy.Election, int] | None:
    """The call that the present code runs in, as the engine wants it."""
    call = inside.get()
    return None if call is None or call._over.is_set() else (call._election, call.id)


def hand_on(queue: _primacy.Queue, handlers: Mapping[int, Callable[[_primacy.Event], None]]) -> None:
    """Gives each event that waits in a queue to the handler of its tag, if there is one."""
    while (event := queue.poll()) is not None:
        if handler := handlers.get(event.tag):
            try:
                handler(event)
            except Exception:
                log.exception("primacy could not hand on %s", event.kind)


class Open(Protocol):
    """What is stopped when the interpreter ends, or its event loop."""

    _loop: asyncio.AbstractEventLoop | None

    def _at_exit(self) -> None:
        """Stop; do not wait."""

    def _is_over(self) -> bool:
        """Whether it is over; answers what nobody answers any more."""


class Dispatcher:
    """See the module. One for the whole process, made when it is first used."""

    def __init__(self, queue: _primacy.Queue) -> None:
        self.queue = queue
        self.workers = Workers()
        self._missing = [("primacy-events", self._dispatch), ("primacy-log", self._write)]
        self._tags = itertools.count(1)
        self._handlers: dict[int, Callable[[_primacy.Event], None]] = {}
        self._open: dict[int, Open] = {}
        self._lines = _primacy.log_queue()
        self.exiting = False
        self._forgotten: set[int] = set()
        atexit.register(self._at_exit)

    def start(self) -> None:
        """Starts the threads that do not run yet.

        :raises Exhausted: the system has none left.
        """
        try:
            self.workers.grow(KEPT)
            while self._missing:
                name, run = self._missing[0]
                threading.Thread(target=run, name=name, daemon=True).start()
                del self._missing[0]
        except RuntimeError as error:
            raise Exhausted(f"no thread left: {error}") from error

    @property
    def runs(self) -> bool:
        """Whether all threads do."""
        return not self._missing

    def add(self, handler: Callable[[_primacy.Event], None]) -> int:
        """Events under the tag that this returns go to ``handler``, which must be quick."""
        tag = next(self._tags)
        self._handlers[tag] = handler
        return tag

    def remove(self, tag: int) -> None:
        self._handlers.pop(tag, None)

    def opened(self, what: Open) -> None:
        """Keeps it open until it was stopped, or the interpreter ends: no garbage collector ends a
        primacy."""
        for other in [other for other in list(self._open.values()) if other._is_over()]:
            self.closed(other)
        self._open[id(what)] = what
        self.queue.wake(0)  # it may have a loop to look at

    def closed(self, what: Open) -> None:
        self._open.pop(id(what), None)

    def _dispatch(self) -> None:
        poller = select.poll()
        poller.register(self.queue.fileno(), select.POLLIN)
        while True:
            loops = any(what._loop is not None for what in list(self._open.values()))
            poller.poll(LOOK * 1000 if loops else None)
            hand_on(self.queue, self._handlers)
            self._end_forgotten()

    def _end_forgotten(self) -> None:
        """Ends what is open in an event loop that has ended: it serves nobody, and keeps others out."""
        for what in list(self._open.values()):
            if what._loop is None or not what._loop.is_closed() or self.exiting:
                continue
            if id(what) not in self._forgotten:
                self._forgotten.add(id(what))
                log.warning("%r is still open, and its event loop has ended: it is ended now", what)
                what._at_exit()
            if what._is_over():
                self.closed(what)
                self._forgotten.discard(id(what))

    def _write(self) -> None:
        poller = select.poll()
        poller.register(self._lines.fileno(), select.POLLIN)
        while True:
            poller.poll()
            self._write_all()

    def _write_all(self) -> None:
        while (line := self._lines.poll()) is not None:
            log.log(line.level, "%s", line.text)

    def _at_exit(self) -> None:
        if _primacy.is_child():
            return
        self.exiting = True
        left = list(self._open.values())
        for what in left:
            what._at_exit()
        end = time.monotonic() + AT_EXIT
        while (left := [what for what in left if not what._is_over()]) and time.monotonic() < end:
            time.sleep(0.01)
        self._write_all()


def _is_green() -> bool:
    """Whether somebody has put something else in place of what the threads here are made of."""
    real = (_thread.start_new_thread, select.poll)
    is_real = all(isinstance(function, types.BuiltinFunctionType) for function in real)
    return not is_real or queue.SimpleQueue.__module__ != "_queue"


_shared: Dispatcher | None = None
_making = threading.Lock()


def dispatcher() -> Dispatcher:
    """The process's dispatcher.

    :raises Refused: threads are greenlets here.
    :raises Exhausted: no thread left for it.
    """
    global _shared
    if _is_green():
        raise Refused(
            "threads, or what they wait for, are greenlets in this process (gevent or eventlet has patched "
            "them), and primacy needs those of the system: call "
            "gevent.monkey.patch_all(thread=False, select=False, queue=False), or use a process of its own"
        )
    if _shared is None or not _shared.runs:
        # Outside the lock: refused in a forked child, where a thread that the child lacks may hold it.
        queue = _primacy.Queue()
        with _making:
            if _shared is None:
                _shared = Dispatcher(queue)
            _shared.start()
    return _shared
