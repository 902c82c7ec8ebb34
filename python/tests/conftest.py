"""For all tests here: a store inside the process, a root of the test's own."""

from __future__ import annotations

import itertools
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import primacy
import pytest
from primacy.testing.changes import Changes
from primacy.testing.etcd import Etcd
from primacy.testing.plugin import Loop, Servers

SOON = 15.0
ANSWERS: dict[str, primacy.Answer | None] = {"on_warmup": primacy.Answer.WARM}

ports = itertools.count(1001)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--exits", type=int, default=4, help="how often each way to end an interpreter is tried")


@pytest.fixture
def config(request: pytest.FixtureRequest) -> primacy.Config:
    return memory(request.node.nodeid)


def memory(name: str) -> primacy.Config:
    """A store of this name, inside the process."""
    safe = "".join(letter if letter.isalnum() else "-" for letter in name)
    settings: dict[str, primacy.Value] = {
        "etcd.endpoints": f"mem://{safe}",
        "primacy.allow_memory_store": True,
        "primacy.warmup_interval_ms": 50,
        "common.session.ttl": 5,
    }
    return primacy.Config(settings)


def candidate() -> primacy.Candidate:
    return primacy.Candidate(address=f"127.0.0.1:{next(ports)}", version="1.2.3")


class Open(Protocol):
    def __call__(self) -> primacy.Session: ...


@pytest.fixture
def open_session(config: primacy.Config) -> Iterator[Open]:
    """Opens sessions on the test's store; they are closed with it."""
    opened: list[primacy.Session] = []

    def make() -> primacy.Session:
        opened.append(primacy.Session(config, candidate()))
        return opened[-1]

    yield make
    for session in opened:
        session.close()


class Told(primacy.Callbacks):
    """Callbacks that tell the test what they are called with."""

    def __init__(self) -> None:
        self.seen: queue.Queue[Any] = queue.Queue()
        self.notices: queue.Queue[primacy.Notice] = queue.Queue()
        self.stopped = threading.Event()

    def next(self, kind: type[Any], bound: float = SOON) -> Any:
        """The next call; warm-ups are passed over unless one is asked for."""
        while True:
            call = self.seen.get(timeout=bound)
            if isinstance(call, kind):
                return call
            assert isinstance(call, primacy.WarmupCall), f"{kind.__name__} expected, not {call}"

    def on_standby(self, election: primacy.Election, call: primacy.StandbyCall) -> primacy.Answer | None:
        self.seen.put(call)
        return None

    def on_warmup(self, election: primacy.Election, call: primacy.WarmupCall) -> primacy.Answer | None:
        self.seen.put(call)
        return primacy.Answer.WARM

    def on_primary(self, election: primacy.Election, call: primacy.PrimaryCall) -> primacy.Answer | None:
        self.seen.put(call)
        return None

    def on_lost(self, election: primacy.Election, call: primacy.LostCall) -> primacy.Answer | None:
        self.seen.put(call)
        return None

    def on_notice(self, election: primacy.Election, notice: primacy.Notice) -> None:
        self.notices.put(notice)

    def on_stopped(self, election: primacy.Election) -> None:
        self.stopped.set()


class Program:
    """A Python program of a test's, in an interpreter of its own."""

    PRELUDE = """
import os, signal, sys, threading, time
import primacy
from primacy import Answer
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
CONFIG = {"etcd.endpoints": "mem://x", "primacy.allow_memory_store": True}
WHO = primacy.Candidate("127.0.0.1:1000", "1.0.0")
class Quiet(primacy.Callbacks):
    def on_primary(self, election, call): return None
    def on_lost(self, election, call): return None
def campaign(callbacks, session=None):
    election = (session or primacy.Session(CONFIG, WHO)).register("r", callbacks)
    election.campaign()
    return election
def until(condition):
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)
def say(text):
    print(text, flush=True)
"""

    def __init__(self, text: str, tmp_path: Path) -> None:
        file = tmp_path / "program.py"
        file.write_text(self.PRELUDE + text)
        # Errors that an interpreter would not show, such as a lock that is not released at the end.
        environment = {
            **os.environ,
            "PYTHONFAULTHANDLER": "1",
            # Of fork, from Python 3.12 on: what comes of it is what some of the tests are for.
            "PYTHONWARNINGS": "ignore:This process:DeprecationWarning",
        }
        self.process = subprocess.Popen(
            [sys.executable, file],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def end(self, bound: float = 30) -> tuple[int, str, str]:
        """Exit code, the rest of what it said, what it complained of."""
        try:
            out, err = self.process.communicate(timeout=bound)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            pytest.fail(f"it runs on:\n{out}\n{err}")
        return self.process.returncode, out.strip(), err.strip()


@pytest.fixture(scope="session")
def etcd_program() -> Callable[[str], Path]:
    """For the fault kit: `make etcd` puts it there."""
    return lambda _: Path(__file__).parents[2] / "target" / "tools" / "etcd"


@pytest.fixture
def etcd(primacy_loop: Loop, primacy_servers: Servers, tmp_path: Path) -> Iterator[Etcd]:
    """A real one, of the test's own."""
    started = primacy_loop.run(Etcd.launch(primacy_servers.program(), tmp_path, Changes()))
    yield started
    primacy_loop.run(started.kill())


class Start(Protocol):
    def __call__(self, text: str) -> Program: ...


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Start]:
    started: list[Program] = []

    def start(text: str) -> Program:
        started.append(Program(text, tmp_path))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()
