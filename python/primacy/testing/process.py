"""Child processes: started, signalled, waited for. None outlives this process, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from primacy.testing.changes import Changes, NotInTime, now

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)  # found before any fork: a child must not load anything

Line = dict[str, Any]
T = TypeVar("T")


def _die_with_parent() -> None:
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A running child that prints JSON lines on stdout, if anything; its stderr goes to `log`."""

    def __init__(self, child: asyncio.subprocess.Process, log: Path, changes: Changes) -> None:
        self._child = child
        self._changes = changes
        self.log = log
        self.lines: list[Line] = []
        self.listeners: list[Callable[[Line], None]] = []
        self.code: int | None = None
        self.ended_at = 0  # when we knew; 0 while it runs
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, args: Sequence[str | Path], log: Path, changes: Changes) -> Process:
        # A session of its own keeps Ctrl-C in the terminal from reaching the children: we end them in order.
        with log.open("ab") as stderr:
            try:
                child = await asyncio.create_subprocess_exec(
                    *map(str, args),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=stderr,
                    preexec_fn=_die_with_parent,
                    start_new_session=True,
                )
            except OSError as error:
                script = "" if error.errno == errno.ENOENT else "; a script begins with #! and what runs it"
                raise OSError(f"{args[0]} can not be started: {error.strerror}{script}") from None
        return cls(child, log, changes)

    @property
    def pid(self) -> int:
        return self._child.pid

    def heard(self, line: Line) -> None:
        """Called for each line; a subclass looks at it before anyone who waits is woken."""
        self.lines.append(line)
        for listener in self.listeners:
            listener(line)
        self._changes.tell()

    async def _read(self) -> None:
        assert self._child.stdout
        async for raw in self._child.stdout:
            try:
                line = json.loads(raw)
            except ValueError:
                line = {"event": "not JSON", "text": raw.decode(errors="replace").rstrip()}
            self.heard(line)
        self._ended(await self._child.wait())

    def _ended(self, code: int) -> None:
        if self.code is None:
            self.code, self.ended_at = code, now()
            self._changes.tell()

    def signal(self, number: signal.Signals) -> int:
        """Sends a signal; returns the time just before."""
        before = now()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
        return before

    async def ended(self, bound: float) -> int:
        """Its exit code, once it has ended and all that it printed was read."""
        await self._changes.until(lambda: self.code is not None, bound, f"the end of {self}")
        assert self.code is not None
        return self.code

    async def while_running(self, holds: Callable[[], T | None], bound: float, what: str) -> T:
        """What `holds` returns, once that is true; NotInTime after `bound` seconds, or at its end."""
        await self._changes.until(lambda: holds() or self.code is not None, bound, f"{self}: {what}")
        found = holds()
        if not found:
            raise NotInTime(f"{self} ended with code {self.code} before {what}{self.last_words()}")
        return found

    def last_words(self) -> str:
        """The end of what it said on stderr, for a message about its own end."""
        said = self.log.read_text(errors="replace").strip().splitlines()[-10:]
        return "; the end of its stderr:" + "".join(f"\n    {line}" for line in said) if said else ""

    async def pause(self, bound: float = 5) -> tuple[int, int]:
        """Stops it. Returns the times before the signal, and after the last thread had stopped."""
        before = self.signal(signal.SIGSTOP)
        loop = asyncio.get_running_loop()
        end = loop.time() + bound
        while not all(state in "TtZX" for state in self._thread_states()):
            if loop.time() > end:
                raise NotInTime(f"{self} did not stop within {bound:g} s")
            await asyncio.sleep(0.001)
        return before, now()

    def _thread_states(self) -> list[str]:
        states = []
        for stat in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):  # a thread that has just ended
                states.append(stat.read_text().rpartition(")")[2].split()[0])
        return states

    def resume(self) -> int:
        return self.signal(signal.SIGCONT)

    async def kill(self) -> None:
        """Ends it for certain: a stopped process, too, dies of SIGKILL."""
        if self.code is None:
            self.signal(signal.SIGKILL)
            # What it printed last may be on its way.
            code = await self._child.wait()
            await asyncio.wait([self._reader], timeout=1)
            self._ended(code)
        self._reader.cancel()

    def __str__(self) -> str:
        return f"process {self.pid}"


def pick(lines: Sequence[Line], *events: str, **fields: Any) -> list[Line]:
    """The lines of these events whose fields have these values."""
    return [
        line
        for line in lines
        if line.get("event") in events and all(line.get(name) == value for name, value in fields.items())
    ]


def below(pid: int) -> list[int]:
    """The processes that this one has started, and what they have, the last ones first."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found = [*below(child), child, *found]
    return found
