"""The threads of Python's that run the host's callbacks, each as long as it likes. All are daemons."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable

from primacy._log import log

KEPT = 2
"""Callback threads that stay while nothing is to be done: one for a call now and then, and one ahead."""
IDLE = 2.0
"""One beyond those ends when it had nothing to do for so long."""


class Workers:
    """Threads that run jobs at once. One is always ahead, idle, so that no job waits for one that blocks, not
    even when no further thread can be made."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0  # threads that have no job, less the jobs that no thread has taken yet
        self._short = False

    def run(self, job: Callable[[], None]) -> None:
        with self._lock:
            self._idle -= 1
        self._jobs.put(job)
        try:
            self.grow(1)
        except RuntimeError as error:
            # No thread left, or the interpreter is ending.
            if not self._short:
                log.warning("callbacks may have to wait for one another: %s", error)
            self._short = True
        else:
            self._short = False

    def grow(self, ahead: int) -> None:
        """Makes threads until so many are idle.

        :raises RuntimeError: the system has none left.
        """
        while True:
            with self._lock:
                if self._idle >= ahead:
                    return
                self._idle += 1
            try:
                threading.Thread(target=self._work, name="primacy-call", daemon=True).start()
            except BaseException:
                with self._lock:
                    self._idle -= 1
                raise

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=IDLE if self._idle > KEPT else None)
            except queue.Empty:
                with self._lock:
                    if self._idle > KEPT:
                        self._idle -= 1
                        return
                continue
            try:
                job()
            except BaseException:
                log.exception("a callback failed")
            del job
            with self._lock:
                self._idle += 1


class Series:
    """Runs jobs on the workers, one after the other."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._jobs: deque[Callable[[], None]] = deque()
        self._running = False

    def run(self, job: Callable[[], None]) -> None:
        with self._lock:
            self._jobs.append(job)
            if self._running:
                return
            self._running = True
        self._workers.run(self._work)

    def run_latest(self, job: Callable[[], None]) -> None:
        """The same, in place of those that have not started."""
        with self._lock:
            self._jobs.clear()
        self.run(job)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._running = False
                    return
                job = self._jobs.popleft()
            try:
                job()
            except BaseException:
                log.exception("a notice to the host failed")
